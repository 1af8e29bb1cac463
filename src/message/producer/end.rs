//! How far messages have come, and the end of a producer.

use super::{Producer, State};
use crate::error::{Error, Operation, Result, Status};
use crate::limits;
use crate::runtime::context;
use crate::runtime::gate::deadline_after;
use crate::socket::packet;
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// What a flush waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// The kernel has taken all of it.
    Written,
    /// The receiving process has read all of it.
    Read,
}

/// The end that was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// Messages that wait may go out until then; `None` is as long as it takes.
    pub deadline: Option<Instant>,
    /// Not even until then.
    pub now: bool,
}

/// What became of the messages of a producer that has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Read by the receiving process.
    pub delivered: u64,
    /// Written to a connection that broke, or that was not read to its end in time.
    pub in_doubt: u64,
    /// Never written.
    pub unsent: u64,
    /// Dropped by the overflow policy, or refused by the socket.
    pub dropped: u64,
}

/// How often a look is taken at what the receiver has read: the kernel does not tell.
const LOOK_MIN: Duration = Duration::from_micros(200);
const LOOK_MAX: Duration = Duration::from_millis(10);

impl Producer {
    /// Waits until every message that was sent before has come that far. `CLOSED` when a connection broke
    /// since the last flush and some are in doubt.
    pub fn flush(&self, what: Flush, timeout: Option<Duration>) -> Result<()> {
        self.check()?;
        if timeout != Some(Duration::ZERO) {
            context::check_may_block("hysock_producer_flush")?;
        }
        let deadline = deadline_after(timeout);
        let mut state = self.state();
        let target = state.gone() + state.outbox.len() as u64;
        let mut pause = LOOK_MIN;
        loop {
            let doubt = state.doubt_told;
            state.doubt_told = state.counts.in_doubt;
            if state.counts.in_doubt > doubt {
                return Err(Error::new(
                    Status::Closed,
                    Operation::Wait,
                    format!(
                        "{}: the connection broke: {} messages are in doubt",
                        self.address,
                        state.counts.in_doubt - doubt
                    ),
                ));
            }
            let pending = match state.gone() >= target {
                false => Some(Duration::MAX),
                true if what == Flush::Read && !state.look() => Some(pause),
                true => None,
            };
            let Some(most) = pending else {
                if state.counts.in_doubt > state.doubt_told {
                    continue;
                }
                return Ok(());
            };
            if self.gate.is_open() {
                return Err(Error::new(
                    Status::ShutDown,
                    Operation::Wait,
                    "the producer has ended: hysock_producer_stats() says what it left",
                ));
            }
            pause = (pause * 2).min(LOOK_MAX);
            let left = deadline.map_or(Duration::MAX, |d| {
                d.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                let status = match timeout == Some(Duration::ZERO) {
                    true => Status::WouldBlock,
                    false => Status::TimedOut,
                };
                let message = "messages are still on their way";
                return Err(Error::new(status, Operation::Wait, message));
            }
            let wait = left.min(most).min(limits::A_DAY);
            state.flushing += 1;
            let waited = self.changed.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.flushing -= 1;
        }
    }

    /// Takes no more messages, gives those that wait until the deadline to go out and to be read.
    pub fn shutdown(&self, drain: Option<Duration>) -> Result<Report> {
        self.check()?;
        context::check_may_wait("hysock_producer_shutdown")?;
        self.begin_end(drain);
        self.gate.wait_until(None);
        Ok(self.report())
    }

    pub(super) fn begin_end(&self, drain: Option<Duration>) {
        let mut state = self.state();
        let deadline = deadline_after(drain);
        let end = state.end.get_or_insert(End {
            deadline,
            now: false,
        });
        // A second call can only shorten it.
        end.deadline = match (end.deadline, deadline) {
            (Some(before), Some(now)) => Some(before.min(now)),
            (before, now) => before.or(now),
        };
        self.tell_end();
        self.wake(&mut state);
    }

    /// To all who wait.
    fn tell_end(&self) {
        self.changed.notify_all();
        self.room.notify_all();
    }

    pub(super) fn stop(&self, now: bool) {
        self.begin_end(Some(Duration::ZERO));
        let mut state = self.state();
        if let Some(end) = &mut state.end {
            end.now |= now;
        }
        self.wake(&mut state);
    }

    fn report(&self) -> Report {
        let state = self.state();
        let counts = state.counts;
        Report {
            delivered: counts.written - counts.in_doubt,
            in_doubt: counts.in_doubt,
            unsent: state.outbox.len() as u64,
            dropped: counts.dropped_oldest + counts.dropped_newest + counts.refused,
        }
    }

    /// The last step: nothing of the producer runs any more.
    pub(super) fn close(self: &Arc<Self>) {
        self.gate.open();
        // Under the lock: who looked at the gate before waits by now.
        let state = self.state();
        self.tell_end();
        drop(state);
        self.runtime.remove_member(&**self);
    }
}

impl State {
    /// Whether the receiver has read everything that was written.
    pub(super) fn look(&mut self) -> bool {
        if self.read == self.taken {
            return true;
        }
        let Some(link) = &self.link else { return true };
        if packet::unread_by_peer(link.as_fd()) == 0 && !packet::is_broken(link.as_fd()) {
            self.read = self.taken;
            return true;
        }
        if packet::is_broken(link.as_fd()) {
            self.disconnected(Errno::PIPE);
        }
        false
    }
}
