//! The connection's part in streaming: it moves a request's body to its handler as far as that asks, and
//! knows when the exchange is over both ways.

use super::clock::Phase;
use super::exchange::Exchange;
use super::link::Link;
use super::sending::Aside;
use crate::error::{Error, Operation, Status};
use crate::http::reading::{Arrived, Wanted};
use crate::runtime::Level;
use hyper::body::{Body, Incoming};
use rustix::io::Errno;
use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What a link knows of a request or an answer that is streamed.
#[derive(Default)]
pub struct Streams {
    /// The request's body, until its end or until nobody reads it any more.
    inbound: RefCell<Option<Incoming>>,
    /// The body was read to its end: another request may follow.
    complete: Cell<bool>,
    /// The answer will never be whole.
    broken: Cell<bool>,
    /// After the answer another protocol is spoken.
    pub switching: Cell<bool>,
}

/// What the connection does next.
pub enum Next {
    Wait,
    /// The head of the answer has left: send its file.
    Aside(Aside),
    /// Let hyper look again.
    Again,
    /// Both ways are done.
    Over,
    /// Go on with the next request, and forget the answer: nobody reads it.
    Forget,
    /// End the connection.
    End,
}

impl Streams {
    pub fn is_reading(&self) -> bool {
        self.inbound.borrow().is_some()
    }

    /// A request begins.
    pub fn begin(&self) {
        self.broken.set(false);
        self.switching.set(false);
    }

    fn end(&self, complete: bool) {
        self.inbound.take();
        self.complete.set(complete);
    }
}

impl Link {
    /// The handler of the next exchange reads the body itself.
    pub fn begin_stream(&self, body: Incoming) {
        self.streams.inbound.replace(Some(body));
    }

    /// Another request begins. hyper has all of the body of the one before: what its handler has not read
    /// yet is handed over to it.
    pub fn begin_request(&self) {
        self.end_stream();
        if self.exchange.borrow().is_some() {
            self.end_exchange();
        }
    }

    /// No more of the request's body comes than hyper has.
    pub fn end_stream(&self) {
        let mut cx = Context::from_waker(Waker::noop());
        self.clock.set_wants_piece(false);
        while self.streams.is_reading() {
            let arrived = match self.poll_inbound(&mut cx) {
                Poll::Ready(arrived) => arrived,
                Poll::Pending => Arrived::End(Err(truncated())),
            };
            self.arrive(arrived);
        }
    }

    /// Whether some of the request's body is still to come, as far as one can know.
    pub fn is_unread(&self) -> bool {
        let inbound = self.streams.inbound.borrow();
        inbound.as_ref().is_some_and(|body| !body.is_end_stream())
    }

    /// Whether the exchange goes on after its answer's head.
    pub fn is_streaming(&self) -> bool {
        self.clock.phase() == Phase::Streaming || self.streams.switching.get()
    }

    /// The exchange whose answer is written piece by piece.
    pub fn streamed(&self) -> Arc<Exchange> {
        let exchange = self.exchange.borrow();
        exchange.clone().expect("its answer is just being taken")
    }

    /// The phase of a new exchange, or of one whose answer begins.
    pub fn stream_phase(&self, streaming: Phase, otherwise: Phase) -> Phase {
        if self.streams.is_reading() {
            streaming
        } else {
            otherwise
        }
    }

    /// A file cannot be sent to its end.
    pub fn log_short_file(&self, error: Errno) {
        self.shard.server().runtime().log().write(Level::Warn, || {
            let error = std::io::Error::from(error);
            format!("a file became shorter while it was sent, or cannot be read: {error}: the answer was cut short")
        });
    }

    /// The client gets no whole answer, either since its handler gave up, or since it has left.
    pub fn break_answer(&self) {
        self.streams.broken.set(true);
    }

    /// hyper was polled: what is to be done with an exchange that is streamed.
    pub fn poll_streams(&self, cx: &mut Context<'_>) -> Next {
        if let Some(aside) = self.take_aside() {
            return Next::Aside(aside);
        }
        self.pump(cx);
        let streams = &self.streams;
        if self.stream.is_sink() || self.stream.poll_gone(cx).is_ready() {
            // What the client had sent before is still read.
            self.stream.set_sink();
            if self.cut_exchange(false) {
                return Next::Again;
            }
        }
        if streams.broken.get() {
            return self.after_break();
        }
        if streams.is_reading() || self.answering.get() || self.clock.phase() == Phase::Reading {
            return Next::Wait;
        }
        Next::Over
    }

    fn after_break(&self) -> Next {
        let is_sink = self.stream.is_sink();
        match (is_sink, self.streams.is_reading()) {
            // What was written before goes out first.
            (false, _) if self.stream.is_blocked() => Next::Wait,
            (false, _) => Next::End,
            (true, true) => Next::Wait,
            (true, false) if self.streams.complete.get() => Next::Forget,
            (true, false) => Next::End,
        }
    }

    /// Moves the body on as far as the handler asks.
    fn pump(&self, cx: &mut Context<'_>) {
        while self.streams.is_reading() {
            self.clock.set_wants_piece(false);
            match self.wanted() {
                Wanted::Nothing => return,
                Wanted::Freed if !self.stream.is_sink() => {
                    // hyper ends the connection, unless the rest is here already.
                    self.early.set(true);
                    return self.streams.end(false);
                }
                // What follows an unread body is served, also when its client has left.
                Wanted::Piece | Wanted::Freed => {}
            }
            match self.poll_inbound(cx) {
                Poll::Ready(arrived) => self.arrive(arrived),
                Poll::Pending => return self.clock.set_wants_piece(true),
            }
        }
    }

    fn wanted(&self) -> Wanted {
        let exchange = self.exchange.borrow();
        exchange.as_ref().map_or(Wanted::Freed, |e| e.wanted())
    }

    fn poll_inbound(&self, cx: &mut Context<'_>) -> Poll<Arrived> {
        let mut inbound = self.streams.inbound.borrow_mut();
        let Some(body) = &mut *inbound else {
            return Poll::Ready(Arrived::End(Ok(())));
        };
        Pin::new(body)
            .poll_frame(cx)
            .map(|frame| Arrived::of(frame, |error| failure(&error)))
    }

    fn arrive(&self, arrived: Arrived) {
        if self.clock.phase() == Phase::Reading {
            // What the handler does with it takes its own time.
            self.set_phase(Phase::Reading);
        }
        let streams = &self.streams;
        match &arrived {
            Arrived::End(end) => streams.end(end.is_ok()),
            Arrived::Trailers(_) => streams.end(true),
            Arrived::Piece(_) => {}
        }
        // A body of announced length ends with its last byte.
        let is_last = streams.is_reading() && !self.is_unread();
        let exchange = self.exchange.borrow().clone();
        let Some(exchange) = exchange else { return };
        exchange.arrive(arrived);
        if is_last {
            streams.end(true);
            exchange.arrive(Arrived::End(Ok(())));
        }
    }
}

fn truncated() -> Error {
    Error::new(
        Status::Truncated,
        Operation::Receive,
        "the connection ended before the request's body did",
    )
}

/// Why a body ended before its end.
fn failure(error: &hyper::Error) -> Error {
    let mut cause = error.source();
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if let Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) = kind {
            let what = format!("the request's body is malformed: {error}");
            return Error::new(Status::Protocol, Operation::Receive, what);
        }
        cause = error.source();
    }
    truncated()
}
