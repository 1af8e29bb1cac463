//! Slots that stay with one owner.

use super::{CLOSED, Place, REFERENCES, Slot, Spot, Table, generation};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// A slot that one owner uses for one value after another, without the queue of free ones.
pub struct Reserved<V: Send + Sync + 'static> {
    table: &'static Table<V>,
    slot: &'static Slot<V>,
    index: u32,
}

impl<V: Send + Sync + 'static> Drop for Reserved<V> {
    fn drop(&mut self) {
        let slot = self.slot;
        // Nobody inserts any more, so a slot that is free now stays free until it is pushed here. One
        // that holds a value is pushed by its `destroy`, or by nobody when that has looked already: a
        // slot is lost then, never given twice.
        let is_free = slot.state.load(Acquire) & (CLOSED | REFERENCES) == 0;
        slot.reserved.store(false, Release);
        if is_free {
            self.table.push(self.index);
        }
    }
}

impl<V: Send + Sync + 'static> Table<V> {
    /// Takes a slot out of the queue for values of `kind`.
    pub fn reserve(&'static self, kind: u32) -> Option<Reserved<V>> {
        self.bury_orphans();
        let index = self.take_slot()?;
        let slot = self.taken(index);
        slot.kind.store(kind, Relaxed);
        slot.reserved.store(true, Relaxed);
        Some(Reserved {
            table: self,
            slot,
            index,
        })
    }

    /// Stores a value in a reserved slot; gives it back when the slot holds one, or has used up its
    /// generations.
    #[inline]
    pub fn insert_reserved(&'static self, reserved: &Reserved<V>, value: V) -> Result<Spot<V>, V> {
        let slot = reserved.slot;
        let state = slot.state.load(Relaxed);
        let generation = generation(state);
        let free = u64::from(generation) << 32;
        // Closed without references: taken by this thread, and nobody can acquire it yet.
        if slot
            .state
            .compare_exchange(free, free | CLOSED, Acquire, Relaxed)
            .is_err()
        {
            return Err(value);
        }
        // SAFETY: the exchange above succeeded, so this thread alone has the slot.
        unsafe { (*slot.value.get()).write(value) };
        slot.state.store(free | 1, Release);
        let index = reserved.index;
        let place = Place { index, generation };
        Ok(Spot { slot, place })
    }
}
