//! Log lines: a bounded buffer, delivered like any callback. Nothing is ever printed.

use super::Waited;
use super::context;
use super::delivery::{self, Event, Executor, Node, Strand};
use super::gate::Gate;
use crate::limits::LOG_QUEUE;
use std::collections::VecDeque;
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
    sink: Mutex<Option<Arc<Sink>>>,
}

/// One registered log function.
pub struct Sink {
    strand: Strand,
    buffer: Mutex<Buffer>,
    /// Taken out while it runs; the strand sees to it that it runs once at a time.
    f: Mutex<Option<LogFn>>,
    dropped: Gate,
    ended: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Buffer {
    lines: VecDeque<(Level, String)>,
    lost: u64,
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
            sink.push(level, line());
        }
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
            buffer: Mutex::default(),
            f: Mutex::new(Some(f)),
            dropped: Gate::default(),
            ended,
        });
        let before = lock(&self.sink).replace(sink);
        self.level.store(level as i32, Ordering::Relaxed);
        if let Some(before) = before {
            delivery::post_own(before, Event::Discard);
        }
    }

    /// No more lines: what is buffered is delivered, then the function is dropped. Gives the sink to wait
    /// for, if there is one.
    pub(super) fn close(&self) -> Option<Arc<Sink>> {
        self.level.store(0, Ordering::Relaxed);
        let sink = lock(&self.sink).take()?;
        delivery::post_own(sink.clone(), Event::Discard);
        Some(sink)
    }
}

impl Sink {
    fn push(self: Arc<Self>, level: Level, line: String) {
        let first = {
            let mut buffer = lock(&self.buffer);
            if buffer.lines.len() >= LOG_QUEUE {
                buffer.lost += 1;
                return;
            }
            buffer.lines.push_back((level, line));
            buffer.lines.len() == 1
        };
        if first {
            delivery::post_own(self, Event::Call);
        }
    }

    /// The lines that wait, and a last one for those that found no room.
    fn take_lines(&self) -> VecDeque<(Level, String)> {
        let mut buffer = lock(&self.buffer);
        let mut lines = std::mem::take(&mut buffer.lines);
        let lost = std::mem::take(&mut buffer.lost);
        if lost > 0 {
            let line = format!("{lost} log lines were lost: the log function is too slow");
            lines.push_back((Level::Warn, line));
        }
        lines
    }

    fn drop_function(&self) {
        drop(lock(&self.f).take());
        self.dropped.open();
        (self.ended)();
    }

    fn run(&self) {
        let Some(f) = lock(&self.f).take() else {
            return;
        };
        for (level, line) in self.take_lines() {
            context::callback(|| f(level, &line));
        }
        *lock(&self.f) = Some(f);
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
        self.run();
        if event == Event::Discard {
            self.drop_function();
        }
    }

    fn abandon(self: Arc<Self>, event: Event) {
        if event == Event::Discard {
            self.drop_function();
        }
    }
}
