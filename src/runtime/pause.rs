//! Pauses of a loop that accepts, while the system has no descriptor or no memory for one more.

use crate::limits::{ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN};
use std::time::Duration;

/// How long to wait after each of several failures in a row.
pub(crate) struct Pause(Duration);

impl Pause {
    pub fn new() -> Pause {
        Pause(ACCEPT_PAUSE_MIN)
    }

    pub fn is_first(&self) -> bool {
        self.0 == ACCEPT_PAUSE_MIN
    }

    /// The time of this one; the next is twice as long.
    pub fn next(&mut self) -> Duration {
        let next = (self.0 * 2).min(ACCEPT_PAUSE_MAX);
        std::mem::replace(&mut self.0, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second() {
        let mut pause = Pause::new();
        let all: Vec<_> = (0..9).map(|_| pause.next().as_millis()).collect();
        assert_eq!(all, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }
}
