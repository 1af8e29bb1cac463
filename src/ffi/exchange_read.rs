//! The request's body, read piece by piece.
//!
//! A handler of hysock_server_add_streaming_route() runs when the head of its request is there, and
//! reads the body itself: hysock_exchange_read() waits on a callback thread or a queue's,
//! hysock_exchange_read_start() calls back. Nothing is taken from the client before it is asked for,
//! apart from one piece, so a slow handler slows its client and nobody else, and a body of any size
//! needs the memory of a piece. A client that asks with `Expect: 100-continue` hears the answer at
//! the first read.
//!
//! Bodies of other routes are there as a whole when their handlers run; reading them gives one piece
//! and then the end.

use super::boundary::{self, Out};
use super::closure::Userdata;
use super::error::{ErrorOut, hysock_error};
use super::exchange::{find, for_exchange, hysock_exchange};
use super::handle;
use super::lent;
use super::queue_take::{HYSOCK_EVENT_READ, hysock_event};
use super::server::{for_server, hysock_exchange_fn, hysock_server};
use super::status::{HYSOCK_OK, hysock_status};
use super::text::{hysock_drop_fn, hysock_str, opt_string, opt_text};
use crate::error::Result;
use crate::http::reading::Piece;
use crate::http::server::Exchange;
use crate::limits;
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// Runs once with what a read gives: HYSOCK_OK and a piece, HYSOCK_OK and an absent piece at the end
/// of the body, or what kept the rest from coming. The piece is good until the next read of the
/// exchange, or its free.
pub type hysock_read_fn = Option<
    unsafe extern "C-unwind" fn(
        exchange: *mut hysock_exchange,
        status: hysock_status,
        piece: hysock_str,
        userdata: *mut c_void,
    ),
>;

/// Hand requests with this method and path to `fn` as soon as their heads are there: it reads the
/// body itself. Before the start only.
///
/// `method` and `path` are as for hysock_server_add_route(). hysock_server_config_set_max_body() does
/// not bound these bodies: the handler decides how much it reads. One that answers without reading to
/// the end ends the connection with that answer.
///
/// Thread: any.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: as hysock_server_add_route().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_add_streaming_route(
    server: *mut hysock_server,
    method: *const c_char,
    path: *const c_char,
    r#fn: hysock_exchange_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        let closure = for_server(server, r#fn, userdata)?;
        let server = handle::get("server", server)?;
        // SAFETY: C gives NULL or NUL-terminated texts.
        let (method, path) = unsafe { (opt_string("method", method)?, opt_string("path", path)?) };
        server.add_streaming_route(method, path, lent::handler(closure))
    })
}

/// Read the next piece of the request's body; wait for it up to `timeout_ms`.
///
/// `*piece` is good until the next read of the exchange, or its free. At the end it is absent, and
/// stays so; an empty piece never comes. `timeout_ms` 0 gives HYSOCK_E_WOULD_BLOCK when nothing is
/// here yet, and asks for it. One read at a time.
///
/// Thread: any, one at a time; on an I/O thread (inline delivery) only with `timeout_ms` 0.
/// Errors: HYSOCK_E_WOULD_BLOCK, HYSOCK_E_TIMED_OUT; HYSOCK_E_TRUNCATED when the client left or the
/// connection ended before the body did, HYSOCK_E_PROTOCOL for a malformed one;
/// HYSOCK_E_SHUT_DOWN; HYSOCK_E_STATE while another read of the exchange waits;
/// HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_read(
    exchange: *mut hysock_exchange,
    piece: *mut hysock_str,
    timeout_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a variable for the result.
        let out = unsafe { Out::new("piece", piece) }?;
        out.set(hysock_str::ABSENT);
        let exchange = handle::get("exchange", exchange)?;
        let read = exchange.read(limits::duration(timeout_ms))?;
        out.set(view(&read));
        Ok(())
    })
}

/// Ask for the next piece of the request's body: `fn` runs once with it, in the server's delivery,
/// never while another callback of the exchange runs. Call it again, also in `fn`, for the next one.
///
/// For an exchange that was deferred. It runs exactly once, also when the client leaves or the server
/// ends; not when the exchange or the server was freed before. One read at a time.
///
/// Thread: any, one at a time.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_STATE while another read of the exchange waits; HYSOCK_E_SHUT_DOWN;
/// HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_read_start(
    exchange: *mut hysock_exchange,
    r#fn: hysock_read_fn,
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
        let read = move |exchange: &Arc<Exchange>, read: Result<Piece<'_>>| {
            let pointer = pointer.get();
            let (status, piece) = match &read {
                Ok(piece) => (HYSOCK_OK, view(piece)),
                Err(error) => (error.status as hysock_status, hysock_str::ABSENT),
            };
            let event = || hysock_event {
                status,
                data: piece,
                ..hysock_event::of(HYSOCK_EVENT_READ, pointer)
            };
            closure.run(event, |function, userdata| {
                handle::lend(exchange, pointer, || {
                    // SAFETY: the function and its userdata were registered together.
                    unsafe { function(pointer, status, piece, userdata) }
                });
            });
        };
        handle::get("exchange", exchange)?.read_start(Box::new(read))
    })
}

/// How many bytes the request's body has, as its head says: 0 without a body, HYSOCK_UNKNOWN when it
/// is not said (chunked).
///
/// Thread: any, one at a time.
/// Errors: none; HYSOCK_UNKNOWN for a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_exchange_content_length(exchange: *const hysock_exchange) -> u64 {
    boundary::get(limits::UNKNOWN, || {
        let length = handle::get("exchange", exchange)?.content_length();
        Ok(length.unwrap_or(limits::UNKNOWN))
    })
}

/// A trailer of the request: a header field that came behind a chunked body, known once that was read to
/// its end. `name` in any case; of several with that name the first.
///
/// Thread: any, one at a time.
/// Errors: none; absent when there is none, for a `name` of NULL and a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_trailer(
    exchange: *const hysock_exchange,
    name: *const c_char,
) -> hysock_str {
    boundary::get(hysock_str::ABSENT, || {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or a NUL-terminated text.
        let name = unsafe { opt_text(name) };
        let trailers = exchange.trailers();
        Ok(trailers.map_or(hysock_str::ABSENT, |trailers| find(trailers, name)))
    })
}

/// What a read gave; the exchange or the call keeps the bytes until the next one.
pub fn view(piece: &Piece<'_>) -> hysock_str {
    hysock_str::maybe(piece.as_bytes())
}
