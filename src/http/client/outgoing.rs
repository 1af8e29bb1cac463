//! The bodies of requests that are no memory, or not sent at once.

use super::call::Call;
use super::filling::short;
use super::request::{write_framing, write_header};
use super::upload::Source;
use super::wire::Body;
use crate::error::{Error, Operation};
use crate::http::writing::Taken;
use crate::limits::BODY_PIECE;
use crate::socket::descriptor::Descriptor;
use crate::socket::stream::{Caller, ClientStream, Waits};
use bytes::Bytes;
use http::header::{EXPECT, TRAILER};
use http_body::Frame;
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// Pieces of a body that are sent in one turn, when the peer takes them as fast.
const TURN: u32 = 16;

/// What is asked of the connection that a body goes to.
#[derive(Clone)]
pub enum Probe {
    Caller(Arc<Caller>),
    Reactor(ClientStream),
}

impl Probe {
    /// Whether the peer takes no more.
    fn is_sink(&self) -> bool {
        match self {
            Probe::Caller(caller) => caller.is_sink(),
            Probe::Reactor(stream) => stream.is_sink(),
        }
    }
}

/// A body that comes piece by piece, or is held back.
pub struct Stream {
    call: Arc<Call>,
    probe: Probe,
    feed: Feed,
    length: Option<u64>,
    sent: u64,
    /// How long the body is held back, once its head was sent.
    hold: Option<Option<Duration>>,
    held_until: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    ended: bool,
    /// Pieces in a row.
    pieces: u32,
}

enum Feed {
    Whole(Bytes),
    /// What the call gets from the program.
    Call,
    Descriptor(Descriptor, Option<u64>),
}

impl Call {
    /// What a call with extras sends.
    ///
    /// `whole`: its body in memory. Adds to the head what the body asks for.
    pub(super) fn order_extras(
        self: &Arc<Self>,
        probe: &Probe,
        whole: Option<Bytes>,
        head: &mut Vec<u8>,
    ) -> Body {
        let mut state = self.state();
        let Some(extras) = &mut state.extras else {
            return Body::of(whole, head);
        };
        extras.stopped = false;
        extras.news.begin();
        let is_plain = extras.expect.is_none() && !extras.news.wants_progress();
        if extras.upload.is_none() && (is_plain || whole.is_none()) {
            return Body::of(whole, head);
        }
        let hold = extras.expect;
        let (feed, length) = match (&mut extras.upload, whole) {
            (Some(upload), _) => {
                for name in upload.early_trailers.keys() {
                    write_header(head, &TRAILER, name);
                }
                let length = upload.writing.length;
                let feed = match &upload.source {
                    Source::Descriptor(fd, at) => Feed::Descriptor(fd.again(), *at),
                    _ => Feed::Call,
                };
                (feed, length)
            }
            (None, whole) => {
                let bytes = whole.unwrap_or_default();
                let length = bytes.len() as u64;
                (Feed::Whole(bytes), Some(length))
            }
        };
        write_framing(head, length);
        if hold.is_some() && length != Some(0) {
            write_header(head, &EXPECT, "100-continue");
            extras.held = true;
        }
        extras.news.send_total = length;
        Body::Stream(Box::new(Stream {
            call: self.clone(),
            probe: probe.clone(),
            feed,
            length,
            sent: 0,
            hold: hold.filter(|_| extras.held),
            held_until: None,
            sleep: None,
            ended: length == Some(0),
            pieces: 0,
        }))
    }
}

impl Stream {
    /// `None` is chunked.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Nothing follows what was given.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if self.probe.is_sink() {
            self.call.stop_upload();
        }
        if self.hold.is_some() && !self.is_released(cx) {
            return Poll::Pending;
        }
        self.pieces += 1;
        if self.pieces > TURN {
            // Others have their turn, and a calling thread looks up.
            self.pieces = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let taken = match &mut self.feed {
            Feed::Whole(bytes) if self.call.is_stopped() => {
                bytes.clear();
                Taken::Nothing
            }
            Feed::Whole(bytes) => {
                let piece = bytes.split_to(bytes.len().min(BODY_PIECE));
                Taken::Piece(piece, bytes.is_empty())
            }
            Feed::Call => {
                let taken = self.call.take_upload(cx);
                let waits = matches!(taken, Taken::Nothing) && !self.call.is_stopped();
                self.call.set_rests(waits);
                taken
            }
            Feed::Descriptor(..) => self.take_read(cx),
        };
        match taken {
            Taken::Piece(piece, last) => {
                self.sent += piece.len() as u64;
                self.ended = last || self.length == Some(self.sent);
                self.call.note_moved(piece.len(), 0);
                Poll::Ready(Some(Frame::data(piece)))
            }
            Taken::Trailers(trailers) => {
                self.ended = true;
                Poll::Ready(Some(Frame::trailers(trailers)))
            }
            Taken::End => {
                self.ended = true;
                Poll::Ready(None)
            }
            // The call ends for what it was, and its connection with it.
            Taken::Broken | Taken::Nothing => Poll::Pending,
        }
    }

    /// Whether the body is held back no longer.
    fn is_released(&mut self, cx: &mut Context<'_>) -> bool {
        let now = Instant::now();
        let hold = self.hold.flatten();
        if self.held_until.is_none() {
            self.held_until = hold.and_then(|hold| now.checked_add(hold));
        }
        let until = self.held_until;
        if until.is_some_and(|until| until <= now) {
            self.call.release_body();
        }
        if !self.call.poll_held(cx) {
            self.hold = None;
            return true;
        }
        match &self.probe {
            Probe::Caller(_) => self.call.set_waits(Waits {
                until,
                ..Waits::default()
            }),
            Probe::Reactor(_) => {
                let Some(until) = until else {
                    return false;
                };
                let sleep = self
                    .sleep
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until.into())));
                if sleep.as_mut().poll(cx).is_ready() {
                    cx.waker().wake_by_ref();
                }
            }
        }
        false
    }

    fn take_read(&mut self, cx: &mut Context<'_>) -> Taken {
        if self.call.is_stopped() {
            return Taken::Nothing;
        }
        let Feed::Descriptor(fd, at) = &mut self.feed else {
            return Taken::Nothing;
        };
        let left = self.length.map(|length| length - self.sent);
        let max = left.map_or(BODY_PIECE, |left| left.min(BODY_PIECE as u64) as usize);
        loop {
            match fd.read(*at, max) {
                Ok(piece) if piece.is_empty() => {
                    return match self.length {
                        Some(length) => self.call.fail_upload(short(self.sent, length)),
                        None => self.call.take_trailers(),
                    };
                }
                Ok(piece) => {
                    *at = at.map(|at| at + piece.len() as u64);
                    self.call.note_read(at.is_none());
                    return Taken::Piece(piece, false);
                }
                Err(Errno::AGAIN) => {}
                Err(error) => return self.call.fail_upload(unreadable(error)),
            }
            self.call.set_rests(true);
            match &self.probe {
                Probe::Caller(_) => {
                    self.call.set_waits(Waits {
                        fd: Some((fd.fd().clone(), PollFlags::IN)),
                        ..Waits::default()
                    });
                    return Taken::Nothing;
                }
                Probe::Reactor(_) => match fd.poll_ready(cx, PollFlags::IN) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => {
                        let error = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                        return self.call.fail_upload(unreadable(error));
                    }
                    Poll::Pending => return Taken::Nothing,
                },
            }
        }
    }
}

fn unreadable(error: Errno) -> Error {
    let what = "the descriptor of hysock_call_set_body_fd() cannot be read";
    Error::system(Operation::Send, what, &error.into())
}
