//! The request's body, read by the handler piece by piece.
//!
//! Nothing is taken from the connection before it is asked for, so a handler that does not read holds its
//! client up and nobody else. The connection's part is in [`super::inbound`].

use super::answer::{Stage, State, shut_down};
use super::exchange::Exchange;
use crate::error::{Error, Operation, Result, Status};
use crate::http::reading::{Arrived, Piece, Wanted};
use crate::runtime::context;
use crate::runtime::delivery::Event;
use crate::runtime::gate::deadline_after;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Runs once, with a piece, the end, or what kept it from coming.
pub type ReadFn = Box<dyn FnOnce(&Arc<Exchange>, Result<Piece<'_>>) + Send>;

impl State {
    /// Whether the function that waits for a piece is to be told now; says so once.
    pub fn must_tell_reader(&mut self) -> bool {
        let has_outcome = self.reading.as_ref().is_none_or(|r| r.has_outcome());
        self.on_piece.is_some() && has_outcome && !std::mem::replace(&mut self.tells_reader, true)
    }

    /// Nothing of the request's body is left to be read.
    pub fn has_whole_body(&self) -> bool {
        self.reading.as_ref().is_none_or(|r| r.is_over())
    }

    fn check_no_reader(&self) -> Result<()> {
        if self.on_piece.is_some() || self.reading.as_ref().is_some_and(|r| r.blocked) {
            let what = "another read of the exchange has not ended yet";
            return Err(Error::state(what));
        }
        Ok(())
    }
}

impl Exchange {
    /// How long the request's body is, when that was announced.
    pub fn content_length(&self) -> Option<u64> {
        let headers = self.head().headers();
        if headers.contains_key(TRANSFER_ENCODING) {
            return None;
        }
        match headers.get(CONTENT_LENGTH) {
            None => Some(0),
            Some(length) => length.to_str().ok()?.parse().ok(),
        }
    }

    /// The next piece of the body; waits for it up to `timeout`.
    pub fn read(&self, timeout: Option<Duration>) -> Result<Piece<'_>> {
        self.check()?;
        let may_wait = timeout != Some(Duration::ZERO);
        if may_wait {
            context::check_may_block("hysock_exchange_read")?;
        }
        let mut state = self.state();
        state.check_no_reader()?;
        if let Some(outcome) = self.take_piece(&mut state) {
            return outcome;
        }
        let Some(reading) = &mut state.reading else {
            return Ok(Piece::End);
        };
        let task = reading.ask();
        reading.blocked = may_wait;
        drop(state);
        self.wake(task);
        if !may_wait {
            let what = "no piece of the request's body is here yet";
            return Err(Error::new(Status::WouldBlock, Operation::Receive, what));
        }
        let mut state = self.wait_until(deadline_after(timeout), |state| {
            let reading = state.reading.as_ref();
            reading.is_none_or(|reading| reading.has_outcome() || reading.is_discarded())
        });
        if let Some(reading) = &mut state.reading {
            reading.blocked = false;
            if reading.is_discarded() {
                return Err(Error::state("the exchange was freed"));
            }
        }
        self.take_piece(&mut state).unwrap_or_else(|| {
            let what = "no piece of the request's body has come in time";
            Err(Error::new(Status::TimedOut, Operation::Receive, what))
        })
    }

    /// What a read gives now. A body that was collected is one piece.
    fn take_piece(&self, state: &mut State) -> Option<Result<Piece<'_>>> {
        if let Some(reading) = &mut state.reading {
            return reading.take();
        }
        match self.body() {
            Some(body) if !body.is_empty() && !std::mem::replace(&mut state.was_read, true) => {
                Some(Ok(Piece::Whole(body)))
            }
            _ => Some(Ok(Piece::End)),
        }
    }

    /// Runs `f` once with the next piece.
    pub fn read_start(self: &Arc<Self>, f: ReadFn) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        state.check_no_reader()?;
        if state.stage == Stage::ShutDown {
            return Err(shut_down());
        }
        state.on_piece = Some(f);
        self.quiet.store(false, Ordering::Release);
        let task = state.reading.as_mut().and_then(|reading| reading.ask());
        let tell = state.must_tell_reader();
        drop(state);
        self.wake(task);
        if tell {
            self.post(Event::Read);
        }
        Ok(())
    }

    /// The function that waits for a piece, with what there is for it.
    pub(super) fn take_reader(&self) -> Option<(ReadFn, Result<Piece<'_>>, bool)> {
        let mut state = self.state();
        state.tells_reader = false;
        let f = state.on_piece.take()?;
        let released = state.released;
        let piece = self.take_piece(&mut state);
        // Before `f` may go: no user's code under the lock.
        drop(state);
        Some((f, piece?, !released))
    }

    /// What the connection is to do for the reader.
    pub(super) fn wanted(&self) -> Wanted {
        let state = self.state();
        let reading = state.reading.as_ref();
        reading.map_or(Wanted::Freed, |reading| reading.wanted())
    }

    /// The connection hands over what has come.
    pub(super) fn arrive(self: &Arc<Self>, what: Arrived) {
        let mut state = self.state();
        let Some(reading) = &mut state.reading else {
            return;
        };
        if let Arrived::Trailers(trailers) = &what {
            self.trailers.set(Box::new(trailers.clone())).ok();
        }
        reading.arrive(what);
        let tell = state.must_tell_reader();
        self.notify(state);
        if tell {
            self.post(Event::Read);
        }
    }
}
