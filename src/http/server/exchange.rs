//! One request received, and the answer to it.

use super::Server;
use super::answer::{Answer, Payload, Stage, State, end_children, late, shut_down};
use super::face::Face;
use super::head::Head;
use super::hooks::Hooks;
use super::in_flight::Present;
use super::routes::Route;
use crate::error::{Error, Result};
use crate::http::body::Collected;
use crate::http::parent::{Child, Keep, Parent};
use crate::http::reading::Reading;
use crate::limits::BULK;
use crate::runtime::Level;
use crate::runtime::delivery::{Event, Executor, Node, Strand};
use crate::runtime::io_thread::IoThread;
use crate::socket::peer::Record;
use http::{HeaderMap, request};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// What runs for a request. The exchange is lent to it: unless it defers, its return is the end.
pub type Handler = Box<dyn Fn(&Arc<Exchange>) + Send + Sync>;
/// What runs when the client of a deferred exchange has left.
pub type GoneFn = Box<dyn FnOnce(&Arc<Exchange>) + Send>;

pub struct Exchange {
    pub(super) server: Arc<Server>,
    /// Of the server's routes; gone with them.
    pub(super) hooks: Weak<Hooks>,
    thread: Arc<IoThread>,
    pub(super) strand: Strand,
    head: Head,
    body: Collected,
    peer: Arc<Record>,
    /// Of the request, when its body was streamed and has ended.
    pub(super) trailers: OnceLock<Box<HeaderMap>>,
    deferred: AtomicBool,
    /// Answered, and nobody waits for anything: a release has nothing to do. Written under the lock.
    pub(super) quiet: AtomicBool,
    face: Face,
    pub(super) state: Mutex<State>,
    /// For threads that wait for a piece or for room.
    changed: Condvar,
}

impl Exchange {
    pub(super) fn new(
        server: Arc<Server>,
        hooks: Weak<Hooks>,
        thread: Arc<IoThread>,
        strand: Strand,
        head: Head,
        body: Collected,
        peer: Arc<Record>,
    ) -> Arc<Exchange> {
        Arc::new(Exchange {
            server,
            hooks,
            thread,
            strand,
            head,
            body,
            peer,
            trailers: OnceLock::new(),
            deferred: AtomicBool::new(false),
            quiet: AtomicBool::new(false),
            face: Face::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Makes an exchange that has ended ready for the thread's next request, which costs no
    /// allocation then: its request's header map becomes the next answer's. `false` when somebody
    /// still holds it.
    pub(super) fn recycle(self: &mut Arc<Self>) -> bool {
        Arc::get_mut(self).map(Exchange::clear).is_some()
    }

    fn clear(&mut self) {
        if self.body.capacity() <= BULK {
            self.body = Collected::default();
        }
        self.trailers.take();
        *self.deferred.get_mut() = false;
        *self.quiet.get_mut() = false;
        let state = self.state.get_mut();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        state.reset(self.head.clear());
    }

    /// The usual end, without a lock: gives an answer away that is there as a whole, and the exchange is
    /// recycled. `false` when it is not so, or when somebody holds the exchange or is still to hear of it.
    #[inline]
    pub(super) fn give_whole(self: &mut Arc<Self>, to: &mut Answer) -> bool {
        if !self.quiet.load(Ordering::Acquire) {
            return false;
        }
        let Some(this) = Arc::get_mut(self) else {
            return false;
        };
        let state = this.state.get_mut();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let is_whole = matches!(state.payload, Payload::Whole(_));
        // Not quiet any more: something was kept on another thread a moment ago.
        if !is_whole || state.stage != Stage::Answered || !*this.quiet.get_mut() {
            return false;
        }
        state.give_answer(to);
        this.clear();
        true
    }

    /// The memory of a large body, once its exchange is recycled.
    #[inline]
    pub(super) fn take_room(self: &mut Arc<Self>) -> Option<Collected> {
        if self.body.capacity() == 0 {
            return None;
        }
        Arc::get_mut(self).map(|this| std::mem::take(&mut this.body))
    }

    /// Gives a recycled exchange its request.
    pub(super) fn renew(
        self: &mut Arc<Self>,
        request: request::Parts,
        body: Collected,
        route: &Route,
        peer: &Arc<Record>,
    ) {
        let this = Arc::get_mut(self).expect("recycled, so nobody else has it");
        this.head.renew(request, route);
        this.body = body;
        if !Arc::ptr_eq(&this.peer, peer) {
            this.peer = peer.clone();
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until `done`, or until the deadline.
    pub(super) fn wait_until(
        &self,
        deadline: Option<Instant>,
        mut done: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'_, State> {
        let mut state = self.state();
        while !done(&mut state) {
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            state.blocked += 1;
            // Without a deadline: a turn of the loop per hour costs nothing.
            let left = left.unwrap_or(Duration::from_secs(3600));
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.blocked -= 1;
        }
        state
    }

    /// Something changed that a thread may wait for.
    pub(super) fn notify(&self, state: MutexGuard<'_, State>) {
        let is_waited_for = state.blocked > 0;
        drop(state);
        if is_waited_for {
            self.changed.notify_all();
        }
    }

    /// Wakes a task of the connection.
    pub(super) fn wake(&self, task: Option<Waker>) {
        if let Some(task) = task {
            self.thread.wake(task);
        }
    }

    /// The handler reads the body itself; `task` is the connection's.
    pub(super) fn open_reading(&self, task: Waker) {
        self.state().reading = Some(Box::new(Reading::new(task)));
    }

    /// `FORKED` in a forked child.
    pub fn check(&self) -> Result<()> {
        self.server.check()
    }

    /// Where its callbacks run.
    pub fn executor(&self) -> &Executor {
        self.strand.executor()
    }

    pub fn face(&self) -> &Face {
        &self.face
    }

    /// Who sent the request.
    pub fn peer(&self) -> &Record {
        &self.peer
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The whole body, when the request has one; an uncounted NUL follows it.
    pub fn body(&self) -> Option<&[u8]> {
        self.body.as_bytes()
    }

    pub(super) fn settle(&self, mut state: MutexGuard<'_, State>, stage: Stage) {
        state.stage = stage;
        let waiting = state.waiting.take();
        // An answer that is still being written keeps them.
        let children = if state.children.is_empty() || state.is_unfinished() {
            Vec::new()
        } else {
            std::mem::take(&mut state.children)
        };
        self.notify(state);
        self.wake(waiting);
        end_children(&children);
    }

    /// Keeps the exchange beyond the handler's return, until it is released.
    pub fn defer(&self) -> Result<()> {
        self.check()?;
        if self.deferred.swap(true, Ordering::AcqRel) {
            return Err(Error::state("the exchange is deferred already"));
        }
        Ok(())
    }

    /// Takes a defer back: what it was for has failed.
    pub(super) fn undefer(&self) {
        self.deferred.store(false, Ordering::Release);
    }

    pub fn is_deferred(&self) -> bool {
        self.deferred.load(Ordering::Acquire)
    }

    /// The user is done with it: unanswered, the peer gets a 500.
    pub fn release(self: &Arc<Self>) {
        if self.quiet.load(Ordering::Acquire) || self.server.check().is_err() {
            return;
        }
        self.give_up(true);
        let mut state = self.state();
        state.released = true;
        let in_flight = state.in_flight.take();
        let has_rest = state.has_hooks() || !state.keeps.is_empty();
        let was_cut_short = state.is_unfinished() && state.session.is_none();
        let reader = state.reading.as_mut().map(|reading| reading.discard());
        let writer = state.writing.as_mut().and_then(|w| w.abandon());
        let (session, fd) = state.session.as_mut().map(|s| s.end()).unwrap_or_default();
        let children = std::mem::take(&mut state.children);
        self.notify(state);
        drop(in_flight);
        self.wake(session);
        drop(fd);
        self.wake(reader);
        self.wake(writer);
        end_children(&children);
        if was_cut_short {
            self.log_end("in the middle of its answer, which was cut short");
        }
        if has_rest {
            self.post(Event::Discard);
        }
    }

    /// Unanswered, the peer gets a 500. `complete`: the function that completes answers sees it.
    pub fn give_up(self: &Arc<Self>, complete: bool) {
        if self.quiet.load(Ordering::Acquire) || self.server.check().is_err() {
            return;
        }
        let mut state = self.state();
        if state.stage != Stage::Open {
            return;
        }
        let status = state.set_internal_error();
        if complete {
            // A header that was refused is missing then: there is nobody to be told.
            state = self
                .complete(state, status)
                .unwrap_or_else(|_| self.state());
            if state.stage != Stage::Open {
                return;
            }
        }
        self.settle(state, Stage::Answered);
        self.log_end("without an answer, the client got a 500");
    }

    fn log_end(&self, how: &str) {
        self.server.runtime().log().write(Level::Warn, || {
            let path = String::from_utf8_lossy(self.head.path());
            format!("{} {path}: the handler ended {how}", self.head.method())
        });
    }

    /// Waits on the connection's task for the answer; `false` when nobody reads it any more.
    pub(super) fn poll_answer(&self, cx: &mut Context<'_>, to: &mut Answer) -> Poll<bool> {
        let mut state = self.state();
        match state.stage {
            Stage::Answered | Stage::Late => {
                if state.stage == Stage::Answered {
                    state.stage = Stage::Sent;
                }
                state.give_answer(to);
                Poll::Ready(true)
            }
            Stage::Open | Stage::Completing => {
                let waiting = state.waiting.as_ref();
                if !waiting.is_some_and(|waker| waker.will_wake(cx.waker())) {
                    state.waiting = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            Stage::Sent | Stage::Gone | Stage::ShutDown => Poll::Ready(false),
        }
    }

    /// Ends it before its answer's end: `why` is what it becomes. Says whether an answer was still owed;
    /// then it counts as long as its user has it.
    pub(super) fn cut(self: &Arc<Self>, why: Stage, present: &Present) -> bool {
        let mut state = self.state();
        let is_completing = state.stage == Stage::Completing;
        let is_open = is_completing || state.stage == Stage::Open;
        let is_owed = is_open || (why != Stage::Late && state.is_unfinished());
        match (why, &mut state.reading) {
            (Stage::Late, Some(reading)) if is_owed => reading.fail(late()),
            (Stage::ShutDown, Some(reading)) => reading.fail(shut_down()),
            _ => {}
        }
        if is_owed && why == Stage::Late {
            state.set_late();
        }
        if is_owed {
            state.stage = why;
            state.in_flight = present.take().filter(|_| !state.released);
        }
        let unneeded = state.take_unsent(why);
        // While a callback runs, others have to wait: see `complete`.
        let events = if is_completing {
            Vec::new()
        } else {
            state.due_events(is_owed)
        };
        if is_owed {
            self.settle(state, why);
        } else {
            self.notify(state);
        }
        events.into_iter().for_each(|event| self.post(event));
        drop(unneeded);
        is_owed
    }
}

impl Parent for Exchange {
    fn node(self: Arc<Self>) -> Arc<dyn Node> {
        self
    }

    fn keep(&self) -> Keep {
        Box::new(self.server.take_hold())
    }

    fn adopt(&self, child: Weak<dyn Child>) -> Result<()> {
        let mut state = self.state();
        if !state.is_unfinished() {
            state.check_open()?;
        }
        state.children.retain(|child| child.strong_count() > 0);
        state.children.push(child);
        Ok(())
    }
}
