//! HTTP/1.1 as a client speaks it on one connection (RFC 9112): a request, then its answer.
//!
//! No task, no channel and no lock: whoever polls moves both directions on. httparse reads heads and chunk
//! sizes; what a body is, and when a connection can be used again, is decided here.

mod down;
mod head;
#[cfg(test)]
mod tests;
mod up;

pub use head::Head;

use super::outgoing::Stream;
use crate::http::body::{Gather, TooLarge};
use crate::limits::{BODY_READ, READ_MAX};
use crate::socket::stream::Transport;
use bytes::{Buf, Bytes, BytesMut};
use down::{Chunk, Down, Step};
use http::HeaderMap;
use http_body::Frame;
use std::task::{Context, Poll, ready};
use std::{fmt, io};
use up::Up;

/// Room for what comes: a head, as a rule with its body.
const ROOM: usize = 8 * 1024;
/// Less room than this is not worth a read.
const LEAST: usize = 2 * 1024;
/// As much of a body is read to where it is collected.
const BULK: usize = 16 * 1024;
/// The beginning of a head, which tells whether it is one: `HTTP/1.1 200`.
const STATUS: usize = 12;

/// One connection's HTTP.
pub struct Wire<IO> {
    io: IO,
    up: Up,
    /// What has come and was not used yet.
    input: BytesMut,
    /// The memory of the input is more than a connection that rests is to have.
    is_large: bool,
    /// The last read found as much as it had room for: there may be more.
    was_full: bool,
    down: Down,
    max_head: usize,
    /// So much of the input holds no end of a head.
    searched: usize,
    /// Bytes of the empty lines before the answer's heads.
    skipped: usize,
    /// The answer has no body, whatever its head says: the request is a HEAD.
    is_bodiless: bool,
    /// The answer's head allows another request.
    lasts: bool,
}

/// What the answer to a request begins with.
pub struct Begun {
    pub head: Head,
    /// How long its body is, when that is known.
    pub length: Option<u64>,
}

/// What was moved of a body into memory.
pub enum Gathered {
    Data(usize),
    /// With what came behind it.
    End(Option<Box<HeaderMap>>),
}

/// What comes of a body; nothing at its end.
pub type Next = Option<Result<Frame<Bytes>, Broken>>;

/// Why there is no answer, or not all of it.
#[derive(Debug)]
pub enum Broken {
    Io(io::Error),
    /// The connection's end came first.
    Ended,
    HeadTooLarge,
    Head(&'static str),
    Body(&'static str),
    BodyTooLarge,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Io(error) => error.fmt(f),
            Broken::Ended => f.write_str("end of the connection"),
            Broken::HeadTooLarge | Broken::BodyTooLarge => f.write_str("too large"),
            Broken::Head(why) | Broken::Body(why) => f.write_str(why),
        }
    }
}

/// What is sent behind a request's head.
pub enum Body {
    Nothing,
    Whole(Bytes),
    /// In chunks, when its length is not known.
    Stream(Box<Stream>),
}

impl<IO: Transport> Wire<IO> {
    pub fn new(io: IO, max_head: usize) -> Wire<IO> {
        Wire {
            io,
            up: Up::default(),
            input: BytesMut::new(),
            is_large: false,
            was_full: false,
            down: Down::Over,
            max_head,
            searched: 0,
            skipped: 0,
            is_bodiless: false,
            lasts: true,
        }
    }

    /// Where the next request's head is written to.
    pub fn request(&mut self) -> &mut Vec<u8> {
        self.up.start()
    }

    /// The request's head is there. Nothing is sent before the first poll.
    pub fn begin(&mut self, body: Body, is_bodiless: bool, lasts: bool) {
        self.up.put(body);
        self.down = Down::Head;
        self.searched = 0;
        self.skipped = 0;
        self.is_bodiless = is_bodiless;
        self.lasts = lasts;
    }

    /// Moves the request, and no more.
    pub fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.up.poll(&self.io, cx)
    }

    /// Whether the whole body has come.
    pub fn is_over(&self) -> bool {
        matches!(self.down, Down::Over)
    }

    /// Whether another request may follow; what is large is let go of then.
    pub fn rest(&mut self) -> bool {
        let rests = self.lasts && self.is_over() && self.up.is_over() && self.input.is_empty();
        // What follows an answer that is longer than it says is no answer to the next request.
        if !rests || (self.was_full && self.io.has_unread()) {
            return false;
        }
        if std::mem::take(&mut self.is_large) {
            self.input = BytesMut::new();
        }
        self.up.rest();
        true
    }

    /// What came behind the head; the connection is no longer HTTP's.
    pub fn take_input(&mut self) -> Bytes {
        self.lasts = false;
        self.down = Down::Over;
        self.input.split().freeze()
    }

    /// Ready when a connection that nobody uses has ended, or something came that nobody asked for.
    pub fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_input(cx, LEAST).map(drop)
    }

    /// The next head, of an answer or of an interim one; its headers in the memory of `room`.
    pub fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut HeaderMap,
    ) -> Poll<Result<Begun, Broken>> {
        let sent = self.poll_up(cx);
        loop {
            if let Some(len) = self.find_head()? {
                return Poll::Ready(self.take_head(len, room));
            }
            if let Poll::Ready(Err(error)) = sent {
                return Poll::Ready(Err(error));
            }
            if ready!(self.poll_input(cx, LEAST))? == 0 {
                return Poll::Ready(Err(Broken::Ended));
            }
        }
    }

    fn find_head(&mut self) -> Result<Option<usize>, Broken> {
        if self.searched == 0 {
            let empty = head::empty(&self.input);
            self.input.advance(empty);
            self.skipped += empty;
            if self.skipped > self.max_head {
                return Err(Broken::HeadTooLarge);
            }
        }
        let found = head::end(&self.input, self.searched);
        if found.unwrap_or(self.input.len()) > self.max_head {
            return Err(Broken::HeadTooLarge);
        }
        if found.is_none() && !self.input.is_empty() {
            if self.searched < STATUS {
                // What is no HTTP at all may never have an end.
                head::check(&self.input)?;
            }
            self.searched = self.input.len();
        }
        Ok(found)
    }

    fn take_head(&mut self, len: usize, room: &mut HeaderMap) -> Result<Begun, Broken> {
        self.searched = 0;
        let bytes = self.input.split_to(len).freeze();
        let (head, framing) = head::parse(&bytes, room)?;
        if head.is_interim() {
            return Ok(Begun { head, length: None });
        }
        let length = if self.is_bodiless || head.is_bodiless() {
            Some(0)
        } else {
            framing.length()?
        };
        self.lasts &= framing.lasts;
        self.down = match length {
            Some(length) => Down::length(length),
            None if framing.is_chunked => Down::Chunked(Chunk::Size),
            None => {
                self.lasts = false;
                Down::Rest
            }
        };
        Ok(Begun { head, length })
    }

    /// What comes next of the answer's body.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            match self.down.decode(&mut self.input)? {
                Step::Data(n) => {
                    self.down.took(n);
                    let piece = self.input.split_to(n).freeze();
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                Step::Trailers(trailers) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Step::End => return Poll::Ready(None),
                Step::More => ready!(self.poll_more(cx))?,
            }
        }
    }

    /// Moves what comes next of the body into memory.
    pub fn poll_gather(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Gather,
    ) -> Poll<Result<Gathered, Broken>> {
        loop {
            match self.down.decode(&mut self.input)? {
                Step::Data(n) => {
                    into.put(&self.input[..n])
                        .map_err(|TooLarge| Broken::BodyTooLarge)?;
                    self.input.advance(n);
                    self.down.took(n);
                    return Poll::Ready(Ok(Gathered::Data(n)));
                }
                Step::Trailers(trailers) => {
                    return Poll::Ready(Ok(Gathered::End(Some(Box::new(trailers)))));
                }
                Step::End => return Poll::Ready(Ok(Gathered::End(None))),
                Step::More => {
                    if let Some(left) = self.down.left().filter(|left| *left >= BULK) {
                        return self.poll_bulk(cx, into, left);
                    }
                    ready!(self.poll_more(cx))?;
                }
            }
        }
    }

    /// Much is to come: it is read to where it belongs.
    fn poll_bulk(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Gather,
        left: usize,
    ) -> Poll<Result<Gathered, Broken>> {
        if let Poll::Ready(Err(error)) = self.poll_up(cx) {
            return Poll::Ready(Err(error));
        }
        let (room, most) = into
            .room(left.min(BODY_READ))
            .map_err(|TooLarge| Broken::BodyTooLarge)?;
        let n = ready!(self.io.poll_receive(cx, room, most)).map_err(Broken::Io)?;
        if n == 0 {
            return Poll::Ready(Err(Broken::Ended));
        }
        self.was_full = n == most;
        self.down.took(n);
        Poll::Ready(Ok(Gathered::Data(n)))
    }

    /// Waits for more of a body.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if let Poll::Ready(Err(error)) = self.poll_up(cx) {
            return Poll::Ready(Err(error));
        }
        let most = self
            .down
            .left()
            .map_or(READ_MAX, |left| left.min(BODY_READ));
        Poll::Ready(match ready!(self.poll_input(cx, most))? {
            0 => self.down.end(),
            _ => Ok(()),
        })
    }

    /// Reads; there is room for `least` bytes, or for [`LEAST`].
    fn poll_input(&mut self, cx: &mut Context<'_>, least: usize) -> Poll<Result<usize, Broken>> {
        let least = least.max(LEAST);
        if self.input.capacity() - self.input.len() < least {
            self.input.reserve(least.max(ROOM));
            self.is_large |= self.input.capacity() > 2 * ROOM;
        }
        // The input may have grown for a long head.
        let most = (self.input.capacity() - self.input.len()).min(BODY_READ);
        let received = self.io.poll_receive(cx, &mut self.input, most);
        let n = ready!(received).map_err(Broken::Io)?;
        self.was_full = n == most;
        Poll::Ready(Ok(n))
    }
}
