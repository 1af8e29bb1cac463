//! What a call's request says beside its body, and how long it may take.

use super::boundary;
use super::call::{hysock_call, remember};
use super::exchange::hysock_exchange;
use super::handle;
use super::status::hysock_status;
use super::text::{text, text_len};
use crate::limits;
use std::ffi::c_char;

/// Set a header of the request, in the place of any with that name.
///
/// `value_len` may be HYSOCK_NTS. Names and values that would break the message (CR, LF, NUL) are
/// refused, as are Content-Length and Transfer-Encoding, which follow from the body.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_set_header(
    call: *mut hysock_call,
    name: *const c_char,
    value: *const c_char,
    value_len: usize,
) -> hysock_status {
    boundary::status_only(|| {
        let call = handle::get("call", call)?;
        // SAFETY: C gives NULL or NUL-terminated texts, `value` with HYSOCK_NTS or `value_len`
        // bytes.
        let (name, value) = unsafe { (text("name", name), text_len("value", value, value_len)) };
        call.set_header(remember(&call, name)?, remember(&call, value)?)
    })
}

/// Add a header to the request, after any with that name.
///
/// What hysock_call_set_header() says holds here as well.
///
/// Thread: any, one at a time.
/// Errors: as hysock_call_set_header().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_add_header(
    call: *mut hysock_call,
    name: *const c_char,
    value: *const c_char,
    value_len: usize,
) -> hysock_status {
    boundary::status_only(|| {
        let call = handle::get("call", call)?;
        // SAFETY: C gives NULL or NUL-terminated texts, `value` with HYSOCK_NTS or `value_len`
        // bytes.
        let (name, value) = unsafe { (text("name", name), text_len("value", value, value_len)) };
        call.add_header(remember(&call, name)?, remember(&call, value)?)
    })
}

/// Set how long the call may take in all, from perform or start on, in milliseconds: 1 or more or
/// HYSOCK_FOREVER; by default the client's.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_call_set_timeout(
    call: *mut hysock_call,
    timeout_ms: u32,
) -> hysock_status {
    boundary::status_only(|| {
        let call = handle::get("call", call)?;
        call.set_timeout(remember(&call, limits::CALL_TIMEOUT.time(timeout_ms))?)
    })
}

/// Set how long the answer may take to begin: from the last byte of the request that was sent to the
/// first one of the answer. In milliseconds: 1 or more or HYSOCK_FOREVER; by default the client's.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_call_set_first_byte_timeout(
    call: *mut hysock_call,
    timeout_ms: u32,
) -> hysock_status {
    boundary::status_only(|| {
        let call = handle::get("call", call)?;
        let timeout = limits::CALL_FIRST_BYTE_TIMEOUT.time(timeout_ms);
        call.set_first_byte_timeout(remember(&call, timeout)?)
    })
}

/// Set how long the call waits for a server that neither takes nor sends a byte. In milliseconds: 1 or
/// more or HYSOCK_FOREVER; by default the client's. A stream that goes on for ever needs this one, and
/// no limit on everything.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_call_set_idle_timeout(
    call: *mut hysock_call,
    timeout_ms: u32,
) -> hysock_status {
    boundary::status_only(|| {
        let call = handle::get("call", call)?;
        let timeout = limits::CALL_IDLE_TIMEOUT.time(timeout_ms);
        call.set_idle_timeout(remember(&call, timeout)?)
    })
}

/// Hang the call on an exchange: it is made in order to answer that one.
///
/// It is cancelled when the exchange ends, also because its client has left, and its `fn` never
/// runs while a callback of the exchange does: the two need no locks between them. Defer the
/// exchange first; its server and the call's client must be of one runtime.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when the call has begun, has a parent, or the exchange was answered;
/// HYSOCK_E_CLOSED, HYSOCK_E_SHUT_DOWN when the exchange has ended; HYSOCK_E_INVALID_ARGUMENT,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_call_set_parent(
    call: *mut hysock_call,
    exchange: *mut hysock_exchange,
) -> hysock_status {
    boundary::status_only(|| {
        let call = handle::get("call", call)?;
        let exchange = remember(&call, handle::get("exchange", exchange))?;
        call.set_parent(exchange.clone())
    })
}
