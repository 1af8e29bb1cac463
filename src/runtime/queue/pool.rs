//! The callback threads, and how many of them are woken.
//!
//! Callbacks may block, so each is to have a thread of its own; but to wake a thread costs more than a
//! short callback does. As long as callbacks are quick, one thread runs what comes, and another looks out:
//! every millisecond it sees how the first gets on. A callback that blocks is noticed by that, and then
//! each thread that finds more to do wakes the next, until callbacks have been quick for a while.

use super::{Queue, State};
use crate::runtime::delivery;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Callbacks that take less than this on average are quick.
const QUICK: Duration = Duration::from_micros(50);
/// So many bursts of quick ones in a row are believed.
const BURSTS: u32 = 8;
/// How often whoever looks out does so.
const LOOK: Duration = Duration::from_millis(1);
/// After so many looks at an empty queue it stops.
const LOOKS: u32 = 20;

/// What the callback threads know of each other.
#[derive(Default)]
pub struct Pool {
    /// Threads that neither wait nor look out.
    awake: usize,
    /// Threads that were told to wake up and have not yet.
    called: usize,
    /// Bursts of quick callbacks in a row, as far as they count.
    quick: u32,
    looked_out: bool,
    /// Callbacks that were begun so far.
    begun: u64,
}

impl Pool {
    /// One thread does, since another one looks out.
    fn one_does(&self) -> bool {
        self.quick == BURSTS && self.looked_out
    }

    fn end_burst(&mut self, time: Duration, ran: u32) {
        if ran > 0 {
            let quick = time < QUICK * ran;
            self.quick = if quick { BURSTS.min(self.quick + 1) } else { 0 };
        }
    }
}

impl State {
    /// There is something to do: whether one more thread is to wake up for it. The answer counts as done.
    pub(super) fn call_one(&mut self) -> bool {
        let pool = &mut self.pool;
        let enough = pool.one_does() && pool.awake + pool.called > 0;
        let calls = !self.nodes.is_empty() && self.idle > pool.called && !enough;
        pool.called += usize::from(calls);
        calls
    }

    /// Whether this thread is to look out instead of running callbacks.
    fn may_look_out(&self) -> bool {
        let pool = &self.pool;
        pool.quick == BURSTS && !pool.looked_out && pool.awake > 1 && !self.closed
    }
}

impl Queue {
    /// The life of a callback thread: runs nodes until the queue is closed and empty.
    pub(in crate::runtime) fn serve(&self) {
        let mut state = self.state();
        state.pool.awake += 1;
        let (mut began, mut ran) = (Instant::now(), 0);
        loop {
            if state.may_look_out() {
                state = self.look_out(state);
                (began, ran) = (Instant::now(), 0);
            }
            if let Some(node) = self.pop(&mut state) {
                state.pool.begun += 1;
                // One push wakes one thread; each thread that finds more wakes the next.
                let more = state.call_one();
                drop(state);
                if more {
                    self.arrived.notify_one();
                }
                delivery::run(&node);
                drop(node);
                ran += 1;
                state = self.state();
            } else if state.closed {
                state.pool.awake -= 1;
                return;
            } else {
                state.pool.end_burst(began.elapsed(), ran);
                state = self.rest(state);
                (began, ran) = (Instant::now(), 0);
            }
        }
    }

    fn rest<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.idle += 1;
        state.pool.awake -= 1;
        let woken = self.arrived.wait(state);
        let mut state = woken.unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        state.pool.awake += 1;
        state.pool.called = state.pool.called.saturating_sub(1);
        state
    }

    /// Returns when this thread has to do something itself, or nothing has come for a while.
    fn look_out<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.pool.looked_out = true;
        state.pool.awake -= 1;
        let (mut begun, mut empty, mut behind) = (state.pool.begun, 0, false);
        while !state.closed && empty < LOOKS {
            let looked = self.looked.wait_timeout(state, LOOK);
            state = looked.unwrap_or_else(PoisonError::into_inner).0;
            if state.nodes.is_empty() {
                (empty, behind) = (empty + 1, false);
                continue;
            }
            if state.pool.begun == begun {
                // Somebody blocks.
                state.pool.quick = 0;
                break;
            }
            if behind && !self.call_another(&mut state) {
                break;
            }
            (begun, empty, behind) = (state.pool.begun, 0, true);
        }
        state.pool.looked_out = false;
        state.pool.awake += 1;
        state
    }

    /// One more thread for what one thread does not manage; `false` when there is none.
    fn call_another(&self, state: &mut State) -> bool {
        let calls = state.idle > state.pool.called;
        if calls {
            state.pool.called += 1;
            self.arrived.notify_one();
        }
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::delivery::{Event, Executor, Node, Strand};
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread::JoinHandle;

    const DEADLINE: Duration = Duration::from_secs(20);

    /// Does one thing when it is delivered.
    struct Task {
        strand: Strand,
        does: Box<dyn Fn() + Send + Sync>,
    }

    impl Node for Task {
        fn strand(&self) -> &Strand {
            &self.strand
        }

        fn deliver(self: Arc<Self>, _: Event) {
            (self.does)();
        }

        fn abandon(self: Arc<Self>, _: Event) {}
    }

    struct Threads {
        queue: Arc<Queue>,
        threads: Vec<JoinHandle<()>>,
    }

    impl Threads {
        fn new(count: usize) -> Threads {
            let queue = Queue::for_pool();
            let serve = || {
                let queue = queue.clone();
                std::thread::spawn(move || queue.serve())
            };
            Threads {
                threads: (0..count).map(|_| serve()).collect(),
                queue,
            }
        }

        fn push(&self, tasks: Vec<Box<dyn Fn() + Send + Sync>>) {
            let node = |does| -> Arc<dyn Node> {
                let strand = Strand::new(Executor::Queue(self.queue.clone()));
                let task = Arc::new(Task { strand, does });
                // As `post` leaves it, but for the hand-over, which is below.
                task.strand.put(task.clone(), Event::Call);
                task
            };
            self.queue.push(tasks.into_iter().map(node));
        }

        /// Bursts of quick tasks, until one thread does them and another looks out.
        fn get_quick(&self) {
            let end = Instant::now() + DEADLINE;
            loop {
                let (done, all) = channel();
                let task = || -> Box<dyn Fn() + Send + Sync> {
                    let done = done.clone();
                    Box::new(move || done.send(()).unwrap())
                };
                self.push((0..16).map(|_| task()).collect());
                (0..16).for_each(|_| all.recv_timeout(DEADLINE).unwrap());
                if self.queue.state().pool.one_does() {
                    return;
                }
                assert!(Instant::now() < end, "quick tasks are not seen as such");
            }
        }

        fn end(self) {
            self.queue.close();
            for thread in self.threads {
                thread.join().unwrap();
            }
        }
    }

    /// A task that says that it has begun and waits for the gate.
    fn waits(begun: &Sender<()>, gate: &Arc<Mutex>) -> Box<dyn Fn() + Send + Sync> {
        let (begun, gate) = (begun.clone(), gate.clone());
        Box::new(move || {
            begun.send(()).unwrap();
            drop(gate.lock().unwrap_or_else(PoisonError::into_inner));
        })
    }

    type Mutex = std::sync::Mutex<()>;

    fn all_begin(begun: &Receiver<()>, count: usize) {
        for _ in 0..count {
            begun
                .recv_timeout(DEADLINE)
                .expect("each blocked task has a thread of its own");
        }
    }

    #[test]
    fn tasks_that_block_get_a_thread_each_from_the_first_on() {
        let threads = Threads::new(4);
        let (begun, tasks) = channel();
        let gate = Arc::new(Mutex::default());
        let closed = gate.lock().unwrap();
        threads.push((0..4).map(|_| waits(&begun, &gate)).collect());
        all_begin(&tasks, 4);
        drop(closed);
        threads.end();
    }

    #[test]
    fn whoever_looks_out_sees_that_a_task_blocks() {
        let threads = Threads::new(4);
        for _ in 0..10 {
            threads.get_quick();
            let (begun, tasks) = channel();
            let gate = Arc::new(Mutex::default());
            let closed = gate.lock().unwrap();
            threads.push((0..4).map(|_| waits(&begun, &gate)).collect());
            all_begin(&tasks, 4);
            drop(closed);
        }
        threads.end();
    }

    #[test]
    fn a_blocked_task_does_not_keep_later_ones_waiting() {
        let threads = Threads::new(2);
        threads.get_quick();
        let (begun, tasks) = channel();
        let gate = Arc::new(Mutex::default());
        let closed = gate.lock().unwrap();
        threads.push(vec![waits(&begun, &gate)]);
        all_begin(&tasks, 1);
        for _ in 0..100 {
            let begun = begun.clone();
            threads.push(vec![Box::new(move || begun.send(()).unwrap())]);
            all_begin(&tasks, 1);
        }
        drop(closed);
        threads.end();
    }
}
