//! Who is at the other end of a connection, as the kernel recorded it at connect time.

use crate::error::{Error, Operation, Result};
use rustix::io::Errno;
use rustix::net::AddressFamily;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

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

impl Peer {
    /// Asks for the peer of a socket; an error means that `fd` is no socket at all.
    pub fn of(fd: impl AsFd) -> Result<Known<Peer>> {
        let fd = fd.as_fd();
        match credentials(fd) {
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
            Err(Errno::INVAL | Errno::NOTCONN | Errno::NODATA) => Ok(Known::Gone),
            Err(Errno::NOPROTOOPT | Errno::OPNOTSUPP) => Ok(Known::Unsupported),
            Err(errno) => Err(Error::system(
                Operation::None,
                "cannot ask who is at the other end of the socket",
                &io::Error::from(errno),
            )),
        }
    }
}

/// `SO_PEERCRED`. rustix's own wrapper declares the pid non-zero, and the kernel gives 0 for a
/// process of another pid namespace.
fn credentials(fd: BorrowedFd<'_>) -> std::result::Result<libc::ucred, Errno> {
    let mut found = MaybeUninit::<libc::ucred>::uninit();
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `found` is valid for writing `size` bytes, and `fd` is open.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            found.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    if result != 0 {
        return Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    if size as usize != size_of::<libc::ucred>() {
        return Err(Errno::NOPROTOOPT);
    }
    // SAFETY: the kernel wrote the whole structure, and any bytes are a valid one.
    Ok(unsafe { found.assume_init() })
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
}
