//! What a server counts. Each I/O thread counts for itself, with plain loads and stores; who asks adds it up
//! without stopping anybody.

use super::Server;
use crate::count::{Count, SharedCount};
use crate::socket::stream::Meter;
use http::StatusCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Counted on one I/O thread, written by that thread only. On lines of its own: nobody else's writes slow
/// it down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ShardStats {
    pub connections: Count,
    /// Requests whose head has come.
    pub requests: Count,
    /// Heads that are no HTTP: such a connection got a 400 or a 431 and is no request.
    pub malformed: Count,
    /// By the first digit of their status, 1 to 5.
    answers: [Count; 5],
    /// Requests that got no answer, since their client or their connection was gone before.
    pub unanswered: Count,
    /// Requests refused by an allow rule.
    pub forbidden: Count,
    /// Requests refused by a limit.
    pub overloads: Count,
    /// Connections closed by a deadline.
    pub timeouts_head: Count,
    pub timeouts_idle: Count,
    pub timeouts_progress: Count,
    /// Requests that got a 503 since their handler took too long.
    pub timeouts_handler: Count,
    /// Of all connections; each stream counts here.
    pub bytes: Arc<Meter>,
}

impl ShardStats {
    /// An answer begins, a 101 included.
    pub fn answer(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100);
        if let Some(count) = class.checked_sub(1).and_then(|i| self.answers.get(i)) {
            count.add(1);
        }
    }

    /// The library itself answers a request, which is counted among the answers too.
    pub fn refusal(&self, status: StatusCode) {
        match status {
            StatusCode::FORBIDDEN => self.forbidden.add(1),
            StatusCode::SERVICE_UNAVAILABLE => self.overloads.add(1),
            _ => {}
        }
    }
}

/// All that a server counts.
#[derive(Debug)]
pub struct Stats {
    made: Instant,
    shards: Box<[Arc<ShardStats>]>,
    /// Connections closed at once: an allow rule or a limit of their uid.
    pub connections_refused: SharedCount,
    /// What accept failed with, shortages of the system included.
    pub accept_errors: SharedCount,
    /// Listeners whose file was removed or replaced while they served.
    pub listeners_lost: SharedCount,
}

impl Stats {
    pub fn new(io_threads: usize) -> Stats {
        Stats {
            made: Instant::now(),
            shards: (0..io_threads).map(|_| Arc::default()).collect(),
            connections_refused: SharedCount::default(),
            accept_errors: SharedCount::default(),
            listeners_lost: SharedCount::default(),
        }
    }

    /// What the I/O thread with that index counts in.
    pub fn shard(&self, index: usize) -> &Arc<ShardStats> {
        &self.shards[index]
    }

    fn sum(&self, of: impl Fn(&ShardStats) -> &Count) -> u64 {
        self.shards.iter().map(|shard| of(shard).get()).sum()
    }
}

/// A server's numbers at one moment. Those that belong together may differ by what happens meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub connections_open: u64,
    pub connections_total: u64,
    pub connections_refused: u64,
    /// All are answered, unanswered or still at work.
    pub requests_total: u64,
    pub requests_in_flight: u64,
    pub requests_malformed: u64,
    pub requests_unanswered: u64,
    /// Of the unanswered: cut off by the server's end.
    pub requests_aborted: u64,
    pub requests_forbidden: u64,
    pub overloads: u64,
    /// 1xx to 5xx.
    pub answers: [u64; 5],
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub timeouts_head: u64,
    pub timeouts_idle: u64,
    pub timeouts_progress: u64,
    pub timeouts_handler: u64,
    pub accept_errors: u64,
    pub listeners_lost: u64,
    pub log_dropped: u64,
    pub access_dropped: u64,
    pub uptime: Duration,
}

impl Server {
    /// What has happened so far; never waits for an I/O thread.
    pub fn counts(&self) -> Counts {
        let stats = &self.stats;
        let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            connections_open: load(&self.connections),
            connections_total: stats.sum(|s| &s.connections),
            connections_refused: stats.connections_refused.get(),
            requests_total: stats.sum(|s| &s.requests),
            requests_in_flight: load(&self.requests),
            requests_malformed: stats.sum(|s| &s.malformed),
            requests_unanswered: stats.sum(|s| &s.unanswered),
            requests_aborted: load(&self.aborted),
            requests_forbidden: stats.sum(|s| &s.forbidden),
            overloads: stats.sum(|s| &s.overloads),
            answers: std::array::from_fn(|class| stats.sum(|s| &s.answers[class])),
            bytes_received: stats.sum(|s| &s.bytes.received),
            bytes_sent: stats.sum(|s| &s.bytes.sent),
            timeouts_head: stats.sum(|s| &s.timeouts_head),
            timeouts_idle: stats.sum(|s| &s.timeouts_idle),
            timeouts_progress: stats.sum(|s| &s.timeouts_progress),
            timeouts_handler: stats.sum(|s| &s.timeouts_handler),
            accept_errors: stats.accept_errors.get(),
            listeners_lost: stats.listeners_lost.get(),
            log_dropped: self.runtime.log().dropped(),
            access_dropped: self.access.get().map_or(0, |access| access.dropped()),
            uptime: stats.made.elapsed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_for_themselves_and_are_added_up() {
        let stats = Stats::new(3);
        for index in 0..3 {
            stats.shard(index).requests.add(index as u64 + 1);
        }
        assert_eq!(stats.sum(|s| &s.requests), 6);
        assert_eq!(stats.shard(0).requests.get(), 1);
    }

    #[test]
    fn answers_are_counted_by_their_class() {
        let stats = ShardStats::default();
        for status in [101, 200, 204, 304, 404, 503, 599, 700] {
            stats.answer(StatusCode::from_u16(status).unwrap());
        }
        let answers = stats.answers.each_ref().map(Count::get);
        assert_eq!(answers, [1, 2, 1, 1, 2]);
    }

    #[test]
    fn only_refusals_of_rules_and_limits_are_counted_apart() {
        let stats = ShardStats::default();
        stats.refusal(StatusCode::FORBIDDEN);
        stats.refusal(StatusCode::SERVICE_UNAVAILABLE);
        stats.refusal(StatusCode::NOT_FOUND);
        assert_eq!((stats.forbidden.get(), stats.overloads.get()), (1, 1));
    }
}
