//! The answer of an exchange, in the making.

use super::exchange::GoneFn;
use super::routes::Route;
use super::userdata::Keeps;
use crate::error::{Error, Operation, Result, Status};
use crate::http::parent::Child;
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
    pub body: Bytes,
    /// Where small bodies are copied to, again and again.
    pub space: BytesMut,
    /// The first header that was refused: the answer must not go out without it.
    pub refused: Option<Box<Error>>,
    /// For a handler that runs elsewhere.
    pub route: Option<Arc<Route>>,
    pub on_gone: Option<GoneFn>,
    pub keeps: Keeps,
    /// The user has let go of it: nothing is called any more.
    pub released: bool,
    /// The connection's task, when it waits for the answer.
    pub waiting: Option<Waker>,
    /// Calls that are cancelled when the exchange ends.
    pub children: Vec<Weak<dyn Child>>,
}

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
    pub fn reset(&mut self, mut spare: HeaderMap) {
        spare.clear();
        *self = State {
            headers: spare,
            space: std::mem::take(&mut self.space),
            ..State::default()
        };
    }

    pub fn check_open(&self) -> Result<()> {
        match self.stage {
            Stage::Open | Stage::Completing => Ok(()),
            Stage::Answered | Stage::Sent => Err(Error::state("the exchange was answered already")),
            Stage::Gone => Err(Error::new(
                Status::Closed,
                Operation::Send,
                "the client has closed the connection before it was answered",
            )),
            Stage::Late => Err(Error::new(
                Status::Closed,
                Operation::Send,
                "the handler timeout has passed: the client was answered with a 503",
            )),
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
        self.body = Bytes::from_static(text);
    }
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
