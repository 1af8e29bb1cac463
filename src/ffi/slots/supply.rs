//! Where free slots come from and go to: a queue for each shard, and slots that were never used.

use super::{ALL, SHARDS, SLOTS, Segment, Shard, Table};
use crate::ffi::free_list::Node;
use std::alloc::{Layout, alloc_zeroed};
use std::cell::Cell;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

impl<V: Send + Sync + 'static> Table<V> {
    fn home(&self, index: u32) -> &Shard {
        let segment = self.segment(index).expect("slots in use have a segment");
        &self.shards[segment.shard.load(Relaxed) as usize]
    }

    fn node(&self, node: u32) -> &Node {
        match node.checked_sub(ALL) {
            Some(shard) => &self.shards[shard as usize].first,
            None => &self.taken(node).as_node,
        }
    }

    /// Under the flag `hysock_no_reuse` (sanitizer builds) a slot comes back only when there is no
    /// unused one any more.
    pub(super) fn take_slot(&self) -> Option<u32> {
        let own = this_thread();
        let near = &self.shards[own];
        let near = if cfg!(hysock_no_reuse) {
            self.unused_slot(near).or_else(|| self.grow(own))
        } else {
            self.pop(near)
                .or_else(|| self.unused_slot(near))
                .or_else(|| self.grow(own))
        };
        near.or_else(|| {
            let any = |shard| self.pop(shard).or_else(|| self.unused_slot(shard));
            self.shards.iter().find_map(any)
        })
    }

    fn unused_slot(&self, shard: &Shard) -> Option<u32> {
        let mut unused = shard.unused.load(Acquire);
        loop {
            let (segment, next) = ((unused >> 32) as u32, unused as u32);
            if next >= SLOTS {
                return None;
            }
            match shard
                .unused
                .compare_exchange_weak(unused, unused + 1, AcqRel, Acquire)
            {
                Ok(_) => {
                    let index = segment * SLOTS + next;
                    self.taken(index).node.store(index, Relaxed);
                    return Some(index);
                }
                Err(now) => unused = now,
            }
        }
    }

    /// Adds a segment to the shard and takes its first slot.
    #[cold]
    fn grow(&self, shard: usize) -> Option<u32> {
        let more = |grown: u32| (grown < self.limit).then_some(grown + 1);
        let number = self.grown.fetch_update(Relaxed, Relaxed, more).ok()?;
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc_zeroed(Layout::new::<Segment<V>>()) }.cast::<Segment<V>>();
        // SAFETY: not null it is aligned, ours alone and never freed, and zeros are a valid
        // segment: atomics that are 0 and uninitialised values.
        let segment = unsafe { memory.as_ref() }?;
        segment.shard.store(shard as u32, Relaxed);
        self.segments[number as usize].store(memory, Release);

        let first = number * SLOTS;
        self.taken(first).node.store(first, Relaxed);
        let shard = &self.shards[shard];
        let seen = shard.unused.load(Relaxed);
        let rest = u64::from(number) << 32 | 1;
        let used_up = seen as u32 >= SLOTS;
        if !used_up
            || shard
                .unused
                .compare_exchange(seen, rest, AcqRel, Relaxed)
                .is_err()
        {
            // Another thread was faster and there are unused slots already: these go to the queue.
            for index in first + 1..first + SLOTS {
                self.taken(index).node.store(index, Relaxed);
                self.push(index);
            }
        }
        Some(first)
    }

    fn pop(&self, shard: &Shard) -> Option<u32> {
        let (index, spare) = shard.free.pop(|node| self.node(node))?;
        self.taken(index).node.store(spare, Relaxed);
        Some(index)
    }

    pub(super) fn push(&self, index: u32) {
        let spare = self.taken(index).node.load(Relaxed);
        self.home(index)
            .free
            .push(index, spare, |node| self.node(node));
    }
}

/// The shard of this thread.
fn this_thread() -> usize {
    thread_local! {
        static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut shard = SHARD.get();
    if shard == usize::MAX {
        shard = NEXT.fetch_add(1, Relaxed) as usize % SHARDS;
        SHARD.set(shard);
    }
    shard
}
