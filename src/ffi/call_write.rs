//! A call's request with a body of any size.
//!
//! It comes from a function that is asked for the next piece (hysock_call_set_body_reader()), from a
//! descriptor (hysock_call_set_body_fd()), or it is written while the call runs
//! (hysock_call_set_body_stream(), then hysock_call_write(), hysock_call_on_writable(),
//! hysock_call_finish()). No more than a piece of it waits in memory for the server to take it.
//!
//! A server may answer before it has all. An answer that is no success (2xx), or one that is whole,
//! ends the body: no more of it is sent, the call ends with that answer, and its connection closes. A
//! body that is given only once is not sent again: neither on a new connection nor after a redirect,
//! which is an answer like any other then.

use super::boundary;
use super::call::{for_call, hysock_call, remember};
use super::closure::{Closure, Userdata};
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::queue_take::{HYSOCK_EVENT_CALL_WRITABLE, hysock_event};
use super::status::hysock_status;
use super::text::{data, hysock_drop_fn, opt_text, text, text_len};
use crate::error::{Error, Result};
use crate::http::client::Call;
use crate::limits;
use std::ffi::{c_char, c_void};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// Gives the next piece of a body: puts at most `size` bytes into `buf` and returns how many; 0 is the
/// end, a negative number ends the call with HYSOCK_E_CANCELLED.
pub type hysock_body_fn = Option<
    unsafe extern "C-unwind" fn(
        call: *mut hysock_call,
        buf: *mut c_void,
        size: usize,
        userdata: *mut c_void,
    ) -> i64,
>;

/// Runs once when there is room for more of the body.
pub type hysock_call_writable_fn =
    Option<unsafe extern "C-unwind" fn(call: *mut hysock_call, userdata: *mut c_void)>;

/// Let `fn` give the request's body, piece by piece.
///
/// `content_length` is the length of all of it, or HYSOCK_UNKNOWN: then it is sent in chunks. `fn`
/// runs in the client's delivery, never while another callback of the call runs; for a call that is
/// performed on its thread. It may wait, but in inline delivery: then the call waits with it. A body
/// that ends before its announced length ends the call with HYSOCK_E_INVALID_ARGUMENT.
///
/// Thread: any, one at a time.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_STATE when the call has begun or has a body; HYSOCK_E_INVALID_ARGUMENT,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_set_body_reader(
    call: *mut hysock_call,
    content_type: *const c_char,
    content_length: u64,
    r#fn: hysock_body_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
) -> hysock_status {
    let userdata = Userdata::new(userdata, drop);
    boundary::status_only(|| {
        let pointer = handle::Sent(call);
        let call = handle::get("call", call)?;
        let closure = remember(&call, Closure::new("fn", r#fn, userdata))?;
        // SAFETY: C gives NULL or a NUL-terminated text.
        let content_type = unsafe { opt_text(content_type) };
        let body = move |call: &Arc<Call>, buf: &mut [u8]| {
            let pointer = pointer.get();
            let mut result = -1;
            handle::lend(call, pointer, || {
                let (buf, size) = (buf.as_mut_ptr().cast(), buf.len());
                closure.call(|function, userdata| {
                    // SAFETY: the function and its userdata were registered together.
                    result = unsafe { function(pointer, buf, size, userdata) };
                });
            });
            result
        };
        call.set_body_reader(content_type, known(content_length), Box::new(body))
    })
}

/// Send what is read from `fd` as the request's body.
///
/// A file is read from where it stands, which stays as it is; a pipe, a socket or a terminal as it
/// comes. `length` is how much of it is the body, HYSOCK_UNKNOWN all until its end. The descriptor
/// is copied: yours may be closed at once. An end before the length ends the call with
/// HYSOCK_E_INVALID_ARGUMENT, an error of the descriptor with HYSOCK_E_SYSTEM.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when the call has begun or has a body; HYSOCK_E_INVALID_ARGUMENT, also for
/// what cannot be read and for a file that is too short; HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_set_body_fd(
    call: *mut hysock_call,
    content_type: *const c_char,
    fd: i32,
    length: u64,
) -> hysock_status {
    boundary::status_only(|| {
        let call = handle::get("call", call)?;
        let fd = remember(&call, borrow(fd))?;
        // SAFETY: C gives NULL or a NUL-terminated text.
        let content_type = unsafe { opt_text(content_type) };
        call.set_body_descriptor(content_type, fd, known(length))
    })
}

/// The request's body is written while the call runs: by hysock_call_write() after hysock_call_start(),
/// until hysock_call_finish().
///
/// `content_length` is as for hysock_call_set_body_reader(). Such a call cannot be performed.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when the call has begun or has a body; HYSOCK_E_INVALID_ARGUMENT,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_set_body_stream(
    call: *mut hysock_call,
    content_type: *const c_char,
    content_length: u64,
) -> hysock_status {
    boundary::status_only(|| {
        let call = handle::get("call", call)?;
        // SAFETY: C gives NULL or a NUL-terminated text.
        let content_type = unsafe { opt_text(content_type) };
        call.set_body_stream(content_type, known(content_length))
    })
}

/// Write a piece of the request's body: all of it or, when this fails, nothing.
///
/// It is copied to a buffer of 64 KiB, and a longer piece is taken when that is empty. Without room
/// this waits up to `timeout_ms` until the server has read enough; 0 gives HYSOCK_E_WOULD_BLOCK at
/// once.
///
/// Thread: any, one at a time; on an I/O thread (inline delivery) only with `timeout_ms` 0.
/// Errors: HYSOCK_E_WOULD_BLOCK, HYSOCK_E_TIMED_OUT; HYSOCK_E_CLOSED when the answer came before the
/// body's end; what has ended the call; HYSOCK_E_STATE before the start, after the finish, and for
/// another kind of body; HYSOCK_E_INVALID_ARGUMENT, also for more than the announced length;
/// HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_write(
    call: *mut hysock_call,
    piece: *const c_void,
    piece_len: usize,
    timeout_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let call = handle::get("call", call)?;
        // SAFETY: C gives `piece_len` bytes.
        let piece = unsafe { data("piece", piece, piece_len) }?;
        call.write(piece, limits::duration(timeout_ms))
    })
}

/// Run `fn` once when there is room for a piece of any size, or when there will never be: the next
/// write says why. In the client's delivery, never while another callback of the call runs.
///
/// Thread: any, one at a time.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_STATE also while another one waits; else as hysock_call_write() with `timeout_ms`
/// 0, HYSOCK_E_WOULD_BLOCK apart.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_on_writable(
    call: *mut hysock_call,
    r#fn: hysock_call_writable_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        let closure = for_call(call, r#fn, userdata)?;
        let pointer = handle::Sent(call);
        let writable = move |call: &Arc<Call>| {
            let pointer = pointer.get();
            let event = || hysock_event::of(HYSOCK_EVENT_CALL_WRITABLE, pointer);
            closure.run(event, |function, userdata| {
                handle::lend(call, pointer, || {
                    // SAFETY: the function and its userdata were registered together.
                    unsafe { function(pointer, userdata) }
                });
            });
        };
        handle::get("call", call)?.on_writable(Box::new(writable))
    })
}

/// End the body that is written. The answer comes to `fn` of hysock_call_start().
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE also when less was written than was announced; else as
/// hysock_call_on_writable().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_finish(
    call: *mut hysock_call,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || handle::get("call", call)?.finish_body())
}

/// Add a trailer to a request with a body of unknown length: a header field behind it. Before the
/// body's end.
///
/// One that is added before the call begins is announced by itself; for those that come later set the
/// header `Trailer` to their names. `value_len` may be HYSOCK_NTS.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when there is no such body, or it is over; HYSOCK_E_INVALID_ARGUMENT, also
/// for one that was not announced, and for fields that must be known before the body;
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_add_trailer(
    call: *mut hysock_call,
    name: *const c_char,
    value: *const c_char,
    value_len: usize,
) -> hysock_status {
    boundary::status_only(|| {
        let call = handle::get("call", call)?;
        // SAFETY: C gives NULL or NUL-terminated texts, `value` with HYSOCK_NTS or `value_len`
        // bytes.
        let (name, value) = unsafe { (text("name", name)?, text_len("value", value, value_len)?) };
        call.add_trailer(name, value)
    })
}

/// Hold the body back until the server has said that it wants it: `Expect: 100-continue` is sent, and
/// the body after the 100, or after `wait_ms` without any answer. 1 or more, or HYSOCK_FOREVER. When
/// the server answers at once instead, nothing of the body is sent.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_call_set_expect_continue(
    call: *mut hysock_call,
    wait_ms: u32,
) -> hysock_status {
    boundary::status_only(|| {
        let call = handle::get("call", call)?;
        let wait = remember(&call, limits::CALL_EXPECT_WAIT.time(wait_ms))?;
        call.set_expect_continue(wait)
    })
}

fn known(length: u64) -> Option<u64> {
    (length != limits::UNKNOWN).then_some(length)
}

/// A descriptor of C's, for as long as the function of the C API that got it.
pub fn borrow<'a>(fd: i32) -> Result<BorrowedFd<'a>> {
    if fd < 0 {
        return Err(Error::argument(format!(
            "fd is {fd}: an open() that failed?"
        )));
    }
    // SAFETY: not -1; C keeps it open until its call returns, and a closed one is only an error.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}
