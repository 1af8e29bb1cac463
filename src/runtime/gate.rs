//! A gate that opens once: what `wait` stands before.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Closed at first; opened once; waiting is bounded.
#[derive(Debug, Default)]
pub struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub fn open(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.opened.notify_all();
    }

    pub fn is_open(&self) -> bool {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the gate is open or `deadline` has come; says whether it is open.
    pub fn wait_until(&self, deadline: Option<Instant>) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while !*open {
            let left = match deadline {
                None => Duration::MAX,
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            };
            if left.is_zero() {
                return false;
            }
            open = if left == Duration::MAX {
                self.opened
                    .wait(open)
                    .unwrap_or_else(PoisonError::into_inner)
            } else {
                self.opened
                    .wait_timeout(open, left)
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
