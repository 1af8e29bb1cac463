//! The lock beside a socket file: whoever binds, replaces or removes the socket holds it.
//!
//! A socket that is bound and not yet listening looks exactly like a dead one. So two starters
//! without a lock would each take the other's new socket for a stale file and delete it.

use super::address::{failure, printable, sibling, split};
use crate::error::{Error, Operation, Result, Status};
use rustix::fs::{FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait for another process that holds the lock.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause between two tries: first and longest.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// The lock, held until dropped. Its file stays: removing it would let two processes lock two files.
#[derive(Debug)]
pub struct FileLock(OwnedFd);

impl FileLock {
    /// Takes the lock of the socket at `socket`, and waits for it for at most five seconds.
    pub fn acquire(socket: &Path) -> Result<FileLock> {
        FileLock::acquire_as(socket, PATIENCE, rustix::process::geteuid().as_raw())
    }

    /// Takes the lock only if nobody holds it.
    pub fn try_acquire(socket: &Path) -> Result<FileLock> {
        FileLock::acquire_as(socket, Duration::ZERO, rustix::process::geteuid().as_raw())
    }

    fn acquire_as(socket: &Path, patience: Duration, owner: u32) -> Result<FileLock> {
        let path = lock_path(socket);
        let start = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let file = open(&path, owner)?;
            match try_take(&file, &path) {
                Ok(true) => return Ok(FileLock(file)),
                Ok(false) => {}
                Err(errno) => {
                    let what = format!("cannot lock {}", shown(&path));
                    return Err(failure(Status::System, Operation::Bind, errno, what));
                }
            }
            let left = patience.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(held(&path, patience));
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing would not do: a child forked in between shares the lock until it has closed its copy.
        let _ = rustix::fs::flock(&self.0, FlockOperation::NonBlockingUnlock);
    }
}

/// `.NAME.lock` beside the socket.
fn lock_path(socket: &Path) -> PathBuf {
    sibling(socket, ".", ".lock")
}

/// Opens the lock file, and makes sure that nobody but its owner can lock it.
fn open(path: &Path, owner: u32) -> Result<OwnedFd> {
    let flags = OFlags::CREATE
        | OFlags::RDWR
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let file =
        rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, mode)).map_err(|errno| {
            if matches!(errno, Errno::LOOP | Errno::ISDIR | Errno::NXIO) {
                not_ours(Status::WrongType, path, "is not a regular file")
            } else {
                creation_error(errno, path)
            }
        })?;
    let stat = rustix::fs::fstat(&file).map_err(|errno| creation_error(errno, path))?;
    check(&stat, path, owner)?;
    // A umask may have taken bits away, or somebody added some.
    if Mode::from_raw_mode(stat.st_mode) != mode {
        rustix::fs::fchmod(&file, mode).map_err(|errno| creation_error(errno, path))?;
    }
    Ok(file)
}

/// Whoever owns the file can hold the lock for ever, so it must be us.
fn check(stat: &Stat, path: &Path, owner: u32) -> Result<()> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(not_ours(Status::WrongType, path, "is not a regular file"));
    }
    if stat.st_uid != owner {
        let why = format!(
            "belongs to uid {}, and this process is uid {owner}",
            stat.st_uid
        );
        return Err(not_ours(Status::Forbidden, path, &why));
    }
    Ok(())
}

/// Locks the file, if nobody else holds it and it is the one that others will find at `path`: it may
/// have been removed since it was opened.
fn try_take(file: &OwnedFd, path: &Path) -> rustix::io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(still_named(file, path)),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn still_named(file: &OwnedFd, path: &Path) -> bool {
    let (Ok(ours), Ok(named)) = (rustix::fs::fstat(file), rustix::fs::lstat(path)) else {
        return false;
    };
    (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino)
}

fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_bytes())
}

fn not_ours(status: Status, path: &Path, why: &str) -> Error {
    let message = format!(
        "the lock file {} {why}: remove it, or use another directory",
        shown(path)
    );
    Error::new(status, Operation::Bind, message)
}

fn held(path: &Path, patience: Duration) -> Error {
    let what = format!(
        "another process has held the lock {} for {} ms: it is starting or stopping on the same \
         socket, or hangs there",
        shown(path),
        patience.as_millis()
    );
    failure(Status::InUse, Operation::Bind, Errno::WOULDBLOCK, what)
}

/// The error of a call that makes the file `path`, under the status that names it best.
pub(super) fn creation_error(errno: Errno, path: &Path) -> Error {
    let directory = shown(split(path).0);
    let path = shown(path);
    let (status, what) = match errno {
        Errno::NOENT => (
            Status::Absent,
            format!("cannot create {path}: make the directory {directory} first"),
        ),
        Errno::NOTDIR => (
            Status::Absent,
            format!("cannot create {path}: a part of {directory} is not a directory"),
        ),
        Errno::ACCESS | Errno::PERM => (
            Status::Forbidden,
            format!(
                "cannot create {path}: this process (uid {}) needs write and search permission on \
                 {directory}",
                rustix::process::geteuid().as_raw()
            ),
        ),
        _ => (Status::System, format!("cannot create {path}")),
    };
    failure(status, Operation::Bind, errno, what)
}

#[cfg(test)]
mod tests {
    use super::super::address::scratch::{Scratch, without_rights};
    use super::*;
    use std::fs::{File, Permissions, metadata, set_permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn me() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn the_file_is_private_hidden_and_stays() {
        let scratch = Scratch::new();
        drop(FileLock::acquire(&scratch.join("x.sock")).unwrap());
        let file = scratch.join(".x.sock.lock");
        assert_eq!(
            metadata(&file).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        drop(FileLock::acquire(&scratch.join("x.sock")).unwrap());
        assert_eq!(
            metadata(&file).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        assert_eq!(lock_path(Path::new("/x")), Path::new("/.x.lock"));
    }

    #[test]
    fn one_holds_it_and_the_other_gives_up_in_time() {
        let scratch = Scratch::new();
        let socket = scratch.join("x");
        let held = FileLock::acquire(&socket).unwrap();
        let patience = Duration::from_millis(30);
        let start = Instant::now();
        let error = FileLock::acquire_as(&socket, patience, me()).unwrap_err();
        assert!(start.elapsed() >= patience);
        assert_eq!(
            (error.status, error.os_error),
            (Status::InUse, libc::EWOULDBLOCK)
        );
        assert!(error.message.contains(".x.lock"), "{error}");
        drop(held);
        FileLock::acquire_as(&socket, Duration::ZERO, me()).unwrap();
    }

    #[test]
    fn never_two_at_once_even_when_the_file_is_removed() {
        let scratch = Scratch::new();
        let socket = scratch.join("x");
        let inside = AtomicU32::new(0);
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    for round in 0..50 {
                        let lock = FileLock::acquire(&socket).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                        if round % 10 == 0 {
                            std::fs::remove_file(lock_path(&socket)).unwrap();
                        }
                        drop(lock);
                    }
                });
            }
        });
    }

    #[test]
    fn a_file_that_others_will_not_find_is_no_lock() {
        let scratch = Scratch::new();
        let path = scratch.join("lock");
        let old = open(&path, me()).unwrap();
        assert!(try_take(&old, &path).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(!try_take(&old, &path).unwrap(), "it was removed");
        let new = open(&path, me()).unwrap();
        assert!(!try_take(&old, &path).unwrap(), "it was replaced");
        assert!(try_take(&new, &path).unwrap());
    }

    #[test]
    fn a_stranger_s_file_is_refused() {
        let scratch = Scratch::new();
        let socket = scratch.join("x");
        let error = FileLock::acquire_as(&socket, Duration::ZERO, me() + 1).unwrap_err();
        assert_eq!(error.status, Status::Forbidden);
        assert!(error.message.contains("belongs to uid"), "{error}");
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let scratch = Scratch::new();
        let target = scratch.join("target");
        symlink(&target, scratch.join(".link.lock")).unwrap();
        std::fs::create_dir(scratch.join(".dir.lock")).unwrap();
        let fifo = scratch.join(".fifo.lock");
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, mode, 0).unwrap();
        for name in ["link", "dir", "fifo"] {
            let error = FileLock::acquire(&scratch.join(name)).unwrap_err();
            assert_eq!(error.status, Status::WrongType, "{name}: {error}");
        }
        assert!(!target.exists());
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_named() {
        let scratch = Scratch::new();
        let error = FileLock::acquire(&scratch.join("none/x")).unwrap_err();
        assert_eq!(
            (error.status, error.os_error),
            (Status::Absent, libc::ENOENT)
        );
        assert!(
            error
                .message
                .contains(scratch.join("none").to_str().unwrap()),
            "{error}"
        );

        File::create(scratch.join("file")).unwrap();
        let error = FileLock::acquire(&scratch.join("file/x")).unwrap_err();
        assert_eq!(
            (error.status, error.os_error),
            (Status::Absent, libc::ENOTDIR)
        );

        let closed = scratch.join("closed");
        std::fs::create_dir(&closed).unwrap();
        set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
        let error = without_rights(|| FileLock::acquire(&closed.join("x")).unwrap_err());
        assert_eq!(
            (error.status, error.os_error),
            (Status::Forbidden, libc::EACCES)
        );
        set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    }
}
