//! Server-sent events: an answer that goes on, an event at a time.
//!
//! What browsers call an EventSource: hysock_exchange_start_events() begins the answer,
//! hysock_exchange_write_event() writes one event. hysock_exchange_on_gone() tells when the client has
//! left; hysock_runtime_after() is a clock for events that come in intervals.

use super::boundary;
use super::error::{ErrorOut, hysock_error};
use super::exchange::hysock_exchange;
use super::handle;
use super::status::hysock_status;
use super::text::{opt_text, text_len};
use crate::http::server::SentEvent;
use crate::limits;
use std::ffi::c_char;

/// Begin an answer of events: status 200, `text/event-stream`, `Cache-Control: no-store`.
///
/// What hysock_exchange_start_answer() says holds here as well; hysock_exchange_finish() ends it.
///
/// Thread: any, one at a time.
/// Errors: as hysock_exchange_answer().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_start_events(
    exchange: *mut hysock_exchange,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || handle::get("exchange", exchange)?.start_events())
}

/// Write one event, all of it or nothing, as hysock_exchange_write() does.
///
/// `event` is its name and `id` its id; NULL leaves them out. `data` may have several lines; `data_len`
/// may be HYSOCK_NTS, and `data` NULL when it is 0. With nothing at all this writes a comment, which clients pass over:
/// it keeps the connection busy.
///
/// Thread: any, one at a time; on an I/O thread (inline delivery) only with `timeout_ms` 0.
/// Errors: as hysock_exchange_write(); HYSOCK_E_INVALID_ARGUMENT also for a line end in `event` or `id`.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_write_event(
    exchange: *mut hysock_exchange,
    event: *const c_char,
    id: *const c_char,
    data: *const c_char,
    data_len: usize,
    timeout_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or NUL-terminated texts, `data` with HYSOCK_NTS or `data_len` bytes.
        let event = unsafe {
            let text = text_len("data", data, data_len)?;
            SentEvent {
                event: opt_text(event),
                id: opt_text(id),
                data: (!data.is_null()).then_some(text),
            }
        };
        exchange.write_event(&event, limits::duration(timeout_ms))
    })
}
