//! One request and its answer on one connection, driven by whoever polls: an I/O thread's task or the
//! calling thread.

use super::call::Call;
use super::open::Source;
use super::outgoing::{Outgoing, Probe};
use super::switch::Wish;
use crate::error::{Error, Operation, Result as Outcome, Status};
use crate::http::body::{Collect, Collected, Uncollected};
use crate::limits::READ_MAX;
use crate::socket::peer::Record;
use crate::socket::stream::Useless;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, StatusCode, response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::rt::{Read, Write};
use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// hyper's client side of one connection. Both halves are polled together, nothing is spawned.
pub struct Http<IO: Read + Write + Unpin> {
    sender: SendRequest<Outgoing>,
    /// Dropped when it has ended: that is how hyper ends a request which it has not begun.
    connection: Option<Connection<IO, Outgoing>>,
    /// Who is at the other end.
    peer: Arc<Record>,
    /// Told of each head and each piece of a body that came.
    useless: Arc<Useless>,
    /// For bodies that are not in memory.
    pub probe: Probe,
}

/// What a call wants of a connection.
pub struct Order {
    pub request: Request<Outgoing>,
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
    Body(Incoming),
    /// The connection, which speaks another protocol, with what came of that already. The call has it.
    Switched(Bytes),
}

/// An answer, whole, or without its body when that is read piece by piece.
pub struct Answer {
    pub head: response::Parts,
    pub body: Collected,
    /// How long the body is, when that was announced.
    pub length: Option<u64>,
}

/// What comes of a body; nothing at its end.
pub type Next = Option<hyper::Result<Frame<Bytes>>>;

/// Why there is none.
pub enum Failure {
    Http(hyper::Error),
    BodyTooLarge,
    TwoLengths,
    Unasked,
    /// Of the program's side.
    Own(Error),
    /// A calling thread's time is over.
    Expired,
}

impl<IO: Read + Write + Unpin + Send + 'static> Http<IO> {
    /// hyper's handshake does no input or output in HTTP/1: it is done at its first poll.
    pub fn new(
        io: IO,
        probe: Probe,
        peer: Arc<Record>,
        useless: Arc<Useless>,
        max_head: usize,
    ) -> Outcome<Http<IO>> {
        // Requests are small as a rule: head and body in one buffer cost less than a list of two.
        let mut builder = http1::Builder::new();
        builder
            .writev(false)
            .max_header_size(max_head)
            .max_buf_size(max_head.max(READ_MAX));
        let mut handshake = pin!(builder.handshake(io));
        let mut cx = Context::from_waker(Waker::noop());
        match handshake.as_mut().poll(&mut cx) {
            Poll::Ready(Ok((sender, connection))) => Ok(Http {
                sender,
                connection: Some(connection),
                peer,
                useless,
                probe,
            }),
            Poll::Ready(Err(error)) => Err(Error::new(
                Status::System,
                Operation::Connect,
                format!("HTTP cannot begin: {error}"),
            )),
            Poll::Pending => unreachable!("an HTTP/1 handshake waits for nothing"),
        }
    }
}

impl<IO: Read + Write + Unpin> Http<IO> {
    /// Whether another request may follow on this connection. The end of an answer usually leaves hyper
    /// asking for the next request; otherwise it takes one more turn to know.
    pub fn is_reusable(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.sender.is_ready() {
            drive(&mut self.connection, cx);
        }
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Ends HTTP on a connection that is_reusable(); `false` when the peer has sent too much.
    pub fn leave(self) -> bool {
        let parts = self.connection.map(Connection::into_parts);
        parts.is_some_and(|parts| parts.read_buf.is_empty())
    }

    /// Ready when an idle connection has ended.
    pub fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        drive(&mut self.connection, cx);
        if self.connection.is_none() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
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
            request,
            room,
            streams,
            extras,
            wish,
        } = call.order(&self.peer, &self.probe);
        self.useless.reset();
        let mut response = pin!(self.sender.send_request(request));
        let connection = &mut self.connection;
        pause.await;
        // All that comes, comes by driving the connection right here, so nobody else needs to be woken.
        let mut arrived = Context::from_waker(Waker::noop());
        let response = poll_fn(|cx| {
            // With a 101 hyper's part is over: what it has read behind that is still with it.
            let ended = is_over(connection, cx);
            let mut polled = response.as_mut().poll(&mut arrived);
            if ended && !is_switch(&polled) {
                *connection = None;
                if polled.is_pending() {
                    polled = response.as_mut().poll(&mut arrived);
                }
            }
            if extras && let Some(error) = call.upload_failure() {
                return Poll::Ready(Err(Failure::Own(error)));
            }
            polled.map_err(Failure::Http)
        })
        .await?;
        self.useless.reset();
        let (head, incoming) = response.into_parts();
        let length = incoming.size_hint().exact();
        if length.is_none() {
            check_length(&head)?;
        }
        if wish.is_exceeded(head.status) {
            return Err(Failure::Unasked);
        }
        if wish.is_granted(&head, length) {
            let early = self.take_early(incoming);
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
            return Ok(Rest::Body(incoming));
        }
        if extras
            && head.status.is_success()
            && let Some(output) = call.output()
        {
            Box::pin(self.save(call, incoming, output)).await?;
            let body = Collected::default();
            call.keep(Answer { head, body, length });
            return Ok(Rest::Nothing);
        }
        let watcher = extras.then_some(call);
        let collected = self.collect(incoming, max_body, room, watcher);
        let (body, trailers) = collected.await?;
        if !leads_on && !call.follows(&head) {
            call.keep_trailers(trailers);
            call.keep(Answer { head, body, length });
        }
        Ok(Rest::Nothing)
    }

    /// Ends HTTP behind an answer's head: what has come of the rest.
    fn take_early(&mut self, mut rest: Incoming) -> Bytes {
        let mut early = BytesMut::new();
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut rest).poll_frame(&mut cx) {
            early.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
        if let Some(connection) = self.connection.take() {
            early.extend_from_slice(&connection.into_parts().read_buf);
        }
        early.freeze()
    }

    async fn collect(
        &mut self,
        incoming: Incoming,
        max_body: u64,
        room: Collected,
        watcher: Option<&Arc<Call>>,
    ) -> Result<(Collected, Option<Box<HeaderMap>>), Failure> {
        let connection = &mut self.connection;
        let mut arrived = Context::from_waker(Waker::noop());
        let mut collect = Collect::into(incoming, max_body, room)?;
        let mut told = 0;
        let body = poll_fn(|cx| {
            loop {
                if let Poll::Ready(body) = collect.poll(&mut arrived) {
                    return Poll::Ready(body.map_err(Failure::from));
                }
                if let Some(call) = watcher {
                    call.note_moved(0, collect.collected() - told);
                    told = collect.collected();
                    if let Some(error) = call.upload_failure() {
                        return Poll::Ready(Err(Failure::Own(error)));
                    }
                }
                // Taking a piece has made room for the next one.
                let before = collect.collected();
                drive(connection, cx);
                match collect.poll(&mut arrived) {
                    Poll::Ready(body) => return Poll::Ready(body.map_err(Failure::from)),
                    Poll::Pending if collect.collected() == before => return Poll::Pending,
                    Poll::Pending => self.useless.reset(),
                }
            }
        });
        let body = body.await?;
        if let Some(call) = watcher {
            let all = body.as_bytes().map_or(0, <[u8]>::len);
            call.note_moved(0, all - told);
        }
        Ok((body, collect.take_trailers()))
    }

    /// Moves bytes, for a body that nobody asks for just now.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.connection, cx);
    }

    /// What comes next of an answer's body.
    pub fn poll_body(&mut self, body: &mut Incoming, cx: &mut Context<'_>) -> Poll<Next> {
        let mut arrived = Context::from_waker(Waker::noop());
        let mut body = Pin::new(body);
        let mut next = body.as_mut().poll_frame(&mut arrived);
        if next.is_pending() {
            drive(&mut self.connection, cx);
            next = body.poll_frame(&mut arrived);
        }
        if next.is_ready() {
            self.useless.reset();
        }
        next
    }
}

/// Chunks and a length are two answers in one, and only one of both was meant (RFC 9112, section 6.3).
fn check_length(head: &response::Parts) -> Result<(), Failure> {
    let both = [TRANSFER_ENCODING, CONTENT_LENGTH];
    if both.iter().all(|name| head.headers.contains_key(name)) {
        return Err(Failure::TwoLengths);
    }
    Ok(())
}

/// Moves bytes. The end of the connection shows in what waits for it.
fn drive<IO: Read + Write + Unpin>(
    connection: &mut Option<Connection<IO, Outgoing>>,
    cx: &mut Context<'_>,
) {
    if is_over(connection, cx) {
        *connection = None;
    }
}

/// Moves bytes; whether hyper is done with the connection.
fn is_over<IO: Read + Write + Unpin>(
    connection: &mut Option<Connection<IO, Outgoing>>,
    cx: &mut Context<'_>,
) -> bool {
    connection
        .as_mut()
        .is_some_and(|http| http.poll_without_shutdown(cx).is_ready())
}

fn is_switch(response: &Poll<hyper::Result<Response<Incoming>>>) -> bool {
    let Poll::Ready(Ok(response)) = response else {
        return false;
    };
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

impl From<Uncollected> for Failure {
    fn from(error: Uncollected) -> Failure {
        match error {
            Uncollected::TooLarge => Failure::BodyTooLarge,
            Uncollected::Broken(error) => Failure::Http(error),
        }
    }
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
    fn io(&self) -> Option<io::ErrorKind> {
        let Failure::Http(error) = self else {
            return None;
        };
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                return Some(io.kind());
            }
            cause = error.source();
        }
        None
    }

    pub fn is_timeout(&self) -> bool {
        matches!(self, Failure::Expired) || self.io() == Some(io::ErrorKind::TimedOut)
    }

    /// The error that the user gets; `at` names the address.
    pub fn into_error(self, at: &Source, progress: Progress) -> Error {
        let ended = |status, what| Error::new(status, Operation::Receive, format!("{at}: {what}"));
        let error = match &self {
            Failure::Http(error) => error,
            Failure::BodyTooLarge => {
                let what = "the answer's body is longer than the limit of \
                            hysock_client_config_set_max_body";
                return ended(Status::TooLarge, what);
            }
            Failure::Own(error) => return error.clone(),
            Failure::Expired => return ended(Status::TimedOut, "the time is over"),
            Failure::TwoLengths => {
                let what = "the answer has both Transfer-Encoding and Content-Length";
                return ended(Status::Protocol, what);
            }
            Failure::Unasked => {
                let what = "the server switches to another protocol (101), which was not asked for: \
                            hysock_call_set_upgrade() asks";
                return ended(Status::Protocol, what);
            }
        };
        let (status, what) = if error.is_parse_too_large() {
            (
                Status::TooLarge,
                "the head of the answer has more than 100 headers, or is longer than the limit of \
                 hysock_client_config_set_max_head",
            )
        } else if error.is_parse() {
            (
                Status::Protocol,
                "the head of the answer is malformed, or no HTTP/1 at all",
            )
        } else {
            match self.io() {
                Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                    (Status::Protocol, "the answer's body is malformed")
                }
                Some(io::ErrorKind::QuotaExceeded) => (
                    Status::Protocol,
                    "the server sends on and on, and neither an answer nor a byte of its body",
                ),
                _ if progress.received => (
                    Status::Truncated,
                    "the connection was closed before the answer was complete",
                ),
                _ => (
                    Status::Closed,
                    "the connection was closed without an answer",
                ),
            }
        };
        let message = format!("{at}: {what} ({error})");
        let operation = if progress.sent {
            Operation::Receive
        } else {
            Operation::Send
        };
        Error::new(status, operation, message)
    }
}
