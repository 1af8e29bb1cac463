//! One connection, from accept to close: parked while idle, driven by hyper while there is a request,
//! lingering after an early answer.

use super::exchange::Exchange;
use super::routes::Route;
use super::service::Service;
use super::shard::Shard;
use crate::count::Count;
use crate::http::body::Collected;
use crate::limits::{self, LINGER_BYTES, LINGER_TIME, PARK_AFTER};
use crate::runtime::delivery::Strand;
use crate::socket::stream::ServerStream;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, request};
use hyper::server::conn::http1;
use rustix::net::Shutdown;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker, ready};
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
    /// The answer is being written.
    Answer,
    /// Answered early: the client may still be sending.
    Linger,
}

/// What the parts of one connection share: its task, hyper's service, the body being written, the sweep.
pub struct Link {
    shard: Rc<Shard>,
    stream: ServerStream,
    index: Cell<usize>,
    phase: Cell<Phase>,
    /// When the phase began or something moved last, on the shard's clock.
    since: Cell<u64>,
    /// Bytes that had moved by then: received in idle, head and body, unsent in answer.
    moved: Cell<u64>,
    exchange: RefCell<Option<Arc<Exchange>>>,
    task: RefCell<Option<Waker>>,
    /// Asked of the task: keep only the descriptor.
    park: Cell<bool>,
    /// Asked of the task: end now.
    cut: Cell<bool>,
    /// An answer was large: see [`Shard::http_bulk`].
    bulk: Cell<bool>,
    /// The answer's body is still in hyper's hands.
    answering: Cell<bool>,
    /// The answer went out before the request was read to its end.
    pub early: Cell<bool>,
}

impl Link {
    pub fn new(shard: Rc<Shard>, stream: ServerStream, index: usize) -> Rc<Link> {
        let since = Cell::new(shard.now());
        Rc::new(Link {
            shard,
            stream,
            index: Cell::new(index),
            phase: Cell::new(Phase::Head),
            since,
            moved: Cell::new(0),
            exchange: RefCell::new(None),
            task: RefCell::new(None),
            park: Cell::new(false),
            cut: Cell::new(false),
            bulk: Cell::new(false),
            answering: Cell::new(false),
            early: Cell::new(false),
        })
    }

    pub fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    /// An answer of so many bytes begins.
    pub fn begin_answer(&self, len: usize) {
        self.set_phase(Phase::Answer);
        self.answering.set(true);
        if len > limits::BULK && !self.bulk.replace(true) {
            // From the next request on.
            self.park.set(true);
        }
    }

    pub fn set_index(&self, index: usize) {
        self.index.set(index);
    }

    pub fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.shard.now());
        self.moved.set(self.stream.received());
    }

    /// The exchange of a request that has come.
    pub fn begin_exchange(&self, head: request::Parts, body: Collected, route: &Arc<Route>) {
        self.set_phase(Phase::Handler);
        let exchange = match self.shard.take_spare() {
            Some(mut spare) => {
                spare.renew(head, body);
                spare
            }
            None => {
                let shard = &self.shard;
                let strand = Strand::new(shard.executor.clone());
                Exchange::new(
                    shard.server().clone(),
                    shard.thread.clone(),
                    strand,
                    head,
                    body,
                )
            }
        };
        self.exchange.replace(Some(exchange));
        // Nothing that a handler may call comes back to this cell: it wakes the connection's task.
        if let Some(exchange) = &*self.exchange.borrow() {
            exchange.begin(route);
        }
    }

    /// Makes a reply of the exchange's answer; `None` when nobody waits for one any more.
    pub fn poll_answer<R>(
        &self,
        cx: &mut Context<'_>,
        reply: impl FnOnce(StatusCode, HeaderMap, Bytes) -> R,
    ) -> Poll<Option<R>> {
        let exchange = self.exchange.borrow();
        exchange.as_ref().map_or(Poll::Ready(None), |exchange| {
            exchange.poll_answer(cx, reply)
        })
    }

    /// The answer is on its way.
    pub fn end_exchange(&self) {
        if let Some(mut exchange) = self.exchange.take()
            && exchange.recycle()
        {
            self.shard.keep_spare(exchange);
        }
    }

    /// hyper has let go of the answer's body.
    pub fn end_answer(&self) {
        self.answering.set(false);
    }

    /// The connection ends with the exchange unanswered.
    fn cut_exchange(&self, shut_down: bool) {
        let exchange = self.exchange.take();
        if let Some(exchange) = exchange
            && exchange.cut(shut_down)
            && shut_down
        {
            self.shard.server().aborted.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    pub fn abort(&self) {
        self.cut.set(true);
        self.wake();
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
        let config = &self.shard.server().config;
        let age = Duration::from_millis(self.shard.now().saturating_sub(self.since.get()));
        let stats = &self.shard.stats;
        let over = |limit: Option<Duration>| limit.is_some_and(|limit| age >= limit);
        match self.phase.get() {
            Phase::Idle if self.stream.received() != self.moved.get() => {
                self.set_phase(Phase::Head)
            }
            Phase::Idle => {
                if over(config.idle_timeout) {
                    self.expire(&stats.timeouts_idle);
                } else if age >= PARK_AFTER {
                    self.ask_park();
                }
            }
            Phase::Head if over(config.head_timeout) => self.expire(&stats.timeouts_head),
            Phase::Body => self.check_progress(self.stream.received(), age),
            Phase::Answer if self.stream.is_blocked() => {
                // The kernel counts its overhead too: only that the figure moves has a meaning.
                let moved = self.stream.sent().wrapping_sub(self.stream.unsent());
                self.check_progress(moved, age);
            }
            Phase::Linger if age >= LINGER_TIME => self.end_expired(),
            Phase::Head | Phase::Handler | Phase::Answer | Phase::Linger => {}
        }
    }

    fn check_progress(&self, moved: u64, age: Duration) {
        if moved != self.moved.replace(moved) {
            self.since.set(self.shard.now());
        } else if age >= limits::PROGRESS_TIME {
            self.expire(&self.shard.stats.timeouts_progress);
        }
    }

    fn ask_park(&self) {
        if !self.park.replace(true) {
            self.wake();
        }
    }
}

type Http = http1::Connection<ServerStream, Service>;

enum State {
    /// Only the descriptor: no request has begun.
    Parked,
    Live(Box<Http>),
    Lingering {
        discarded: u64,
    },
}

/// The connection's task.
pub struct Connection {
    link: Rc<Link>,
    state: State,
}

impl Connection {
    pub fn new(link: Rc<Link>) -> Connection {
        Connection {
            link,
            state: State::Parked,
        }
    }

    /// Waits for the first byte of a request.
    fn poll_parked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let link = &self.link;
        if link.shard.is_draining() && !link.stream.has_unread() {
            return Poll::Ready(());
        }
        ready!(link.stream.poll_readable(cx));
        self.go_live();
        self.poll_step(cx)
    }

    fn go_live(&mut self) {
        let link = &self.link;
        let service = Service::new(link.clone());
        let shard = &link.shard;
        let builder = if link.bulk.get() {
            &shard.http_bulk
        } else {
            &shard.http
        };
        let http = builder.serve_connection(link.stream.clone(), service);
        link.park.set(false);
        link.shard.live.set(link.shard.live.get() + 1);
        self.state = State::Live(Box::new(http));
    }

    fn poll_live(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let State::Live(http) = &mut self.state else {
                return self.poll_step(cx);
            };
            if let Poll::Ready(result) = http.poll_without_shutdown(cx) {
                if result.as_ref().is_err_and(hyper::Error::is_parse) {
                    self.link.shard.stats.malformed.add(1);
                }
                return self.end_of_http(result.is_ok(), cx);
            }
            let link = &self.link;
            match link.phase.get() {
                Phase::Handler => {
                    if !link.stream.is_sink() {
                        ready!(link.stream.poll_gone(cx));
                    }
                    // What the client had sent before is still served; its answers go nowhere.
                    link.stream.set_sink();
                    link.cut_exchange(false);
                }
                Phase::Answer if !link.answering.get() && !link.stream.is_blocked() => {
                    link.set_phase(Phase::Idle);
                    if link.shard.is_draining() || !link.shard.has_room_for_live() {
                        link.park.set(true);
                    }
                    if !link.park.get() {
                        return Poll::Pending;
                    }
                }
                Phase::Idle if link.park.get() || link.shard.is_draining() => self.park(),
                _ => return Poll::Pending,
            }
        }
    }

    /// Lets go of hyper's state between two requests. A head that has begun to arrive stays live.
    fn park(&mut self) {
        let State::Live(http) = std::mem::replace(&mut self.state, State::Parked) else {
            return;
        };
        let link = &self.link;
        link.shard.live.set(link.shard.live.get() - 1);
        link.park.set(false);
        let rest = http.into_parts().read_buf;
        if !rest.is_empty() {
            link.stream.put_back(rest);
            link.set_phase(Phase::Head);
            self.go_live();
        }
    }

    /// hyper is done with the connection.
    fn end_of_http(&mut self, well: bool, cx: &mut Context<'_>) -> Poll<()> {
        let link = &self.link;
        link.shard.live.set(link.shard.live.get() - 1);
        link.cut_exchange(false);
        self.state = State::Parked;
        let may_be_sending = link.early.get() || !well || link.stream.has_unread();
        if link.cut.get() || link.stream.is_sink() || !may_be_sending {
            return Poll::Ready(());
        }
        // The client may still be sending: closing now would take the answer from it.
        link.stream.shutdown(Shutdown::Write);
        link.set_phase(Phase::Linger);
        self.state = State::Lingering { discarded: 0 };
        self.poll_step(cx)
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Parked => self.poll_parked(cx),
            State::Live(_) => self.poll_live(cx),
            State::Lingering { discarded } => loop {
                match ready!(self.link.stream.poll_discard(cx)) {
                    Ok(n) if n > 0 && *discarded < LINGER_BYTES => *discarded += n as u64,
                    _ => return Poll::Ready(()),
                }
            },
        }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut task = self.link.task.borrow_mut();
            if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
                *task = Some(cx.waker().clone());
            }
        }
        if self.link.cut.get() {
            return Poll::Ready(());
        }
        self.poll_step(cx)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let link = &self.link;
        let state = std::mem::replace(&mut self.state, State::Parked);
        if matches!(state, State::Live(_)) {
            link.shard.live.set(link.shard.live.get() - 1);
        }
        // Before hyper's state goes: it would take the exchange for one whose client has left.
        link.cut_exchange(link.shard.is_draining());
        drop(state);
        link.task.take();
        // For copies of the descriptor in forked children too.
        link.stream.shutdown(Shutdown::Both);
        link.shard.remove(link.index.get());
    }
}
