//! Another protocol on the same connection: after the 101 the handler gets the descriptor itself.

use super::answer::{Payload, State};
use super::clock::Phase;
use super::exchange::Exchange;
use super::in_flight::InFlight;
use super::link::Link;
use crate::error::{Error, Result};
use crate::http::headers::{self, Shown, lists};
use crate::runtime::Level;
use crate::runtime::delivery::Event;
use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, StatusCode};
use rustix::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Runs once with the connection, or without one when the client left before it was switched.
pub type UpgradeFn = Box<dyn FnOnce(&Arc<Exchange>, Option<OwnedFd>, Bytes) + Send>;

/// A session of another protocol, from its 101 until its exchange is freed.
pub struct Session {
    f: Option<UpgradeFn>,
    fd: Option<OwnedFd>,
    /// Bytes of the new protocol that had come with the request; they live as long as the exchange.
    early: Bytes,
    /// The connection's task, which waits for the end.
    task: Option<Waker>,
    tells: bool,
    has_ended: bool,
}

impl Session {
    /// The user is done with it: whom to tell, and what to drop without a lock.
    pub fn end(&mut self) -> (Option<Waker>, Option<OwnedFd>) {
        self.has_ended = true;
        (self.task.take(), self.fd.take())
    }

    pub fn is_open(&self) -> bool {
        !self.has_ended
    }

    /// Whether the function that waits for the connection is to be told now; says so once.
    pub fn must_tell(&mut self) -> bool {
        self.f.is_some() && !std::mem::replace(&mut self.tells, true)
    }

    pub fn has_hook(&self) -> bool {
        self.f.is_some()
    }

    pub fn take_hook(&mut self) -> Option<UpgradeFn> {
        self.f.take()
    }
}

impl State {
    /// The function that waits for the connection, with it.
    pub fn take_session(&mut self) -> Option<(UpgradeFn, Option<OwnedFd>, Bytes)> {
        let session = self.session.as_mut()?;
        let f = session.f.take()?;
        Some((f, session.fd.take(), session.early.clone()))
    }
}

impl Exchange {
    /// Switches to `protocol`, which the request has asked for: `f` gets the connection. The exchange is
    /// the user's from here on; its release ends the session.
    pub fn upgrade(self: &Arc<Self>, protocol: &[u8], f: UpgradeFn) -> Result<()> {
        self.check()?;
        let value = headers::value(&UPGRADE, protocol)?;
        self.check_upgrade(protocol)?;
        let prepare = |headers: &mut HeaderMap| {
            headers.insert(UPGRADE, value);
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        };
        // Before the answer: whoever runs next must find it deferred. A second time is no mistake.
        let was_deferred = self.is_deferred();
        self.defer().ok();
        let sealed = self.seal_with(StatusCode::SWITCHING_PROTOCOLS, prepare, |state| {
            state.session = Some(Box::new(Session {
                f: Some(f),
                fd: None,
                early: Bytes::new(),
                task: None,
                tells: false,
                has_ended: false,
            }));
            Payload::Upgrade
        });
        if sealed.is_err() && !was_deferred {
            self.undefer();
        }
        sealed
    }

    fn check_upgrade(&self, protocol: &[u8]) -> Result<()> {
        let head = self.head();
        let is_asked = head.version() == 11
            && lists(head.headers(), CONNECTION, b"upgrade")
            && lists(head.headers(), UPGRADE, protocol);
        if !is_asked {
            let protocol = Shown(protocol);
            return Err(Error::state(format!(
                "the request does not ask for an upgrade to {protocol}"
            )));
        }
        if !self.state().has_whole_body() {
            return Err(Error::state(
                "the request's body must be read to its end before the upgrade",
            ));
        }
        Ok(())
    }

    /// The connection speaks the other protocol now; without `fd` it has been lost.
    pub(super) fn begin_session(self: &Arc<Self>, fd: Option<OwnedFd>, early: Bytes) {
        let mut state = self.state();
        let Some(session) = state.session.as_mut().filter(|s| s.is_open()) else {
            return;
        };
        session.fd = fd;
        session.early = early;
        let tell = session.must_tell();
        drop(state);
        if tell {
            self.post(Event::Upgraded);
        }
    }

    /// Ready when the session has ended.
    pub(super) fn poll_session(&self, cx: &Context<'_>) -> Poll<()> {
        match &mut self.state().session {
            Some(session) if session.is_open() => {
                session.task = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

/// A connection that speaks another protocol: it is counted until its session ends.
pub struct Switched {
    pub exchange: Arc<Exchange>,
    pub _in_flight: InFlight,
}

impl Link {
    /// Takes the connection out of the reactor and gives it to the user; `None` when that has left.
    pub fn switch(self: &Rc<Self>) -> Option<Switched> {
        let exchange = self.exchange.borrow().clone()?;
        self.set_phase(Phase::Switched);
        let early = self.stream.leave();
        let fd = self.stream.as_fd().try_clone_to_owned();
        let fd = fd.inspect_err(|error| {
            // Lost: its exchange is told so.
            self.stream.shutdown(Shutdown::Both);
            self.shard.server().runtime().log().write(Level::Error, || {
                format!("a connection was lost: its descriptor cannot be copied: {error}")
            });
        });
        exchange.begin_session(fd.ok(), early);
        Some(Switched {
            exchange,
            _in_flight: InFlight::new(self),
        })
    }
}
