//! What a receiver keeps to.

use crate::limits;
use crate::message::framing::Framing;
use crate::message::funnel::Overflow;
use crate::runtime::delivery::Delivery;
use crate::socket::Kind;
use std::time::Duration;

/// What a receiver keeps to.
#[derive(Debug, Clone)]
pub struct Config {
    pub delivery: Delivery,
    pub kind: Kind,
    pub framing: Framing,
    pub max_message: u64,
    pub max_bytes: u64,
    pub max_bytes_per_producer: u64,
    pub overflow: Overflow,
    pub max_connections: u64,
    pub max_connections_per_uid: u64,
    /// Messages of one callback.
    pub max_batch: u64,
    pub frame_timeout: Option<Duration>,
    /// Connects and disconnects come out among the messages.
    pub events: bool,
    /// Messages may carry descriptors.
    pub fds: bool,
    /// Messages may come as sealed memory.
    pub memfd: bool,
    /// The beginning of packets that are too long is handed over.
    pub truncated: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            delivery: Delivery::Pool,
            kind: Kind::Stream,
            framing: Framing::default(),
            max_message: limits::RECEIVER_MAX_MESSAGE.default,
            max_bytes: limits::RECEIVER_MAX_BYTES.default,
            max_bytes_per_producer: limits::RECEIVER_MAX_BYTES_PER_PRODUCER.default,
            overflow: Overflow::default(),
            max_connections: limits::RECEIVER_MAX_CONNECTIONS.default,
            max_connections_per_uid: limits::RECEIVER_MAX_CONNECTIONS_PER_UID.default,
            max_batch: limits::RECEIVER_MAX_BATCH.default,
            frame_timeout: limits::RECEIVER_FRAME_TIMEOUT.default_time(),
            events: false,
            fds: false,
            memfd: false,
            truncated: false,
        }
    }
}

impl Config {
    /// Whether anything that comes beside the bytes is wanted.
    pub fn takes_fds(&self) -> bool {
        self.fds || self.memfd
    }
}
