//! From an address to a bound, listening socket with the right file.

use super::super::address::{Address, failure, sibling, split};
use super::super::lock::{FileLock, creation_error};
use super::super::packet;
use super::file::{SocketFile, cannot_remove, cannot_replace, shown};
use super::probe::{self, Occupant};
use super::{ListenerOptions, Stale};
use crate::error::{Error, Operation, Result, Status};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How often something may take the path between our look at it and our bind, before we give up.
const ATTEMPTS: u32 = 8;
/// What a socket's name is between until it takes another one's place.
const TEMPORARY: (&str, &str) = (".", ".new");

/// A bind under way.
pub struct Binding<'a> {
    pub kind: SocketType,
    pub address: &'a Address,
    pub options: &'a ListenerOptions,
}

impl Binding<'_> {
    /// The socket, and its file unless the name is abstract.
    pub fn run(&self) -> Result<(OwnedFd, Option<SocketFile>)> {
        self.options.check()?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, self.kind, flags, None)
            .map_err(|errno| self.system(errno, "cannot make a socket for"))?;
        if self.kind == SocketType::DGRAM {
            // From the first datagram on.
            packet::tell_senders(socket.as_fd())
                .map_err(|errno| self.system(errno, "cannot ask for the senders of"))?;
        }
        let file = match self.address.path() {
            Some(path) => Some(self.bind_path(&socket, path)?),
            None => {
                self.bind_abstract(&socket)?;
                self.listen(&socket)?;
                None
            }
        };
        Ok((socket, file))
    }

    fn bind_abstract(&self, socket: &OwnedFd) -> Result<()> {
        let address = self.address;
        match address.with_sockaddr(|name| rustix::net::bind(socket, name)) {
            Ok(()) => Ok(()),
            Err(errno @ Errno::ADDRINUSE) => {
                let who = match probe::ask(address, self.kind)? {
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
            Err(errno) => Err(self.system(errno, "cannot bind")),
        }
    }

    /// Binds to a path and listens, all under the lock: in between the new socket looks dead.
    fn bind_path(&self, socket: &OwnedFd, path: &Path) -> Result<SocketFile> {
        if self.options.parent_check {
            check_parent(path)?;
        }
        // A look before the lock, which would leave its file beside something that is no socket.
        probe::is_socket(path)?;
        let _lock = FileLock::acquire(path)?;
        // The file gets the socket's own mode, less the umask: it is never open wider than wanted.
        rustix::fs::fchmod(socket, Mode::from_raw_mode(self.options.birth_mode()))
            .map_err(|errno| self.system(errno, "cannot set the mode of"))?;
        if self.options.stale == Stale::TakeOver {
            return self.take_over(socket, path);
        }
        self.bind_to(socket, self.address, path, || self.make_room(path))?;
        self.settle(socket, path)
    }

    /// Binds beside the path and renames: whoever connects finds the old socket or the new one.
    fn take_over(&self, socket: &OwnedFd, path: &Path) -> Result<SocketFile> {
        let beside = sibling(path, TEMPORARY.0, TEMPORARY.1);
        let address = Address::from_path(beside.as_os_str().as_bytes())?;
        // What is there was left by somebody who died in here: we hold the lock.
        self.bind_to(socket, &address, &beside, || {
            match probe::is_socket(&beside)? {
                true => remove(&beside),
                false => Ok(()),
            }
        })?;
        let mut file = self.settle(socket, &beside)?;
        let renamed = probe::is_socket(path).and_then(|_| {
            rustix::fs::rename(&beside, path).map_err(|errno| cannot_replace(errno, path))
        });
        if let Err(error) = renamed {
            // The first error is the one to tell.
            let _ = file.remove_locked();
            return Err(error);
        }
        file.path = path.to_owned();
        Ok(file)
    }

    /// Binds to `path`, where `make_room` sees to it that nothing is.
    fn bind_to(
        &self,
        socket: &OwnedFd,
        address: &Address,
        path: &Path,
        make_room: impl Fn() -> Result<()>,
    ) -> Result<()> {
        for _ in 0..ATTEMPTS {
            make_room()?;
            match address.with_sockaddr(|name| rustix::net::bind(socket, name)) {
                Ok(()) => return Ok(()),
                // Somebody who does not know the lock was faster: look again who it is.
                Err(Errno::ADDRINUSE) => {}
                Err(Errno::NOENT) if address.lacks_proc() => {
                    let what =
                        format!("cannot bind {address}: a path this long needs /proc mounted");
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
    fn settle(&self, socket: &OwnedFd, path: &Path) -> Result<SocketFile> {
        let (file, mode) = SocketFile::look(path)?;
        let settled = file
            .adjust(mode, self.options)
            .and_then(|()| self.listen(socket));
        match settled {
            Ok(()) => Ok(file),
            Err(error) => {
                // The first error is the one to tell; a dead file that stays harms no later start.
                let _ = file.remove_locked();
                Err(error)
            }
        }
    }

    /// Sees to it that nothing is at the path, or says what is. The caller holds the lock.
    fn make_room(&self, path: &Path) -> Result<()> {
        if !probe::is_socket(path)? {
            return Ok(());
        }
        let address = self.address;
        match probe::ask(address, self.kind)? {
            Occupant::Vanished => Ok(()),
            Occupant::Alive(who) => Err(in_use(
                Errno::ADDRINUSE,
                address,
                &format!("is in use {who}"),
            )),
            Occupant::Dead if self.options.stale == Stale::Refuse => Err(in_use(
                Errno::ADDRINUSE,
                address,
                "is a stale socket file that nobody listens on: remove it, or allow to replace it",
            )),
            Occupant::Dead => remove(path),
        }
    }

    /// Datagram sockets have nothing to listen for.
    fn listen(&self, socket: &OwnedFd) -> Result<()> {
        if self.kind == SocketType::DGRAM {
            return Ok(());
        }
        listen(socket, self.options).map_err(|errno| self.system(errno, "cannot listen on"))
    }

    fn system(&self, errno: Errno, what: &str) -> Error {
        let what = format!("{what} {}", self.address);
        failure(Status::System, Operation::Bind, errno, what)
    }
}

/// listen(2): it also makes this process the one that clients see as their peer.
pub fn listen(socket: &OwnedFd, options: &ListenerOptions) -> rustix::io::Result<()> {
    let backlog = options
        .backlog
        .map_or(i32::MAX, |n| i32::try_from(n).unwrap_or(i32::MAX));
    rustix::net::listen(socket, backlog)
}

/// As root: where anybody may rename files, anybody can put a socket of his own in the place of ours.
fn check_parent(path: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let directory = split(path).0;
    let Ok(stat) = rustix::fs::stat(directory) else {
        // What is wrong with it the bind tells.
        return Ok(());
    };
    let mode = Mode::from_raw_mode(stat.st_mode);
    if !mode.contains(Mode::WOTH) || mode.contains(Mode::SVTX) {
        return Ok(());
    }
    Err(Error::new(
        Status::Forbidden,
        Operation::Bind,
        format!(
            "cannot create {} as root: anybody may replace files in {}, its mode is {:o}: choose another \
             directory, or make it sticky (hysock_listener_config_set_parent_check() turns this off)",
            shown(path),
            shown(directory),
            stat.st_mode & 0o7777
        ),
    ))
}

fn remove(path: &Path) -> Result<()> {
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(cannot_remove(errno, path)),
    }
}

fn in_use(errno: Errno, address: &Address, how: &str) -> Error {
    let what = format!("{address} {how}");
    failure(Status::InUse, Operation::Bind, errno, what)
}

/// The path that a socket stands at which was bound to the path of a moment in [`Binding::take_over`], and
/// has that for its own name ever since.
pub fn behind_temporary(path: &Path) -> Option<PathBuf> {
    let (directory, name) = split(path);
    let name = name.as_bytes().strip_prefix(TEMPORARY.0.as_bytes())?;
    let name = name.strip_suffix(TEMPORARY.1.as_bytes())?;
    (!name.is_empty()).then(|| directory.join(OsStr::from_bytes(name)))
}
