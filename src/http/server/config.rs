//! What a server keeps to: read at its start, and again by a reload.

use crate::limits;
use crate::runtime::delivery::Delivery;
use crate::socket::policy::Allow;
use std::time::Duration;

/// What a server keeps to.
#[derive(Debug, Clone)]
pub struct Config {
    pub delivery: Delivery,
    pub max_body: u64,
    pub max_head: usize,
    pub max_connections: u64,
    pub max_requests: u64,
    /// Connections and requests without an answer that one user may have.
    pub max_connections_per_uid: u64,
    pub max_requests_per_uid: u64,
    /// Who is served, on every listener.
    pub allow: Allow,
    pub max_headers: usize,
    /// Requests that may wait for the threads that handle them.
    pub max_queue: usize,
    pub head_timeout: Option<Duration>,
    pub idle_timeout: Option<Duration>,
    /// A peer that owes bytes, or the reading of ours, moves `progress_floor` of them in this time or is
    /// gone.
    pub progress_timeout: Option<Duration>,
    pub progress_floor: u64,
    /// From a request's last byte to its answer.
    pub handler_timeout: Option<Duration>,
    /// The server ends by itself when it had no connection for so long.
    pub exit_idle: Option<Duration>,
    pub drain: Option<Duration>,
    pub strict_host: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            delivery: Delivery::Pool,
            max_body: limits::SERVER_MAX_BODY.default,
            max_head: limits::SERVER_MAX_HEAD.default as usize,
            max_connections: limits::SERVER_MAX_CONNECTIONS.default,
            max_requests: limits::SERVER_MAX_REQUESTS.default,
            max_connections_per_uid: limits::SERVER_MAX_CONNECTIONS_PER_UID.default,
            max_requests_per_uid: limits::SERVER_MAX_REQUESTS_PER_UID.default,
            allow: Allow::default(),
            max_headers: limits::SERVER_MAX_HEADERS.default as usize,
            max_queue: limits::SERVER_MAX_QUEUE.default as usize,
            head_timeout: limits::SERVER_HEAD_TIMEOUT.default_time(),
            idle_timeout: limits::SERVER_IDLE_TIMEOUT.default_time(),
            progress_timeout: limits::SERVER_PROGRESS_TIMEOUT.default_time(),
            progress_floor: limits::SERVER_PROGRESS_FLOOR.default,
            handler_timeout: limits::SERVER_HANDLER_TIMEOUT.default_time(),
            exit_idle: limits::SERVER_EXIT_IDLE.default_time(),
            drain: limits::SERVER_DRAIN.default_time(),
            strict_host: false,
        }
    }
}
