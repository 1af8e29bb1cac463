//! What a client keeps to.

use crate::limits;
use crate::runtime::delivery::Delivery;
use crate::socket::policy::Allow;
use crate::socket::stream::Patience;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Config {
    pub delivery: Delivery,
    pub max_body: u64,
    pub max_head: usize,
    /// For one connect to a server whose backlog is full.
    pub connect_timeout: Option<Duration>,
    /// How long connecting is tried again when nobody listens; `None`: not at all.
    pub wait_absent: Option<Duration>,
    /// From the start of a call to the end of its answer.
    pub timeout: Option<Duration>,
    /// What a call has unless it says otherwise.
    pub patience: Patience,
    /// Who the server must be.
    pub allow: Allow,
    /// 0: a redirect is an answer like any other.
    pub max_redirects: u64,
    pub max_connections: u64,
    pub max_idle: u64,
    pub idle_age: Option<Duration>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            delivery: Delivery::Pool,
            max_body: limits::CLIENT_MAX_BODY.default,
            max_head: limits::CLIENT_MAX_HEAD.default as usize,
            connect_timeout: limits::CLIENT_CONNECT_TIMEOUT.default_time(),
            wait_absent: None,
            timeout: limits::CLIENT_TIMEOUT.default_time(),
            patience: Patience {
                first_byte: limits::CLIENT_FIRST_BYTE_TIMEOUT.default_time(),
                idle: limits::CLIENT_IDLE_TIMEOUT.default_time(),
            },
            allow: Allow::default(),
            max_redirects: limits::CLIENT_MAX_REDIRECTS.default,
            max_connections: limits::CLIENT_MAX_CONNECTIONS.default,
            max_idle: limits::CLIENT_MAX_IDLE.default,
            idle_age: limits::CLIENT_IDLE_AGE.default_time(),
        }
    }
}
