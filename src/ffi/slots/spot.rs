//! Where a value is, once it was found.

use super::{Place, Slot, generation, is_open};
use std::sync::atomic::Ordering::Relaxed;

/// A slot and the generation of a value that was put into it: leads to the value without a search.
pub struct Spot<V: 'static> {
    pub(super) slot: &'static Slot<V>,
    pub(super) place: Place,
}

impl<V> Clone for Spot<V> {
    fn clone(&self) -> Spot<V> {
        *self
    }
}

impl<V> Copy for Spot<V> {}

impl<V> Spot<V> {
    pub fn place(self) -> Place {
        self.place
    }

    /// Whether the value was not closed yet.
    #[inline]
    pub fn is_open(self) -> bool {
        let state = self.slot.state.load(Relaxed);
        is_open(state) && generation(state) == self.place.generation
    }
}
