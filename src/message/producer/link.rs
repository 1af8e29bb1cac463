//! The connection of a producer: made, written to, and found broken.

use super::outbox::Outgoing;
use super::{Producer, State};
use crate::error::{Error, Operation, Result, Status};
use crate::limits;
use crate::socket::connect;
use crate::socket::packet;
use rustix::io::Errno;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

/// What the socket made of a message.
pub(super) enum Sent {
    Whole,
    /// The rest, from so many bytes on, has to wait.
    Part(usize),
}

impl Producer {
    /// Connects when there is no connection and it is time to try. An error is one that trying again does
    /// not mend.
    pub(super) fn ensure_link(&self, state: &mut State) -> Result<()> {
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
    pub(super) fn try_now(&self, state: &mut State, message: &Outgoing<'_>) -> Result<Sent> {
        // Twice: a receiver that was restarted shows only in a failed send.
        for _ in 0..2 {
            self.ensure_link(state)?;
            let Some(link) = state.link.clone() else {
                return Ok(Sent::Part(0));
            };
            let (header, body) = (self.wire.header(message), message.body());
            let trailer = self.wire.trailer().map(|byte| [byte]);
            let header = header.as_ref().map_or(&[][..], |header| header.as_slice());
            let trailer = trailer.as_ref().map_or(&[][..], |byte| &byte[..]);
            let whole = header.len() + body.len() + trailer.len();
            let pieces = [
                IoSlice::new(header),
                IoSlice::new(body),
                IoSlice::new(trailer),
            ];
            match packet::send(link.as_fd(), &pieces, &message.fds) {
                Ok(n) if n == whole => {
                    state.wrote(1);
                    return Ok(Sent::Whole);
                }
                Ok(n) => return Ok(Sent::Part(n)),
                Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(Sent::Part(0)),
                Err(Errno::MSGSIZE) => return Err(self.too_large(body.len())),
                Err(errno) if is_end(errno) => state.disconnected(errno),
                Err(errno) => return Err(self.cannot_send(errno)),
            }
        }
        Ok(Sent::Part(0))
    }

    pub(super) fn cannot_send(&self, errno: Errno) -> Error {
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
    pub(super) fn write_out(&self, state: &mut State) -> bool {
        let mut blocked = false;
        while !blocked && state.may_write() {
            blocked = self.write_once(state);
        }
        self.tell_progress(state);
        blocked
    }

    /// One system call's worth of what waits; `true` when the socket is full.
    pub(super) fn write_once(&self, state: &mut State) -> bool {
        let Some(link) = state.link.clone() else {
            return false;
        };
        let sent = match self.wire.framing {
            Some(_) => write_frames(state, link.as_fd()),
            None => write_packets(state, link.as_fd()),
        };
        match sent {
            Ok(complete) => state.wrote(complete),
            Err(Errno::AGAIN | Errno::NOBUFS) => return true,
            Err(errno) => state.not_taken(errno),
        }
        false
    }

    /// Whoever waits for messages to leave is told that some have.
    pub(super) fn tell_progress(&self, state: &State) {
        if state.flushing > 0 {
            self.changed.notify_all();
        }
        // Not for each message: a thread that wakes should have something to do.
        if state.blocked > 0 && state.outbox.cost() <= self.config.max_queue / 2 {
            self.room.notify_all();
        }
    }
}

/// One system call's worth of a stream; how many messages are complete by that.
fn write_frames(state: &mut State, link: BorrowedFd<'_>) -> rustix::io::Result<u64> {
    let (bytes, fds) = state.outbox.next(limits::GATHER_MAX);
    let n = packet::send(link, &[IoSlice::new(bytes)], fds)?;
    Ok(state.outbox.advance(n))
}

/// The same for sockets that keep messages apart.
fn write_packets(state: &mut State, link: BorrowedFd<'_>) -> rustix::io::Result<u64> {
    let mut pieces = [IoSlice::new(&[]); packet::PACKETS];
    let sent = match state.outbox.many(&mut pieces) {
        0 => {
            let (bytes, fds) = state.outbox.first().expect("something waits");
            packet::send(link, &[IoSlice::new(bytes)], fds).map(|_| 1)?
        }
        count => packet::send_many(link, &pieces[..count])?,
    };
    state.outbox.advance_by(sent);
    Ok(sent as u64)
}

/// Whether the receiver may be there later.
fn may_come(error: &Error) -> bool {
    matches!(
        error.status,
        Status::Absent | Status::Refused | Status::Busy
    )
}

/// Whether the connection is over.
pub(super) fn is_end(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::PIPE | Errno::CONNRESET | Errno::CONNREFUSED | Errno::NOTCONN | Errno::NOENT
    )
}

impl State {
    /// Something waits, and nobody else is just writing it.
    pub(super) fn may_write(&self) -> bool {
        self.link.is_some() && !self.helped && !self.outbox.is_empty()
    }

    /// The socket has refused the first message that waits.
    pub(super) fn not_taken(&mut self, errno: Errno) {
        // What it never takes must not hold up the rest.
        if !is_end(errno) && self.outbox.is_at_start() {
            self.outbox.advance_by(1);
            self.counts.refused += 1;
        } else {
            self.disconnected(errno);
        }
    }

    pub(super) fn connected(&mut self, fd: OwnedFd) {
        self.link = Some(Arc::new(fd));
        self.retry_at = None;
        self.since = Instant::now();
        self.refusal = None;
        self.taken = 0;
        self.read = 0;
        self.counts.connections += 1;
    }

    /// A connect failed: the next one has to wait, each time longer, and not all producers at once.
    pub(super) fn postpone(&mut self) {
        let now = Instant::now();
        let spread = self.backoff.mul_f64(jitter(now));
        self.retry_at = now.checked_add(self.backoff / 2 + spread / 2);
        self.backoff = (self.backoff * 2).min(limits::RECONNECT_MAX);
    }

    pub(super) fn wrote(&mut self, messages: u64) {
        self.taken += messages;
        self.counts.written += messages;
    }

    /// The connection is over. What the receiver had not read by then is in doubt. `errno` is what a send
    /// gave: ECONNRESET comes once, so a read would not give it again.
    pub(super) fn disconnected(&mut self, errno: Errno) {
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
    pub(super) fn gone(&self) -> u64 {
        self.counts.written + self.counts.refused + self.counts.dropped_oldest
    }
}

/// Something between 0 and 1.
fn jitter(now: Instant) -> f64 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(now) % 1024) as f64 / 1024.0
}
