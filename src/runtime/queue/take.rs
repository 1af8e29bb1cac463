//! The form without callbacks: events come out as data. See [`taking`] for what happens to the nodes.

use super::{Queue, shut_down};
use crate::error::{Error, Operation, Result, Status};
use crate::runtime::context;
use crate::runtime::gate::deadline_after;
use crate::runtime::taking::{Held, Taker};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How late a wake may be heard by who waits while the descriptor is readable for another taker: a signal
/// handler can write to a descriptor and nothing else.
const MOMENT: Duration = Duration::from_millis(10);

/// Who takes from a queue.
#[derive(Default)]
pub struct Takers {
    /// Those that take right now.
    active: usize,
    /// What the others have.
    held: Vec<Held>,
}

impl Queue {
    /// From now on its events are taken.
    pub fn set_taken(&self) {
        if let Some(users) = &self.users {
            users.taken.store(true, Ordering::Release);
        }
    }

    pub fn is_taken(&self) -> bool {
        let users = self.users.as_ref();
        users.is_some_and(|users| users.taken.load(Ordering::Acquire))
    }

    /// Takes up to `room` events on this thread; waits for the first up to `timeout`. What this thread has
    /// from before, or what lies in `array`, is given back by that. With no `room` that is all.
    pub fn take(
        self: &Arc<Self>,
        array: usize,
        room: usize,
        timeout: Option<Duration>,
    ) -> Result<usize> {
        self.check()?;
        if timeout != Some(Duration::ZERO) && room > 0 {
            context::check_may_block("hysock_queue_take")?;
        }
        let Some(_taker) = Taker::begin() else {
            let what = "hysock_queue_take was called in a function that it runs itself";
            return Err(Error::new(Status::WouldDeadlock, Operation::Wait, what));
        };
        self.set_taken();
        self.give_back(|held| held.is_of(array));
        if room == 0 {
            return Ok(0);
        }
        let deadline = deadline_after(timeout);
        loop {
            let (taken, closed) = self.take_some(array, room);
            if taken > 0 {
                return Ok(taken);
            }
            if closed {
                return Err(shut_down());
            }
            let goes_on = !self.take_wake()
                && match self.is_stirred() {
                    true => self.wait_pushed(deadline),
                    false => self.wait_readable(deadline, None)?,
                };
            if !goes_on {
                return Ok(0);
            }
        }
    }

    fn is_stirred(&self) -> bool {
        self.state().stirred
    }

    /// Waits for a node, or for a moment: the descriptor is readable for another taker. `false` when the
    /// deadline has come.
    fn wait_pushed(&self, deadline: Option<Instant>) -> bool {
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return false;
        }
        let moment = left.map_or(MOMENT, |left| left.min(MOMENT));
        let mut state = self.state();
        if state.nodes.is_empty() && state.stirred && !state.closed {
            state.idle += 1;
            let waited = self.arrived.wait_timeout(state, moment);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.idle -= 1;
        }
        true
    }

    /// What is there; and whether nothing comes any more.
    fn take_some(self: &Arc<Self>, array: usize, room: usize) -> (usize, bool) {
        if let Some(mut takers) = self.takers() {
            takers.active += 1;
        }
        let mut held = Held::new(array);
        let mut left = room;
        let closed = loop {
            let mut state = self.state();
            if left == 0 {
                break state.closed;
            }
            let Some(node) = self.pop(&mut state) else {
                break state.closed;
            };
            drop(state);
            left -= held.deliver(self, node, left);
        };
        self.hold(held);
        if closed {
            self.give_back(|_| true);
        }
        (room - left, closed)
    }

    fn hold(&self, held: Held) {
        if let Some(mut takers) = self.takers() {
            takers.active -= 1;
            if !held.is_empty() {
                takers.held.push(held);
            }
        }
    }

    fn takers(&self) -> Option<MutexGuard<'_, Takers>> {
        let takers = &self.users.as_ref()?.takers;
        Some(takers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn give_back(&self, of: impl Fn(&Held) -> bool) {
        let Some(mut takers) = self.takers() else {
            return;
        };
        if takers.held.is_empty() {
            return;
        }
        let done: Vec<Held> = takers.held.extract_if(.., |held| of(held)).collect();
        drop(takers);
        done.into_iter().for_each(Held::give_back);
        self.calm();
    }

    /// When nobody holds anything any more, what waits comes out by itself.
    fn calm(&self) {
        let Some(takers) = self.takers() else {
            return;
        };
        if takers.active > 0 || !takers.held.is_empty() {
            return;
        }
        let mut state = self.state();
        if std::mem::take(&mut state.stirred)
            && state.nodes.is_empty()
            && !state.closed
            && let Some(users) = &self.users
        {
            users.clear_readable(&state);
        }
    }

    /// As [`Queue::stir`], if a taker has something.
    pub fn stir_held(&self) {
        let held = self
            .takers()
            .is_some_and(|takers| takers.active > 0 || !takers.held.is_empty());
        if held {
            self.stir();
        }
    }

    /// Something waits behind what a taker has: its next take will find it.
    pub fn stir(&self) {
        let Some(users) = &self.users else { return };
        let mut state = self.state();
        state.stirred = true;
        users.set_readable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::delivery::{self, Event, Executor, Node, Strand};
    use crate::runtime::{Config, Runtime, taking};
    use rustix::event::{PollFd, PollFlags, Timespec};
    use std::sync::Mutex;
    use std::sync::atomic::AtomicU32;

    /// Has one event after another, and something that is dropped at its end.
    struct Toy {
        strand: Strand,
        value: Mutex<Option<Value>>,
        ended: Arc<AtomicU32>,
    }

    struct Value(Arc<AtomicU32>);

    impl Drop for Value {
        fn drop(&mut self) {
            if taking::is_on() && !taking::note_drop() {
                return taking::postpone(Box::new(Value(self.0.clone())));
            }
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Node for Toy {
        fn strand(&self) -> &Strand {
            &self.strand
        }

        fn deliver(self: Arc<Self>, event: Event) {
            if event == Event::Call {
                taking::note();
            }
            drop(self.value.lock().unwrap().take_if(|_| event == Event::Gone));
            let ended = self.ended.clone();
            taking::settle(move || {
                ended.fetch_add(1, Ordering::Relaxed);
            });
        }

        fn abandon(self: Arc<Self>, event: Event) {
            self.deliver(event);
        }
    }

    struct Setup {
        _runtime: Arc<Runtime>,
        queue: Arc<Queue>,
        drops: Arc<AtomicU32>,
        ended: Arc<AtomicU32>,
    }

    impl Setup {
        fn new() -> Setup {
            let runtime = Runtime::start(&Config::default()).unwrap();
            Setup {
                queue: Queue::new(&runtime).unwrap(),
                _runtime: runtime,
                drops: Arc::default(),
                ended: Arc::default(),
            }
        }

        fn toy(&self) -> Arc<Toy> {
            Arc::new(Toy {
                strand: Strand::new(Executor::Queue(self.queue.clone())),
                value: Mutex::new(Some(Value(self.drops.clone()))),
                ended: self.ended.clone(),
            })
        }

        fn take(&self, room: usize) -> usize {
            self.queue.take(1, room, Some(Duration::ZERO)).unwrap()
        }

        fn counts(&self) -> (u32, u32) {
            let get = |count: &AtomicU32| count.load(Ordering::Relaxed);
            (get(&self.drops), get(&self.ended))
        }

        fn is_readable(&self) -> bool {
            let readable = &self.queue.users.as_ref().unwrap().readable;
            let mut polled = [PollFd::new(readable, PollFlags::IN)];
            rustix::event::poll(&mut polled, Some(&Timespec::default())).unwrap() > 0
        }
    }

    #[test]
    fn one_event_of_a_node_at_a_time() {
        let setup = Setup::new();
        let (a, b) = (setup.toy(), setup.toy());
        for _ in 0..2 {
            delivery::post_own(a.clone(), Event::Call);
        }
        delivery::post_own(b.clone(), Event::Call);
        assert_eq!(setup.take(8), 2, "one of each");
        assert_eq!(setup.counts(), (0, 0), "nothing has ended");
        assert!(setup.is_readable(), "the second one of the first waits");
        let elsewhere = {
            let queue = setup.queue.clone();
            std::thread::spawn(move || queue.take(2, 8, Some(Duration::from_millis(20))))
        };
        assert_eq!(elsewhere.join().unwrap(), Ok(0), "not for others");
        assert_eq!(setup.take(8), 1);
        assert_eq!(setup.take(0), 0, "only gives back");
        assert_eq!(setup.counts(), (0, 3));
        assert!(!setup.is_readable());
    }

    #[test]
    fn an_end_comes_behind_what_uses_it() {
        let setup = Setup::new();
        let toy = setup.toy();
        delivery::post_own(toy.clone(), Event::Call);
        delivery::post_own(toy, Event::Gone);
        assert_eq!(setup.take(8), 1);
        assert_eq!(setup.take(8), 1, "the drop");
        assert_eq!(setup.counts(), (1, 1), "its own end is still to come");
        assert!(setup.is_readable(), "it must be given back");
        assert_eq!(setup.take(8), 0);
        assert_eq!(setup.counts(), (1, 2));
        assert!(!setup.is_readable());
    }

    #[test]
    fn a_closed_queue_gives_back_and_drops_for_good() {
        let setup = Setup::new();
        let toy = setup.toy();
        delivery::post_own(toy.clone(), Event::Call);
        delivery::post_own(toy, Event::Gone);
        assert_eq!(setup.take(1), 1);
        setup.queue.close();
        assert_eq!(setup.counts(), (1, 2));
        let after = setup.queue.take(1, 1, None);
        assert_eq!(after.unwrap_err().status, crate::error::Status::ShutDown);
    }
}
