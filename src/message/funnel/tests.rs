//! The funnel by itself: who is woken, and what is counted.

use super::room::Room;
use super::*;
use crate::message::flags;
use crate::message::source::Source;
use crate::runtime::io_thread::IoThread;
use crate::runtime::{self, Runtime};
use crate::socket::peer::{Known, Record};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};
use std::time::{Duration, Instant};

const STEP: u64 = READ_MAX as u64;

struct Stage {
    runtime: Arc<Runtime>,
    funnel: Arc<Funnel>,
}

impl Stage {
    fn new(bytes: u64, overflow: Overflow) -> Stage {
        let budget = Budget {
            bytes,
            per_producer: bytes,
            overflow,
        };
        Stage {
            runtime: Runtime::start(&runtime::Config::default()).unwrap(),
            funnel: Funnel::new(budget, Box::new(|| {})),
        }
    }

    fn thread(&self) -> &Arc<IoThread> {
        &self.runtime.io_threads()[0]
    }

    /// Room that must be there at once.
    fn now(&self, source: &Arc<Source>, inside: bool) -> Reserved {
        let mut room = self.funnel.room(source, inside, self.thread());
        let woken = Arc::new(Woken::default());
        match Pin::new(&mut room).poll(&mut Context::from_waker(&woken.into())) {
            Poll::Ready(reserved) => reserved,
            Poll::Pending => panic!("no room"),
        }
    }

    fn put(&self, source: &Arc<Source>, message: &[u8]) -> bool {
        let reserved = self.funnel.reserve_event();
        reserved.append(source, |appending| {
            appending.message(Payload::Slice(message), 0)
        })
    }

    /// A message under way of so many bytes.
    fn begin(&self, source: &Arc<Source>, bytes: u64) {
        let reserved = self.funnel.reserve_event();
        reserved.append(source, |appending| appending.partial = bytes);
    }

    fn numbers(&self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(batch) = self.funnel.take(usize::MAX) {
            batch.each(|entry, _, data| match entry.flags {
                0 => all.push(data[0]),
                _ => all.push(b'e'),
            });
        }
        all
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.runtime.shutdown(Some(Duration::ZERO)).unwrap();
        self.runtime.wait(Some(Duration::from_secs(20))).unwrap();
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

impl Woken {
    fn expect(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.0.load(Ordering::Acquire) < count {
            assert!(Instant::now() < deadline, "a wake was lost");
            std::thread::yield_now();
        }
    }
}

fn source(id: u64) -> Arc<Source> {
    Source::new(id, Record::of(Known::Unsupported))
}

/// Polls once: whether there is room.
fn poll(room: &mut Room<'_>, woken: &Arc<Woken>) -> Option<Reserved> {
    let waker = woken.clone().into();
    match Pin::new(room).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(reserved) => Some(reserved),
        Poll::Pending => None,
    }
}

#[test]
fn a_reader_that_looks_twice_takes_nobodys_wake() {
    let stage = Stage::new(STEP, Overflow::Block);
    let (one, two) = (source(1), source(2));
    let held = stage.now(&source(3), false);
    let woken = [Arc::new(Woken::default()), Arc::new(Woken::default())];
    let mut first = stage.funnel.room(&one, false, stage.thread());
    let mut second = stage.funnel.room(&two, false, stage.thread());
    for _ in 0..3 {
        assert!(poll(&mut first, &woken[0]).is_none());
    }
    assert!(poll(&mut second, &woken[1]).is_none());
    drop(held);
    woken[0].expect(1);
    drop(poll(&mut first, &woken[0]).expect("its turn"));
    woken[1].expect(1);
    assert!(poll(&mut second, &woken[1]).is_some());
}

#[test]
fn who_comes_later_stands_behind_those_that_wait() {
    let stage = Stage::new(STEP, Overflow::Block);
    let sources = [source(1), source(2), source(3)];
    let woken: [Arc<Woken>; 3] = Default::default();
    let held = stage.now(&source(4), false);
    let mut rooms: Vec<_> = sources
        .iter()
        .map(|source| stage.funnel.room(source, false, stage.thread()))
        .collect();
    assert!(poll(&mut rooms[0], &woken[0]).is_none());
    assert!(poll(&mut rooms[1], &woken[1]).is_none());
    drop(held);
    woken[0].expect(1);
    // There is room, but it is the first one's, who has not looked yet.
    assert!(poll(&mut rooms[2], &woken[2]).is_none());
    drop(poll(&mut rooms[0], &woken[0]).expect("its turn"));
    woken[1].expect(1);
    drop(poll(&mut rooms[1], &woken[1]).expect("its turn"));
    woken[2].expect(1);
    assert!(poll(&mut rooms[2], &woken[2]).is_some());
}

#[test]
fn who_gives_up_after_the_wake_passes_it_on() {
    let stage = Stage::new(STEP, Overflow::Block);
    let (one, two) = (source(1), source(2));
    let held = stage.now(&source(3), false);
    let woken = [Arc::new(Woken::default()), Arc::new(Woken::default())];
    let mut first = stage.funnel.room(&one, false, stage.thread());
    let mut second = stage.funnel.room(&two, false, stage.thread());
    assert!(poll(&mut first, &woken[0]).is_none());
    assert!(poll(&mut second, &woken[1]).is_none());
    drop(held);
    woken[0].expect(1);
    drop(first);
    woken[1].expect(1);
}

#[test]
fn messages_under_way_never_block_each_other() {
    let stage = Stage::new(2 * STEP, Overflow::Block);
    let (fresh, inside, batch) = (source(1), source(2), source(3));
    stage.put(&batch, b"x");
    stage.begin(&inside, 2 * STEP);
    let woken = [Arc::new(Woken::default()), Arc::new(Woken::default())];
    let mut first = stage.funnel.room(&fresh, false, stage.thread());
    let mut second = stage.funnel.room(&inside, true, stage.thread());
    assert!(poll(&mut first, &woken[0]).is_none());
    assert!(poll(&mut second, &woken[1]).is_none());
    // Now only what is under way is held: it must go on, although another waits before it.
    drop(stage.funnel.take(1));
    woken[1].expect(1);
    assert!(poll(&mut second, &woken[1]).is_some());
    assert!(poll(&mut first, &woken[0]).is_none());
}

#[test]
fn what_is_given_back_is_counted_exactly() {
    let stage = Stage::new(4 * STEP, Overflow::Block);
    let (one, two) = (source(1), source(2));
    for n in 0..10 {
        assert!(stage.put(if n % 3 == 0 { &one } else { &two }, &[n]));
    }
    stage.begin(&one, 1000);
    assert_eq!(stage.funnel.counts().held, 10 * charge(1) + 1000);
    let some = stage.funnel.take(4).unwrap();
    assert_eq!(some.len(), 4);
    drop(some);
    assert_eq!(stage.funnel.counts().held, 6 * charge(1) + 1000);
    stage.begin(&one, 0);
    assert_eq!(stage.numbers(), [4, 5, 6, 7, 8, 9]);
    assert_eq!(stage.funnel.counts().held, 0);
    assert_eq!(one.held.load(Ordering::Acquire), 0);
    assert_eq!(two.held.load(Ordering::Acquire), 0);
}

#[test]
fn the_oldest_message_goes_and_events_stay() {
    let stage = Stage::new(4 * charge(1), Overflow::DropOldest);
    let one = source(1);
    let reserved = stage.funnel.reserve_event();
    reserved.append(&one, |appending| {
        appending.event(flags::CONNECTED, 0, &[]);
    });
    for n in 0..6 {
        assert!(stage.put(&one, &[n]));
    }
    assert_eq!(stage.numbers(), [b'e', 3, 4, 5]);
    let counts = stage.funnel.counts();
    assert_eq!((counts.dropped, counts.received, counts.held), (3, 3, 0));
}

#[test]
fn the_newest_is_dropped_beyond_the_whole_budget_only() {
    let stage = Stage::new(4 * charge(1), Overflow::DropNewest);
    let one = source(1);
    // Room that other readers have reserved is not full.
    let reserved = stage.now(&source(2), false);
    let kept: Vec<bool> = (0..6).map(|n| stage.put(&one, &[n])).collect();
    assert_eq!(kept, [true, true, true, true, false, false]);
    drop(reserved);
    assert_eq!(stage.numbers(), [0, 1, 2, 3]);
    assert_eq!(stage.funnel.counts().dropped, 2);
    assert_eq!(stage.funnel.counts().held, 0);
}
