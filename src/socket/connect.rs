//! Honest connecting: every way to fail has its own status, and a full backlog is waited for, never
//! called refused.
//!
//! The descriptors given out are in blocking mode and close on exec.

mod background;

pub use background::connect_in_background;

use super::address::{Address, failure, printable};
use crate::error::{Error, Operation, Result, Status};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The kernel rounds SO_SNDTIMEO up by as much as an eighth and two of its ticks, so a wait for a place is
/// made of several, each less than what is left. In the last part, which is shorter than this, there is a try
/// every so often.
const COARSE: Duration = Duration::from_millis(60);
const TRY: Duration = Duration::from_millis(2);

/// One attempt, which never waits.
pub fn connect_now(address: &Address) -> Result<OwnedFd> {
    connect_as(SocketType::STREAM, address)
}

/// The same for a socket of any type.
pub fn connect_as(kind: SocketType, address: &Address) -> Result<OwnedFd> {
    let socket = open(address, kind)?;
    attempt(&socket, address).map_err(|errno| error(errno, address))?;
    set_blocking(&socket, address)?;
    Ok(socket)
}

/// Connects, and waits for a place in a full backlog until `deadline`; for ever without one.
pub fn connect_until(address: &Address, deadline: Option<Instant>) -> Result<OwnedFd> {
    let start = Instant::now();
    let socket = open(address, SocketType::STREAM)?;
    match attempt(&socket, address) {
        Ok(()) => set_blocking(&socket, address)?,
        Err(Errno::AGAIN) => {
            set_blocking(&socket, address)?;
            address
                .with_sockaddr(|name| {
                    wait(&socket, deadline, || rustix::net::connect(&socket, name))
                })
                .map_err(|errno| match errno {
                    Errno::AGAIN => still_busy(address, start),
                    errno => error(errno, address),
                })?;
        }
        Err(errno) => return Err(error(errno, address)),
    }
    Ok(socket)
}

/// A fresh non-blocking socket and the one `connect(2)` on it: what a probe needs.
pub(super) fn probe(
    address: &Address,
    kind: SocketType,
) -> Result<std::result::Result<OwnedFd, Errno>> {
    let socket = open(address, kind)?;
    Ok(attempt(&socket, address).map(|()| socket))
}

fn open(address: &Address, kind: SocketType) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None).map_err(|errno| {
        let what = format!("cannot make a socket to connect to {address}");
        failure(Status::System, Operation::Connect, errno, what)
    })
}

fn attempt(socket: &OwnedFd, address: &Address) -> rustix::io::Result<()> {
    address.with_sockaddr(|name| rustix::io::retry_on_intr(|| rustix::net::connect(socket, name)))
}

fn set_blocking(socket: &OwnedFd, address: &Address) -> Result<()> {
    rustix::io::ioctl_fionbio(socket, false).map_err(|errno| error(errno, address))
}

/// Repeats a connect that waits in the kernel, where a freed place wakes it at once, until it gives
/// something else than an interruption. AGAIN means that the deadline has passed.
fn wait(
    socket: impl AsFd,
    deadline: Option<Instant>,
    mut connect: impl FnMut() -> rustix::io::Result<()>,
) -> rustix::io::Result<()> {
    let socket = socket.as_fd();
    loop {
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Errno::AGAIN);
            }
            if left > COARSE {
                set_socket_timeout(socket, Timeout::Send, Some(left * 5 / 8))?;
            } else {
                std::thread::sleep(left.min(TRY));
                rustix::io::ioctl_fionbio(socket, true)?;
            }
        }
        match connect() {
            // Both may come before the deadline; the loop looks at the clock.
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if deadline.is_some() => {}
            Ok(()) if deadline.is_some() => {
                rustix::io::ioctl_fionbio(socket, false)?;
                return set_socket_timeout(socket, Timeout::Send, None);
            }
            result => return result,
        }
    }
}

/// The error of a failed connect. What the kernel leaves open the file at the path decides.
fn error(errno: Errno, address: &Address) -> Error {
    let (status, what) = match errno {
        Errno::CONNREFUSED | Errno::ACCESS | Errno::PERM => match file_type(address) {
            Some(FileType::Socket) | None => unwilling(errno, address),
            Some(other) => (
                Status::WrongType,
                format!(
                    "cannot connect to {address}: it is {}, not a socket",
                    name_of(other)
                ),
            ),
        },
        Errno::NOENT => (Status::Absent, absent(address)),
        Errno::NOTDIR => (
            Status::Absent,
            format!("no socket at {address}: a part of the path is not a directory"),
        ),
        Errno::AGAIN => (
            Status::Busy,
            format!(
                "the backlog of {address} is full: its server does not accept, try again later"
            ),
        ),
        Errno::PROTOTYPE => (
            Status::WrongType,
            format!(
                "cannot connect to {address}: it is a datagram or seqpacket socket, not a stream"
            ),
        ),
        _ => (Status::System, format!("cannot connect to {address}")),
    };
    failure(status, Operation::Connect, errno, what)
}

fn unwilling(errno: Errno, address: &Address) -> (Status, String) {
    if errno == Errno::CONNREFUSED {
        let file = if address.is_abstract() {
            ""
        } else {
            ", the file is left over"
        };
        let what = format!("nobody listens on {address}{file}: start its server");
        return (Status::Refused, what);
    }
    let what = format!(
        "may not connect to {address}: this process (uid {}) needs write permission on the socket and \
         search permission on its directories",
        rustix::process::geteuid().as_raw()
    );
    (Status::Forbidden, what)
}

fn absent(address: &Address) -> String {
    if address.lacks_proc() {
        return format!("cannot connect to {address}: a path this long needs /proc mounted");
    }
    match address.path().map(Path::parent) {
        Some(Some(directory)) if rustix::fs::stat(directory).is_err() => {
            let directory = printable(directory.as_os_str().as_bytes());
            format!("no socket at {address}: there is no directory {directory}")
        }
        _ => format!("no socket at {address}: start its server, or check the path"),
    }
}

fn still_busy(address: &Address, start: Instant) -> Error {
    let what = format!(
        "the backlog of {address} stayed full for {} ms: its server does not accept",
        start.elapsed().as_millis()
    );
    failure(Status::Busy, Operation::Connect, Errno::AGAIN, what)
}

fn file_type(address: &Address) -> Option<FileType> {
    let stat = rustix::fs::stat(address.path()?).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}

/// A file type with its article, for messages.
pub(super) fn name_of(file: FileType) -> &'static str {
    match file {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a named pipe",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "another kind of file",
    }
}

#[cfg(test)]
mod tests;
