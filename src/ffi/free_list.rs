//! A first-in-first-out queue of free slots (Michael and Scott's), without locks and without memory
//! of its own.
//!
//! The queue holds one node more than slots, so a node does not stay with its slot: whoever takes a
//! slot out gets the node that became superfluous with it, and brings that one when the slot comes
//! back. Nodes are never freed. Links carry a counter, so that a slow thread cannot mistake a
//! reused node for the one it saw.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// An element of a queue.
pub struct Node {
    next: AtomicU64,
    slot: AtomicU32,
}

impl Node {
    pub const fn new() -> Node {
        Node {
            next: AtomicU64::new(0),
            slot: AtomicU32::new(0),
        }
    }
}

#[repr(align(64))]
struct Line(AtomicU64);

/// See the top of this file. Nodes are known by number; each call is told how to find one.
pub struct FreeList {
    head: Line,
    tail: Line,
}

/// A link: `[counter 40][node plus one 24]`; node part 0 is the end.
const NODE_BITS: u32 = 24;

const fn link(counter: u64, node: u32) -> u64 {
    counter << NODE_BITS | (node as u64 + 1)
}

fn end(counter: u64) -> u64 {
    counter << NODE_BITS
}

fn counter(link: u64) -> u64 {
    link >> NODE_BITS
}

fn node_of(link: u64) -> Option<u32> {
    ((link & ((1 << NODE_BITS) - 1)) as u32).checked_sub(1)
}

impl FreeList {
    /// An empty queue, which begins with the node `first`.
    pub const fn new(first: u32) -> FreeList {
        FreeList {
            head: Line(AtomicU64::new(link(0, first))),
            tail: Line(AtomicU64::new(link(0, first))),
        }
    }

    /// The slot that waits longest, and a node that is the caller's from now on.
    pub fn pop<'a>(&self, node: impl Fn(u32) -> &'a Node) -> Option<(u32, u32)> {
        loop {
            let head = self.head.0.load(Acquire);
            let tail = self.tail.0.load(Acquire);
            let first = node_of(head)?;
            let next = node(first).next.load(Acquire);
            if head != self.head.0.load(Acquire) {
                continue;
            }
            let after = node_of(next)?;
            if node_of(tail) == Some(first) {
                self.help(tail, after);
                continue;
            }
            // Read before the exchange: afterwards the node may be on its way again.
            let slot = node(after).slot.load(Relaxed);
            let moved = link(counter(head) + 1, after);
            if self
                .head
                .0
                .compare_exchange_weak(head, moved, AcqRel, Relaxed)
                .is_ok()
            {
                return Some((slot, first));
            }
        }
    }

    /// Appends a slot, with a node that was the caller's.
    pub fn push<'a>(&self, slot: u32, spare: u32, node: impl Fn(u32) -> &'a Node) {
        let new = node(spare);
        new.slot.store(slot, Relaxed);
        new.next
            .store(end(counter(new.next.load(Relaxed)) + 1), Release);
        loop {
            let tail = self.tail.0.load(Acquire);
            let last = node(node_of(tail).expect("a queue has at least one node"));
            let next = last.next.load(Acquire);
            if tail != self.tail.0.load(Acquire) {
                continue;
            }
            if let Some(after) = node_of(next) {
                self.help(tail, after);
                continue;
            }
            let joined = link(counter(next) + 1, spare);
            if last
                .next
                .compare_exchange_weak(next, joined, AcqRel, Relaxed)
                .is_ok()
            {
                self.help(tail, spare);
                return;
            }
        }
    }

    /// Moves a tail that lags behind; whoever sees it does.
    fn help(&self, tail: u64, after: u32) {
        let moved = link(counter(tail) + 1, after);
        self.tail
            .0
            .compare_exchange(tail, moved, AcqRel, Relaxed)
            .ok();
    }
}
