//! How a call goes on: an answer that goes to a descriptor, reports of how far it is, and what the
//! server says before its answer.

use super::boundary;
use super::call::{hysock_call, remember};
use super::call_write::borrow;
use super::closure::{Closure, Userdata};
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::status::hysock_status;
use super::text::hysock_drop_fn;
use crate::http::client::{Call, Moved};
use crate::limits;
use http::StatusCode;
use std::ffi::c_void;
use std::sync::Arc;

/// How far a call is: bytes of the request's body and of the answer's, and of how many; HYSOCK_UNKNOWN
/// when that is not known.
pub type hysock_progress_fn = Option<
    unsafe extern "C-unwind" fn(
        call: *mut hysock_call,
        sent: u64,
        send_total: u64,
        received: u64,
        receive_total: u64,
        userdata: *mut c_void,
    ),
>;

/// An informational answer has come: its HTTP status, 100 to 199 but not 101.
pub type hysock_informational_fn = Option<
    unsafe extern "C-unwind" fn(call: *mut hysock_call, http_status: i32, userdata: *mut c_void),
>;

/// Send the answer's body to `fd`: a file, a pipe, a socket. The call ends when all of it is there.
///
/// So it is for a 2xx; the body of another answer is collected as usual. The descriptor is copied:
/// yours may be closed at once. It is written no faster than it takes it, whether it blocks or not; a
/// file from where it stands. An error of the descriptor ends the call with HYSOCK_E_SYSTEM. Not
/// together with hysock_call_set_streaming().
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when the call has begun or is streamed; HYSOCK_E_INVALID_ARGUMENT, also for
/// what cannot be written; HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_call_set_output_fd(call: *mut hysock_call, fd: i32) -> hysock_status {
    boundary::status_only(|| {
        let call = handle::get("call", call)?;
        let fd = remember(&call, borrow(fd))?;
        call.set_output(fd)
    })
}

/// Hear how far the call is: `fn` runs when bytes of a body have moved, at most every 100 ms, and once
/// at the end, before the call's `fn`. In the client's delivery, never while another callback of the
/// call runs; for a call that is performed on its thread.
///
/// Thread: any, one at a time.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_STATE when the call has begun or has one; HYSOCK_E_INVALID_ARGUMENT,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_on_progress(
    call: *mut hysock_call,
    r#fn: hysock_progress_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        let closure = Closure::new("fn", r#fn, userdata)?;
        let pointer = handle::Sent(call);
        let progress = move |call: &Arc<Call>, moved: Moved| {
            let pointer = pointer.get();
            let total = |total: Option<u64>| total.unwrap_or(limits::UNKNOWN);
            let (send_total, receive_total) = (total(moved.send_total), total(moved.receive_total));
            handle::lend(call, pointer, || {
                let (sent, received) = (moved.sent, moved.received);
                closure.call(|function, userdata| {
                    // SAFETY: the function and its userdata were registered together.
                    unsafe {
                        function(pointer, sent, send_total, received, receive_total, userdata)
                    }
                });
            });
        };
        handle::get("call", call)?.on_progress(Box::new(progress))
    })
}

/// Hear of informational answers: 100, 102, 103 and others that come before the answer; 101 is an
/// answer. In the client's delivery, never while another callback of the call runs; for a call that is
/// performed on its thread. Of a flood the first ones are heard of.
///
/// Thread: any, one at a time.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: as hysock_call_on_progress().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_on_informational(
    call: *mut hysock_call,
    r#fn: hysock_informational_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        let closure = Closure::new("fn", r#fn, userdata)?;
        let pointer = handle::Sent(call);
        let informational = move |call: &Arc<Call>, status: StatusCode| {
            let pointer = pointer.get();
            let status = i32::from(status.as_u16());
            handle::lend(call, pointer, || {
                closure.call(|function, userdata| {
                    // SAFETY: the function and its userdata were registered together.
                    unsafe { function(pointer, status, userdata) }
                });
            });
        };
        handle::get("call", call)?.on_informational(Box::new(informational))
    })
}
