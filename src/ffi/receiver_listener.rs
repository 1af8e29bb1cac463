//! Receiving from sockets that somebody else made. All of it is options.

use super::boundary;
use super::config;
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::listener::adoption;
use super::listener_config::hysock_listener_config;
use super::receiver::hysock_receiver;
use super::status::hysock_status;
use super::text::opt_text;
use std::ffi::c_char;

/// Receive from a socket that is there already: inherited, or passed. Before the start only.
///
/// It must be a bound Unix socket of the type that the receiver's framing needs, and listen if that type
/// does. The rest is as in hysock_server_add_listener_fd().
///
/// To scale over more threads, give copies (dup(2)) of one listening socket to several receivers: each connection
/// goes to one of them, and their callbacks run in parallel.
///
/// Thread: any.
/// Owns: `fd` is consumed, also when this fails.
/// Errors: as hysock_server_add_listener_fd().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_receiver_add_listener_fd(
    receiver: *mut hysock_receiver,
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
        let receiver = handle::get("receiver", receiver)?;
        receiver.add_listener_fd(socket?, adoption(adopt)?, &config::read(config)?)
    })
}

/// Receive from the sockets that the service manager has passed, as hysock_server_add_activated() does;
/// returns how many. `name` NULL chooses all of the type that the receiver's framing needs, so a server
/// and receivers of several types can share what was passed. Before the start only.
///
/// At the end of the receiver such a socket stays as it is, with what waits in it.
///
/// Thread: any that does not run while another one changes the environment.
/// Errors: as hysock_server_add_activated().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_receiver_add_activated(
    receiver: *mut hysock_receiver,
    name: *const c_char,
    config: *const hysock_listener_config,
    err: *mut hysock_error,
) -> i32 {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::count_with_error(err, || {
        let receiver = handle::get("receiver", receiver)?;
        // SAFETY: C gives NULL or a NUL-terminated text.
        let name = unsafe { opt_text(name) };
        receiver.add_activated(name, &config::read(config)?)
    })
}
