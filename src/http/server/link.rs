//! What the parts of one connection share.

use super::access::Trace;
use super::admission::{Place, Refused};
use super::answer::{Answer, Stage};
use super::clock::{Clock, Late, Phase};
use super::exchange::Exchange;
use super::head::Head;
use super::in_flight::Present;
use super::inbound::Streams;
use super::routes::Route;
use super::sending::Aside;
use super::shard::Shard;
use super::userdata::Memory;
use crate::count::Count;
use crate::http::body::Collected;
use crate::limits;
use crate::runtime::Level;
use crate::runtime::delivery::Strand;
use crate::socket::peer::Record;
use crate::socket::stream::ServerStream;
use crate::socket::users::User;
use http::{Request, StatusCode, request};
use rustix::net::Shutdown;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

/// What the parts of one connection share: its task, hyper's service, the body being written, the sweep.
pub struct Link {
    pub shard: Rc<Shard>,
    pub stream: ServerStream,
    /// Who is at the other end.
    pub peer: Arc<Record>,
    place: RefCell<Option<Place>>,
    /// No request may come in: the connection only stays to be told why.
    pub refused: Cell<Option<Refused>>,
    pub index: Cell<usize>,
    pub clock: Clock,
    pub exchange: RefCell<Option<Arc<Exchange>>>,
    pub in_flight: Present,
    pub streams: Streams,
    /// What the user keeps with the connection.
    memory: RefCell<Option<Arc<Memory>>>,
    pub task: RefCell<Option<Waker>>,
    /// Asked of the task: keep only the descriptor.
    pub park: Cell<bool>,
    /// Asked of the task: end now.
    pub cut: Cell<bool>,
    /// It is the drain's deadline that asks so.
    aborting: Cell<bool>,
    /// An answer was large: see [`Shard::http`].
    pub bulk: Cell<bool>,
    /// The answer's body is still in hyper's hands.
    pub answering: Cell<bool>,
    /// A file that is to be sent once the head of its answer has left.
    pub aside: RefCell<Option<Aside>>,
    /// The answer went out before the request was read to its end.
    pub early: Cell<bool>,
    /// For the access log, when there is one.
    trace: Option<Box<Trace>>,
}

impl Link {
    pub fn new(
        shard: Rc<Shard>,
        stream: ServerStream,
        peer: Arc<Record>,
        place: Place,
        index: usize,
    ) -> Rc<Link> {
        let refused = place.refused();
        let clock = Clock::new(shard.now(), refused.is_some());
        let access = shard.server().access.get().cloned();
        let trace = access.map(|access| Trace::new(access, &peer));
        Rc::new(Link {
            shard,
            stream,
            peer,
            place: RefCell::new(Some(place)),
            refused: Cell::new(refused),
            index: Cell::new(index),
            clock,
            exchange: RefCell::new(None),
            in_flight: Present::default(),
            streams: Streams::default(),
            memory: RefCell::default(),
            task: RefCell::new(None),
            park: Cell::new(false),
            cut: Cell::new(false),
            aborting: Cell::new(false),
            bulk: Cell::new(false),
            answering: Cell::new(false),
            aside: RefCell::new(None),
            early: Cell::new(false),
            trace,
        })
    }

    pub fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    /// A request's head has come.
    pub fn count_request<B>(&self, request: &Request<B>) {
        self.shard.stats.requests.add(1);
        if let Some(trace) = &self.trace {
            // Pipelined: hyper has written the answer before without a pause.
            trace.end(self.shard.server(), &self.stream);
            trace.begin(request);
        }
    }

    /// It is for this route.
    pub fn trace_route(&self, route: &Route) {
        if let Some(trace) = &self.trace {
            trace.route(route);
        }
    }

    /// Its answer has this status.
    pub fn count_answer(&self, status: StatusCode) {
        self.shard.stats.answer(status);
        if let Some(trace) = &self.trace {
            trace.answer(status);
        }
    }

    /// Its answer has left, or none comes any more.
    pub fn end_request(&self) {
        if let Some(trace) = &self.trace {
            trace.end(self.shard.server(), &self.stream);
        }
    }

    /// Whose share this connection is counted in.
    pub fn user(&self) -> Option<Arc<User>> {
        let place = self.place.borrow();
        place.as_ref().and_then(Place::user).cloned()
    }

    /// Whether the connection was let in by this listener.
    pub fn is_of(&self, listener: usize) -> bool {
        let place = self.place.borrow();
        place.as_ref().is_some_and(|place| place.is_of(listener))
    }

    /// From now on there is room for another connection.
    pub fn give_up_place(&self) {
        let place = self.place.take();
        drop(place);
    }

    /// An answer that is there as a whole begins, of so many bytes.
    pub fn begin_answer(&self, len: usize) {
        let otherwise = Phase::Answer;
        self.set_phase(self.stream_phase(Phase::Streaming, otherwise));
        self.answering.set(true);
        self.note_bulk(len);
    }

    /// An answer that is written piece by piece begins.
    pub fn begin_stream_answer(&self) {
        self.set_phase(Phase::Streaming);
        self.answering.set(true);
    }

    pub fn note_bulk(&self, len: usize) {
        if len > limits::BULK && !self.bulk.replace(true) {
            // From the next request on.
            self.park.set(true);
        }
    }

    pub fn set_phase(&self, phase: Phase) {
        let received = self.stream.received();
        self.clock.begin(phase, self.shard.now(), received);
    }

    /// The exchange of a request that has come.
    pub fn begin_exchange(&self, head: request::Parts, body: Collected, route: &Arc<Route>) {
        let otherwise = Phase::Handler;
        self.set_phase(self.stream_phase(Phase::Reading, otherwise));
        self.streams.begin();
        let mut exchange = match self.shard.take_spare() {
            Some(mut spare) => {
                spare.renew(head, body, route, &self.peer);
                spare
            }
            None => {
                let shard = &self.shard;
                let strand = Strand::new(shard.executor.clone());
                Exchange::new(
                    shard.server().clone(),
                    shard.routes.weak_hooks(),
                    shard.thread.clone(),
                    strand,
                    Head::new(head, route),
                    body,
                    self.peer.clone(),
                )
            }
        };
        if let Some(memory) = &*self.memory.borrow() {
            exchange.remember(memory);
        }
        if self.streams.is_reading()
            && let Some(task) = &*self.task.borrow()
        {
            exchange.open_reading(task.clone());
        }
        self.exchange.replace(Some(exchange));
        // Nothing that a handler may call comes back to this cell: it wakes the connection's task.
        if let Some(exchange) = &*self.exchange.borrow() {
            exchange.begin(route);
        }
    }

    /// The exchange's answer; `false` when nobody waits for one any more.
    #[inline]
    pub fn poll_answer(&self, cx: &mut Context<'_>, to: &mut Answer) -> Poll<bool> {
        let mut place = self.exchange.borrow_mut();
        let Some(mut exchange) = place.take() else {
            return Poll::Ready(false);
        };
        if exchange.give_whole(to) {
            self.shard.keep_spare(exchange);
            return Poll::Ready(true);
        }
        place.insert(exchange).poll_answer(cx, to)
    }

    /// The answer is on its way, and nothing else is under way.
    pub fn end_exchange(&self) {
        let Some(mut exchange) = self.exchange.take() else {
            return;
        };
        if let Some(fresh) = exchange.take_fresh() {
            self.memory.replace(Some(fresh));
        }
        if exchange.recycle() {
            self.shard.keep_spare(exchange);
        }
    }

    /// The file that is to be sent now: hyper has written all that it had.
    pub fn take_aside(&self) -> Option<Aside> {
        if self.stream.is_blocked() {
            return None;
        }
        self.aside.take()
    }

    /// hyper has let go of the answer's body.
    pub fn end_answer(&self) {
        self.answering.set(false);
    }

    /// The connection ends, or its client has left, before the answer's end. Says whether one was owed.
    pub fn cut_exchange(&self, shut_down: bool) -> bool {
        let why = if shut_down {
            Stage::ShutDown
        } else {
            Stage::Gone
        };
        let exchange = if self.streams.is_reading() {
            self.exchange.borrow().clone()
        } else {
            self.exchange.take()
        };
        let Some(exchange) = exchange else {
            return false;
        };
        let was_owed = exchange.cut(why, &self.in_flight);
        if was_owed && shut_down {
            self.shard.server().aborted.fetch_add(1, Ordering::AcqRel);
        }
        if let Some(fresh) = exchange.take_fresh() {
            // What the client had sent before it left is still served, with it.
            self.memory.replace(Some(fresh));
        }
        was_owed
    }

    /// The connection has ended.
    pub fn forget(&self) {
        drop(self.memory.take());
    }

    /// The handler has taken too long: its client gets a 503, and the exchange is over.
    fn give_up_on_handler(&self) {
        let exchange = self.exchange.borrow();
        let is_late = |e: &Arc<Exchange>| e.cut(Stage::Late, &self.in_flight);
        if exchange.as_ref().is_some_and(is_late) {
            self.shard.stats.timeouts_handler.add(1);
        }
    }

    /// In the drain: whether a connection without a request may go. One that does cannot send any more:
    /// its client's next request fails with EPIPE before a byte of it has left, which proves that it was
    /// not handled. What came before that is served.
    pub fn ends_idle(&self) -> bool {
        if self.stream.has_unread() || self.clock.is_fresh(self.shard.now()) {
            return false;
        }
        self.stream.shutdown(Shutdown::Read);
        !self.stream.has_unread()
    }

    /// There is no way to wait for its first request.
    pub fn log_unregistered(&self, error: &io::Error) {
        let log = self.shard.server().runtime.log();
        log.write(Level::Error, || {
            format!("a connection was closed: it cannot be registered: {error}")
        });
    }

    pub fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// The drain's deadline has come.
    pub fn abort(&self) {
        self.aborting.set(true);
        self.cut.set(true);
        self.wake();
    }

    /// Whether the drain's deadline tears an answer that its handler has finished.
    pub fn is_torn(&self) -> bool {
        let unsent = self.stream.is_blocked() && !self.stream.is_sink();
        self.aborting.get() && (self.answering.get() || unsent)
    }

    /// The deadline that `count` counts has passed.
    fn expire(&self, count: &Count) {
        count.add(1);
        self.end_expired();
    }

    fn end_expired(&self) {
        self.stream.expire();
        self.cut.set(true);
        self.wake();
    }

    /// One look of the sweep.
    pub fn check_time(&self) {
        let shard = &self.shard;
        let late = self.clock.look(shard.now(), &self.stream, &shard.config());
        let stats = &shard.stats;
        match late {
            // It may no longer be fresh.
            None if shard.is_draining() && self.clock.phase() == Phase::Head => self.wake(),
            None => {}
            Some(Late::Park) => self.ask_park(),
            Some(Late::Idle) => self.expire(&stats.timeouts_idle),
            Some(Late::Head) => self.expire(&stats.timeouts_head),
            Some(Late::Progress) => self.expire(&stats.timeouts_progress),
            Some(Late::Handler) => self.give_up_on_handler(),
            Some(Late::Linger) => self.end_expired(),
        }
    }

    fn ask_park(&self) {
        if !self.park.replace(true) {
            self.wake();
        }
    }
}
