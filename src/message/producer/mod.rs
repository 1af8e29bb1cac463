//! The producer: messages to one receiver, across its restarts.
//!
//! A message goes out on the caller's thread as long as nothing waits before it. What the socket does not
//! take waits in a bounded queue, which a task on an I/O thread empties; it also connects again.

mod end;
mod outbox;
mod task;

use end::End;
pub use end::{Flush, Report};
pub use outbox::Wire;

use super::framing::Framing;
use crate::error::{Error, Operation, Result, Status};
use crate::limits;
use crate::runtime::delivery::Executor;
use crate::runtime::gate::{Gate, deadline_after};
use crate::runtime::io_thread::{IoThread, Post};
use crate::runtime::{Member, Runtime, Waited, context};
use crate::socket::Kind;
use crate::socket::address::Address;
use crate::socket::connect;
use crate::socket::packet;
use outbox::Outbox;
use rustix::io::Errno;
use std::fmt;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// What happens to a message for which the queue has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The sender waits, up to its timeout.
    #[default]
    Block,
    /// The send fails at once.
    Fail,
    /// The oldest that waits is dropped and counted.
    DropOldest,
    /// The new one is dropped and counted.
    DropNewest,
}

/// What a producer keeps to.
#[derive(Debug, Clone)]
pub struct Config {
    pub kind: Kind,
    /// Of a stream.
    pub framing: Framing,
    pub max_message: u64,
    pub max_queue: u64,
    pub overflow: Overflow,
    /// Messages may carry descriptors.
    pub fds: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            kind: Kind::Stream,
            framing: Framing::default(),
            max_message: limits::PRODUCER_MAX_MESSAGE.default,
            max_queue: limits::PRODUCER_MAX_QUEUE.default,
            overflow: Overflow::default(),
            fds: false,
        }
    }
}

pub struct Producer {
    runtime: Arc<Runtime>,
    thread: Arc<IoThread>,
    address: Address,
    config: Config,
    wire: Wire,
    state: Mutex<State>,
    /// Room in the queue, an empty queue, another connection, the end.
    changed: Condvar,
    gate: Gate,
}

struct State {
    link: Option<Arc<OwnedFd>>,
    outbox: Outbox,
    /// The task's, when it waits for something to do.
    task: Option<Waker>,
    /// There is something to do since the task has looked.
    woken: bool,
    /// No more messages; until when those that wait may still go out.
    end: Option<End>,
    /// After a failed connect: not before this, and so long the next time.
    retry_at: Option<Instant>,
    backoff: Duration,
    /// Since when there is this connection.
    since: Instant,
    /// What kept the last connect from being tried in silence; it was logged.
    refusal: Option<Status>,
    /// Messages that this connection took whole.
    taken: u64,
    /// Of these, known to have been read.
    read: u64,
    /// Messages in doubt that a flush has told of.
    doubt_told: u64,
    counts: Counts,
}

/// How long a send may wait for room.
#[derive(Clone, Copy)]
struct Patience {
    deadline: Option<Instant>,
    /// Not at all.
    tries: bool,
}

impl Patience {
    fn new(timeout: Option<Duration>) -> Patience {
        Patience {
            deadline: deadline_after(timeout),
            tries: timeout == Some(Duration::ZERO),
        }
    }

    /// What the end of it is called.
    fn status(self) -> Status {
        match self.tries {
            true => Status::WouldBlock,
            false => Status::TimedOut,
        }
    }
}

/// What a producer has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that the kernel took whole.
    pub written: u64,
    /// Of these, lost or not when a connection broke: nobody can know.
    pub in_doubt: u64,
    pub dropped_oldest: u64,
    pub dropped_newest: u64,
    /// Messages that waited, and that the socket then refused to take.
    pub refused: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Messages that wait now.
    pub queued: u64,
}

/// What the socket made of a message.
enum Sent {
    Whole,
    /// The rest, from so many bytes on, has to wait.
    Part(usize),
}

impl Producer {
    pub fn new(
        runtime: &Arc<Runtime>,
        address: &Address,
        config: &Config,
    ) -> Result<Arc<Producer>> {
        runtime.check_running()?;
        if config.fds && config.kind == Kind::Stream && config.framing.header(0).is_none() {
            return Err(Error::argument(
                "descriptors go with messages that have a length: U32BE, U32LE, SEQPACKET or DATAGRAM",
            ));
        }
        let producer = Arc::new(Producer {
            runtime: runtime.clone(),
            thread: runtime.next_io_thread().clone(),
            address: address.clone(),
            config: config.clone(),
            wire: Wire {
                framing: (config.kind == Kind::Stream).then_some(config.framing),
                counts_fds: config.fds && config.kind == Kind::Stream,
            },
            state: Mutex::new(State {
                link: None,
                outbox: Outbox::default(),
                task: None,
                woken: false,
                end: None,
                retry_at: None,
                backoff: limits::RECONNECT_MIN,
                since: Instant::now(),
                refusal: None,
                taken: 0,
                read: 0,
                doubt_told: 0,
                counts: Counts::default(),
            }),
            changed: Condvar::new(),
            gate: Gate::default(),
        });
        runtime.add_member(producer.clone())?;
        let task = producer.clone();
        let run = move || drop(tokio::task::spawn_local(task::run(task)));
        producer.thread.post(Post::Run(Box::new(run)));
        Ok(producer)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `FORKED` in a forked child.
    pub fn check(&self) -> Result<()> {
        self.runtime.check()
    }

    pub fn counts(&self) -> Counts {
        let state = self.state();
        Counts {
            queued: state.outbox.len() as u64,
            ..state.counts
        }
    }

    /// Sends one message: at once, or through the queue. `None` waits for room as long as it takes.
    pub fn send(&self, payload: &[u8], timeout: Option<Duration>) -> Result<()> {
        self.send_with(payload, Vec::new(), timeout)
    }

    /// Sends one message with descriptors, which are the library's from now on.
    pub fn send_with(
        &self,
        payload: &[u8],
        fds: Vec<OwnedFd>,
        timeout: Option<Duration>,
    ) -> Result<()> {
        self.check_message(payload, fds.len())?;
        self.check_wait(timeout)?;
        self.put(payload, fds, Patience::new(timeout))
    }

    fn put(&self, payload: &[u8], fds: Vec<OwnedFd>, patience: Patience) -> Result<()> {
        let mut state = self.state();
        self.check_open(&state)?;
        let mut written = 0;
        if state.outbox.is_empty() {
            match self.try_now(&mut state, payload, &fds)? {
                Sent::Whole => return Ok(()),
                Sent::Part(n) => written = n,
            }
        }
        if written > 0 {
            // Part of it is on its way: the rest must follow, whatever the queue's limit.
            state.outbox.push(self.wire, payload, fds, written);
            self.wake(state);
            return Ok(());
        }
        match self.make_room(state, payload.len(), patience)? {
            Some(mut state) => {
                let first = state.outbox.is_empty();
                state.outbox.push(self.wire, payload, fds, 0);
                if first {
                    self.wake(state);
                }
                Ok(())
            }
            // Dropped, and counted.
            None => Ok(()),
        }
    }

    /// Sends messages in order, many with one system call; says how many were sent or wait in the queue.
    /// Fewer than all only with the error that stopped it.
    pub fn send_batch<'a>(
        &self,
        messages: impl Iterator<Item = &'a [u8]>,
        timeout: Option<Duration>,
    ) -> (usize, Result<()>) {
        let mut done = 0;
        if let Err(error) = self.check_wait(timeout) {
            return (0, Err(error));
        }
        let patience = Patience::new(timeout);
        let mut messages = messages.peekable();
        while messages.peek().is_some() {
            let result = if self.wire.framing.is_some() {
                self.send_gathered(&mut messages, &mut done, patience)
            } else {
                let payload = messages.next().expect("peeked");
                let sent = self
                    .check_message(payload, 0)
                    .and_then(|()| self.put(payload, Vec::new(), patience));
                done += usize::from(sent.is_ok());
                sent
            };
            if let Err(error) = result {
                return (done, Err(error));
            }
        }
        (done, Ok(()))
    }

    /// One system call's worth of a batch.
    fn send_gathered<'a>(
        &self,
        messages: &mut std::iter::Peekable<impl Iterator<Item = &'a [u8]>>,
        done: &mut usize,
        patience: Patience,
    ) -> Result<()> {
        let mut state = self.state();
        self.check_open(&state)?;
        // Before the first: a connect that fails for good must leave all of them to the caller.
        self.ensure_link(&mut state)?;
        let before = state.outbox.cost();
        let mut gathered = 0;
        while let Some(payload) = messages.peek() {
            if let Err(error) = self.check_message(payload, 0) {
                self.push_out(state);
                return Err(error);
            }
            let len = payload.len();
            let cost = len as u64 + limits::MESSAGE_OVERHEAD;
            let direct =
                before == 0 && state.link.is_some() && gathered + len <= limits::GATHER_MAX;
            if !direct && state.outbox.cost() + cost > self.config.max_queue {
                if gathered > 0 {
                    break;
                }
                match self.make_room(state, len, patience)? {
                    Some(again) => state = again,
                    None => {
                        messages.next();
                        *done += 1;
                        return Ok(());
                    }
                }
            }
            state.outbox.push(self.wire, payload, Vec::new(), 0);
            gathered += len;
            *done += 1;
            messages.next();
            if gathered >= limits::GATHER_MAX {
                break;
            }
        }
        self.push_out(state);
        Ok(())
    }

    /// Writes what waits as far as the socket takes it; the task does the rest.
    fn push_out(&self, mut state: MutexGuard<'_, State>) {
        if state.link.is_some() {
            self.write_out(&mut state);
        }
        if !state.outbox.is_empty() {
            self.wake(state);
        }
    }

    fn check_open(&self, state: &State) -> Result<()> {
        if state.end.is_some() {
            return Err(Error::new(
                Status::ShutDown,
                Operation::Send,
                "the producer was shut down",
            ));
        }
        Ok(())
    }

    fn check_message(&self, payload: &[u8], fds: usize) -> Result<()> {
        self.check()?;
        if payload.len() as u64 > self.config.max_message {
            return Err(self.too_large(payload.len()));
        }
        if let Some(framing) = self.wire.framing {
            framing.check(payload)?;
        } else if self.config.kind == Kind::Seqpacket && payload.is_empty() {
            return Err(Error::argument(
                "a SEQPACKET message of no bytes reads as the end: send at least one",
            ));
        }
        if fds > 0 && !self.config.fds {
            return Err(Error::state(
                "descriptors are off: see hysock_producer_config_set_fds",
            ));
        }
        if fds > limits::FDS_MAX {
            return Err(Error::argument(format!(
                "{fds} descriptors with one message, the kernel takes {} at most",
                limits::FDS_MAX
            )));
        }
        Ok(())
    }

    fn too_large(&self, len: usize) -> Error {
        Error::new(
            Status::TooLarge,
            Operation::Send,
            format!(
                "a message of {len} bytes is longer than the {} of hysock_producer_config_set_max_message \
                 or than the socket takes",
                self.config.max_message
            ),
        )
    }

    fn check_wait(&self, timeout: Option<Duration>) -> Result<()> {
        if timeout != Some(Duration::ZERO) && context::is_io_thread() {
            context::check_may_block("hysock_producer_send with a timeout")?;
        }
        Ok(())
    }

    /// Waits for room, or makes some; `None` when the message was dropped instead.
    fn make_room<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        len: usize,
        patience: Patience,
    ) -> Result<Option<MutexGuard<'a, State>>> {
        let cost = len as u64 + limits::MESSAGE_OVERHEAD;
        loop {
            self.check_open(&state)?;
            // One message always fits, whatever the limit.
            if state.outbox.is_empty() || state.outbox.cost() + cost <= self.config.max_queue {
                return Ok(Some(state));
            }
            match self.config.overflow {
                Overflow::DropNewest => {
                    state.counts.dropped_newest += 1;
                    return Ok(None);
                }
                Overflow::DropOldest if state.outbox.drop_oldest() => {
                    state.counts.dropped_oldest += 1;
                }
                // Half written, and nothing behind it: it goes on as if it were alone.
                Overflow::DropOldest => return Ok(Some(state)),
                Overflow::Fail => return Err(self.full(Status::Limit)),
                Overflow::Block => state = self.wait(state, patience)?,
            }
        }
    }

    /// Waits for a change.
    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        patience: Patience,
    ) -> Result<MutexGuard<'a, State>> {
        let left = patience
            .deadline
            .map(|d| d.saturating_duration_since(Instant::now()));
        match left {
            None => Ok(self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner)),
            Some(left) if left.is_zero() => Err(self.full(patience.status())),
            Some(left) => {
                let waited = self.changed.wait_timeout(state, left);
                Ok(waited.unwrap_or_else(PoisonError::into_inner).0)
            }
        }
    }

    fn full(&self, status: Status) -> Error {
        let message = format!("{}: the producer's queue is full", self.address);
        Error::new(status, Operation::Send, message)
    }

    /// Gives the task something to do.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        state.woken = true;
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            self.thread.wake(task);
        }
    }

    /// Connects when there is no connection and it is time to try. An error is one that trying again does
    /// not mend.
    fn ensure_link(&self, state: &mut State) -> Result<()> {
        let early = state.retry_at.is_some_and(|at| Instant::now() < at);
        if state.link.is_some() || early {
            return Ok(());
        }
        match connect::connect_as(self.config.kind.socket_type(), &self.address) {
            Ok(fd) => {
                state.connected(fd);
                Ok(())
            }
            Err(error) if may_come(&error) => {
                state.postpone();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a message past the empty queue.
    fn try_now(&self, state: &mut State, payload: &[u8], fds: &[OwnedFd]) -> Result<Sent> {
        // Twice: a receiver that was restarted shows only in a failed send.
        for _ in 0..2 {
            self.ensure_link(state)?;
            let Some(link) = state.link.clone() else {
                return Ok(Sent::Part(0));
            };
            let header = self.wire.header(payload.len(), fds.len());
            let trailer = self.wire.trailer().map(|byte| [byte]);
            let header = header.as_ref().map_or(&[][..], |header| header.as_slice());
            let trailer = trailer.as_ref().map_or(&[][..], |byte| &byte[..]);
            let whole = header.len() + payload.len() + trailer.len();
            let pieces = [
                IoSlice::new(header),
                IoSlice::new(payload),
                IoSlice::new(trailer),
            ];
            match packet::send(link.as_fd(), &pieces, fds) {
                Ok(n) if n == whole => {
                    state.wrote(1);
                    return Ok(Sent::Whole);
                }
                Ok(n) => return Ok(Sent::Part(n)),
                Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(Sent::Part(0)),
                Err(Errno::MSGSIZE) => return Err(self.too_large(payload.len())),
                Err(errno) if is_end(errno) => state.disconnected(errno),
                Err(errno) => return Err(self.cannot_send(errno)),
            }
        }
        Ok(Sent::Part(0))
    }

    fn cannot_send(&self, errno: Errno) -> Error {
        if errno == Errno::PERM {
            return Error::new(
                Status::Forbidden,
                Operation::Send,
                format!("{}: the receiver takes no descriptors", self.address),
            );
        }
        let what = format!("cannot send to {}", self.address);
        Error::system(Operation::Send, &what, &errno.into())
    }

    /// Writes what waits until the socket is full; `true` when it wants to be waited for.
    fn write_out(&self, state: &mut State) -> bool {
        let framed = self.wire.framing.is_some();
        let mut blocked = false;
        while let Some(link) = state.link.clone()
            && !state.outbox.is_empty()
        {
            let (bytes, fds) = if framed {
                state.outbox.next(limits::GATHER_MAX)
            } else {
                state.outbox.first().expect("not empty")
            };
            match packet::send(link.as_fd(), &[IoSlice::new(bytes)], fds) {
                Ok(n) if framed => {
                    let complete = state.outbox.advance(n);
                    state.wrote(complete);
                }
                Ok(_) => {
                    state.outbox.advance_one();
                    state.wrote(1);
                }
                Err(Errno::AGAIN | Errno::NOBUFS) => {
                    blocked = true;
                    break;
                }
                // What the socket never takes must not hold up the rest.
                Err(errno) if !is_end(errno) && state.outbox.is_at_start() => {
                    state.outbox.advance_one();
                    state.counts.refused += 1;
                }
                Err(errno) => state.disconnected(errno),
            }
        }
        self.changed.notify_all();
        blocked
    }

    /// Ends without waiting; what was not written is lost.
    pub fn release(&self) {
        if self.check().is_ok() {
            self.stop(true);
        }
    }
}

/// Whether the receiver may be there later.
fn may_come(error: &Error) -> bool {
    matches!(
        error.status,
        Status::Absent | Status::Refused | Status::Busy
    )
}

/// Whether the connection is over.
fn is_end(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::PIPE | Errno::CONNRESET | Errno::CONNREFUSED | Errno::NOTCONN | Errno::NOENT
    )
}

impl State {
    fn connected(&mut self, fd: OwnedFd) {
        self.link = Some(Arc::new(fd));
        self.retry_at = None;
        self.since = Instant::now();
        self.refusal = None;
        self.taken = 0;
        self.read = 0;
        self.counts.connections += 1;
    }

    /// A connect failed: the next one has to wait, each time longer, and not all producers at once.
    fn postpone(&mut self) {
        let now = Instant::now();
        let spread = self.backoff.mul_f64(jitter(now));
        self.retry_at = now.checked_add(self.backoff / 2 + spread / 2);
        self.backoff = (self.backoff * 2).min(limits::RECONNECT_MAX);
    }

    fn wrote(&mut self, messages: u64) {
        self.taken += messages;
        self.counts.written += messages;
    }

    /// The connection is over. What the receiver had not read by then is in doubt. `errno` is what a send
    /// gave: ECONNRESET comes once, so a read would not give it again.
    fn disconnected(&mut self, errno: Errno) {
        let Some(link) = self.link.take() else { return };
        if errno == Errno::CONNRESET || !packet::was_read_to_its_end(link.as_fd()) {
            self.counts.in_doubt += self.taken - self.read;
        }
        self.outbox.rewind();
        // Who is sent away as soon as they have come must not come back at once.
        if self.since.elapsed() < limits::RECONNECT_MAX {
            self.postpone();
        } else {
            self.backoff = limits::RECONNECT_MIN;
        }
    }

    /// Messages that have left the queue, one way or another.
    fn gone(&self) -> u64 {
        self.counts.written + self.counts.refused + self.counts.dropped_oldest
    }
}

/// Something between 0 and 1.
fn jitter(now: Instant) -> f64 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(now) % 1024) as f64 / 1024.0
}

impl Waited for Producer {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn executor(&self) -> Option<&Executor> {
        None
    }
}

impl Member for Producer {
    fn begin_shutdown(self: Arc<Self>, drain: Option<Duration>) {
        self.begin_end(drain);
    }

    fn withdraw(self: Arc<Self>) {
        self.stop(true);
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
