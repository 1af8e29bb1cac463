//! The library's threads, and how callbacks leave them.

pub mod context;
pub mod delivery;
mod end;
pub mod feed;
pub mod fork;
pub mod gate;
pub mod io_thread;
pub mod log;
mod pause;
pub mod queue;
pub mod taking;
mod threads;
pub mod timer;

pub use delivery::Delivery;
pub(crate) use end::{timed_out, wait_for};
pub use log::{Level, Log, LogFn};
pub(crate) use pause::Pause;
pub use queue::Queue;
pub use threads::ThreadHooks;
pub use timer::{Timer, TimerFn};

use crate::error::{Error, Operation, Result, Status};
use crate::limits;
use delivery::Executor;
use fork::Mark;
use gate::Gate;
use io_thread::IoThread;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use threads::Threads;
use timer::Timers;

/// What a runtime is made of.
#[derive(Clone)]
pub struct Config {
    pub io_threads: u32,
    pub callback_threads: u32,
    pub stack_size: usize,
    pub thread_name: String,
    pub hooks: Option<Arc<dyn ThreadHooks>>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            io_threads: limits::IO_THREADS.default as u32,
            callback_threads: limits::CALLBACK_THREADS.default as u32,
            stack_size: limits::STACK_SIZE.default as usize,
            thread_name: "hysock".to_owned(),
            hooks: None,
        }
    }
}

/// What can be waited for.
pub trait Waited {
    /// Open when none of its callbacks runs or will run and its closures are dropped.
    fn gate(&self) -> &Gate;
    /// Who runs its callbacks; `None` when it has none.
    fn executor(&self) -> Option<&Executor>;
}

/// A server or client on a runtime: ended with it, and waited for.
pub trait Member: Waited + Send + Sync + 'static {
    /// Begins the end; `None` drains for as long as it takes.
    fn begin_shutdown(self: Arc<Self>, drain: Option<Duration>);
    /// Withdraws every callback and ends at once.
    fn withdraw(self: Arc<Self>);
}

/// Threads and what lives on them.
pub struct Runtime {
    mark: Mark,
    io: Vec<Arc<IoThread>>,
    pool: Arc<Queue>,
    threads: Threads,
    timers: Arc<Timers>,
    state: Mutex<State>,
    next_io: AtomicUsize,
    /// Open once the end has begun.
    stopping: Gate,
}

#[derive(Default)]
struct State {
    stopping: bool,
    members: Vec<Arc<dyn Member>>,
    queues: Vec<Weak<Queue>>,
    log: LogState,
}

/// The log ends after all members and before the threads.
#[derive(Default)]
enum LogState {
    #[default]
    Open,
    Closing,
    /// With the function whose end is to be waited for.
    Closed(Option<Arc<log::Sink>>),
}

impl Runtime {
    pub fn start(config: &Config) -> Result<Arc<Runtime>> {
        let mark = Mark::here()?;
        let io: Vec<_> = (0..config.io_threads)
            .map(|_| IoThread::new(mark))
            .collect();
        let runtime = Arc::new(Runtime {
            mark,
            timers: Timers::new(io[0].clone()),
            io,
            pool: Queue::for_pool(),
            threads: Threads::default(),
            state: Mutex::default(),
            next_io: AtomicUsize::new(0),
            stopping: Gate::default(),
        });
        if let Err(error) = runtime.start_threads(config) {
            runtime.stop_threads();
            runtime.threads.join(None);
            return Err(error);
        }
        Ok(runtime)
    }

    fn start_threads(&self, config: &Config) -> Result<()> {
        for (index, thread) in self.io.iter().enumerate() {
            self.threads.start_io(config, index, thread.clone())?;
        }
        for index in 0..config.callback_threads as usize {
            self.threads
                .start_callback(config, index, self.pool.clone())?;
        }
        Ok(())
    }

    fn stop_threads(&self) {
        self.pool.close();
        self.io.iter().for_each(|thread| thread.stop());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `FORKED` in a forked child.
    pub fn check(&self) -> Result<()> {
        self.mark.check()
    }

    /// Like [`Runtime::check`], and `SHUT_DOWN` once the end has begun.
    pub fn check_running(&self) -> Result<()> {
        self.check()?;
        if self.state().stopping {
            return Err(Error::new(
                Status::ShutDown,
                Operation::Start,
                "the runtime was shut down",
            ));
        }
        Ok(())
    }

    pub fn mark(&self) -> Mark {
        self.mark
    }

    pub fn log(&self) -> &Log {
        &self.threads.log
    }

    pub fn io_threads(&self) -> &[Arc<IoThread>] {
        &self.io
    }

    /// The next I/O thread in turn.
    pub fn next_io_thread(&self) -> &Arc<IoThread> {
        &self.io[self.next_io.fetch_add(1, Ordering::Relaxed) % self.io.len()]
    }

    /// Who runs callbacks of that delivery; inline ones run on `thread`.
    pub fn executor(&self, delivery: &Delivery, thread: &Arc<IoThread>) -> Executor {
        match delivery {
            Delivery::Pool => Executor::Queue(self.pool.clone()),
            Delivery::Inline => Executor::Inline(thread.clone()),
            Delivery::Queue(queue) => Executor::Queue(queue.clone()),
        }
    }

    /// Sends log lines of `level` and graver ones to `f`, in the place of an earlier function.
    pub fn on_log(
        self: &Arc<Self>,
        level: Level,
        queue: Option<&Arc<Queue>>,
        f: LogFn,
    ) -> Result<()> {
        self.check_running()?;
        if let Some(queue) = queue {
            self.check_delivery(&Delivery::Queue(queue.clone()))?;
        }
        let executor = Executor::Queue(queue.unwrap_or(&self.pool).clone());
        let runtime = Arc::downgrade(self);
        let ended = move || {
            if let Some(runtime) = runtime.upgrade() {
                runtime.step();
            }
        };
        self.log().set(level, executor, f, Box::new(ended));
        Ok(())
    }

    /// Sends lines of another level to the log function that there is.
    pub fn set_log_level(&self, level: Level) -> Result<()> {
        self.check_running()?;
        if self.log().set_level(level) {
            return Ok(());
        }
        Err(Error::state(
            "there is no log function yet: set one with hysock_runtime_on_log",
        ))
    }

    /// Refuses a queue of another runtime, whose end would leave callbacks here that nobody runs.
    pub fn check_delivery(&self, delivery: &Delivery) -> Result<()> {
        let Delivery::Queue(queue) = delivery else {
            return Ok(());
        };
        queue.check()?;
        let known = |known: &Weak<Queue>| std::ptr::eq(known.as_ptr(), Arc::as_ptr(queue));
        if self.state().queues.iter().any(known) {
            return Ok(());
        }
        Err(Error::argument(
            "the queue is of another runtime: make one with hysock_queue_new of this one",
        ))
    }

    fn add_queue_to(state: &mut State, queue: &Arc<Queue>) {
        state.queues.retain(|queue| queue.strong_count() > 0);
        state.queues.push(Arc::downgrade(queue));
    }

    pub(crate) fn add_queue(&self, queue: &Arc<Queue>) {
        Self::add_queue_to(&mut self.state(), queue);
    }

    pub(crate) fn add_member(&self, member: Arc<dyn Member>) -> Result<()> {
        let mut state = self.state();
        if state.stopping {
            drop(state);
            return self.check_running();
        }
        state.members.push(member);
        Ok(())
    }

    /// A member has ended: called after its gate opened.
    pub(crate) fn remove_member(&self, member: &dyn Member) {
        let gone = {
            let mut state = self.state();
            let here = std::ptr::from_ref(member).cast::<()>();
            let index = state
                .members
                .iter()
                .position(|m| Arc::as_ptr(m).cast::<()>() == here);
            index.map(|index| state.members.swap_remove(index))
        };
        drop(gone);
        self.step();
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Freed while the log's last lines were on their way: the pool still runs what it has.
        if !self.mark.is_foreign() {
            self.stop_threads();
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("io_threads", &self.io.len())
            .finish_non_exhaustive()
    }
}
