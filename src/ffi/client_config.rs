//! What a client keeps to: where completions run, how long it waits, how many connections it holds.
//! All of it is options; NULL is the defaults.

use super::boundary;
use super::config;
use super::handle;
use super::peer;
use super::queue::{self, hysock_queue};
use super::status::hysock_status;
use crate::limits;
use std::time::Duration;

/// What a client keeps to.
pub struct hysock_client_config {
    _opaque: [u8; 0],
}

/// Make a config that holds the defaults.
///
/// Never NULL: when no memory for handles is left, the result is a handle that every use refuses
/// with HYSOCK_E_LIMIT.
///
/// Thread: any.
/// Owns: free the result with hysock_client_config_free().
/// Errors: none.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_new() -> *mut hysock_client_config {
    config::new()
}

/// Set where callbacks run: HYSOCK_DELIVERY_POOL, the default, or HYSOCK_DELIVERY_INLINE.
///
/// This and hysock_client_config_set_queue() replace each other: the last one counts.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_set_delivery(
    config: *mut hysock_client_config,
    delivery: i32,
) -> hysock_status {
    config::set(config, |config| {
        config.delivery = queue::delivery("hysock_client_config_set_delivery", delivery)?;
        Ok(())
    })
}

/// Run callbacks on whoever dispatches this queue, which must be of the client's runtime.
///
/// This and hysock_client_config_set_delivery() replace each other: the last one counts.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_set_queue(
    config: *mut hysock_client_config,
    queue: *mut hysock_queue,
) -> hysock_status {
    config::set(config, |config| {
        config.delivery = queue::through(queue)?;
        Ok(())
    })
}

/// Set the largest body of an answer, in bytes: 1 or more or HYSOCK_UNLIMITED, 16 MiB by default. A
/// larger one ends the call with HYSOCK_E_TOO_LARGE.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_set_max_body(
    config: *mut hysock_client_config,
    bytes: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_body = limits::CLIENT_MAX_BODY.count(bytes)?;
        Ok(())
    })
}

/// Set the longest head of an answer, in bytes: 8192 to 1048576, 64 KiB by default. A longer one, like
/// one with more than 100 headers, ends the call with HYSOCK_E_TOO_LARGE.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_set_max_head(
    config: *mut hysock_client_config,
    bytes: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_head = limits::CLIENT_MAX_HEAD.count(bytes)? as usize;
        Ok(())
    })
}

/// Let calls go only to a server whom a rule names: this one, or another rule of the same config.
/// `rule` is one of HYSOCK_ALLOW_*, `id` the uid or gid, 0 where there is none. Without any rule
/// whoever listens will do.
///
/// It is asked on each new connection, before the first byte is sent; somebody else is
/// HYSOCK_E_FORBIDDEN, with who it was. The server is who called listen(2): for a socket that a
/// service manager has made that is the manager, as a rule root.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_allow(
    config: *mut hysock_client_config,
    rule: i32,
    id: u32,
) -> hysock_status {
    config::set(config, |config| {
        let rule = peer::rule("hysock_client_config_allow", rule, id)?;
        config.allow.add(rule);
        Ok(())
    })
}

/// Set how long connecting may take, in milliseconds: 1 or more or HYSOCK_FOREVER, 10 seconds by
/// default. It takes time only when the server's backlog is full; then HYSOCK_E_BUSY.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_set_connect_timeout(
    config: *mut hysock_client_config,
    timeout_ms: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.connect_timeout = limits::CLIENT_CONNECT_TIMEOUT.time(timeout_ms)?;
        Ok(())
    })
}

/// Set how long to wait for a server that is not up, in milliseconds: 1 or more or HYSOCK_FOREVER. By
/// default not at all: HYSOCK_E_ABSENT and HYSOCK_E_REFUSED come at once.
///
/// Connecting is tried again every 10 to 250 milliseconds, for so long and within the time that the
/// call has in all.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_set_wait_absent(
    config: *mut hysock_client_config,
    wait_ms: u32,
) -> hysock_status {
    config::set(config, |config| {
        let wait = limits::CLIENT_WAIT_ABSENT.time(wait_ms)?;
        config.wait_absent = Some(wait.unwrap_or(Duration::MAX));
        Ok(())
    })
}

/// Set how long an answer may take to begin, in milliseconds: 1 or more or HYSOCK_FOREVER, the
/// default. It counts from the last byte of the request that was sent to the first one of the
/// answer; then HYSOCK_E_TIMED_OUT. hysock_call_set_first_byte_timeout() is the same for one call.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_set_first_byte_timeout(
    config: *mut hysock_client_config,
    timeout_ms: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.patience.first_byte = limits::CLIENT_FIRST_BYTE_TIMEOUT.time(timeout_ms)?;
        Ok(())
    })
}

/// Set how long a call waits for a server that neither takes nor sends a byte, in milliseconds: 1 or
/// more or HYSOCK_FOREVER, the default. Then HYSOCK_E_TIMED_OUT. hysock_call_set_idle_timeout() is the
/// same for one call.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_set_idle_timeout(
    config: *mut hysock_client_config,
    timeout_ms: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.patience.idle = limits::CLIENT_IDLE_TIMEOUT.time(timeout_ms)?;
        Ok(())
    })
}

/// Follow redirects, up to so many for one call: 1 to 50. By default none is: a 301 is an answer like
/// any other.
///
/// Followed are 301, 302, 303, 307 and 308 with a Location on the same socket: a path, or a URL of
/// this socket, of localhost or of the Host that the call has set. Another one ends the call with
/// HYSOCK_E_PROTOCOL, one too many with HYSOCK_E_TOO_LARGE. A 303, and a 301 or 302 to a POST, make
/// the request a GET without a body; else method, headers and body are sent again as they were.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_set_max_redirects(
    config: *mut hysock_client_config,
    n: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_redirects = limits::CLIENT_MAX_REDIRECTS.count(n)?;
        Ok(())
    })
}

/// Set how long a call may take in all, in milliseconds: 1 or more or HYSOCK_FOREVER, the default.
/// hysock_call_set_timeout() is the same for one call.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_set_timeout(
    config: *mut hysock_client_config,
    timeout_ms: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.timeout = limits::CLIENT_TIMEOUT.time(timeout_ms)?;
        Ok(())
    })
}

/// Set how many connections the client may hold: 1 to 4294967295 or HYSOCK_UNLIMITED, 64 by
/// default. Further calls wait for one to become free.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_set_max_connections(
    config: *mut hysock_client_config,
    n: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_connections = limits::CLIENT_MAX_CONNECTIONS.count(n)?;
        Ok(())
    })
}

/// Set how many idle connections are kept for later calls: 1 to 4294967295 or HYSOCK_UNLIMITED, 8
/// by default.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_set_max_idle(
    config: *mut hysock_client_config,
    n: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_idle = limits::CLIENT_MAX_IDLE.count(n)?;
        Ok(())
    })
}

/// Set how long an idle connection is kept, in milliseconds: 1 or more or HYSOCK_FOREVER, 60
/// seconds by default.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_set_idle_age(
    config: *mut hysock_client_config,
    age_ms: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.idle_age = limits::CLIENT_IDLE_AGE.time(age_ms)?;
        Ok(())
    })
}

/// Free a config. What was made with it keeps its values.
///
/// Thread: any.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_client_config_free(config: *mut hysock_client_config) {
    boundary::nothing(|| handle::free(config, |_| Ok(())));
}
