//! The producer: messages to one receiver, across its restarts.
//!
//! A message goes out on the caller's thread as long as nothing waits before it. What the socket does not
//! take waits in a bounded queue, which a task on an I/O thread empties; it also connects again.

mod end;
mod help;
mod link;
mod outbox;
mod send;
mod task;

use end::End;
pub use end::{Flush, Report};
pub use outbox::Wire;

use super::framing::Framing;
use crate::error::{Error, Result, Status};
use crate::limits;
use crate::runtime::delivery::Executor;
use crate::runtime::gate::Gate;
use crate::runtime::io_thread::{IoThread, Post};
use crate::runtime::{Member, Runtime, Waited};
use crate::socket::Kind;
use crate::socket::address::Address;
use outbox::Outbox;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// What happens to a message for which the queue has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The sender waits, up to its timeout.
    #[default]
    Block,
    /// The send fails at once.
    Fail,
    /// The oldest that waits is dropped and counted.
    DropOldest,
    /// The new one is dropped and counted.
    DropNewest,
}

/// What a producer keeps to.
#[derive(Debug, Clone)]
pub struct Config {
    pub kind: Kind,
    /// Of a stream.
    pub framing: Framing,
    pub max_message: u64,
    pub max_queue: u64,
    pub overflow: Overflow,
    /// Messages may carry descriptors.
    pub fds: bool,
    /// Messages of at least so many bytes go as sealed memory.
    pub memfd: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            kind: Kind::Stream,
            framing: Framing::default(),
            max_message: limits::PRODUCER_MAX_MESSAGE.default,
            max_queue: limits::PRODUCER_MAX_QUEUE.default,
            overflow: Overflow::default(),
            fds: false,
            memfd: limits::PRODUCER_MEMFD.default,
        }
    }
}

pub struct Producer {
    runtime: Arc<Runtime>,
    thread: Arc<IoThread>,
    address: Address,
    config: Config,
    wire: Wire,
    state: Mutex<State>,
    /// Messages have left the queue, or the end has come.
    changed: Condvar,
    /// There is room in the queue, or the end has come.
    room: Condvar,
    gate: Gate,
}

struct State {
    link: Option<Arc<OwnedFd>>,
    outbox: Outbox,
    /// The task's, when it waits for something to do.
    task: Option<Waker>,
    /// There is something to do since the task has looked.
    woken: bool,
    /// No more messages; until when those that wait may still go out.
    end: Option<End>,
    /// After a failed connect: not before this, and so long the next time.
    retry_at: Option<Instant>,
    backoff: Duration,
    /// Since when there is this connection.
    since: Instant,
    /// What kept the last connect from being tried in silence; it was logged.
    refusal: Option<Status>,
    /// Messages that this connection took whole.
    taken: u64,
    /// Of these, known to have been read.
    read: u64,
    /// Threads that wait for `changed`.
    flushing: usize,
    /// Threads that wait for `room`.
    blocked: usize,
    /// A thread that waits for room writes what waits; the first message is its own.
    helped: bool,
    /// Messages in doubt that a flush has told of.
    doubt_told: u64,
    counts: Counts,
}

/// What a producer has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that the kernel took whole.
    pub written: u64,
    /// Of these, lost or not when a connection broke: nobody can know.
    pub in_doubt: u64,
    pub dropped_oldest: u64,
    pub dropped_newest: u64,
    /// Messages that waited, and that the socket then refused to take.
    pub refused: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Messages that wait now.
    pub queued: u64,
}

impl Producer {
    pub fn new(
        runtime: &Arc<Runtime>,
        address: &Address,
        config: &Config,
    ) -> Result<Arc<Producer>> {
        runtime.check_running()?;
        let fds = config.fds || config.memfd != limits::UNLIMITED;
        if fds && config.kind == Kind::Stream && config.framing.header(0).is_none() {
            return Err(Error::argument(
                "descriptors and sealed memory go with messages that have a length: U32BE, U32LE, SEQPACKET or DATAGRAM",
            ));
        }
        let producer = Arc::new(Producer {
            runtime: runtime.clone(),
            thread: runtime.next_io_thread().clone(),
            address: address.clone(),
            config: config.clone(),
            wire: Wire {
                framing: (config.kind == Kind::Stream).then_some(config.framing),
                counts_fds: fds && config.kind == Kind::Stream,
            },
            state: Mutex::new(State {
                link: None,
                outbox: Outbox::default(),
                task: None,
                woken: false,
                end: None,
                retry_at: None,
                backoff: limits::RECONNECT_MIN,
                since: Instant::now(),
                refusal: None,
                taken: 0,
                read: 0,
                flushing: 0,
                blocked: 0,
                helped: false,
                doubt_told: 0,
                counts: Counts::default(),
            }),
            changed: Condvar::new(),
            room: Condvar::new(),
            gate: Gate::default(),
        });
        runtime.add_member(producer.clone())?;
        let task = producer.clone();
        let run = move || drop(tokio::task::spawn_local(task::run(task)));
        producer.thread.post(Post::Run(Box::new(run)));
        Ok(producer)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `FORKED` in a forked child.
    pub fn check(&self) -> Result<()> {
        self.runtime.check()
    }

    pub fn counts(&self) -> Counts {
        let state = self.state();
        Counts {
            queued: state.outbox.len() as u64,
            ..state.counts
        }
    }

    /// Gives the task something to do.
    fn wake(&self, state: &mut State) {
        state.woken = true;
        if let Some(task) = state.task.take() {
            self.thread.wake(task);
        }
    }

    /// Ends without waiting; what was not written is lost.
    pub fn release(&self) {
        if self.check().is_ok() {
            self.stop(true);
        }
    }
}

impl Waited for Producer {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn executor(&self) -> Option<&Executor> {
        None
    }
}

impl Member for Producer {
    fn begin_shutdown(self: Arc<Self>, drain: Option<Duration>) {
        self.begin_end(drain);
    }

    fn withdraw(self: Arc<Self>) {
        self.stop(true);
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
