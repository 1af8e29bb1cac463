//! A new connection: to whom, how long it is tried, and who must be at its other end.

use super::Client;
use crate::error::{Error, Operation, Result, Status};
use crate::limits::USELESS_MAX;
use crate::socket::address::Address;
use crate::socket::connect;
use crate::socket::peer::Record;
use crate::socket::stream::Useless;
use crate::socket::sys;
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pauses between the tries to reach a server that is not there: the first, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Where a client's connections come from.
#[derive(Debug)]
pub enum Source {
    Address(Address),
    /// One connection that was given, by its number.
    Given(i32),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Address(address) => address.fmt(f),
            Source::Given(number) => write!(f, "descriptor {number}"),
        }
    }
}

/// A connection that may be used.
pub struct Admitted {
    pub socket: Arc<OwnedFd>,
    pub peer: Arc<Record>,
}

impl Client {
    /// Looks at who is at the other end, before a byte is sent.
    pub(super) fn admit(&self, socket: Arc<OwnedFd>) -> Result<Admitted> {
        let peer = Arc::new(Record::new(&socket));
        // Asked now, it stays known when the connection has ended.
        let asked = peer.peer();
        if self.config.allow.admits(&peer) {
            return Ok(Admitted { socket, peer });
        }
        asked?;
        let message = format!(
            "{}: its server is {peer}, whom no rule of hysock_client_config_allow() names: nothing was \
             sent",
            self.source
        );
        Err(Error::new(Status::Forbidden, Operation::Connect, message))
    }

    /// For a new connection.
    pub(super) fn useless(&self) -> Arc<Useless> {
        Arc::new(Useless::new(self.config.max_head as u64 + USELESS_MAX))
    }

    pub(super) fn is_given(&self) -> bool {
        matches!(self.source, Source::Given(_))
    }

    /// The given connection, for one call; `None` when connections are made.
    pub(super) fn take_given(&self) -> Result<Option<Arc<OwnedFd>>> {
        let Source::Given(_) = self.source else {
            return Ok(None);
        };
        let refuse = |status, what| {
            let message = format!("{}: {what}", self.source);
            Err(Error::new(status, Operation::Connect, message))
        };
        let given = super::lock(&self.here()?.given).take();
        match given {
            Some(socket) if sys::unread(&socket) > 0 => refuse(
                Status::Protocol,
                "bytes have come that no request had asked for",
            ),
            Some(socket) => Ok(Some(socket)),
            None if self.processes.is_foreign() => refuse(
                Status::Forked,
                "the connection is that of the process which made the client",
            ),
            None => refuse(
                Status::Closed,
                "the connection has ended, and the client has no way to make another",
            ),
        }
    }

    /// A call has left the given connection in order: it is for the next one.
    pub(super) fn put_back_given(&self, socket: Arc<OwnedFd>) {
        let Ok(here) = self.here() else { return };
        let mut given = super::lock(&here.given);
        // Under the lock: the client's end looks here after it has begun.
        if !self.is_ending() {
            *given = Some(socket);
        }
    }

    /// One attempt, which never waits.
    pub(super) fn connect_now(&self) -> Result<OwnedFd> {
        connect::connect_now(self.address()?)
    }

    /// See [`connect::connect_in_background`].
    pub(super) fn connect_in_background(
        &self,
        deadline: Option<Instant>,
        done: impl FnOnce(Result<OwnedFd>) + Send + 'static,
    ) -> Result<()> {
        connect::connect_in_background(self.address()?, self.connect_deadline(deadline), done)
    }

    /// The earlier of the connect's own limit and the call's.
    fn connect_deadline(&self, deadline: Option<Instant>) -> Option<Instant> {
        let limit = self.config.connect_timeout;
        let limit = limit.and_then(|limit| Instant::now().checked_add(limit));
        match (limit, deadline) {
            (Some(limit), Some(deadline)) => Some(limit.min(deadline)),
            (limit, deadline) => limit.or(deadline),
        }
    }

    fn address(&self) -> Result<&Address> {
        match &self.source {
            Source::Address(address) => Ok(address),
            Source::Given(_) => Err(Error::state("a given connection is not made")),
        }
    }
}

/// A descriptor's number, for messages.
pub fn given(socket: &OwnedFd) -> Source {
    Source::Given(socket.as_raw_fd())
}

/// The tries to reach a server that may not be up yet.
pub struct Tries {
    patience: Option<Duration>,
    start: Instant,
    pause: Duration,
}

impl Tries {
    pub fn new(client: &Client) -> Tries {
        Tries {
            patience: client.config.wait_absent,
            start: Instant::now(),
            pause: PAUSE_MIN,
        }
    }

    /// After a failure: how long to wait for the next try, or the error to end with.
    pub fn after(&mut self, error: Error) -> Result<Duration> {
        let Some(patience) = self.patience else {
            return Err(error);
        };
        if !matches!(error.status, Status::Absent | Status::Refused) {
            return Err(error);
        }
        let waited = self.start.elapsed();
        let left = patience.saturating_sub(waited);
        if left.is_zero() {
            let message = format!("{} (tried for {} ms)", error.message, waited.as_millis());
            return Err(Error {
                message: message.into(),
                ..error
            });
        }
        let pause = self.pause.min(left);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(patience: Option<Duration>) -> Tries {
        Tries {
            patience,
            start: Instant::now(),
            pause: PAUSE_MIN,
        }
    }

    fn failure(status: Status) -> Error {
        Error::new(status, Operation::Connect, "no")
    }

    #[test]
    fn only_the_absent_is_waited_for_and_only_when_asked() {
        let long = Some(Duration::MAX);
        assert!(tries(None).after(failure(Status::Absent)).is_err());
        assert!(tries(long).after(failure(Status::Absent)).is_ok());
        assert!(tries(long).after(failure(Status::Refused)).is_ok());
        for status in [Status::Busy, Status::Forbidden, Status::WrongType] {
            assert!(tries(long).after(failure(status)).is_err());
        }
    }

    #[test]
    fn pauses_grow_and_the_last_one_ends_with_the_patience() {
        let mut some = tries(Some(Duration::from_secs(3600)));
        let pauses: Vec<u128> = (0..7)
            .map(|_| some.after(failure(Status::Absent)).unwrap().as_millis())
            .collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 250, 250]);
        let mut short = tries(Some(Duration::from_millis(5)));
        assert!(short.after(failure(Status::Absent)).unwrap() <= Duration::from_millis(5));
        let mut over = tries(Some(Duration::ZERO));
        let error = over.after(failure(Status::Refused)).unwrap_err();
        assert_eq!(error.status, Status::Refused);
        assert!(error.message.contains("tried for"), "{error}");
    }
}
