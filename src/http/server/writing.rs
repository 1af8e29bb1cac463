//! An answer that its handler writes piece by piece, no faster than the client reads.
//!
//! What is written waits in a small buffer, which hyper empties as the socket takes it. The connection's
//! part is in [`super::outgoing`].

use super::answer::{Payload, Stage, State, answer_status, end_children, gone, late, shut_down};
use super::exchange::Exchange;
use crate::error::{Error, Operation, Result, Status};
use crate::http::trailers;
use crate::http::writing::{Data, Taken, Writing};
use crate::runtime::context;
use crate::runtime::delivery::Event;
use crate::runtime::gate::deadline_after;
use bytes::Bytes;
use http::Method;
use std::sync::{Arc, MutexGuard};
use std::task::Context;
use std::time::Duration;

/// Runs once when there is room again.
pub type WritableFn = Box<dyn FnOnce(&Arc<Exchange>) + Send>;

impl State {
    /// The answer under way, when more may be written to it.
    pub fn writing(&mut self) -> Result<&mut Writing<WritableFn>> {
        match (self.stage, &mut self.writing) {
            (Stage::Gone, _) => Err(gone()),
            (Stage::Late, _) => Err(late()),
            (Stage::ShutDown, _) => Err(shut_down()),
            (_, None) => Err(Error::state(
                "no answer was started: call hysock_exchange_start_answer() first",
            )),
            (_, Some(writing)) if writing.is_open() => Ok(writing),
            (_, Some(_)) => Err(Error::state("the answer was finished already")),
        }
    }

    /// Whether the function that waits for room is to be told now; says so once.
    pub fn must_tell_writer(&mut self) -> bool {
        let ended = self.is_cut();
        let Some(writing) = &mut self.writing else {
            return false;
        };
        writing.must_tell(ended)
    }
}

impl Exchange {
    /// Begins an answer whose body is written piece by piece; `length` when it is known.
    pub fn start_answer(
        self: &Arc<Self>,
        http_status: i32,
        content_type: Option<&[u8]>,
        length: Option<u64>,
    ) -> Result<()> {
        self.check()?;
        let status = answer_status(http_status, length.unwrap_or(0) == 0)?;
        let has_no_body = matches!(http_status, 204 | 304);
        let length = if has_no_body { Some(0) } else { length };
        let is_head = self.head().method() == Method::HEAD.as_str();
        self.seal(status, content_type, |state| {
            let announced = trailers::announced(&state.headers);
            let writing = Writing::new(length, is_head, announced);
            state.writing = Some(Box::new(writing));
            Payload::Stream(length)
        })
    }

    /// Writes all of `data`, or none; waits for room up to `timeout`.
    pub fn write(&self, data: &[u8], timeout: Option<Duration>) -> Result<()> {
        self.put(Data::Copied(data), timeout)
    }

    /// Like [`Exchange::write`] with what `make` gives, `len` bytes, which are not copied. It is called only
    /// when they are taken.
    pub fn write_given(
        &self,
        len: usize,
        make: impl FnOnce() -> Bytes,
        timeout: Option<Duration>,
    ) -> Result<()> {
        self.put(Data::Given(len, Box::new(make)), timeout)
    }

    fn put(&self, data: Data<'_>, timeout: Option<Duration>) -> Result<()> {
        self.check()?;
        let may_wait = timeout != Some(Duration::ZERO);
        if may_wait {
            context::check_may_block("hysock_exchange_write")?;
        }
        let mut state = self.state();
        let mut writing = self.check_write(&mut state, data.len())?;
        if !writing.has_room(data.len()) {
            if !may_wait {
                let what = "the client has not read enough yet";
                return Err(Error::new(Status::WouldBlock, Operation::Send, what));
            }
            drop(state);
            state = self.wait_until(deadline_after(timeout), |state| {
                state.writing().is_err()
                    || state
                        .writing
                        .as_ref()
                        .is_none_or(|w| w.has_room(data.len()))
            });
            writing = self.check_write(&mut state, data.len())?;
            if !writing.has_room(data.len()) {
                let what = "the client has not read enough in time";
                return Err(Error::new(Status::TimedOut, Operation::Send, what));
            }
        }
        let unneeded = writing.put(data);
        let task = writing.task.take();
        drop(state);
        self.wake(task);
        drop(unneeded);
        Ok(())
    }

    fn check_write<'a>(
        &self,
        state: &'a mut MutexGuard<'_, State>,
        len: usize,
    ) -> Result<&'a mut Writing<WritableFn>> {
        let writing = state.writing()?;
        writing.check_len(len)?;
        Ok(writing)
    }

    /// Runs `f` once when there is room for a piece of any size, or when there will never be.
    pub fn on_writable(self: &Arc<Self>, f: WritableFn) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        if !matches!(state.stage, Stage::Gone | Stage::Late) {
            state.writing()?;
        }
        let Some(writing) = &mut state.writing else {
            return Err(gone());
        };
        if writing.on_writable.is_some() {
            return Err(Error::state(
                "the exchange has an on_writable callback already",
            ));
        }
        writing.on_writable = Some(f);
        let tell = state.must_tell_writer();
        drop(state);
        if tell {
            self.post(Event::Writable);
        }
        Ok(())
    }

    /// Ends the answer.
    pub fn finish(&self) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        let writing = state.writing()?;
        let task = writing.finish()?;
        let children = std::mem::take(&mut state.children);
        drop(state);
        self.wake(task);
        end_children(&children);
        Ok(())
    }

    /// The next piece for hyper.
    pub(super) fn take_written(self: &Arc<Self>, cx: &Context<'_>) -> Taken {
        let mut state = self.state();
        let ended = state.is_cut();
        let Some(writing) = &mut state.writing else {
            return Taken::Broken;
        };
        if ended {
            return Taken::Broken;
        }
        let taken = writing.take_next(cx);
        if matches!(taken, Taken::Piece(..)) {
            self.tell_writer(state);
        }
        taken
    }

    /// hyper has let go of the body.
    pub(super) fn end_writing(self: &Arc<Self>) {
        let mut state = self.state();
        if let Some(writing) = &mut state.writing {
            let unneeded = writing.let_go();
            self.tell_writer(state);
            drop(unneeded);
        }
    }

    /// There is room: whoever waits for it hears of it.
    fn tell_writer(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let tell = state.must_tell_writer();
        self.notify(state);
        if tell {
            self.post(Event::Writable);
        }
    }
}
