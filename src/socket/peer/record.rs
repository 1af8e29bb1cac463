//! What is known of one connection's peer: asked of the kernel when somebody wants to know, once.

use super::{Known, Peer, groups_of, label_of, pidfd_of};
use crate::error::Result;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock, Weak};

/// Shared by all who ask about one connection, on any thread. What was asked before the connection's end
/// stays known after it, all else is gone.
#[derive(Debug)]
pub struct Record {
    socket: Weak<OwnedFd>,
    peer: OnceLock<Known<Peer>>,
    groups: OnceLock<Known<Box<[u32]>>>,
    label: OnceLock<Known<Box<[u8]>>>,
}

impl Record {
    pub fn new(socket: &Arc<OwnedFd>) -> Record {
        Record {
            socket: Arc::downgrade(socket),
            peer: OnceLock::new(),
            groups: OnceLock::new(),
            label: OnceLock::new(),
        }
    }

    /// Of a sender whom a datagram names; more than that it does not say.
    pub fn of(peer: Known<Peer>) -> Record {
        Record {
            socket: Weak::new(),
            peer: OnceLock::from(peer),
            groups: OnceLock::from(Known::Unsupported),
            label: OnceLock::from(Known::Unsupported),
        }
    }

    pub fn peer(&self) -> Result<Known<Peer>> {
        self.once(&self.peer, |fd| Peer::of(fd))
            .map(|known| known.copied().unwrap_or(Known::Gone))
    }

    /// The supplementary groups.
    pub fn groups(&self) -> Result<Known<&[u32]>> {
        let known = self.once(&self.groups, groups_of)?;
        Ok(known.map_or(Known::Gone, Known::as_deref))
    }

    pub fn label(&self) -> Result<Known<&[u8]>> {
        let known = self.once(&self.label, label_of)?;
        Ok(known.map_or(Known::Gone, Known::as_deref))
    }

    /// A descriptor of the peer's process, a new one each time.
    pub fn pidfd(&self) -> Result<Known<OwnedFd>> {
        match self.socket.upgrade() {
            Some(socket) => pidfd_of(socket.as_fd()),
            None => Ok(Known::Gone),
        }
    }

    /// The answer of the first time, or of this one; `None` when there is no socket to ask any more.
    fn once<'a, T>(
        &'a self,
        place: &'a OnceLock<Known<T>>,
        ask: impl FnOnce(BorrowedFd<'_>) -> Result<Known<T>>,
    ) -> Result<Option<&'a Known<T>>> {
        if let Some(known) = place.get() {
            return Ok(Some(known));
        }
        let Some(socket) = self.socket.upgrade() else {
            return Ok(None);
        };
        let known = ask(socket.as_fd())?;
        Ok(Some(place.get_or_init(|| known)))
    }
}

/// For log lines.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer() {
            Ok(Known::Known(peer)) => {
                write!(f, "uid {} (gid {}, pid ", peer.uid, peer.gid)?;
                match peer.pid {
                    Some(pid) => write!(f, "{pid})"),
                    None => write!(f, "not visible here)"),
                }
            }
            _ => write!(f, "somebody whom the kernel does not know"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_was_asked_outlives_the_socket_and_the_rest_is_gone() {
        let (one, _two) = UnixStream::pair().unwrap();
        let socket = Arc::new(OwnedFd::from(one));
        let record = Record::new(&socket);
        let peer = record.peer().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(peer.known().unwrap().uid, uid);
        assert!(record.to_string().starts_with(&format!("uid {uid} (gid ")));
        drop(socket);
        assert_eq!(record.peer().unwrap(), peer);
        assert_eq!(record.groups().unwrap(), Known::Gone);
        assert_eq!(record.label().unwrap(), Known::Gone);
        assert!(record.pidfd().unwrap().known().is_none());
    }

    #[test]
    fn a_record_that_was_never_asked_for_goes_with_the_socket() {
        let (one, _two) = UnixStream::pair().unwrap();
        let socket = Arc::new(OwnedFd::from(one));
        let record = Record::new(&socket);
        drop(socket);
        assert_eq!(record.peer().unwrap(), Known::Gone);
        assert_eq!(record.to_string(), "somebody whom the kernel does not know");
    }

    #[test]
    fn a_failure_is_an_error_and_is_not_remembered() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let record = Record::new(&Arc::new(OwnedFd::from(file)));
        assert_eq!(record.peer().unwrap(), Known::Gone, "closed already");
        let file = std::fs::File::open("/dev/null").unwrap();
        let socket = Arc::new(OwnedFd::from(file));
        let record = Record::new(&socket);
        assert_eq!(record.peer().unwrap_err().os_error, libc::ENOTSOCK);
        assert_eq!(record.groups().unwrap_err().os_error, libc::ENOTSOCK);
        drop(socket);
        assert_eq!(record.peer().unwrap(), Known::Gone);
    }
}
