//! How a socket file is made: its mode, its owner, its backlog, and what happens to a file that is there
//! already. Given to hysock_server_add_listener(); all of it is options, NULL is the defaults.
//!
//! A listener does not take the place of a living one unless it is told to (HYSOCK_E_IN_USE, the message
//! says whose it is) and never touches a file that is no socket (HYSOCK_E_WRONG_TYPE). Its file is
//! born with the right mode, whatever the umask, and is removed at the end if it is still ours.
//! Beside it stays a small lock file, `.NAME.lock`, on purpose.
//!
//! When somebody else removes or replaces the file of a listener that serves, that is noticed within two
//! seconds, logged once (HYSOCK_LOG_WARN) and counted.

use super::boundary;
use super::config;
use super::handle;
use super::peer;
use super::status::hysock_status;
use super::text::text;
use crate::error::Error;
use crate::limits;
use crate::socket::account;
use crate::socket::listener::Stale;
use std::ffi::c_char;

/// How a socket file is made.
pub struct hysock_listener_config {
    _opaque: [u8; 0],
}

/// A file that nobody listens on is an error.
pub const HYSOCK_STALE_REFUSE: i32 = 1;
/// A file that nobody listens on is replaced. The default.
pub const HYSOCK_STALE_REPLACE: i32 = 2;
/// Whatever socket is there is replaced, a living one too: the new socket is made beside it and renamed,
/// so clients reach the one or the other and the path is never absent. The old server goes on with its
/// connections and with what waits in its backlog; ending it is up to you. Its end leaves the new file
/// alone. The new socket's own name, as getsockname(2) and `ss` show it, is `.NAME.new`.
pub const HYSOCK_STALE_TAKE_OVER: i32 = 3;

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

/// Set what happens to a socket file that is there already: HYSOCK_STALE_REPLACE, the default,
/// HYSOCK_STALE_REFUSE or HYSOCK_STALE_TAKE_OVER. An abstract name has no file: one that is in use
/// cannot be taken over.
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
            HYSOCK_STALE_TAKE_OVER => Stale::TakeOver,
            other => {
                return Err(Error::argument(format!(
                    "hysock_listener_config_set_stale: {other} is not one of HYSOCK_STALE_*"
                )));
            }
        };
        Ok(())
    })
}

/// Set who owns the socket file: a user's name, or a number. By default who makes it. Only root can give
/// files away. A name is looked up here, once.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, also for a name that nobody has; HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_listener_config_set_owner(
    config: *mut hysock_listener_config,
    user: *const c_char,
) -> hysock_status {
    config::set(config, |config| {
        // SAFETY: C gives NULL or a NUL-terminated text.
        let user = unsafe { text("user", user) }?;
        let found = account::user(user);
        config.owner = Some(found.map_err(|e| in_setter("hysock_listener_config_set_owner", e))?);
        Ok(())
    })
}

/// Set the group of the socket file: a group's name, or a number. By default that of who makes it, or
/// the directory's. Other users than root can give it to groups that they are in. With mode 0660 the
/// group's members may connect.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, also for a name that no group has; HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_listener_config_set_group(
    config: *mut hysock_listener_config,
    group: *const c_char,
) -> hysock_status {
    config::set(config, |config| {
        // SAFETY: C gives NULL or a NUL-terminated text.
        let group = unsafe { text("group", group) }?;
        let found = account::group(group);
        config.group = Some(found.map_err(|e| in_setter("hysock_listener_config_set_group", e))?);
        Ok(())
    })
}

/// Set whether root may make a socket in a directory where everybody can replace files (world-writable and
/// not sticky): by default it is refused with HYSOCK_E_FORBIDDEN. For other users nothing is
/// checked.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_listener_config_set_parent_check(
    config: *mut hysock_listener_config,
    on: bool,
) -> hysock_status {
    config::set(config, |config| {
        config.parent_check = on;
        Ok(())
    })
}

fn in_setter(setter: &str, mut error: Error) -> Error {
    error.message = format!("{setter}: {}", error.message).into();
    error
}

/// Let in only those whom a rule names: this one, or another rule of the same config. `rule` is one
/// of HYSOCK_ALLOW_*, `id` the uid or gid, 0 where there is none. Without any rule everybody may
/// connect who may write to the file.
///
/// It is the server that looks: for a socket of hysock_listener_open() give the rules to
/// hysock_server_add_listener_fd().
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_listener_config_allow(
    config: *mut hysock_listener_config,
    rule: i32,
    id: u32,
) -> hysock_status {
    config::set(config, |config| {
        let rule = peer::rule("hysock_listener_config_allow", rule, id)?;
        config.allow.add(rule);
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
