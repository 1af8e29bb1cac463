//! What a receiver keeps to: how messages stand on the wire, how much is held, how long it waits. All
//! of it is options; NULL is the defaults. Receiver and producer must agree on the framing.

use super::boundary;
use super::config;
use super::handle;
use super::queue::{self, hysock_queue};
use super::status::hysock_status;
use crate::error::{Error, Result};
use crate::limits;
use crate::message::{Framing, Overflow};
use crate::socket::Kind;

/// What a receiver keeps to.
pub struct hysock_receiver_config {
    _opaque: [u8; 0],
}

/// The payload's length before it, four bytes, most significant first. Stream. The default.
pub const HYSOCK_FRAMING_U32BE: i32 = 1;
/// The same, least significant first, as DogStatsD's stream mode has it. Stream.
pub const HYSOCK_FRAMING_U32LE: i32 = 2;
/// A byte behind each message: see the setter of the delimiter. Stream.
pub const HYSOCK_FRAMING_DELIMITER: i32 = 3;
/// No boundaries: each read gives a chunk. Stream.
pub const HYSOCK_FRAMING_RAW: i32 = 4;
/// The socket keeps messages apart: a SEQPACKET socket, whose messages have at least one byte.
pub const HYSOCK_FRAMING_SEQPACKET: i32 = 5;
/// The socket keeps messages apart: a datagram socket.
pub const HYSOCK_FRAMING_DATAGRAM: i32 = 6;

/// Messages for which there is no room wait in their socket, and so their producers wait. The default.
pub const HYSOCK_OVERFLOW_BLOCK: i32 = 1;
/// The new message is dropped, and counted.
pub const HYSOCK_OVERFLOW_DROP_NEWEST: i32 = 2;
/// The oldest message that waits is dropped, and counted.
pub const HYSOCK_OVERFLOW_DROP_OLDEST: i32 = 3;
/// The send fails with HYSOCK_E_LIMIT. Producers only.
pub const HYSOCK_OVERFLOW_FAIL: i32 = 4;

/// What a number of HYSOCK_FRAMING_* means.
pub(super) fn framing(setter: &str, framing: i32) -> Result<(Kind, Framing)> {
    Ok(match framing {
        HYSOCK_FRAMING_U32BE => (Kind::Stream, Framing::U32Be),
        HYSOCK_FRAMING_U32LE => (Kind::Stream, Framing::U32Le),
        HYSOCK_FRAMING_DELIMITER => (Kind::Stream, Framing::Delimiter(b'\n')),
        HYSOCK_FRAMING_RAW => (Kind::Stream, Framing::Raw),
        HYSOCK_FRAMING_SEQPACKET => (Kind::Seqpacket, Framing::U32Be),
        HYSOCK_FRAMING_DATAGRAM => (Kind::Datagram, Framing::U32Be),
        other => {
            return Err(Error::argument(format!(
                "{setter}: {other} is not one of HYSOCK_FRAMING_*"
            )));
        }
    })
}

/// Make a config that holds the defaults.
///
/// Never NULL: when no memory for handles is left, the result is a handle that every use refuses
/// with HYSOCK_E_LIMIT.
///
/// Thread: any.
/// Owns: free the result with hysock_receiver_config_free().
/// Errors: none.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_new() -> *mut hysock_receiver_config {
    config::new()
}

/// Set how messages stand on the wire: one of HYSOCK_FRAMING_*, HYSOCK_FRAMING_U32BE by default. It also
/// decides the type of the socket.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_framing(
    config: *mut hysock_receiver_config,
    framing: i32,
) -> hysock_status {
    config::set(config, |config| {
        (config.kind, config.framing) =
            self::framing("hysock_receiver_config_set_framing", framing)?;
        Ok(())
    })
}

/// Set the byte that ends each message: any, `'\\n'` and 0 are usual. This is HYSOCK_FRAMING_DELIMITER.
/// It is not part of the message; what follows the last one at the end of a stream comes out flagged
/// HYSOCK_MESSAGE_PARTIAL.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_delimiter(
    config: *mut hysock_receiver_config,
    delimiter: u8,
) -> hysock_status {
    config::set(config, |config| {
        (config.kind, config.framing) = (Kind::Stream, Framing::Delimiter(delimiter));
        Ok(())
    })
}

/// Set where the batch callback runs: HYSOCK_DELIVERY_POOL, the default, or HYSOCK_DELIVERY_INLINE.
///
/// This and hysock_receiver_config_set_queue() replace each other: the last one counts. One receiver
/// never runs two callbacks at once.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_delivery(
    config: *mut hysock_receiver_config,
    delivery: i32,
) -> hysock_status {
    config::set(config, |config| {
        config.delivery = queue::delivery("hysock_receiver_config_set_delivery", delivery)?;
        Ok(())
    })
}

/// Run the batch callback on whoever dispatches this queue, which must be of the receiver's runtime.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_queue(
    config: *mut hysock_receiver_config,
    queue: *mut hysock_queue,
) -> hysock_status {
    config::set(config, |config| {
        config.delivery = queue::through(queue)?;
        Ok(())
    })
}

/// Set the longest message, in bytes: 1 to 1 GiB, 1 MiB by default. A producer that announces a longer
/// one is disconnected; a longer line or datagram is passed over. Both are counted.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_max_message(
    config: *mut hysock_receiver_config,
    bytes: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_message = limits::RECEIVER_MAX_MESSAGE.count(bytes)?;
        Ok(())
    })
}

/// Set how many bytes of messages may be held, 48 for each message included: those that wait, and those
/// in batches that were not freed. 64 KiB or more, 16 MiB by default. Beyond it sockets are not read,
/// unless hysock_receiver_config_set_overflow() says otherwise.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_max_bytes(
    config: *mut hysock_receiver_config,
    bytes: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_bytes = limits::RECEIVER_MAX_BYTES.count(bytes)?;
        Ok(())
    })
}

/// Set how many of these bytes one producer may hold: 64 KiB or more, 4 MiB by default. Not for
/// datagrams, which share one socket.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_max_bytes_per_producer(
    config: *mut hysock_receiver_config,
    bytes: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_bytes_per_producer = limits::RECEIVER_MAX_BYTES_PER_PRODUCER.count(bytes)?;
        Ok(())
    })
}

/// Set what happens to messages for which there is no room: HYSOCK_OVERFLOW_BLOCK, the default,
/// HYSOCK_OVERFLOW_DROP_NEWEST or HYSOCK_OVERFLOW_DROP_OLDEST.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_overflow(
    config: *mut hysock_receiver_config,
    policy: i32,
) -> hysock_status {
    config::set(config, |config| {
        config.overflow = match policy {
            HYSOCK_OVERFLOW_BLOCK => Overflow::Block,
            HYSOCK_OVERFLOW_DROP_NEWEST => Overflow::DropNewest,
            HYSOCK_OVERFLOW_DROP_OLDEST => Overflow::DropOldest,
            other => {
                return Err(Error::argument(format!(
                    "hysock_receiver_config_set_overflow: {other} is not a policy of receivers"
                )));
            }
        };
        Ok(())
    })
}

/// Set how many producers may be connected: 1 to 4294967295 or HYSOCK_UNLIMITED, 4096 by default. Further
/// ones wait in the backlog.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_max_connections(
    config: *mut hysock_receiver_config,
    n: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_connections = limits::RECEIVER_MAX_CONNECTIONS.count(n)?;
        Ok(())
    })
}

/// Set how many of these one user may have: 1 to 4294967295 or HYSOCK_UNLIMITED, 1024 by default. Further
/// ones are disconnected at once, and counted.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_max_connections_per_uid(
    config: *mut hysock_receiver_config,
    n: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_connections_per_uid = limits::RECEIVER_MAX_CONNECTIONS_PER_UID.count(n)?;
        Ok(())
    })
}

/// Set how many messages one callback gets at most: 1 to 4294967295, 1024 by default.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_max_batch(
    config: *mut hysock_receiver_config,
    n: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_batch = limits::RECEIVER_MAX_BATCH.count(n)?;
        Ok(())
    })
}

/// Set how long a message under way may stand still, in milliseconds: 30 seconds by default, or
/// HYSOCK_FOREVER. Then its producer is disconnected. A producer between two messages may be silent for
/// ever.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_frame_timeout(
    config: *mut hysock_receiver_config,
    ms: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.frame_timeout = limits::RECEIVER_FRAME_TIMEOUT.time(ms)?;
        Ok(())
    })
}

/// Set whether connects and disconnects of producers come out among the messages, flagged
/// HYSOCK_MESSAGE_CONNECTED and HYSOCK_MESSAGE_DISCONNECTED, or not, the default. Not for datagrams.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_events(
    config: *mut hysock_receiver_config,
    on: bool,
) -> hysock_status {
    config::set(config, |config| {
        config.events = on;
        Ok(())
    })
}

/// Set whether messages may carry descriptors or not, the default: they are closed and counted.
///
/// In U32BE and U32LE framing both sides must be set alike: the length is followed by one byte, the
/// number of descriptors that belong to the message. At most 253 with one message.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_fds(
    config: *mut hysock_receiver_config,
    on: bool,
) -> hysock_status {
    config::set(config, |config| {
        config.fds = on;
        Ok(())
    })
}

/// Set whether messages may come as sealed memory (memfd_create(2)) or not, the default. Each is one
/// descriptor, which is mapped for reading and not copied; it is flagged HYSOCK_MESSAGE_MAPPED, counts in the
/// budgets with its length, and is unmapped with its batch.
///
/// The memory must be sealed against writing, growing and shrinking, and hold 1 byte to the longest message.
/// In U32BE and U32LE framing the length is followed by one byte as with descriptors, here 255, and by no
/// payload; both sides must be set alike, and a producer whose memory is not as it must be is disconnected.
/// SEQPACKET and datagrams have an empty message with the one descriptor, as systemd-journald takes it; one
/// that is not as it must be is passed over and counted.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_memfd(
    config: *mut hysock_receiver_config,
    on: bool,
) -> hysock_status {
    config::set(config, |config| {
        config.memfd = on;
        Ok(())
    })
}

/// Set what becomes of datagrams and packets that are longer than the longest message: passed over, the
/// default, or their beginning is handed over, flagged HYSOCK_MESSAGE_TRUNCATED. Both are counted.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_set_truncated(
    config: *mut hysock_receiver_config,
    on: bool,
) -> hysock_status {
    config::set(config, |config| {
        config.truncated = on;
        Ok(())
    })
}

/// Free a config. What was made with it keeps its values.
///
/// Thread: any.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_config_free(config: *mut hysock_receiver_config) {
    boundary::nothing(|| handle::free(config, |_| Ok(())));
}
