//! Headers in one go: all that came in, or all that are to go out, by one call. For wrappers in other
//! languages, which pay for each call; hysock_exchange_header() and its like are the short way in C.

use super::boundary;
use super::call::{self, hysock_call};
use super::exchange::{self, hysock_exchange};
use super::handle;
use super::status::hysock_status;
use super::text::hysock_str;
use crate::error::{Error, Result};
use http::HeaderMap;

/// One header: of several with the same name each is one.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct hysock_header {
    /// What comes out is in lower case.
    pub name: hysock_str,
    pub value: hysock_str,
}

/// All headers of the request: as many as there are up to `n` are written to `headers`, in the order in
/// which hysock_exchange_header_at() shows them. Returns how many there are.
///
/// Thread: any, one at a time.
/// Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_headers(
    exchange: *const hysock_exchange,
    headers: *mut hysock_header,
    n: usize,
) -> i32 {
    boundary::count(|| {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or an array of `n`.
        unsafe { copy_out(exchange.head().headers(), headers, n) }
    })
}

/// All trailers of the request, once its body was read to the end: as hysock_exchange_headers().
///
/// Thread: any, one at a time.
/// Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_trailers(
    exchange: *const hysock_exchange,
    trailers: *mut hysock_header,
    n: usize,
) -> i32 {
    boundary::count(|| {
        let exchange = handle::get("exchange", exchange)?;
        let found = exchange.trailers();
        // SAFETY: C gives NULL or an array of `n`.
        unsafe { copy_out(found.unwrap_or(&HeaderMap::new()), trailers, n) }
    })
}

/// Add `n` headers to the answer, as if by hysock_exchange_add_header() one after another, up to the
/// first that is refused.
///
/// Thread: any, one at a time.
/// Errors: as hysock_exchange_set_header().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_add_headers(
    exchange: *mut hysock_exchange,
    headers: *const hysock_header,
    n: usize,
) -> hysock_status {
    boundary::status_only(|| {
        let exchange = handle::get("exchange", exchange)?;
        // SAFETY: C gives NULL or an array of `n`, of texts that are there until we return.
        let headers = unsafe { pairs(headers, n) };
        for header in exchange::remember(&exchange, headers)? {
            let (name, value) = exchange::remember(&exchange, header)?;
            exchange.add_header(name, value)?;
        }
        Ok(())
    })
}

/// All headers of the answer: as hysock_exchange_headers(). None as long as there is no answer.
///
/// Thread: any, one at a time.
/// Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_headers(
    call: *const hysock_call,
    headers: *mut hysock_header,
    n: usize,
) -> i32 {
    boundary::count(|| {
        let call = handle::get("call", call)?;
        let found = call.headers();
        // SAFETY: C gives NULL or an array of `n`.
        unsafe { copy_out(found.unwrap_or(&HeaderMap::new()), headers, n) }
    })
}

/// All trailers of the answer, once its body was read to the end: as hysock_exchange_headers().
///
/// Thread: any, one at a time.
/// Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_trailers(
    call: *const hysock_call,
    trailers: *mut hysock_header,
    n: usize,
) -> i32 {
    boundary::count(|| {
        let call = handle::get("call", call)?;
        let found = call.trailers();
        // SAFETY: C gives NULL or an array of `n`.
        unsafe { copy_out(found.unwrap_or(&HeaderMap::new()), trailers, n) }
    })
}

/// Add `n` headers to the request, as if by hysock_call_add_header() one after another, up to the first
/// that is refused.
///
/// Thread: any, one at a time.
/// Errors: as hysock_call_set_header().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_add_headers(
    call: *mut hysock_call,
    headers: *const hysock_header,
    n: usize,
) -> hysock_status {
    boundary::status_only(|| {
        let call = handle::get("call", call)?;
        // SAFETY: C gives NULL or an array of `n`, of texts that are there until we return.
        let headers = unsafe { pairs(headers, n) };
        for header in call::remember(&call, headers)? {
            let (name, value) = call::remember(&call, header)?;
            call.add_header(name, value)?;
        }
        Ok(())
    })
}

/// # Safety
/// `place` is NULL or writable for `n` headers.
unsafe fn copy_out(headers: &HeaderMap, place: *mut hysock_header, n: usize) -> Result<usize> {
    if place.is_null() && n > 0 {
        return Err(Error::argument("headers is NULL"));
    }
    for (index, (name, value)) in headers.iter().take(n).enumerate() {
        let header = hysock_header {
            name: hysock_str::new(name.as_str().as_bytes()),
            value: hysock_str::new(value.as_bytes()),
        };
        // SAFETY: `index` is below `n`.
        unsafe { place.add(index).write(header) };
    }
    Ok(headers.len())
}

/// Names and values of an array.
///
/// # Safety
/// `headers` is NULL or an array of `n`, whose texts are NULL or readable for as long as their lengths say;
/// all for as long as the result is used.
unsafe fn pairs<'a>(
    headers: *const hysock_header,
    n: usize,
) -> Result<impl Iterator<Item = Result<(&'a [u8], &'a [u8])>>> {
    if headers.is_null() && n > 0 {
        return Err(Error::argument("headers is NULL"));
    }
    if n > isize::MAX as usize / size_of::<hysock_header>() {
        return Err(Error::argument(format!(
            "n is {n}: no array is as long, a negative number?"
        )));
    }
    let slice = match n {
        0 => &[],
        // SAFETY: not NULL, and the caller's promise.
        _ => unsafe { std::slice::from_raw_parts(headers, n) },
    };
    Ok(slice.iter().enumerate().map(|(index, header)| {
        // SAFETY: the caller's promise.
        let (name, value) = unsafe { (header.name.bytes(), header.value.bytes()) };
        let absent = |what| Error::argument(format!("the {what} of headers[{index}] is NULL"));
        Ok((
            name.ok_or_else(|| absent("name"))?,
            value.ok_or_else(|| absent("value"))?,
        ))
    }))
}
