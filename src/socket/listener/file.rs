//! The file that a bind makes, and what tells it from its successors.

use super::super::address::{failure, printable};
use super::super::lock::FileLock;
use super::super::sys;
use super::ListenerOptions;
use crate::error::{Error, Operation, Result, Status};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What became of a file that should still be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Nothing is at the path.
    Removed,
    /// Something else is.
    Replaced,
}

#[derive(Debug)]
pub struct SocketFile {
    pub path: PathBuf,
    /// Who may remove it: a forked child must leave it alone. `None`: nobody of ours.
    pub owner: Option<u32>,
    pub device: u64,
    pub inode: u64,
    removed: AtomicBool,
}

impl SocketFile {
    /// A file that is known already; one of `owned` is removed at the end.
    pub fn known(path: &Path, device: u64, inode: u64, owned: bool) -> SocketFile {
        SocketFile {
            path: path.to_owned(),
            owner: owned.then(std::process::id),
            device,
            inode,
            removed: AtomicBool::new(false),
        }
    }

    /// The file at `path`, which this process has just made, with the mode that it got.
    pub fn look(path: &Path) -> Result<(SocketFile, u32)> {
        let stat = rustix::fs::lstat(path).map_err(|errno| vanished(errno, path))?;
        let file = SocketFile::known(path, stat.st_dev, stat.st_ino, true);
        Ok((file, stat.st_mode & 0o7777))
    }

    /// The socket file at `path`, if there is one.
    pub fn find(path: &Path, owned: bool) -> Option<SocketFile> {
        let stat = rustix::fs::lstat(path).ok()?;
        let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
        is_socket.then(|| SocketFile::known(path, stat.st_dev, stat.st_ino, owned))
    }

    fn is_here(&self) -> rustix::io::Result<bool> {
        rustix::fs::lstat(&self.path)
            .map(|stat| (stat.st_dev, stat.st_ino) == (self.device, self.inode))
    }

    fn is_ours(&self) -> bool {
        self.owner == Some(std::process::id()) && self.is_here() == Ok(true)
    }

    /// Whether somebody else took the file away or put another in its place. What cannot be told counts
    /// as still there.
    pub fn lost(&self) -> Option<Lost> {
        let lost = match self.is_here() {
            Ok(false) => Lost::Replaced,
            Err(Errno::NOENT | Errno::NOTDIR) => Lost::Removed,
            Ok(true) | Err(_) => return None,
        };
        // After the look: it may have been us, in between.
        (!self.removed.load(Ordering::Acquire)).then_some(lost)
    }

    /// Removes the file if it is ours and still the same. Does nothing the next time.
    pub fn remove(&self, lock: impl FnOnce(&Path) -> Result<FileLock>) -> Result<()> {
        if self.removed.load(Ordering::Acquire) || !self.is_ours() {
            return Ok(());
        }
        let _lock = lock(&self.path)?;
        self.remove_locked()
    }

    /// The caller holds the lock.
    pub fn remove_locked(&self) -> Result<()> {
        if self.removed.load(Ordering::Acquire) || !self.is_ours() {
            return Ok(());
        }
        // Before it is: whoever watches must not take it for somebody else's deed.
        self.removed.store(true, Ordering::Release);
        rustix::fs::unlink(&self.path).map_err(|errno| {
            self.removed.store(false, Ordering::Release);
            cannot_remove(errno, &self.path)
        })
    }

    /// Gives the file, which has the bits `mode`, the owner, group and bits that it shall have, through a
    /// descriptor of this very file.
    pub fn adjust(&self, mode: u32, options: &ListenerOptions) -> Result<()> {
        let owned = options.owner.is_some() || options.group.is_some();
        if mode == options.mode && !owned {
            return Ok(());
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(&self.path, flags, Mode::empty())
            .map_err(|errno| vanished(errno, &self.path))?;
        let stat = rustix::fs::fstat(&file).map_err(|errno| vanished(errno, &self.path))?;
        if (stat.st_dev, stat.st_ino) != (self.device, self.inode) {
            return Err(vanished(Errno::NOENT, &self.path));
        }
        if owned {
            let (uid, gid) = (options.owner, options.group);
            let (owner, group) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
            rustix::fs::chownat(&file, "", owner, group, AtFlags::EMPTY_PATH)
                .map_err(|errno| cannot_give(errno, &self.path, uid, gid))?;
        }
        if mode == options.mode {
            return Ok(());
        }
        sys::change_mode(&file, options.mode).map_err(|errno| {
            let what = format!(
                "cannot give {} the mode {:o}",
                shown(&self.path),
                options.mode
            );
            failure(Status::System, Operation::Bind, errno, what)
        })
    }
}

pub fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_bytes())
}

fn vanished(errno: Errno, path: &Path) -> Error {
    let what = format!(
        "the socket file {} was taken away while it was being made",
        shown(path)
    );
    failure(Status::System, Operation::Bind, errno, what)
}

pub fn cannot_remove(errno: Errno, path: &Path) -> Error {
    let what = format!("cannot remove the old socket file {}", shown(path));
    failure(permission(errno), Operation::Bind, errno, what)
}

pub fn cannot_replace(errno: Errno, path: &Path) -> Error {
    let what = format!("cannot take over {} by renaming", shown(path));
    failure(permission(errno), Operation::Bind, errno, what)
}

fn cannot_give(errno: Errno, path: &Path, uid: Option<u32>, gid: Option<u32>) -> Error {
    let whom = match (uid, gid) {
        (Some(uid), Some(gid)) => format!("uid {uid} and gid {gid}"),
        (Some(uid), None) => format!("uid {uid}"),
        (None, gid) => format!("gid {}", gid.unwrap_or_default()),
    };
    let what = format!(
        "cannot give {} to {whom}: only root may give files away, and others only to groups that they \
         are in",
        shown(path)
    );
    failure(permission(errno), Operation::Bind, errno, what)
}

fn permission(errno: Errno) -> Status {
    match errno {
        Errno::ACCESS | Errno::PERM => Status::Forbidden,
        _ => Status::System,
    }
}
