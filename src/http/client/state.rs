//! What changes about a call, under its lock.

use super::call::DoneFn;
use super::cancel::Driver;
use super::extras::Extras;
use super::request::Template;
use super::streaming::Streams;
use super::switch::Switch;
use super::transfer::Answer;
use crate::error::{Error, Result};
use crate::http::body::Collected;
use crate::http::parent::{Keep, Parent};
use crate::http::reading::Arrived;
use crate::socket::peer::Record;
use crate::socket::stream::Patience;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

pub struct State {
    pub stage: Stage,
    pub request: Template,
    /// The last answer's body, of a call that is used again.
    pub body_room: Collected,
    pub timeout: Option<Duration>,
    pub patience: Patience,
    /// In a box, as it is rare and large: with it a call would be too long for malloc's cache.
    pub refused: Option<Box<Error>>,
    pub parent: Option<Arc<dyn Parent>>,
    /// From the start to the end of the last callback.
    pub keep: Option<Keep>,
    pub cancelled: Option<Error>,
    pub withdrawn: bool,
    /// A started call that waited for a connection: somebody has taken it from there.
    pub claimed: bool,
    pub driver: Driver,
    pub deadline: Option<Instant>,
    /// Of the connection that the request went to last.
    pub peer: Option<Arc<Record>>,
    /// Redirects that were followed.
    pub hops: u64,
    /// The last answer leads on, or must not.
    pub redirect: Option<Result<()>>,
    pub done: Option<DoneFn>,
    /// Of a call whose answer is read piece by piece.
    pub streams: Option<Box<Streams>>,
    /// Of a call that wants its connection.
    pub switch: Option<Box<Switch>>,
    /// Of one with more than a head and a body in memory.
    pub extras: Option<Box<Extras>>,
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub deadline: Option<Instant>,
    pub patience: Patience,
    /// It has more than a head and a body in memory.
    pub extras: bool,
}

pub enum Stage {
    New,
    Running,
    /// The head of the answer is there, its body is still to come.
    Streaming,
    Done(Result<()>),
}

impl State {
    pub fn new(request: Template, timeout: Option<Duration>, patience: Patience) -> State {
        State {
            stage: Stage::New,
            request,
            body_room: Collected::default(),
            timeout,
            patience,
            refused: None,
            parent: None,
            keep: None,
            cancelled: None,
            withdrawn: false,
            claimed: false,
            driver: Driver::None,
            deadline: None,
            peer: None,
            hops: 0,
            redirect: None,
            done: None,
            streams: None,
            switch: None,
            extras: None,
        }
    }

    /// The call has ended and was delivered: makes the state a new one's again, without the request.
    pub fn reset(&mut self, answer: Option<Answer>) {
        self.stage = Stage::New;
        let (headers, body) = answer
            .map(|answer| (answer.head.headers, answer.body))
            .unzip();
        self.request.reset(headers);
        self.body_room = body.unwrap_or_default().into_room();
        self.refused = None;
        self.cancelled = None;
        self.withdrawn = false;
        self.claimed = false;
        self.peer = None;
        self.hops = 0;
        self.redirect = None;
        self.streams = None;
        self.switch = None;
        self.extras = None;
    }

    /// Keeps the result. A cancel that came first is the result, whatever it made of the connection.
    pub fn settle(&mut self, result: Result<()>) -> (Result<()>, Option<Arc<dyn Parent>>) {
        self.driver = Driver::None;
        let result = match result {
            Ok(()) => Ok(()),
            Err(error) => Err(self.cancelled.take().unwrap_or(error)),
        };
        self.stage = Stage::Done(result.clone());
        (result, self.parent.take())
    }

    /// Keeps how a stream has ended.
    pub fn settle_stream(&mut self, result: Result<()>) {
        self.driver = Driver::None;
        self.stage = Stage::Done(result.clone());
        if let Some(streams) = &mut self.streams {
            streams.reading.arrive(Arrived::End(result));
        }
    }

    pub fn times(&self) -> Times {
        Times {
            deadline: self.deadline,
            patience: self.patience,
            extras: self.extras.is_some(),
        }
    }

    /// For the task that works on it: the cancel's error, or its waker is kept.
    pub fn work_by(&mut self, waker: &Waker) -> Result<()> {
        match &self.cancelled {
            Some(error) => Err(error.clone()),
            None => {
                self.driver = Driver::Reactor(Some(waker.clone()));
                Ok(())
            }
        }
    }
}
