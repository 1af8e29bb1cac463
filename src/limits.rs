//! Every limit and default that a user can set, in one table: the docs quote it, the setters check
//! against it. Below it the limits without a setter. Pauses, patience and sizes that are one
//! mechanism's own (the file lock, waiting connects, idle connections of a client) stand with it.

use crate::error::{Error, Result};
use std::time::Duration;

/// `HYSOCK_UNLIMITED`: turns a size or a count off.
pub const UNLIMITED: u64 = u64::MAX;
/// `HYSOCK_UNKNOWN`: a length that is not announced.
pub const UNKNOWN: u64 = u64::MAX;
/// `HYSOCK_FOREVER`: turns a timeout off.
pub const FOREVER: u32 = u32::MAX;

/// One number that a user may set.
#[derive(Debug)]
pub struct Limit {
    /// The setter's name in C, for messages.
    pub setter: &'static str,
    pub unit: &'static str,
    pub default: u64,
    pub min: u64,
    pub max: u64,
    /// Whether `HYSOCK_UNLIMITED` (or `HYSOCK_FOREVER`) is allowed on top of the range.
    pub can_be_off: bool,
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident = $setter:literal, $unit:literal, $default:expr, $min:expr, $max:expr, $off:expr;)*) => {
        $($(#[$doc])* pub const $name: Limit = Limit {
            setter: $setter, unit: $unit, default: $default, min: $min, max: $max, can_be_off: $off,
        };)*
        /// The whole table, for tests and docs.
        pub const TABLE: &[Limit] = &[$($name),*];
    };
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const MAX_MS: u64 = u32::MAX as u64 - 1;
const MAX_COUNT: u64 = u32::MAX as u64;

limits! {
    IO_THREADS = "hysock_runtime_config_set_io_threads", "threads", 1, 1, 64, false;
    CALLBACK_THREADS = "hysock_runtime_config_set_callback_threads", "threads", 4, 1, 1024, false;
    STACK_SIZE = "hysock_runtime_config_set_stack_size", "bytes", 2 * MIB, 64 * KIB, 1024 * MIB, false;

    SOCKET_MODE = "hysock_listener_config_set_mode", "permission bits", 0o600, 0o001, 0o777, false;
    BACKLOG = "hysock_listener_config_set_backlog", "connections", i32::MAX as u64, 1, i32::MAX as u64, false;

    SERVER_MAX_BODY = "hysock_server_config_set_max_body", "bytes", MIB, 1, u64::MAX - 1, true;
    SERVER_MAX_HEAD = "hysock_server_config_set_max_head", "bytes", 64 * KIB, 8 * KIB, MIB, false;
    SERVER_MAX_CONNECTIONS = "hysock_server_config_set_max_connections", "connections", 4096, 1, MAX_COUNT, true;
    SERVER_MAX_REQUESTS = "hysock_server_config_set_max_requests", "requests", 4096, 1, MAX_COUNT, true;
    SERVER_MAX_HEADERS = "hysock_server_config_set_max_headers", "headers", HEADERS_MAX as u64, 1, HEADERS_MAX as u64, false;
    SERVER_MAX_QUEUE = "hysock_server_config_set_max_queue", "requests", 1024, 1, MAX_COUNT, true;
    SERVER_MAX_CONNECTIONS_PER_UID = "hysock_server_config_set_max_connections_per_uid", "connections", 1024, 1, MAX_COUNT, true;
    SERVER_MAX_REQUESTS_PER_UID = "hysock_server_config_set_max_requests_per_uid", "requests", UNLIMITED, 1, MAX_COUNT, true;
    SERVER_HEAD_TIMEOUT = "hysock_server_config_set_head_timeout", "milliseconds", 10_000, 1, MAX_MS, true;
    SERVER_IDLE_TIMEOUT = "hysock_server_config_set_idle_timeout", "milliseconds", 75_000, 1, MAX_MS, true;
    SERVER_PROGRESS_TIMEOUT = "hysock_server_config_set_progress_timeout", "milliseconds", 30_000, 1, MAX_MS, true;
    SERVER_PROGRESS_FLOOR = "hysock_server_config_set_progress_floor", "bytes", 256, 1, MAX_COUNT, false;
    SERVER_HANDLER_TIMEOUT = "hysock_server_config_set_handler_timeout", "milliseconds", FOREVER as u64, 1, MAX_MS, true;
    SERVER_EXIT_IDLE = "hysock_server_config_set_exit_idle", "milliseconds", FOREVER as u64, 1, MAX_MS, true;
    SERVER_DRAIN = "hysock_server_config_set_drain", "milliseconds", 10_000, 1, MAX_MS, true;

    CLIENT_MAX_BODY = "hysock_client_config_set_max_body", "bytes", 16 * MIB, 1, u64::MAX - 1, true;
    CLIENT_MAX_HEAD = "hysock_client_config_set_max_head", "bytes", 64 * KIB, 8 * KIB, MIB, false;
    CLIENT_CONNECT_TIMEOUT = "hysock_client_config_set_connect_timeout", "milliseconds", 10_000, 1, MAX_MS, true;
    CLIENT_TIMEOUT = "hysock_client_config_set_timeout", "milliseconds", FOREVER as u64, 1, MAX_MS, true;
    CLIENT_FIRST_BYTE_TIMEOUT = "hysock_client_config_set_first_byte_timeout", "milliseconds", FOREVER as u64, 1, MAX_MS, true;
    CLIENT_IDLE_TIMEOUT = "hysock_client_config_set_idle_timeout", "milliseconds", FOREVER as u64, 1, MAX_MS, true;
    /// The default is not to wait at all.
    CLIENT_WAIT_ABSENT = "hysock_client_config_set_wait_absent", "milliseconds", 0, 1, MAX_MS, true;
    /// The default is to follow none.
    CLIENT_MAX_REDIRECTS = "hysock_client_config_set_max_redirects", "redirects", 0, 1, 50, false;
    CLIENT_MAX_CONNECTIONS = "hysock_client_config_set_max_connections", "connections", 64, 1, MAX_COUNT, true;
    CLIENT_MAX_IDLE = "hysock_client_config_set_max_idle", "connections", 8, 1, MAX_COUNT, true;
    CLIENT_IDLE_AGE = "hysock_client_config_set_idle_age", "milliseconds", 60_000, 1, MAX_MS, true;
    RECEIVER_MAX_MESSAGE = "hysock_receiver_config_set_max_message", "bytes", MIB, 1, 1024 * MIB, false;
    RECEIVER_MAX_BYTES = "hysock_receiver_config_set_max_bytes", "bytes", 16 * MIB, 64 * KIB, u64::MAX / 4, false;
    RECEIVER_MAX_BYTES_PER_PRODUCER = "hysock_receiver_config_set_max_bytes_per_producer", "bytes", 4 * MIB, 64 * KIB, u64::MAX / 4, false;
    RECEIVER_MAX_CONNECTIONS = "hysock_receiver_config_set_max_connections", "connections", 4096, 1, MAX_COUNT, true;
    RECEIVER_MAX_CONNECTIONS_PER_UID = "hysock_receiver_config_set_max_connections_per_uid", "connections", 1024, 1, MAX_COUNT, true;
    RECEIVER_MAX_BATCH = "hysock_receiver_config_set_max_batch", "messages", 1024, 1, MAX_COUNT, false;
    RECEIVER_FRAME_TIMEOUT = "hysock_receiver_config_set_frame_timeout", "milliseconds", 30_000, 1, MAX_MS, true;

    PRODUCER_MAX_MESSAGE = "hysock_producer_config_set_max_message", "bytes", MIB, 1, 1024 * MIB, false;
    /// The default is that none goes so.
    PRODUCER_MEMFD = "hysock_producer_config_set_memfd", "bytes", UNLIMITED, 1, 1024 * MIB, true;
    PRODUCER_MAX_QUEUE = "hysock_producer_config_set_max_queue", "bytes", MIB, 1, u64::MAX / 4, false;

    CALL_TIMEOUT = "hysock_call_set_timeout", "milliseconds", FOREVER as u64, 1, MAX_MS, true;
    CALL_FIRST_BYTE_TIMEOUT = "hysock_call_set_first_byte_timeout", "milliseconds", FOREVER as u64, 1, MAX_MS, true;
    CALL_EXPECT_WAIT = "hysock_call_set_expect_continue", "milliseconds", 1000, 1, MAX_MS, true;
    CALL_IDLE_TIMEOUT = "hysock_call_set_idle_timeout", "milliseconds", FOREVER as u64, 1, MAX_MS, true;
}

/// Longest name prefix of a library thread; the kernel shows 15 bytes in all.
pub const THREAD_NAME_MAX: usize = 8;
/// Header lines of one head; hyper's own fixed table.
pub const HEADERS_MAX: usize = 100;
/// Longest request target; beyond it a request gets 414.
pub const TARGET_MAX: usize = 8 * 1024;
/// Most bytes that one read from a socket takes.
pub const READ_MAX: usize = 64 * 1024;
/// Most bytes that one read takes of an answer's body of known length.
pub const BODY_READ: usize = 256 * 1024;
/// Beside a head, what may come of an answer before the next head or piece of its body.
pub const USELESS_MAX: u64 = 256 * KIB;
/// Bodies beyond this are sent from where they are, not copied behind their head.
pub const BULK: usize = 64 * 1024;
/// What an answer that is written piece by piece may hold before its client has read it.
pub const WRITE_BUFFER: usize = 64 * 1024;
/// What is read of a file at once while it is sent.
pub const FILE_PIECE: usize = 64 * 1024;
/// What is sent of a larger file before other connections of the I/O thread have their turn.
pub const FILE_TURN: usize = 512 * 1024;
/// SO_SNDBUF meanwhile: as much as any process may ask for by default. The kernel doubles it.
pub const FILE_BUFFER: usize = 208 * 1024;
/// What a call asks its program for at once, or reads of a descriptor, while the body is sent.
pub const BODY_PIECE: usize = 64 * 1024;
/// Least time between two reports of how far a call is.
pub const PROGRESS_PAUSE: Duration = Duration::from_millis(100);
/// Informational answers that a call keeps until its program has heard of them.
pub const INTERIM_MAX: usize = 64;
/// Longest piece of a body that is handed to hyper at once, which copies small answers together.
pub const FRAME_MAX: usize = 256 * 1024;
/// Connections accepted in one turn of the accept loop.
pub const ACCEPT_BATCH: usize = 64;
/// Pause after the system refused a descriptor to accept: first and longest.
pub const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often to look whether a listener's file is still there.
pub const FILE_WATCH: Duration = Duration::from_secs(1);
/// Connections that get a 503 in one second for the lack of descriptors; the others wait.
pub const TURN_AWAY: u32 = 1024;
/// What each message that is held costs of a budget beside its bytes.
pub const MESSAGE_OVERHEAD: u64 = 48;
/// Most bytes of messages that one system call sends.
pub const GATHER_MAX: usize = 64 * 1024;
/// Descriptors that one message can carry: SCM_MAX_FD, unix(7).
pub const FDS_MAX: usize = 253;
/// A producer's pause after a failed connect: first and longest.
pub const RECONNECT_MIN: Duration = Duration::from_millis(10);
pub const RECONNECT_MAX: Duration = Duration::from_secs(1);
/// A wait without an end is made of these: clocks take none.
pub const A_DAY: Duration = Duration::from_secs(24 * 3600);
/// How often deadlines of connections are looked at.
pub const SWEEP: Duration = Duration::from_millis(250);
/// Log lines that may wait for the log callback; beyond it they are counted and dropped.
pub const LOG_QUEUE: usize = 256;
/// Entries that may wait for the access log's callback; beyond it they are counted and dropped.
pub const ACCESS_QUEUE: usize = 4096;
/// After an early answer: how much and how long a client may go on sending.
pub const LINGER_BYTES: u64 = 64 * MIB;
pub const LINGER_TIME: Duration = Duration::from_secs(2);
/// In a drain, what a connection that was just accepted has for sending its first request.
pub const FRESH: Duration = Duration::from_secs(1);
/// Refused connections that a server keeps until they have read why; beyond it they are told without
/// having been asked what they wanted.
pub const REFUSED_CONNECTIONS: usize = 64;
/// How long a refused connection may take to send its request.
pub const REFUSED_TIME: Duration = Duration::from_secs(2);
/// Refusals of one kind get one log line in so long.
pub const REFUSED_LOG_PAUSE: Duration = Duration::from_secs(10);
/// Exchanges that an I/O thread keeps for the next requests.
pub const SPARE_EXCHANGES: usize = 64;
/// Calls that a client keeps on its I/O thread for those that are made there.
pub const SPARE_CALLS: usize = 64;
/// Bytes of large bodies' memory that an I/O thread keeps for the next ones. What is not used for
/// [`SWEEP`] is let go.
pub const ROOMS: usize = 16 * MIB as usize;
/// Connections per I/O thread that keep their HTTP state between requests; the longest idle ones beyond
/// that, and all that were idle for [`PARK_AFTER`], keep only their descriptor.
pub const LIVE_CONNECTIONS: usize = 128;
pub const PARK_AFTER: Duration = Duration::from_secs(1);

impl Limit {
    /// The value as given when it is in range; an error that names setter, value and range otherwise.
    pub fn check(&self, value: u64, off: u64) -> Result<u64> {
        let is_off = self.can_be_off && value == off;
        if is_off || (self.min..=self.max).contains(&value) {
            return Ok(value);
        }
        let off_name = match (self.can_be_off, off == UNLIMITED) {
            (false, _) => "",
            (true, true) => ", or HYSOCK_UNLIMITED",
            (true, false) => ", or HYSOCK_FOREVER",
        };
        Err(Error::argument(format!(
            "{}: {value} {} is out of range ({} to {}{off_name})",
            self.setter, self.unit, self.min, self.max
        )))
    }

    /// A size or a count; `HYSOCK_UNLIMITED` turns it off where that is allowed.
    pub fn count(&self, value: u64) -> Result<u64> {
        self.check(value, UNLIMITED)
    }

    /// A time in milliseconds; `HYSOCK_FOREVER` turns it off and gives `None`.
    pub fn time(&self, value_ms: u32) -> Result<Option<Duration>> {
        self.check(u64::from(value_ms), u64::from(FOREVER))
            .map(|ms| duration(ms as u32))
    }

    /// The default of a time.
    pub fn default_time(&self) -> Option<Duration> {
        duration(self.default as u32)
    }
}

/// Milliseconds as C gives them: `HYSOCK_FOREVER` is `None`.
pub fn duration(ms: u32) -> Option<Duration> {
    (ms != FOREVER).then(|| Duration::from_millis(u64::from(ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_pass_their_own_check() {
        for limit in TABLE {
            let off = if limit.unit == "milliseconds" {
                u64::from(FOREVER)
            } else {
                UNLIMITED
            };
            // 0 as a default is a thing that is off until it is set.
            if limit.default != 0 {
                limit.check(limit.default, off).unwrap();
            }
            assert!(
                limit.check(0, off).is_err(),
                "{}: 0 must be refused",
                limit.setter
            );
        }
    }

    #[test]
    fn a_refusal_names_setter_value_and_range() {
        let error = IO_THREADS.count(65).unwrap_err();
        assert_eq!(
            error.message,
            "hysock_runtime_config_set_io_threads: 65 threads is out of range (1 to 64)"
        );
        assert!(
            SERVER_MAX_BODY
                .count(0)
                .unwrap_err()
                .message
                .contains("HYSOCK_UNLIMITED")
        );
        assert_eq!(SERVER_HEAD_TIMEOUT.time(FOREVER).unwrap(), None);
        assert!(IO_THREADS.count(UNLIMITED).is_err());
    }
}
