//! What a producer keeps to: how messages stand on the wire, and how many wait while the receiver is
//! busy or away. All of it is options; NULL is the defaults.

use super::boundary;
use super::config;
use super::handle;
use super::receiver_config::{
    HYSOCK_OVERFLOW_BLOCK, HYSOCK_OVERFLOW_DROP_NEWEST, HYSOCK_OVERFLOW_DROP_OLDEST,
    HYSOCK_OVERFLOW_FAIL, framing as framing_of,
};
use super::status::hysock_status;
use crate::error::Error;
use crate::limits;
use crate::message::Framing;
use crate::message::producer::Overflow;
use crate::socket::Kind;

/// What a producer keeps to.
pub struct hysock_producer_config {
    _opaque: [u8; 0],
}

/// Make a config that holds the defaults.
///
/// Never NULL: when no memory for handles is left, the result is a handle that every use refuses
/// with HYSOCK_E_LIMIT.
///
/// Thread: any.
/// Owns: free the result with hysock_producer_config_free().
/// Errors: none.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_producer_config_new() -> *mut hysock_producer_config {
    config::new()
}

/// Set how messages stand on the wire: one of HYSOCK_FRAMING_*, HYSOCK_FRAMING_U32BE by default, as the
/// receiver has it.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_producer_config_set_framing(
    config: *mut hysock_producer_config,
    framing: i32,
) -> hysock_status {
    config::set(config, |config| {
        (config.kind, config.framing) = framing_of("hysock_producer_config_set_framing", framing)?;
        Ok(())
    })
}

/// Set the byte that ends each message. This is HYSOCK_FRAMING_DELIMITER; a message that contains the byte
/// is refused.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_producer_config_set_delimiter(
    config: *mut hysock_producer_config,
    delimiter: u8,
) -> hysock_status {
    config::set(config, |config| {
        (config.kind, config.framing) = (Kind::Stream, Framing::Delimiter(delimiter));
        Ok(())
    })
}

/// Set the longest message, in bytes: 1 to 1 GiB, 1 MiB by default. Of SEQPACKET and datagram sockets the
/// kernel's limit counts too, the send buffer (/proc/sys/net/core/wmem_default) less some overhead.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_producer_config_set_max_message(
    config: *mut hysock_producer_config,
    bytes: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_message = limits::PRODUCER_MAX_MESSAGE.count(bytes)?;
        Ok(())
    })
}

/// Set how many bytes may wait while the receiver is busy or away, 48 for each message included: 1 or
/// more, 1 MiB by default. One message always may, and up to 64 KiB of hysock_producer_send_batch() that a
/// connected receiver did not take at once.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_producer_config_set_max_queue(
    config: *mut hysock_producer_config,
    bytes: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.max_queue = limits::PRODUCER_MAX_QUEUE.count(bytes)?;
        Ok(())
    })
}

/// Set what a send does when the queue is full: HYSOCK_OVERFLOW_BLOCK (wait for room up to its timeout, the
/// default), HYSOCK_OVERFLOW_FAIL, HYSOCK_OVERFLOW_DROP_OLDEST or HYSOCK_OVERFLOW_DROP_NEWEST.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_producer_config_set_overflow(
    config: *mut hysock_producer_config,
    policy: i32,
) -> hysock_status {
    config::set(config, |config| {
        config.overflow = match policy {
            HYSOCK_OVERFLOW_BLOCK => Overflow::Block,
            HYSOCK_OVERFLOW_FAIL => Overflow::Fail,
            HYSOCK_OVERFLOW_DROP_OLDEST => Overflow::DropOldest,
            HYSOCK_OVERFLOW_DROP_NEWEST => Overflow::DropNewest,
            other => {
                return Err(Error::argument(format!(
                    "hysock_producer_config_set_overflow: {other} is not one of HYSOCK_OVERFLOW_*"
                )));
            }
        };
        Ok(())
    })
}

/// Set whether messages may carry descriptors or not, the default, as the receiver has it.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_producer_config_set_fds(
    config: *mut hysock_producer_config,
    on: bool,
) -> hysock_status {
    config::set(config, |config| {
        config.fds = on;
        Ok(())
    })
}

/// Set from how many bytes on a message goes as sealed memory, of which the receiver needs no copy: 1 to
/// 1 GiB, or HYSOCK_UNLIMITED, the default, for none. It pays from some 100 KiB on, and it lets messages
/// through SEQPACKET and datagram sockets that are longer than those take. The receiver must have it on:
/// hysock_receiver_config_set_memfd(). A message with descriptors of its own never goes so, nor one for which
/// no memory or descriptor is to be had.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_producer_config_set_memfd(
    config: *mut hysock_producer_config,
    from_bytes: u64,
) -> hysock_status {
    config::set(config, |config| {
        config.memfd = limits::PRODUCER_MEMFD.count(from_bytes)?;
        Ok(())
    })
}

/// Free a config. What was made with it keeps its values.
///
/// Thread: any.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_producer_config_free(config: *mut hysock_producer_config) {
    boundary::nothing(|| handle::free(config, |_| Ok(())));
}
