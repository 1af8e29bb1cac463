//! A listening socket and the life of its file: born with the right mode, never in the place of
//! something alive or foreign, removed at the end only if it is still ours.

mod probe;

use super::address::{Address, failure, printable};
use super::lock::{FileLock, creation_error};
use crate::error::{Error, Operation, Result, Status};
use probe::Occupant;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// How often something may take the path between our look at it and our bind, before we give up.
const ATTEMPTS: u32 = 8;
/// The bits that a socket file's mode may have.
const PERMISSIONS: u32 = 0o777;

/// What to do with a socket file that nobody listens on any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    Refuse,
    Replace,
}

#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Permission bits of the file; the umask does not touch them.
    pub mode: u32,
    /// Connections that may wait to be accepted; the system's most by default.
    pub backlog: Option<u32>,
    pub stale: Stale,
}

impl Default for ListenerOptions {
    fn default() -> ListenerOptions {
        ListenerOptions {
            mode: 0o600,
            backlog: None,
            stale: Stale::Replace,
        }
    }
}

/// A bound, listening, non-blocking stream socket. Dropping it removes its file.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    address: Address,
    /// `None` for an abstract name.
    file: Option<SocketFile>,
}

impl Listener {
    /// Binds and listens. `IN_USE` says who holds the address; `WRONG_TYPE` means that the path holds
    /// something that is no socket, which stays untouched.
    pub fn bind(address: &Address, options: &ListenerOptions) -> Result<Listener> {
        if options.mode & !PERMISSIONS != 0 {
            return Err(Error::argument(format!(
                "the socket mode {:o} has bits beyond {PERMISSIONS:o}",
                options.mode
            )));
        }
        let socket = open(address)?;
        let file = match address.path() {
            Some(path) => Some(bind_path(&socket, address, path, options)?),
            None => {
                bind_abstract(&socket, address)?;
                listen(&socket, address, options)?;
                None
            }
        };
        Ok(Listener {
            socket,
            address: address.clone(),
            file,
        })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub fn address(&self) -> &Address {
        &self.address
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

    /// Removes the socket's file, if this process made it and it is still the same file. Does nothing
    /// the next time.
    pub fn remove_file(&self) -> Result<()> {
        self.file
            .as_ref()
            .map_or(Ok(()), |file| file.remove(FileLock::acquire))
    }

    /// Like [`Listener::remove_file`], but leaves the file to a later try where that would have to wait.
    pub fn remove_file_now(&self) {
        if let Some(file) = &self.file {
            file.remove(FileLock::try_acquire).ok();
        }
    }
}

impl std::os::fd::AsRawFd for Listener {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.fd().as_raw_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Before the socket closes: as long as it is open no other file can get its inode number.
        // A file that cannot be removed is left for the next starter, who finds it dead.
        let _ = self.remove_file();
    }
}

/// The file that a bind made, and what tells it from its successors.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Who made it: a forked child must leave it alone.
    process: u32,
    device: u64,
    inode: u64,
    removed: AtomicBool,
}

impl SocketFile {
    /// The file at `path`, which this process has just made, with the mode that it got.
    fn look(path: &Path) -> Result<(SocketFile, u32)> {
        let stat = rustix::fs::lstat(path).map_err(|errno| vanished(errno, path))?;
        let file = SocketFile {
            path: path.to_owned(),
            process: std::process::id(),
            device: stat.st_dev,
            inode: stat.st_ino,
            removed: AtomicBool::new(false),
        };
        Ok((file, stat.st_mode & 0o7777))
    }

    fn is_ours(&self) -> bool {
        self.process == std::process::id()
            && rustix::fs::lstat(&self.path)
                .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (self.device, self.inode))
    }

    fn remove(&self, lock: impl FnOnce(&Path) -> Result<FileLock>) -> Result<()> {
        if self.removed.load(Ordering::Acquire) || !self.is_ours() {
            return Ok(());
        }
        let _lock = lock(&self.path)?;
        self.remove_locked()
    }

    /// The caller holds the lock.
    fn remove_locked(&self) -> Result<()> {
        if !self.removed.load(Ordering::Acquire) && self.is_ours() {
            rustix::fs::unlink(&self.path).map_err(|errno| cannot_remove(errno, &self.path))?;
            self.removed.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Gives the file bits that a umask or an ACL changed, through a descriptor of this very file.
    fn change_mode(&self, mode: u32) -> Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(&self.path, flags, Mode::empty())
            .map_err(|errno| vanished(errno, &self.path))?;
        let stat = rustix::fs::fstat(&file).map_err(|errno| vanished(errno, &self.path))?;
        if (stat.st_dev, stat.st_ino) != (self.device, self.inode) {
            return Err(vanished(Errno::NOENT, &self.path));
        }
        let through = format!("/proc/self/fd/{}", file.as_raw_fd());
        rustix::fs::chmod(through, Mode::from_raw_mode(mode)).map_err(|errno| {
            let what = format!("cannot give {} the mode {mode:o}", shown(&self.path));
            failure(Status::System, Operation::Bind, errno, what)
        })
    }
}

fn open(address: &Address) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(|errno| system(errno, "cannot make a socket for", address))
}

fn listen(socket: &OwnedFd, address: &Address, options: &ListenerOptions) -> Result<()> {
    let backlog = options
        .backlog
        .map_or(i32::MAX, |n| i32::try_from(n).unwrap_or(i32::MAX));
    rustix::net::listen(socket, backlog).map_err(|errno| system(errno, "cannot listen on", address))
}

fn bind_abstract(socket: &OwnedFd, address: &Address) -> Result<()> {
    match address.with_sockaddr(|name| rustix::net::bind(socket, name)) {
        Ok(()) => Ok(()),
        Err(errno @ Errno::ADDRINUSE) => {
            let who = match probe::ask(address)? {
                Occupant::Alive(who) => who,
                Occupant::Dead | Occupant::Vanished => {
                    "by a socket that does not listen".to_owned()
                }
            };
            Err(in_use(errno, address, &format!("is in use {who}")))
        }
        Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
            let what = format!("may not bind {address}");
            Err(failure(Status::Forbidden, Operation::Bind, errno, what))
        }
        Err(errno) => Err(system(errno, "cannot bind", address)),
    }
}

/// Binds to a path and listens, all under the lock: in between the new socket looks dead.
fn bind_path(
    socket: &OwnedFd,
    address: &Address,
    path: &Path,
    options: &ListenerOptions,
) -> Result<SocketFile> {
    // A look before the lock, which would leave its file beside something that is no socket.
    probe::is_socket(path)?;
    let _lock = FileLock::acquire(path)?;
    // The file gets the socket's own mode, less the umask: it is never open wider than wanted.
    rustix::fs::fchmod(socket, Mode::from_raw_mode(options.mode))
        .map_err(|errno| system(errno, "cannot set the mode of", address))?;
    for _ in 0..ATTEMPTS {
        make_room(address, path, options.stale)?;
        match address.with_sockaddr(|name| rustix::net::bind(socket, name)) {
            Ok(()) => return settle(socket, address, path, options),
            // Somebody who does not know the lock was faster: look again who it is.
            Err(Errno::ADDRINUSE) => {}
            Err(Errno::NOENT) if address.lacks_proc() => {
                let what = format!("cannot bind {address}: a path this long needs /proc mounted");
                return Err(failure(Status::System, Operation::Bind, Errno::NOENT, what));
            }
            Err(errno) => return Err(creation_error(errno, path)),
        }
    }
    Err(in_use(
        Errno::ADDRINUSE,
        address,
        "is taken again and again by another program",
    ))
}

/// Makes the bound socket's file what it shall be and listens; takes it away again when that fails.
fn settle(
    socket: &OwnedFd,
    address: &Address,
    path: &Path,
    options: &ListenerOptions,
) -> Result<SocketFile> {
    let (file, mode) = SocketFile::look(path)?;
    let right = if mode == options.mode {
        Ok(())
    } else {
        file.change_mode(options.mode)
    };
    match right.and_then(|()| listen(socket, address, options)) {
        Ok(()) => Ok(file),
        Err(error) => {
            // The first error is the one to tell; a dead file that stays harms no later start.
            let _ = file.remove_locked();
            Err(error)
        }
    }
}

/// Sees to it that nothing is at the path, or says what is. The caller holds the lock.
fn make_room(address: &Address, path: &Path, stale: Stale) -> Result<()> {
    if !probe::is_socket(path)? {
        return Ok(());
    }
    match probe::ask(address)? {
        Occupant::Vanished => Ok(()),
        Occupant::Alive(who) => Err(in_use(
            Errno::ADDRINUSE,
            address,
            &format!("is in use {who}"),
        )),
        Occupant::Dead if stale == Stale::Refuse => Err(in_use(
            Errno::ADDRINUSE,
            address,
            "is a stale socket file that nobody listens on: remove it, or allow to replace it",
        )),
        Occupant::Dead => match rustix::fs::unlink(path) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(cannot_remove(errno, path)),
        },
    }
}

fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_bytes())
}

fn system(errno: Errno, what: &str, address: &Address) -> Error {
    failure(
        Status::System,
        Operation::Bind,
        errno,
        format!("{what} {address}"),
    )
}

fn in_use(errno: Errno, address: &Address, how: &str) -> Error {
    failure(
        Status::InUse,
        Operation::Bind,
        errno,
        format!("{address} {how}"),
    )
}

fn vanished(errno: Errno, path: &Path) -> Error {
    let what = format!(
        "the socket file {} was taken away while it was being made",
        shown(path)
    );
    failure(Status::System, Operation::Bind, errno, what)
}

fn cannot_remove(errno: Errno, path: &Path) -> Error {
    let status = match errno {
        Errno::ACCESS | Errno::PERM => Status::Forbidden,
        _ => Status::System,
    };
    let what = format!("cannot remove the old socket file {}", shown(path));
    failure(status, Operation::Bind, errno, what)
}

#[cfg(test)]
mod tests;
