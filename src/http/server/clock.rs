//! What a connection is at, and when it has taken too long for that.

use super::config::Config;
use crate::limits::{FRESH, LINGER_TIME, PARK_AFTER, REFUSED_TIME};
use crate::socket::stream::ServerStream;
use std::cell::Cell;
use std::time::Duration;

/// What a connection is at, as its deadlines see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Between requests.
    Idle,
    /// Waiting for the rest of a head, the first one included.
    Head,
    /// Waiting for the rest of a body.
    Body,
    /// The user has the request.
    Handler,
    /// The user has the request and reads the body piece by piece.
    Reading,
    /// The user writes the answer piece by piece, or still reads the body.
    Streaming,
    /// Another protocol is spoken: not ours to time.
    Switched,
    /// The answer is being written.
    Answer,
    /// Answered early: the client may still be sending.
    Linger,
}

/// Why a connection is not to go on as it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// Idle for long enough to keep only its descriptor.
    Park,
    Idle,
    Head,
    /// The request has got no answer yet.
    Handler,
    /// The peer owes bytes, or owes the reading of ours, and moves too few.
    Progress,
    Linger,
}

/// Knows how long a connection has been at what it is at. Times are milliseconds of the shard's clock.
pub struct Clock {
    phase: Cell<Phase>,
    /// When the phase began.
    since: Cell<u64>,
    hurry: bool,
    /// Bytes received by then.
    received: Cell<u64>,
    /// The user waits for a piece of the body.
    wants_piece: Cell<bool>,
    /// What the peer owes us of a body.
    body: Debt,
    /// What it owes us of reading.
    reading: Debt,
}

impl Clock {
    /// A new connection, which owes its first head; in a hurry, when it is to be sent away.
    pub fn new(now: u64, hurry: bool) -> Clock {
        Clock {
            phase: Cell::new(Phase::Head),
            since: Cell::new(now),
            hurry,
            received: Cell::new(0),
            wants_piece: Cell::new(false),
            body: Debt::default(),
            reading: Debt::default(),
        }
    }

    #[inline]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Accepted a moment ago, and nothing has come yet: its first request is most likely on its way.
    pub fn is_fresh(&self, now: u64) -> bool {
        let age = Duration::from_millis(now.saturating_sub(self.since.get()));
        self.phase.get() == Phase::Head && self.received.get() == 0 && age < FRESH
    }

    #[inline]
    pub fn begin(&self, phase: Phase, now: u64, received: u64) {
        self.phase.set(phase);
        self.since.set(now);
        self.received.set(received);
    }

    /// Whether a piece of a body is owed that the user reads by itself. While it is not, a peer that sends
    /// nothing is not slow.
    pub fn set_wants_piece(&self, wants: bool) {
        self.wants_piece.set(wants);
    }

    /// One look of the sweep.
    pub fn look(&self, now: u64, stream: &ServerStream, config: &Config) -> Option<Late> {
        let phase = self.phase.get();
        if phase == Phase::Idle && stream.received() != self.received.get() {
            self.begin(Phase::Head, now, stream.received());
            return None;
        }
        let age = Duration::from_millis(now.saturating_sub(self.since.get()));
        let over = |limit: Option<Duration>| limit.is_some_and(|limit| age >= limit);
        let late = match phase {
            Phase::Idle if over(config.idle_timeout) => Some(Late::Idle),
            Phase::Idle if age >= PARK_AFTER => Some(Late::Park),
            Phase::Head if self.hurry && age >= REFUSED_TIME => Some(Late::Head),
            Phase::Head if over(config.head_timeout) => Some(Late::Head),
            Phase::Handler if over(config.handler_timeout) => Some(Late::Handler),
            Phase::Reading if !self.wants_piece.get() && over(config.handler_timeout) => {
                Some(Late::Handler)
            }
            Phase::Linger if age >= LINGER_TIME => Some(Late::Linger),
            _ => None,
        };
        late.or_else(|| self.look_at_debts(now, stream, config))
    }

    fn look_at_debts(&self, now: u64, stream: &ServerStream, config: &Config) -> Option<Late> {
        let is_owed = self.phase.get() == Phase::Body || self.wants_piece.get();
        let body = is_owed.then(|| stream.received());
        // The kernel counts its overhead too: only that the figure moves has a meaning.
        let read = || stream.sent().wrapping_sub(stream.unsent());
        let read = stream.is_blocked().then(read);
        let late = self.body.is_late(body, now, config) | self.reading.is_late(read, now, config);
        late.then_some(Late::Progress)
    }
}

/// Bytes that a peer is to move.
#[derive(Default)]
struct Debt {
    owed: Cell<bool>,
    /// From here on the floor is to be reached within the timeout.
    since: Cell<u64>,
    /// The bytes that had moved by then.
    moved: Cell<u64>,
}

impl Debt {
    /// One look, at the bytes that have moved so far; `None` when none are owed right now.
    fn is_late(&self, moved: Option<u64>, now: u64, config: &Config) -> bool {
        let owed = self.owed.replace(moved.is_some());
        let Some(moved) = moved else { return false };
        let progress = moved.wrapping_sub(self.moved.get()).cast_signed();
        if !owed || progress >= config.progress_floor.cast_signed() {
            self.since.set(now);
            self.moved.set(moved);
            return false;
        }
        let age = Duration::from_millis(now.saturating_sub(self.since.get()));
        config.progress_timeout.is_some_and(|limit| age >= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            progress_timeout: Some(Duration::from_secs(1)),
            progress_floor: 100,
            ..Config::default()
        }
    }

    #[test]
    fn a_peer_that_moves_the_floor_within_the_timeout_is_in_time() {
        let (debt, config) = (Debt::default(), config());
        for turn in 0..100 {
            assert!(!debt.is_late(Some(turn * 100), turn * 999, &config));
        }
    }

    #[test]
    fn one_byte_less_is_late() {
        let (debt, config) = (Debt::default(), config());
        assert!(!debt.is_late(Some(1000), 5000, &config), "it begins");
        assert!(!debt.is_late(Some(1099), 5999, &config));
        assert!(debt.is_late(Some(1099), 6000, &config));
        assert!(!debt.is_late(Some(1100), 6000, &config));
    }

    #[test]
    fn while_nothing_is_owed_no_time_passes() {
        let (debt, config) = (Debt::default(), config());
        assert!(!debt.is_late(Some(0), 0, &config));
        assert!(!debt.is_late(None, 900, &config));
        assert!(!debt.is_late(Some(0), 5000, &config));
        assert!(!debt.is_late(Some(0), 5999, &config));
        assert!(debt.is_late(Some(0), 6000, &config));
    }

    #[test]
    fn what_the_kernel_adds_to_unread_bytes_is_no_progress() {
        let (debt, config) = (Debt::default(), config());
        assert!(!debt.is_late(Some(5000), 0, &config));
        assert!(debt.is_late(Some(4000), 1000, &config));
    }

    #[test]
    fn without_a_timeout_nobody_is_late() {
        let mut config = config();
        config.progress_timeout = None;
        let debt = Debt::default();
        assert!(!debt.is_late(Some(0), 0, &config));
        assert!(!debt.is_late(Some(0), u64::MAX, &config));
    }
}
