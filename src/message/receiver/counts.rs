//! What a receiver has seen.

use super::Receiver;
use std::sync::atomic::{AtomicU64, Ordering};

/// What goes wrong on the way in, counted.
#[derive(Default)]
pub(super) struct Counters {
    pub producers: AtomicU64,
    pub truncated: AtomicU64,
    pub oversize: AtomicU64,
    pub skipped: AtomicU64,
    pub fds_refused: AtomicU64,
    pub timed_out: AtomicU64,
    pub abandoned: AtomicU64,
    pub forbidden: AtomicU64,
    pub overload: AtomicU64,
    pub listeners_lost: AtomicU64,
}

/// What a receiver has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that were handed over.
    pub received: u64,
    pub received_bytes: u64,
    /// By the overflow policy.
    pub dropped: u64,
    /// Bytes of the budget that are held now.
    pub held: u64,
    pub producers_total: u64,
    pub producers: u64,
    /// Messages that ended too early.
    pub truncated: u64,
    /// Producers that announced too much.
    pub oversize: u64,
    /// Lines and datagrams beyond the limit.
    pub skipped: u64,
    pub fds_refused: u64,
    pub timed_out: u64,
    /// Messages that the end found undelivered.
    pub abandoned: u64,
    /// Producers that no allow rule admits.
    pub forbidden: u64,
    /// Producers beyond the share of their user.
    pub overload: u64,
    /// Socket files that somebody removed or replaced.
    pub listeners_lost: u64,
}

impl Receiver {
    pub fn counts(&self) -> Counts {
        let funnel = self.funnel.counts();
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        Counts {
            received: funnel.received,
            received_bytes: funnel.received_bytes,
            dropped: funnel.dropped,
            held: funnel.held,
            producers_total: get(&counters.producers),
            producers: get(&self.connections),
            truncated: get(&counters.truncated),
            oversize: get(&counters.oversize),
            skipped: get(&counters.skipped) + funnel.skipped,
            fds_refused: get(&counters.fds_refused),
            timed_out: get(&counters.timed_out),
            abandoned: get(&counters.abandoned),
            forbidden: get(&counters.forbidden),
            overload: get(&counters.overload),
            listeners_lost: get(&counters.listeners_lost),
        }
    }
}
