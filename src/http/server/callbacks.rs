//! What an exchange calls back: its handler, and who waits for a piece, for room, or for the client to
//! leave. Each is an event of the exchange's strand.

use super::Server;
use super::answer::{Stage, State, shut_down};
use super::exchange::{Exchange, GoneFn, Handler};
use super::routes::Route;
use crate::error::{Error, Result};
use crate::runtime::delivery::{self, Event, Executor, Node, Strand};
use crate::runtime::{context, taking};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Exchange {
    /// Runs `f` once when the client has left before it got its answer, all of it.
    pub fn on_gone(self: &Arc<Self>, f: GoneFn) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        if state.on_gone.is_some() {
            return Err(Error::state("the exchange has an on_gone callback already"));
        }
        match state.stage {
            Stage::ShutDown => return Err(shut_down()),
            Stage::Gone | Stage::Late => {
                state.on_gone = Some(f);
                drop(state);
                self.post(Event::Gone);
            }
            _ => {
                state.on_gone = Some(f);
                self.quiet.store(false, Ordering::Release);
            }
        }
        Ok(())
    }

    /// Posts an event; the server's end waits until it has run.
    pub(super) fn post(self: &Arc<Self>, event: Event) {
        self.server.hold();
        delivery::post_own(self.clone(), event);
    }

    /// Runs the handler, or posts it to where handlers run.
    ///
    /// Inline needs neither strand nor hold: the strand's other events run on this thread too, after this,
    /// and the connection holds the server.
    pub(super) fn begin(self: &Arc<Self>, route: &Arc<Route>) {
        if let Executor::Inline(_) = self.strand.executor() {
            return self.run_handler(&route.handler);
        }
        self.state().route = Some(route.clone());
        self.server.queued.fetch_add(1, Ordering::Relaxed);
        self.post(Event::Call);
    }

    fn run_handler(self: &Arc<Self>, handler: &Handler) {
        if !self.server.is_withdrawn() {
            context::callback(|| {
                if self.passes() {
                    handler(self);
                }
            });
        }
        if !self.is_deferred() {
            self.end_keeps();
            self.release();
        }
    }

    /// What `take` takes out of the state, and whether it may still be called.
    fn take_hook<T>(&self, take: impl FnOnce(&mut State) -> Option<T>) -> (Option<T>, bool) {
        let mut state = self.state();
        // Freed, or answered meanwhile: nobody is to hear of it.
        (
            take(&mut state),
            !state.released && !self.server.is_withdrawn(),
        )
    }
}

/// An event on its way: the server's end waits for it, whatever becomes of it.
struct Posted<'a>(&'a Arc<Server>);

impl Drop for Posted<'_> {
    fn drop(&mut self) {
        if taking::is_on() {
            let server = self.0.clone();
            taking::settle_later(self.0.is_ending(), move || server.let_go());
        } else {
            self.0.let_go();
        }
    }
}

impl Node for Exchange {
    fn strand(&self) -> &Strand {
        &self.strand
    }

    fn deliver(self: Arc<Self>, event: Event) {
        let _posted = Posted(&self.server);
        match event {
            Event::Call => {
                self.server.queued.fetch_sub(1, Ordering::Relaxed);
                let (route, late) = {
                    let mut state = self.state();
                    (state.route.take(), state.stage == Stage::Late)
                };
                match route {
                    // Its 503 says that nothing was done.
                    Some(_) if late => self.release(),
                    Some(route) => self.run_handler(&route.handler),
                    None => {}
                }
            }
            Event::Gone => {
                if let (Some(f), true) = self.take_hook(|state| state.on_gone.take()) {
                    context::callback(|| f(&self));
                }
            }
            Event::Read => {
                if let Some((f, piece, true)) = self.take_reader()
                    && !self.server.is_withdrawn()
                {
                    context::callback(|| f(&self, piece));
                }
            }
            Event::Writable => {
                let take = |state: &mut State| state.writing.as_mut()?.take_hook();
                if let (Some(f), true) = self.take_hook(take) {
                    context::callback(|| f(&self));
                }
            }
            Event::Upgraded => {
                if let (Some((f, fd, early)), true) = self.take_hook(State::take_session) {
                    context::callback(|| f(&self, fd, early));
                }
            }
            Event::News | Event::Discard => {
                let hooks = self.state().take_hooks();
                drop(hooks);
                self.end_keeps();
            }
        }
    }

    fn abandon(self: Arc<Self>, event: Event) {
        let _posted = Posted(&self.server);
        if event == Event::Call {
            self.server.queued.fetch_sub(1, Ordering::Relaxed);
            self.give_up(false);
            self.release();
        }
        if matches!(event, Event::Call | Event::Discard) {
            self.end_keeps();
        }
        let hooks = {
            let mut state = self.state();
            (state.route.take(), state.take_hooks())
        };
        drop(hooks);
    }
}
