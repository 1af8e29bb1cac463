//! The answer of an exchange, in the making.

use super::exchange::GoneFn;
use super::file::Part;
use super::in_flight::InFlight;
use super::reading::ReadFn;
use super::routes::Route;
use super::upgrade::{Session, UpgradeFn};
use super::userdata::Keeps;
use super::writing::WritableFn;
use crate::error::{Error, Operation, Result, Status};
use crate::http::parent::Child;
use crate::http::reading::Reading;
use crate::http::writing::Writing;
use crate::runtime::delivery::Event;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use std::sync::{Arc, Weak};
use std::task::Waker;

/// What an exchange has become: the answer in the making, and who is to hear of what.
#[derive(Default)]
pub struct State {
    pub stage: Stage,
    /// The answer: its headers are set one by one, the rest comes with `answer`.
    pub headers: HeaderMap,
    pub status: StatusCode,
    pub payload: Payload,
    /// Where small bodies are copied to, again and again.
    pub space: BytesMut,
    /// The first header that was refused: the answer must not go out without it.
    pub refused: Option<Box<Error>>,
    /// For a handler that runs elsewhere.
    pub route: Option<Arc<Route>>,
    pub on_gone: Option<GoneFn>,
    pub keeps: Keeps,
    /// Waits for a piece of the request's body; the event for it is on its way.
    pub on_piece: Option<ReadFn>,
    pub tells_reader: bool,
    /// A body that was collected was read.
    pub was_read: bool,
    /// Of a request whose handler reads the body itself.
    pub reading: Option<Box<Reading>>,
    /// Of an answer whose body is written piece by piece.
    pub writing: Option<Box<Writing<WritableFn>>>,
    /// Of another protocol, once the answer switches to it.
    pub session: Option<Box<Session>>,
    /// Threads that wait for a change.
    pub blocked: u32,
    /// The user has let go of it: nothing is called any more.
    pub released: bool,
    /// It was cut, and its user still has it.
    pub in_flight: Option<InFlight>,
    /// The connection's task, when it waits for the answer.
    pub waiting: Option<Waker>,
    /// Calls that are cancelled when the exchange ends.
    pub children: Vec<Weak<dyn Child>>,
}

/// The body of an answer.
pub enum Payload {
    Whole(Bytes),
    /// Written piece by piece; its length when it is known.
    Stream(Option<u64>),
    File(Box<Part>),
    /// None: another protocol follows.
    Upgrade,
}

/// An answer on its way to the socket. It is large, so it is filled where it is, not moved about.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub payload: Payload,
}

impl Answer {
    /// For nobody.
    pub fn nothing() -> Answer {
        Answer {
            status: StatusCode::NO_CONTENT,
            headers: HeaderMap::new(),
            payload: Payload::default(),
        }
    }
}

impl Default for Payload {
    fn default() -> Payload {
        Payload::Whole(Bytes::new())
    }
}

/// Everything that would have been called.
pub type Hooks = (
    Option<GoneFn>,
    Option<ReadFn>,
    Option<WritableFn>,
    Option<UpgradeFn>,
);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    #[default]
    Open,
    /// The function that completes answers runs.
    Completing,
    Answered,
    /// The answer has left for the socket.
    Sent,
    Gone,
    /// The handler took too long: the client gets a 503.
    Late,
    ShutDown,
}

impl State {
    /// For the thread's next request, whose answer gets this map.
    ///
    /// Field by field, since nearly all are as they were: a look at them costs less than a new state.
    pub fn reset(&mut self, spare: &mut HeaderMap) {
        let State {
            stage,
            headers,
            status,
            payload,
            space: _,
            refused,
            route,
            on_gone,
            keeps,
            on_piece,
            tells_reader,
            was_read,
            reading,
            writing,
            session,
            blocked,
            released,
            in_flight,
            waiting,
            children,
        } = self;
        std::mem::swap(headers, spare);
        headers.clear();
        *stage = Stage::Open;
        *status = StatusCode::OK;
        *payload = Payload::default();
        *refused = None;
        *route = None;
        *on_gone = None;
        *keeps = Keeps::default();
        *on_piece = None;
        *tells_reader = false;
        *was_read = false;
        *reading = None;
        *writing = None;
        *session = None;
        *blocked = 0;
        *released = false;
        *in_flight = None;
        *waiting = None;
        children.clear();
    }

    /// Gives the answer away, for one that is empty.
    #[inline]
    pub fn give_answer(&mut self, to: &mut Answer) {
        to.status = self.status;
        std::mem::swap(&mut to.headers, &mut self.headers);
        std::mem::swap(&mut to.payload, &mut self.payload);
    }

    pub fn check_open(&self) -> Result<()> {
        match self.stage {
            Stage::Open | Stage::Completing => Ok(()),
            Stage::Answered | Stage::Sent => Err(Error::state("the exchange was answered already")),
            Stage::Gone => Err(gone()),
            Stage::Late => Err(late()),
            Stage::ShutDown => Err(shut_down()),
        }
    }

    /// As [`State::check_open`], for the answer itself.
    pub fn check_unanswered(&self) -> Result<()> {
        if self.stage == Stage::Completing {
            return Err(Error::state("the exchange is being answered"));
        }
        self.check_open()
    }

    /// It ended before its answer did.
    pub fn is_cut(&self) -> bool {
        matches!(self.stage, Stage::Gone | Stage::Late | Stage::ShutDown)
    }

    /// The answer has begun and its end is to come, or that of the session that it began.
    pub fn is_unfinished(&self) -> bool {
        let is_written = || self.writing.as_ref().is_some_and(|w| w.is_owed());
        let is_session = || self.session.as_ref().is_some_and(|s| s.is_open());
        matches!(self.stage, Stage::Answered | Stage::Sent) && (is_written() || is_session())
    }

    /// Answered, and nothing else is under way: a release has nothing to do.
    pub fn is_quiet(&self) -> bool {
        !self.has_hooks()
            && self.keeps.is_empty()
            && self.reading.is_none()
            && self.writing.is_none()
            && self.session.is_none()
    }

    pub fn must_tell_session(&mut self) -> bool {
        self.session.as_mut().is_some_and(|s| s.must_tell())
    }

    pub fn has_hooks(&self) -> bool {
        self.on_gone.is_some()
            || self.on_piece.is_some()
            || self.writing.as_ref().is_some_and(|w| w.has_hook())
            || self.session.as_ref().is_some_and(|s| s.has_hook())
    }

    /// Who is to hear of what has happened; `ended`: the answer will never be whole.
    pub fn due_events(&mut self, ended: bool) -> Vec<Event> {
        let due = [
            (ended && self.on_gone.is_some(), Event::Gone),
            (self.must_tell_reader(), Event::Read),
            (ended && self.must_tell_writer(), Event::Writable),
            (ended && self.must_tell_session(), Event::Upgraded),
        ];
        let due = due.into_iter().filter(|(is_due, _)| *is_due);
        due.map(|(_, event)| event).collect()
    }

    /// What nobody will send any more, to be dropped without a lock.
    pub fn take_unsent(&mut self, why: Stage) -> impl Sized + use<> {
        let unsent = why != Stage::Late;
        let payload = unsent.then(|| std::mem::take(&mut self.payload));
        // One that the connection has not begun to send ends here as well.
        let unsent = matches!(payload, Some(Payload::Stream(..)));
        let ends = self.is_cut() || unsent;
        let written = self.writing.as_mut().filter(|_| ends);
        (payload, written.map(|writing| writing.let_go()))
    }

    pub fn take_hooks(&mut self) -> Hooks {
        let on_writable = self.writing.as_mut().and_then(|w| w.take_hook());
        let on_upgrade = self.session.as_mut().and_then(|s| s.take_hook());
        let on_gone = self.on_gone.take();
        (on_gone, self.on_piece.take(), on_writable, on_upgrade)
    }

    /// The user's bytes as ours.
    pub fn copy_body(&mut self, body: &[u8]) -> Bytes {
        const SMALL: usize = 1024;
        if body.len() > SMALL {
            return Bytes::copy_from_slice(body);
        }
        // Used again as soon as the answers before have been written: no allocation for each.
        if self.space.capacity() < body.len() {
            self.space.reserve(4 * SMALL);
        }
        self.space.extend_from_slice(body);
        self.space.split().freeze()
    }

    pub fn set_internal_error(&mut self) -> StatusCode {
        let text = b"500 internal server error\n";
        self.set_own(StatusCode::INTERNAL_SERVER_ERROR, text);
        // What was refused was for another answer.
        self.refused = None;
        self.status
    }

    pub fn set_late(&mut self) {
        let text = b"503 the request took too long\n";
        self.set_own(StatusCode::SERVICE_UNAVAILABLE, text);
    }

    /// An answer of the library's own.
    fn set_own(&mut self, status: StatusCode, text: &'static [u8]) {
        self.status = status;
        self.headers.clear();
        let plain = http::HeaderValue::from_static("text/plain");
        self.headers.insert(CONTENT_TYPE, plain);
        self.payload = Payload::Whole(Bytes::from_static(text));
    }
}

/// Tells the calls that hang on an exchange that it has ended.
pub fn end_children(children: &[Weak<dyn Child>]) {
    let children = children.iter().filter_map(Weak::upgrade);
    children.for_each(|child| child.parent_ended());
}

pub fn gone() -> Error {
    Error::new(
        Status::Closed,
        Operation::Send,
        "the client has closed the connection before it was answered",
    )
}

pub fn late() -> Error {
    Error::new(
        Status::Closed,
        Operation::Send,
        "the handler timeout has passed: the client was answered with a 503",
    )
}

pub fn shut_down() -> Error {
    Error::new(
        Status::ShutDown,
        Operation::Send,
        "the server has ended before the exchange was answered",
    )
}

/// The status of an answer, when it is one.
pub fn answer_status(http_status: i32, no_body: bool) -> Result<StatusCode> {
    if !(200..=599).contains(&http_status) {
        return Err(Error::argument(format!(
            "{http_status} is not a status of an answer (200 to 599)"
        )));
    }
    if matches!(http_status, 204 | 304) && !no_body {
        return Err(Error::argument(format!(
            "an answer with status {http_status} has no body"
        )));
    }
    Ok(StatusCode::from_u16(http_status as u16).expect("in range"))
}
