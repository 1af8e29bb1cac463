//! What the layer above keeps with an exchange. It outlives the request, since exchanges are used again.

use crate::http::Kept;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[derive(Default)]
pub struct Face {
    pub kept: Kept,
    /// By what name the user knows the exchange.
    name: AtomicUsize,
    /// Who ran before the handler has left that name to it.
    left: AtomicBool,
}

impl Face {
    pub fn name(&self) -> usize {
        self.name.load(Ordering::Relaxed)
    }

    pub fn set_name(&self, name: usize) {
        self.name.store(name, Ordering::Relaxed);
    }

    pub fn leave_name(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// The name that was left, once.
    pub fn take_name(&self) -> Option<usize> {
        if !self.left.load(Ordering::Relaxed) {
            return None;
        }
        self.left.store(false, Ordering::Relaxed);
        Some(self.name())
    }
}
