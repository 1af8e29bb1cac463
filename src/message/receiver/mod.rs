//! The receiver: a socket that many producers write to, and one place where their messages come out.

mod accept;
mod config;
mod connection;
mod counts;
mod datagrams;
mod incoming;
mod listeners;
mod metrics;
mod pull;

pub use config::Config;
pub use counts::Counts;

use super::batch::Batch;
use super::funnel::{Budget, Funnel};
use crate::error::{Error, Operation, Result, Status};
use crate::runtime::delivery::{self, Event, Executor, Node, Strand};
use crate::runtime::gate::{Gate, deadline_after};
use crate::runtime::io_thread::Post;
use crate::runtime::{self, Member, Runtime, Waited, context, taking};
use crate::socket::Kind;
use crate::socket::listener::Listener;
use crate::socket::users::Users;
use counts::Counters;
use pull::Pull;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What runs with each batch, which is lent to it unless it keeps it.
pub type BatchFn = Box<dyn Fn(&Arc<Receiver>, Arc<Batch>) + Send + Sync>;

pub struct Receiver {
    runtime: Arc<Runtime>,
    config: Config,
    strand: Strand,
    gate: Gate,
    funnel: Arc<Funnel>,
    /// Connections, accept loops, posted events, and the receiver's own until its end begins.
    holds: AtomicUsize,
    closing: AtomicBool,
    withdrawn: AtomicBool,
    /// The callback is posted, or runs.
    scheduled: AtomicBool,
    /// For receivers without a callback.
    pull: Pull,
    next_id: AtomicU64,
    connections: AtomicU64,
    /// Listeners that may still bring connections.
    accepting: AtomicUsize,
    users: Users,
    counters: Counters,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    listeners: Vec<Arc<Listener>>,
    on_batch: Option<Arc<BatchFn>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Running,
    Ending,
}

/// Keeps a receiver's end waiting until it is dropped.
struct Hold(Arc<Receiver>);

impl Drop for Hold {
    fn drop(&mut self) {
        if taking::is_on() {
            let receiver = self.0.clone();
            taking::settle(move || receiver.let_go());
        } else {
            self.0.let_go();
        }
    }
}

impl Receiver {
    pub fn new(runtime: &Arc<Runtime>, config: &Config) -> Result<Arc<Receiver>> {
        runtime.check_running()?;
        runtime.check_delivery(&config.delivery)?;
        if config.takes_fds() && config.kind == Kind::Stream && config.framing.header(0).is_none() {
            return Err(Error::argument(
                "descriptors and sealed memory come with messages that have a length: U32BE, U32LE, SEQPACKET or DATAGRAM",
            ));
        }
        let executor = runtime.executor(&config.delivery, &runtime.io_threads()[0]);
        let pull = Pull::new()?;
        let receiver = Arc::new_cyclic(|weak: &std::sync::Weak<Receiver>| {
            let weak = weak.clone();
            let filled = move || {
                if let Some(receiver) = weak.upgrade() {
                    receiver.filled();
                }
            };
            let budget = Budget {
                bytes: config.max_bytes,
                per_producer: config.max_bytes_per_producer,
                overflow: config.overflow,
            };
            Receiver {
                runtime: runtime.clone(),
                config: config.clone(),
                strand: Strand::new(executor),
                gate: Gate::default(),
                funnel: Funnel::new(budget, Box::new(filled)),
                holds: AtomicUsize::new(1),
                closing: AtomicBool::new(false),
                withdrawn: AtomicBool::new(false),
                scheduled: AtomicBool::new(false),
                pull,
                next_id: AtomicU64::new(1),
                connections: AtomicU64::new(0),
                accepting: AtomicUsize::new(0),
                users: Users::default(),
                counters: Counters::default(),
                state: Mutex::new(State {
                    stage: Stage::New,
                    listeners: Vec::new(),
                    on_batch: None,
                }),
            }
        });
        runtime.add_member(receiver.clone())?;
        Ok(receiver)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `FORKED` in a forked child.
    pub fn check(&self) -> Result<()> {
        self.runtime.check()
    }

    fn check_new(&self, state: &State, what: &str) -> Result<()> {
        match state.stage {
            Stage::New => Ok(()),
            Stage::Running => Err(Error::state(format!(
                "{what}: the receiver has started already"
            ))),
            Stage::Ending => Err(shut_down()),
        }
    }

    /// Gives every batch to `f`. Without it batches are taken with [`Receiver::recv`].
    pub fn on_batch(&self, f: BatchFn) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        self.check_new(&state, "on_batch")?;
        if state.on_batch.is_some() {
            return Err(Error::state("the receiver has a batch callback already"));
        }
        state.on_batch = Some(Arc::new(f));
        Ok(())
    }

    pub fn start(self: &Arc<Self>) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        self.check_new(&state, "start")?;
        if state.listeners.is_empty() {
            return Err(Error::state(
                "start: the receiver has no listener, add one first",
            ));
        }
        state.stage = Stage::Running;
        let listeners = state.listeners.clone();
        self.accepting.store(listeners.len(), Ordering::Release);
        for thread in self.runtime.io_threads() {
            let hold = self.take_hold();
            thread.post(Post::Run(Box::new(move || accept::Shard::start(hold))));
        }
        let hold = self.take_hold();
        let run = move || accept::start(hold, listeners);
        self.runtime.io_threads()[0].post(Post::Run(Box::new(run)));
        Ok(())
    }

    fn take_hold(self: &Arc<Self>) -> Hold {
        self.holds.fetch_add(1, Ordering::AcqRel);
        Hold(self.clone())
    }

    fn let_go(self: &Arc<Self>) {
        if self.holds.fetch_sub(1, Ordering::AcqRel) == 1
            && !self.closing.swap(true, Ordering::AcqRel)
        {
            delivery::post_own(self.clone(), Event::Gone);
        }
    }

    /// The funnel has something.
    fn filled(self: &Arc<Self>) {
        if self.state().on_batch.is_none() {
            return self.pull.settle(|| self.is_readable());
        }
        self.schedule();
    }

    fn schedule(self: &Arc<Self>) {
        if !self.scheduled.swap(true, Ordering::AcqRel) {
            self.holds.fetch_add(1, Ordering::AcqRel);
            delivery::post_own(self.clone(), Event::Call);
        }
    }

    /// Counts messages that came in and could not be handed over.
    pub fn count_abandoned(&self, messages: u64) {
        let abandoned = &self.counters.abandoned;
        abandoned.fetch_add(messages, Ordering::Relaxed);
    }

    /// Begins the end: no new producers; what they have sent is read and handed over until the deadline.
    pub fn shutdown(self: &Arc<Self>, drain: Option<Duration>) -> Result<()> {
        self.check()?;
        self.end(drain);
        Ok(())
    }

    fn end(self: &Arc<Self>, drain: Option<Duration>) {
        let before = {
            let mut state = self.state();
            let before = std::mem::replace(&mut state.stage, Stage::Ending);
            for listener in std::mem::take(&mut state.listeners) {
                listener.remove_file_now().ok();
            }
            before
        };
        if before != Stage::New {
            for thread in self.runtime.io_threads() {
                let hold = self.take_hold();
                let run = move || accept::end(&hold.0, drain);
                thread.post(Post::Run(Box::new(run)));
            }
        }
        if before != Stage::Ending {
            self.let_go();
        }
    }

    /// Returns when no callback of the receiver runs or will run.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        self.check()?;
        context::check_may_wait("hysock_receiver_wait")?;
        if runtime::wait_for(self, deadline_after(timeout))? {
            return Ok(());
        }
        Err(runtime::timed_out("the receiver has not ended yet"))
    }

    /// What free does: ends at once and withdraws the callback.
    pub fn release(self: &Arc<Self>) {
        if self.check().is_ok() {
            self.withdraw_all();
        }
    }

    fn withdraw_all(self: &Arc<Self>) {
        self.withdrawn.store(true, Ordering::Release);
        self.end(Some(Duration::ZERO));
    }

    /// Runs the callback with one batch; more of them wait their turn.
    fn run_batch(self: &Arc<Self>) {
        let on_batch = self.state().on_batch.clone();
        let withdrawn = self.withdrawn.load(Ordering::Acquire);
        if let Some(on_batch) = on_batch
            && !withdrawn
            && let Some(batch) = self.funnel.take(self.config.max_batch as usize)
        {
            let batch = Arc::new(batch);
            context::callback(|| on_batch(self, batch));
        }
        self.scheduled.store(false, Ordering::Release);
        if self.funnel.is_filled() && !self.withdrawn.load(Ordering::Acquire) {
            self.schedule();
        }
    }

    fn close(self: &Arc<Self>) {
        let on_batch = self.state().on_batch.take();
        let pulled = on_batch.is_none() && !self.withdrawn.load(Ordering::Acquire);
        drop(on_batch);
        // What nobody took yet can still be pulled.
        if !pulled {
            let left = self.funnel.close();
            self.count_abandoned(left);
        }
        self.pull.settle(|| true);
        let receiver = self.clone();
        taking::settle(move || {
            receiver.gate.open();
            receiver.runtime.remove_member(&*receiver);
        });
    }
}

impl Node for Receiver {
    fn strand(&self) -> &Strand {
        &self.strand
    }

    fn deliver(self: Arc<Self>, event: Event) {
        match event {
            Event::Call => {
                let _posted = Hold(self.clone());
                self.run_batch();
            }
            Event::Gone | Event::Discard => self.close(),
            // Of exchanges and calls.
            _ => {}
        }
    }

    fn abandon(self: Arc<Self>, event: Event) {
        match event {
            Event::Call => {
                let _posted = Hold(self.clone());
                self.withdrawn.store(true, Ordering::Release);
                self.scheduled.store(false, Ordering::Release);
            }
            Event::Gone | Event::Discard => self.close(),
            // Of exchanges and calls.
            _ => {}
        }
    }
}

impl Waited for Receiver {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn executor(&self) -> Option<&Executor> {
        Some(self.strand.executor())
    }
}

impl Member for Receiver {
    fn begin_shutdown(self: Arc<Self>, drain: Option<Duration>) {
        self.end(drain);
    }

    fn withdraw(self: Arc<Self>) {
        self.withdraw_all();
    }
}

fn shut_down() -> Error {
    Error::new(
        Status::ShutDown,
        Operation::Receive,
        "the receiver was shut down",
    )
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("stage", &self.state().stage)
            .finish_non_exhaustive()
    }
}
