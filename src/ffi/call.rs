//! A call: one request sent, and the answer received.
//!
//! Needed: hysock_call_new(), hysock_call_set_body() where there is one, then
//! hysock_call_perform(), which sends and waits on the calling thread, or hysock_call_start(),
//! which returns at once and calls back; then hysock_call_http_status() and hysock_call_body();
//! hysock_call_free(). A call is for one request.
//!
//! An HTTP error status is a success of the call: only what kept the answer from coming is an
//! error. Setters remember: the first one that was refused makes perform and start fail with its
//! message. A call may be used on one thread at a time, except that hysock_call_cancel() and
//! hysock_call_free() may come from any thread. Texts of the answer are good until the free.

use super::boundary::{self, Out};
use super::client::hysock_client;
use super::closure::{self, Closure, Userdata};
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::queue_take::{HYSOCK_EVENT_CALL, hysock_event};
use super::status::hysock_status;
use super::text::{data, hysock_drop_fn, hysock_str, opt_text, text, text_len};
use crate::error::{Result, Status};
use crate::http::client::Call;
use bytes::Bytes;
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// One request sent, and the answer received.
pub struct hysock_call {
    _opaque: [u8; 0],
}

/// Runs once when a started call has ended: `status` is HYSOCK_OK when the answer is there, else
/// what kept it from coming; hysock_call_error() has the words.
pub type hysock_call_fn = Option<
    unsafe extern "C-unwind" fn(
        call: *mut hysock_call,
        status: hysock_status,
        userdata: *mut c_void,
    ),
>;

/// Make a call; nothing is sent yet.
///
/// `target` is path and query as they go on the wire, like "/info?all=1": encoded already,
/// `target_len` may be HYSOCK_NTS. Host is "localhost" unless it is set.
///
/// Thread: any.
/// Owns: free `*call` with hysock_call_free().
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_LIMIT.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_new(
    client: *mut hysock_client,
    method: *const c_char,
    target: *const c_char,
    target_len: usize,
    call: *mut *mut hysock_call,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a variable for the result.
        let call = unsafe { Out::for_handle("call", call) }?;
        let client = handle::get("client", client)?;
        // SAFETY: C gives NULL or NUL-terminated texts, `target` with HYSOCK_NTS or `target_len`
        // bytes.
        let (method, target) = unsafe {
            (
                text("method", method)?,
                text_len("target", target, target_len)?,
            )
        };
        let made = Call::new(&client, method, target)?;
        call.set(match made.kept() {
            Some(kept) => handle::give_again(made.clone(), kept)?.pointer,
            None => handle::give(made)?,
        });
        Ok(())
    })
}

/// Set the request's body, all of it; Content-Length follows from it.
///
/// `content_type` NULL sets none. `body_len` is a number of bytes, HYSOCK_NTS is refused; `body`
/// may be NULL when it is 0. All of it is copied.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_set_body(
    call: *mut hysock_call,
    content_type: *const c_char,
    body: *const c_void,
    body_len: usize,
) -> hysock_status {
    boundary::status_only(|| {
        let call = handle::get("call", call)?;
        // SAFETY: C gives NULL or a NUL-terminated text, and `body_len` bytes.
        let (content_type, body) =
            unsafe { (opt_text(content_type), data("body", body, body_len)) };
        let body = remember(&call, body)?;
        call.set_body(content_type, Bytes::copy_from_slice(body))
    })
}

/// Send the request and wait for the whole answer, on this thread: no other thread of the library
/// takes part.
///
/// HYSOCK_OK means that an answer is there, whatever its HTTP status. The time that this may take
/// is that of hysock_call_set_timeout(), hysock_call_set_first_byte_timeout() and
/// hysock_call_set_idle_timeout(), else the client's; the message says which one it was. Without any
/// it waits for as long as the server does. hysock_call_cancel() from another thread ends it. On a kept connection that the
/// server had closed, a request that cannot have been acted on is sent once more on a new one.
///
/// Thread: any but I/O threads; so not in callbacks of inline delivery.
/// Errors: HYSOCK_E_ABSENT, HYSOCK_E_REFUSED, HYSOCK_E_BUSY, HYSOCK_E_FORBIDDEN,
/// HYSOCK_E_WRONG_TYPE when there is nobody to talk to; HYSOCK_E_TIMED_OUT, HYSOCK_E_CANCELLED,
/// HYSOCK_E_CLOSED, HYSOCK_E_PROTOCOL, HYSOCK_E_TRUNCATED, HYSOCK_E_TOO_LARGE on the way;
/// HYSOCK_E_STATE for a second time; HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT, also for
/// what a setter had refused, HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED,
/// HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_perform(
    call: *mut hysock_call,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || handle::get("call", call)?.perform())
}

/// Send the request and return; `fn` runs once, in the client's delivery, when the call has ended.
///
/// For a client with a runtime. A start that fails never calls back. The call stays yours: fire and
/// forget is to free it inside `fn`. The other errors of hysock_call_perform() come as the `status`
/// of `fn`.
///
/// Thread: any.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_STATE for a second time and for a client without a runtime;
/// HYSOCK_E_INVALID_ARGUMENT, also for what a setter had refused; HYSOCK_E_CANCELLED when it was
/// cancelled before; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_start(
    call: *mut hysock_call,
    r#fn: hysock_call_fn,
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
        let done = move |call: &Arc<Call>, status: Status| {
            let pointer = pointer.get();
            let status = status as hysock_status;
            let event = || hysock_event {
                status,
                ..hysock_event::of(HYSOCK_EVENT_CALL, pointer)
            };
            closure.run(event, |function, userdata| {
                handle::lend(call, pointer, || {
                    // SAFETY: the function and its userdata were registered together.
                    unsafe { function(pointer, status, userdata) }
                });
            });
        };
        handle::get("call", call)?.start(Box::new(done))
    })
}

/// The HTTP status of the answer, such as 200 or 404.
///
/// Thread: any, one at a time.
/// Errors: none; 0 as long as there is no answer, and for a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_call_http_status(call: *const hysock_call) -> i32 {
    boundary::get(0, || Ok(handle::get("call", call)?.http_status()))
}

/// The answer's body, all of it; a NUL that does not count follows it. Empty when the answer has
/// none.
///
/// Thread: any, one at a time.
/// Errors: none; absent as long as there is no answer, and for a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_call_body(call: *const hysock_call) -> hysock_str {
    boundary::get(hysock_str::ABSENT, || {
        Ok(hysock_str::maybe(handle::get("call", call)?.body()))
    })
}

/// Free a call. One that runs is cancelled and its `fn` withdrawn: at most an invocation that was
/// picked up already still runs, none in queue delivery on the dispatching thread. Never waits.
///
/// Thread: any, also inside callbacks, its own included.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_call_free(call: *mut hysock_call) {
    boundary::nothing(|| {
        handle::free(call, |call| {
            call.check()?;
            call.release();
            Ok(())
        });
    });
}

/// End a call early: it ends with HYSOCK_E_CANCELLED, now or in a moment. One that has ended stays
/// as it is; one that has not begun cannot begin any more.
///
/// Thread: any, at any time.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_cancel(
    call: *mut hysock_call,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || handle::get("call", call)?.cancel())
}

/// How the call went: HYSOCK_OK when its answer is there, else the status and the words for what
/// kept it from coming.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_WOULD_BLOCK as long as it has not ended; what hysock_call_perform() gives;
/// HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_error(
    call: *const hysock_call,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || handle::get("call", call)?.outcome())
}

/// A refused argument of a setter: the call must not go out without what it was to set.
pub fn remember<T>(call: &Call, argument: Result<T>) -> Result<T> {
    argument.inspect_err(|error| call.refuse(error.clone()))
}

/// A callback of a call.
pub(super) fn for_call<F>(
    call: *const hysock_call,
    function: Option<F>,
    userdata: Userdata,
) -> Result<Closure<F>> {
    if function.is_some() {
        return Closure::new("fn", function, userdata);
    }
    let found = handle::get("call", call);
    let queue = found
        .as_ref()
        .ok()
        .and_then(|call| closure::queue_of(call.executor()?));
    Closure::or_taken("fn", function, userdata, queue)
}
