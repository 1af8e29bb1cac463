//! Listening beyond a path: sockets opened before a program becomes a daemon, passed by a service
//! manager or by a predecessor, handed over to a successor, and single connections. All of it is
//! options.
//!
//! A hand-over without a lost request: the old process takes its listener out of its server
//! (hysock_server_take_listener()), passes it on (SCM_RIGHTS, or a fork and exec), and shuts down:
//! requests under way are answered. The new one adopts it (hysock_server_add_listener_fd() with
//! HYSOCK_ADOPT_OWN). Who connects in between waits in the backlog. Where the two cannot talk,
//! HYSOCK_STALE_TAKE_OVER does it through the path.

use super::boundary::{self, Out};
use super::config;
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::listener_config::hysock_listener_config;
use super::server::hysock_server;
use super::status::hysock_status;
use super::text::{copy_out, opt_text, text_len};
use crate::error::{Error, Result};
use crate::socket::address::Address;
use crate::socket::listener::{Adopt, Listener};
use std::ffi::c_char;
use std::os::fd::IntoRawFd;

/// The socket's file is the server's: removed at the end if it is still the same.
pub const HYSOCK_ADOPT_OWN: i32 = 1;
/// The socket's file is somebody else's, as of a socket that a service manager passed, and so is what
/// waits in the backlog when the server ends.
pub const HYSOCK_ADOPT_KEEP: i32 = 2;

/// Make a socket at `address` and listen on it, without a runtime and without threads: for a program that
/// does so before it forks to become a daemon, or before it gives up its rights. Later
/// hysock_server_add_listener_fd() adopts it, with HYSOCK_ADOPT_OWN.
///
/// `address` is as for hysock_server_serve(). `config` may be NULL for the defaults and may be freed
/// as soon as this returns. Clients may connect from now on. The descriptor is closed on exec. Where
/// it is closed and never adopted, its file stays and is dead.
///
/// Thread: any.
/// Owns: `*fd` is yours; -1 on failure.
/// Errors: HYSOCK_E_IN_USE, HYSOCK_E_FORBIDDEN, HYSOCK_E_ABSENT for a directory that is not there,
/// HYSOCK_E_WRONG_TYPE; HYSOCK_E_INVALID_ARGUMENT, also for what a setter of `config` had refused;
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_listener_open(
    address: *const c_char,
    address_len: usize,
    config: *const hysock_listener_config,
    fd: *mut i32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a variable for the result.
        let fd = unsafe { Out::new("fd", fd) }?;
        fd.set(-1);
        // SAFETY: C gives NULL, `address_len` bytes, or a NUL-terminated text with HYSOCK_NTS.
        let address = Address::parse(unsafe { text_len("address", address, address_len) }?)?;
        let socket = Listener::open(&address, &config::read(config)?)?;
        fd.set(socket.into_raw_fd());
        Ok(())
    })
}

/// Listen on a socket that is there already: opened by hysock_listener_open(), inherited, or passed.
/// Before the start only.
///
/// It must be a Unix stream socket that listens. `adopt` says whose its file is: HYSOCK_ADOPT_OWN or
/// HYSOCK_ADOPT_KEEP. With HYSOCK_ADOPT_OWN clients see this process as their peer from now on, and the
/// file, if it still belongs to this socket, is removed at the end; that works across a fork. Of
/// `config` the backlog and allow rules count, the rest is for making files; NULL is the defaults. The
/// descriptor becomes non-blocking and closed on exec.
///
/// Thread: any.
/// Owns: `fd` is consumed, also when this fails.
/// Errors: HYSOCK_E_WRONG_TYPE for what is no Unix stream socket; HYSOCK_E_INVALID_ARGUMENT, also for
/// one that does not listen, and with HYSOCK_ADOPT_OWN for one whose whole path is not known (a
/// relative path, or one over 107 bytes that another process opened); HYSOCK_E_STATE after the
/// start; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_add_listener_fd(
    server: *mut hysock_server,
    fd: i32,
    adopt: i32,
    config: *const hysock_listener_config,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives the descriptor away.
        let socket = unsafe { boundary::descriptor(fd) };
        let server = handle::get("server", server)?;
        server.add_listener_fd(socket?, adoption(adopt)?, &config::read(config)?)
    })
}

pub(super) fn adoption(adopt: i32) -> Result<Adopt> {
    match adopt {
        HYSOCK_ADOPT_OWN => Ok(Adopt::Own),
        HYSOCK_ADOPT_KEEP => Ok(Adopt::Keep),
        other => Err(Error::argument(format!(
            "adopt: {other} is neither HYSOCK_ADOPT_OWN nor HYSOCK_ADOPT_KEEP"
        ))),
    }
}

/// Listen on the sockets that the service manager has passed (systemd's socket activation,
/// sd_listen_fds(3)); returns how many: 0 says that the program was started without, and binds its own.
/// Before the start only.
///
/// `name` chooses those with this name (`FileDescriptorName=`), NULL all that are listening Unix
/// stream sockets. Each is adopted once in a process's life, with HYSOCK_ADOPT_KEEP. `config` is as
/// for hysock_server_add_listener_fd(). The environment (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES) is
/// read and left as it is.
///
/// Thread: any that does not run while another one changes the environment.
/// Errors: negative: HYSOCK_E_WRONG_TYPE or HYSOCK_E_INVALID_ARGUMENT for one with that name that
/// cannot be served on, which then leaves all of them as they were; HYSOCK_E_INVALID_ARGUMENT for an
/// environment that makes no sense; HYSOCK_E_STATE after the start; HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_add_activated(
    server: *mut hysock_server,
    name: *const c_char,
    config: *const hysock_listener_config,
    err: *mut hysock_error,
) -> i32 {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::count_with_error(err, || {
        let server = handle::get("server", server)?;
        // SAFETY: C gives NULL or a NUL-terminated text.
        let name = unsafe { opt_text(name) };
        server.add_activated(name, &config::read(config)?)
    })
}

/// Write the address of a listener into `buf`, with a NUL after it, as much as fits; returns the length of
/// the whole address, so a result of `size` or more says that it was cut. It is the path, or `@` and the
/// abstract name: what a client is given to connect. With `size` 0 nothing is written and `buf` may be NULL.
///
/// For a log line, above all about sockets that were passed. `index` is as for
/// hysock_server_take_listener(). Of an adopted socket it is what the system says; where the whole path is
/// not known, what is known of it.
///
/// Thread: any, also inside callbacks.
/// Errors: as a negative result: HYSOCK_E_INVALID_ARGUMENT for an index without a listener, a `buf` of NULL
/// with a size, and an abstract name with a NUL in it; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN,
/// HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_listener_address(
    server: *mut hysock_server,
    index: usize,
    buf: *mut c_char,
    size: usize,
    err: *mut hysock_error,
) -> i32 {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::count_with_error(err, || {
        if buf.is_null() && size > 0 {
            return Err(Error::argument("buf is NULL"));
        }
        let address = handle::get("server", server)?.listener_address(index)?;
        // SAFETY: C gives NULL or `size` bytes.
        unsafe { copy_out(&address, buf, size) };
        Ok(address.len())
    })
}

/// Keep to the allow rules of another listener config from now on, at one listener; what hysock_server_reload()
/// is for the rest. Where `config` has no rule, or is NULL, everybody may connect again.
///
/// Nobody is cut off: a connection that the rules no longer admit gets a 403 for its next request, and is
/// closed. Nothing but the rules counts: mode, owner and backlog are for making files. `index` is as for
/// hysock_server_take_listener().
///
/// Thread: any, also inside callbacks.
/// Errors: HYSOCK_E_INVALID_ARGUMENT for an index without a listener, and for what a setter of `config` had
/// refused: then nothing has changed; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_reload_listener(
    server: *mut hysock_server,
    index: usize,
    config: *const hysock_listener_config,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let server = handle::get("server", server)?;
        server.reload_listener(index, &config::read(config)?)
    })
}

/// Serve one connection that is there already: an end of a socketpair(2), or what a superserver such as
/// inetd passes. Before or after the start; a server may have only connections, no socket to listen on.
///
/// It must be a connected Unix stream socket; the server's limits and allow rules hold for it. The
/// descriptor becomes blocking and closed on exec.
///
/// Thread: any.
/// Owns: `fd` is consumed, also when this fails.
/// Errors: HYSOCK_E_WRONG_TYPE for what is no Unix stream socket; HYSOCK_E_INVALID_ARGUMENT, also for one
/// that is not connected; HYSOCK_E_LIMIT when the server has as many connections as it may;
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_add_connection(
    server: *mut hysock_server,
    fd: i32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives the descriptor away.
        let socket = unsafe { boundary::descriptor(fd) };
        handle::get("server", server)?.add_connection(socket?)
    })
}

/// Take a listening socket out of a server, for a successor: this server accepts no more from it and
/// leaves its file alone; its connections go on. What waits in the backlog, and whoever connects, is
/// for whoever gets the descriptor. Then shut the server down: it answers what it has.
///
/// `index` counts the listeners from 0 in the order in which they were added; taking one does not
/// change the others' numbers. A connection that is being accepted at this moment is still this
/// server's.
///
/// Thread: any, also inside callbacks.
/// Owns: `*fd` is yours, closed on exec; -1 on failure.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, also for an index without a listener; HYSOCK_E_STATE for one that
/// was taken before; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_take_listener(
    server: *mut hysock_server,
    index: usize,
    fd: *mut i32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a variable for the result.
        let fd = unsafe { Out::new("fd", fd) }?;
        fd.set(-1);
        let socket = handle::get("server", server)?.take_listener(index)?;
        fd.set(socket.into_raw_fd());
        Ok(())
    })
}
