//! A listening socket and the life of its file: born with the right mode, never in the place of
//! something alive or foreign, removed at the end only if it is still ours.

pub mod activation;
mod adopt;
mod bind;
mod file;
mod opened;
mod options;
mod probe;
mod watch;

pub use adopt::{check, check_connected, prepare};
pub use file::Lost;
pub use options::{ListenerOptions, Stale};
pub use watch::watch;

use super::address::{Address, failure};
use super::lock::FileLock;
use super::policy::Allow;
use crate::error::{Error, Operation, Result, Status};
use crate::limits::ACCEPT_PAUSE_MIN;
use bind::Binding;
use file::SocketFile;
use rustix::net::{SocketFlags, SocketType};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long another starter's hold on the lock of a socket file is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Whose a listener's file is that somebody else made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopt {
    /// Ours now: removed at the end.
    Own,
    /// Somebody else's.
    Keep,
}

/// A bound, listening, non-blocking socket. Dropping it removes its file.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    address: Address,
    /// `None` for an abstract name, and where it is not known.
    file: Option<SocketFile>,
    /// The socket is somebody else's, who may accept from it too.
    kept: bool,
    /// Somebody else has a descriptor of the socket, and its file is his.
    handed_over: AtomicBool,
    allow: Mutex<Allow>,
}

impl Listener {
    /// Binds a stream socket and listens. `IN_USE` says who holds the address; `WRONG_TYPE` means that the
    /// path holds something that is no socket, which stays untouched.
    pub fn bind(address: &Address, options: &ListenerOptions) -> Result<Listener> {
        Listener::bind_as(SocketType::STREAM, address, options)
    }

    /// The same for a socket of any type; one for datagrams is only bound.
    pub fn bind_as(
        kind: SocketType,
        address: &Address,
        options: &ListenerOptions,
    ) -> Result<Listener> {
        let binding = Binding {
            kind,
            address,
            options,
        };
        let (socket, file) = binding.run()?;
        let allow = options.allow.clone();
        Ok(Listener::new(socket, address.clone(), file, false, allow))
    }

    /// Like [`Listener::bind`], and leaves everything to the descriptor's owner: who adopts it as his own
    /// removes its file.
    pub fn open(address: &Address, options: &ListenerOptions) -> Result<OwnedFd> {
        let listener = Listener::bind(address, options)?;
        let file = listener.file.as_ref();
        let file = file.map(|file| (file.device, file.inode));
        let socket = listener.copy()?;
        opened::remember(&socket, address, file);
        listener.handed_over.store(true, Ordering::Release);
        Ok(socket)
    }

    /// Takes a listening stream socket that somebody else made. Of `options` the backlog and the rules
    /// count.
    pub fn adopt(socket: OwnedFd, adopt: Adopt, options: &ListenerOptions) -> Result<Listener> {
        Listener::adopt_as(SocketType::STREAM, socket, adopt, options)
    }

    /// The same for a socket of any type.
    pub fn adopt_as(
        kind: SocketType,
        socket: OwnedFd,
        adopt: Adopt,
        options: &ListenerOptions,
    ) -> Result<Listener> {
        check(socket.as_fd(), kind)?;
        let (address, file) = adopt::place(&socket, kind, adopt, options)?;
        prepare(&socket, true)?;
        let kept = adopt == Adopt::Keep;
        let allow = options.allow.clone();
        Ok(Listener::new(socket, address, file, kept, allow))
    }

    fn new(
        socket: OwnedFd,
        address: Address,
        file: Option<SocketFile>,
        kept: bool,
        allow: Allow,
    ) -> Listener {
        Listener {
            socket,
            address,
            file,
            kept,
            handed_over: AtomicBool::new(false),
            allow: Mutex::new(allow),
        }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whose connections are served.
    pub fn allow(&self) -> MutexGuard<'_, Allow> {
        self.allow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next connection, closed on exec and in blocking mode: who must not wait says so in each call.
    pub fn accept(&self) -> rustix::io::Result<OwnedFd> {
        rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC)
    }

    /// Ends the connecting: connect(2) fails with ECONNREFUSED from now on, whoever has connected before
    /// is still to be accepted. Not for a socket that another process shares.
    pub fn refuse_more(&self) {
        // Cannot fail for a socket that listens.
        rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Read).ok();
    }

    fn copy(&self) -> Result<OwnedFd> {
        rustix::io::fcntl_dupfd_cloexec(&self.socket, 0).map_err(|errno| {
            let what = format!("cannot copy the descriptor of {}", self.address);
            failure(Status::System, Operation::Bind, errno, what)
        })
    }

    /// A descriptor for somebody else, whose the socket and its file are from now on. Once.
    pub fn hand_over(&self) -> Result<OwnedFd> {
        let copy = self.copy()?;
        if self.handed_over.swap(true, Ordering::AcqRel) {
            let message = format!("the listener on {} was taken before", self.address);
            return Err(Error::state(message));
        }
        Ok(copy)
    }

    /// Whether somebody else accepts from the socket.
    pub fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Acquire)
    }

    /// Whether what waits in the backlog is not lost when this one closes.
    pub fn is_shared(&self) -> bool {
        self.kept || self.is_handed_over()
    }

    /// What somebody else did to the file, as long as it should be there.
    pub fn lost(&self) -> Option<Lost> {
        let lost = self.file.as_ref()?.lost()?;
        (!self.is_handed_over()).then_some(lost)
    }

    /// Whether there is a file that can be lost.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Removes the socket's file, if it is this process's and still the same file. Does nothing the next
    /// time.
    pub fn remove_file(&self) -> Result<()> {
        match self.own_file() {
            Some(file) => file.remove(FileLock::acquire),
            None => Ok(()),
        }
    }

    /// Like [`Listener::remove_file`], but leaves the file to a later try where that would have to wait.
    /// That is the error `IN_USE`.
    pub fn remove_file_now(&self) -> Result<()> {
        match self.own_file() {
            Some(file) => file.remove(FileLock::try_acquire),
            None => Ok(()),
        }
    }

    /// Tries that for a while, where an I/O thread must not sleep.
    pub async fn remove_file_soon(&self) -> Result<()> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match self.remove_file_now() {
                Err(error) if error.status == Status::InUse && Instant::now() < deadline => {
                    tokio::time::sleep(ACCEPT_PAUSE_MIN).await;
                }
                result => return result,
            }
        }
    }

    fn own_file(&self) -> Option<&SocketFile> {
        self.file.as_ref().filter(|_| !self.is_handed_over())
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.fd().as_raw_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Before the socket closes: as long as it is open no other file can get its inode number.
        // A file that cannot be removed now is left for the next starter, who finds it dead: this may be
        // in a free, which never waits.
        self.remove_file_now().ok();
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_adopt;
#[cfg(test)]
mod tests_take_over;
