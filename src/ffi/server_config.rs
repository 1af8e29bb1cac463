//! What a server keeps to: where its handlers run, how much it takes, how long it waits. All of it
//! is options; NULL is the defaults, which suit a daemon's control socket.
//!
//! What goes beyond a limit gets an answer where HTTP has one (413, 414, 431, 503), then the
//! connection is closed where nothing can follow; other connections do not notice. Without a setter: a
//! target of 8 KiB (414). After an answer to a request that was not read to its end the connection
//! closes when the client has read it, after 64 MiB more of its data, or after 2 seconds.

use super::boundary;
use super::config;
use super::handle;
use super::peer;
use super::queue::{self, hysock_queue};
use super::status::hysock_status;
use crate::limits;

/// What a server keeps to.
pub struct hysock_server_config {
    _opaque: [u8; 0],
}

/// Make a config that holds the defaults.
///
/// Never NULL: when no memory for handles is left, the result is a handle that every use refuses
/// with HYSOCK_E_LIMIT.
///
/// Thread: any.
/// Owns: free the result with hysock_server_config_free().
/// Errors: none.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_new() -> *mut hysock_server_config {
    config::new()
}

/// Set where callbacks run: HYSOCK_DELIVERY_POOL, the default, or HYSOCK_DELIVERY_INLINE.
///
/// This and hysock_server_config_set_queue() replace each other: the last one counts.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_delivery(
    config: *mut hysock_server_config,
    delivery: i32,
) -> hysock_status {
    config::set(config, |config| {
        config.delivery = queue::delivery("hysock_server_config_set_delivery", delivery)?;
        Ok(())
    })
}

/// Run callbacks on whoever dispatches this queue, which must be of the server's runtime.
///
/// This and hysock_server_config_set_delivery() replace each other: the last one counts.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_queue(
    config: *mut hysock_server_config,
    queue: *mut hysock_queue,
) -> hysock_status {
    config::set(config, |config| {
        config.delivery = queue::through(queue)?;
        Ok(())
    })
}

/// Set the largest request body, in bytes: 1 or more or HYSOCK_UNLIMITED, 1 MiB by default. A
/// larger one gets a 413 and no handler.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_max_body(
    config: *mut hysock_server_config,
    bytes: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_body = limits::SERVER_MAX_BODY.count(bytes)?;
        Ok(())
    })
}

/// Set the largest request head (request line and headers), in bytes: 8 KiB to 1 MiB, 64 KiB by
/// default. A larger one gets a 431.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_max_head(
    config: *mut hysock_server_config,
    bytes: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_head = limits::SERVER_MAX_HEAD.count(bytes)? as usize;
        Ok(())
    })
}

/// Set how many connections there may be at once: 1 to 4294967295 or HYSOCK_UNLIMITED, 4096 by
/// default. Further ones wait in the backlog.
///
/// When the process runs out of descriptors first, further ones wait too, and get a 503 with
/// Retry-After if that lasts for more than a moment: the server keeps a descriptor for this.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_max_connections(
    config: *mut hysock_server_config,
    n: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_connections = limits::SERVER_MAX_CONNECTIONS.count(n)?;
        Ok(())
    })
}

/// Set how many requests may be without an answer at once: 1 to 4294967295 or HYSOCK_UNLIMITED,
/// 4096 by default. Further ones get a 503 with Retry-After.
///
/// A request whose client has left, or that got the 503 of the handler timeout, counts until its handler
/// has returned or, when that deferred it, until the exchange is freed: hanging up makes no room.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_max_requests(
    config: *mut hysock_server_config,
    n: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_requests = limits::SERVER_MAX_REQUESTS.count(n)?;
        Ok(())
    })
}

/// Set how many header lines a request may have: 1 to 100, 100 by default. One with more gets a 431
/// and no handler.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_max_headers(
    config: *mut hysock_server_config,
    n: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.max_headers = limits::SERVER_MAX_HEADERS.count(u64::from(n))? as usize;
        Ok(())
    })
}

/// Set how many requests may wait for callback threads or in a queue: 1 to 4294967295 or
/// HYSOCK_UNLIMITED, 1024 by default. Further ones get a 503 with Retry-After. What else waits in that
/// queue counts too. In inline delivery nothing waits.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_max_queue(
    config: *mut hysock_server_config,
    n: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_queue =
            usize::try_from(limits::SERVER_MAX_QUEUE.count(n)?).unwrap_or(usize::MAX);
        Ok(())
    })
}

/// Set how long a client may take to send a request head, in milliseconds: 1 or more or
/// HYSOCK_FOREVER, 10 seconds by default. Measured to a quarter of a second. A connection that has sent
/// nothing yet waits for its first head and is under this limit too.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_head_timeout(
    config: *mut hysock_server_config,
    timeout_ms: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.head_timeout = limits::SERVER_HEAD_TIMEOUT.time(timeout_ms)?;
        Ok(())
    })
}

/// Set how long a connection may lie idle between two requests, in milliseconds: 1 or more or
/// HYSOCK_FOREVER, 75 seconds by default. Measured to a quarter of a second.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_idle_timeout(
    config: *mut hysock_server_config,
    timeout_ms: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.idle_timeout = limits::SERVER_IDLE_TIMEOUT.time(timeout_ms)?;
        Ok(())
    })
}

/// Set in which time a client that owes us bytes must move hysock_server_config_set_progress_floor() of
/// them, in milliseconds: 1 or more or HYSOCK_FOREVER, 30 seconds by default. One that moves fewer is cut
/// off. Measured to half a second.
///
/// A client owes the rest of a body while we wait for it, and the reading of an answer that no longer
/// fits into the kernel's buffer; while a handler is the slow side nothing is owed. What a client has read
/// is seen in steps of up to 40 KiB: one that reads less than that in the timeout may count as having read
/// nothing.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_progress_timeout(
    config: *mut hysock_server_config,
    timeout_ms: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.progress_timeout = limits::SERVER_PROGRESS_TIMEOUT.time(timeout_ms)?;
        Ok(())
    })
}

/// Set how many bytes a client must move in hysock_server_config_set_progress_timeout(): 1 to
/// 4294967295, 256 by default.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_progress_floor(
    config: *mut hysock_server_config,
    bytes: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.progress_floor = limits::SERVER_PROGRESS_FLOOR.count(bytes)?;
        Ok(())
    })
}

/// Set how long a request that was read to its end may wait for its answer, in milliseconds: 1 or more or
/// HYSOCK_FOREVER, the default. Measured to a quarter of a second.
///
/// Then its client gets a 503, a later answer fails with HYSOCK_E_CLOSED, and what
/// hysock_exchange_on_gone() and hysock_call_set_parent() promise for a client that left happens. A
/// handler that runs goes on running, one that still waited for a thread does not run.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_handler_timeout(
    config: *mut hysock_server_config,
    timeout_ms: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.handler_timeout = limits::SERVER_HANDLER_TIMEOUT.time(timeout_ms)?;
        Ok(())
    })
}

/// Set after how long without a connection the server shuts itself down, in milliseconds: 1 or more
/// or HYSOCK_FOREVER, the default. For daemons that a service manager starts when a client comes.
///
/// Then hysock_server_wait() returns and hysock_server_on_closed() is told, as after
/// hysock_server_shutdown(). What waits in the backlog of a socket that was adopted with
/// HYSOCK_ADOPT_KEEP or hysock_server_add_activated() stays there for the next instance: nobody is
/// turned away. A socket that the server itself bound is closed and its file removed.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_exit_idle(
    config: *mut hysock_server_config,
    time_ms: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.exit_idle = limits::SERVER_EXIT_IDLE.time(time_ms)?;
        Ok(())
    })
}

/// Set how long answers in flight may take after hysock_server_shutdown_signal(), in milliseconds:
/// 1 or more or HYSOCK_FOREVER, 10 seconds by default. hysock_server_shutdown() takes its own time.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_drain(
    config: *mut hysock_server_config,
    drain_ms: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.drain = limits::SERVER_DRAIN.time(drain_ms)?;
        Ok(())
    })
}

/// Set whether Host must be a proper host name: off by default, since clients on Unix sockets send
/// empty and odd ones. Missing, doubled and dangerous values get a 400 either way.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_strict_host(
    config: *mut hysock_server_config,
    strict: bool,
) -> hysock_status {
    config::set(config, |config| {
        config.strict_host = strict;
        Ok(())
    })
}

/// Let in only those whom a rule names: this one, or another rule of the same config; on every
/// listener, beside the listener's own rules. `rule` is one of HYSOCK_ALLOW_*, `id` the uid or gid,
/// 0 where there is none.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_allow(
    config: *mut hysock_server_config,
    rule: i32,
    id: u32,
) -> hysock_status {
    config::set(config, |config| {
        let rule = peer::rule("hysock_server_config_allow", rule, id)?;
        config.allow.add(rule);
        Ok(())
    })
}

/// Set how many connections one user may have at once: 1 to 4294967295 or HYSOCK_UNLIMITED, 1024 by
/// default. Further ones get a 503 with Retry-After and are closed; other users do not notice.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_max_connections_per_uid(
    config: *mut hysock_server_config,
    n: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_connections_per_uid = limits::SERVER_MAX_CONNECTIONS_PER_UID.count(n)?;
        Ok(())
    })
}

/// Set how many requests of one user may be without an answer at once: 1 to 4294967295 or
/// HYSOCK_UNLIMITED, which is the default. Further ones get a 503 with Retry-After. They are counted as
/// for hysock_server_config_set_max_requests().
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_set_max_requests_per_uid(
    config: *mut hysock_server_config,
    n: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_requests_per_uid = limits::SERVER_MAX_REQUESTS_PER_UID.count(n)?;
        Ok(())
    })
}

/// Free a config. What was made with it keeps its values.
///
/// Thread: any.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_server_config_free(config: *mut hysock_server_config) {
    boundary::nothing(|| handle::free(config, |_| Ok(())));
}
