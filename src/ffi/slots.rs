//! The table behind the handles: slots that are never freed, each with a state word that says which
//! generation lives in it, whether it was closed, and how many use it right now.
//!
//! Lock-free throughout, for three reasons: signal handlers use it, a child that forked in the
//! middle of another thread's call must be able to use it, and connections share nothing that they
//! wait for.
//!
//! The life of a slot: `insert` takes a free one and stores a value with one reference, the
//! owner's. `acquire` adds a reference while the generation is right and the slot not closed.
//! `close` marks it closed, once, and hands out the owner's reference. Whoever gives back the last
//! reference takes the value out, moves the generation on, gives the slot back, and only then drops
//! the value.

mod held;
mod reserved;
mod spot;
mod supply;

pub use held::Held;
pub use reserved::Reserved;
pub use spot::Spot;

use super::free_list::{FreeList, Node};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64};

const SLOTS: u32 = 1024;
const SEGMENTS: u32 = 1024;
/// Slots in all; also the index of the first queue node that is no slot.
const ALL: u32 = SLOTS * SEGMENTS;
/// Free slots stand in this many queues; threads spread over them.
const SHARDS: usize = 8;

/// The state word: `[generation 32][closed 1][references 31]`. All zero is a free slot.
const CLOSED: u64 = 1 << 31;
const REFERENCES: u64 = CLOSED - 1;

fn generation(state: u64) -> u32 {
    (state >> 32) as u32
}

fn is_open(state: u64) -> bool {
    state & CLOSED == 0 && state & REFERENCES > 0
}

/// One place for a value; a cache line of its own.
#[repr(align(64))]
struct Slot<V> {
    state: AtomicU64,
    /// Initialised exactly while the references are not 0.
    value: UnsafeCell<MaybeUninit<V>>,
    /// What the value is, for counting.
    kind: AtomicU32,
    /// The queue node that this slot brings along when it is given back.
    node: AtomicU32,
    /// The next slot in the list of orphans, plus one.
    orphan: AtomicU32,
    /// Belongs to a [`Reserved`], which alone gives it back.
    reserved: AtomicBool,
    as_node: Node,
}

// SAFETY: a value is moved in and out by the one thread that holds its slot alone, and shared
// between threads only by reference in between; everything else in a slot is atomic.
unsafe impl<V: Send + Sync> Sync for Slot<V> {}

/// 1024 slots, which belong to one shard.
struct Segment<V> {
    shard: AtomicU32,
    slots: [Slot<V>; SLOTS as usize],
}

/// A queue of free slots, and slots that were never used.
struct Shard {
    free: FreeList,
    /// `[segment 32][next unused slot in it 32]`.
    unused: AtomicU64,
    /// The node that the empty queue begins with.
    first: Node,
}

impl Shard {
    const fn new(index: u32) -> Shard {
        Shard {
            free: FreeList::new(ALL + index),
            unused: AtomicU64::new(SLOTS as u64),
            first: Node::new(),
        }
    }
}

/// See the top of this file.
pub struct Table<V> {
    segments: [AtomicPtr<Segment<V>>; SEGMENTS as usize],
    shards: [Shard; SHARDS],
    /// Segments in use, and how many there may be.
    grown: AtomicU32,
    limit: u32,
    /// Slots whose last reference was given back where no destructor may run; plus one.
    orphans: AtomicU32,
}

// SAFETY: a value is moved in and out by the one thread that holds its slot alone, and shared
// between threads only by reference in between; everything else in the table is atomic.
unsafe impl<V: Send + Sync> Sync for Table<V> {}
// SAFETY: as above; the raw pointers lead to memory that belongs to the table and is never freed.
unsafe impl<V: Send + Sync> Send for Table<V> {}

/// Where a value lives; together with the kind this is what a handle says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub index: u32,
    pub generation: u32,
}

impl<V: Send + Sync + 'static> Table<V> {
    pub const fn new() -> Table<V> {
        Table::with_limit(SEGMENTS)
    }

    const fn with_limit(limit: u32) -> Table<V> {
        let mut shards = [const { Shard::new(0) }; SHARDS];
        let mut index = 0;
        while index < SHARDS {
            shards[index] = Shard::new(index as u32);
            index += 1;
        }
        Table {
            segments: [const { AtomicPtr::new(null_mut()) }; SEGMENTS as usize],
            shards,
            grown: AtomicU32::new(0),
            limit,
            orphans: AtomicU32::new(0),
        }
    }

    /// Stores a value; gives it back when the table is full.
    pub fn insert(&'static self, kind: u32, value: V) -> Result<Place, V> {
        self.bury_orphans();
        let Some(index) = self.take_slot() else {
            return Err(value);
        };
        let slot = self.taken(index);
        // SAFETY: the slot was free and `take_slot` gave it to this thread alone; with 0 references
        // nobody looks at the value.
        unsafe { (*slot.value.get()).write(value) };
        slot.kind.store(kind, Relaxed);
        let generation = generation(slot.state.load(Relaxed));
        // Release: who acquires the slot sees the value.
        slot.state.store(u64::from(generation) << 32 | 1, Release);
        Ok(Place { index, generation })
    }

    /// A reference to the value, unless it was closed or the slot holds another one by now.
    #[inline]
    pub fn acquire(&'static self, place: Place) -> Option<Held<V>> {
        let slot = self.slot(place.index)?;
        let mut state = slot.state.load(Relaxed);
        loop {
            if !is_open(state) || generation(state) != place.generation {
                return None;
            }
            match slot
                .state
                .compare_exchange_weak(state, state + 1, Acquire, Relaxed)
            {
                Ok(_) => return Some(self.held(slot, place.index, false)),
                Err(now) => state = now,
            }
        }
    }

    /// Ends the value for everyone who comes later, and hands out the owner's reference; `None`
    /// when it had ended already.
    pub fn close(&'static self, place: Place) -> Option<Held<V>> {
        let slot = self.slot(place.index)?;
        self.close_spot(Spot { slot, place })
    }

    /// As [`Table::close`].
    #[inline]
    pub fn close_spot(&'static self, spot: Spot<V>) -> Option<Held<V>> {
        self.bury_orphans();
        let Spot { slot, place } = spot;
        let mut state = slot.state.load(Relaxed);
        loop {
            if !is_open(state) || generation(state) != place.generation {
                return None;
            }
            match slot
                .state
                .compare_exchange_weak(state, state | CLOSED, Acquire, Relaxed)
            {
                Ok(_) => {
                    let sole = state & REFERENCES == 1;
                    return Some(self.held(slot, place.index, sole));
                }
                Err(now) => state = now,
            }
        }
    }

    /// Where `acquire` would find the value, without taking a reference; `None` when it would not.
    pub fn spot(&self, place: Place) -> Option<Spot<V>> {
        let slot = self.slot(place.index)?;
        Some(Spot { slot, place }).filter(|spot| spot.is_open())
    }

    /// How many values of these kinds were inserted and not closed: looks at every slot, so that
    /// nothing must be counted on the way.
    pub fn live(&self, of: impl Fn(u32) -> bool) -> usize {
        let grown = self.grown.load(Acquire);
        let segments = (0..grown).filter_map(|number| self.segment(number * SLOTS));
        let live =
            |slot: &&Slot<V>| is_open(slot.state.load(Acquire)) && of(slot.kind.load(Relaxed));
        segments
            .map(|segment| segment.slots.iter().filter(live).count())
            .sum()
    }

    fn held(&'static self, slot: &'static Slot<V>, index: u32, sole: bool) -> Held<V> {
        Held {
            table: self,
            slot,
            index,
            sole,
            in_signal: false,
        }
    }

    fn segment(&self, index: u32) -> Option<&'static Segment<V>> {
        let segment = self.segments.get((index / SLOTS) as usize)?.load(Acquire);
        // SAFETY: the pointer is null or leads to a segment that was complete before it was stored
        // here, and segments are never freed.
        unsafe { segment.as_ref() }
    }

    fn slot(&self, index: u32) -> Option<&'static Slot<V>> {
        let segment = self.segment(index)?;
        Some(&segment.slots[(index % SLOTS) as usize])
    }

    /// A slot whose index came out of the table itself.
    fn taken(&self, index: u32) -> &'static Slot<V> {
        self.slot(index).expect("slots in use have a segment")
    }

    /// Takes out the value of a closed slot without references, gives the slot back, drops the
    /// value.
    fn destroy(&self, slot: &Slot<V>, index: u32) {
        // SAFETY: the slot is closed and this thread gave back its last reference, so nobody else
        // can reach the value, and it is taken out only here.
        let value = unsafe { (*slot.value.get()).assume_init_read() };
        let next = generation(slot.state.load(Relaxed)).wrapping_add(1);
        let reserved = slot.reserved.load(Relaxed);
        // After the last generation the slot retires: its old handles stay wrong for ever.
        let retired = if next == 0 { CLOSED } else { 0 };
        slot.state.store(u64::from(next) << 32 | retired, Release);
        if next != 0 && !reserved {
            self.push(index);
        }
        drop(value);
    }

    fn bury_orphans(&self) {
        if self.orphans.load(Relaxed) != 0 {
            self.bury();
        }
    }

    #[cold]
    fn bury(&self) {
        let mut list = self.orphans.swap(0, Acquire);
        while let Some(index) = list.checked_sub(1) {
            let slot = self.taken(index);
            list = slot.orphan.load(Relaxed);
            self.destroy(slot, index);
        }
    }

    /// Async-signal-safe.
    fn orphan(&self, slot: &Slot<V>, index: u32) {
        let mut list = self.orphans.load(Relaxed);
        loop {
            slot.orphan.store(list, Relaxed);
            match self
                .orphans
                .compare_exchange_weak(list, index + 1, Release, Relaxed)
            {
                Ok(_) => return,
                Err(now) => list = now,
            }
        }
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
