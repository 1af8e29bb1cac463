//! A value in use.

use super::{REFERENCES, Slot, Table};
use std::ops::Deref;
use std::sync::atomic::Ordering::AcqRel;

/// A counted reference to a value in the table; the value stays while this lives.
pub struct Held<V: Send + Sync + 'static> {
    pub(super) table: &'static Table<V>,
    pub(super) slot: &'static Slot<V>,
    pub(super) index: u32,
    /// Nobody else has a reference or can get one: giving this one back needs no counting.
    pub(super) sole: bool,
    /// Destructors must not run here.
    pub(super) in_signal: bool,
}

impl<V: Send + Sync + 'static> Held<V> {
    /// For signal handlers: should this turn out to be the last reference, then the value is
    /// dropped by a later `insert` or `close`, not here.
    pub fn in_signal(mut self) -> Held<V> {
        self.in_signal = true;
        self
    }

    /// The value, for as long as the slot holds it.
    #[inline]
    pub fn value(&self) -> &V {
        // SAFETY: with a reference held the value is initialised, and nobody writes to it.
        unsafe { (*self.slot.value.get()).assume_init_ref() }
    }
}

impl<V: Send + Sync + 'static> Deref for Held<V> {
    type Target = V;

    fn deref(&self) -> &V {
        self.value()
    }
}

impl<V: Send + Sync + 'static> Drop for Held<V> {
    #[inline]
    fn drop(&mut self) {
        if !self.sole {
            // Release: our use of the value comes before its end. Acquire: all uses come before it.
            let before = self.slot.state.fetch_sub(1, AcqRel);
            if before & REFERENCES > 1 {
                return;
            }
        }
        // The owner's reference is given back only after closing: nobody can come any more.
        if self.in_signal {
            self.table.orphan(self.slot, self.index);
        } else {
            self.table.destroy(self.slot, self.index);
        }
    }
}
