//! The headers of a call's answer.

use super::boundary::{self, Out};
use super::call::hysock_call;
use super::exchange::find;
use super::handle;
use super::status::hysock_status;
use super::text::{hysock_str, opt_text};
use crate::error::Error;
use crate::http::headers;
use std::ffi::c_char;

/// The HTTP version of the answer: 10 or 11.
///
/// Thread: any, one at a time.
/// Errors: none; 0 as long as there is no answer, and for a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_call_version(call: *const hysock_call) -> i32 {
    boundary::get(0, || Ok(handle::get("call", call)?.version()))
}

/// A header of the answer; `name` in any case. Of several with that name the first:
/// hysock_call_header_at() shows all.
///
/// Thread: any, one at a time.
/// Errors: none; absent when there is none, as long as there is no answer, for a `name` of NULL and
/// a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_header(
    call: *const hysock_call,
    name: *const c_char,
) -> hysock_str {
    boundary::get(hysock_str::ABSENT, || {
        let call = handle::get("call", call)?;
        // SAFETY: C gives NULL or a NUL-terminated text.
        let name = unsafe { opt_text(name) };
        Ok(call
            .headers()
            .map_or(hysock_str::ABSENT, |headers| find(headers, name)))
    })
}

/// How many headers the answer has, each of several with the same name counted; 0 as long as there
/// is no answer.
///
/// Thread: any, one at a time.
/// Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_call_header_count(call: *const hysock_call) -> i32 {
    boundary::count(|| {
        let call = handle::get("call", call)?;
        Ok(call.headers().map_or(0, |headers| headers.len()))
    })
}

/// Name and value of the answer's header number `index`, from 0. Names are in lower case; several
/// with the same name stand together, in the order in which they were sent.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, also for an index beyond the last; HYSOCK_E_STATE as long as
/// there is no answer; HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_header_at(
    call: *const hysock_call,
    index: usize,
    name: *mut hysock_str,
    value: *mut hysock_str,
) -> hysock_status {
    boundary::status_only(|| {
        let call = handle::get("call", call)?;
        // SAFETY: C gives NULL or variables for the results.
        let (name, value) = unsafe { (Out::new("name", name)?, Out::new("value", value)?) };
        let headers = call
            .headers()
            .ok_or_else(|| Error::state("the call has no answer yet"))?;
        let (found, text) = headers::at(headers, index)?;
        name.set(hysock_str::new(found.as_str().as_bytes()));
        value.set(hysock_str::new(text.as_bytes()));
        Ok(())
    })
}
