//! Sealed memory that one process gives to another, memfd_create(2): who has sealed it cannot change it any
//! more, and who maps it needs no copy.

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

/// Without these its maker could change what is being read, or cut it off under the reader.
const NEEDED: SealFlags = SealFlags::WRITE
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW);

/// A sealed copy of `bytes`.
pub fn seal(bytes: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Linux before 6.3 does not know NOEXEC_SEAL.
    let fd = rustix::fs::memfd_create(c"hysock", flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| rustix::fs::memfd_create(c"hysock", flags))?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let n = rustix::io::retry_on_intr(|| rustix::io::write(&fd, rest))?;
        rest = &rest[n..];
    }
    rustix::fs::fcntl_add_seals(&fd, NEEDED | SealFlags::SEAL)?;
    Ok(fd)
}

/// Sealed memory of another process, to be read.
pub struct Mapped {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: nobody writes to the memory: it is sealed, and mapped for reading only.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps what is sealed as it must be and has 1 to `max` bytes: exactly `len`, if that is known.
    pub fn open(fd: BorrowedFd<'_>, len: Option<usize>, max: usize) -> rustix::io::Result<Mapped> {
        if !rustix::fs::fcntl_get_seals(fd)?.contains(NEEDED) {
            return Err(Errno::PERM);
        }
        let size = rustix::fs::fstat(fd)?.st_size;
        let size = usize::try_from(size).map_err(|_| Errno::OVERFLOW)?;
        if size == 0 || size > max || len.is_some_and(|len| len != size) {
            return Err(Errno::MSGSIZE);
        }
        // SAFETY: a new mapping touches nobody's memory. It is private, and for reading.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ,
                libc::MAP_PRIVATE,
                fd.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(Errno::NOMEM);
        }
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        Ok(Mapped { start, len: size })
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping has `len` bytes, which the seals keep there and as they are, and lives as long
        // as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `open`, which nobody can reach any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn what_is_sealed_can_be_mapped_and_nothing_else() {
        let sealed = seal(b"sealed").unwrap();
        let fd = sealed.as_fd();
        let mapped = Mapped::open(fd, Some(6), 6).unwrap();
        assert_eq!(&*mapped, b"sealed");
        assert_eq!(&*Mapped::open(fd, None, 100).unwrap(), b"sealed");
        assert!(rustix::io::write(&sealed, b"x").is_err());
        assert!(rustix::fs::ftruncate(&sealed, 1).is_err());
        let fails = |fd: BorrowedFd<'_>, len, max| Mapped::open(fd, len, max).err().unwrap();
        assert_eq!(fails(fd, Some(5), 100), Errno::MSGSIZE);
        assert_eq!(fails(fd, Some(7), 100), Errno::MSGSIZE);
        assert_eq!(fails(fd, None, 5), Errno::MSGSIZE);
        // It may shrink under the reader, or be written to.
        for seals in [
            SealFlags::WRITE | SealFlags::GROW,
            SealFlags::SHRINK | SealFlags::GROW,
        ] {
            let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
            let open = rustix::fs::memfd_create(c"open", flags).unwrap();
            rustix::io::write(&open, b"sealed").unwrap();
            rustix::fs::fcntl_add_seals(&open, seals).unwrap();
            assert_eq!(fails(open.as_fd(), None, 100), Errno::PERM);
        }
        assert_eq!(fails(seal(b"").unwrap().as_fd(), None, 100), Errno::MSGSIZE);
        let (pipe, _) = std::io::pipe().unwrap();
        assert_eq!(fails(pipe.as_fd(), None, 100), Errno::INVAL);
    }
}
