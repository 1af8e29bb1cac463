//! What one function of the user gets to hear, item by item: a bounded buffer, and the number of those that
//! found no room in it. Whoever has a feed delivers it as one of its events.

use super::{context, taking};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub type FeedFn<T> = Box<dyn Fn(&T) + Send + Sync>;

pub struct Feed<T> {
    bound: usize,
    buffer: Mutex<Buffer<T>>,
    /// Taken out while it runs; its owner's strand sees to it that it runs once at a time.
    f: Mutex<Option<FeedFn<T>>>,
}

struct Buffer<T> {
    items: VecDeque<T>,
    /// How many found no room, since somebody asked last.
    lost: u64,
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits alone: an event must be posted.
    First,
    /// It waits behind others, for which an event is on its way.
    Behind,
    Lost,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Feed<T> {
    pub fn new(bound: usize, f: FeedFn<T>) -> Feed<T> {
        Feed {
            bound,
            buffer: Mutex::new(Buffer {
                items: VecDeque::new(),
                lost: 0,
            }),
            f: Mutex::new(Some(f)),
        }
    }

    pub fn push(&self, item: T) -> Pushed {
        let mut buffer = lock(&self.buffer);
        if buffer.items.len() >= self.bound {
            buffer.lost += 1;
            return Pushed::Lost;
        }
        buffer.items.push_back(item);
        match buffer.items.len() {
            1 => Pushed::First,
            _ => Pushed::Behind,
        }
    }

    /// Runs the function with each item that waits, as long as it is `wanted`. `about_lost` may add a last
    /// item about those that were lost. Says whether a taker has no room for the rest: it is to be run again.
    #[must_use]
    pub fn run(
        &self,
        wanted: impl Fn() -> bool,
        about_lost: impl FnOnce(u64) -> Option<T>,
    ) -> bool {
        let Some(f) = lock(&self.f).take() else {
            return false;
        };
        let (items, lost, more) = {
            let mut buffer = lock(&self.buffer);
            let room = taking::room();
            // One place for the line about those that were lost.
            let more = buffer.items.len() >= room;
            let first = if more {
                buffer.items.drain(..room).collect()
            } else {
                std::mem::take(&mut buffer.items)
            };
            let lost = if more {
                0
            } else {
                std::mem::take(&mut buffer.lost)
            };
            let more = more && (!buffer.items.is_empty() || buffer.lost > 0);
            (first, lost, more)
        };
        let last = (lost > 0).then(|| about_lost(lost)).flatten();
        for item in items.into_iter().chain(last) {
            if wanted() {
                context::callback(|| f(&item));
            }
        }
        *lock(&self.f) = Some(f);
        more
    }

    /// The end: nothing runs any more.
    pub fn drop_function(&self) {
        drop(lock(&self.f).take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn feed(bound: usize) -> (Feed<u32>, Arc<Mutex<Vec<u32>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let to = seen.clone();
        let f = move |item: &u32| lock(&to).push(*item);
        (Feed::new(bound, Box::new(f)), seen)
    }

    #[test]
    fn items_come_in_order_and_the_bound_holds() {
        let (feed, seen) = feed(2);
        let pushed = [1, 2, 3, 4].map(|item| feed.push(item));
        use Pushed::{Behind, First, Lost};
        assert_eq!(pushed, [First, Behind, Lost, Lost]);
        assert!(!feed.run(|| true, |lost| Some(100 + lost as u32)));
        assert_eq!(*lock(&seen), [1, 2, 102]);
        assert_eq!(feed.push(5), First, "there is room again");
        assert!(!feed.run(|| true, |_| panic!("nothing was lost since")));
        assert_eq!(*lock(&seen), [1, 2, 102, 5]);
    }

    #[test]
    fn what_is_no_longer_wanted_is_dropped() {
        let (feed, seen) = feed(4);
        feed.push(1);
        feed.push(2);
        assert!(!feed.run(|| lock(&seen).is_empty(), |_| None));
        assert_eq!(*lock(&seen), [1]);
        assert_eq!(feed.push(3), Pushed::First);
    }

    #[test]
    fn the_function_ends_once() {
        let (feed, seen) = feed(4);
        feed.drop_function();
        assert_eq!(Arc::strong_count(&seen), 1);
        feed.push(1);
        assert!(!feed.run(|| true, |_| None));
        feed.drop_function();
        assert!(lock(&seen).is_empty());
    }
}
