//! The fork guard: tells a forked child that what it inherited belongs to its parent.
//!
//! One page of the process reads 0 in a child (MADV_WIPEONFORK), so asking costs one load and not a
//! getpid(2). A child that starts a runtime of its own writes a higher mark into the page; what it
//! inherited carries a lower one and stays foreign.

use crate::error::{Error, Operation, Result, Status};
use crate::socket::sys;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static PAGE: OnceLock<&'static AtomicU64> = OnceLock::new();
static LAST: AtomicU64 = AtomicU64::new(0);

/// The process that something was made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u64);

impl Mark {
    /// The mark of this process.
    pub fn here() -> Result<Mark> {
        let page = match PAGE.get() {
            Some(page) => page,
            None => {
                let page = sys::wiped_word().map_err(|e| {
                    Error::system(Operation::Start, "cannot map the fork guard's page", &e)
                })?;
                PAGE.get_or_init(|| page)
            }
        };
        let mark = page.load(Ordering::Acquire);
        if mark != 0 {
            return Ok(Mark(mark));
        }
        // Taken before it is shown: a fork in between must not leave the child a number in use.
        let fresh = LAST.fetch_add(1, Ordering::AcqRel) + 1;
        match page.compare_exchange(0, fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(Mark(fresh)),
            Err(mark) => Ok(Mark(mark)),
        }
    }

    /// Whether this is a process forked from the one that made the mark.
    pub fn is_foreign(self) -> bool {
        PAGE.get()
            .is_some_and(|page| page.load(Ordering::Relaxed) != self.0)
    }

    /// `FORKED` in a child.
    pub fn check(self) -> Result<()> {
        if !self.is_foreign() {
            return Ok(());
        }
        Err(Error::new(
            Status::Forked,
            Operation::None,
            "this belongs to the process that made it and this is a forked child: \
             make a new runtime here, or fork before the runtime starts",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maker_is_at_home() {
        let mark = Mark::here().unwrap();
        assert_eq!(mark, Mark::here().unwrap());
        assert!(!mark.is_foreign());
        assert!(mark.check().is_ok());
        assert_eq!(Mark(u64::MAX).check().unwrap_err().status, Status::Forked);
    }
}
