//! System calls that no safe wrapper covers, each behind a safe function.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicU64;
use std::thread::{Builder, JoinHandle};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Raised by the thread's own instructions: blocking them would turn a fault into a silent kill.
const SYNCHRONOUS: [i32; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGABRT,
];

/// Starts a thread on which every signal but the synchronous ones is blocked from its first
/// instruction on: the mask is set before the start and inherited, so no handler of the host can
/// ever run on it.
pub fn spawn_masked(
    name: &str,
    stack: usize,
    f: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are valid for writing; `sigfillset` and a successful `pthread_sigmask`
    // initialise them. Only this thread's mask changes, and it is put back below.
    unsafe {
        libc::sigfillset(mask.as_mut_ptr());
        for signal in SYNCHRONOUS {
            libc::sigdelset(mask.as_mut_ptr(), signal);
        }
        let error = libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), before.as_mut_ptr());
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
    }
    let thread = Builder::new()
        .name(name.to_owned())
        .stack_size(stack)
        .spawn(f);
    // SAFETY: `before` was initialised by the successful call above.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
    }
    thread
}

/// A word in a page of its own that reads 0 in every forked child (`madvise(2)`, MADV_WIPEONFORK).
/// The page is never unmapped.
pub fn wiped_word() -> io::Result<&'static AtomicU64> {
    // SAFETY: a fresh anonymous private mapping touches no memory of anyone else.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the range is the mapping made above.
    if unsafe { libc::madvise(page, 4096, libc::MADV_WIPEONFORK) } != 0 {
        let error = io::Error::last_os_error();
        // SAFETY: nobody has seen the mapping yet.
        unsafe { libc::munmap(page, 4096) };
        return Err(error);
    }
    // SAFETY: the mapping is page-aligned, zeroed, lives for ever, and is only used as this atomic.
    Ok(unsafe { &*page.cast::<AtomicU64>() })
}

/// Runs `write`, and takes away the SIGPIPE that it raises on this thread, before anybody sees it. For what
/// knows no MSG_NOSIGNAL.
pub fn without_sigpipe<T>(write: impl FnOnce() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    let mut pipe = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the sets are valid for writing, and initialised by the calls before they are read. Only this
    // thread's mask changes, and it is put back below.
    let was_pending = unsafe {
        libc::sigemptyset(pipe.as_mut_ptr());
        libc::sigaddset(pipe.as_mut_ptr(), libc::SIGPIPE);
        libc::sigemptyset(pending.as_mut_ptr());
        libc::sigemptyset(before.as_mut_ptr());
        libc::sigpending(pending.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, pipe.as_ptr(), before.as_mut_ptr());
        libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1
    };
    let result = write();
    let now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    if matches!(result, Err(rustix::io::Errno::PIPE)) && !was_pending {
        // SAFETY: set and time are initialised; nobody wants to know more of the signal.
        while unsafe { libc::sigtimedwait(pipe.as_ptr(), std::ptr::null_mut(), &raw const now) }
            == -1
            && last_errno() == rustix::io::Errno::INTR
        {}
    }
    // SAFETY: `before` was initialised above.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
    }
    result
}

/// sendfile(2) to a socket, from `at` on: how many bytes, 0 at the end of the file.
pub fn send_file(
    socket: impl std::os::fd::AsFd,
    file: impl std::os::fd::AsFd,
    at: u64,
    len: usize,
) -> rustix::io::Result<usize> {
    without_sigpipe(|| {
        super::stream::again(|| {
            let mut at = at;
            rustix::fs::sendfile(&socket, &file, Some(&mut at), len)
        })
    })
}

/// Puts a descriptor into the reactor of the current thread. The descriptor is owned by the result.
pub fn register<T: AsRawFd + Owned>(fd: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: `Owned` promises that `as_raw_fd` gives the same open descriptor until `fd` is dropped,
    // and the registration owns `fd`.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(io::Error::from)
}

/// A value that owns its descriptor: `as_raw_fd` names the same open file until it is dropped.
///
/// # Safety
/// That promise is the implementer's.
pub unsafe trait Owned {}

// SAFETY: an `OwnedFd` is exactly that.
unsafe impl Owned for std::os::fd::OwnedFd {}
// SAFETY: the `OwnedFd` behind the `Arc` lives at least as long as this reference to it, and is
// never replaced.
unsafe impl Owned for std::sync::Arc<std::os::fd::OwnedFd> {}

// SAFETY: a `Listener` owns its descriptor and never replaces it.
unsafe impl Owned for std::sync::Arc<super::listener::Listener> {}

/// Changes the mode of the file behind an `O_PATH` descriptor. `/proc` is the way of all kernels, without
/// it fchmodat2(2) is (Linux 6.6).
pub fn change_mode(file: &OwnedFd, mode: u32) -> rustix::io::Result<()> {
    let through = format!("/proc/self/fd/{}", file.as_raw_fd());
    match rustix::fs::chmod(through, rustix::fs::Mode::from_raw_mode(mode)) {
        Err(rustix::io::Errno::NOENT) => change_mode_without_proc(file, mode),
        done => done,
    }
}

fn change_mode_without_proc(file: &OwnedFd, mode: u32) -> rustix::io::Result<()> {
    // SAFETY: the descriptor is open, the path is an empty NUL-terminated text, and the rest are numbers.
    let failed = unsafe {
        libc::syscall(
            libc::SYS_fchmodat2,
            file.as_raw_fd(),
            c"".as_ptr(),
            mode,
            libc::AT_EMPTY_PATH,
        )
    } != 0;
    if failed { Err(last_errno()) } else { Ok(()) }
}

fn last_errno() -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(rustix::io::Errno::IO)
}

/// Owns a descriptor by its number; `None` when nothing is open there.
///
/// # Safety
/// The number is the caller's to give away: nothing else closes it from now on.
pub unsafe fn own(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_GETFD has no further argument and looks only at the number.
    let open = fd >= 0 && unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0;
    // SAFETY: it is open, and the caller gives it away.
    open.then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// How many bytes wait to be read; 0 when that cannot be told.
pub fn unread(fd: impl std::os::fd::AsFd) -> u64 {
    rustix::io::ioctl_fionread(fd).unwrap_or(0)
}

/// Whether there is something to be read of a socket, or its end.
pub fn has_news(fd: impl std::os::fd::AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec};
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    super::stream::again(|| rustix::event::poll(&mut fds, Some(&now))).is_ok_and(|found| found > 0)
}

/// How many bytes the peer has not read yet (SIOCOUTQ); 0 when that cannot be told.
pub fn unsent(fd: impl std::os::fd::AsFd) -> u64 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open, and SIOCOUTQ (TIOCOUTQ, unix(7)) writes one int.
    let failed =
        unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) } != 0;
    if failed { 0 } else { bytes.max(0) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    fn blocked() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find(|l| l.starts_with("SigBlk:")).unwrap();
        u64::from_str_radix(line["SigBlk:".len()..].trim(), 16).unwrap()
    }

    #[test]
    fn threads_start_with_signals_blocked_and_leave_the_starter_as_it_was() {
        let before = blocked();
        let (send, receive) = std::sync::mpsc::channel();
        let thread =
            spawn_masked("masked", 64 * 1024, move || send.send(blocked()).unwrap()).unwrap();
        let inside = receive.recv().unwrap();
        thread.join().unwrap();
        assert_eq!(blocked(), before);
        for signal in [
            libc::SIGTERM,
            libc::SIGINT,
            libc::SIGPIPE,
            libc::SIGUSR1,
            libc::SIGCHLD,
        ] {
            assert_ne!(inside & (1 << (signal - 1)), 0, "signal {signal} is open");
        }
        for signal in SYNCHRONOUS {
            assert_eq!(
                inside & (1 << (signal - 1)),
                0,
                "signal {signal} is blocked"
            );
        }
    }

    #[test]
    fn the_word_keeps_its_value_here() {
        let word = wiped_word().unwrap();
        assert_eq!(word.load(Ordering::Relaxed), 0);
        word.store(7, Ordering::Relaxed);
        assert_eq!(word.load(Ordering::Relaxed), 7);
    }
}
