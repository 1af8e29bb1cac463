//! A request on its way (RFC 9112, sections 3, 6 and 7).

use super::{Body, Broken};
use crate::http::client::outgoing::Stream;
use crate::socket::stream::Transport;
use bytes::{Buf, Bytes};
use std::io::{IoSlice, Write};
use std::task::{Context, Poll, ready};

/// What is sent in one turn, when the peer takes it as fast: so often.
const TURN: usize = 16;
const LINE: &[u8] = b"\r\n";
const LAST: &[u8] = b"0\r\n\r\n";
const LINE_AND_LAST: &[u8] = b"\r\n0\r\n\r\n";

/// What is to be sent, in this order.
#[derive(Default)]
pub struct Up {
    /// A head, or the size of a chunk; sent up to `at`.
    head: Vec<u8>,
    at: usize,
    piece: Bytes,
    tail: &'static [u8],
    /// What gives the next piece.
    body: Option<Box<Stream>>,
    is_chunked: bool,
}

impl Up {
    /// Forgets the last request; where the head of the next one goes.
    pub fn start(&mut self) -> &mut Vec<u8> {
        self.head.clear();
        self.at = 0;
        self.piece = Bytes::new();
        self.tail = b"";
        self.body = None;
        &mut self.head
    }

    /// What comes behind the head.
    pub fn put(&mut self, body: Body) {
        match body {
            Body::Nothing => {}
            Body::Whole(bytes) => self.piece = bytes,
            Body::Stream(body) => {
                self.is_chunked = body.length().is_none();
                self.body = Some(body);
            }
        }
    }

    /// Lets go of a large head's memory.
    pub fn rest(&mut self) {
        if self.head.capacity() > super::ROOM {
            self.head = Vec::new();
        }
    }

    /// Whether all of it was sent.
    pub fn is_over(&self) -> bool {
        self.body.is_none() && self.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.at == self.head.len() && self.piece.is_empty() && self.tail.is_empty()
    }

    /// Sends as much as can be.
    pub fn poll<IO: Transport>(
        &mut self,
        io: &IO,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        for _ in 0..TURN {
            let mut next = Poll::Ready(());
            if self.body.is_some() && self.piece.is_empty() && self.tail.is_empty() {
                next = self.take_next(cx);
            }
            if self.is_empty() {
                if self.body.is_none() {
                    return Poll::Ready(Ok(()));
                }
                ready!(next);
                continue;
            }
            let head = &self.head[self.at..];
            let sent = if self.piece.is_empty() && self.tail.is_empty() {
                io.poll_send(cx, &[IoSlice::new(head)])
            } else {
                let all = [head, &self.piece, self.tail].map(IoSlice::new);
                io.poll_send(cx, &all)
            };
            match ready!(sent) {
                Ok(n) => self.sent(n),
                Err(error) => return Poll::Ready(Err(Broken::Io(error))),
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn sent(&mut self, mut n: usize) {
        let mut part = |len: usize| {
            let part = n.min(len);
            n -= part;
            part
        };
        self.at += part(self.head.len() - self.at);
        match part(self.piece.len()) {
            0 => {}
            // Not only advanced: the body would stay in memory as long as the connection rests.
            all if all == self.piece.len() => self.piece = Bytes::new(),
            some => self.piece.advance(some),
        }
        self.tail = &self.tail[part(self.tail.len())..];
        if self.at == self.head.len() {
            self.head.clear();
            self.at = 0;
        }
    }

    /// Asks the body for its next piece, if it has one now.
    fn take_next(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(());
        };
        let frame = match body.has_ended() {
            true => None,
            false => ready!(body.poll_next(cx)),
        };
        let ended = body.has_ended();
        match frame.map(http_body::Frame::into_data) {
            Some(Ok(piece)) if self.is_chunked && !piece.is_empty() => {
                write!(self.head, "{:x}\r\n", piece.len()).expect("memory takes it");
                self.piece = piece;
                self.tail = if ended { LINE_AND_LAST } else { LINE };
            }
            Some(Ok(piece)) => {
                self.piece = piece;
                self.tail = if self.is_chunked && ended { LAST } else { b"" };
            }
            Some(Err(trailers)) => {
                self.head.extend_from_slice(b"0\r\n");
                for (name, value) in &trailers.into_trailers().unwrap_or_default() {
                    crate::http::client::request::write_header(&mut self.head, name, value);
                }
                self.head.extend_from_slice(LINE);
                self.body = None;
            }
            None => self.tail = if self.is_chunked { LAST } else { b"" },
        }
        if ended {
            self.body = None;
        }
        Poll::Ready(())
    }
}
