//! Sending: on the caller's thread as long as nothing waits, through the queue otherwise.

use super::link::{Sent, is_end};
use super::outbox::Outgoing;
use super::{Overflow, Producer, State};
use crate::error::{Error, Operation, Result, Status};
use crate::limits;
use crate::runtime::context;
use crate::runtime::gate::deadline_after;
use crate::socket::Kind;
use crate::socket::memfd;
use crate::socket::packet::{self, PACKETS};
use rustix::io::Errno;
use std::io::IoSlice;
use std::iter::Peekable;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whoever waits for room is told when half of the queue is free: often enough for the throughput. With a slow
/// receiver that may take long, so it also looks for itself.
pub(super) const LOOK: Duration = Duration::from_millis(10);

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

impl Producer {
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
        self.put(Outgoing::new(payload, fds), Patience::new(timeout))
    }

    /// Whether a message without descriptors goes as sealed memory.
    fn is_large(&self, payload: &[u8]) -> bool {
        payload.len() as u64 >= self.config.memfd
    }

    fn put(&self, mut message: Outgoing<'_>, patience: Patience) -> Result<()> {
        // Where there is no descriptor or memory to be had, it goes as others do.
        if message.fds.is_empty()
            && self.is_large(message.payload)
            && let Ok(fd) = memfd::seal(message.payload)
        {
            message.fds.push(fd);
            message.sealed = true;
        }
        let mut state = self.state();
        self.check_open(&state)?;
        let mut written = 0;
        if state.outbox.is_empty() {
            match self.try_now(&mut state, &message)? {
                Sent::Whole => return Ok(()),
                Sent::Part(n) => written = n,
            }
        }
        // Of what is partly on its way the rest must follow, whatever the queue's limit.
        if written == 0 {
            match self.make_room(state, message.payload.len(), patience)? {
                Some(again) => state = again,
                // Dropped, and counted.
                None => return Ok(()),
            }
        }
        self.enqueue(&mut state, message, written);
        Ok(())
    }

    fn enqueue(&self, state: &mut State, message: Outgoing<'_>, written: usize) {
        let first = state.outbox.is_empty();
        state.outbox.push(self.wire, message, written);
        if first {
            self.wake(state);
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
        while let Some(&payload) = messages.peek() {
            let result = if self.is_large(payload) {
                messages.next();
                let sent = self
                    .check_message(payload, 0)
                    .and_then(|()| self.put(Outgoing::new(payload, Vec::new()), patience));
                done += usize::from(sent.is_ok());
                sent
            } else if self.wire.framing.is_some() {
                self.send_gathered(&mut messages, &mut done, patience)
            } else {
                self.send_packets(&mut messages, &mut done, patience)
            };
            if let Err(error) = result {
                return (done, Err(error));
            }
        }
        (done, Ok(()))
    }

    /// One system call's worth of a batch, on a stream.
    fn send_gathered<'a>(
        &self,
        messages: &mut Peekable<impl Iterator<Item = &'a [u8]>>,
        done: &mut usize,
        patience: Patience,
    ) -> Result<()> {
        let mut state = self.state();
        self.check_open(&state)?;
        // Before the first: a connect that fails for good must leave all of them to the caller.
        self.ensure_link(&mut state)?;
        let before = state.outbox.cost();
        let mut gathered = 0;
        while let Some(&payload) = messages.peek()
            && !self.is_large(payload)
        {
            if let Err(error) = self.check_message(payload, 0) {
                self.push_out(&mut state);
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
            let message = Outgoing::new(payload, Vec::new());
            state.outbox.push(self.wire, message, 0);
            gathered += len;
            *done += 1;
            messages.next();
            if gathered >= limits::GATHER_MAX {
                break;
            }
        }
        self.push_out(&mut state);
        Ok(())
    }

    /// One system call's worth of a batch, on a socket that keeps messages apart.
    fn send_packets<'a>(
        &self,
        messages: &mut Peekable<impl Iterator<Item = &'a [u8]>>,
        done: &mut usize,
        patience: Patience,
    ) -> Result<()> {
        let mut pieces = [IoSlice::new(&[]); PACKETS];
        let mut count = 0;
        let mut refused = Ok(());
        while count < PACKETS
            && let Some(payload) = messages.next_if(|payload| !self.is_large(payload))
        {
            refused = self.check_message(payload, 0);
            if refused.is_err() {
                break;
            }
            pieces[count] = IoSlice::new(payload);
            count += 1;
        }
        self.put_packets(&pieces[..count], done, patience)?;
        refused
    }

    /// As far as the socket takes them at once; the rest goes into the queue.
    fn put_packets(
        &self,
        pieces: &[IoSlice<'_>],
        done: &mut usize,
        patience: Patience,
    ) -> Result<()> {
        let mut state = self.state();
        self.check_open(&state)?;
        let mut sent = 0;
        let mut broken = 0;
        while sent < pieces.len() && state.outbox.is_empty() && broken < 2 {
            self.ensure_link(&mut state)?;
            let Some(link) = state.link.clone() else {
                break;
            };
            match packet::send_many(link.as_fd(), &pieces[sent..]) {
                Ok(n) => {
                    state.wrote(n as u64);
                    sent += n;
                    *done += n;
                }
                Err(Errno::AGAIN | Errno::NOBUFS) => break,
                Err(Errno::MSGSIZE) => return Err(self.too_large(pieces[sent].len())),
                // A receiver that was restarted shows only in a failed send.
                Err(errno) if is_end(errno) => {
                    state.disconnected(errno);
                    broken += 1;
                }
                Err(errno) => return Err(self.cannot_send(errno)),
            }
        }
        for piece in &pieces[sent..] {
            match self.make_room(state, piece.len(), patience)? {
                Some(again) => {
                    state = again;
                    self.enqueue(&mut state, Outgoing::new(piece, Vec::new()), 0);
                }
                // Dropped, and counted.
                None => state = self.state(),
            }
            *done += 1;
        }
        Ok(())
    }

    /// Writes what waits as far as the socket takes it; the task does the rest.
    fn push_out(&self, state: &mut State) {
        if state.link.is_some() {
            self.write_out(state);
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

    pub(super) fn too_large(&self, len: usize) -> Error {
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
                Overflow::Block if self.may_help(&state) => {
                    state = self.help(state, cost, self.left(patience)?);
                }
                Overflow::Block => state = self.wait(state, patience)?,
            }
        }
    }

    /// Waits for a change.
    fn wait<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        patience: Patience,
    ) -> Result<MutexGuard<'a, State>> {
        let left = self.left(patience)?;
        state.blocked += 1;
        let waited = self.room.wait_timeout(state, left.min(LOOK));
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.blocked -= 1;
        Ok(state)
    }

    /// How long a send may still wait.
    fn left(&self, patience: Patience) -> Result<Duration> {
        let left = patience.deadline.map_or(Duration::MAX, |d| {
            d.saturating_duration_since(Instant::now())
        });
        if left.is_zero() {
            return Err(self.full(patience.status()));
        }
        Ok(left)
    }

    fn full(&self, status: Status) -> Error {
        let message = format!("{}: the producer's queue is full", self.address);
        Error::new(status, Operation::Send, message)
    }
}
