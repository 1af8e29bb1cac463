//! An answer that is streamed to calling threads: between reads the connection rests with the call, and
//! whoever reads drives it.

use super::Client;
use super::call::Call;
use super::caller::{CallerConnection, Place, hand_back};
use super::cancel::Driver;
use super::state::{Stage, State, Times};
use super::streaming::{Hold, not_yet};
use super::transfer::{Failure, Progress};
use crate::error::{Error, Operation, Result, Status};
use crate::http::reading::{Arrived, Piece};
use crate::runtime::gate::deadline_after;
use crate::socket::stream::Caller;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

/// A connection in the middle of an answer.
pub struct Live {
    client: Arc<Client>,
    /// `None` only when it was handed back.
    connection: Option<Box<CallerConnection>>,
    times: Times,
    /// Time that was spent in vain on the next piece.
    waited: Duration,
}

impl Live {
    pub fn new(connection: Box<CallerConnection>, times: Times, place: Place<'_>) -> Box<Live> {
        Box::new(Live {
            client: place.keep(),
            connection: Some(connection),
            times,
            waited: Duration::ZERO,
        })
    }

    fn connection(&mut self) -> &mut CallerConnection {
        self.connection.as_mut().expect("not handed back yet")
    }

    fn caller(&mut self) -> Arc<Caller> {
        self.connection().caller().clone()
    }

    /// Whether nothing more comes of the body.
    fn is_over(&self) -> bool {
        self.connection.as_ref().is_some_and(|c| c.is_over())
    }

    fn is_foreign(&self) -> bool {
        self.connection.as_ref().is_some_and(|c| c.is_foreign())
    }

    /// What comes next of the body; `None` when nothing has come until then.
    fn next(&mut self, call: &Arc<Call>, until: Option<Instant>) -> Option<Arrived> {
        let begun = Instant::now();
        let mut times = self.times;
        let idle = &mut times.patience.idle;
        *idle = idle.map(|idle| idle.saturating_sub(self.waited));
        let connection = self.connection.as_mut().expect("not handed back yet");
        let Some(next) = connection.next_of(call, times, until) else {
            self.waited += begun.elapsed();
            return None;
        };
        self.waited = Duration::ZERO;
        if times.extras {
            if let Some(Ok(frame)) = &next
                && let Some(piece) = frame.data_ref()
            {
                call.note_moved(0, piece.len());
            }
            call.show_news();
        }
        let caller = connection.caller();
        Some(Arrived::of(next, |error| {
            let failure = Failure::Http(error);
            if failure.is_timeout() {
                return call.timed_out(caller.expired());
            }
            failure.into_error(&self.client.source, Progress::ANSWERED)
        }))
    }

    /// The body has come to its end: the connection is for the next call.
    fn end(mut self) {
        if let Some(connection) = self.connection.take()
            && let Ok(place) = Place::of(&self.client)
        {
            hand_back(connection, place);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.is_foreign() {
            return;
        }
        if let Some(connection) = self.connection.take() {
            drop(connection);
            drop(Place::of(&self.client));
        }
    }
}

impl Call {
    /// The head of a performed call's answer is there.
    pub(super) fn park(self: &Arc<Self>, live: Box<Live>) -> Result<()> {
        let is_over = live.is_over();
        let mut state = self.state();
        let keep = state.keep.take();
        state.stage = Stage::Streaming;
        let cancelled = state.cancelled.clone();
        let streams = state.streams.as_mut().expect("it streams");
        streams.hold = Some(Hold::taken_over(&self.client, keep));
        streams.is_performed = true;
        if let Some(error) = cancelled {
            drop(state);
            drop(live);
            self.end_performed(Err(error.clone()));
            return Err(error);
        }
        if is_over {
            drop(state);
            live.end();
            self.end_performed(Ok(()));
        } else {
            streams.live = Some(live);
        }
        Ok(())
    }

    /// Reads on this thread.
    pub(super) fn read_here(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        timeout: Option<Duration>,
    ) -> Result<Piece<'static>> {
        let streams = state.streams.as_mut().expect("it streams");
        let Some(mut live) = streams.live.take() else {
            return Err(Error::state("the call's body is being read already"));
        };
        if live.is_foreign() {
            streams.live = Some(live);
            let what = "the answer is that of the process which made the call";
            return Err(Error::new(Status::Forked, Operation::Receive, what));
        }
        streams.reading.blocked = true;
        state.driver = Driver::Caller(live.caller());
        drop(state);
        let until = deadline_after(timeout);
        let arrived = loop {
            match live.next(self, until) {
                Some(Arrived::Trailers(trailers)) => {
                    self.keep_trailers(Some(Box::new(trailers)));
                }
                arrived => break arrived,
            }
        };
        self.after_read(live, arrived, timeout)
    }

    fn after_read(
        self: &Arc<Self>,
        live: Box<Live>,
        arrived: Option<Arrived>,
        timeout: Option<Duration>,
    ) -> Result<Piece<'static>> {
        let is_last = live.is_over();
        let mut state = self.state();
        state.driver = Driver::None;
        let cancelled = state.cancelled.clone();
        let streams = state.streams.as_mut().expect("it streams");
        streams.reading.blocked = false;
        let end = match (cancelled, arrived) {
            (Some(error), _) => Err(error),
            (None, None) => {
                streams.live = Some(live);
                return Err(not_yet(timeout));
            }
            (None, Some(Arrived::End(end))) => end,
            (None, Some(arrived)) => {
                streams.reading.arrive(arrived);
                if !is_last {
                    streams.live = Some(live);
                    return streams.reading.take().expect("it has just arrived");
                }
                Ok(())
            }
        };
        drop(state);
        if end.is_ok() {
            live.end();
        } else {
            drop(live);
        }
        self.end_performed(end);
        let mut state = self.state();
        let streams = state.streams.as_mut().expect("it streams");
        streams.reading.take().expect("the end has come")
    }

    /// A performed call's stream is over, and its connection gone or given back.
    pub(super) fn end_performed(self: &Arc<Self>, result: Result<()>) {
        self.client.forget(self);
        self.end_stream(self.state(), result);
    }

    /// A stream that nobody reads just now was cancelled.
    pub(super) fn end_parked(self: &Arc<Self>, live: Box<Live>, why: Error) {
        if live.is_foreign() {
            // Its process goes on with it.
            let mut state = self.state();
            let streams = state.streams.as_mut().expect("it streams");
            std::mem::forget(streams.hold.take());
            return;
        }
        drop(live);
        self.end_performed(Err(why));
    }
}
