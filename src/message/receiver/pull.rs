//! Batches for whoever asks for them.

use super::{Receiver, shut_down};
use crate::error::{Error, Operation, Result, Status};
use crate::limits;
use crate::message::batch::Batch;
use crate::runtime::gate::deadline_after;
use crate::runtime::{self, context};
use rustix::event::EventfdFlags;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Those who wait for something to take: threads in `recv`, and a descriptor for loops.
pub(super) struct Pull {
    /// Readable exactly while something waits, once somebody has asked for it.
    fd: OwnedFd,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Somebody has the descriptor.
    shown: bool,
    readable: bool,
    /// Threads that wait for `changed`.
    waiting: usize,
}

impl Pull {
    pub fn new() -> Result<Pull> {
        let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| {
                let what = "cannot make the receiver's descriptor";
                Error::system(Operation::Start, what, &e.into())
            })?;
        Ok(Pull {
            fd,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody what `filled` says; asked under the lock, so that the last word is right.
    pub fn settle(&self, filled: impl FnOnce() -> bool) {
        let mut state = self.state();
        if !state.shown && state.waiting == 0 {
            return;
        }
        let filled = filled();
        if state.shown {
            self.show(&mut state, filled);
        }
        let wanted = filled && state.waiting > 0;
        // First: who wakes needs the lock.
        drop(state);
        if wanted {
            self.changed.notify_all();
        }
    }

    /// Makes the descriptor what `filled` says.
    fn show(&self, state: &mut State, filled: bool) {
        if filled && !state.readable {
            rustix::io::write(&self.fd, &1u64.to_ne_bytes()).ok();
        } else if !filled && state.readable {
            rustix::io::read(&self.fd, &mut [0; 8]).ok();
        }
        state.readable = filled;
    }

    /// The descriptor, which is kept up to date from now on.
    fn fd(&self, filled: impl FnOnce() -> bool) -> RawFd {
        let mut state = self.state();
        state.shown = true;
        let filled = filled();
        self.show(&mut state, filled);
        self.fd.as_raw_fd()
    }

    /// Waits until `filled` may say yes; `false` when the deadline came first.
    fn wait(&self, filled: impl FnOnce() -> bool, deadline: Option<Instant>) -> bool {
        let mut state = self.state();
        if filled() {
            return true;
        }
        let left = deadline.map_or(limits::A_DAY, |d| {
            d.saturating_duration_since(Instant::now())
        });
        if left.is_zero() {
            return false;
        }
        state.waiting += 1;
        let waited = self.changed.wait_timeout(state, left.min(limits::A_DAY));
        waited.unwrap_or_else(PoisonError::into_inner).0.waiting -= 1;
        true
    }
}

impl Receiver {
    /// The descriptor that is readable while something waits.
    pub fn fd(&self) -> RawFd {
        self.pull.fd(|| self.is_readable())
    }

    /// Takes up to `max` messages; waits for the first up to `timeout`.
    pub fn recv(&self, max: usize, timeout: Option<Duration>) -> Result<Batch> {
        self.check()?;
        if self.state().on_batch.is_some() {
            return Err(Error::state(
                "the receiver gives its batches to a callback: recv is for one without",
            ));
        }
        if timeout != Some(Duration::ZERO) {
            context::check_may_block("hysock_receiver_recv")?;
        }
        let deadline = deadline_after(timeout);
        loop {
            // Asked before: nothing is added once it is closing.
            let closing = self.closing.load(Ordering::Acquire);
            if let Some(batch) = self.funnel.take(max) {
                self.pull.settle(|| self.is_readable());
                return Ok(batch);
            }
            if closing {
                return Err(shut_down());
            }
            if timeout == Some(Duration::ZERO) {
                return Err(Error::new(
                    Status::WouldBlock,
                    Operation::Receive,
                    "no message waits",
                ));
            }
            if !self.pull.wait(|| self.is_readable(), deadline) {
                return Err(runtime::timed_out("no message came"));
            }
        }
    }

    /// A receiver that has ended stays readable: its end is news too.
    pub(super) fn is_readable(&self) -> bool {
        self.funnel.is_filled() || self.closing.load(Ordering::Acquire)
    }
}
