//! What a program keeps with an exchange, and with its connection.
//!
//! All of these are options: one pointer each, with a `drop` that ends it. So a function that runs
//! before handlers can leave something for them, and handlers something for the next request of the
//! same client.

use super::boundary;
use super::closure::Userdata;
use super::error::{ErrorOut, hysock_error};
use super::exchange::hysock_exchange;
use super::handle;
use super::status::hysock_status;
use super::text::hysock_drop_fn;
use crate::http::server::Value;
use std::any::Any;
use std::ffi::c_void;
use std::ptr::null_mut;

/// Keep `userdata` with the exchange, in the place of what was kept before. NULL without a `drop`
/// keeps nothing.
///
/// It ends with the exchange: after its last callback, and when it was deferred after
/// hysock_exchange_free(); what was replaced ends a little later. `drop` runs in the server's delivery.
///
/// Thread: any, one at a time.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_STATE when it was freed at the same
/// time, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_set_userdata(
    exchange: *mut hysock_exchange,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let value = value(userdata, drop);
    boundary::with_error(err, || {
        handle::get("exchange", exchange)?.set_userdata(value)
    })
}

/// What was kept with the exchange; NULL for nothing.
///
/// Thread: any, one at a time.
/// Errors: none; NULL for a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_exchange_userdata(exchange: *const hysock_exchange) -> *mut c_void {
    boundary::get(null_mut(), || {
        let exchange = handle::get("exchange", exchange)?;
        Ok(exchange.userdata(pointer).unwrap_or(null_mut()))
    })
}

/// Keep `userdata` with the exchange's connection, in the place of what was kept before: the next
/// requests on it find it. Before the answer only. NULL without a `drop` keeps nothing.
///
/// It ends when the connection and all exchanges of it have ended, those that were deferred included.
/// What was replaced ends a little later. `drop` runs in the server's delivery. The exchanges of one
/// connection come one after the other, but one that was deferred and answered may still be in use
/// when the next one comes.
///
/// Thread: any, one at a time.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_STATE when it was answered; HYSOCK_E_CLOSED when the client has left;
/// HYSOCK_E_SHUT_DOWN when the server has ended; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_set_connection_userdata(
    exchange: *mut hysock_exchange,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let value = value(userdata, drop);
    boundary::with_error(err, || {
        handle::get("exchange", exchange)?.set_connection_userdata(value)
    })
}

/// What was kept with the exchange's connection; NULL for nothing.
///
/// Thread: any, one at a time.
/// Errors: none; NULL for a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_exchange_connection_userdata(
    exchange: *const hysock_exchange,
) -> *mut c_void {
    boundary::get(null_mut(), || {
        let exchange = handle::get("exchange", exchange)?;
        Ok(exchange.connection_userdata(pointer).unwrap_or(null_mut()))
    })
}

fn value(userdata: *mut c_void, drop: hysock_drop_fn) -> Option<Value> {
    let is_something = !userdata.is_null() || drop.is_some();
    is_something.then(|| Box::new(Userdata::new(userdata, drop)) as Value)
}

fn pointer(value: &dyn Any) -> *mut c_void {
    value.downcast_ref().map_or(null_mut(), Userdata::pointer)
}
