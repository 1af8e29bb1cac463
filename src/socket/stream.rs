//! The connected Unix stream that all HTTP runs on: hyper's `Read` and `Write` over `recv` and
//! `sendmsg(MSG_NOSIGNAL)`.
//!
//! Two homes share one set of calls. [`ReactorStream`] lives on an I/O thread, registered for READABLE
//! only: answers that the peer reads then wake nobody. [`CallerStream`] is driven by a thread that may
//! block in `recv`: a request costs one send and one receive. The descriptor itself is in blocking mode
//! in both, every call that must not block says so (MSG_DONTWAIT).

use super::pinned::Pinned;
use super::sys;
use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

use crate::limits::READ_MAX;

/// `recv` into uninitialised memory; EINTR is tried again.
fn receive(
    fd: BorrowedFd<'_>,
    buf: &mut [MaybeUninit<u8>],
    flags: RecvFlags,
) -> rustix::io::Result<usize> {
    loop {
        match rustix::net::recv(fd, &mut *buf, flags) {
            Ok((_, n)) => return Ok(n),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Pieces that fit into this are put together and sent as one: a copy of a few hundred bytes costs less
/// than the kernel's walk through a `msghdr`.
const GATHER: usize = 1024;

/// A send that never waits and never raises SIGPIPE.
fn send(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let one = |bytes: &[u8]| again(|| rustix::net::send(fd, bytes, flags));
    let len = bufs.iter().map(|piece| piece.len()).sum::<usize>();
    if let [piece] = bufs {
        return one(piece);
    }
    if len <= GATHER {
        let mut space = [0; GATHER];
        let mut end = 0;
        for piece in bufs {
            space[end..end + piece.len()].copy_from_slice(piece);
            end += piece.len();
        }
        return one(&space[..len]);
    }
    again(|| rustix::net::sendmsg(fd, bufs, &mut SendAncillaryBuffer::default(), flags))
}

/// Tries a system call again as long as a signal interrupts it.
fn again<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Lets `receive` fill hyper's buffer, at most [`READ_MAX`] bytes.
fn fill(
    buf: &mut ReadBufCursor<'_>,
    receive: impl FnOnce(&mut [MaybeUninit<u8>]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<(usize, bool)> {
    // SAFETY: the bytes are only handed to `recv`, which initialises what it fills and never
    // un-initialises any.
    let space = unsafe { buf.as_mut() };
    let len = space.len().min(READ_MAX);
    let n = receive(&mut space[..len])?;
    // SAFETY: `recv` has just initialised the first `n` bytes.
    unsafe { buf.advance(n) };
    Ok((n, n == len))
}

/// A stream on the reactor of the I/O thread that it is used on. Clones are the same stream: one is
/// hyper's, one watches.
#[derive(Clone)]
pub struct ReactorStream(Arc<Pinned<Reactor>>);

struct Reactor {
    fd: Arc<OwnedFd>,
    /// `None` only for an instant while it is made anew.
    registration: RefCell<Option<AsyncFd<Arc<OwnedFd>>>>,
    /// Registered for WRITABLE too, since a send found the peer's buffer full.
    watches_writable: Cell<bool>,
    /// The last send found no room.
    blocked: Cell<bool>,
    /// The peer is gone: answers go nowhere, what it had sent is still read.
    sink: Cell<bool>,
    expired: Cell<bool>,
    /// Bytes that were read already and are to be read first.
    prefix: RefCell<Bytes>,
    has_prefix: Cell<bool>,
    received: Cell<u64>,
    sent: Cell<u64>,
    /// What `sent` was when the request began (a client's).
    request_at: Cell<u64>,
    side: Side,
}

/// Whose end of the connection a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A client that has left does not end the connection: what it had sent before is still served, and the
    /// answers go nowhere.
    Server,
    Client,
}

impl ReactorStream {
    /// Registers `fd` with this thread's reactor.
    pub fn new(fd: OwnedFd, side: Side) -> io::Result<ReactorStream> {
        let fd = Arc::new(fd);
        let registration = sys::register(fd.clone(), Interest::READABLE)?;
        Ok(ReactorStream(Arc::new(Pinned::new(Reactor {
            fd,
            registration: RefCell::new(Some(registration)),
            watches_writable: Cell::new(false),
            blocked: Cell::new(false),
            sink: Cell::new(false),
            expired: Cell::new(false),
            prefix: RefCell::default(),
            has_prefix: Cell::new(false),
            received: Cell::new(0),
            sent: Cell::new(0),
            request_at: Cell::new(0),
            side,
        }))))
    }

    /// Bytes received and sent so far: what moved is progress.
    pub fn received(&self) -> u64 {
        self.0.received.get()
    }

    pub fn sent(&self) -> u64 {
        self.0.sent.get()
    }

    /// Whether bytes wait for the peer to make room.
    pub fn is_blocked(&self) -> bool {
        self.0.blocked.get()
    }

    /// Makes the next use of the stream fail with `TimedOut`.
    pub fn expire(&self) {
        self.0.expired.set(true);
    }

    /// From now on whatever is written counts as sent: nobody is there to read it.
    pub fn set_sink(&self) {
        self.0.sink.set(true);
    }

    pub fn is_sink(&self) -> bool {
        self.0.sink.get()
    }

    /// Puts bytes back that were read and not used: the next reads get them first.
    pub fn put_back(&self, bytes: Bytes) {
        self.0.has_prefix.set(!bytes.is_empty());
        self.0.prefix.replace(bytes);
    }

    /// Bytes that the peer has not read yet.
    pub fn unsent(&self) -> u64 {
        sys::unsent(&self.0.fd)
    }

    /// Whether unread bytes wait in the kernel.
    pub fn has_unread(&self) -> bool {
        sys::unread(&self.0.fd) > 0
    }

    /// Ends our side of the connection, for copies of the descriptor in forked children too.
    pub fn shutdown(&self, how: Shutdown) {
        // Fails only when the peer was first.
        rustix::net::shutdown(&self.0.fd, how).ok();
    }

    /// Ready when the peer has closed (EPOLLHUP), not when it only ended its sending side. Registers for
    /// that wake otherwise.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let registration = self.0.registration.borrow();
        let Some(registration) = registration.as_ref() else {
            return Poll::Pending;
        };
        while let Ok(mut guard) = ready!(registration.poll_write_ready(cx)) {
            if guard.ready().is_write_closed() {
                break;
            }
            // Writes are tried without asking the registration, so this flag has no other reader.
            guard.clear_ready_matching(Ready::WRITABLE);
        }
        Poll::Ready(())
    }

    /// Ready when there is, most likely, something to read: bytes, the end, or an error.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let registration = self.0.registration.borrow();
        let Some(registration) = registration.as_ref() else {
            return Poll::Ready(());
        };
        registration.poll_read_ready(cx).map(drop)
    }

    /// Reads and drops what has come; the number of bytes, 0 at the end of the stream.
    pub fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut scratch = [MaybeUninit::<u8>::uninit(); 16 * 1024];
        self.poll_receive(cx, |fd| {
            receive(fd, &mut scratch, RecvFlags::DONTWAIT).map(|n| (n, true))
        })
    }

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        mut receive: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<(usize, bool)>,
    ) -> Poll<io::Result<usize>> {
        let this: &Reactor = &self.0;
        if this.expired.get() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let registration = this.registration.borrow();
        let Some(registration) = registration.as_ref() else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        loop {
            let mut guard = ready!(registration.poll_read_ready(cx))?;
            match receive(this.fd.as_fd()) {
                Ok((n, filled)) => {
                    if n > 0 && !filled {
                        // A short read emptied the socket: the next event will say so, no need to
                        // hear it from EAGAIN.
                        guard.clear_ready();
                    }
                    this.received.set(this.received.get() + n as u64);
                    return Poll::Ready(Ok(n));
                }
                Err(Errno::AGAIN) => guard.clear_ready(),
                // The client closed with answers unread: to a server that is an end like any other.
                Err(Errno::CONNRESET) if this.side == Side::Server => return Poll::Ready(Ok(0)),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn poll_send(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this: &Reactor = &self.0;
        if this.expired.get() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        loop {
            if this.sink.get() {
                return Poll::Ready(Ok(bufs.iter().map(|b| b.len()).sum()));
            }
            match send(this.fd.as_fd(), bufs) {
                Ok(n) => {
                    this.blocked.set(false);
                    this.sent.set(this.sent.get() + n as u64);
                    return Poll::Ready(Ok(n));
                }
                Err(Errno::AGAIN) => {
                    this.blocked.set(true);
                    ready!(self.poll_writable(cx))?;
                }
                Err(Errno::PIPE | Errno::CONNRESET) if self.goes_on_reading() => self.set_sink(),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Whether a peer that no longer reads is no error: a server still serves what a client had sent before it
    /// left, and a client still reads the answer that came before its request was sent to the end. A
    /// request of which nothing was sent is an error: it may be sent again elsewhere.
    fn goes_on_reading(&self) -> bool {
        self.0.side == Side::Server || self.0.sent.get() > self.0.request_at.get()
    }

    /// A request begins: tells later whether any of it was sent.
    pub fn begin_request(&self) {
        self.0.request_at.set(self.0.sent.get());
    }

    /// Whether any byte of the request was sent.
    pub fn has_sent(&self) -> bool {
        self.0.sent.get() > self.0.request_at.get()
    }

    /// Waits for room, after a send found none.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this: &Reactor = &self.0;
        if !this.watches_writable.get() {
            // The first time: take the registration out and make it anew with WRITABLE. It forgets who
            // waited for reading, so the task is polled once more.
            drop(this.registration.take());
            let both = Interest::READABLE | Interest::WRITABLE;
            this.registration
                .replace(Some(sys::register(this.fd.clone(), both)?));
            this.watches_writable.set(true);
            cx.waker().wake_by_ref();
        }
        let registration = this.registration.borrow();
        let Some(registration) = registration.as_ref() else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let mut guard = ready!(registration.poll_write_ready(cx))?;
        guard.clear_ready_matching(Ready::WRITABLE);
        Poll::Ready(Ok(()))
    }
}

impl AsFd for ReactorStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

impl Read for ReactorStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.has_prefix.get() {
            let mut prefix = self.0.prefix.borrow_mut();
            let n = prefix.len().min(buf.remaining());
            buf.put_slice(&prefix.split_to(n));
            self.0.has_prefix.set(!prefix.is_empty());
            return Poll::Ready(Ok(()));
        }
        self.poll_receive(cx, |fd| {
            fill(&mut buf, |space| receive(fd, space, RecvFlags::DONTWAIT))
        })
        .map_ok(drop)
    }
}

impl Write for ReactorStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shutdown(Shutdown::Write);
        Poll::Ready(Ok(()))
    }
}

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
