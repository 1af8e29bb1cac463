//! The receiver: a socket that many producers write to, and one place where their messages come out.

mod accept;
mod connection;
mod datagrams;
mod listeners;
mod metrics;

use super::batch::Batch;
use super::framing::Framing;
use super::funnel::{Budget, Funnel, Overflow};
use crate::error::{Error, Operation, Result, Status};
use crate::limits;
use crate::runtime::delivery::{self, Delivery, Event, Executor, Node, Strand};
use crate::runtime::gate::{Gate, deadline_after};
use crate::runtime::io_thread::Post;
use crate::runtime::{self, Member, Runtime, Waited, context};
use crate::socket::Kind;
use crate::socket::listener::Listener;
use crate::socket::users::Users;
use rustix::event::EventfdFlags;
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a receiver keeps to.
#[derive(Debug, Clone)]
pub struct Config {
    pub delivery: Delivery,
    pub kind: Kind,
    pub framing: Framing,
    pub max_message: u64,
    pub max_bytes: u64,
    pub max_bytes_per_producer: u64,
    pub overflow: Overflow,
    pub max_connections: u64,
    pub max_connections_per_uid: u64,
    /// Messages of one callback.
    pub max_batch: u64,
    pub frame_timeout: Option<Duration>,
    /// Connects and disconnects come out among the messages.
    pub events: bool,
    /// Messages may carry descriptors.
    pub fds: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            delivery: Delivery::Pool,
            kind: Kind::Stream,
            framing: Framing::default(),
            max_message: limits::RECEIVER_MAX_MESSAGE.default,
            max_bytes: limits::RECEIVER_MAX_BYTES.default,
            max_bytes_per_producer: limits::RECEIVER_MAX_BYTES_PER_PRODUCER.default,
            overflow: Overflow::default(),
            max_connections: limits::RECEIVER_MAX_CONNECTIONS.default,
            max_connections_per_uid: limits::RECEIVER_MAX_CONNECTIONS_PER_UID.default,
            max_batch: limits::RECEIVER_MAX_BATCH.default,
            frame_timeout: limits::RECEIVER_FRAME_TIMEOUT.default_time(),
            events: false,
            fds: false,
        }
    }
}

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

/// What goes wrong on the way in, counted.
#[derive(Default)]
struct Counters {
    producers: AtomicU64,
    truncated: AtomicU64,
    oversize: AtomicU64,
    skipped: AtomicU64,
    fds_refused: AtomicU64,
    timed_out: AtomicU64,
    abandoned: AtomicU64,
    forbidden: AtomicU64,
    overload: AtomicU64,
}

/// What a receiver has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that were handed over.
    pub received: u64,
    pub received_bytes: u64,
    /// By the overflow policy.
    pub dropped: u64,
    /// Bytes of the budget that are held now.
    pub held: u64,
    pub producers_total: u64,
    pub producers: u64,
    /// Messages that ended too early.
    pub truncated: u64,
    /// Producers that announced too much.
    pub oversize: u64,
    /// Lines and datagrams beyond the limit.
    pub skipped: u64,
    pub fds_refused: u64,
    pub timed_out: u64,
    /// Messages that the end found undelivered.
    pub abandoned: u64,
    /// Producers that no allow rule admits.
    pub forbidden: u64,
    /// Producers beyond the share of their user.
    pub overload: u64,
}

/// A descriptor that is readable exactly while something waits.
struct Pull {
    fd: OwnedFd,
    readable: Mutex<bool>,
}

impl Pull {
    fn new() -> Result<Pull> {
        let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| {
                let what = "cannot make the receiver's descriptor";
                Error::system(Operation::Start, what, &e.into())
            })?;
        Ok(Pull {
            fd,
            readable: Mutex::new(false),
        })
    }

    /// Makes the descriptor what `filled` says; asked under the lock, so that the last word is right.
    fn settle(&self, filled: impl FnOnce() -> bool) {
        let mut readable = self.readable.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = filled();
        if filled && !*readable {
            rustix::io::write(&self.fd, &1u64.to_ne_bytes()).ok();
        } else if !filled && *readable {
            rustix::io::read(&self.fd, &mut [0; 8]).ok();
        }
        *readable = filled;
    }
}

/// Keeps a receiver's end waiting until it is dropped.
struct Hold(Arc<Receiver>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

impl Receiver {
    pub fn new(runtime: &Arc<Runtime>, config: &Config) -> Result<Arc<Receiver>> {
        runtime.check_running()?;
        runtime.check_delivery(&config.delivery)?;
        if config.fds && config.kind == Kind::Stream && config.framing.header(0).is_none() {
            return Err(Error::argument(
                "descriptors come with messages that have a length: U32BE, U32LE, SEQPACKET or DATAGRAM",
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

    /// The descriptor that is readable while something waits.
    pub fn fd(&self) -> i32 {
        self.pull.fd.as_raw_fd()
    }

    /// Takes up to `max` messages; waits for the first up to `timeout`.
    pub fn recv(&self, max: usize, timeout: Option<Duration>) -> Result<Batch> {
        self.check()?;
        if self.state().on_batch.is_some() {
            return Err(Error::state(
                "the receiver gives its batches to a callback: recv is for one without",
            ));
        }
        if timeout != Some(Duration::ZERO) {
            context::check_may_block("hysock_receiver_recv")?;
        }
        let deadline = deadline_after(timeout);
        loop {
            // Asked before: nothing is added once it is closing.
            let closing = self.closing.load(Ordering::Acquire);
            if let Some(batch) = self.funnel.take(max) {
                self.pull.settle(|| self.is_readable());
                return Ok(batch);
            }
            if closing {
                return Err(shut_down());
            }
            if timeout == Some(Duration::ZERO) {
                return Err(Error::new(
                    Status::WouldBlock,
                    Operation::Receive,
                    "no message waits",
                ));
            }
            if !runtime::wait_readable(&self.pull.fd, deadline)? {
                return Err(runtime::timed_out("no message came"));
            }
        }
    }

    /// A receiver that has ended stays readable: its end is news too.
    fn is_readable(&self) -> bool {
        self.funnel.is_filled() || self.closing.load(Ordering::Acquire)
    }

    pub fn counts(&self) -> Counts {
        let funnel = self.funnel.counts();
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        Counts {
            received: funnel.received,
            received_bytes: funnel.received_bytes,
            dropped: funnel.dropped,
            held: funnel.held,
            producers_total: get(&counters.producers),
            producers: get(&self.connections),
            truncated: get(&counters.truncated),
            oversize: get(&counters.oversize),
            skipped: get(&counters.skipped) + funnel.skipped,
            fds_refused: get(&counters.fds_refused),
            timed_out: get(&counters.timed_out),
            abandoned: get(&counters.abandoned),
            forbidden: get(&counters.forbidden),
            overload: get(&counters.overload),
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
        self.gate.open();
        self.runtime.remove_member(&**self);
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
