//! A queue of handles that have a callback to run, and whoever dispatches it.
//!
//! A user's queue has a pollable descriptor, an eventfd that is readable exactly while something waits.
//! The pool's queue has threads that sleep on a condition variable.

use super::context;
use super::delivery::{self, Node};
use super::gate::deadline_after;
use super::{Runtime, Waited};
use crate::error::{Error, Operation, Result, Status};
use pool::Pool;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use take::Takers;

mod pool;
mod take;

pub struct Queue {
    state: Mutex<State>,
    /// Pool threads wait here.
    arrived: Condvar,
    /// The one that looks out waits here.
    looked: Condvar,
    len: AtomicUsize,
    /// Only a user's queue has these.
    users: Option<Users>,
}

struct Users {
    /// Readable while the queue is not empty or a wake is pending.
    readable: OwnedFd,
    woken: AtomicBool,
    /// Its events are taken, not dispatched.
    taken: AtomicBool,
    takers: Mutex<Takers>,
    mark: super::fork::Mark,
}

#[derive(Default)]
struct State {
    nodes: VecDeque<Arc<dyn Node>>,
    closed: bool,
    /// Something waits behind what a taker holds.
    stirred: bool,
    /// Pool threads that wait, or takers beside one that has something.
    idle: usize,
    pool: Pool,
}

impl Queue {
    /// A queue that the user dispatches.
    pub fn new(runtime: &Arc<Runtime>) -> Result<Arc<Queue>> {
        runtime.check_running()?;
        let readable = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| {
                Error::system(
                    Operation::Start,
                    "cannot make the queue's descriptor",
                    &e.into(),
                )
            })?;
        let queue = Arc::new(Queue {
            state: Mutex::default(),
            arrived: Condvar::new(),
            looked: Condvar::new(),
            len: AtomicUsize::new(0),
            users: Some(Users {
                readable,
                woken: AtomicBool::new(false),
                taken: AtomicBool::new(false),
                takers: Mutex::default(),
                mark: runtime.mark(),
            }),
        });
        runtime.add_queue(&queue);
        Ok(queue)
    }

    /// The queue behind the callback threads.
    pub(super) fn for_pool() -> Arc<Queue> {
        Arc::new(Queue {
            state: Mutex::default(),
            arrived: Condvar::new(),
            looked: Condvar::new(),
            len: AtomicUsize::new(0),
            users: None,
        })
    }

    pub fn is_users(&self) -> bool {
        self.users.is_some()
    }

    /// How many handles wait.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `FORKED` in a forked child.
    pub fn check(&self) -> Result<()> {
        self.users
            .as_ref()
            .map_or(Ok(()), |users| users.mark.check())
    }

    /// The descriptor to poll for reading; it stays the queue's.
    pub fn fd(&self) -> i32 {
        self.users
            .as_ref()
            .map_or(-1, |users| users.readable.as_raw_fd())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends nodes and tells whoever waits, once.
    pub fn push(&self, nodes: impl Iterator<Item = Arc<dyn Node>>) {
        let mut state = self.state();
        if state.closed {
            drop(state);
            nodes.for_each(|node| delivery::abandon(&node));
            return;
        }
        let was_empty = state.nodes.is_empty();
        state.nodes.extend(nodes);
        let len = state.nodes.len();
        self.len.store(len, Ordering::Relaxed);
        match &self.users {
            Some(users) if was_empty && len > 0 => {
                users.set_readable();
                if state.idle > 0 {
                    self.arrived.notify_one();
                }
            }
            Some(_) => {}
            None => {
                let wake = state.call_one();
                drop(state);
                if wake {
                    self.arrived.notify_one();
                }
            }
        }
    }

    fn pop(&self, state: &mut State) -> Option<Arc<dyn Node>> {
        let node = state.nodes.pop_front()?;
        self.len.store(state.nodes.len(), Ordering::Relaxed);
        if state.nodes.is_empty()
            && let Some(users) = &self.users
        {
            users.clear_readable(state);
        }
        Some(node)
    }

    /// Runs up to `max` callbacks on this thread. When none waits it waits for one, up to `timeout`.
    pub fn dispatch(&self, max: u32, timeout: Option<Duration>) -> Result<u32> {
        self.dispatch_or(max, timeout, None)
    }

    /// Like [`Queue::dispatch`]; also stops waiting when `bell` is readable.
    fn dispatch_or(
        &self,
        max: u32,
        timeout: Option<Duration>,
        bell: Option<&OwnedFd>,
    ) -> Result<u32> {
        self.check()?;
        if self.is_taken() {
            let what = "the queue's events are taken: it cannot be dispatched as well";
            return Err(Error::state(what));
        }
        if timeout != Some(Duration::ZERO) {
            context::check_may_block("hysock_queue_dispatch")?;
        }
        let deadline = deadline_after(timeout);
        let mut ran = 0;
        while ran < max {
            let mut state = self.state();
            let node = self.pop(&mut state);
            let closed = state.closed;
            drop(state);
            match node {
                Some(node) => {
                    delivery::run(&node);
                    ran += 1;
                }
                None if closed => return Err(shut_down()),
                None if ran > 0 || self.take_wake() => break,
                None if !self.wait_readable(deadline, bell)? => break,
                None => {}
            }
        }
        Ok(ran)
    }

    /// Ends a dispatch that waits, or the next one that would. Async-signal-safe.
    pub fn wake(&self) {
        if let Some(users) = &self.users {
            users.woken.store(true, Ordering::Release);
            users.set_readable();
        }
    }

    fn take_wake(&self) -> bool {
        let Some(users) = &self.users else {
            return false;
        };
        if !users.woken.load(Ordering::Acquire) {
            return false;
        }
        let state = self.state();
        // First the descriptor, then the flag: a wake in between leaves at worst a readable
        // descriptor with nothing behind it, never the reverse.
        rustix::io::read(&users.readable, &mut [0; 8]).ok();
        let woken = users.woken.swap(false, Ordering::AcqRel);
        if !state.nodes.is_empty() || state.closed || state.stirred {
            users.set_readable();
        }
        woken
    }

    /// Waits for the descriptor; `false` when the deadline or the bell came first.
    fn wait_readable(&self, deadline: Option<Instant>, bell: Option<&OwnedFd>) -> Result<bool> {
        let Some(users) = &self.users else {
            return Ok(false);
        };
        loop {
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let own = PollFd::new(&users.readable, PollFlags::IN);
            let bell = PollFd::new(bell.unwrap_or(&users.readable), PollFlags::IN);
            let mut fds = [own, bell];
            match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(_) if fds[0].revents().is_empty() => return Ok(false),
                Ok(_) => {
                    // Readable with neither node nor wake: the trace of a wake that was taken
                    // already, or another dispatcher was faster.
                    if self.is_empty() && !users.woken.load(Ordering::Acquire) {
                        let state = self.state();
                        if state.nodes.is_empty() && !state.closed {
                            users.clear_readable(&state);
                        }
                    }
                    return Ok(true);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    let error = error.into();
                    return Err(Error::system(
                        Operation::Wait,
                        "cannot poll the queue",
                        &error,
                    ));
                }
            }
        }
    }

    /// No more nodes: what waits in a user's queue is withdrawn, a pool's queue is run to its end.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let waiting = match &self.users {
            Some(users) => {
                // Stays readable: a dispatcher must learn that it is over.
                users.set_readable();
                std::mem::take(&mut state.nodes)
            }
            None => VecDeque::new(),
        };
        self.len.store(state.nodes.len(), Ordering::Relaxed);
        drop(state);
        self.arrived.notify_all();
        self.looked.notify_all();
        waiting.iter().for_each(delivery::abandon);
        self.give_back(|_| true);
    }

    /// Dispatches a user's queue until `member` is closed or the deadline comes.
    pub(super) fn dispatch_until_closed(
        &self,
        member: &dyn Waited,
        deadline: Option<Instant>,
    ) -> Result<bool> {
        context::check_may_wait("wait")?;
        if self.is_taken() {
            return Ok(member.gate().wait_until(deadline));
        }
        // Another thread may dispatch the member's last event: that must end this wait.
        let bell = member.gate().bell()?;
        while !member.gate().is_open() {
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            match self.dispatch_or(u32::MAX, left, Some(&bell)) {
                Err(error) if error.status == Status::ShutDown => {
                    return Ok(member.gate().wait_until(deadline));
                }
                other => other?,
            };
        }
        Ok(true)
    }
}

impl Users {
    fn set_readable(&self) {
        // Can only fail with EAGAIN when the counter is full: then it is readable already.
        rustix::io::write(&self.readable, &1u64.to_ne_bytes()).ok();
    }

    /// Under the queue's lock, when the queue became empty. A pending wake keeps it readable.
    fn clear_readable(&self, state: &State) {
        rustix::io::read(&self.readable, &mut [0; 8]).ok();
        if self.woken.load(Ordering::Acquire) || state.stirred {
            self.set_readable();
        }
    }
}

fn shut_down() -> Error {
    Error::new(
        Status::ShutDown,
        Operation::Wait,
        "the queue was freed or its runtime has ended",
    )
}

impl AsFd for Queue {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.users
            .as_ref()
            .expect("only a user's queue has a descriptor")
            .readable
            .as_fd()
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
