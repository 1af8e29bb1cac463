//! Numbers that are counted on one thread and read on any.

use std::sync::atomic::{AtomicU64, Ordering};

/// Written by one thread only, which so needs no locked instruction; read by any.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// On the one thread that counts.
    #[inline]
    pub fn add(&self, n: u64) {
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now.wrapping_add(n), Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Written by any thread: for what is rare.
#[derive(Debug, Default)]
pub struct SharedCount(AtomicU64);

impl SharedCount {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
