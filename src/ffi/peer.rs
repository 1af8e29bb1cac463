//! Who sent a request, by the kernel's word, and who may; and who answers a call.
//!
//! A Unix socket knows its peer: the user, the groups and the process that connected. It is who
//! connected, not who writes now: a connection that is handed on or inherited keeps its first name.
//!
//! Rules say who may come in, in three places: at one listener (hysock_listener_config_allow()),
//! at all of a server (hysock_server_config_allow()), and at one route
//! (hysock_server_allow_route()). Where there is no rule everybody may; with the first one, only
//! whom a rule names. A request must pass all three. Who may not gets a 403 and no handler; on the
//! connection of somebody who may not connect it is the answer to the first request, after which
//! the connection is closed; it may take 2 seconds to send that, and where more than 64 such
//! connections wait, the others get the answer at once. A peer whom the kernel does not know is
//! refused by every rule. A user whom this user namespace cannot name appears as the overflow uid,
//! 65534 on most systems: no rule should let that one in.
//!
//! A client can be as careful: hysock_client_config_allow() says who its server must be, and
//! hysock_call_peer() who it was.
//!
//! How much one user may have at once is limited by
//! hysock_server_config_set_max_connections_per_uid() and
//! hysock_server_config_set_max_requests_per_uid(): beyond it a 503. The log has a line about both
//! kinds of refusals, at most one in 10 seconds, and hysock_server_stats() counts them.

use super::boundary;
use super::call::hysock_call;
use super::error::{ErrorOut, hysock_error};
use super::exchange::hysock_exchange;
use super::handle;
use super::server::hysock_server;
use super::sized::SizedOut;
use super::status::hysock_status;
use super::text::{hysock_str, opt_string};
use crate::error::{Error, Operation, Result, Status};
use crate::socket::peer::{Known, Record};
use crate::socket::policy::Rule;
use std::ffi::c_char;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::ptr::null;

/// It is known.
pub const HYSOCK_PEER_KNOWN: i32 = 1;
/// It went with the connection before anybody asked, or there never was a peer.
pub const HYSOCK_PEER_GONE: i32 = 2;
/// This system has no such record.
pub const HYSOCK_PEER_UNSUPPORTED: i32 = 3;

/// Whoever has this uid.
pub const HYSOCK_ALLOW_UID: i32 = 1;
/// Whoever has this gid, as primary group or as a supplementary one.
pub const HYSOCK_ALLOW_GID: i32 = 2;
/// Whoever has the effective uid that this process has at that moment; the id is 0.
pub const HYSOCK_ALLOW_SELF: i32 = 3;
/// Root; the id is 0.
pub const HYSOCK_ALLOW_ROOT: i32 = 4;

/// Who connected, as it was at that moment. Decide by it only where its state is HYSOCK_PEER_KNOWN.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct hysock_peer {
    /// One of HYSOCK_PEER_*, about the next three.
    pub state: i32,
    /// Effective user; (uid_t)-1 when not known.
    pub uid: u32,
    /// Effective group; (gid_t)-1 when not known.
    pub gid: u32,
    /// Process, 0 when it cannot be seen from here (another pid namespace). It may have ended, and
    /// its number may be another's: see hysock_exchange_peer_pidfd().
    pub pid: i32,
    /// One of HYSOCK_PEER_*, about the supplementary groups.
    pub groups_state: i32,
    /// How many.
    pub group_count: u32,
    /// Their gids, good as long as the exchange, the call or the batch; NULL when there are none.
    pub groups: *const u32,
    /// One of HYSOCK_PEER_*, about the label.
    pub label_state: i32,
    /// 0.
    pub reserved: u32,
    /// The label of the system's security module, such as "unconfined" or an SELinux context; good
    /// as long as the exchange, the call or the batch.
    pub label: hysock_str,
}

/// The size of the first version.
pub(super) const FIRST: usize = 56;
const _: () = assert!(size_of::<hysock_peer>() == FIRST);

pub fn state<T>(known: &Known<T>) -> i32 {
    match known {
        Known::Known(_) => HYSOCK_PEER_KNOWN,
        Known::Gone => HYSOCK_PEER_GONE,
        Known::Unsupported => HYSOCK_PEER_UNSUPPORTED,
    }
}

pub(super) fn snapshot(record: &Record) -> Result<hysock_peer> {
    let (peer, groups, label) = (record.peer()?, record.groups()?, record.label()?);
    let mut snapshot = hysock_peer {
        state: state(&peer),
        uid: u32::MAX,
        gid: u32::MAX,
        pid: 0,
        groups_state: state(&groups),
        group_count: 0,
        groups: null(),
        label_state: state(&label),
        reserved: 0,
        label: hysock_str::maybe(label.known()),
    };
    if let Known::Known(peer) = peer {
        snapshot.uid = peer.uid;
        snapshot.gid = peer.gid;
        snapshot.pid = peer.pid.map_or(0, u32::cast_signed);
    }
    if let Known::Known(groups) = groups
        && !groups.is_empty()
    {
        // The kernel has at most 65,536.
        snapshot.group_count = groups.len() as u32;
        snapshot.groups = groups.as_ptr();
    }
    Ok(snapshot)
}

/// A rule as C gives it, for the function of that name.
pub(super) fn rule(function: &str, rule: i32, id: u32) -> Result<Rule> {
    let without_id = |rule: Rule| match id {
        0 => Ok(rule),
        _ => Err(Error::argument(format!(
            "the id is {id}, and it takes none: give 0"
        ))),
    };
    match rule {
        HYSOCK_ALLOW_UID => Rule::uid(id),
        HYSOCK_ALLOW_GID => Rule::gid(id),
        HYSOCK_ALLOW_SELF => without_id(Rule::Own),
        HYSOCK_ALLOW_ROOT => without_id(Rule::Root),
        other => Err(Error::argument(format!(
            "{other} is not one of HYSOCK_ALLOW_*"
        ))),
    }
    .map_err(|error| Error::argument(format!("{function}: {}", error.message)))
}

/// Fill `*peer` with who sent the request. `size` is `sizeof *peer`: a program that was built with
/// another version of the header gets what both know, and zeros for the rest.
///
/// The kernel is asked when this is called for the first time on a connection; later calls cost
/// nothing. HYSOCK_OK says that it could be asked: look at the states.
///
/// Thread: any, one at a time; it never waits.
/// Errors: HYSOCK_E_INVALID_ARGUMENT for a NULL and for a size that no version of the struct had;
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_peer(
    exchange: *const hysock_exchange,
    peer: *mut hysock_peer,
    size: usize,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a struct of `size` bytes.
        let out = unsafe { SizedOut::new("peer", peer, size, FIRST) }?;
        let exchange = handle::get("exchange", exchange)?;
        exchange.check()?;
        out.set(&snapshot(exchange.peer())?);
        Ok(())
    })
}

/// Open a pidfd of the process that connected: unlike its pid, it can never mean another process.
/// Poll it to hear of the process's end, or give it to pidfd_send_signal(2) and waitid(2).
///
/// It is the kernel's own record of the connection (Linux 6.5). There is no way around it for older
/// ones: between a look at the pid and a pidfd_open(2) the pid may have become another's.
///
/// Thread: any, one at a time; it never waits.
/// Owns: the result is yours: close(2) it. It is closed on exec.
/// Errors: as a negative result: HYSOCK_E_CLOSED when the process or the connection has gone;
/// HYSOCK_E_UNSUPPORTED; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED,
/// HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_peer_pidfd(
    exchange: *const hysock_exchange,
    err: *mut hysock_error,
) -> i32 {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::count_with_error(err, || {
        let exchange = handle::get("exchange", exchange)?;
        exchange.check()?;
        Ok(number(known(exchange.peer().pidfd()?)?))
    })
}

/// Fill `*peer` with who has answered the call: the process that called listen(2), at that moment.
/// `size` is `sizeof *peer`, as for hysock_exchange_peer().
///
/// User, group and process are known of each connection. Groups and label are asked for when this is
/// called for the first time on a connection, and are gone when it has ended before.
///
/// Thread: any, one at a time; it never waits.
/// Errors: HYSOCK_E_STATE as long as there is neither an answer nor an end, and for a call that
/// reached nobody; HYSOCK_E_INVALID_ARGUMENT for a NULL and for a size that no version of the struct
/// had; HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_peer(
    call: *const hysock_call,
    peer: *mut hysock_peer,
    size: usize,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a struct of `size` bytes.
        let out = unsafe { SizedOut::new("peer", peer, size, FIRST) }?;
        // The record that the texts belong to stays with the call.
        let record = handle::get("call", call)?.peer()?;
        out.set(&snapshot(&record)?);
        Ok(())
    })
}

/// Open a pidfd of the process that has answered the call, see hysock_exchange_peer_pidfd(). Only as
/// long as the connection is there: the client keeps it unless the server has said that it closes it.
///
/// Thread: any, one at a time; it never waits.
/// Owns: the result is yours: close(2) it. It is closed on exec.
/// Errors: as a negative result: HYSOCK_E_STATE as for hysock_call_peer(); HYSOCK_E_CLOSED when the
/// process or the connection has gone; HYSOCK_E_UNSUPPORTED; HYSOCK_E_INVALID_ARGUMENT,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_peer_pidfd(
    call: *const hysock_call,
    err: *mut hysock_error,
) -> i32 {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::count_with_error(err, || {
        let record = handle::get("call", call)?.peer()?;
        Ok(number(known(record.pidfd()?)?))
    })
}

/// A descriptor for C.
fn number(fd: OwnedFd) -> usize {
    fd.into_raw_fd().cast_unsigned() as usize
}

fn known(pidfd: Known<OwnedFd>) -> Result<OwnedFd> {
    let refuse = |status, message| Err(Error::new(status, Operation::None, message));
    match pidfd {
        Known::Known(pidfd) => Ok(pidfd),
        Known::Gone => refuse(Status::Closed, "the process that connected has gone"),
        Known::Unsupported => refuse(
            Status::Unsupported,
            "this kernel gives no pidfd of a peer: it needs Linux 6.5",
        ),
    }
}

/// Let only those use a route whom a rule names: this one, or another rule of the same route.
/// Before the start only.
///
/// `method` and `pattern` are those of a hysock_server_add_route() before this call. `rule` is one
/// of HYSOCK_ALLOW_*, `id` the uid or gid, 0 where there is none. Who may not gets a 403; the
/// connection goes on. A rule that is refused keeps the server from starting: the route would be
/// open to all.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, also when there is no such route; HYSOCK_E_STATE after the
/// start; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_allow_route(
    server: *mut hysock_server,
    method: *const c_char,
    pattern: *const c_char,
    rule: i32,
    id: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let server = handle::get("server", server)?;
        let allow = || {
            let rule = self::rule("hysock_server_allow_route", rule, id)?;
            // SAFETY: C gives NULL or NUL-terminated texts.
            let (method, pattern) = unsafe {
                (
                    opt_string("method", method)?,
                    opt_string("pattern", pattern)?,
                )
            };
            server.allow_route(method, pattern, rule)
        };
        allow().inspect_err(|error| server.refuse_start(error.clone()))
    })
}
