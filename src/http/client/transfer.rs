//! One request and its answer on one connection, driven by whoever polls: an I/O thread's task or the
//! calling thread.

use super::call::Call;
use super::open::Source;
use super::outgoing::Probe;
use super::switch::Wish;
use super::wire::{Begun, Body, Broken, Gathered, Head, Next, Wire};
use crate::error::{Error, Operation, Status};
use crate::http::body::{Collected, Gather};
use crate::socket::peer::Record;
use crate::socket::stream::{Transport, Useless};
use bytes::Bytes;
use http::HeaderMap;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The client's side of one connection.
pub struct Http<IO> {
    wire: Wire<IO>,
    /// Who is at the other end.
    peer: Arc<Record>,
    /// Told of each head and each piece of a body that came.
    useless: Arc<Useless>,
    /// For bodies that are not in memory.
    pub probe: Probe,
}

/// What a call wants of a connection.
pub struct Order {
    pub body: Body,
    /// The answer has no body, whatever its head says.
    pub is_head: bool,
    /// The connection may be used again.
    pub lasts: bool,
    /// For the answer's headers.
    pub headers: HeaderMap,
    /// For the answer's body.
    pub room: Collected,
    /// The body is read piece by piece.
    pub streams: bool,
    /// There is more than a head and a body in memory.
    pub extras: bool,
    /// Whether the connection may be given away.
    pub wish: Wish,
}

/// What is left of an answer once the call has what it keeps.
pub enum Rest {
    Nothing,
    /// Its body, which is read piece by piece.
    Body,
    /// The connection, which speaks another protocol, with what came of that already. The call has it.
    Switched(Bytes),
}

/// An answer, whole, or without its body when that is read piece by piece.
pub struct Answer {
    pub head: Head,
    pub body: Collected,
    /// How long the body is, when that was announced.
    pub length: Option<u64>,
}

/// Why there is none.
pub enum Failure {
    Http(Broken),
    Unasked,
    /// Of the program's side.
    Own(Error),
    /// A calling thread's time is over.
    Expired,
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Failure {
        Failure::Http(broken)
    }
}

impl<IO: Transport> Http<IO> {
    pub fn new(
        io: IO,
        probe: Probe,
        peer: Arc<Record>,
        useless: Arc<Useless>,
        max_head: usize,
    ) -> Http<IO> {
        Http {
            wire: Wire::new(io, max_head),
            peer,
            useless,
            probe,
        }
    }

    /// Whether another request may follow on this connection, which rests until then.
    pub fn rest(&mut self) -> bool {
        self.wire.rest()
    }

    /// Ready when an idle connection has ended.
    pub fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wire.poll_idle(cx)
    }

    /// Sends the call's request, its first byte after `pause`; the call keeps the answer.
    pub async fn transfer(
        &mut self,
        call: &Arc<Call>,
        pause: impl Future<Output = ()>,
        max_body: u64,
    ) -> Result<Rest, Failure> {
        // Taken apart, so that what is large is not kept beside what it becomes.
        let Order {
            body,
            is_head,
            lasts,
            mut headers,
            room,
            streams,
            extras,
            wish,
        } = call.order(&self.peer, &self.probe, self.wire.request());
        self.wire.begin(body, is_head, lasts);
        self.useless.reset();
        pause.await;
        let begun = poll_fn(|cx| self.poll_head(call, extras, &mut headers, cx)).await?;
        self.useless.reset();
        let Begun { head, length } = begun;
        if wish.is_exceeded(head.status) {
            return Err(Failure::Unasked);
        }
        if wish.is_granted(&head, length) {
            let early = self.wire.take_input();
            let body = Collected::default();
            call.keep(Answer { head, body, length });
            return Ok(Rest::Switched(early));
        }
        if extras {
            call.answer_began(head.status.is_success(), length);
        }
        let leads_on = streams && call.follows(&head);
        if streams && !leads_on {
            let body = Collected::default();
            call.keep(Answer { head, body, length });
            return Ok(Rest::Body);
        }
        if extras
            && head.status.is_success()
            && let Some(output) = call.output()
        {
            Box::pin(self.save(call, output)).await?;
            let body = Collected::default();
            call.keep(Answer { head, body, length });
            return Ok(Rest::Nothing);
        }
        let gather = Gather::new(length.unwrap_or(0), max_body, room);
        let mut gather = gather.map_err(|_| Broken::BodyTooLarge)?;
        let trailers = poll_fn(|cx| self.poll_collect(call, extras, &mut gather, cx)).await?;
        if !leads_on && !call.follows(&head) {
            call.keep_trailers(trailers);
            let body = gather.finish();
            call.keep(Answer { head, body, length });
        }
        Ok(Rest::Nothing)
    }

    /// The answer's head; what comes before it is told to the call.
    fn poll_head(
        &mut self,
        call: &Arc<Call>,
        extras: bool,
        headers: &mut HeaderMap,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Begun, Failure>> {
        loop {
            match self.wire.poll_head(cx, headers) {
                Poll::Ready(Ok(begun)) if begun.head.is_interim() => {
                    if extras {
                        call.informed(begun.head.status);
                    }
                }
                Poll::Pending if extras => return failed(call),
                head => return head.map_err(Failure::Http),
            }
        }
    }

    /// The whole body, into memory; what came behind it.
    fn poll_collect(
        &mut self,
        call: &Arc<Call>,
        extras: bool,
        gather: &mut Gather,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Box<HeaderMap>>, Failure>> {
        loop {
            match self.wire.poll_gather(cx, gather) {
                Poll::Ready(Ok(Gathered::Data(n))) => {
                    self.useless.reset();
                    if extras {
                        call.note_moved(0, n);
                    }
                }
                Poll::Ready(Ok(Gathered::End(trailers))) => return Poll::Ready(Ok(trailers)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Failure::Http(error))),
                Poll::Pending if extras => return failed(call),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Moves the request's body on, while nobody asks for the answer's.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        // What goes wrong shows in the answer.
        let _ = self.wire.poll_up(cx);
    }

    /// What comes next of an answer's body.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let next = self.wire.poll_body(cx);
        if next.is_ready() {
            self.useless.reset();
        }
        next
    }

    /// Whether the whole body was taken.
    pub fn is_over(&self) -> bool {
        self.wire.is_over()
    }
}

/// Nothing moves: unless that is since the request's body has failed.
fn failed<T>(call: &Call) -> Poll<Result<T, Failure>> {
    let failure = call.upload_failure();
    failure.map_or(Poll::Pending, |error| Poll::Ready(Err(Failure::Own(error))))
}

/// How far a request had come when it failed.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub sent: bool,
    pub received: bool,
}

impl Progress {
    /// The head of the answer has come.
    pub const ANSWERED: Progress = Progress {
        sent: true,
        received: true,
    };
}

impl Failure {
    pub fn is_timeout(&self) -> bool {
        match self {
            Failure::Expired => true,
            Failure::Http(Broken::Io(error)) => error.kind() == io::ErrorKind::TimedOut,
            _ => false,
        }
    }

    /// The error that the user gets; `at` names the address.
    pub fn into_error(self, at: &Source, progress: Progress) -> Error {
        let ended = |status, what| Error::new(status, Operation::Receive, format!("{at}: {what}"));
        let error = match &self {
            Failure::Http(error) => error,
            Failure::Own(error) => return error.clone(),
            Failure::Expired => return ended(Status::TimedOut, "the time is over"),
            Failure::Unasked => {
                let what = "the server switches to another protocol (101), which was not asked for: \
                            hysock_call_set_upgrade() asks";
                return ended(Status::Protocol, what);
            }
        };
        let (status, what) = explain(error, progress);
        let message = format!("{at}: {what} ({error})");
        let operation = if progress.sent {
            Operation::Receive
        } else {
            Operation::Send
        };
        Error::new(status, operation, message)
    }
}

fn explain(error: &Broken, progress: Progress) -> (Status, &'static str) {
    match error {
        Broken::BodyTooLarge => (
            Status::TooLarge,
            "the answer's body is longer than the limit of hysock_client_config_set_max_body",
        ),
        Broken::HeadTooLarge => (
            Status::TooLarge,
            "the head of the answer has more than 100 headers, or is longer than the limit of \
             hysock_client_config_set_max_head",
        ),
        Broken::Head(_) => (
            Status::Protocol,
            "the head of the answer is malformed, or no HTTP/1 at all",
        ),
        Broken::Body(_) => (Status::Protocol, "the answer's body is malformed"),
        Broken::Io(error) if error.kind() == io::ErrorKind::QuotaExceeded => (
            Status::Protocol,
            "the server sends on and on, and neither an answer nor a byte of its body",
        ),
        Broken::Ended | Broken::Io(_) if progress.received => (
            Status::Truncated,
            "the connection was closed before the answer was complete",
        ),
        Broken::Ended | Broken::Io(_) => (
            Status::Closed,
            "the connection was closed without an answer",
        ),
    }
}
