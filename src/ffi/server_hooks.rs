//! One function before every handler and one for every answer: what all routes have in common.
//!
//! Both are options. They see what handlers see: a request that the library answers by itself (a 404
//! without a handler, a 405, a limit, a refused peer) comes to neither. A route without a path brings
//! them what fits nowhere.

use super::boundary;
use super::closure::{Closure, Userdata};
use super::error::{ErrorOut, hysock_error};
use super::exchange::hysock_exchange;
use super::handle;
use super::lent;
use super::server::{hysock_exchange_fn, hysock_server};
use super::status::hysock_status;
use super::text::hysock_drop_fn;
use std::ffi::c_void;

/// Sees an answer before it is sent, with its `http_status`; it may set, add and remove headers.
pub type hysock_answer_fn = Option<
    unsafe extern "C-unwind" fn(
        exchange: *mut hysock_exchange,
        http_status: i32,
        userdata: *mut c_void,
    ),
>;

/// Run `fn` before every handler, on the same thread and in the same turn: own authorisation, a request
/// id, common headers. Before the start only, one per server.
///
/// When `fn` answers, defers or frees the exchange, the handler does not run; otherwise the handler gets
/// the same exchange, with the headers and the userdata that were set.
///
/// Thread: any.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_STATE when there is one already, and after the start;
/// HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_on_request(
    server: *mut hysock_server,
    r#fn: hysock_exchange_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        let closure = Closure::new("fn", r#fn, userdata)?;
        handle::get("server", server)?.on_request(lent::before_handlers(closure))
    })
}

/// Run `fn` for every answer before it is sent, the 500 of a handler that gave none included: common
/// headers, cookies. Not for what the library answers by itself: 404, 405, 413, the 503 of a limit or of
/// the handler timeout. Before the start only, one per server.
///
/// It runs inside hysock_exchange_answer() and what else begins or gives an answer, on the thread that
/// calls it; several at once when answers are given in parallel. Its headers go over those of the
/// answer, Content-Type included. One that is refused makes the answer fail, as if the handler had set
/// it; a 500 is sent without it. Nothing but headers can be changed: the exchange is being answered.
///
/// Thread: any.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_STATE when there is one already, and after the start;
/// HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_on_answer(
    server: *mut hysock_server,
    r#fn: hysock_answer_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        let closure = Closure::new("fn", r#fn, userdata)?;
        handle::get("server", server)?.on_answer(lent::on_answer(closure))
    })
}
