//! A server's end: from the shutdown over the drain to the last callback.

use super::{Closed, Server, Stage, accept};
use crate::error::{Result, Status};
use crate::runtime::delivery::{self, Event, Executor, Node, Strand};
use crate::runtime::gate::{Gate, deadline_after};
use crate::runtime::io_thread::Post;
use crate::runtime::{self, Member, Waited, context, taking};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Server {
    /// Begins the end: no new connections, answers in flight until the drain's deadline.
    pub fn shutdown(self: &Arc<Self>, drain: Option<Duration>) -> Result<()> {
        self.check()?;
        self.end(drain);
        Ok(())
    }

    pub(super) fn end(self: &Arc<Self>, drain: Option<Duration>) {
        let first = {
            let mut state = self.state();
            let before = std::mem::replace(&mut state.stage, Stage::Ending);
            self.ending.store(true, Ordering::Release);
            // Before the accept loop hears of it, so that the path is free when this returns. Whose lock is
            // held by another starter right now is removed by the accept loop, which can wait.
            for listener in std::mem::take(&mut state.listeners) {
                listener.remove_file_now().ok();
            }
            state.connections.clear();
            if before != Stage::New {
                let hold = self.take_hold();
                let accept = move || accept::end(&hold.0, drain);
                self.runtime.io_threads()[0].post(Post::Run(Box::new(accept)));
            }
            before != Stage::Ending
        };
        if first {
            self.strand.executor().stir_held();
            self.let_go();
        }
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Begins the end with the configured drain. Async-signal-safe.
    pub fn shutdown_signal(&self) {
        self.signal.fire();
    }

    /// Returns when no callback of the server runs or will run and its closures are dropped.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        self.check()?;
        context::check_may_wait("hysock_server_wait")?;
        if runtime::wait_for(self, deadline_after(timeout))? {
            return Ok(());
        }
        Err(runtime::timed_out("the server has not ended yet"))
    }

    /// What free does: ends at once and withdraws every callback that has not begun.
    pub fn release(self: &Arc<Self>) {
        if self.check().is_ok() {
            self.withdraw_all();
        }
    }

    fn withdraw_all(self: &Arc<Self>) {
        self.withdrawn.store(true, Ordering::Release);
        self.end(Some(Duration::ZERO));
    }

    /// Delivers the access log's entries that wait; `run` is false when nobody is to hear of them.
    fn run_access(self: Arc<Self>, run: bool) {
        let access = self.access.get();
        if access.is_some_and(|access| access.run(|| run && !self.is_withdrawn())) {
            delivery::post_next(self, Event::Call);
        }
    }

    /// The last event: everything else has run.
    fn close(self: Arc<Self>, run: bool) {
        let (on_closed, routes) = {
            let mut state = self.state();
            (state.on_closed.take(), std::mem::take(&mut state.routes))
        };
        if let Some(on_closed) = on_closed
            && run
            && !self.is_withdrawn()
        {
            let aborted = self.aborted.load(Ordering::Acquire);
            let reason = if aborted > 0 {
                Status::TimedOut
            } else {
                Status::Ok
            };
            context::callback(|| on_closed(Closed { reason, aborted }));
        }
        if let Some(access) = self.access.get() {
            access.drop_function();
        }
        // The last reference to the handlers: every holder of another held the server's end.
        drop(routes);
        taking::settle(move || {
            self.gate.open();
            self.runtime.remove_member(&*self);
        });
    }
}

impl Node for Server {
    fn strand(&self) -> &Strand {
        &self.strand
    }

    fn deliver(self: Arc<Self>, event: Event) {
        match event {
            Event::Call => self.run_access(true),
            _ => self.close(true),
        }
    }

    fn abandon(self: Arc<Self>, event: Event) {
        match event {
            Event::Call => self.run_access(false),
            _ => self.close(false),
        }
    }
}

impl Waited for Server {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn executor(&self) -> Option<&Executor> {
        Some(self.strand.executor())
    }
}

impl Member for Server {
    fn begin_shutdown(self: Arc<Self>, drain: Option<Duration>) {
        self.end(drain);
    }

    fn withdraw(self: Arc<Self>) {
        self.withdraw_all();
    }
}
