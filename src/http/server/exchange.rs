//! One request received, and the answer to it.

use super::Server;
use super::answer::{Stage, State, answer_status, shut_down};
use super::face::Face;
use super::head::Head;
use super::hooks::Hooks;
use super::routes::Route;
use crate::error::{Error, Result};
use crate::http::body::Collected;
use crate::http::headers;
use crate::http::parent::{Child, Keep, Parent};
use crate::runtime::Level;
use crate::runtime::context;
use crate::runtime::delivery::{self, Event, Executor, Node, Strand};
use crate::runtime::io_thread::IoThread;
use crate::socket::peer::Record;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode, request};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

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
    deferred: AtomicBool,
    /// Answered, and nobody waits to hear that the client is gone: a release has nothing to do. Written
    /// under the lock.
    pub(super) quiet: AtomicBool,
    face: Face,
    pub(super) state: Mutex<State>,
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
            deferred: AtomicBool::new(false),
            quiet: AtomicBool::new(false),
            face: Face::default(),
            state: Mutex::default(),
        })
    }

    /// Makes an exchange that has ended ready for the thread's next request, which costs no
    /// allocation then: its request's header map becomes the next answer's. `false` when somebody
    /// still holds it.
    pub(super) fn recycle(self: &mut Arc<Self>) -> bool {
        let Some(this) = Arc::get_mut(self) else {
            return false;
        };
        this.body = Collected::default();
        *this.deferred.get_mut() = false;
        *this.quiet.get_mut() = false;
        let state = this.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.reset(this.head.clear());
        true
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

    /// `FORKED` in a forked child.
    pub fn check(&self) -> Result<()> {
        self.server.check()
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

    pub fn set_header(&self, name: &[u8], value: &[u8]) -> Result<()> {
        self.edit(|map| headers::put(map, name, value, true))
    }

    pub fn add_header(&self, name: &[u8], value: &[u8]) -> Result<()> {
        self.edit(|map| headers::put(map, name, value, false))
    }

    pub fn remove_header(&self, name: &[u8]) -> Result<()> {
        self.edit(|map| headers::remove(map, name))
    }

    fn edit(&self, f: impl FnOnce(&mut HeaderMap) -> Result<()>) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        state.check_open()?;
        let edited = f(&mut state.headers);
        if let Err(error) = &edited {
            state.refused.get_or_insert_with(|| Box::new(error.clone()));
        }
        edited
    }

    /// Refuses the answer that goes out next: it would lack something that the user wanted in it.
    pub fn refuse(&self, error: Error) {
        self.state().refused.get_or_insert_with(|| Box::new(error));
    }

    /// Answers, once. A refused answer has sent nothing and may be repeated.
    pub fn answer(
        self: &Arc<Self>,
        http_status: i32,
        content_type: Option<&[u8]>,
        body: &[u8],
    ) -> Result<()> {
        self.check()?;
        let status = answer_status(http_status, body.is_empty())?;
        let content_type = content_type.map(headers::content_type).transpose()?;
        let mut state = self.state();
        state.check_unanswered()?;
        if let Some(error) = state.refused.take() {
            return Err(*error);
        }
        if let Some(content_type) = content_type {
            state.headers.insert(CONTENT_TYPE, content_type);
        }
        let mut state = self.complete(state, status)?;
        state.status = status;
        state.body = state.copy_body(body);
        let quiet = state.on_gone.is_none() && state.keeps.is_empty();
        self.quiet.store(quiet, Ordering::Release);
        self.settle(state, Stage::Answered);
        Ok(())
    }

    fn settle(&self, mut state: MutexGuard<'_, State>, stage: Stage) {
        state.stage = stage;
        let waiting = state.waiting.take();
        let children = std::mem::take(&mut state.children);
        drop(state);
        if let Some(waker) = waiting {
            self.thread.wake(waker);
        }
        let children = children.iter().filter_map(Weak::upgrade);
        children.for_each(|child| child.parent_ended());
    }

    /// Keeps the exchange beyond the handler's return, until it is released.
    pub fn defer(&self) -> Result<()> {
        self.check()?;
        if self.deferred.swap(true, Ordering::AcqRel) {
            return Err(Error::state("the exchange is deferred already"));
        }
        Ok(())
    }

    pub fn is_deferred(&self) -> bool {
        self.deferred.load(Ordering::Acquire)
    }

    /// Runs `f` once when the client has left before it got its answer.
    pub fn on_gone(self: &Arc<Self>, f: GoneFn) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        if state.on_gone.is_some() {
            return Err(Error::state("the exchange has an on_gone callback already"));
        }
        match state.stage {
            Stage::ShutDown => return Err(shut_down()),
            Stage::Gone | Stage::Late => {
                state.on_gone = Some(f);
                drop(state);
                self.post(Event::Gone);
            }
            _ => {
                state.on_gone = Some(f);
                self.quiet.store(false, Ordering::Release);
            }
        }
        Ok(())
    }

    /// The user is done with it: unanswered, the peer gets a 500.
    pub fn release(self: &Arc<Self>) {
        if self.quiet.load(Ordering::Acquire) || self.server.check().is_err() {
            return;
        }
        self.give_up(true);
        let mut state = self.state();
        state.released = true;
        let has_rest = state.on_gone.is_some() || !state.keeps.is_empty();
        drop(state);
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
        self.server.runtime().log().write(Level::Warn, || {
            format!(
                "{} {}: the handler ended without an answer, the client got a 500",
                self.head.method(),
                String::from_utf8_lossy(self.head.path())
            )
        });
    }

    /// Posts an event; the server's end waits until it has run.
    pub(super) fn post(self: &Arc<Self>, event: Event) {
        self.server.hold();
        delivery::post_own(self.clone(), event);
    }

    /// Runs the handler, or posts it to where handlers run.
    ///
    /// Inline needs neither strand nor hold: the strand's other events run on this thread too, after this,
    /// and the connection holds the server.
    pub(super) fn begin(self: &Arc<Self>, route: &Arc<Route>) {
        if let Executor::Inline(_) = self.strand.executor() {
            return self.run_handler(&route.handler);
        }
        self.state().route = Some(route.clone());
        self.post(Event::Call);
    }

    /// Waits on the connection's task for the answer and makes a reply of it; `None` when nobody reads it
    /// any more.
    pub(super) fn poll_answer<R>(
        &self,
        cx: &mut Context<'_>,
        reply: impl FnOnce(StatusCode, HeaderMap, Bytes) -> R,
    ) -> Poll<Option<R>> {
        let mut state = self.state();
        match state.stage {
            Stage::Answered | Stage::Late => {
                if state.stage == Stage::Answered {
                    state.stage = Stage::Sent;
                }
                let headers = std::mem::take(&mut state.headers);
                let body = std::mem::take(&mut state.body);
                Poll::Ready(Some(reply(state.status, headers, body)))
            }
            Stage::Open | Stage::Completing => {
                let waiting = state.waiting.as_ref();
                if !waiting.is_some_and(|waker| waker.will_wake(cx.waker())) {
                    state.waiting = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            Stage::Sent | Stage::Gone | Stage::ShutDown => Poll::Ready(None),
        }
    }

    /// Ends it before it was answered: `why` is what it becomes. Says whether an answer was still owed.
    pub(super) fn cut(self: &Arc<Self>, why: Stage) -> bool {
        let mut state = self.state();
        if !matches!(state.stage, Stage::Open | Stage::Completing) {
            return false;
        }
        if why == Stage::Late {
            state.set_late();
        }
        // While a callback runs, this one has to wait: see `complete`.
        let has_hook = state.on_gone.is_some() && state.stage == Stage::Open;
        self.settle(state, why);
        if has_hook {
            self.post(Event::Gone);
        }
        true
    }

    fn run_handler(self: &Arc<Self>, handler: &Handler) {
        if !self.server.is_withdrawn() {
            context::callback(|| {
                if self.passes() {
                    handler(self);
                }
            });
        }
        if !self.is_deferred() {
            self.end_keeps();
            self.release();
        }
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
        state.check_open()?;
        state.children.retain(|child| child.strong_count() > 0);
        state.children.push(child);
        Ok(())
    }
}

/// An event on its way: the server's end waits for it, whatever becomes of it.
struct Posted<'a>(&'a Arc<Server>);

impl Drop for Posted<'_> {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

impl Node for Exchange {
    fn strand(&self) -> &Strand {
        &self.strand
    }

    fn deliver(self: Arc<Self>, event: Event) {
        let _posted = Posted(&self.server);
        match event {
            Event::Call => {
                let (route, late) = {
                    let mut state = self.state();
                    (state.route.take(), state.stage == Stage::Late)
                };
                match route {
                    // Its 503 says that nothing was done.
                    Some(_) if late => self.release(),
                    Some(route) => self.run_handler(&route.handler),
                    None => {}
                }
            }
            Event::Gone => {
                let (f, wanted) = {
                    let mut state = self.state();
                    // Answered meanwhile, or freed: nobody is to hear of it.
                    (state.on_gone.take(), !state.released)
                };
                if let Some(f) = f
                    && wanted
                    && !self.server.is_withdrawn()
                {
                    context::callback(|| f(&self));
                }
            }
            Event::Discard => {
                drop(self.state().on_gone.take());
                self.end_keeps();
            }
        }
    }

    fn abandon(self: Arc<Self>, event: Event) {
        let _posted = Posted(&self.server);
        if event == Event::Call {
            self.give_up(false);
            self.release();
        }
        if event != Event::Gone {
            self.end_keeps();
        }
        let (route, on_gone) = {
            let mut state = self.state();
            (state.route.take(), state.on_gone.take())
        };
        drop((route, on_gone));
    }
}
