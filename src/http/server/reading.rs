//! The request's body, read by the handler piece by piece.
//!
//! Nothing is taken from the connection before it is asked for, so a handler that does not read holds its
//! client up and nobody else. The connection's part is in [`super::inbound`].

use super::answer::{Stage, State, shut_down};
use super::exchange::Exchange;
use crate::error::{Error, Operation, Result, Status};
use crate::runtime::context;
use crate::runtime::delivery::Event;
use crate::runtime::gate::deadline_after;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

/// Runs once, with a piece, the end, or what kept it from coming.
pub type ReadFn = Box<dyn FnOnce(&Arc<Exchange>, Result<Piece<'_>>) + Send>;

/// What a read gives; good until the next read.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Data(Bytes),
    /// Of a body that was collected before the handler ran: all of it.
    Whole(&'a [u8]),
    End,
}

impl Piece<'_> {
    /// The bytes; `None` at the end.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Piece::Data(bytes) => Some(bytes),
            Piece::Whole(bytes) => Some(bytes),
            Piece::End => None,
        }
    }
}

/// A body on its way to the handler.
pub struct Reading {
    /// The connection's task.
    task: Waker,
    /// A piece is wanted and has not come.
    asked: bool,
    /// One as a rule; more only when the connection goes on without the handler.
    pieces: VecDeque<Bytes>,
    /// Of the last read: C looks at its bytes.
    lent: Bytes,
    end: Option<Result<()>>,
    /// A thread waits in `read`.
    blocked: bool,
    /// Freed: nobody reads any more.
    discarded: bool,
}

/// What the handler wants of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Nothing,
    Piece,
    /// No piece any more.
    Freed,
}

/// What the connection has for the handler.
pub enum Arrived {
    Piece(Bytes),
    Trailers(HeaderMap),
    End(Result<()>),
}

impl Reading {
    pub fn new(task: Waker) -> Reading {
        Reading {
            task,
            asked: false,
            pieces: VecDeque::new(),
            lent: Bytes::new(),
            end: None,
            blocked: false,
            discarded: false,
        }
    }

    /// What a read gives now.
    fn take(&mut self) -> Option<Result<Piece<'static>>> {
        if let Some(piece) = self.pieces.pop_front() {
            self.lent = piece.clone();
            return Some(Ok(Piece::Data(piece)));
        }
        let end = self.end.clone()?;
        self.lent = Bytes::new();
        Some(end.map(|()| Piece::End))
    }

    fn has_outcome(&self) -> bool {
        !self.pieces.is_empty() || self.end.is_some()
    }

    /// Whom to wake for the next piece.
    fn ask(&mut self) -> Option<Waker> {
        let asks = !self.has_outcome() && !std::mem::replace(&mut self.asked, true);
        asks.then(|| self.task.clone())
    }

    fn arrive(&mut self, what: Arrived) {
        match what {
            Arrived::Piece(piece) if !self.discarded => self.pieces.push_back(piece),
            Arrived::Piece(_) => return,
            Arrived::Trailers(_) => drop(self.end.get_or_insert(Ok(()))),
            Arrived::End(end) => drop(self.end.get_or_insert(end)),
        }
        self.asked = false;
    }

    /// Nobody reads any more: whom to tell.
    pub fn discard(&mut self) -> Waker {
        self.discarded = true;
        self.pieces.clear();
        self.task.clone()
    }

    /// No piece comes any more.
    pub fn fail(&mut self, why: Error) {
        self.pieces.clear();
        self.end.get_or_insert(Err(why));
    }
}

impl State {
    /// Whether the function that waits for a piece is to be told now; says so once.
    pub fn must_tell_reader(&mut self) -> bool {
        let has_outcome = self.reading.as_ref().is_none_or(|r| r.has_outcome());
        self.on_piece.is_some() && has_outcome && !std::mem::replace(&mut self.tells_reader, true)
    }

    /// Nothing of the request's body is left to be read.
    pub fn has_whole_body(&self) -> bool {
        self.reading
            .as_ref()
            .is_none_or(|reading| reading.pieces.is_empty() && matches!(reading.end, Some(Ok(()))))
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
            reading.is_none_or(|reading| reading.has_outcome() || reading.discarded)
        });
        if let Some(reading) = &mut state.reading {
            reading.blocked = false;
            if reading.discarded {
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
        match &self.state().reading {
            Some(reading) if reading.discarded || reading.end.is_some() => Wanted::Freed,
            Some(reading) if reading.asked => Wanted::Piece,
            Some(_) => Wanted::Nothing,
            None => Wanted::Freed,
        }
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
