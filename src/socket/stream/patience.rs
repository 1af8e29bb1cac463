//! How long a peer may keep us waiting.

use std::time::{Duration, Instant};

/// Limits on the peer's pauses, beside the one on everything together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    /// From the last byte of the request to the first one of the answer.
    pub first_byte: Option<Duration>,
    /// Without a byte moved either way.
    pub idle: Option<Duration>,
}

/// Which limit a wait has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    Total,
    FirstByte,
    Idle,
}

impl Patience {
    pub fn is_endless(&self) -> bool {
        self.first_byte.is_none() && self.idle.is_none()
    }

    /// When it is over for a peer that did nothing since `since`; `silent`: the request was sent, and of the
    /// answer nothing has come.
    pub fn until(&self, since: Instant, silent: bool) -> Option<(Instant, Expired)> {
        let after = |time: Option<Duration>, why| {
            let end = since.checked_add(time?)?;
            Some((end, why))
        };
        let idle = after(self.idle, Expired::Idle);
        let first = after(self.first_byte, Expired::FirstByte).filter(|_| silent);
        earlier(first, idle)
    }
}

/// The limit that is reached first; the one of `a` when both are at once.
pub fn earlier(
    a: Option<(Instant, Expired)>,
    b: Option<(Instant, Expired)>,
) -> Option<(Instant, Expired)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_limit_counts_and_the_first_byte_only_while_there_is_none() {
        let now = Instant::now();
        let patience = |first, idle| Patience {
            first_byte: Some(Duration::from_secs(first)),
            idle: Some(Duration::from_secs(idle)),
        };
        let until = |patience: Patience, silent| {
            let (end, why) = patience.until(now, silent).unwrap();
            ((end - now).as_secs(), why)
        };
        assert_eq!(until(patience(1, 2), true), (1, Expired::FirstByte));
        assert_eq!(until(patience(1, 2), false), (2, Expired::Idle));
        assert_eq!(until(patience(3, 2), true), (2, Expired::Idle));
        assert_eq!(until(patience(2, 2), true), (2, Expired::FirstByte));
        assert_eq!(Patience::default().until(now, true), None);
        assert!(Patience::default().is_endless() && !patience(1, 1).is_endless());
        let endless = Patience {
            idle: Some(Duration::MAX),
            ..Patience::default()
        };
        assert_eq!(endless.until(now, true), None);
    }
}
