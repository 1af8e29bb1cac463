//! Descriptors that somebody else made: opened before a fork, inherited, passed.

use super::super::address::{Address, failure};
use super::super::connect;
use super::super::peer::Peer;
use super::file::SocketFile;
use super::{Adopt, ListenerOptions, bind, opened};
use crate::error::{Error, Operation, Result, Status};
use rustix::io::{Errno, FdFlags};
use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Makes sure that a descriptor is a bound Unix socket of this type that listens, if that type does.
pub fn check(socket: BorrowedFd<'_>, kind: SocketType) -> Result<()> {
    check_kind(socket, kind)?;
    if kind != SocketType::DGRAM && !sockopt::socket_acceptconn(socket).unwrap_or(false) {
        return Err(Error::argument(format!(
            "descriptor {} does not listen: it is a connected socket, or needs listen(2) first",
            socket.as_raw_fd()
        )));
    }
    Ok(())
}

/// Makes sure that a descriptor is a connected Unix socket of this type.
pub fn check_connected(socket: BorrowedFd<'_>, kind: SocketType) -> Result<()> {
    check_kind(socket, kind)?;
    if rustix::net::getpeername(socket).is_err() {
        return Err(Error::argument(format!(
            "descriptor {} is not connected",
            socket.as_raw_fd()
        )));
    }
    Ok(())
}

fn check_kind(socket: BorrowedFd<'_>, kind: SocketType) -> Result<()> {
    let wrong = |what: &str| {
        let message = format!("descriptor {} is {what}", socket.as_raw_fd());
        Error::new(Status::WrongType, Operation::Bind, message)
    };
    match sockopt::socket_domain(socket) {
        Ok(AddressFamily::UNIX) => {}
        Ok(_) => return Err(wrong("no Unix socket but one of another family")),
        Err(_) => return Err(wrong("no socket")),
    }
    match sockopt::socket_type(socket) {
        Ok(found) if found == kind => Ok(()),
        Ok(SocketType::STREAM) => Err(wrong("a stream socket")),
        Ok(SocketType::DGRAM) => Err(wrong("a datagram socket")),
        Ok(SocketType::SEQPACKET) => Err(wrong("a seqpacket socket")),
        _ => Err(wrong("a socket of an unknown type")),
    }
}

/// Closed on exec, and in the wanted mode.
pub fn prepare(socket: &OwnedFd, nonblocking: bool) -> Result<()> {
    rustix::io::fcntl_setfd(socket, FdFlags::CLOEXEC)
        .and_then(|()| rustix::io::ioctl_fionbio(socket, nonblocking))
        .map_err(|errno| {
            let what = format!("cannot prepare descriptor {}", socket.as_raw_fd());
            failure(Status::System, Operation::Bind, errno, what)
        })
}

/// Where a checked socket is bound, and its file if it has one.
pub fn place(
    socket: &OwnedFd,
    kind: SocketType,
    adopt: Adopt,
    options: &ListenerOptions,
) -> Result<(Address, Option<SocketFile>)> {
    let owned = adopt == Adopt::Own;
    let (address, file) = match opened::recall(socket) {
        Some(known) => {
            let file = known.address.path().zip(known.file);
            let file =
                file.map(|(path, (device, inode))| SocketFile::known(path, device, inode, owned));
            (known.address, file)
        }
        None => by_name(socket, kind, owned)?,
    };
    // Clients now see this process as their peer. A service manager's backlog stays its own.
    if kind != SocketType::DGRAM && (owned || options.backlog.is_some()) {
        bind::listen(socket, options).map_err(|errno| {
            let what = format!("cannot listen on {address}");
            failure(Status::System, Operation::Bind, errno, what)
        })?;
    }
    Ok((address, file))
}

fn by_name(
    socket: &OwnedFd,
    kind: SocketType,
    owned: bool,
) -> Result<(Address, Option<SocketFile>)> {
    let name = rustix::net::getsockname(socket)
        .and_then(SocketAddrUnix::try_from)
        .map_err(|errno| {
            let what = format!("cannot tell the name of descriptor {}", socket.as_raw_fd());
            failure(Status::System, Operation::Bind, errno, what)
        })?;
    let address = Address::of_name(&name)?;
    let Some(path) = address.path() else {
        return Ok((address, None));
    };
    let unknown = !name.path_bytes().is_some_and(|path| path.starts_with(b"/"))
        || path.starts_with("/proc/self/fd");
    if unknown && owned {
        return Err(Error::argument(format!(
            "the system does not know the whole path of descriptor {}, only \"{address}\": adopt it with \
             HYSOCK_ADOPT_KEEP, or bind it to an absolute path of at most 107 bytes",
            socket.as_raw_fd()
        )));
    }
    if unknown {
        return Ok((address, None));
    }
    let address = match bind::behind_temporary(path) {
        Some(real) if matches!(rustix::fs::lstat(path), Err(Errno::NOENT)) => {
            Address::from_path(real.as_os_str().as_encoded_bytes())?
        }
        _ => address,
    };
    let found = address
        .path()
        .and_then(|path| SocketFile::find(path, owned));
    let file = match (found, address.path()) {
        (Some(file), _) if !owned || leads_to(&address, socket, kind) => Some(file),
        // Not at its path any more: nothing to remove, and it is noticed as lost.
        (_, Some(path)) if owned => Some(SocketFile::known(path, 0, 0, false)),
        // A service manager may see other files than the program that it starts.
        _ => None,
    };
    Ok((address, file))
}

/// Whether connecting to the address reaches this very socket, as far as can be told: a client is told
/// who listens there, and a listener who made it listen.
fn leads_to(address: &Address, socket: &OwnedFd, kind: SocketType) -> bool {
    let peer = |of: BorrowedFd<'_>| Peer::of(of).ok().and_then(|peer| peer.known());
    match connect::probe(address, kind) {
        Ok(Ok(client)) => match (peer(client.as_fd()), peer(socket.as_fd())) {
            (Some(there), Some(here)) => there == here,
            _ => true,
        },
        Ok(Err(errno)) => !matches!(errno, Errno::CONNREFUSED | Errno::NOENT | Errno::PROTOTYPE),
        Err(_) => true,
    }
}
