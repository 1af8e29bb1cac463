//! Another protocol on the connection of a request.
//!
//! hysock_exchange_upgrade() answers 101, and then the program has the connection to itself: a descriptor
//! to read from and write to, until either side closes it.

use super::boundary;
use super::closure::Userdata;
use super::error::{ErrorOut, hysock_error};
use super::exchange::{for_exchange, hysock_exchange};
use super::handle;
use super::queue_take::{HYSOCK_EVENT_UPGRADED, hysock_event};
use super::status::hysock_status;
use super::text::{hysock_drop_fn, hysock_str, text};
use crate::http::server::Exchange;
use bytes::Bytes;
use std::ffi::{c_char, c_void};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::Arc;

/// Runs once with the connection, which speaks the other protocol from here on.
///
/// `fd` is yours to close: a blocking descriptor with FD_CLOEXEC, or -1 when the connection was lost
/// before. `early` is what the client has sent behind its request already, good as long as the exchange.
pub type hysock_upgrade_fn = Option<
    unsafe extern "C-unwind" fn(
        exchange: *mut hysock_exchange,
        fd: i32,
        early: hysock_str,
        userdata: *mut c_void,
    ),
>;

/// Switch to another protocol, which the request has asked for with `Upgrade` and `Connection: upgrade`:
/// the client gets a 101 with these two and the headers that were set, then `fn` runs once with the
/// connection, in the server's delivery.
///
/// The exchange is deferred by that if it was not before. hysock_exchange_free() says that the session is
/// over; until then the server's end waits for it, and limits count it. The connection ends when `fd` is
/// closed and the exchange freed. When the server cannot wait any longer it ends the connection with
/// shutdown(2): reads on `fd` give its end; hysock_exchange_on_gone() tells the same.
///
/// Thread: any, one at a time.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_STATE when the request does not ask for `protocol`, when its body was not read to its
/// end, and when it was answered; the others of hysock_exchange_answer().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_upgrade(
    exchange: *mut hysock_exchange,
    protocol: *const c_char,
    r#fn: hysock_upgrade_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        let closure = for_exchange(exchange, r#fn, userdata)?;
        let pointer = handle::Sent(exchange);
        let upgraded = move |exchange: &Arc<Exchange>, fd: Option<OwnedFd>, early: Bytes| {
            let pointer = pointer.get();
            let fd = fd.map_or(-1, IntoRawFd::into_raw_fd);
            // The exchange keeps the bytes.
            let early = hysock_str::new(&early);
            let event = || hysock_event {
                fd,
                data: early,
                ..hysock_event::of(HYSOCK_EVENT_UPGRADED, pointer)
            };
            closure.run(event, |function, userdata| {
                handle::lend(exchange, pointer, || {
                    // SAFETY: the function and its userdata were registered together.
                    unsafe { function(pointer, fd, early, userdata) }
                });
            });
        };
        // SAFETY: C gives NULL or a NUL-terminated text.
        let protocol = unsafe { text("protocol", protocol) }?;
        handle::get("exchange", exchange)?.upgrade(protocol, Box::new(upgraded))
    })
}
