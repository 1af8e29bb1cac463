//! What a client keeps to: where completions run, how long it waits, how many connections it holds.
//! All of it is options; NULL is the defaults.

use super::boundary;
use super::config;
use super::handle;
use super::queue::{self, hysock_queue};
use super::status::hysock_status;
use crate::limits;

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
