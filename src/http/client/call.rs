//! One request sent, and the answer received.

use super::cancel::Driver;
use super::delivered::Delivered;
use super::outgoing::Probe;
use super::reactor::Local;
use super::request::Template;
use super::state::{Stage, State};
use super::switch::Wish;
use super::transfer::{Answer, Order, Progress};
use super::wire::{Body, Head};
use super::{Client, lock};
use super::{caller, reactor};
use crate::error::{Error, Operation, Result, Status};
use crate::http::Kept;
use crate::http::headers;
use crate::http::parent::Parent;
use crate::runtime::context;
use crate::runtime::delivery::{self, Event, Executor, Node, Strand};
use crate::runtime::gate::deadline_after;
use crate::socket::peer::Record;
use crate::socket::stream::Expired;
use bytes::Bytes;
use http::{HeaderMap, Version};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// What runs when a started call has ended.
pub type DoneFn = Box<dyn FnOnce(&Arc<Call>, Status) + Send>;

pub struct Call {
    pub(super) client: Arc<Client>,
    /// From the first time on that it is used again.
    kept: Option<Kept>,
    /// `None` when the client has no runtime.
    pub(super) strand: Option<Strand>,
    /// Where it stands in the list of those that run, under that list's lock or on its thread.
    pub(super) place: AtomicUsize,
    /// Cancelled, for a look without the lock.
    pub(super) cut: AtomicBool,
    state: Mutex<State>,
    /// Written once, by whoever drives the call; read without the lock.
    pub(super) answer: OnceLock<Answer>,
    /// Of an answer that was read to its end.
    pub(super) trailers: OnceLock<Box<HeaderMap>>,
}

impl Call {
    pub fn new(client: &Arc<Client>, method: &[u8], target: &[u8]) -> Result<Arc<Call>> {
        client.check()?;
        if let Some(mut spare) = Local::take_spare(client) {
            spare.renew(method, target)?;
            return Ok(spare);
        }
        let strand = client
            .home
            .as_ref()
            .map(|home| Strand::new(home.executor.clone()));
        Ok(Arc::new(Call {
            client: client.clone(),
            kept: None,
            strand,
            place: AtomicUsize::new(0),
            cut: AtomicBool::new(false),
            state: Mutex::new(State::new(
                Template::new(method, target)?,
                client.config.timeout,
                client.config.patience,
            )),
            answer: OnceLock::new(),
            trailers: OnceLock::new(),
        }))
    }

    /// Makes a call that has ended ready to be another one, which costs no allocation then; `false` when
    /// somebody still holds it.
    pub(super) fn recycle(self: &mut Arc<Self>) -> bool {
        let Some(this) = Arc::get_mut(self) else {
            return false;
        };
        let state = this.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let answer = this.answer.take();
        this.trailers.take();
        state.reset(answer);
        *this.cut.get_mut() = false;
        this.kept.get_or_insert_default();
        true
    }

    /// Makes a recycled call a new one.
    fn renew(self: &mut Arc<Self>, method: &[u8], target: &[u8]) -> Result<()> {
        let this = Arc::get_mut(self).expect("recycled, so nobody else has it");
        let state = this.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.timeout = this.client.config.timeout;
        state.patience = this.client.config.patience;
        state.request.renew(method, target)
    }

    /// Where its callbacks run, when it can have some.
    pub fn executor(&self) -> Option<&Executor> {
        self.strand.as_ref().map(Strand::executor)
    }

    /// Where the layer above keeps what is for this call and for those that it will be; only for calls that
    /// are used again.
    pub fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `FORKED` in a forked child, when the client is on a runtime.
    pub fn check(&self) -> Result<()> {
        self.client.check()
    }

    /// Runs a setter; its refusal is remembered, and the call cannot begin with one.
    pub(super) fn set(&self, f: impl FnOnce(&mut State) -> Result<()>) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        let result = match state.stage {
            Stage::New => f(&mut state),
            _ => return Err(Error::state("the call has begun already: set it up before")),
        };
        if let Err(error) = &result {
            state.refused.get_or_insert_with(|| Box::new(error.clone()));
        }
        result
    }

    pub fn set_header(&self, name: &[u8], value: &[u8]) -> Result<()> {
        self.set(|state| headers::put(&mut state.request.headers, name, value, true))
    }

    pub fn add_header(&self, name: &[u8], value: &[u8]) -> Result<()> {
        self.set(|state| headers::put(&mut state.request.headers, name, value, false))
    }

    /// The bytes are copied by the caller of this.
    pub fn set_body(&self, content_type: Option<&[u8]>, body: Bytes) -> Result<()> {
        self.set(|state| {
            if state.upload().is_some() {
                return Err(Error::state("the call has a body already"));
            }
            state.request.set_body(content_type, body)
        })
    }

    pub fn set_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.set(|state| {
            state.timeout = timeout;
            Ok(())
        })
    }

    pub fn set_first_byte_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.set(|state| {
            state.patience.first_byte = timeout;
            Ok(())
        })
    }

    pub fn set_idle_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        self.set(|state| {
            state.patience.idle = timeout;
            Ok(())
        })
    }

    pub fn set_parent(self: &Arc<Self>, parent: Arc<dyn Parent>) -> Result<()> {
        let child: Weak<Call> = Arc::downgrade(self);
        self.set(|state| {
            if state.parent.is_some() {
                return Err(Error::state(
                    "hysock_call_set_parent: the call has a parent already",
                ));
            }
            parent.adopt(child)?;
            state.parent = Some(parent);
            Ok(())
        })
    }

    /// Makes the call begin with this refusal: a setter of the C face has refused its argument.
    pub fn refuse(&self, error: Error) {
        self.state().refused.get_or_insert(Box::new(error));
    }

    fn begin(&self, state: &mut State, performed: bool) -> Result<()> {
        if let Some(error) = &state.refused {
            return Err((**error).clone());
        }
        if !matches!(state.stage, Stage::New) {
            return Err(Error::state(
                "the call was performed or started already: make a new one",
            ));
        }
        if let Some(error) = &state.cancelled {
            return Err(error.clone());
        }
        if let Some(extras) = &mut state.extras {
            extras.begin(performed, &state.request.headers)?;
        }
        self.client.hold()?;
        state.keep = state.parent.as_ref().map(|parent| parent.keep());
        state.stage = Stage::Running;
        state.deadline = deadline_after(state.timeout);
        Ok(())
    }

    /// Sends the request and waits for the answer on this thread.
    pub fn perform(self: &Arc<Self>) -> Result<()> {
        self.check()?;
        context::check_may_block("hysock_call_perform")?;
        let times = {
            let mut state = self.state();
            self.begin(&mut state, true)?;
            state.times()
        };
        self.client.remember(self);
        let result = match caller::perform(&self.client, self, times) {
            Ok(Some(live)) => return self.park(live),
            other => other.map(drop),
        };
        if times.extras {
            self.end_extras();
            let hooks = self.state().extras.as_mut().map(|e| e.take_hooks());
            drop(hooks);
        }
        let (result, _) = self.state().settle(result);
        self.client.forget(self);
        let keep = self.state().keep.take();
        drop(Delivered(&self.client, keep));
        result
    }

    /// Sends the request and returns; `done` runs once, when the answer is there or cannot come.
    pub fn start(self: &Arc<Self>, done: DoneFn) -> Result<()> {
        self.check()?;
        self.client.home()?;
        {
            let mut state = self.state();
            self.begin(&mut state, false)?;
            state.done = Some(done);
            state.driver = Driver::Reactor(None);
        }
        reactor::start(&self.client, self.clone());
        Ok(())
    }

    /// Ends a started call: keeps the result and runs `done`.
    pub fn finish(self: &Arc<Self>, result: Result<()>) {
        let mut state = self.state();
        if matches!(state.stage, Stage::Streaming) {
            return self.end_stream(state, result);
        }
        if state.extras.is_some() {
            drop(state);
            self.end_extras();
            state = self.state();
        }
        let (_, parent) = state.settle(result);
        drop(state);
        let node: Arc<dyn Node> = self.clone();
        let owner = match parent {
            Some(parent) => parent.node(),
            None => node.clone(),
        };
        delivery::post_or_run(&owner, node, Event::Call);
    }

    /// Keeps the answer, before the result.
    pub fn keep(&self, answer: Answer) {
        self.answer.set(answer).ok();
    }

    /// Whether this is not the answer yet, since it leads on and is followed.
    pub fn follows(&self, head: &Head) -> bool {
        self.client.config.max_redirects != 0 && self.redirect(head)
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.state().deadline
    }

    pub fn timed_out(&self, why: Expired) -> Error {
        let state = self.state();
        let (timeout, what) = match why {
            Expired::Total => (state.timeout, "no whole answer within"),
            Expired::FirstByte => (
                state.patience.first_byte,
                "not one byte of an answer within",
            ),
            Expired::Idle => (state.patience.idle, "not one byte moved, either way, for"),
        };
        let timeout = timeout.unwrap_or_default().as_millis();
        let message = format!("{}: {what} {timeout} ms", self.client.source);
        Error::new(Status::TimedOut, Operation::Receive, message)
    }

    /// What a connection to this peer is to do, made anew for each try; the request's head goes to `head`.
    pub fn order(self: &Arc<Self>, peer: &Arc<Record>, probe: &Probe, head: &mut Vec<u8>) -> Order {
        let mut state = self.state();
        state.peer = Some(peer.clone());
        let whole = state.request.body().cloned();
        state.request.write(head);
        let mut order = Order {
            body: Body::Nothing,
            is_head: state.request.is_head(),
            lasts: state.request.lasts(),
            headers: state.request.take_room(),
            room: std::mem::take(&mut state.body_room),
            streams: state.streams.is_some(),
            wish: state.switch.as_ref().map_or(Wish::Nothing, |s| s.wish()),
            extras: state.extras.is_some(),
        };
        drop(state);
        order.body = if order.extras {
            self.order_extras(probe, whole, head)
        } else {
            Body::of(whole, head)
        };
        head.extend_from_slice(b"\r\n");
        order
    }

    /// Whether a request that failed on a connection with a past may be sent again on a new one: nothing of
    /// it was delivered, or doing it twice is doing it once (RFC 9110, section 9.2.2).
    pub fn may_retry(&self, progress: Progress) -> bool {
        let mut state = self.state();
        state.cancelled.is_none()
            && !progress.received
            && (!progress.sent || state.request.is_idempotent())
            && state.upload().is_none_or(|upload| !upload.begun)
    }

    /// The result: `WOULD_BLOCK` before the end.
    pub fn outcome(&self) -> Result<()> {
        self.check()?;
        let state = self.state();
        match &state.stage {
            Stage::New => Err(Error::new(
                Status::WouldBlock,
                Operation::None,
                "the call was not started yet",
            )),
            Stage::Running => Err(Error::new(
                Status::WouldBlock,
                Operation::None,
                "the call still runs",
            )),
            Stage::Streaming => state.cancelled.clone().map_or(Ok(()), Err),
            Stage::Done(result) => result.clone(),
        }
    }

    /// Who is at the other end of the connection that the call used.
    pub fn peer(&self) -> Result<Arc<Record>> {
        self.check()?;
        let state = self.state();
        let ended = self.answer.get().is_some() || matches!(state.stage, Stage::Done(_));
        match &state.peer {
            Some(peer) if ended => Ok(peer.clone()),
            _ => Err(Error::state("the call has not used a connection yet")),
        }
    }

    /// The answer's status; 0 as long as there is none.
    pub fn http_status(&self) -> i32 {
        self.answer
            .get()
            .map_or(0, |answer| i32::from(answer.head.status.as_u16()))
    }

    /// 10 or 11; 0 as long as there is no answer.
    pub fn version(&self) -> i32 {
        match self.answer.get().map(|answer| answer.head.version) {
            None => 0,
            Some(Version::HTTP_10) => 10,
            Some(_) => 11,
        }
    }

    pub fn headers(&self) -> Option<&HeaderMap> {
        self.answer.get().map(|answer| &answer.head.headers)
    }

    /// The answer's whole body; an uncounted NUL follows it.
    pub fn body(&self) -> Option<&[u8]> {
        self.answer.get().and_then(|answer| answer.body.as_bytes())
    }
}

impl Client {
    /// Keeps track of a call that is performed, so that the client's end can end it.
    fn remember(&self, call: &Arc<Call>) {
        let Ok(here) = self.here() else { return };
        let mut running = lock(&here.performed);
        call.place.store(running.len(), Ordering::Relaxed);
        running.push(call.clone());
        drop(running);
        if self.is_cut() {
            self.cut_short(call);
        }
    }

    pub(super) fn forget(&self, call: &Call) {
        let Ok(here) = self.here() else { return };
        let mut running = lock(&here.performed);
        let place = call.place.load(Ordering::Relaxed);
        let gone = running.swap_remove(place);
        if let Some(moved) = running.get(place) {
            moved.place.store(place, Ordering::Relaxed);
        }
        drop(running);
        drop(gone);
    }
}
