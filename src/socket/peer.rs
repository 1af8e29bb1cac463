//! Who is at the other end of a connection, as the kernel recorded it at connect time.

mod ask;
mod record;

pub use record::Record;

use crate::error::{Error, Operation, Result};
use rustix::io::Errno;
use rustix::net::AddressFamily;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The identity of the process that connected (or, seen from a client, that called listen).
/// It does not follow the descriptor when that is passed on or inherited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
    pub gid: u32,
    /// `None` when the process is invisible from here: it lives in another pid namespace.
    pub pid: Option<u32>,
}

/// What the kernel can say about a peer. Whoever decides by it must refuse all but `Known`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known<T> {
    Known(T),
    /// There is no peer: not connected, or the record went with it.
    Gone,
    /// This kernel or this kind of socket has no such record.
    Unsupported,
}

impl<T> Known<T> {
    /// The value, if it is known.
    pub fn known(self) -> Option<T> {
        match self {
            Known::Known(value) => Some(value),
            Known::Gone | Known::Unsupported => None,
        }
    }
}

impl<T: Deref> Known<T> {
    /// A look at what the value leads to.
    pub fn as_deref(&self) -> Known<&T::Target> {
        match self {
            Known::Known(value) => Known::Known(value),
            Known::Gone => Known::Gone,
            Known::Unsupported => Known::Unsupported,
        }
    }
}

impl Peer {
    /// Asks for the peer of a socket; an error means that `fd` is no socket at all.
    pub fn of(fd: impl AsFd) -> Result<Known<Peer>> {
        let fd = fd.as_fd();
        match ask::credentials(fd) {
            Ok(found) if found.uid != u32::MAX => Ok(Known::Known(Peer {
                uid: found.uid,
                gid: found.gid,
                pid: u32::try_from(found.pid).ok().filter(|&pid| pid != 0),
            })),
            // No record: an unconnected Unix socket has lost or never had a peer, others have none.
            Ok(_) => match rustix::net::sockopt::socket_domain(fd) {
                Ok(AddressFamily::UNIX) => Ok(Known::Gone),
                _ => Ok(Known::Unsupported),
            },
            Err(errno) => unknown(errno, "who is"),
        }
    }
}

/// The supplementary groups that the peer had; the primary one may be among them or not.
pub fn groups_of(fd: BorrowedFd<'_>) -> Result<Known<Box<[u32]>>> {
    match ask::groups(fd) {
        Ok(groups) => Ok(Known::Known(groups)),
        Err(errno) => unknown(errno, "which groups has who is"),
    }
}

/// The peer's security label: the text that the system's security module has for it.
pub fn label_of(fd: BorrowedFd<'_>) -> Result<Known<Box<[u8]>>> {
    match ask::label(fd) {
        Ok(label) => Ok(Known::Known(label)),
        Err(errno) => unknown(errno, "what label has who is"),
    }
}

/// A new descriptor of the peer's process. Only the kernel's own record will do (Linux 6.5): between a
/// look at the pid and a pidfd_open the pid may become somebody else's.
pub fn pidfd_of(fd: BorrowedFd<'_>) -> Result<Known<OwnedFd>> {
    match ask::pidfd(fd) {
        Ok(pidfd) => Ok(Known::Known(pidfd)),
        Err(errno) => unknown(errno, "for a pidfd of who is"),
    }
}

/// What an error says about the peer, where it says anything.
fn unknown<T>(errno: Errno, what: &str) -> Result<Known<T>> {
    match errno {
        Errno::INVAL | Errno::NOTCONN | Errno::NODATA | Errno::SRCH => Ok(Known::Gone),
        Errno::NOPROTOOPT | Errno::OPNOTSUPP => Ok(Known::Unsupported),
        errno => Err(Error::system(
            Operation::None,
            format_args!("cannot ask {what} at the other end of the socket"),
            &io::Error::from(errno),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;
    use std::net::UdpSocket;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    #[test]
    fn the_peer_of_a_pair_is_this_process() {
        let (one, two) = UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap().known().unwrap();
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert_eq!(peer.gid, rustix::process::getegid().as_raw());
        assert_eq!(peer.pid, Some(std::process::id()));
        drop(two);
        assert_eq!(
            Peer::of(&one).unwrap(),
            Known::Known(peer),
            "it outlives the peer"
        );
    }

    #[test]
    fn without_a_peer_it_is_gone() {
        let lonely = UnixDatagram::unbound().unwrap();
        assert_eq!(Peer::of(&lonely).unwrap(), Known::Gone);
        assert_eq!(Known::<Peer>::Gone.known(), None);
    }

    #[test]
    fn other_sockets_have_no_such_record() {
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(Peer::of(&other).unwrap(), Known::Unsupported);
        assert_eq!(Known::<Peer>::Unsupported.known(), None);
    }

    #[test]
    fn what_is_no_socket_is_an_error() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let error = Peer::of(&file).unwrap_err();
        assert_eq!(
            (error.status, error.os_error),
            (Status::System, libc::ENOTSOCK)
        );
    }

    #[test]
    fn the_groups_of_a_pair_are_those_of_this_process() {
        let (one, _two) = UnixStream::pair().unwrap();
        let groups = groups_of(one.as_fd()).unwrap().known().unwrap();
        let mut expected: Vec<u32> = rustix::process::getgroups()
            .unwrap()
            .iter()
            .map(|gid| gid.as_raw())
            .collect();
        expected.sort_unstable();
        let mut groups = groups.into_vec();
        groups.sort_unstable();
        assert_eq!(groups, expected);
    }

    #[test]
    fn a_pidfd_is_of_the_process_that_connected() {
        let (one, _two) = UnixStream::pair().unwrap();
        let Known::Known(pidfd) = pidfd_of(one.as_fd()).unwrap() else {
            assert_eq!(ask::pidfd(one.as_fd()).unwrap_err(), Errno::NOPROTOOPT);
            eprintln!("this kernel has no SO_PEERPIDFD: only the refusal was tested");
            return;
        };
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
        let info = std::fs::read_to_string(path).unwrap();
        let line = info.lines().find(|line| line.starts_with("Pid:")).unwrap();
        assert_eq!(line["Pid:".len()..].trim(), std::process::id().to_string());
        let flags = rustix::io::fcntl_getfd(&pidfd).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn a_label_is_known_where_the_kernel_has_a_module_for_it() {
        let (one, _two) = UnixStream::pair().unwrap();
        match label_of(one.as_fd()).unwrap() {
            Known::Known(label) => assert!(!label.is_empty() && !label.contains(&0)),
            other => assert_eq!(other, Known::Unsupported),
        }
    }

    #[test]
    fn without_a_peer_there_are_no_groups_and_no_pidfd() {
        let lonely = UnixDatagram::unbound().unwrap();
        assert_eq!(groups_of(lonely.as_fd()).unwrap(), Known::Gone);
        assert!(pidfd_of(lonely.as_fd()).unwrap().known().is_none());
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(
            groups_of(file.as_fd()).unwrap_err().os_error,
            libc::ENOTSOCK
        );
        assert_eq!(label_of(file.as_fd()).unwrap_err().os_error, libc::ENOTSOCK);
        assert_eq!(pidfd_of(file.as_fd()).unwrap_err().os_error, libc::ENOTSOCK);
    }
}
