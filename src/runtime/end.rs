//! How a runtime ends: begun by a shutdown or a free, gone through step by step as each part has ended,
//! waited for by whoever wants to know.

use super::context;
use super::delivery::Executor;
use super::gate::deadline_after;
use super::{LogState, Runtime, Waited};
use crate::error::{Error, Operation, Result, Status};
use std::sync::Weak;
use std::time::{Duration, Instant};

impl Runtime {
    /// The end, one step at a time: members, then timers, then the log, then the threads. Never blocks.
    pub(super) fn step(&self) {
        let may_close = {
            let state = self.state();
            state.stopping && state.members.is_empty()
        };
        // From here on no member comes any more. The last timer goes on from here.
        if !may_close || !self.timers.close() {
            return;
        }
        let mut state = self.state();
        if let LogState::Open = state.log {
            state.log = LogState::Closing;
            drop(state);
            let sink = self.log().close();
            state = self.state();
            state.log = LogState::Closed(sink);
        }
        let closed = match &state.log {
            LogState::Closed(sink) => sink.as_ref().is_none_or(|sink| sink.gate().is_open()),
            // Whoever closes it goes on from here.
            LogState::Open | LogState::Closing => false,
        };
        if !closed {
            return;
        }
        let queues = std::mem::take(&mut state.queues);
        drop(state);
        // Nothing waits in them any more; who dispatches one learns that it is over.
        for queue in queues.iter().filter_map(Weak::upgrade) {
            queue.close();
        }
        self.stop_threads();
    }

    /// Begins the end of everything on this runtime.
    pub fn shutdown(&self, drain: Option<Duration>) -> Result<()> {
        self.check()?;
        let members = {
            let mut state = self.state();
            state.stopping = true;
            state.members.clone()
        };
        self.stopping.open();
        for member in members {
            member.begin_shutdown(drain);
        }
        self.step();
        Ok(())
    }

    /// Waits until all has ended and every thread is joined; dispatches users' queues meanwhile.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        self.check()?;
        context::check_may_wait("hysock_runtime_wait")?;
        let deadline = deadline_after(timeout);
        let sink = loop {
            let member = self.state().members.first().cloned();
            if let Some(member) = member {
                let what = "the runtime still has servers or clients that run";
                wait_for_part(&*member, deadline, what)?;
            } else if !self.stopping.wait_until(deadline) {
                return Err(timed_out("nobody has shut the runtime down"));
            } else if let Some(timer) = self.timers.any() {
                let what = "the function of a timer still runs, or nobody dispatches its queue";
                wait_for_part(&*timer, deadline, what)?;
            } else if let LogState::Closed(sink) = &self.state().log {
                break sink.clone();
            } else {
                // Another thread is at it, or a member was added before the end began.
                std::thread::yield_now();
            }
        };
        if let Some(sink) = sink {
            let what = "the log function still has lines to take";
            wait_for_part(&*sink, deadline, what)?;
        }
        if self.threads.join(deadline) {
            return Ok(());
        }
        Err(timed_out(
            "a callback still runs, or events wait in a queue that nobody dispatches",
        ))
    }

    /// What free does: ends all at once, without waiting, and withdraws what was not delivered.
    pub fn release(&self) {
        if self.mark.is_foreign() {
            return;
        }
        let (members, queues) = {
            let mut state = self.state();
            state.stopping = true;
            (state.members.clone(), std::mem::take(&mut state.queues))
        };
        self.stopping.open();
        for member in members {
            member.withdraw();
        }
        self.timers.withdraw();
        for queue in queues.iter().filter_map(Weak::upgrade) {
            queue.close();
        }
        self.step();
    }
}

/// Waits for one member, dispatching its queue when that is the user's.
pub(crate) fn wait_for(member: &dyn Waited, deadline: Option<Instant>) -> Result<bool> {
    match member.executor().and_then(Executor::user_queue) {
        Some(queue) => queue.dispatch_until_closed(member, deadline),
        None => Ok(member.gate().wait_until(deadline)),
    }
}

/// Waits for a part of the runtime, which takes itself off its list right after its gate has opened.
fn wait_for_part(part: &dyn Waited, deadline: Option<Instant>, what: &'static str) -> Result<()> {
    if !wait_for(part, deadline)? {
        return Err(timed_out(what));
    }
    std::thread::yield_now();
    Ok(())
}

pub(crate) fn timed_out(what: &'static str) -> Error {
    Error::new(Status::TimedOut, Operation::Wait, what)
}
