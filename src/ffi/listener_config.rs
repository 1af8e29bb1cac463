//! How a socket file is made: its mode, its backlog, and what happens to a file that a dead program
//! left behind. Given to hysock_server_add_listener(); all of it is options, NULL is the defaults.
//!
//! A listener never takes the place of a living one (HYSOCK_E_IN_USE, the message says whose it is)
//! and never touches a file that is no socket (HYSOCK_E_WRONG_TYPE). Its file is born with the
//! right mode, whatever the umask, and is removed at the end if it is still ours. Beside it stays a
//! small lock file, `.NAME.lock`, on purpose.

use super::boundary;
use super::config;
use super::handle;
use super::status::hysock_status;
use crate::error::Error;
use crate::limits;
use crate::socket::listener::Stale;

/// How a socket file is made.
pub struct hysock_listener_config {
    _opaque: [u8; 0],
}

/// A file that nobody listens on is an error.
pub const HYSOCK_STALE_REFUSE: i32 = 1;
/// A file that nobody listens on is replaced. The default.
pub const HYSOCK_STALE_REPLACE: i32 = 2;

/// Make a config that holds the defaults.
///
/// Never NULL: when no memory for handles is left, the result is a handle that every use refuses
/// with HYSOCK_E_LIMIT.
///
/// Thread: any.
/// Owns: free the result with hysock_listener_config_free().
/// Errors: none.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_listener_config_new() -> *mut hysock_listener_config {
    config::new()
}

/// Set the permission bits of the socket file: 0001 to 0777, 0600 by default. Who may write to the
/// file may connect. The umask does not touch them.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_listener_config_set_mode(
    config: *mut hysock_listener_config,
    mode: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.mode = limits::SOCKET_MODE.count(u64::from(mode))? as u32;
        Ok(())
    })
}

/// Set how many connections may wait to be accepted: 1 to 2147483647. By default as many as the
/// system allows (/proc/sys/net/core/somaxconn), which is also the most that it ever gives.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_listener_config_set_backlog(
    config: *mut hysock_listener_config,
    backlog: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.backlog = Some(limits::BACKLOG.count(u64::from(backlog))? as u32);
        Ok(())
    })
}

/// Set what happens to a socket file that nobody listens on any more: HYSOCK_STALE_REPLACE, the
/// default, or HYSOCK_STALE_REFUSE.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_listener_config_set_stale(
    config: *mut hysock_listener_config,
    policy: i32,
) -> hysock_status {
    config::set(config, |config| {
        config.stale = match policy {
            HYSOCK_STALE_REFUSE => Stale::Refuse,
            HYSOCK_STALE_REPLACE => Stale::Replace,
            other => {
                return Err(Error::argument(format!(
                    "hysock_listener_config_set_stale: {other} is not one of HYSOCK_STALE_*"
                )));
            }
        };
        Ok(())
    })
}

/// Free a config. What was made with it keeps its values.
///
/// Thread: any.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_listener_config_free(config: *mut hysock_listener_config) {
    boundary::nothing(|| handle::free(config, |_| Ok(())));
}
