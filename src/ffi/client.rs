//! A client: one address to talk to, with its connections. Calls are made from it; see there.
//!
//! Needed: hysock_client_new(), hysock_client_free(). Connections are made when a call needs one
//! and kept for later ones. A client may be used by any number of threads at once. Without a
//! runtime its calls can be performed but not started; such a client survives fork(2): the child
//! makes its own connections.
//!
//! Redirects are followed only when hysock_client_config_set_max_redirects() says so, and only on
//! the same socket. There are no cookies and no proxies.

use super::boundary::{self, Out};
use super::call::hysock_call;
use super::client_config::hysock_client_config;
use super::config;
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::runtime::hysock_runtime;
use super::status::hysock_status;
use super::text::text_len;
use crate::error::Result;
use crate::http::client::{self, Client};
use crate::limits;
use crate::runtime::Runtime;
use crate::socket::address::Address;
use std::ffi::c_char;
use std::ops::Deref;
use std::sync::Arc;

/// One address to talk to, with its connections.
pub struct hysock_client {
    _opaque: [u8; 0],
}

/// Make a client for the socket at `address`. Nothing is connected yet: the socket may be absent.
///
/// `runtime` may be NULL: then calls can be performed, not started. `address` is a path, or `@name`
/// for an abstract socket, or any other form of an address; `address_len` may be HYSOCK_NTS. A
/// target in it is refused, unless it is "/": hysock_address_parse() splits it off. A relative path
/// becomes absolute here. `config` may be NULL for the defaults and may be freed as
/// soon as this returns.
///
/// Thread: any.
/// Owns: free `*client` with hysock_client_free().
/// Errors: HYSOCK_E_INVALID_ARGUMENT, also for what a setter of `config` had refused;
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_client_new(
    runtime: *mut hysock_runtime,
    address: *const c_char,
    address_len: usize,
    config: *const hysock_client_config,
    client: *mut *mut hysock_client,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a variable for the result.
        let client = unsafe { Out::for_handle("client", client) }?;
        let runtime = on(runtime)?;
        // SAFETY: C gives NULL, `address_len` bytes, or a NUL-terminated text with HYSOCK_NTS.
        let address = Address::parse(unsafe { text_len("address", address, address_len) }?)?;
        let made = Client::new(runtime.as_deref(), &address, &config::read(config)?)?;
        client.set(handle::give_or::<hysock_client>(made, |made| {
            made.release()
        })?);
        Ok(())
    })
}

/// Make a client for one connection that is there already: an end of a socketpair(2), or a descriptor
/// that somebody has passed.
///
/// Calls go over it one after another, performed and started ones alike. It is never opened again:
/// after its end, which is also that of a call that was cancelled or timed out on it, calls fail
/// with HYSOCK_E_CLOSED. It must be a connected Unix stream socket; it becomes blocking and closed on
/// exec. `runtime` and `config` are as for hysock_client_new(); the allow rules of `config` are
/// looked at here.
///
/// Thread: any.
/// Owns: `fd` is consumed, also when this fails; free `*client` with hysock_client_free().
/// Errors: HYSOCK_E_WRONG_TYPE for what is no Unix stream socket; HYSOCK_E_FORBIDDEN when no rule names
/// who is at the other end; HYSOCK_E_INVALID_ARGUMENT, also for one that is not connected and for
/// what a setter of `config` had refused; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED,
/// HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_client_new_fd(
    runtime: *mut hysock_runtime,
    fd: i32,
    config: *const hysock_client_config,
    client: *mut *mut hysock_client,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives the descriptor away.
        let socket = unsafe { boundary::descriptor(fd) };
        // SAFETY: C gives NULL or a variable for the result.
        let client = unsafe { Out::for_handle("client", client) }?;
        let runtime = on(runtime)?;
        let config = config::read(config)?;
        let made = Client::with_connection(runtime.as_deref(), socket?, &config)?;
        client.set(handle::give_or::<hysock_client>(made, |made| {
            made.release()
        })?);
        Ok(())
    })
}

/// One GET of a URL that holds both socket and target, such as
/// "http+unix://%2Frun%2Fapp.sock/version": sends it and waits for the whole answer, on this
/// thread.
///
/// `url_len` may be HYSOCK_NTS. Any address will do; one without a target asks for "/". What holds
/// is what the defaults of a client config say, so it waits for as long as the server does.
/// HYSOCK_OK means that an answer is there, whatever its HTTP status: ask the call for it, see
/// hysock_call_http_status(). For several requests a client of your own is cheaper: it keeps its
/// connection.
///
/// Thread: any but I/O threads; so not in callbacks of inline delivery.
/// Owns: free `*call` with hysock_call_free().
/// Errors: HYSOCK_E_INVALID_ARGUMENT for what is no address or of another scheme; those of
/// hysock_call_perform().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_get(
    url: *const c_char,
    url_len: usize,
    call: *mut *mut hysock_call,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a variable for the result.
        let call = unsafe { Out::for_handle("call", call) }?;
        // SAFETY: C gives NULL, `url_len` bytes, or a NUL-terminated text with HYSOCK_NTS.
        let url = unsafe { text_len("url", url, url_len) }?;
        call.set(handle::give(client::get(url)?)?);
        Ok(())
    })
}

/// Free a client. Calls of it that were started are cancelled and their completions withdrawn;
/// calls stay yours. Never waits.
///
/// In a forked child the parent's connections are left alone.
///
/// Thread: any, also inside callbacks.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_free(client: *mut hysock_client) {
    boundary::nothing(|| {
        handle::free(client, |client| {
            client.check()?;
            client.release();
            Ok(())
        });
    });
}

/// Begin the end: no new calls, those that run have `drain_ms` milliseconds (0: none,
/// HYSOCK_FOREVER: all the time), then they are cancelled; each started one still completes.
///
/// Returns at once; hysock_client_wait() is the barrier.
///
/// Thread: any, also inside callbacks.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_client_shutdown(
    client: *mut hysock_client,
    drain_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        handle::get("client", client)?.shutdown(limits::duration(drain_ms))
    })
}

/// Wait until the client has ended: no completion of it runs or will run, its drops have run.
///
/// It begins nothing: call hysock_client_shutdown() first. In queue delivery the queue is
/// dispatched on the calling thread meanwhile. `timeout_ms` 0 only asks; HYSOCK_FOREVER waits for
/// as long as it takes.
///
/// Thread: any but the library's own.
/// Errors: HYSOCK_E_TIMED_OUT; HYSOCK_E_WOULD_DEADLOCK inside a callback;
/// HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_client_wait(
    client: *mut hysock_client,
    timeout_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        handle::get("client", client)?.wait(limits::duration(timeout_ms))
    })
}

/// The runtime that a client is on, if any.
fn on(runtime: *mut hysock_runtime) -> Result<Option<impl Deref<Target = Arc<Runtime>>>> {
    match runtime.is_null() {
        true => Ok(None),
        false => handle::get("runtime", runtime).map(Some),
    }
}
