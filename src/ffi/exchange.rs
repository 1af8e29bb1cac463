//! An exchange: one request received, and the answer to it.
//!
//! It is lent to the handler: answer it before returning, and all of it ends with the return. To
//! answer later, from any thread, call hysock_exchange_defer() first; then it is yours until
//! hysock_exchange_free(). A handler that returns with neither answer nor defer gets its client a
//! 500.
//!
//! Needed: hysock_exchange_method(), hysock_exchange_path(), hysock_exchange_header(),
//! hysock_exchange_body(), hysock_exchange_answer(). An exchange may be used on one thread at a
//! time; its texts are good until the handler returns, or with a defer until the free.

use super::boundary::{self, Out};
use super::closure::{self, Closure, Userdata};
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::queue_take::{HYSOCK_EVENT_GONE, hysock_event};
use super::status::hysock_status;
use super::text::{data, hysock_drop_fn, hysock_str, opt_text, text, text_len};
use crate::error::Result;
use crate::http::headers;
use crate::http::server::Exchange;
use http::HeaderMap;
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// One request received, and the answer to it.
pub struct hysock_exchange {
    _opaque: [u8; 0],
}

/// Told that the client of an exchange has left before its answer.
pub type hysock_gone_fn =
    Option<unsafe extern "C-unwind" fn(exchange: *mut hysock_exchange, userdata: *mut c_void)>;

/// The request's method, such as GET.
///
/// Thread: any, one at a time.
/// Errors: none; absent for a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_exchange_method(exchange: *const hysock_exchange) -> hysock_str {
    boundary::get(hysock_str::ABSENT, || {
        Ok(hysock_str::new(
            handle::get("exchange", exchange)?
                .head()
                .method()
                .as_bytes(),
        ))
    })
}

/// The path of the request, as it was sent: not decoded, without the query.
///
/// Thread: any, one at a time.
/// Errors: none; absent for a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_exchange_path(exchange: *const hysock_exchange) -> hysock_str {
    boundary::get(hysock_str::ABSENT, || {
        Ok(hysock_str::new(
            handle::get("exchange", exchange)?.head().path(),
        ))
    })
}

/// A header of the request; `name` in any case. Of several with that name the first:
/// hysock_exchange_header_at() shows all.
///
/// Thread: any, one at a time.
/// Errors: none; absent when there is none, for a `name` of NULL and a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_header(
    exchange: *const hysock_exchange,
    name: *const c_char,
) -> hysock_str {
    boundary::get(hysock_str::ABSENT, || {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or a NUL-terminated text.
        Ok(find(exchange.head().headers(), unsafe { opt_text(name) }))
    })
}

/// The request's body, all of it; a NUL that does not count follows it. Absent when the request has
/// none, empty when it has one of no bytes.
///
/// Thread: any, one at a time.
/// Errors: none; absent for a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_exchange_body(exchange: *const hysock_exchange) -> hysock_str {
    boundary::get(hysock_str::ABSENT, || {
        Ok(hysock_str::maybe(handle::get("exchange", exchange)?.body()))
    })
}

/// Set a header of the answer, in the place of any with that name.
///
/// `value_len` may be HYSOCK_NTS. Names and values that would break the message (CR, LF, NUL) are
/// refused, as are Content-Length and Transfer-Encoding, which follow from the body. A refusal is
/// remembered: the next hysock_exchange_answer() fails with it, once.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when it was answered; HYSOCK_E_CLOSED, HYSOCK_E_SHUT_DOWN when nobody
/// waits for the answer any more; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_set_header(
    exchange: *mut hysock_exchange,
    name: *const c_char,
    value: *const c_char,
    value_len: usize,
) -> hysock_status {
    boundary::status_only(|| {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or NUL-terminated texts, `value` with HYSOCK_NTS or `value_len`
        // bytes.
        let (name, value) = unsafe { (text("name", name), text_len("value", value, value_len)) };
        exchange.set_header(remember(&exchange, name)?, remember(&exchange, value)?)
    })
}

/// Answer with this status, the headers that were set, and this body.
///
/// `http_status` is 200 to 599; 204 and 304 have no body. `content_type` NULL sets none. `body_len`
/// is a number of bytes, HYSOCK_NTS is refused; `body` may be NULL when it is 0. All of it is
/// copied. One answer only; one that was refused has sent nothing and may be repeated. The answer
/// to a HEAD is given like that to a GET: its body is not sent.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when it was answered; HYSOCK_E_CLOSED when the client has left;
/// HYSOCK_E_SHUT_DOWN when the server has ended; HYSOCK_E_INVALID_ARGUMENT, also for a header that
/// was refused; HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_answer(
    exchange: *mut hysock_exchange,
    http_status: i32,
    content_type: *const c_char,
    body: *const c_void,
    body_len: usize,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or a NUL-terminated text, and `body_len` bytes.
        let (content_type, body) =
            unsafe { (opt_text(content_type), data("body", body, body_len)?) };
        exchange.answer(http_status, content_type, body)
    })
}

/// Keep the exchange beyond the handler's return: from now on it is yours, to be answered on any
/// thread, until hysock_exchange_free(). Only inside the handler, once.
///
/// It outlives its server; an answer then gives HYSOCK_E_SHUT_DOWN. An exchange that was answered
/// already may be kept too, to go on reading the request.
/// One whose client has left counts among the requests at work until it is freed
/// (hysock_server_config_set_max_requests()): hysock_exchange_on_gone() says when.
///
/// Thread: the handler's.
/// Owns: free it with hysock_exchange_free().
/// Errors: HYSOCK_E_STATE for a second time; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_defer(
    exchange: *mut hysock_exchange,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || handle::get("exchange", exchange)?.defer())
}

/// Free an exchange that was deferred. Its texts end here. Unanswered, the client gets a 500.
///
/// Not needed for one that was not deferred; inside its handler it ends it early.
///
/// Thread: any, also inside callbacks.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_exchange_free(exchange: *mut hysock_exchange) {
    boundary::nothing(|| {
        // With its handle still open, for those who are to see the 500.
        if let Ok(exchange) = handle::get("exchange", exchange) {
            exchange.give_up(true);
        }
        handle::free(exchange, |exchange| {
            exchange.check()?;
            exchange.release();
            Ok(())
        });
    });
}

/// What was asked for, as it was sent: path and query. Of a request that names a whole URL, as proxies
/// are sent them, this is the part from the path on.
///
/// Thread: any, one at a time.
/// Errors: none; absent for a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_exchange_target(exchange: *const hysock_exchange) -> hysock_str {
    boundary::get(hysock_str::ABSENT, || {
        Ok(hysock_str::new(
            handle::get("exchange", exchange)?.head().target(),
        ))
    })
}

/// What follows the first `?` of the target, as it was sent; absent when there is none.
///
/// Thread: any, one at a time.
/// Errors: none; absent for a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_exchange_query(exchange: *const hysock_exchange) -> hysock_str {
    boundary::get(hysock_str::ABSENT, || {
        Ok(hysock_str::maybe(
            handle::get("exchange", exchange)?.head().query(),
        ))
    })
}

/// The HTTP version of the request: 10 or 11.
///
/// Thread: any, one at a time.
/// Errors: none; 0 for a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_exchange_version(exchange: *const hysock_exchange) -> i32 {
    boundary::get(0, || {
        Ok(handle::get("exchange", exchange)?.head().version())
    })
}

/// How many headers the request has, each of several with the same name counted.
///
/// Thread: any, one at a time.
/// Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_exchange_header_count(exchange: *const hysock_exchange) -> i32 {
    boundary::count(|| Ok(handle::get("exchange", exchange)?.head().headers().len()))
}

/// Name and value of header number `index`, from 0. Names are in lower case; several with the same
/// name stand together, in the order in which they were sent.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, also for an index beyond the last; HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_header_at(
    exchange: *const hysock_exchange,
    index: usize,
    name: *mut hysock_str,
    value: *mut hysock_str,
) -> hysock_status {
    boundary::status_only(|| {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or variables for the results.
        let (name, value) = unsafe { (Out::new("name", name)?, Out::new("value", value)?) };
        let (found, text) = headers::at(exchange.head().headers(), index)?;
        name.set(hysock_str::new(found.as_str().as_bytes()));
        value.set(hysock_str::new(text.as_bytes()));
        Ok(())
    })
}

/// Add a header to the answer, after any with that name.
///
/// What hysock_exchange_set_header() says holds here as well.
///
/// Thread: any, one at a time.
/// Errors: as hysock_exchange_set_header().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_add_header(
    exchange: *mut hysock_exchange,
    name: *const c_char,
    value: *const c_char,
    value_len: usize,
) -> hysock_status {
    boundary::status_only(|| {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or NUL-terminated texts, `value` with HYSOCK_NTS or `value_len`
        // bytes.
        let (name, value) = unsafe { (text("name", name), text_len("value", value, value_len)) };
        exchange.add_header(remember(&exchange, name)?, remember(&exchange, value)?)
    })
}

/// Run `fn` once when the client has left before its answer was given as a whole, or finished: nobody
/// reads it any more. For an exchange that was deferred; the exchange stays yours. After that, and
/// after the free, `fn` does not run.
///
/// Never while another callback of this exchange runs, and in the server's delivery. Whoever frees the
/// exchange, `fn` or the thread that was to answer, is free to choose: a second free is passed over.
///
/// Thread: any, one at a time.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_STATE when there is one already; HYSOCK_E_INVALID_ARGUMENT,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_on_gone(
    exchange: *mut hysock_exchange,
    r#fn: hysock_gone_fn,
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
        let gone = move |exchange: &Arc<Exchange>| {
            let pointer = pointer.get();
            let event = || hysock_event::of(HYSOCK_EVENT_GONE, pointer);
            closure.run(event, |function, userdata| {
                handle::lend(exchange, pointer, || {
                    // SAFETY: the function and its userdata were registered together.
                    unsafe { function(pointer, userdata) }
                });
            });
        };
        handle::get("exchange", exchange)?.on_gone(Box::new(gone))
    })
}

/// A callback of an exchange.
pub(super) fn for_exchange<F>(
    exchange: *const hysock_exchange,
    function: Option<F>,
    userdata: Userdata,
) -> Result<Closure<F>> {
    if function.is_some() {
        return Closure::new("fn", function, userdata);
    }
    let found = handle::get("exchange", exchange);
    let queue = found
        .as_ref()
        .ok()
        .and_then(|e| closure::queue_of(e.executor()));
    Closure::or_taken("fn", function, userdata, queue)
}

/// A refused argument of a setter: the answer must not go out without what it was to set.
pub(super) fn remember<T>(exchange: &Exchange, argument: Result<T>) -> Result<T> {
    argument.inspect_err(|error| exchange.refuse(error.clone()))
}

/// A header's first value.
pub(super) fn find(headers: &HeaderMap, name: Option<&[u8]>) -> hysock_str {
    let name = name.and_then(|name| std::str::from_utf8(name).ok());
    let value = name.and_then(|name| headers.get(name));
    hysock_str::maybe(value.map(|value| value.as_bytes()))
}
