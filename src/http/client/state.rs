//! What changes about a call, under its lock.

use super::call::DoneFn;
use super::cancel::Driver;
use super::request::Template;
use super::transfer::Answer;
use crate::error::{Error, Result};
use crate::http::body::Collected;
use crate::http::parent::{Keep, Parent};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

pub struct State {
    pub stage: Stage,
    pub request: Template,
    /// The last answer's body, of a call that is used again.
    pub body_room: Collected,
    pub timeout: Option<Duration>,
    pub refused: Option<Error>,
    pub parent: Option<Arc<dyn Parent>>,
    /// From the start to the end of the last callback.
    pub keep: Option<Keep>,
    pub cancelled: Option<Error>,
    pub withdrawn: bool,
    /// A started call that waited for a connection: somebody has taken it from there.
    pub claimed: bool,
    pub driver: Driver,
    pub deadline: Option<Instant>,
    pub done: Option<DoneFn>,
}

pub enum Stage {
    New,
    Running,
    Done(Result<()>),
}

impl State {
    pub fn new(request: Template, timeout: Option<Duration>) -> State {
        State {
            stage: Stage::New,
            request,
            body_room: Collected::default(),
            timeout,
            refused: None,
            parent: None,
            keep: None,
            cancelled: None,
            withdrawn: false,
            claimed: false,
            driver: Driver::None,
            deadline: None,
            done: None,
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
