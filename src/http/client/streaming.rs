//! An answer whose body is read piece by piece: what its reader asks for, and what it gets.

use super::Client;
use super::call::Call;
use super::delivered::Delivered;
use super::live::Live;
use super::state::{Stage, State};
use crate::error::{Error, Operation, Result, Status};
use crate::http::parent::Keep;
use crate::http::reading::{Arrived, Piece, Reading, Wanted};
use crate::runtime::context;
use crate::runtime::delivery::{self, Event, Node};
use crate::runtime::gate::deadline_after;
use http::HeaderMap;
use std::sync::{Arc, Condvar, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// Runs once, with a piece, the end, or what kept it from coming.
pub type ReadFn = Box<dyn FnOnce(&Arc<Call>, Result<Piece<'_>>) + Send>;

/// What a call knows of an answer that is streamed.
pub struct Streams {
    pub reading: Reading,
    /// Waits for a piece; the event for it is on its way.
    on_piece: Option<(ReadFn, Hold)>,
    tells_reader: bool,
    /// From the head to the end of the stream.
    pub hold: Option<Hold>,
    /// It belongs to calling threads, which read it themselves.
    pub is_performed: bool,
    /// Of a performed call, while nobody reads.
    pub live: Option<Box<Live>>,
    /// For threads that wait for a piece.
    changed: Arc<Condvar>,
}

impl Streams {
    fn new() -> Streams {
        Streams {
            reading: Reading::new(Waker::noop().clone()),
            on_piece: None,
            tells_reader: false,
            hold: None,
            is_performed: false,
            live: None,
            changed: Arc::default(),
        }
    }

    fn check_no_reader(&self) -> Result<()> {
        if self.on_piece.is_some() || self.reading.blocked {
            let what = "another read of the call has not ended yet";
            return Err(Error::state(what));
        }
        Ok(())
    }

    /// Whether the function that waits for a piece is to be told now; says so once.
    fn must_tell(&mut self) -> bool {
        self.on_piece.is_some()
            && self.reading.has_outcome()
            && !std::mem::replace(&mut self.tells_reader, true)
    }
}

/// Keeps the client, and the call's parent, from ending.
pub struct Hold {
    client: Arc<Client>,
    keep: Option<Keep>,
}

impl Hold {
    /// For a call that has the client's hold already.
    pub fn taken_over(client: &Arc<Client>, keep: Option<Keep>) -> Hold {
        Hold {
            client: client.clone(),
            keep,
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let keep = self.keep.take();
        drop(Delivered(&self.client, keep));
    }
}

impl State {
    /// The streamed answer, once its head is there.
    fn streamed(&mut self) -> Result<&mut Streams> {
        let has_answer = match &self.stage {
            Stage::New | Stage::Running => false,
            Stage::Streaming | Stage::Done(_) => true,
        };
        match &mut self.streams {
            None => Err(Error::state(
                "the answer is not streamed: hysock_call_body() has all of it",
            )),
            Some(_) if !has_answer => Err(Error::state("the call has no answer yet")),
            Some(streams) => Ok(streams),
        }
    }

    fn hold(&self, client: &Arc<Client>) -> Result<Hold> {
        client.hold_again()?;
        let keep = self.parent.as_ref().map(|parent| parent.keep());
        Ok(Hold::taken_over(client, keep))
    }
}

impl Call {
    /// The answer is given as soon as its head is there.
    pub fn set_streaming(&self) -> Result<()> {
        self.set(|state| {
            if state.extras.as_ref().is_some_and(|e| e.output.is_some()) {
                return Err(Error::state(
                    "the answer's body goes to a descriptor: it cannot be read as well",
                ));
            }
            state
                .streams
                .get_or_insert_with(|| Box::new(Streams::new()));
            Ok(())
        })
    }

    /// How long the answer's body is, when that was announced.
    pub fn content_length(&self) -> Option<u64> {
        self.answer.get()?.length
    }

    pub(super) fn keep_trailers(&self, trailers: Option<Box<HeaderMap>>) {
        if let Some(trailers) = trailers {
            self.trailers.set(trailers).ok();
        }
    }

    /// The trailers of the answer, once it was read to its end.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.get().map(|trailers| &**trailers)
    }

    /// The next piece of the body; waits for it up to `timeout`.
    pub fn read(self: &Arc<Self>, timeout: Option<Duration>) -> Result<Piece<'static>> {
        self.check()?;
        let may_wait = timeout != Some(Duration::ZERO);
        if may_wait {
            context::check_may_block("hysock_call_read")?;
        }
        let mut state = self.state();
        let streams = state.streamed()?;
        streams.check_no_reader()?;
        if let Some(outcome) = streams.reading.take() {
            return outcome;
        }
        if streams.is_performed {
            return self.read_here(state, timeout);
        }
        let task = streams.reading.ask();
        streams.reading.blocked = may_wait;
        drop(state);
        self.wake(task);
        if !may_wait {
            return Err(not_yet(timeout));
        }
        let mut state = self.wait_for_piece(deadline_after(timeout));
        let streams = state.streamed()?;
        streams.reading.blocked = false;
        streams
            .reading
            .take()
            .unwrap_or_else(|| Err(not_yet(timeout)))
    }

    fn wait_for_piece(&self, deadline: Option<Instant>) -> MutexGuard<'_, State> {
        let mut state = self.state();
        while let Some(streams) = &state.streams {
            if streams.reading.has_outcome() {
                break;
            }
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            let changed = streams.changed.clone();
            // Without a deadline: a turn of the loop per hour costs nothing.
            let left = left.unwrap_or(Duration::from_secs(3600));
            let waited = changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    /// Runs `f` once with the next piece.
    pub fn read_start(self: &Arc<Self>, f: ReadFn) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        let streams = state.streamed()?;
        streams.check_no_reader()?;
        if streams.is_performed {
            return Err(Error::state(
                "the call was performed: hysock_call_read() reads its answer on the calling thread",
            ));
        }
        let hold = state.hold(&self.client)?;
        let streams = state.streamed()?;
        streams.on_piece = Some((f, hold));
        let task = streams.reading.ask();
        let tell = streams.must_tell();
        let owner = self.owner(&state);
        drop(state);
        self.wake(task);
        if tell {
            delivery::post(&owner, self.clone(), Event::Read);
        }
        Ok(())
    }

    /// On whose strand its callbacks run.
    pub(super) fn owner(self: &Arc<Self>, state: &State) -> Arc<dyn Node> {
        match &state.parent {
            Some(parent) => parent.clone().node(),
            None => self.clone(),
        }
    }

    /// The I/O thread has the head of the answer, and its `task` the rest.
    pub(super) fn begin_stream(self: &Arc<Self>, task: &Waker) -> Result<()> {
        let mut state = self.state();
        // The answer is the call's already: a cancel at this moment is for its reader.
        let cancelled = state.cancelled.clone();
        let hold = state.hold(&self.client)?;
        if let Some(streams) = &mut state.streams {
            streams.reading = Reading::new(task.clone());
            streams.hold = Some(hold);
            if let Some(error) = &cancelled {
                streams.reading.fail(error.clone());
            }
        }
        state.stage = Stage::Streaming;
        let owner = self.owner(&state);
        drop(state);
        delivery::post_or_run(&owner, self.clone(), Event::Call);
        cancelled.map_or(Ok(()), Err)
    }

    /// Ready when a piece is wanted.
    pub(super) fn poll_asked(&self) -> Poll<Result<()>> {
        let mut state = self.state();
        if let Some(error) = state.upload().and_then(|upload| upload.failure.clone()) {
            return Poll::Ready(Err(error));
        }
        match &state.streams {
            Some(streams) if streams.reading.wanted() == Wanted::Piece => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    /// The connection hands over what has come.
    pub(super) fn arrive(self: &Arc<Self>, what: Arrived) {
        if let Arrived::Trailers(trailers) = what {
            return self.keep_trailers(Some(Box::new(trailers)));
        }
        let mut state = self.state();
        if let Some(streams) = &mut state.streams {
            streams.reading.arrive(what);
        }
        self.tell(state);
    }

    /// Whoever waits for a piece or for the end hears of it.
    fn tell(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let Some(streams) = &mut state.streams else {
            return;
        };
        let tell = streams.must_tell();
        let waiting = streams.reading.blocked.then(|| streams.changed.clone());
        let owner = tell.then(|| self.owner(&state));
        drop(state);
        if let Some(waiting) = waiting {
            waiting.notify_all();
        }
        if let Some(owner) = owner {
            delivery::post(&owner, self.clone(), Event::Read);
        }
    }

    /// It was cancelled: its reader hears of it at once.
    pub(super) fn fail_stream(self: &Arc<Self>, mut state: MutexGuard<'_, State>, why: &Error) {
        let Some(streams) = &mut state.streams else {
            return;
        };
        streams.reading.fail(why.clone());
        match streams.live.take() {
            None => self.tell(state),
            Some(live) => {
                drop(state);
                self.end_parked(live, why.clone());
            }
        }
    }

    /// The stream is over.
    pub(super) fn end_stream(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        result: Result<()>,
    ) {
        let result = match &state.cancelled {
            Some(error) => Err(error.clone()),
            None => result,
        };
        state.settle_stream(result);
        let hold = state
            .streams
            .as_mut()
            .and_then(|streams| streams.hold.take());
        let Some(extras) = &mut state.extras else {
            self.tell(state);
            return drop(hold);
        };
        // The functions of the program that are left go when nothing more comes.
        extras.last_hold = hold;
        let performed = extras.performed;
        self.tell(state);
        self.end_extras();
        if performed {
            self.clone().deliver_news();
        }
    }

    /// The function that waits for a piece, with what there is for it.
    pub(super) fn take_reader(&self) -> Option<(ReadFn, Hold, Result<Piece<'static>>)> {
        let mut state = self.state();
        let streams = state.streams.as_mut()?;
        streams.tells_reader = false;
        let (f, hold) = streams.on_piece.take()?;
        let piece = streams.reading.take();
        // Before `f` may go: no user's code under the lock.
        drop(state);
        Some((f, hold, piece?))
    }

    pub(super) fn deliver_piece(self: Arc<Self>) {
        let Some((f, hold, piece)) = self.take_reader() else {
            return;
        };
        if self.state().withdrawn || self.client.is_withdrawn() {
            drop(f);
        } else {
            context::callback(|| f(&self, piece));
        }
        drop(hold);
    }
}

/// A read that has found nothing.
pub fn not_yet(timeout: Option<Duration>) -> Error {
    let (status, what) = if timeout == Some(Duration::ZERO) {
        (
            Status::WouldBlock,
            "no piece of the answer's body is here yet",
        )
    } else {
        (
            Status::TimedOut,
            "no piece of the answer's body has come in time",
        )
    };
    Error::new(status, Operation::Receive, what)
}
