//! The access log: one entry for each request, made when its answer has left, delivered like any callback
//! through a bounded buffer.

use super::Server;
use super::pattern::Pattern;
use super::routes::Route;
use crate::count::SharedCount;
use crate::limits::ACCESS_QUEUE;
use crate::runtime::delivery::{self, Event};
use crate::runtime::feed::{Feed, FeedFn, Pushed};
use crate::socket::peer::{Known, Peer, Record};
use crate::socket::stream::ServerStream;
use http::{Method, Request, StatusCode, Uri};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What became of one request.
pub struct Entry {
    pub method: Method,
    /// Path and query as received.
    pub target: Box<str>,
    pattern: Option<Arc<Pattern>>,
    /// `None` when it was not answered.
    pub status: Option<StatusCode>,
    /// From the end of the request's head to the answer's last byte.
    pub duration: Duration,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub peer: Known<Peer>,
}

impl Entry {
    /// Of the route that it was for; `None` for the fallback and where there was none.
    pub fn pattern(&self) -> Option<&str> {
        self.pattern.as_ref().map(|pattern| pattern.as_str())
    }
}

pub type AccessFn = FeedFn<Entry>;

/// A server's access log.
pub struct Access {
    entries: Feed<Entry>,
    dropped: SharedCount,
}

impl Access {
    pub fn new(f: AccessFn) -> Access {
        Access {
            entries: Feed::new(ACCESS_QUEUE, f),
            dropped: SharedCount::default(),
        }
    }

    fn push(&self, server: &Arc<Server>, entry: Entry) {
        match self.entries.push(entry) {
            // On the server's own strand, and so before its end.
            Pushed::First => delivery::post_own(server.clone(), Event::Call),
            Pushed::Behind => {}
            Pushed::Lost => self.dropped.add(1),
        }
    }

    /// How many entries found no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    /// Delivers what waits, as long as it is `wanted`; says whether something is left for another time.
    pub fn run(&self, wanted: impl Fn() -> bool) -> bool {
        self.entries.run(wanted, |_| None)
    }

    pub fn drop_function(&self) {
        self.entries.drop_function();
    }
}

/// The requests of one connection, on their way into the access log.
pub struct Trace {
    access: Arc<Access>,
    peer: Known<Peer>,
    open: RefCell<Option<Open>>,
    /// Bytes of the connection that are in earlier entries.
    received: Cell<u64>,
    sent: Cell<u64>,
}

/// A request whose answer has not left yet.
struct Open {
    began: Instant,
    method: Method,
    target: Box<str>,
    pattern: Option<Arc<Pattern>>,
    status: Option<StatusCode>,
}

impl Trace {
    pub fn new(access: Arc<Access>, peer: &Record) -> Box<Trace> {
        Box::new(Trace {
            access,
            peer: peer.peer().unwrap_or(Known::Unsupported),
            open: RefCell::default(),
            received: Cell::new(0),
            sent: Cell::new(0),
        })
    }

    /// A request's head has come.
    pub fn begin<B>(&self, request: &Request<B>) {
        self.open.replace(Some(Open {
            began: Instant::now(),
            method: request.method().clone(),
            target: target(request.uri()).into(),
            pattern: None,
            status: None,
        }));
    }

    pub fn route(&self, route: &Route) {
        if let Some(open) = &mut *self.open.borrow_mut() {
            open.pattern.clone_from(&route.pattern);
        }
    }

    pub fn answer(&self, status: StatusCode) {
        if let Some(open) = &mut *self.open.borrow_mut() {
            open.status = Some(status);
        }
    }

    /// The answer has left, or nothing more comes of the request.
    pub fn end(&self, server: &Arc<Server>, stream: &ServerStream) {
        let Some(open) = self.open.take() else { return };
        let (received, sent) = (stream.received(), stream.sent());
        let entry = Entry {
            method: open.method,
            target: open.target,
            pattern: open.pattern,
            status: open.status,
            duration: open.began.elapsed(),
            bytes_received: received - self.received.replace(received),
            bytes_sent: sent - self.sent.replace(sent),
            peer: self.peer,
        };
        self.access.push(server, entry);
    }
}

/// As [`super::Exchange::target`].
fn target(uri: &Uri) -> &str {
    match uri.path_and_query() {
        Some(target) => target.as_str(),
        None => uri.path(),
    }
}
