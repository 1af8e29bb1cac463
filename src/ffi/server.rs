//! A server: routes, and the sockets that they are served on.
//!
//! Needed: hysock_server_serve(), which is hysock_server_new(), hysock_server_add_listener(),
//! hysock_server_add_route() and hysock_server_start() in one; then hysock_server_shutdown() (or
//! hysock_server_shutdown_signal() in a signal handler), hysock_server_wait(),
//! hysock_server_free(). The four single steps are for several routes or sockets;
//! hysock_server_on_closed() and configs are options.
//!
//! Handlers run in parallel on the callback threads unless the config says otherwise. An exchange
//! is lent to its handler: see there. One path decides: a route's that is equal to the request's,
//! else the closest pattern. There a route with the request's method wins over one for every method;
//! with other methods only the answer is a 405 that lists them, and to OPTIONS a 204 that does. A
//! request that fits nowhere gets a 404, `OPTIONS *` a 204. All these without a handler; a route
//! without a path takes what fits nowhere.

use super::boundary::{self, Out};
use super::closure::{self, Closure, Userdata};
use super::config;
use super::error::{ErrorOut, hysock_error};
use super::exchange::hysock_exchange;
use super::handle;
use super::lent;
use super::listener_config::hysock_listener_config;
use super::queue_take::{HYSOCK_EVENT_CLOSED, hysock_event};
use super::runtime::hysock_runtime;
use super::server_config::hysock_server_config;
use super::status::hysock_status;
use super::text::{hysock_drop_fn, opt_string, text_len};
use crate::error::Result;
use crate::http::server::{Closed, Config, Server};
use crate::limits;
use crate::runtime::{Delivery, Waited};
use crate::socket::address::Address;
use crate::socket::listener::ListenerOptions;
use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

/// Routes, and the sockets that they are served on.
pub struct hysock_server {
    _opaque: [u8; 0],
}

/// Handles one request. The exchange is lent: see hysock_exchange_defer().
pub type hysock_exchange_fn =
    Option<unsafe extern "C-unwind" fn(exchange: *mut hysock_exchange, userdata: *mut c_void)>;

/// Runs once when the server has ended, after its last handler: `reason` is HYSOCK_OK when all
/// answers were sent, HYSOCK_E_TIMED_OUT when the drain's deadline cut `aborted` of them short.
pub type hysock_server_closed_fn = Option<
    unsafe extern "C-unwind" fn(
        server: *mut hysock_server,
        reason: hysock_status,
        aborted: u64,
        userdata: *mut c_void,
    ),
>;

/// Listen at `address` and hand every request to `fn`: new, add_listener, add_route and start in
/// one.
///
/// `address` is a path, or `@name` for an abstract socket, or a URL such as `unix:///run/x.sock`;
/// `address_len` may be HYSOCK_NTS. A relative path becomes absolute here. `config` may be NULL for
/// the defaults and may be freed as soon as this returns. The file is made with mode 0600; for
/// another one use the single steps with a hysock_listener_config. `*server` is set before the
/// first request arrives.
///
/// Thread: any.
/// Owns: free `*server` with hysock_server_free(); `userdata` is ours until `drop` is called with
/// it, which also happens when this fails.
/// Errors: HYSOCK_E_IN_USE, HYSOCK_E_FORBIDDEN, HYSOCK_E_ABSENT for a directory that is not there,
/// HYSOCK_E_WRONG_TYPE; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN,
/// HYSOCK_E_FORKED, HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_serve(
    runtime: *mut hysock_runtime,
    address: *const c_char,
    address_len: usize,
    config: *const hysock_server_config,
    r#fn: hysock_exchange_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    server: *mut *mut hysock_server,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a variable for the result.
        let out = unsafe { Out::for_handle("server", server) }?;
        let config: Config = config::read(config)?;
        let queue = match &config.delivery {
            Delivery::Queue(queue) => Some(&**queue),
            _ => None,
        };
        let closure = Closure::or_taken("fn", r#fn, userdata, queue)?;
        let runtime = handle::get("runtime", runtime)?;
        // SAFETY: C gives NULL, `address_len` bytes, or a NUL-terminated text with HYSOCK_NTS.
        let address = Address::parse(unsafe { text_len("address", address, address_len) }?)?;
        let server = Server::new(&runtime, &config)?;
        let pointer = handle::give_or::<hysock_server>(server.clone(), |server| server.release())?;
        out.set(pointer);
        let served = serve(&server, &address, || lent::handler(closure));
        if served.is_err() {
            out.set(std::ptr::null_mut());
            end(pointer);
            // The handler's drop has run when a registration fails. At once in all cases but one:
            // the runtime was shut down between two of these steps, and a callback thread drops it
            // now.
            let _ = server.wait(Some(Duration::from_secs(1)));
        }
        served
    })
}

fn serve(
    server: &Arc<Server>,
    address: &Address,
    handler: impl FnOnce() -> crate::http::server::Handler,
) -> Result<()> {
    // The listener first: nearly all that fails fails there, and then there is no handler to take
    // back.
    server.add_listener(address, &ListenerOptions::default())?;
    server.add_route(None, None, handler())?;
    server.start()
}

/// Begin the end: no new connections, idle ones are closed, answers in flight may finish for
/// `drain_ms` milliseconds (0: none, HYSOCK_FOREVER: all), then connections are closed. The socket
/// file is removed at once.
///
/// No request is lost: who has connected is served, one that has just connected has a second for its
/// first request, and a client that keeps its connection either gets an answer to its next request or
/// cannot send a byte of it (EPIPE): then nothing has happened and it may go elsewhere.
///
/// Returns at once; hysock_server_wait() is the barrier. Another call can shorten a drain, not lengthen
/// it. A handler that ends its own server best shuts down first and answers then: its client reads
/// `Connection: close`.
///
/// Thread: any, also inside callbacks.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_shutdown(
    server: *mut hysock_server,
    drain_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        handle::get("server", server)?.shutdown(limits::duration(drain_ms))
    })
}

/// Begin the end like hysock_server_shutdown(), from a signal handler; answers in flight get the
/// config's drain time, 10 seconds by default.
///
/// Thread: any; async-signal-safe.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_shutdown_signal(server: *mut hysock_server) -> hysock_status {
    boundary::in_signal(|| {
        handle::in_signal(server, |server| {
            server.check()?;
            server.shutdown_signal();
            Ok(())
        })
    })
}

/// Wait until the server has ended: no callback of it runs or will run, its drops have run.
///
/// It begins nothing: a program may wait here for its life, until a signal handler begins the end.
/// In queue delivery the queue is dispatched on the calling thread meanwhile. `timeout_ms` 0 only
/// asks; HYSOCK_FOREVER waits for as long as it takes.
///
/// Thread: any but the library's own.
/// Errors: HYSOCK_E_TIMED_OUT; HYSOCK_E_WOULD_DEADLOCK inside a callback;
/// HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_wait(
    server: *mut hysock_server,
    timeout_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        handle::get("server", server)?.wait(limits::duration(timeout_ms))
    })
}

/// Free a server. One that still runs is ended at once: connections are closed, callbacks that have
/// not begun are withdrawn, exchanges that were deferred stay yours. Never waits; the drops run a
/// little later.
///
/// In a forked child the parent's socket file and connections are left alone.
///
/// Thread: any, also inside callbacks.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_free(server: *mut hysock_server) {
    boundary::nothing(|| end(server));
}

fn end(server: *mut hysock_server) {
    handle::free(server, |server| {
        server.check()?;
        server.release();
        Ok(())
    });
}

/// Make a server without routes and sockets: it does nothing until it has both and is started.
///
/// `config` may be NULL for the defaults and may be freed as soon as this returns.
///
/// Thread: any.
/// Owns: free `*server` with hysock_server_free().
/// Errors: HYSOCK_E_INVALID_ARGUMENT, also for what a setter of `config` had refused;
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_new(
    runtime: *mut hysock_runtime,
    config: *const hysock_server_config,
    server: *mut *mut hysock_server,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a variable for the result.
        let server = unsafe { Out::for_handle("server", server) }?;
        let made = Server::new(&*handle::get("runtime", runtime)?, &config::read(config)?)?;
        server.set(handle::give_or::<hysock_server>(made, |made| {
            made.release()
        })?);
        Ok(())
    })
}

/// Hand requests with this method and path to `fn`; before the start only.
///
/// Methods are case-sensitive, as in HTTP. `method` NULL is every method; "GET" includes HEAD, whose
/// answer is sent without its body. `pattern` is compared byte by byte with the request's path,
/// undecoded and without the query; NULL is every path that no other route has, and goes with a
/// `method` of NULL only.
///
/// Parameters: in `/items/{id}` the braces stand for any text up to the next slash, also beside
/// other text (`/img-{n}.png`), one between two slashes; at the end `{*rest}` stands for all that
/// follows, slashes included. Neither is ever empty. Names are of letters, digits, `_` and `-`; `{{`
/// and `}}` are braces. hysock_exchange_param() gives the values. Of several patterns that fit, text
/// wins over `{id}`, and `{id}` over `{*rest}`. Two that nothing tells apart are refused: one place
/// has one parameter name in all patterns, and `{id}` never stands beside `{*rest}`.
///
/// Thread: any.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, also for a second route with the same method and pattern and
/// for patterns that collide; HYSOCK_E_STATE after the start; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_add_route(
    server: *mut hysock_server,
    method: *const c_char,
    pattern: *const c_char,
    r#fn: hysock_exchange_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        let closure = for_server(server, r#fn, userdata)?;
        let server = handle::get("server", server)?;
        // SAFETY: C gives NULL or NUL-terminated texts.
        let (method, pattern) = unsafe {
            (
                opt_string("method", method)?,
                opt_string("pattern", pattern)?,
            )
        };
        server.add_route(method, pattern, lent::handler(closure))
    })
}

/// Make a socket at `address` and listen on it; before the start only. Clients may connect from now
/// on; they are served from the start on.
///
/// `address` is as for hysock_server_serve(). `config` may be NULL for the defaults and may be
/// freed as soon as this returns.
///
/// Thread: any.
/// Errors: HYSOCK_E_IN_USE, HYSOCK_E_FORBIDDEN, HYSOCK_E_ABSENT for a directory that is not there,
/// HYSOCK_E_WRONG_TYPE; HYSOCK_E_STATE after the start; HYSOCK_E_INVALID_ARGUMENT,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_add_listener(
    server: *mut hysock_server,
    address: *const c_char,
    address_len: usize,
    config: *const hysock_listener_config,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let server = handle::get("server", server)?;
        // SAFETY: C gives NULL, `address_len` bytes, or a NUL-terminated text with HYSOCK_NTS.
        let address = Address::parse(unsafe { text_len("address", address, address_len) }?)?;
        server.add_listener(&address, &config::read(config)?)
    })
}

/// Accept connections from now on, on every socket that was added.
///
/// Thread: any.
/// Errors: HYSOCK_E_STATE when it was started before, or has no socket or no route;
/// HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_start(
    server: *mut hysock_server,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || handle::get("server", server)?.start())
}

/// Keep to another config from now on: for a daemon that reads its settings again. It covers the limits
/// and allow rules of this config. Those of a listener are changed by hysock_server_reload_listener(), the
/// log's level by hysock_runtime_set_log_level(); routes and their rules stay as they were at the start.
///
/// Nobody is cut off because a limit is lower now. Timeouts hold for what is under way too, the largest
/// head for connections that begin, or begin again after an idle second. What says where callbacks run
/// (hysock_server_config_set_delivery() and hysock_server_config_set_queue()) is ignored: it was
/// settled by hysock_server_new(). Every setting counts, those that were not set are the defaults
/// again: begin with the same setters as before. `config` NULL is all defaults.
///
/// Thread: any, also inside callbacks; of two calls the last one holds.
/// Errors: HYSOCK_E_INVALID_ARGUMENT for what a setter of `config` had refused: then nothing has
/// changed; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_reload(
    server: *mut hysock_server,
    config: *const hysock_server_config,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        handle::get("server", server)?.reload(&config::read(config)?)
    })
}

/// Run `fn` once when the server has ended. A server that was freed before that does not run it.
///
/// Thread: any.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_STATE when there is one already; HYSOCK_E_INVALID_ARGUMENT,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_on_closed(
    server: *mut hysock_server,
    r#fn: hysock_server_closed_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        let closure = for_server(server, r#fn, userdata)?;
        let pointer = handle::Sent(server);
        let closed = move |closed: Closed| {
            let reason = closed.reason as hysock_status;
            let server = pointer.get();
            let event = || hysock_event {
                status: reason,
                aborted: closed.aborted,
                ..hysock_event::of(HYSOCK_EVENT_CLOSED, server)
            };
            closure.run(event, |function, userdata| {
                // SAFETY: the function and its userdata were registered together.
                unsafe { function(server, reason, closed.aborted, userdata) }
            });
        };
        handle::get("server", server)?.on_closed(Box::new(closed))
    })
}

/// A callback of a server.
pub(super) fn for_server<F>(
    server: *const hysock_server,
    function: Option<F>,
    userdata: Userdata,
) -> Result<Closure<F>> {
    if function.is_some() {
        return Closure::new("fn", function, userdata);
    }
    let found = handle::get("server", server);
    let queue = found
        .as_ref()
        .ok()
        .and_then(|server| closure::queue_of(server.executor()?));
    Closure::or_taken("fn", function, userdata, queue)
}
