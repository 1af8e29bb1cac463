//! Functions beside every handler: one that runs before it, and one that completes every answer.

use super::Server;
use super::answer::{Stage, State};
use super::exchange::Exchange;
use crate::error::{Error, Result};
use crate::runtime::{context, taking};
use http::{HeaderMap, StatusCode};
use std::sync::{Arc, MutexGuard};

/// Runs before a handler; `false`: it has dealt with the request, the handler does not run.
pub type RequestFn = Box<dyn Fn(&Arc<Exchange>) -> bool + Send + Sync>;
/// Runs when an answer is complete but for its headers, which it may change.
pub type AnswerFn = Box<dyn Fn(&Arc<Exchange>, StatusCode) + Send + Sync>;

#[derive(Default)]
pub struct Hooks {
    on_request: Option<RequestFn>,
    on_answer: Option<AnswerFn>,
}

impl Server {
    /// Runs `f` before every handler, in its turn; before the start only.
    pub fn on_request(&self, f: RequestFn) -> Result<()> {
        self.add_hook("on_request", |hooks| &mut hooks.on_request, f)
    }

    /// Runs `f` for every answer of a handler; before the start only.
    pub fn on_answer(&self, f: AnswerFn) -> Result<()> {
        self.add_hook("on_answer", |hooks| &mut hooks.on_answer, f)
    }

    fn add_hook<F>(
        &self,
        name: &str,
        place: impl FnOnce(&mut Hooks) -> &mut Option<F>,
        f: F,
    ) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        self.check_new(&state, "such a function is added before the start")?;
        let routes = Arc::get_mut(&mut state.routes).expect("shared from the start on only");
        let hooks = routes.hooks.get_or_insert_default();
        let place = place(Arc::get_mut(hooks).expect("as the routes"));
        if place.is_some() {
            return Err(Error::state(format!(
                "the server has an {name} function already"
            )));
        }
        *place = Some(f);
        Ok(())
    }
}

impl Exchange {
    /// Runs the function before every handler. `false`: that has dealt with the request.
    pub(super) fn passes(self: &Arc<Self>) -> bool {
        let Some(hooks) = self.hooks.upgrade() else {
            return true;
        };
        let on_request = hooks.on_request.as_ref();
        on_request.is_none_or(|f| taking::aside(|| f(self)))
    }

    /// It was answered, deferred or freed, or is too late.
    pub fn is_taken(&self) -> bool {
        if self.is_deferred() {
            return true;
        }
        let state = self.state();
        state.released || matches!(state.stage, Stage::Answered | Stage::Sent | Stage::Late)
    }

    /// Where there is a function that completes answers and may be called.
    fn completing_hooks(&self) -> Option<Arc<Hooks>> {
        let hooks = self.hooks.upgrade()?;
        (hooks.on_answer.is_some() && !self.server.is_withdrawn()).then_some(hooks)
    }

    /// Makes the head of an answer whole: `prepare`, then [`Exchange::complete`]. When that is refused, the
    /// headers are as its handler has set them: the answer may be repeated.
    pub(super) fn complete_head<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        status: StatusCode,
        prepare: impl FnOnce(&mut HeaderMap),
    ) -> Result<MutexGuard<'a, State>> {
        let Some(hooks) = self.completing_hooks() else {
            prepare(&mut state.headers);
            return Ok(state);
        };
        let before = state.headers.clone();
        prepare(&mut state.headers);
        self.run_on_answer(hooks, state, status)
            .inspect_err(|_| self.put_back(before))
    }

    fn put_back(&self, headers: HeaderMap) {
        let mut state = self.state();
        if state.stage == Stage::Open {
            state.headers = headers;
        }
    }

    /// Lets the function that completes answers see an answer of this status, with no lock held. What it
    /// finds afterwards is open and without a refused header, or it is an error.
    pub(super) fn complete<'a>(
        self: &'a Arc<Self>,
        state: MutexGuard<'a, State>,
        status: StatusCode,
    ) -> Result<MutexGuard<'a, State>> {
        match self.completing_hooks() {
            Some(hooks) => self.run_on_answer(hooks, state, status),
            None => Ok(state),
        }
    }

    fn run_on_answer<'a>(
        self: &'a Arc<Self>,
        hooks: Arc<Hooks>,
        mut state: MutexGuard<'a, State>,
        status: StatusCode,
    ) -> Result<MutexGuard<'a, State>> {
        let Some(on_answer) = &hooks.on_answer else {
            return Ok(state);
        };
        state.stage = Stage::Completing;
        // Open until now, so the connection has kept the server's end waiting; from here on this does.
        let hold = self.server.take_hold();
        drop(state);
        taking::aside(|| context::callback(|| on_answer(self, status)));
        // Before the hold: the server's end drops them.
        drop(hooks);
        let mut state = self.state();
        if state.stage == Stage::Completing {
            state.stage = Stage::Open;
        } else {
            let events = state.due_events(true);
            drop(state);
            events.into_iter().for_each(|event| self.post(event));
            state = self.state();
        }
        state.check_open()?;
        drop(hold);
        match state.refused.take() {
            Some(error) => Err(*error),
            None => Ok(state),
        }
    }
}
