//! Starting the library's threads, and knowing when they have ended.

use super::gate::Gate;
use super::io_thread::IoThread;
use super::queue::Queue;
use super::{Config, Log, context};
use crate::error::{Error, Operation, Result, Status};
use crate::socket::sys;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// What the user runs at the start and at the end of each library thread.
pub trait ThreadHooks: Send + Sync {
    fn start(&self);
    fn stop(&self);
}

/// The threads of one runtime.
#[derive(Default)]
pub(super) struct Threads {
    alive: Arc<Alive>,
    /// What the threads write to when something of ours goes wrong on them.
    pub log: Arc<Log>,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Alive {
    count: AtomicUsize,
    none: Gate,
}

/// One living thread; its end is told when this is dropped, the last thing that the thread does.
struct Living(Arc<Alive>);

impl Living {
    fn new(alive: &Arc<Alive>) -> Living {
        alive.count.fetch_add(1, Ordering::AcqRel);
        Living(alive.clone())
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.open();
        }
    }
}

/// Whether an I/O thread's reactor stands.
#[derive(Default)]
struct Began {
    result: Mutex<Option<Result<()>>>,
    known: Gate,
}

/// The thread's side: it is known when this is dropped, whatever became of the thread.
struct Told(Arc<Began>);

impl Told {
    fn tell(self, result: Result<()>) {
        *self.0.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.0.known.open();
    }
}

impl Threads {
    fn spawn(
        &self,
        config: &Config,
        name: String,
        main: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        let living = Living::new(&self.alive);
        let hooks = config.hooks.clone();
        let log = self.log.clone();
        let body = move || {
            let _living = living;
            context::set_log(&log);
            drop(log);
            if let Some(hooks) = &hooks {
                context::callback(|| hooks.start());
            }
            context::contain(main);
            if let Some(hooks) = hooks {
                context::callback(|| hooks.stop());
                drop(hooks);
            }
        };
        let handle = sys::spawn_masked(&name, config.stack_size, body).map_err(|e| {
            Error::system(
                Operation::Start,
                format_args!("cannot start the thread {name}"),
                &e,
            )
        })?;
        self.handles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(handle);
        Ok(())
    }

    /// Starts an I/O thread and waits until its reactor stands.
    pub fn start_io(&self, config: &Config, index: usize, thread: Arc<IoThread>) -> Result<()> {
        let began = Arc::new(Began::default());
        let told = Told(began.clone());
        let main = move || thread.main(|ready| told.tell(ready));
        self.spawn(config, format!("{}-io-{index}", config.thread_name), main)?;
        began.known.wait_until(None);
        let result = began
            .result
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        result.unwrap_or_else(|| {
            let message = "an I/O thread ended before it began";
            Err(Error::new(Status::Panic, Operation::Start, message))
        })
    }

    /// Starts a callback thread on the pool's queue.
    pub fn start_callback(&self, config: &Config, index: usize, pool: Arc<Queue>) -> Result<()> {
        self.spawn(
            config,
            format!("{}-cb-{index}", config.thread_name),
            move || pool.serve(),
        )
    }

    /// Waits for the end of all threads and joins them.
    pub fn join(&self, deadline: Option<Instant>) -> bool {
        if self.alive.count.load(Ordering::Acquire) > 0 && !self.alive.none.wait_until(deadline) {
            return false;
        }
        let handles =
            std::mem::take(&mut *self.handles.lock().unwrap_or_else(PoisonError::into_inner));
        for handle in handles {
            // A panic was contained inside; nothing else can be in the result.
            handle.join().ok();
        }
        true
    }
}
