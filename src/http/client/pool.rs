//! A client's connections: how many there are, who waits for one, and those of calling threads that are
//! idle. The idle ones of I/O threads stay with their thread (`reactor`).

use super::Client;
use super::call::Call;
use super::caller::CallerConnection;
use crate::error::Result;
use crate::runtime::fork::Mark;
use crate::runtime::gate::Gate;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Idle connections beyond the limit stay this long, so that a burst finds what the last one left.
const GRACE: Duration = Duration::from_millis(250);

/// What a client has in each process that uses it: a forked child must not write to its parent's
/// connections, cannot rely on a lock that a thread of its parent may have held, and has none of its
/// calls.
pub struct Processes {
    here: Process,
    mark: Mark,
    child: OnceLock<Box<Processes>>,
}

#[derive(Default)]
pub struct Process {
    pub pool: Pool,
    /// Open when the client has ended here.
    pub gate: Gate,
    /// Calls that were begun and not delivered, and one until the end begins.
    pub holds: AtomicUsize,
    /// Calls that calling threads are at; each knows its place. I/O threads have lists of their own.
    pub performed: Mutex<Vec<Arc<Call>>>,
    /// The connection that the client was made with, while no call uses it.
    pub given: Mutex<Option<Arc<OwnedFd>>>,
    /// When a shutdown's drain is over.
    pub drain_until: Mutex<Option<Instant>>,
}

impl Process {
    pub fn close_idle(&self) {
        self.pool.close_idle();
        drop(super::lock(&self.given).take());
    }
}

impl Processes {
    pub fn new(mark: Mark) -> Processes {
        let here = Process {
            holds: AtomicUsize::new(1),
            ..Process::default()
        };
        Processes {
            here,
            mark,
            child: OnceLock::new(),
        }
    }

    /// What there is in the process that made the client.
    pub fn first(&self) -> &Process {
        &self.here
    }

    /// Whether this is a process forked from the one that made the client.
    pub fn is_foreign(&self) -> bool {
        self.mark.is_foreign()
    }

    /// What there is in this process.
    #[inline]
    pub fn here(&self) -> Result<&Process> {
        if self.mark.is_foreign() {
            return self.in_child();
        }
        Ok(&self.here)
    }

    #[cold]
    fn in_child(&self) -> Result<&Process> {
        let mut processes = self;
        while processes.mark.is_foreign() {
            processes = match processes.child.get() {
                Some(child) => child,
                None => {
                    // Close our copies of the parent's idle connections. Without shutdown(2): the parent
                    // still uses them.
                    if let Ok(mut state) = processes.here.pool.state.try_lock() {
                        state.idle.clear();
                    }
                    let mark = Mark::here()?;
                    processes
                        .child
                        .get_or_init(|| Box::new(Processes::new(mark)))
                }
            };
        }
        Ok(&processes.here)
    }
}

#[derive(Default)]
pub struct Pool {
    state: Mutex<State>,
    /// Idle connections on the I/O thread, so that a caller knows whether to ask for one's place.
    pub idle_on_reactor: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// Connections and places granted for one, of both homes.
    open: u64,
    idle: VecDeque<Box<CallerConnection>>,
    waiting: VecDeque<Waiting>,
}

/// Who waits for a place, first come first served.
enum Waiting {
    Caller(Arc<Seat>),
    Reactor(Arc<Call>),
}

/// What a waiting caller gets.
pub enum Grant {
    Connection(Box<CallerConnection>),
    /// The right to open one.
    Place,
}

/// What to do with a place that became free.
pub enum Next {
    /// The I/O thread runs this call in it.
    Call(Arc<Call>),
    /// Nobody waits.
    Nobody,
    /// It was given to a calling thread.
    Taken,
}

/// Where a calling thread waits: for a place, or for a connect that a full backlog holds up.
pub struct Seat<T = Grant> {
    state: Mutex<SeatState<T>>,
    changed: Condvar,
}

enum SeatState<T> {
    Waiting,
    Given(T),
    /// The caller has left: cancelled, or its time was over.
    Left,
}

impl<T> Seat<T> {
    pub fn new() -> Arc<Seat<T>> {
        Arc::new(Seat {
            state: Mutex::new(SeatState::Waiting),
            changed: Condvar::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, SeatState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands `value` over, or gives it back when nobody waits any more.
    pub fn give(&self, value: T) -> std::result::Result<(), T> {
        let mut state = self.state();
        if !matches!(*state, SeatState::Waiting) {
            return Err(value);
        }
        *state = SeatState::Given(value);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Ends the wait with nothing.
    pub fn leave(&self) {
        let mut state = self.state();
        if matches!(*state, SeatState::Waiting) {
            *state = SeatState::Left;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Waits; `None` after the deadline or `leave`.
    pub fn wait(&self, deadline: Option<Instant>) -> Option<T> {
        let mut state = self.state();
        loop {
            match std::mem::replace(&mut *state, SeatState::Left) {
                SeatState::Given(value) => return Some(value),
                SeatState::Left => return None,
                SeatState::Waiting => {}
            }
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return None;
            }
            *state = SeatState::Waiting;
            state = match left {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// What a caller finds at once.
pub enum Found {
    Grant(Grant),
    Wait(Arc<Seat>),
}

impl State {
    /// Closes the connections that were idle for too long: those at the front.
    fn drop_old(&mut self, client: &Client) {
        let Some(age) = client.config.idle_age else {
            return;
        };
        while self
            .idle
            .front()
            .is_some_and(|oldest| oldest.idle_for() > age)
        {
            self.idle.pop_front();
            self.open -= 1;
        }
    }
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a calling thread: an idle connection unless `fresh` is wanted, a place, or a seat to wait on.
    pub fn find(&self, client: &Client, fresh: bool) -> Found {
        let mut state = self.state();
        state.drop_old(client);
        if state.waiting.is_empty() {
            if let Some(connection) = state.idle.pop_back() {
                let place = fresh;
                return Found::Grant(if place {
                    Grant::Place
                } else {
                    Grant::Connection(connection)
                });
            }
            if state.open < client.config.max_connections {
                state.open += 1;
                return Found::Grant(Grant::Place);
            }
        }
        let seat = Seat::new();
        state.waiting.push_back(Waiting::Caller(seat.clone()));
        Found::Wait(seat)
    }

    /// For the I/O thread: whether `call` may open a connection; otherwise it waits for its turn.
    pub fn find_for_reactor(&self, client: &Client, call: &Arc<Call>) -> bool {
        let mut state = self.state();
        if state.waiting.is_empty() {
            if state.open < client.config.max_connections {
                state.open += 1;
                return true;
            }
            if state.idle.pop_front().is_some() {
                return true;
            }
        }
        state.waiting.push_back(Waiting::Reactor(call.clone()));
        false
    }

    /// A caller's connection is idle: the longest waiting gets it, or its place.
    pub fn put_back(&self, client: &Client, connection: Box<CallerConnection>) -> Next {
        let mut state = self.state();
        let mut grant = Grant::Connection(connection);
        loop {
            match state.waiting.pop_front() {
                Some(Waiting::Caller(seat)) => match seat.give(grant) {
                    Ok(()) => return Next::Taken,
                    Err(back) => grant = back,
                },
                Some(Waiting::Reactor(call)) if call.claim() => return Next::Call(call),
                Some(Waiting::Reactor(_)) => {}
                None => break,
            }
        }
        if let Grant::Connection(connection) = grant
            && !client.is_ending()
        {
            state.drop_old(client);
            state.idle.push_back(connection);
            let over = state.idle.len() as u64 > client.config.max_idle;
            if over
                && state
                    .idle
                    .front()
                    .is_some_and(|oldest| oldest.idle_for() > GRACE)
            {
                state.idle.pop_front();
                state.open -= 1;
            }
        } else {
            state.open -= 1;
        }
        Next::Nobody
    }

    /// Whose turn it is for an I/O thread's idle connection. `Taken`: a calling thread, which opens its own in
    /// the place of that one.
    pub fn next(&self) -> Next {
        Self::next_of(&mut self.state())
    }

    fn next_of(state: &mut State) -> Next {
        while let Some(waiting) = state.waiting.pop_front() {
            match waiting {
                Waiting::Caller(seat) if seat.give(Grant::Place).is_ok() => return Next::Taken,
                Waiting::Reactor(call) if call.claim() => return Next::Call(call),
                // Cancelled meanwhile, or out of time.
                Waiting::Caller(_) | Waiting::Reactor(_) => {}
            }
        }
        Next::Nobody
    }

    /// A connection is gone; who gets its place.
    pub fn free_place(&self) -> Next {
        let mut state = self.state();
        let next = Self::next_of(&mut state);
        if matches!(next, Next::Nobody) {
            state.open -= 1;
        }
        next
    }

    fn close_idle(&self) {
        let mut state = self.state();
        state.open -= state.idle.len() as u64;
        state.idle.clear();
    }

    pub fn has_reactor_idle(&self) -> bool {
        self.idle_on_reactor.load(Ordering::Acquire) > 0
    }
}
