//! What a route and a query know of a request, and more about headers.
//!
//! All of these are options. Parameters and query values are decoded and may hold any byte, NUL
//! included; method, path, target and query as a whole are as they were sent. A `%` that does not
//! begin an escape stays as it is. The texts are good as long as the exchange's others.

use super::boundary::{self, Out};
use super::exchange::{hysock_exchange, remember};
use super::handle;
use super::status::hysock_status;
use super::text::{hysock_str, opt_text, text};
use std::ffi::c_char;

/// What stands in the path where the route's pattern has this parameter, decoded: of `{id}` in
/// `/items/{id}` the name is `id`, of `{*rest}` in `/files/{*rest}` it is `rest`.
///
/// A `%2F` in the path is a slash here, and never divides the path.
///
/// Thread: any, one at a time.
/// Errors: none; absent when the pattern has none of that name, for a `name` of NULL and a handle
/// that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_param(
    exchange: *const hysock_exchange,
    name: *const c_char,
) -> hysock_str {
    boundary::get(hysock_str::ABSENT, || {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or a NUL-terminated text.
        let name = unsafe { opt_text(name) };
        let value = name.and_then(|name| exchange.head().param(name));
        Ok(hysock_str::maybe(value))
    })
}

/// The path of the route that took the request, as it was given to hysock_server_add_route(): what
/// to group requests by in logs and metrics. Absent for the route without a path.
///
/// Thread: any, one at a time.
/// Errors: none; absent for a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_exchange_pattern(exchange: *const hysock_exchange) -> hysock_str {
    boundary::get(hysock_str::ABSENT, || {
        let exchange = handle::get("exchange", exchange)?;
        let pattern = exchange.head().pattern();
        Ok(hysock_str::maybe(pattern.map(str::as_bytes)))
    })
}

/// The first value of a name in the query, decoded as HTML forms encode it: `+` is a space.
/// A name without `=` has an empty value.
///
/// Thread: any, one at a time.
/// Errors: none; absent when there is none, for a `name` of NULL and a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_query_value(
    exchange: *const hysock_exchange,
    name: *const c_char,
) -> hysock_str {
    boundary::get(hysock_str::ABSENT, || {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or a NUL-terminated text.
        let name = unsafe { opt_text(name) };
        let value = name.and_then(|name| exchange.head().query_value(name));
        Ok(hysock_str::maybe(value))
    })
}

/// How many names with values the query has, each of several with the same name counted.
///
/// Thread: any, one at a time.
/// Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_exchange_query_count(exchange: *const hysock_exchange) -> i32 {
    boundary::count(|| Ok(handle::get("exchange", exchange)?.head().query_count()))
}

/// Name and value number `index` of the query, from 0, in the order in which they were sent, decoded
/// as by hysock_exchange_query_value().
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, also for an index beyond the last; HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_query_at(
    exchange: *const hysock_exchange,
    index: usize,
    name: *mut hysock_str,
    value: *mut hysock_str,
) -> hysock_status {
    boundary::status_only(|| {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or variables for the results.
        let (name, value) = unsafe { (Out::new("name", name)?, Out::new("value", value)?) };
        let (found, text) = exchange.head().query_at(index)?;
        name.set(hysock_str::new(found));
        value.set(hysock_str::new(text));
        Ok(())
    })
}

/// Value number `index`, from 0, of the request's headers with this name, in the order in which they
/// were sent. Each header counts once: a value with commas in it is one.
///
/// Thread: any, one at a time.
/// Errors: none; absent beyond the last, for a `name` of NULL and a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_header_value_at(
    exchange: *const hysock_exchange,
    name: *const c_char,
    index: usize,
) -> hysock_str {
    boundary::get(hysock_str::ABSENT, || {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or a NUL-terminated text.
        let name = unsafe { opt_text(name) };
        let value = name.and_then(|name| exchange.head().header_value_at(name, index));
        Ok(hysock_str::maybe(value))
    })
}

/// Remove what was set or added to the answer under this name; nothing of that name is fine too.
///
/// A `name` that is refused is remembered like those of hysock_exchange_set_header().
///
/// Thread: any, one at a time.
/// Errors: as hysock_exchange_set_header().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_remove_header(
    exchange: *mut hysock_exchange,
    name: *const c_char,
) -> hysock_status {
    boundary::status_only(|| {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or a NUL-terminated text.
        let name = remember(&exchange, unsafe { text("name", name) })?;
        exchange.remove_header(name)
    })
}
