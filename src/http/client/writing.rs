//! A request's body that the program writes while its call runs.

use super::call::Call;
use super::state::{Stage, State};
use super::upload::{Source, Upload, WritableFn};
use crate::error::{Error, Operation, Result, Status};
use crate::http::trailers;
use crate::http::writing::Data;
use crate::runtime::context;
use crate::runtime::gate::deadline_after;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

impl State {
    /// The body that the program writes, when more may be written to it.
    fn written(&mut self) -> Result<&mut Upload> {
        let ended = match &self.stage {
            Stage::New => return Err(Error::state("the call was not started yet")),
            Stage::Done(Err(error)) => Some(error.clone()),
            _ => self.cancelled.clone(),
        };
        let upload = self.upload();
        let Some(upload) = upload.filter(|u| matches!(u.source, Source::Program)) else {
            let what = "the call's body is not written: see hysock_call_set_body_stream()";
            return Err(Error::state(what));
        };
        if let Some(error) = ended {
            return Err(error);
        }
        // An answer to all that was announced may come before the end is said.
        let is_whole = upload.writing.length == Some(upload.writing.written);
        if upload.stopped && !is_whole {
            let what = "the answer came before the body's end: no more of it is sent";
            return Err(Error::new(Status::Closed, Operation::Send, what));
        }
        if upload.writing.finished {
            return Err(Error::state("the call's body was finished already"));
        }
        Ok(upload)
    }
}

impl Call {
    /// A trailer of the request: before its head when it is to be announced by itself.
    pub fn add_trailer(&self, name: &[u8], value: &[u8]) -> Result<()> {
        self.check()?;
        let (name, value) = trailers::parse(name, value)?;
        let mut state = self.state();
        let is_new = matches!(state.stage, Stage::New);
        let Some(upload) = state.upload() else {
            return Err(Error::state(
                "only bodies in chunks have trailers: set one of unknown length before",
            ));
        };
        if upload.writing.length.is_some() {
            return Err(Error::state("only bodies of unknown length have trailers"));
        }
        if is_new {
            upload.early_trailers.append(name, value);
            return Ok(());
        }
        if upload.is_over() || upload.writing.finished {
            return Err(Error::state("the call's body is over"));
        }
        upload.writing.add_trailer(name, value, false)
    }

    /// Writes all of `data`, or none; waits for room up to `timeout`.
    pub fn write(&self, data: &[u8], timeout: Option<Duration>) -> Result<()> {
        self.check()?;
        let may_wait = timeout != Some(Duration::ZERO);
        if may_wait {
            context::check_may_block("hysock_call_write")?;
        }
        let mut state = self.state();
        let mut upload = state.written()?;
        upload.writing.check_len(data.len())?;
        if !upload.writing.has_room(data.len()) {
            if !may_wait {
                let what = "the server has not read enough yet";
                return Err(Error::new(Status::WouldBlock, Operation::Send, what));
            }
            if upload.blocked {
                return Err(Error::state("another write of the call waits"));
            }
            state = self.wait_for_room(state, deadline_after(timeout), data.len());
            upload = state.written()?;
            if !upload.writing.has_room(data.len()) {
                let what = "the server has not read enough in time";
                return Err(Error::new(Status::TimedOut, Operation::Send, what));
            }
        }
        upload.writing.put(Data::Copied(data));
        let task = upload.writing.task.take();
        drop(state);
        self.wake(task);
        Ok(())
    }

    fn wait_for_room<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
        len: usize,
    ) -> MutexGuard<'a, State> {
        while let Ok(upload) = state.written()
            && !upload.writing.has_room(len)
        {
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            upload.blocked = true;
            let changed = upload.changed.clone();
            // Without a deadline: a turn of the loop per hour costs nothing.
            let left = left.unwrap_or(Duration::from_secs(3600));
            let waited = changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(upload) = state.upload() {
            upload.blocked = false;
        }
        state
    }

    /// Runs `f` once when there is room for a piece of any size, or when there will never be.
    pub fn on_writable(self: &Arc<Self>, f: WritableFn) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        let upload = state.written()?;
        if upload.writing.on_writable.is_some() {
            let what = "the call has an on_writable callback already";
            return Err(Error::state(what));
        }
        upload.writing.on_writable = Some(f);
        self.tell_writer(state);
        Ok(())
    }

    /// Ends the body.
    pub fn finish_body(&self) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        let task = state.written()?.writing.finish()?;
        drop(state);
        self.wake(task);
        Ok(())
    }
}
