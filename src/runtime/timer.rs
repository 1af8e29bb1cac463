//! Timers: a function that runs once, later, in the delivery of its choice. They wait in one ordered map
//! of the runtime, and one task on its first I/O thread sleeps until the earliest of them is due.

use super::delivery::{self, Event, Node, Strand};
use super::gate::Gate;
use super::io_thread::{IoThread, Post};
use super::{Delivery, Executor, Queue, Runtime, Waited, context, taking};
use crate::error::{Error, Operation, Result, Status};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

pub type TimerFn = Box<dyn FnOnce() + Send>;

/// By time, and in the order of their starts when they are due at the same one.
type At = (Instant, u64);

/// A function that runs once, later.
pub struct Timer {
    strand: Strand,
    /// Opens when the function has been dropped.
    dropped: Gate,
    runtime: Weak<Runtime>,
    home: Arc<Timers>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    f: Option<TimerFn>,
    /// Its place among those that wait; `None` before the start.
    at: Option<At>,
    withdrawn: bool,
}

/// All timers of a runtime.
pub(super) struct Timers {
    thread: Arc<IoThread>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    started: u64,
    armed: BTreeMap<At, Arc<Timer>>,
    /// Due or called off: their functions are still to be dropped.
    ending: BTreeMap<At, Arc<Timer>>,
    driven: bool,
    /// The task that sleeps until the earliest, unless it is awake.
    driver: Option<Waker>,
    closed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Timers {
    pub(super) fn new(thread: Arc<IoThread>) -> Arc<Timers> {
        Arc::new(Timers {
            thread,
            waiting: Mutex::default(),
        })
    }

    fn arm(self: &Arc<Self>, timer: &Arc<Timer>, deadline: Instant) -> Result<()> {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return Err(shut_down());
        }
        waiting.started += 1;
        let at = (deadline, waiting.started);
        lock(&timer.state).at = Some(at);
        waiting.armed.insert(at, timer.clone());
        let earliest = waiting
            .armed
            .first_key_value()
            .is_some_and(|(k, _)| *k == at);
        let driver = waiting.driver.take_if(|_| earliest);
        let first = !std::mem::replace(&mut waiting.driven, true);
        drop(waiting);
        if first {
            let timers = self.clone();
            let drive = move || drop(tokio::task::spawn_local(timers.drive()));
            self.thread.post(Post::Run(Box::new(drive)));
        } else if let Some(driver) = driver {
            self.thread.wake(driver);
        }
        Ok(())
    }

    /// The task of all timers.
    async fn drive(self: Arc<Self>) {
        let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
        poll_fn(|cx| self.poll_drive(cx, sleep.as_mut())).await;
    }

    fn poll_drive(&self, cx: &mut Context<'_>, mut sleep: Pin<&mut Sleep>) -> Poll<()> {
        loop {
            let mut waiting = lock(&self.waiting);
            let due = waiting.take_due(Instant::now());
            let next = waiting.armed.first_key_value().map(|(at, _)| at.0);
            if due.is_empty() {
                waiting.driver = Some(cx.waker().clone());
            }
            drop(waiting);
            match next {
                _ if !due.is_empty() => {
                    for timer in due {
                        delivery::post_own(timer, Event::Call);
                    }
                }
                None => return Poll::Pending,
                Some(next) => {
                    sleep.as_mut().reset(next.into());
                    ready!(sleep.as_mut().poll(cx));
                }
            }
        }
    }

    /// Takes a timer off those that wait; says whether it was one of them.
    fn call_off(&self, at: At) -> Option<Arc<Timer>> {
        let mut waiting = lock(&self.waiting);
        let timer = waiting.armed.remove(&at)?;
        waiting.ending.insert(at, timer.clone());
        Some(timer)
    }

    /// No timer runs any more: what waits is dropped, in its delivery. Says whether all of it was.
    pub(super) fn close(&self) -> bool {
        let mut waiting = lock(&self.waiting);
        waiting.closed = true;
        let armed = std::mem::take(&mut waiting.armed);
        waiting.ending.extend(armed.clone());
        drop(waiting);
        for timer in armed.into_values() {
            delivery::post_own(timer, Event::Discard);
        }
        lock(&self.waiting).ending.is_empty()
    }

    /// Like [`Timers::close`]; of those that are due already none begins any more either.
    pub(super) fn withdraw(&self) {
        self.close();
        let ending = lock(&self.waiting).ending.clone();
        for timer in ending.values() {
            lock(&timer.state).withdrawn = true;
        }
    }

    /// One whose function is still to be dropped.
    pub(super) fn any(&self) -> Option<Arc<Timer>> {
        let waiting = lock(&self.waiting);
        let mut all = waiting.ending.values().chain(waiting.armed.values());
        all.next().cloned()
    }

    /// Says whether it was the last one of a runtime that ends.
    fn forget(&self, at: At) -> bool {
        let mut waiting = lock(&self.waiting);
        waiting.ending.remove(&at);
        waiting.closed && waiting.ending.is_empty()
    }
}

impl Waiting {
    fn take_due(&mut self, now: Instant) -> Vec<Arc<Timer>> {
        let later = self.armed.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut self.armed, later);
        self.ending.extend(due.clone());
        due.into_values().collect()
    }
}

impl Timer {
    /// A timer that is still to be started; its function will run on `queue`'s dispatcher, or on a
    /// callback thread.
    pub fn new(runtime: &Arc<Runtime>, queue: Option<&Arc<Queue>>) -> Result<Arc<Timer>> {
        runtime.check()?;
        let delivery = queue.map_or(Delivery::Pool, |queue| Delivery::Queue(queue.clone()));
        runtime.check_delivery(&delivery)?;
        let home = runtime.timers.clone();
        Ok(Arc::new(Timer {
            strand: Strand::new(runtime.executor(&delivery, &home.thread)),
            dropped: Gate::default(),
            runtime: Arc::downgrade(runtime),
            home,
            state: Mutex::default(),
        }))
    }

    /// Runs `f` once, `after` that time, unless the timer is released before, or the runtime ends. Once only.
    pub fn start(self: &Arc<Self>, after: Duration, f: TimerFn) -> Result<()> {
        self.check()?;
        let deadline = Instant::now() + after;
        lock(&self.state).f = Some(f);
        let armed = self.home.arm(self, deadline);
        if armed.is_err() {
            self.drop_function();
        }
        armed
    }

    /// `FORKED` in a forked child.
    pub fn check(&self) -> Result<()> {
        self.home.thread.check()
    }

    /// What free does: the function does not begin any more, and is dropped in its delivery.
    pub fn release(&self) {
        let at = {
            let mut state = lock(&self.state);
            state.withdrawn = true;
            state.at
        };
        if let Some(timer) = at.and_then(|at| self.home.call_off(at)) {
            delivery::post_own(timer, Event::Discard);
        }
    }

    fn drop_function(&self) {
        let f = lock(&self.state).f.take();
        drop(f);
    }

    /// The function has run, or never will.
    fn end(self: Arc<Self>) {
        self.drop_function();
        taking::settle(move || {
            self.dropped.open();
            let at = lock(&self.state).at;
            if at.is_some_and(|at| self.home.forget(at))
                && let Some(runtime) = self.runtime.upgrade()
            {
                runtime.step();
            }
        });
    }
}

impl Waited for Timer {
    fn gate(&self) -> &Gate {
        &self.dropped
    }

    fn executor(&self) -> Option<&Executor> {
        Some(self.strand.executor())
    }
}

impl Node for Timer {
    fn strand(&self) -> &Strand {
        &self.strand
    }

    fn deliver(self: Arc<Self>, event: Event) {
        let f = {
            let mut state = lock(&self.state);
            let runs = event == Event::Call && !state.withdrawn;
            state.f.take_if(|_| runs)
        };
        if let Some(f) = f {
            context::callback(f);
        }
        self.end();
    }

    fn abandon(self: Arc<Self>, _: Event) {
        self.end();
    }
}

fn shut_down() -> Error {
    Error::new(
        Status::ShutDown,
        Operation::Start,
        "the runtime was shut down",
    )
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}
