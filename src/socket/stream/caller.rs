//! The stream of a calling thread.

use super::patience::{Expired, Patience, earlier};
use super::{Transport, Useless, append, send};
use crate::socket::sys;
use bytes::BufMut;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// The kernel rounds SO_RCVTIMEO up by as much as an eighth and two of its ticks. It is set to a part of a
/// wait that is longer than this; the rest is waited for with ppoll, which is exact.
const COARSE: Duration = Duration::from_millis(200);

/// A stream driven by the calling thread. It answers Pending, without a system call, until the driver
/// allows it to block in one `recv`.
pub struct CallerStream(Arc<Caller>);

/// The driver's view of a [`CallerStream`].
pub struct Caller {
    fd: Arc<OwnedFd>,
    may_block: AtomicBool,
    wants_write: AtomicBool,
    /// See [`ReactorStream::begin_request`].
    has_sent: AtomicBool,
    has_received: AtomicBool,
    /// Any byte of an answer to an earlier request has come.
    is_used: AtomicBool,
    sink: AtomicBool,
    useless: Arc<Useless>,
    limits: Mutex<Limits>,
    /// What SO_RCVTIMEO was last set to, in milliseconds; 0 is for ever.
    receive_timeout: AtomicU64,
}

/// What the waits of one request keep to.
#[derive(Default)]
struct Limits {
    deadline: Option<Instant>,
    patience: Patience,
    /// What was reached.
    expired: Option<Expired>,
}

impl CallerStream {
    pub fn new(fd: Arc<OwnedFd>, useless: Arc<Useless>) -> (CallerStream, Arc<Caller>) {
        let caller = Arc::new(Caller {
            fd,
            may_block: AtomicBool::new(false),
            wants_write: AtomicBool::new(false),
            has_sent: AtomicBool::new(false),
            has_received: AtomicBool::new(false),
            is_used: AtomicBool::new(false),
            sink: AtomicBool::new(false),
            useless,
            limits: Mutex::default(),
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
        // No locked instructions: one thread at a time is here.
        if self.has_received() {
            self.is_used.store(true, Ordering::Relaxed);
            self.has_received.store(false, Ordering::Relaxed);
        }
    }

    /// Whether any byte of the request was sent.
    pub fn has_sent(&self) -> bool {
        self.has_sent.load(Ordering::Relaxed)
    }

    /// See [`ReactorStream::goes_on_reading`].
    fn goes_on_reading(&self) -> bool {
        self.has_sent() || !self.is_used.load(Ordering::Relaxed)
    }

    /// Whether any byte of the answer has come.
    pub fn has_received(&self) -> bool {
        self.has_received.load(Ordering::Relaxed)
    }

    /// Whether the peer stopped reading: the connection cannot be used again.
    pub fn is_sink(&self) -> bool {
        self.sink.load(Ordering::Relaxed)
    }

    /// The socket, which others may go on with.
    pub fn socket(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    pub fn has_unread(&self) -> bool {
        sys::unread(&*self.fd) > 0
    }

    /// Sets what the next request's waits keep to.
    pub fn set_limits(&self, deadline: Option<Instant>, patience: Patience) {
        *self.limits() = Limits {
            deadline,
            patience,
            expired: None,
        };
    }

    /// Which limit has ended the last wait that timed out.
    pub fn expired(&self) -> Expired {
        self.limits().expired.unwrap_or(Expired::Total)
    }

    pub(super) fn set_expired(&self, why: Expired) {
        self.limits().expired = Some(why);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.limits().deadline
    }

    /// Whether the peer has closed, or said something unasked.
    pub fn is_stale(&self) -> bool {
        sys::has_news(&*self.fd)
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a wait that begins now is over; `sent`: for the answer, not for room to send.
    pub(super) fn until(&self, sent: bool) -> Option<(Instant, Expired)> {
        let limits = self.limits();
        let total = limits.deadline.map(|end| (end, Expired::Total));
        if limits.patience.is_endless() {
            return total;
        }
        let now = Instant::now();
        if let Some(why) = limits.expired {
            return Some((now, why));
        }
        let silent = sent && !self.has_received();
        earlier(total, limits.patience.until(now, silent))
    }

    /// The time that is left; none says that the limit is reached, and remembers which.
    fn left(&self, until: Instant, why: Expired) -> Option<Duration> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.limits().expired = Some(why);
            return None;
        }
        Some(left)
    }

    /// Allows a read if it has something to find at once.
    pub fn look(&self) {
        let found = self.poll_once(PollFlags::IN, Some(Instant::now()));
        if found.is_ok_and(|found| !found.is_empty()) {
            self.allow_blocking();
        }
    }

    /// Waits for the socket to move either way, since a body goes up while an answer may come down. A read is
    /// allowed afterwards when there is something to read.
    pub fn wait_both(&self) -> io::Result<()> {
        let until = self.until(false);
        let found = self.poll(PollFlags::IN | PollFlags::OUT, until)?;
        if !(found - PollFlags::OUT).is_empty() {
            self.allow_blocking();
        }
        Ok(())
    }

    /// Waits until then for the socket to move, no longer than the limits have it: `false` when nothing has
    /// happened, and they are not what was reached. A read is allowed afterwards.
    pub fn wait_until(&self, until: Option<Instant>) -> io::Result<bool> {
        let limit = self.until(false);
        let mut events = PollFlags::IN;
        events.set(PollFlags::OUT, self.take_wants_write());
        if until.is_none() && events == PollFlags::IN {
            self.allow_blocking();
            return Ok(true);
        }
        let is_own = until.is_some_and(|own| limit.is_none_or(|(limit, _)| own < limit));
        let found = if is_own {
            self.poll_once(events, until)?
        } else {
            self.poll(events, limit)?
        };
        if !(found - PollFlags::OUT).is_empty() {
            self.allow_blocking();
        }
        Ok(!found.is_empty())
    }

    /// What has happened until then; looks once at least.
    fn poll_once(
        &self,
        events: PollFlags,
        until: Option<Instant>,
    ) -> rustix::io::Result<PollFlags> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let time = left.and_then(|left| Timespec::try_from(left).ok());
            let mut fds = [PollFd::new(&*self.fd, events)];
            match rustix::event::poll(&mut fds, time.as_ref()) {
                Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(PollFlags::empty()),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(fds[0].revents()),
                Err(error) => return Err(error),
            }
        }
    }

    fn poll(
        &self,
        events: PollFlags,
        until: Option<(Instant, Expired)>,
    ) -> rustix::io::Result<PollFlags> {
        loop {
            let left = match until {
                None => None,
                Some((until, why)) => Some(self.left(until, why).ok_or(Errno::TIMEDOUT)?),
            };
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let mut fds = [PollFd::new(&*self.fd, events)];
            match rustix::event::poll(&mut fds, left.as_ref()) {
                // The clock decides.
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(fds[0].revents()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Others go on with the socket: no timeout of ours stays on it.
    pub fn leave(&self) {
        // Fails for no socket.
        self.arm(0).ok();
    }

    /// Ends the connection from any thread: a `recv` that blocks returns at once.
    pub fn shutdown(&self) {
        rustix::net::shutdown(&*self.fd, Shutdown::Both).ok();
    }

    /// Sets SO_RCVTIMEO, in milliseconds.
    fn arm(&self, timeout: u64) -> rustix::io::Result<()> {
        if self.receive_timeout.swap(timeout, Ordering::Relaxed) == timeout {
            return Ok(());
        }
        let timeout = (timeout > 0).then(|| Duration::from_millis(timeout));
        rustix::net::sockopt::set_socket_timeout(
            &*self.fd,
            rustix::net::sockopt::Timeout::Recv,
            timeout,
        )
    }

    /// Sets SO_RCVTIMEO to less than `left`, unless it is so already: calls in a row rarely need it.
    fn arm_within(&self, left: Duration) -> rustix::io::Result<()> {
        let left = left.as_millis() as u64;
        let armed = self.receive_timeout.load(Ordering::Relaxed);
        if (left / 2..=left * 3 / 4).contains(&armed) {
            return Ok(());
        }
        self.arm(left * 5 / 8)
    }

    fn receive_blocking(&self, buf: &mut [MaybeUninit<u8>]) -> rustix::io::Result<usize> {
        let until = self.until(true);
        loop {
            let flags = self.may_wait(until)?;
            match rustix::net::recv(&*self.fd, &mut *buf, flags) {
                Ok((_, n)) => return Ok(n),
                // A handler of the host ran, or only a part of the time was waited for.
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if until.is_some() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Prepares a receive that waits until then at the longest.
    fn may_wait(&self, until: Option<(Instant, Expired)>) -> rustix::io::Result<RecvFlags> {
        let Some((end, why)) = until else {
            self.arm(0)?;
            return Ok(RecvFlags::empty());
        };
        let left = self.left(end, why).ok_or(Errno::TIMEDOUT)?;
        if left > COARSE {
            self.arm_within(left)?;
            return Ok(RecvFlags::empty());
        }
        self.poll(PollFlags::IN, until)?;
        Ok(RecvFlags::DONTWAIT)
    }
}

impl Transport for CallerStream {
    fn poll_receive(
        &self,
        _: &mut Context<'_>,
        into: &mut impl BufMut,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let caller = &*self.0;
        if !caller.may_block.swap(false, Ordering::Relaxed) {
            return Poll::Pending;
        }
        let (n, _) = append(into, most, |space| caller.receive_blocking(space))?;
        caller.has_received.fetch_or(n > 0, Ordering::Relaxed);
        Poll::Ready(caller.useless.count(n).map(|()| n))
    }

    fn poll_send(&self, _: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
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
            Err(Errno::PIPE | Errno::CONNRESET) if caller.goes_on_reading() => {
                caller.sink.store(true, Ordering::Relaxed);
                all()
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    fn has_unread(&self) -> bool {
        self.0.has_unread()
    }
}
