//! A gate that opens once: what `wait` stands before.

use crate::error::{Error, Operation, Result};
use rustix::event::EventfdFlags;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Closed at first; opened once; waiting is bounded.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    /// Of those who wait for other descriptors too: each becomes readable when the gate opens.
    bells: Vec<Weak<OwnedFd>>,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn open(&self) {
        let mut state = self.state();
        state.open = true;
        let bells = std::mem::take(&mut state.bells);
        drop(state);
        self.opened.notify_all();
        for bell in bells.iter().filter_map(Weak::upgrade) {
            ring(&bell);
        }
    }

    pub fn is_open(&self) -> bool {
        self.state().open
    }

    /// A descriptor that is readable once the gate is open.
    pub fn bell(&self) -> Result<Arc<OwnedFd>> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = rustix::event::eventfd(0, flags)
            .map(Arc::new)
            .map_err(|e| {
                Error::system(
                    Operation::Wait,
                    "cannot make a descriptor to wait on",
                    &e.into(),
                )
            })?;
        let mut state = self.state();
        state.bells.retain(|bell| bell.strong_count() > 0);
        if state.open {
            ring(&bell);
        } else {
            state.bells.push(Arc::downgrade(&bell));
        }
        Ok(bell)
    }

    /// Waits until the gate is open or `deadline` has come; says whether it is open.
    pub fn wait_until(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state();
        while !state.open {
            let left = match deadline {
                None => Duration::MAX,
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            };
            if left.is_zero() {
                return false;
            }
            state = if left == Duration::MAX {
                self.opened
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner)
            } else {
                self.opened
                    .wait_timeout(state, left)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            };
        }
        true
    }
}

/// The end of a wait that may last `timeout`; `None` is no end.
pub fn deadline_after(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

fn ring(bell: &OwnedFd) {
    // Cannot fail: nobody else writes to it.
    rustix::io::write(bell, &1u64.to_ne_bytes()).ok();
}
