//! Batches for whoever asks for them.

use super::{Receiver, shut_down};
use crate::error::{Error, Operation, Result, Status};
use crate::message::batch::Batch;
use crate::runtime::gate::deadline_after;
use crate::runtime::{self, context};
use rustix::event::EventfdFlags;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A descriptor that is readable exactly while something waits.
pub(super) struct Pull {
    fd: OwnedFd,
    readable: Mutex<bool>,
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
            readable: Mutex::new(false),
        })
    }

    /// Makes the descriptor what `filled` says; asked under the lock, so that the last word is right.
    pub fn settle(&self, filled: impl FnOnce() -> bool) {
        let mut readable = self.readable.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = filled();
        if filled && !*readable {
            rustix::io::write(&self.fd, &1u64.to_ne_bytes()).ok();
        } else if !filled && *readable {
            rustix::io::read(&self.fd, &mut [0; 8]).ok();
        }
        *readable = filled;
    }
}

impl Receiver {
    /// The descriptor that is readable while something waits.
    pub fn fd(&self) -> i32 {
        self.pull.fd.as_raw_fd()
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
            if !runtime::wait_readable(&self.pull.fd, deadline)? {
                return Err(runtime::timed_out("no message came"));
            }
        }
    }

    /// A receiver that has ended stays readable: its end is news too.
    pub(super) fn is_readable(&self) -> bool {
        self.funnel.is_filled() || self.closing.load(Ordering::Acquire)
    }
}
