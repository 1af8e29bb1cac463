//! Who may come in: allow rules and each user's share of connections, looked at when a connection is
//! accepted, before any byte of it is read.

use super::Server;
use super::config::Config;
use super::link::Link;
use super::routes::Route;
use crate::error::{self, Error};
use crate::limits::{REFUSED_CONNECTIONS, REFUSED_LOG_PAUSE, UNLIMITED};
use crate::runtime::Level;
use crate::runtime::io_thread::IoThread;
use crate::socket::listener::Listener;
use crate::socket::peer::Record;
use crate::socket::policy::{Allow, Rule};
use crate::socket::stream;
use crate::socket::users::{User, Users};
use http::Request;
use hyper::body::Incoming;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Why somebody is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No allow rule names them.
    Forbidden,
    /// Their user has as many connections as a user may have.
    Connections,
    /// Their user has as many requests without an answer as a user may have.
    Requests,
}

impl Refused {
    /// What the client gets to read.
    pub fn text(self) -> &'static str {
        match self {
            Refused::Forbidden => "403 this user is not allowed here\n",
            Refused::Connections => "503 this user has too many connections\n",
            Refused::Requests => "503 too many requests of this user are waiting\n",
        }
    }

    /// The same as a whole answer, for those whose request is not even read.
    fn answer(self) -> String {
        let head = match self {
            Refused::Forbidden => "403 Forbidden\r\n",
            Refused::Connections | Refused::Requests => {
                "503 Service Unavailable\r\nretry-after: 1\r\n"
            }
        };
        let text = self.text();
        let len = text.len();
        format!(
            "HTTP/1.1 {head}content-type: text/plain\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{text}"
        )
    }
}

/// What a server keeps about who comes in.
#[derive(Default)]
pub struct Admission {
    pub(super) users: Users,
    /// Refused connections that stay until they have read why.
    refused: AtomicUsize,
    forbidden: Burst,
    overload: Burst,
}

impl Admission {
    /// Whether one more of the refused may stay until it has sent its request and read the answer.
    fn may_wait(&self) -> bool {
        let more = |n| (n < REFUSED_CONNECTIONS).then_some(n + 1);
        self.refused
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .is_ok()
    }

    fn burst(&self, refused: Refused) -> &Burst {
        match refused {
            Refused::Forbidden => &self.forbidden,
            Refused::Connections | Refused::Requests => &self.overload,
        }
    }
}

/// A log line that comes seldom, however often there is reason for it.
#[derive(Default)]
struct Burst(Mutex<(Option<Instant>, u64)>);

impl Burst {
    /// Whether a line is due now, and then how many were left out since the one before.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, left_out) = &mut *state;
        if last.is_some_and(|last| now.duration_since(last) < REFUSED_LOG_PAUSE) {
            *left_out += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(left_out))
    }
}

/// A connection on its way to its shard. Dropped on the way, it is closed and counts no longer.
pub struct Newcomer {
    pub socket: Arc<OwnedFd>,
    pub peer: Arc<Record>,
    pub place: Place,
}

impl Newcomer {
    /// Looks at who has come. `None`: refused, told so as far as that goes without waiting, and closed.
    pub fn new(
        server: &Arc<Server>,
        thread: &Arc<IoThread>,
        from: Option<(usize, &Listener)>,
        fd: OwnedFd,
    ) -> Option<Newcomer> {
        let socket = Arc::new(fd);
        let peer = Arc::new(Record::new(&socket));
        let standing = server.look_at(&peer, from.map(|(_, listener)| listener));
        if let Err(refused) = standing {
            server.stats.connections_refused.add(1);
            server.log_refused(refused, &peer, || match from {
                Some((_, listener)) => format!("{}: a connection", listener.address().display()),
                None => "a connection".to_owned(),
            });
            if !server.admission.may_wait() {
                stream::send_away(socket.as_fd(), refused.answer().as_bytes());
                return None;
            }
        } else {
            server.connections.fetch_add(1, Ordering::Relaxed);
        }
        thread.load.fetch_add(1, Ordering::Relaxed);
        let place = Place {
            server: server.clone(),
            thread: thread.clone(),
            standing,
            listener: from.map(|(index, _)| index),
        };
        Some(Newcomer {
            socket,
            peer,
            place,
        })
    }
}

/// A connection's place with the server and its thread: free again when this is dropped.
pub struct Place {
    server: Arc<Server>,
    thread: Arc<IoThread>,
    standing: Result<Arc<User>, Refused>,
    /// The number of the listener that it came through.
    listener: Option<usize>,
}

impl Place {
    /// Why the connection only stays to be told so.
    pub fn refused(&self) -> Option<Refused> {
        self.standing.as_ref().err().copied()
    }

    pub fn user(&self) -> Option<&Arc<User>> {
        self.standing.as_ref().ok()
    }

    /// Whether the connection was let in by this listener.
    pub fn is_of(&self, listener: usize) -> bool {
        self.listener == Some(listener) && self.standing.is_ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.thread.load.fetch_sub(1, Ordering::Relaxed);
        let admission = &self.server.admission;
        match &self.standing {
            Ok(user) => {
                admission.users.leave(user);
                self.server.connection_ended();
            }
            Err(_) => {
                admission.refused.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
}

impl Server {
    /// Lets only those in to a route that was added before whom a rule names; before the start only.
    pub fn allow_route(
        &self,
        method: Option<&str>,
        path: Option<&str>,
        rule: Rule,
    ) -> error::Result<()> {
        self.check()?;
        let mut state = self.state();
        self.check_new(&state, "an allow rule of a route is added before the start")?;
        Arc::get_mut(&mut state.routes)
            .expect("shared from the start on only")
            .allow(method, path, rule)
    }

    /// Refuses the start: a rule is missing that was to keep somebody out.
    pub fn refuse_start(&self, error: Error) {
        self.state().refused.get_or_insert(error);
    }

    /// What becomes of a connection of this peer.
    fn look_at(&self, peer: &Record, listener: Option<&Listener>) -> Result<Arc<User>, Refused> {
        let config = self.config();
        let of_listener = listener.is_none_or(|listener| listener.allow().admits(peer));
        if !of_listener || !config.allow.admits(peer) {
            return Err(Refused::Forbidden);
        }
        let users = &self.admission.users;
        users
            .join(peer, config.max_connections_per_uid)
            .ok_or(Refused::Connections)
    }

    /// Says in the log, now and then, that `what` was refused.
    pub(super) fn log_refused(
        &self,
        refused: Refused,
        peer: &Record,
        what: impl FnOnce() -> String,
    ) {
        let Some(left_out) = self.admission.burst(refused).due(Instant::now()) else {
            return;
        };
        self.runtime.log().write(Level::Warn, || {
            let what = what();
            let why = match refused {
                Refused::Forbidden => "no allow rule admits it",
                Refused::Connections => "its user has as many connections as one may have",
                Refused::Requests => "its user has as many requests waiting as one may have",
            };
            let more = match left_out {
                0 => String::new(),
                n => format!("; {n} more since the last such line"),
            };
            format!("{what} of {peer} was refused: {why}{more}")
        });
    }
}

impl Link {
    /// Whether any request of this connection may come in. Rules that a reload brought hold for it too.
    #[inline]
    pub fn check_connection(
        &self,
        config: &Config,
        request: &Request<Incoming>,
    ) -> Result<(), Refused> {
        if let Some(refused) = self.refused.get() {
            // Of others the log has heard when they came.
            let was_let_in = self.user().is_some();
            return Err(if was_let_in {
                self.refuse(refused, request)
            } else {
                refused
            });
        }
        self.check_allowed(&config.allow, request)
    }

    /// A listener keeps to other rules now: whether the connections that it let in may still come in.
    pub fn reconsider(&self, listener: usize, allow: &Allow) {
        if self.is_of(listener) {
            let refused = !allow.admits(&self.peer);
            self.refused.set(refused.then_some(Refused::Forbidden));
        }
    }

    /// Whether this request may come in.
    #[inline]
    pub fn check_request(
        &self,
        config: &Config,
        route: &Route,
        request: &Request<Incoming>,
    ) -> Result<(), Refused> {
        self.check_allowed(&route.allow, request)?;
        let most = config.max_requests_per_uid;
        if most == UNLIMITED {
            return Ok(());
        }
        let user = self.user();
        if user.is_some_and(|user| user.requests() >= most) {
            return Err(self.refuse(Refused::Requests, request));
        }
        Ok(())
    }

    fn check_allowed(&self, allow: &Allow, request: &Request<Incoming>) -> Result<(), Refused> {
        if allow.admits(&self.peer) {
            return Ok(());
        }
        Err(self.refuse(Refused::Forbidden, request))
    }

    #[cold]
    fn refuse(&self, refused: Refused, request: &Request<Incoming>) -> Refused {
        let server = self.shard().server();
        server.log_refused(refused, &self.peer, || {
            format!("{} {}", request.method(), request.uri().path())
        });
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_a_while_tells_how_many_it_stands_for() {
        let burst = Burst::default();
        let start = Instant::now();
        assert_eq!(burst.due(start), Some(0));
        for _ in 0..5 {
            assert_eq!(burst.due(start + REFUSED_LOG_PAUSE / 2), None);
        }
        assert_eq!(burst.due(start + REFUSED_LOG_PAUSE), Some(5));
        assert_eq!(burst.due(start + REFUSED_LOG_PAUSE), None);
        assert_eq!(burst.due(start + REFUSED_LOG_PAUSE * 3), Some(1));
    }

    #[test]
    fn answers_without_a_request_are_whole() {
        for refused in [Refused::Forbidden, Refused::Connections, Refused::Requests] {
            let answer = refused.answer();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
            assert!(head.starts_with(&format!("HTTP/1.1 {} ", &body[..3])));
            assert_eq!(head.contains("retry-after: 1"), body.starts_with("503"));
        }
    }

    #[test]
    fn few_of_the_refused_stay_to_be_told() {
        let admission = Admission::default();
        let stay = (0..2 * REFUSED_CONNECTIONS)
            .filter(|_| admission.may_wait())
            .count();
        assert_eq!(stay, REFUSED_CONNECTIONS);
    }
}
