//! An answer that its handler writes piece by piece, no faster than the client reads.
//!
//! What is written waits in a small buffer, which hyper empties as the socket takes it. The connection's
//! part is in [`super::outgoing`].

use super::answer::{Payload, Stage, State, answer_status, end_children, gone, late, shut_down};
use super::exchange::Exchange;
use super::trailers;
use crate::error::{Error, Operation, Result, Status};
use crate::limits::{FRAME_MAX, WRITE_BUFFER};
use crate::runtime::context;
use crate::runtime::delivery::Event;
use crate::runtime::gate::deadline_after;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Waker};
use std::time::Duration;

/// Runs once when there is room again.
pub type WritableFn = Box<dyn FnOnce(&Arc<Exchange>) + Send>;

/// A body on its way to hyper.
#[derive(Default)]
pub struct Writing {
    /// Announced; `None` is chunked, or until the connection's end.
    length: Option<u64>,
    written: u64,
    /// Whole pieces, then what was copied after them.
    queue: VecDeque<Bytes>,
    buffer: BytesMut,
    /// Bytes in both.
    waiting_bytes: usize,
    /// What its head announced of trailers.
    announced: Vec<HeaderName>,
    trailers: Option<HeaderMap>,
    finished: bool,
    /// Freed before it was finished: the connection must not look like a whole answer.
    aborted: bool,
    /// The answer to a HEAD: what is written is not sent.
    is_head: bool,
    /// Nobody takes what is written: so it is for a HEAD, or hyper has let go of it.
    void: bool,
    /// hyper's task, when it waits for a piece.
    task: Option<Waker>,
    on_writable: Option<WritableFn>,
    tells_writer: bool,
}

/// What there is for hyper.
pub enum Taken {
    /// `true`: it is the last.
    Piece(Bytes, bool),
    Trailers(HeaderMap),
    End,
    /// The end will never come.
    Broken,
    Nothing,
}

impl Writing {
    fn new(length: Option<u64>, is_head: bool, headers: &HeaderMap) -> Writing {
        Writing {
            length,
            announced: trailers::announced(headers),
            is_head,
            void: is_head,
            ..Writing::default()
        }
    }

    fn is_open(&self) -> bool {
        !self.finished && !self.aborted
    }

    /// The client waits for more. Not when all that was announced is there, finished or not.
    pub fn is_owed(&self) -> bool {
        self.is_open() && !self.is_head && self.length != Some(self.written)
    }

    fn has_room(&self, len: usize) -> bool {
        self.void || self.waiting_bytes == 0 || self.waiting_bytes + len <= WRITE_BUFFER
    }

    /// What is given and not needed comes back: its end may be the user's code, which must not run under
    /// a lock.
    fn put(&mut self, data: Data<'_>) -> Option<Bytes> {
        let len = data.len();
        self.written += len as u64;
        if self.void || len == 0 {
            return match data {
                Data::Given(_, make) => Some(make()),
                Data::Copied(_) => None,
            };
        }
        self.waiting_bytes += len;
        match data {
            Data::Copied(bytes) if len <= WRITE_BUFFER => self.buffer.extend_from_slice(bytes),
            Data::Copied(bytes) => self.queue.push_back(Bytes::copy_from_slice(bytes)),
            Data::Given(_, make) => {
                if !self.buffer.is_empty() {
                    self.queue.push_back(self.buffer.split().freeze());
                }
                self.queue.push_back(make());
            }
        }
        None
    }

    fn take(&mut self) -> Option<Bytes> {
        let piece = match self.queue.front_mut() {
            // Bounded, since hyper copies small answers together before it sends them.
            Some(front) if front.len() > FRAME_MAX => front.split_to(FRAME_MAX),
            Some(_) => self.queue.pop_front()?,
            None if self.buffer.is_empty() => return None,
            None => self.buffer.split().freeze(),
        };
        self.waiting_bytes -= piece.len();
        Some(piece)
    }

    pub fn add_trailer(
        &mut self,
        name: HeaderName,
        value: HeaderValue,
        is_old: bool,
    ) -> Result<()> {
        if self.length.is_some() || is_old {
            return Err(Error::state(
                "only answers in chunks have trailers: of unknown length, to HTTP/1.1",
            ));
        }
        if !self.announced.contains(&name) {
            return Err(Error::argument(format!(
                "the trailer {name} was not announced: set the header Trailer before the answer starts"
            )));
        }
        self.trailers.get_or_insert_default().append(name, value);
        Ok(())
    }

    /// Nobody takes what is written any more; what was is to be dropped without a lock.
    pub fn let_go(&mut self) -> VecDeque<Bytes> {
        self.void = true;
        self.buffer.clear();
        self.waiting_bytes = 0;
        std::mem::take(&mut self.queue)
    }

    /// The handler is done with it, well or not: whom to tell.
    pub fn abandon(&mut self) -> Option<Waker> {
        if self.is_open() {
            self.aborted = self.is_owed();
            self.finished = !self.aborted;
        }
        self.task.take()
    }

    pub fn take_hook(&mut self) -> Option<WritableFn> {
        self.tells_writer = false;
        self.on_writable.take()
    }

    pub fn has_hook(&self) -> bool {
        self.on_writable.is_some()
    }
}

/// What is written: copied, or made of what the caller gives away.
enum Data<'a> {
    Copied(&'a [u8]),
    Given(usize, Box<dyn FnOnce() -> Bytes + 'a>),
}

impl Data<'_> {
    fn len(&self) -> usize {
        match self {
            Data::Copied(bytes) => bytes.len(),
            Data::Given(len, _) => *len,
        }
    }
}

impl State {
    /// The answer under way, when more may be written to it.
    pub fn writing(&mut self) -> Result<&mut Writing> {
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
        // An empty buffer takes a piece of any size: whoever waits for room does not wait in vain.
        let has_room = ended || writing.void || writing.waiting_bytes == 0;
        writing.on_writable.is_some()
            && has_room
            && !std::mem::replace(&mut writing.tells_writer, true)
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
            let writing = Writing::new(length, is_head, &state.headers);
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
    ) -> Result<&'a mut Writing> {
        let writing = state.writing()?;
        let left = writing.length.map(|length| length - writing.written);
        match left {
            Some(left) if len as u64 > left => Err(Error::argument(format!(
                "{len} bytes are more than the {left} that are left of the announced length"
            ))),
            _ => Ok(writing),
        }
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
        let written = writing.written;
        if let Some(length) = writing.length.filter(|length| *length != written) {
            return Err(Error::state(format!(
                "{written} bytes were written of the {length} that were announced"
            )));
        }
        writing.finished = true;
        let task = writing.task.take();
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
        if let Some(piece) = writing.take() {
            let is_empty = writing.waiting_bytes == 0;
            let last = is_empty && writing.finished && writing.trailers.is_none();
            self.tell_writer(state);
            return Taken::Piece(piece, last);
        }
        if writing.finished {
            return writing.trailers.take().map_or(Taken::End, Taken::Trailers);
        }
        if writing.aborted {
            return Taken::Broken;
        }
        writing.task = Some(cx.waker().clone());
        Taken::Nothing
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
