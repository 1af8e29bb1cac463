//! What [`Listener::open`](super::Listener::open) made and nobody has adopted yet: the descriptor alone
//! does not say where the file of a long path is, and which one it was.
//!
//! In memory, so that a fork, as of a program that becomes a daemon, takes it along.

use super::super::address::Address;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, TryLockError};

/// The most that are remembered; the oldest are forgotten first.
const MOST: usize = 64;
/// How often to look for the lock. It is held for an instant; for ever in a child whose parent forked
/// within that.
const TRIES: u32 = 1000;

pub struct Opened {
    /// The kernel's number of the socket, never used again.
    cookie: u64,
    pub address: Address,
    /// Device and inode of its file.
    pub file: Option<(u64, u64)>,
}

static OPENED: Mutex<VecDeque<Opened>> = Mutex::new(VecDeque::new());

fn opened() -> Option<MutexGuard<'static, VecDeque<Opened>>> {
    for _ in 0..TRIES {
        match OPENED.try_lock() {
            Ok(opened) => return Some(opened),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
    None
}

pub fn remember(socket: &OwnedFd, address: &Address, file: Option<(u64, u64)>) {
    let Ok(cookie) = rustix::net::sockopt::socket_cookie(socket) else {
        return;
    };
    if let Some(mut opened) = opened() {
        if opened.len() >= MOST {
            opened.pop_front();
        }
        opened.push_back(Opened {
            cookie,
            address: address.clone(),
            file,
        });
    }
}

/// What is known of a socket, once.
pub fn recall(socket: &OwnedFd) -> Option<Opened> {
    let cookie = rustix::net::sockopt::socket_cookie(socket).ok()?;
    let mut opened = opened()?;
    let index = opened.iter().position(|known| known.cookie == cookie)?;
    opened.remove(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType};

    fn socket() -> OwnedFd {
        let flags = SocketFlags::CLOEXEC;
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
    }

    #[test]
    fn what_was_opened_is_known_once_and_the_oldest_are_forgotten() {
        let address = Address::parse(b"/x").unwrap();
        let (one, other) = (socket(), socket());
        remember(&one, &address, Some((1, 2)));
        assert!(recall(&other).is_none());
        let copy = one.try_clone().unwrap();
        assert_eq!(recall(&copy).unwrap().file, Some((1, 2)));
        assert!(recall(&one).is_none());

        let many: Vec<_> = (0..MOST + 8).map(|_| socket()).collect();
        for socket in &many {
            remember(socket, &address, None);
        }
        assert!(recall(&many[0]).is_none());
        assert!(recall(&many[MOST + 7]).is_some());
        assert!(OPENED.lock().unwrap().len() < MOST);
    }
}
