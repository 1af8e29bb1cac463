//! A sender that finds the queue full writes it out itself, on its own thread: it has nothing better to do, and
//! a thread that waits in a send is woken by the receiver with room for its message. For sockets that keep
//! messages apart: their queue in the kernel is ten messages, so whoever polls them is woken all the time.

use super::send::LOOK;
use super::{Producer, State};
use crate::socket::packet;
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

/// With less time left than this, a wait must end more exactly than the kernel's own limit does.
const SHORT: Duration = Duration::from_millis(30);

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
        let mut first = Vec::new();
        // There is no other connection before the end of this.
        let exact = left < SHORT || !state.limits_waits();
        loop {
            let passed = begin.elapsed();
            let has_room = state.outbox.cost() + cost <= self.config.max_queue;
            let enough = has_room && passed >= LOOK;
            if enough || passed >= left || state.end.is_some() || !self.may_help(&state) {
                break;
            }
            state = self.send_first(state, &mut first, left - passed, exact);
            // After one that had to wait there is often room for some more.
            if state.may_write() {
                self.write_once(&mut state);
            }
            self.tell_progress(&state);
        }
        if state.end.is_some() || !state.outbox.is_empty() {
            self.wake(&mut state);
        }
        state
    }

    /// Sends the first message that waits, with the lock let go meanwhile; `first` is space for it.
    fn send_first<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        first: &mut Vec<u8>,
        left: Duration,
        exact: bool,
    ) -> MutexGuard<'a, State> {
        let (Some(link), Some((bytes, _))) = (state.link.clone(), state.outbox.first()) else {
            return state;
        };
        first.clear();
        first.extend_from_slice(bytes);
        state.helped = true;
        drop(state);
        let sent = if exact || left < SHORT {
            packet::wait_for_room(link.as_fd(), left.min(LOOK));
            Err(Errno::AGAIN)
        } else {
            packet::send_waiting(link.as_fd(), first)
        };
        let mut state = self.state();
        state.helped = false;
        let same = state
            .link
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, &link));
        match sent {
            Ok(()) => {
                state.outbox.advance_by(1);
                state.wrote(1);
                // It broke in the same moment.
                if !same {
                    state.taken -= 1;
                    state.counts.in_doubt += 1;
                }
            }
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::INTR) => {}
            Err(errno) if same => state.not_taken(errno),
            Err(_) => {}
        }
        state
    }
}

impl State {
    /// Limits how long a send on the connection waits; `false` when that cannot be done.
    fn limits_waits(&self) -> bool {
        let link = self.link.as_ref();
        link.is_some_and(|link| packet::limit_waits(link.as_fd(), LOOK).is_ok())
    }
}
