//! A call's answer, read piece by piece.
//!
//! After hysock_call_set_streaming() a call ends with the head of its answer: hysock_call_perform()
//! returns, or `fn` of hysock_call_start() runs. hysock_call_read() then waits for a piece of the
//! body, hysock_call_read_start() calls back with one. Nothing is taken from the server before it is
//! asked for, apart from one piece, so an answer of any size needs the memory of a piece, and a
//! program that rests slows its server and nobody else.
//!
//! The connection is the call's until its end was read: then another call gets it. A call that is
//! freed or cancelled before closes it. The time limits of the call go on: that on everything until
//! the end was read, that of hysock_call_set_idle_timeout() while a read waits for the server.

use super::boundary::{self, Out};
use super::call::{for_call, hysock_call};
use super::closure::Userdata;
use super::error::{ErrorOut, hysock_error};
use super::exchange::find;
use super::exchange_read::view;
use super::handle;
use super::queue_take::{HYSOCK_EVENT_CALL_READ, hysock_event};
use super::status::{HYSOCK_OK, hysock_status};
use super::text::{hysock_drop_fn, hysock_str, opt_text};
use crate::error::Result;
use crate::http::client::Call;
use crate::http::reading::Piece;
use crate::limits;
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// Runs once with what a read gives: HYSOCK_OK and a piece, HYSOCK_OK and an absent piece at the end
/// of the body, or what kept the rest from coming. The piece is good until the next read of the call,
/// or its free.
pub type hysock_call_read_fn = Option<
    unsafe extern "C-unwind" fn(
        call: *mut hysock_call,
        status: hysock_status,
        piece: hysock_str,
        userdata: *mut c_void,
    ),
>;

/// Give the answer as soon as its head is there; its body is read by hysock_call_read() or
/// hysock_call_read_start(). hysock_call_body() stays absent, and hysock_client_config_set_max_body()
/// does not bound the body.
///
/// A redirect that is followed is not given; its body is passed over.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_call_set_streaming(call: *mut hysock_call) -> hysock_status {
    boundary::status_only(|| handle::get("call", call)?.set_streaming())
}

/// Read the next piece of a streamed answer's body; wait for it up to `timeout_ms`.
///
/// `*piece` is good until the next read of the call, or its free. At the end it is absent, and stays
/// so; an empty piece never comes. `timeout_ms` 0 gives HYSOCK_E_WOULD_BLOCK when nothing is here yet,
/// and asks for it. HYSOCK_E_TIMED_OUT ends only this read, unless a limit of the call was reached:
/// then every read says so. One read at a time.
///
/// Thread: any, one at a time; on an I/O thread (inline delivery) only with `timeout_ms` 0.
/// Errors: HYSOCK_E_WOULD_BLOCK, HYSOCK_E_TIMED_OUT; HYSOCK_E_TRUNCATED when the connection ended
/// before the body did, HYSOCK_E_PROTOCOL for a malformed one; HYSOCK_E_CANCELLED,
/// HYSOCK_E_SHUT_DOWN; HYSOCK_E_STATE when there is no answer yet, when it is not streamed, and while
/// another read of the call waits; HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_read(
    call: *mut hysock_call,
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
        let read = handle::get("call", call)?.read(limits::duration(timeout_ms))?;
        out.set(view(&read));
        Ok(())
    })
}

/// Ask for the next piece of a streamed answer's body: `fn` runs once with it, in the client's
/// delivery, never while another callback of the call runs. Call it again, also in `fn`, for the next
/// one.
///
/// For a call that was started; one that was performed is read by hysock_call_read(). `fn` runs
/// exactly once, also when the connection ends or the call is cancelled; not when the call or the
/// client was freed before. One read at a time.
///
/// Thread: any, one at a time.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_STATE when there is no answer yet, when it is not streamed, when the call was
/// performed, and while another read of the call waits; HYSOCK_E_SHUT_DOWN;
/// HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_read_start(
    call: *mut hysock_call,
    r#fn: hysock_call_read_fn,
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
        let read = move |call: &Arc<Call>, read: Result<Piece<'_>>| {
            let pointer = pointer.get();
            let (status, piece) = match &read {
                Ok(piece) => (HYSOCK_OK, view(piece)),
                Err(error) => (error.status as hysock_status, hysock_str::ABSENT),
            };
            let event = || hysock_event {
                status,
                data: piece,
                ..hysock_event::of(HYSOCK_EVENT_CALL_READ, pointer)
            };
            closure.run(event, |function, userdata| {
                handle::lend(call, pointer, || {
                    // SAFETY: the function and its userdata were registered together.
                    unsafe { function(pointer, status, piece, userdata) }
                });
            });
        };
        handle::get("call", call)?.read_start(Box::new(read))
    })
}

/// How many bytes the answer's body has, as its head says: 0 when it has none, HYSOCK_UNKNOWN when it
/// is not said (chunked, or until the end of the connection).
///
/// Thread: any, one at a time.
/// Errors: none; HYSOCK_UNKNOWN as long as there is no answer, and for a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_call_content_length(call: *const hysock_call) -> u64 {
    boundary::get(limits::UNKNOWN, || {
        let length = handle::get("call", call)?.content_length();
        Ok(length.unwrap_or(limits::UNKNOWN))
    })
}

/// A trailer of the answer: a header field that came behind a chunked body, known once that was read
/// to its end. `name` in any case; of several with that name the first. Servers send trailers to those
/// who ask for them: set the header `TE` to "trailers".
///
/// Thread: any, one at a time.
/// Errors: none; absent when there is none, for a `name` of NULL and a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_trailer(
    call: *const hysock_call,
    name: *const c_char,
) -> hysock_str {
    boundary::get(hysock_str::ABSENT, || {
        let call = handle::get("call", call)?;
        // SAFETY: C gives NULL or a NUL-terminated text.
        let name = unsafe { opt_text(name) };
        let trailers = call.trailers();
        Ok(trailers.map_or(hysock_str::ABSENT, |trailers| find(trailers, name)))
    })
}
