//! The stream of an I/O thread.

mod file;
mod io_traits;
mod registration;

pub use file::Before;

use super::{Meter, Transport, Useless, append, receive, send};
use crate::socket::pinned::Pinned;
use crate::socket::sys;
use bytes::{BufMut, Bytes};
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown};
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

/// A stream on the reactor of the I/O thread that it is used on. Clones are the same stream: one is
/// HTTP's, one watches.
#[derive(Clone)]
pub struct ReactorStream<P>(P);

/// A server's: it stays with its thread by its type.
pub type ServerStream = ReactorStream<Rc<Reactor>>;
/// A client's: its HTTP is `Send`, so it stays with its thread by a check.
pub type ClientStream = ReactorStream<Pinned<Reactor>>;

/// What clones of one stream share.
pub struct Reactor {
    fd: Arc<OwnedFd>,
    registration: Place,
    /// `registration` is to stay empty: the descriptor is somebody else's.
    left: Cell<bool>,
    /// The last read took less than it had room for: there is no more.
    drained: Cell<bool>,
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
    /// A client's.
    useless: Option<Arc<Useless>>,
    /// Where a server counts what all its streams of this thread move.
    meter: Option<Arc<Meter>>,
}

/// How many bytes, and whether there may be more.
type Received = rustix::io::Result<(usize, bool)>;
type Place = RefCell<Option<AsyncFd<Arc<OwnedFd>>>>;

/// Whose end of the connection a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// A client that has left does not end the connection: what it had sent before is still served, and the
    /// answers go nowhere.
    Server,
    Client,
}

impl ServerStream {
    /// `fd` is registered with this thread's reactor when there is something to wait for. A connection whose
    /// request is there already, and answered at once, is closed without ever being registered.
    pub fn new(fd: Arc<OwnedFd>, meter: Arc<Meter>) -> ServerStream {
        let mut reactor = Reactor::new(fd, Side::Server);
        reactor.meter = Some(meter);
        ReactorStream(Rc::new(reactor))
    }
}

impl ClientStream {
    /// Registers `fd` with this thread's reactor.
    pub fn new(fd: Arc<OwnedFd>, useless: Arc<Useless>) -> io::Result<ClientStream> {
        let mut reactor = Reactor::new(fd, Side::Client);
        reactor.useless = Some(useless);
        reactor.register(Interest::READABLE)?;
        Ok(ReactorStream(Pinned::new(reactor)))
    }
}

impl ClientStream {
    /// The socket, no longer on this thread's reactor; for the last that holds the stream.
    pub fn into_socket(self) -> Arc<OwnedFd> {
        self.0.leave();
        self.0.fd.clone()
    }
}

impl Reactor {
    fn new(fd: Arc<OwnedFd>, side: Side) -> Reactor {
        Reactor {
            fd,
            registration: RefCell::default(),
            left: Cell::new(false),
            drained: Cell::new(false),
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
            useless: None,
            meter: None,
        }
    }

    fn count_received(&self, n: u64) {
        self.received.set(self.received.get() + n);
        if let Some(meter) = &self.meter {
            meter.received.add(n);
        }
    }

    fn count_sent(&self, n: u64) {
        self.sent.set(self.sent.get() + n);
        if let Some(meter) = &self.meter {
            meter.sent.add(n);
        }
    }
}

impl<P: Deref<Target = Reactor>> ReactorStream<P> {
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
        self.0.blocked.set(false);
    }

    pub fn is_sink(&self) -> bool {
        self.0.sink.get()
    }

    /// Puts bytes back that were read and not used: the next reads get them first.
    pub fn put_back(&self, bytes: Bytes) {
        let before = self.0.prefix.take();
        let both = match (bytes.is_empty(), before.is_empty()) {
            (true, _) => before,
            (_, true) => bytes,
            _ => [bytes, before].concat().into(),
        };
        self.0.has_prefix.set(!both.is_empty());
        self.0.prefix.replace(both);
    }

    /// Whether there are such bytes.
    pub fn has_prefix(&self) -> bool {
        self.0.has_prefix.get()
    }

    /// Leaves the reactor, for somebody else's use of the descriptor; what was read and not used.
    pub fn leave(&self) -> Bytes {
        self.0.leave();
        self.0.has_prefix.set(false);
        self.0.prefix.take()
    }

    /// Bytes that the peer has not read yet.
    pub fn unsent(&self) -> u64 {
        sys::unsent(&self.0.fd)
    }

    /// Whether the peer has closed, or said something unasked.
    pub fn is_stale(&self) -> bool {
        sys::has_news(&self.0.fd)
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
        let Ok(registration) = self.0.registration() else {
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

    /// Ready when there is, most likely, something to read: bytes, the end, or an error. Of a socket that was
    /// not looked at yet nobody knows: it is ready then. An error when one cannot wait for it.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.is_untried() {
            return Poll::Ready(Ok(()));
        }
        let registration = self.0.registration()?;
        registration.poll_read_ready(cx).map(|_| Ok(()))
    }

    /// Reads and drops what has come; the number of bytes, 0 at the end of the stream.
    pub fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut scratch = [MaybeUninit::<u8>::uninit(); 16 * 1024];
        self.poll_receive(cx, |fd| {
            receive(fd, &mut scratch, RecvFlags::DONTWAIT).map(|n| (n, true))
        })
    }

    #[inline]
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        receive: impl FnMut(BorrowedFd<'_>) -> Received,
    ) -> Poll<io::Result<usize>> {
        let this: &Reactor = &self.0;
        if this.expired.get() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let place = this.registration.borrow();
        if let Some(registration) = &*place {
            return this.poll_registered(registration, cx, receive);
        }
        drop(place);
        this.poll_untried(cx, receive)
    }

    #[inline(always)]
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
                    this.count_sent(n as u64);
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
    /// left, and a client still reads the answer that came before its request was sent to the end; of a new
    /// connection, before it was sent at all. A later request of which nothing was sent is an error: it may
    /// be sent again elsewhere.
    fn goes_on_reading(&self) -> bool {
        self.0.side == Side::Server || self.has_sent() || self.0.received.get() == 0
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
            // The first time: it forgets who waited for reading, so the task is polled once more.
            this.register(Interest::READABLE | Interest::WRITABLE)?;
            this.watches_writable.set(true);
            cx.waker().wake_by_ref();
        }
        let registration = this.registration()?;
        let mut guard = ready!(registration.poll_write_ready(cx))?;
        guard.clear_ready_matching(Ready::WRITABLE);
        Poll::Ready(Ok(()))
    }
}

impl Transport for ClientStream {
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        into: &mut impl BufMut,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let n = ready!(self.poll_receive(cx, |fd| {
            append(into, most, |space| receive(fd, space, RecvFlags::DONTWAIT))
        }))?;
        let useless = self.0.useless.as_ref();
        Poll::Ready(
            useless
                .map_or(Ok(()), |useless| useless.count(n))
                .map(|()| n),
        )
    }

    fn poll_send(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bufs)
    }

    fn has_unread(&self) -> bool {
        self.has_unread()
    }
}

impl<P: Deref<Target = Reactor>> AsFd for ReactorStream<P> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}
