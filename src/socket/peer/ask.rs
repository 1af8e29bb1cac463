//! The socket options behind a peer, for which there are no safe wrappers.

use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

type Answer<T> = std::result::Result<T, Errno>;

/// Lets the kernel fill `space`: how many values it wrote. On `ERANGE`, the error's second half is how many
/// it has.
fn option<T>(
    fd: BorrowedFd<'_>,
    name: libc::c_int,
    space: &mut [MaybeUninit<T>],
) -> std::result::Result<usize, (Errno, usize)> {
    let mut size = size_of_val(space) as libc::socklen_t;
    // SAFETY: `space` is valid for writing `size` bytes, and `fd` is open.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            space.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    let count = size as usize / size_of::<T>();
    if result == 0 {
        return Ok(count);
    }
    let errno = Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO);
    Err((errno, count))
}

/// A value of fixed size.
///
/// # Safety
/// Any bytes are a valid `T`.
unsafe fn one<T>(fd: BorrowedFd<'_>, name: libc::c_int) -> Answer<T> {
    let mut found = MaybeUninit::<T>::uninit();
    match option(fd, name, std::slice::from_mut(&mut found)) {
        // SAFETY: the kernel wrote all of it, and the caller says that any bytes will do.
        Ok(1) => Ok(unsafe { found.assume_init() }),
        Ok(_) => Err(Errno::NOPROTOOPT),
        Err((errno, _)) => Err(errno),
    }
}

/// Values whose number the kernel knows; `first` of them fit into the first try.
///
/// # Safety
/// Any bytes are a valid `T`.
unsafe fn many<T>(fd: BorrowedFd<'_>, name: libc::c_int, first: usize) -> Answer<Vec<T>> {
    let mut values = Vec::with_capacity(first);
    loop {
        match option(fd, name, values.spare_capacity_mut()) {
            Ok(count) => {
                // SAFETY: the kernel wrote so many, which is no more than there was space for, and the caller
                // says that any bytes will do.
                unsafe { values.set_len(count) };
                return Ok(values);
            }
            Err((Errno::RANGE, count)) if count > values.capacity() => {
                values.reserve_exact(count);
            }
            Err((errno, _)) => return Err(errno),
        }
    }
}

/// `SO_PEERCRED`. rustix's own wrapper declares the pid non-zero, and the kernel gives 0 for a
/// process of another pid namespace.
pub fn credentials(fd: BorrowedFd<'_>) -> Answer<libc::ucred> {
    // SAFETY: three integers.
    unsafe { one(fd, libc::SO_PEERCRED) }
}

/// `SO_PEERGROUPS`.
pub fn groups(fd: BorrowedFd<'_>) -> Answer<Box<[u32]>> {
    // SAFETY: integers.
    unsafe { many(fd, libc::SO_PEERGROUPS, 32) }.map(Vec::into_boxed_slice)
}

/// `SO_PEERSEC`, without the NUL that some modules put at its end.
pub fn label(fd: BorrowedFd<'_>) -> Answer<Box<[u8]>> {
    // SAFETY: bytes.
    let mut label: Vec<u8> = unsafe { many(fd, libc::SO_PEERSEC, 128) }?;
    while label.last() == Some(&0) {
        label.pop();
    }
    Ok(label.into_boxed_slice())
}

/// `SO_PEERPIDFD`: a new descriptor, closed on exec.
pub fn pidfd(fd: BorrowedFd<'_>) -> Answer<OwnedFd> {
    // SAFETY: an integer.
    let raw: libc::c_int = unsafe { one(fd, libc::SO_PEERPIDFD) }?;
    // SAFETY: the kernel has just made this descriptor, for nobody but us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
