//! A body that is written piece by piece: an exchange's answer, a call's request.
//!
//! What is written waits in a small buffer, which the connection empties as the socket takes it.

use crate::error::{Error, Result};
use crate::limits::{FRAME_MAX, WRITE_BUFFER};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::VecDeque;
use std::task::{Context, Waker};

/// A body on its way to the connection.
pub struct Writing<F> {
    /// Announced; `None` is chunked, or until the connection's end.
    pub length: Option<u64>,
    pub written: u64,
    /// Whole pieces, then what was copied after them.
    queue: VecDeque<Bytes>,
    buffer: BytesMut,
    /// Bytes in both.
    pub waiting_bytes: usize,
    /// What its head announced of trailers.
    announced: Vec<HeaderName>,
    pub trailers: Option<HeaderMap>,
    pub finished: bool,
    /// Given up before it was finished: the connection must not look like a whole message.
    pub aborted: bool,
    /// What is written is not sent: it is the answer to a HEAD.
    is_unsent: bool,
    /// Nobody takes what is written: it is not sent, or hyper has let go of it.
    pub void: bool,
    /// hyper's task, when it waits for a piece.
    pub task: Option<Waker>,
    pub on_writable: Option<F>,
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

impl<F> Writing<F> {
    /// `announced`: what its head says of trailers.
    pub fn new(length: Option<u64>, is_unsent: bool, announced: Vec<HeaderName>) -> Writing<F> {
        Writing {
            length,
            written: 0,
            queue: VecDeque::new(),
            buffer: BytesMut::new(),
            waiting_bytes: 0,
            announced,
            trailers: None,
            finished: false,
            aborted: false,
            is_unsent,
            void: is_unsent,
            task: None,
            on_writable: None,
            tells_writer: false,
        }
    }

    pub fn is_open(&self) -> bool {
        !self.finished && !self.aborted
    }

    /// The client waits for more. Not when all that was announced is there, finished or not.
    pub fn is_owed(&self) -> bool {
        self.is_open() && !self.is_unsent && self.length != Some(self.written)
    }

    pub fn has_room(&self, len: usize) -> bool {
        self.void || self.waiting_bytes == 0 || self.waiting_bytes + len <= WRITE_BUFFER
    }

    /// What is given and not needed comes back: its end may be the user's code, which must not run under
    /// a lock.
    pub fn put(&mut self, data: Data<'_>) -> Option<Bytes> {
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

    /// Takes a piece as it is.
    pub fn push(&mut self, piece: Bytes) {
        self.written += piece.len() as u64;
        self.waiting_bytes += piece.len();
        self.queue.push_back(piece);
    }

    /// Says late what its head announces of trailers, and which are known already.
    pub fn announce(&mut self, names: Vec<HeaderName>, known: &HeaderMap) {
        self.announced = names;
        if !known.is_empty() {
            self.trailers = Some(known.clone());
        }
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
                "only bodies in chunks have trailers: of unknown length, to HTTP/1.1",
            ));
        }
        if !self.announced.contains(&name) {
            return Err(Error::argument(format!(
                "the trailer {name} was not announced: set the header Trailer before the body starts"
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

    /// Whether so much more may be written.
    pub fn check_len(&self, len: usize) -> Result<()> {
        match self.length.map(|length| length - self.written) {
            Some(left) if len as u64 > left => Err(Error::argument(format!(
                "{len} bytes are more than the {left} that are left of the announced length"
            ))),
            _ => Ok(()),
        }
    }

    /// All was written.
    pub fn finish(&mut self) -> Result<Option<Waker>> {
        let written = self.written;
        if let Some(length) = self.length.filter(|length| *length != written) {
            return Err(Error::state(format!(
                "{written} bytes were written of the {length} that were announced"
            )));
        }
        self.finished = true;
        Ok(self.task.take())
    }

    /// What there is for hyper; its task is kept when that is nothing.
    pub fn take_next(&mut self, cx: &Context<'_>) -> Taken {
        if let Some(piece) = self.take() {
            let last = self.waiting_bytes == 0 && self.finished && self.trailers.is_none();
            return Taken::Piece(piece, last);
        }
        if self.finished {
            return self.trailers.take().map_or(Taken::End, Taken::Trailers);
        }
        if self.aborted {
            return Taken::Broken;
        }
        self.task = Some(cx.waker().clone());
        Taken::Nothing
    }

    /// Whether the function that waits for room is to be told now; says so once. `ended`: nothing will be
    /// taken any more.
    pub fn must_tell(&mut self, ended: bool) -> bool {
        // An empty buffer takes a piece of any size: whoever waits for room does not wait in vain.
        let has_room = ended || self.void || self.waiting_bytes == 0;
        self.on_writable.is_some() && has_room && !std::mem::replace(&mut self.tells_writer, true)
    }

    pub fn take_hook(&mut self) -> Option<F> {
        self.tells_writer = false;
        self.on_writable.take()
    }

    pub fn has_hook(&self) -> bool {
        self.on_writable.is_some()
    }
}

/// What is written: copied, or made of what the caller gives away.
pub enum Data<'a> {
    Copied(&'a [u8]),
    Given(usize, Box<dyn FnOnce() -> Bytes + 'a>),
}

impl Data<'_> {
    pub fn len(&self) -> usize {
        match self {
            Data::Copied(bytes) => bytes.len(),
            Data::Given(len, _) => *len,
        }
    }
}
