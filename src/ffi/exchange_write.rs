//! The answer, written piece by piece.
//!
//! hysock_exchange_start_answer() sends the head, hysock_exchange_write() pieces of the body,
//! hysock_exchange_finish() its end. A small buffer stands between the program and the client; when
//! it is full, a write waits, or says HYSOCK_E_WOULD_BLOCK, and hysock_exchange_on_writable() tells
//! when to go on: what the program makes never piles up for a client that reads slowly.
//!
//! An exchange that is freed, or a handler that returns without defer, before the answer was
//! finished cuts the connection: the client must not take the half for the whole.

use super::boundary;
use super::closure::Userdata;
use super::error::{ErrorOut, hysock_error};
use super::exchange::{for_exchange, hysock_exchange};
use super::handle;
use super::queue_take::{HYSOCK_EVENT_WRITABLE, hysock_event};
use super::server::hysock_exchange_fn;
use super::status::hysock_status;
use super::text::{data, hysock_drop_fn, opt_text, text, text_len};
use crate::error::Result;
use crate::http::server::{Exchange, Kept};
use crate::limits;
use bytes::Bytes;
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// Begin an answer with this status and the headers that were set; its body is written piece by
/// piece.
///
/// `http_status` and `content_type` are as for hysock_exchange_answer(). `content_length` is the
/// length of the whole body, or HYSOCK_UNKNOWN: then it is sent in chunks, to an HTTP/1.0 client
/// until the end of the connection. The answer to a HEAD is given like that to a GET: what is written
/// is not sent. Ask for the first piece of the request's body before, when it is wanted: a client with
/// `Expect: 100-continue` keeps its body back when the answer begins first.
///
/// Thread: any, one at a time.
/// Errors: as hysock_exchange_answer().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_start_answer(
    exchange: *mut hysock_exchange,
    http_status: i32,
    content_type: *const c_char,
    content_length: u64,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or a NUL-terminated text.
        let content_type = unsafe { opt_text(content_type) };
        let length = (content_length != limits::UNKNOWN).then_some(content_length);
        exchange.start_answer(http_status, content_type, length)
    })
}

/// Write a piece of the answer's body: all of it or, when this fails, nothing.
///
/// It is copied to a buffer of 64 KiB, and a longer piece is taken when that is empty. Without room
/// this waits up to `timeout_ms` until the client has read enough; 0 gives HYSOCK_E_WOULD_BLOCK at
/// once. Writing is not arriving: what the client has really read is its own secret.
///
/// Thread: any, one at a time; on an I/O thread (inline delivery) only with `timeout_ms` 0.
/// Errors: HYSOCK_E_WOULD_BLOCK, HYSOCK_E_TIMED_OUT; HYSOCK_E_CLOSED when the client has left;
/// HYSOCK_E_SHUT_DOWN; HYSOCK_E_STATE when no answer was started or it was finished;
/// HYSOCK_E_INVALID_ARGUMENT, also for more than the announced length; HYSOCK_E_WOULD_DEADLOCK,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_write(
    exchange: *mut hysock_exchange,
    piece: *const c_void,
    piece_len: usize,
    timeout_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives `piece_len` bytes.
        let piece = unsafe { data("piece", piece, piece_len) }?;
        exchange.write(piece, limits::duration(timeout_ms))
    })
}

/// Run `fn` once when there is room for a piece of any size, or when there will never be: the client
/// has left and the next write says so. In the server's delivery, never while another callback of the
/// exchange runs.
///
/// For an exchange that was deferred. It runs exactly once, also when the client leaves or the server
/// ends; not when the exchange or the server was freed before.
///
/// Thread: any, one at a time.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_STATE when there is one already, when no answer was started or it was finished;
/// HYSOCK_E_SHUT_DOWN; HYSOCK_E_CLOSED when the client left before an answer was started;
/// HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_on_writable(
    exchange: *mut hysock_exchange,
    r#fn: hysock_exchange_fn,
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
        let writable = move |exchange: &Arc<Exchange>| {
            let pointer = pointer.get();
            let event = || hysock_event::of(HYSOCK_EVENT_WRITABLE, pointer);
            closure.run(event, |function, userdata| {
                handle::lend(exchange, pointer, || {
                    // SAFETY: the function and its userdata were registered together.
                    unsafe { function(pointer, userdata) }
                });
            });
        };
        handle::get("exchange", exchange)?.on_writable(Box::new(writable))
    })
}

/// End the answer that was started. The exchange stays as it is: free it if it was deferred.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when no answer was started, when it was finished, or when less was written
/// than was announced; HYSOCK_E_CLOSED when the client has left; HYSOCK_E_SHUT_DOWN;
/// HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_finish(
    exchange: *mut hysock_exchange,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || handle::get("exchange", exchange)?.finish())
}

/// Like hysock_exchange_write() without a copy: the piece stays where it is, and must stay as it is,
/// until `drop` is called with `userdata`: once, in the server's delivery, when its bytes are no longer
/// needed. When this fails, before it returns.
///
/// Thread: as hysock_exchange_write().
/// Owns: the piece until `drop` is called.
/// Errors: as hysock_exchange_write().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_write_nocopy(
    exchange: *mut hysock_exchange,
    piece: *const c_void,
    piece_len: usize,
    timeout_ms: u32,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives `piece_len` bytes, which stay until `drop` is called.
        let piece = unsafe { Given::new("piece", piece, piece_len) }?;
        let bytes = || piece.into_bytes(&exchange, userdata);
        exchange.write_given(piece_len, bytes, limits::duration(timeout_ms))
    })
}

/// Like hysock_exchange_answer() without a copy: the body stays where it is, and must stay as it is,
/// until `drop` is called with `userdata`: once, in the server's delivery, when its bytes are no longer
/// needed. When this fails, before it returns.
///
/// Thread: any, one at a time.
/// Owns: the body until `drop` is called.
/// Errors: as hysock_exchange_answer().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_answer_nocopy(
    exchange: *mut hysock_exchange,
    http_status: i32,
    content_type: *const c_char,
    body: *const c_void,
    body_len: usize,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or a NUL-terminated text, and `body_len` bytes, which stay until
        // `drop` is called.
        let (content_type, body) =
            unsafe { (opt_text(content_type), Given::new("body", body, body_len)?) };
        let bytes = || body.into_bytes(&exchange, userdata);
        exchange.answer_given(http_status, content_type, body_len, bytes)
    })
}

/// Add a trailer: a header field behind the body of an answer in chunks, before hysock_exchange_finish().
///
/// It must have been announced: set the header `Trailer` to its name, or to several with commas between
/// them, before the answer starts. It is sent to clients that asked for trailers (`TE: trailers`), as
/// HTTP wants it. `value_len` may be HYSOCK_NTS.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when no answer was started or it was finished, when its length was announced,
/// and for HTTP/1.0; HYSOCK_E_INVALID_ARGUMENT, also for one that was not announced, and for fields that
/// must be known before the body; HYSOCK_E_CLOSED, HYSOCK_E_SHUT_DOWN, HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_add_trailer(
    exchange: *mut hysock_exchange,
    name: *const c_char,
    value: *const c_char,
    value_len: usize,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or NUL-terminated texts, `value` with HYSOCK_NTS or `value_len`
        // bytes.
        let (name, value) = unsafe { (text("name", name)?, text_len("value", value, value_len)?) };
        exchange.add_trailer(name, value)
    })
}

/// Memory that C gives away for a while.
struct Given {
    bytes: &'static [u8],
}

impl Given {
    /// # Safety
    /// `pointer` is NULL or readable for `len` bytes, and stays as it is until the `drop` that goes
    /// with it is called.
    unsafe fn new(name: &str, pointer: *const c_void, len: usize) -> Result<Given> {
        // SAFETY: the caller's promise; what is made of it ends before the `drop` is called.
        let bytes = unsafe { data(name, pointer, len) }?;
        Ok(Given { bytes })
    }

    fn into_bytes(self, exchange: &Exchange, userdata: Userdata) -> Bytes {
        if !userdata.has_drop() {
            return Bytes::from_static(self.bytes);
        }
        Bytes::from_owner(Owned {
            given: self,
            _drop: Kept::new(exchange, Box::new(userdata)),
        })
    }
}

/// The same, with what ends it. Fields are dropped in order: first the bytes are forgotten.
struct Owned {
    given: Given,
    _drop: Kept,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        self.given.bytes
    }
}
