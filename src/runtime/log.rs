//! Log lines: a bounded buffer, delivered like any callback. Nothing is ever printed.

use super::Waited;
use super::delivery::{self, Event, Executor, Node, Strand};
use super::feed::{Feed, Pushed};
use super::gate::Gate;
use super::taking;
use crate::count::SharedCount;
use crate::limits::LOG_QUEUE;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How grave a line is; a logger gets its own level and the graver ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    Error = 1,
    Warn = 2,
    Info = 3,
    Debug = 4,
}

impl Level {
    pub fn from_i32(level: i32) -> Option<Level> {
        [Level::Error, Level::Warn, Level::Info, Level::Debug]
            .into_iter()
            .find(|known| *known as i32 == level)
    }
}

pub type LogFn = Box<dyn Fn(Level, &str) + Send + Sync>;

/// A runtime's log. Without a sink lines cost one load.
#[derive(Default)]
pub struct Log {
    level: AtomicI32,
    dropped: SharedCount,
    sink: Mutex<Option<Arc<Sink>>>,
}

/// One registered log function.
pub struct Sink {
    strand: Strand,
    lines: Feed<(Level, String)>,
    dropped: Gate,
    ended: Box<dyn Fn() + Send + Sync>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Writes a line when somebody wants lines of this level.
    pub fn write(&self, level: Level, line: impl FnOnce() -> String) {
        if level as i32 > self.level.load(Ordering::Relaxed) {
            return;
        }
        if let Some(sink) = lock(&self.sink).clone() {
            match sink.lines.push((level, line())) {
                Pushed::First => delivery::post_own(sink, Event::Call),
                Pushed::Behind => {}
                Pushed::Lost => self.dropped.add(1),
            }
        }
    }

    /// How many lines found no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    /// Sends lines up to `level` to `f` from now on; `ended` runs after an earlier or this function was
    /// dropped.
    pub(super) fn set(
        &self,
        level: Level,
        executor: Executor,
        f: LogFn,
        ended: Box<dyn Fn() + Send + Sync>,
    ) {
        let sink = Arc::new(Sink {
            strand: Strand::new(executor),
            lines: Feed::new(LOG_QUEUE, Box::new(move |(level, line)| f(*level, line))),
            dropped: Gate::default(),
            ended,
        });
        let before = {
            let mut current = lock(&self.sink);
            self.level.store(level as i32, Ordering::Relaxed);
            current.replace(sink)
        };
        if let Some(before) = before {
            delivery::post_own(before, Event::Discard);
        }
    }

    /// Says whether there is a function to send lines to.
    pub(super) fn set_level(&self, level: Level) -> bool {
        let sink = lock(&self.sink);
        if sink.is_some() {
            self.level.store(level as i32, Ordering::Relaxed);
        }
        sink.is_some()
    }

    /// No more lines: what is buffered is delivered, then the function is dropped. Gives the sink to wait
    /// for, if there is one.
    pub(super) fn close(&self) -> Option<Arc<Sink>> {
        let sink = {
            let mut current = lock(&self.sink);
            self.level.store(0, Ordering::Relaxed);
            current.take()?
        };
        delivery::post_own(sink.clone(), Event::Discard);
        Some(sink)
    }
}

impl Sink {
    /// Says whether lines are left for another time.
    fn run(&self) -> bool {
        let about_lost = |lost| {
            let line = format!("{lost} log lines were lost: the log function is too slow");
            Some((Level::Warn, line))
        };
        self.lines.run(|| true, about_lost)
    }

    fn drop_function(self: Arc<Self>) {
        self.lines.drop_function();
        taking::settle(move || {
            self.dropped.open();
            (self.ended)();
        });
    }
}

impl Waited for Sink {
    fn gate(&self) -> &Gate {
        &self.dropped
    }

    fn executor(&self) -> Option<&Executor> {
        Some(self.strand.executor())
    }
}

impl Node for Sink {
    fn strand(&self) -> &Strand {
        &self.strand
    }

    fn deliver(self: Arc<Self>, event: Event) {
        if self.run() {
            delivery::post_next(self, event);
        } else if event == Event::Discard {
            self.drop_function();
        }
    }

    fn abandon(self: Arc<Self>, event: Event) {
        if event == Event::Discard {
            self.drop_function();
        }
    }
}
