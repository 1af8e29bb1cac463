//! The stream of a calling thread.

use super::{fill, send};
use crate::socket::sys;
use hyper::rt::{Read, ReadBufCursor, Write};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// A stream driven by the calling thread. It answers Pending, without a system call, until the driver
/// allows it to block in one `recv`.
pub struct CallerStream(Arc<Caller>);

/// The driver's view of a [`CallerStream`].
pub struct Caller {
    fd: OwnedFd,
    may_block: AtomicBool,
    wants_write: AtomicBool,
    /// See [`ReactorStream::begin_request`].
    has_sent: AtomicBool,
    has_received: AtomicBool,
    sink: AtomicBool,
    deadline: Mutex<Option<Instant>>,
    /// What SO_RCVTIMEO was last set to, in milliseconds; 0 is for ever.
    receive_timeout: AtomicU64,
}

impl CallerStream {
    pub fn new(fd: OwnedFd) -> (CallerStream, Arc<Caller>) {
        let caller = Arc::new(Caller {
            fd,
            may_block: AtomicBool::new(false),
            wants_write: AtomicBool::new(false),
            has_sent: AtomicBool::new(false),
            has_received: AtomicBool::new(false),
            sink: AtomicBool::new(false),
            deadline: Mutex::new(None),
            receive_timeout: AtomicU64::new(0),
        });
        (CallerStream(caller.clone()), caller)
    }
}

impl Caller {
    /// Allows one read to block.
    pub fn allow_blocking(&self) {
        self.may_block.store(true, Ordering::Relaxed);
    }

    /// Whether a send found no room since this was asked last.
    pub fn take_wants_write(&self) -> bool {
        self.wants_write.swap(false, Ordering::Relaxed)
    }

    /// A request begins: what follows is about it.
    pub fn begin_request(&self) {
        self.has_sent.store(false, Ordering::Relaxed);
        self.has_received.store(false, Ordering::Relaxed);
    }

    /// Whether any byte of the request was sent.
    pub fn has_sent(&self) -> bool {
        self.has_sent.load(Ordering::Relaxed)
    }

    /// Whether any byte of the answer has come.
    pub fn has_received(&self) -> bool {
        self.has_received.load(Ordering::Relaxed)
    }

    /// Whether the peer stopped reading: the connection cannot be used again.
    pub fn is_sink(&self) -> bool {
        self.sink.load(Ordering::Relaxed)
    }

    pub fn has_unread(&self) -> bool {
        sys::unread(&self.fd) > 0
    }

    pub fn set_deadline(&self, deadline: Option<Instant>) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }

    fn left(&self) -> Option<Duration> {
        let deadline = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits for the socket to move either way, since a body goes up while an answer may come down. A read is
    /// allowed afterwards when there is something to read.
    pub fn wait_both(&self) -> io::Result<()> {
        let timeout = match self.left() {
            Some(left) if left.is_zero() => return Err(io::ErrorKind::TimedOut.into()),
            left => left.and_then(|left| Timespec::try_from(left).ok()),
        };
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN | PollFlags::OUT)];
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {
                if !(fds[0].revents() - PollFlags::OUT).is_empty() {
                    self.allow_blocking();
                }
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the connection from any thread: a `recv` that blocks returns at once.
    pub fn shutdown(&self) {
        rustix::net::shutdown(&self.fd, Shutdown::Both).ok();
    }

    /// Sets SO_RCVTIMEO for the time that is left, when it is not set so already.
    fn arm(&self) -> rustix::io::Result<()> {
        let left = match self.left() {
            None => 0,
            Some(left) if left.is_zero() => return Err(Errno::AGAIN),
            Some(left) => left.as_millis().max(1) as u64,
        };
        if self.receive_timeout.swap(left, Ordering::Relaxed) == left {
            return Ok(());
        }
        let timeout = (left > 0).then(|| Duration::from_millis(left));
        rustix::net::sockopt::set_socket_timeout(
            &self.fd,
            rustix::net::sockopt::Timeout::Recv,
            timeout,
        )
    }

    fn receive_blocking(&self, buf: &mut [MaybeUninit<u8>]) -> rustix::io::Result<usize> {
        loop {
            self.arm()?;
            match rustix::net::recv(&self.fd, &mut *buf, RecvFlags::empty()) {
                Ok((_, n)) => return Ok(n),
                // A handler of the host ran: the time that is left is shorter now.
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for CallerStream {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let caller = &*self.0;
        if !caller.may_block.swap(false, Ordering::Relaxed) {
            return Poll::Pending;
        }
        match fill(&mut buf, |space| caller.receive_blocking(space)) {
            Ok((n, _)) => {
                caller.has_received.fetch_or(n > 0, Ordering::Relaxed);
                Poll::Ready(Ok(()))
            }
            Err(Errno::AGAIN) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl Write for CallerStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let caller = &*self.0;
        let all = || Poll::Ready(Ok(bufs.iter().map(|b| b.len()).sum()));
        if caller.is_sink() {
            return all();
        }
        match send(caller.fd.as_fd(), bufs) {
            Ok(n) => {
                caller.has_sent.store(true, Ordering::Relaxed);
                Poll::Ready(Ok(n))
            }
            Err(Errno::AGAIN) => {
                caller.wants_write.store(true, Ordering::Relaxed);
                Poll::Pending
            }
            // See `ReactorStream::goes_on_reading`.
            Err(Errno::PIPE | Errno::CONNRESET) if caller.has_sent() => {
                caller.sink.store(true, Ordering::Relaxed);
                all()
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        rustix::net::shutdown(&self.0.fd, Shutdown::Write).ok();
        Poll::Ready(Ok(()))
    }
}
