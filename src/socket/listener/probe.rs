//! What is at an address already, told without harming it.

use super::super::address::{Address, failure, printable};
use super::super::connect;
use super::super::lock::creation_error;
use super::super::peer::{Known, Peer};
use crate::error::{Error, Operation, Result, Status};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::SocketType;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Who sits on a bound address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Occupant {
    /// Somebody, described as "by ...".
    Alive(String),
    /// A file that nobody listens on.
    Dead,
    /// Nobody any more.
    Vanished,
}

/// Whether a socket is at the path; an error when something else is, or when that cannot be told.
pub(super) fn is_socket(path: &Path) -> Result<bool> {
    let stat = match rustix::fs::lstat(path) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(creation_error(errno, path)),
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Socket => Ok(true),
        other => Err(Error::new(
            Status::WrongType,
            Operation::Bind,
            format!(
                "{} is {}, not a socket, and stays untouched: choose another path",
                printable(path.as_os_str().as_bytes()),
                connect::name_of(other)
            ),
        )),
    }
}

/// Tries to connect with a socket of the same type, without waiting. Under the lock "refused" means dead.
pub(super) fn ask(address: &Address, kind: SocketType) -> Result<Occupant> {
    let errno = match connect::probe(address, kind).map_err(as_bind)? {
        Ok(socket) => return Ok(Occupant::Alive(describe(socket))),
        Err(errno) => errno,
    };
    match errno {
        Errno::CONNREFUSED => Ok(Occupant::Dead),
        Errno::NOENT => Ok(Occupant::Vanished),
        Errno::AGAIN => Ok(Occupant::Alive(
            "by a server whose backlog is full".to_owned(),
        )),
        Errno::PROTOTYPE => Ok(Occupant::Alive("by a socket of another type".to_owned())),
        errno => {
            let status = match errno {
                Errno::ACCESS | Errno::PERM => Status::Forbidden,
                _ => Status::System,
            };
            let what = format!("cannot tell whether {address} is in use");
            Err(failure(status, Operation::Bind, errno, what))
        }
    }
}

fn as_bind(mut error: Error) -> Error {
    error.operation = Operation::Bind;
    error
}

fn describe(socket: impl AsFd) -> String {
    match Peer::of(socket) {
        Ok(Known::Known(Peer {
            uid,
            pid: Some(pid),
            ..
        })) => {
            if pid == std::process::id() {
                format!("by this process, pid {pid} (uid {uid})")
            } else {
                format!("by pid {pid} (uid {uid})")
            }
        }
        Ok(Known::Known(Peer { uid, pid: None, .. })) => {
            format!("by a process of another pid namespace (uid {uid})")
        }
        _ => "by an unknown process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::address::scratch::Scratch;
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    #[test]
    fn occupants_are_told_apart() {
        let scratch = Scratch::new();
        let address = scratch.address("x");
        let path = address.path().unwrap().to_owned();
        assert_eq!(
            ask(&address, SocketType::STREAM).unwrap(),
            Occupant::Vanished
        );
        assert!(!is_socket(&path).unwrap());

        let listener = UnixListener::bind(&path).unwrap();
        assert!(is_socket(&path).unwrap());
        let me = format!("by this process, pid {}", std::process::id());
        assert!(
            matches!(ask(&address, SocketType::STREAM).unwrap(), Occupant::Alive(who) if who.starts_with(&me))
        );
        rustix::net::listen(&listener, 0).unwrap();
        // Each probe stays queued, closed as it is.
        let mut full = ask(&address, SocketType::STREAM).unwrap();
        for _ in 0..100 {
            full = ask(&address, SocketType::STREAM).unwrap();
        }
        assert!(matches!(full, Occupant::Alive(who) if who.contains("backlog is full")));

        scratch.leave_dead("dead");
        let dead = scratch.address("dead");
        assert_eq!(ask(&dead, SocketType::STREAM).unwrap(), Occupant::Dead);
        assert!(is_socket(dead.path().unwrap()).unwrap());

        let other = scratch.address("datagram");
        let _datagram = UnixDatagram::bind(other.path().unwrap()).unwrap();
        assert!(
            matches!(ask(&other, SocketType::STREAM).unwrap(), Occupant::Alive(who) if who.contains("type"))
        );
    }
}
