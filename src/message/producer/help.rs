//! A sender that finds the queue full writes it out itself, on its own thread: it has nothing better to do, and
//! a thread that waits in a send is woken by the receiver with room for its message. For sockets that keep
//! messages apart: their queue in the kernel is ten messages, so whoever polls them is woken all the time.

use super::outbox::Outbox;
use super::send::LOOK;
use super::{Producer, State};
use crate::socket::packet;
use rustix::io::Errno;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

/// Messages that one call waits for: each of them for [`LOOK`] and what the kernel adds to it.
const TOGETHER: usize = 8;
const EACH: Duration = Duration::from_millis(30);
/// Bytes of them that are worth a copy, beside the first message's.
const COPIED: usize = 16 * 1024;

impl Producer {
    pub(super) fn may_help(&self, state: &State) -> bool {
        self.wire.framing.is_none()
            && state.may_write()
            && state.outbox.first().is_some_and(|(_, fds)| fds.is_empty())
    }

    /// Writes what waits until a message of `cost` has room, for some milliseconds at least: then the I/O
    /// thread goes on. Returns earlier at the end of the producer or of `left`, or without a connection.
    pub(super) fn help<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        cost: u64,
        left: Duration,
    ) -> MutexGuard<'a, State> {
        let begin = Instant::now();
        let mut copy = Copy::default();
        // There is no other connection before the end of this.
        let exact = !state.limits_waits();
        loop {
            let passed = begin.elapsed();
            let has_room = state.outbox.cost() + cost <= self.config.max_queue;
            let enough = has_room && passed >= LOOK;
            if enough || passed >= left || state.end.is_some() || !self.may_help(&state) {
                break;
            }
            let left = left - passed;
            let together = (left.as_millis() / EACH.as_millis()).min(TOGETHER as u128) as usize;
            if exact || together == 0 {
                state = self.wait_exactly(state, left.min(LOOK));
            } else {
                state = self.send_first(state, &mut copy, together);
            }
            self.tell_progress(&state);
        }
        if state.end.is_some() || !state.outbox.is_empty() {
            self.wake(&mut state);
        }
        state
    }

    /// Lets go of the lock while `wait` runs on the connection; nobody else writes meanwhile. Says also whether
    /// the connection is still the same.
    fn unlocked<'a, R>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        wait: impl FnOnce(BorrowedFd<'_>) -> R,
    ) -> Option<(MutexGuard<'a, State>, R, bool)> {
        let link = state.link.clone()?;
        state.helped = true;
        drop(state);
        let result = wait(link.as_fd());
        let mut state = self.state();
        state.helped = false;
        let same = state
            .link
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, &link));
        Some((state, result, same))
    }

    /// Waits for room, and writes what fits.
    fn wait_exactly<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        limit: Duration,
    ) -> MutexGuard<'a, State> {
        let wait = |link: BorrowedFd<'_>| packet::wait_for_room(link, limit);
        let Some((mut state, (), _)) = self.unlocked(state, wait) else {
            return self.state();
        };
        if state.may_write() {
            self.write_once(&mut state);
        }
        state
    }

    /// Sends the first messages that wait, some of them, with waiting.
    fn send_first<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        copy: &mut Copy,
        most: usize,
    ) -> MutexGuard<'a, State> {
        copy.fill(&state.outbox, most);
        let send = |link: BorrowedFd<'_>| copy.send(link);
        let Some((mut state, sent, same)) = self.unlocked(state, send) else {
            return self.state();
        };
        match sent {
            Ok(count) => {
                state.outbox.advance_by(count);
                state.wrote(count as u64);
                // It broke in the same moment.
                if !same {
                    state.taken -= count as u64;
                    state.counts.in_doubt += count as u64;
                }
            }
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::INTR) => {}
            Err(errno) if same => state.not_taken(errno),
            Err(_) => {}
        }
        state
    }
}

/// Some messages of the queue, which may move while they are sent.
#[derive(Default)]
struct Copy {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Copy {
    /// The first messages: one at least, `most` at most, none with descriptors.
    fn fill(&mut self, outbox: &Outbox, most: usize) {
        self.bytes.clear();
        self.ends.clear();
        let mut pieces = [IoSlice::new(&[]); TOGETHER];
        let count = outbox.many(&mut pieces[..most]);
        for piece in &pieces[..count] {
            if !self.ends.is_empty() && self.bytes.len() + piece.len() > COPIED {
                break;
            }
            self.bytes.extend_from_slice(piece);
            self.ends.push(self.bytes.len());
        }
    }

    fn send(&self, link: BorrowedFd<'_>) -> rustix::io::Result<usize> {
        let mut pieces = [IoSlice::new(&[]); TOGETHER];
        let mut start = 0;
        for (piece, &end) in pieces.iter_mut().zip(&self.ends) {
            *piece = IoSlice::new(&self.bytes[start..end]);
            start = end;
        }
        packet::send_waiting(link, &pieces[..self.ends.len()])
    }
}

impl State {
    /// Limits how long a send on the connection waits; `false` when that cannot be done.
    fn limits_waits(&self) -> bool {
        let link = self.link.as_ref();
        link.is_some_and(|link| packet::limit_waits(link.as_fd(), LOOK).is_ok())
    }
}
