//! A producer: messages to one receiver, across its restarts.
//!
//! Needed: hysock_producer_new(), hysock_producer_send(), hysock_producer_shutdown(),
//! hysock_producer_free().
//!
//! It connects with the first message. As long as nothing waits, a message goes out on the caller's own
//! thread; otherwise it waits in a bounded queue, and a library thread sends it, many with one system
//! call. When the receiver is absent or its backlog is full, that thread tries again after 10 ms, then
//! after longer and longer pauses up to 1 s. After a reconnect only messages that were not fully written
//! are sent again: a message arrives once at most.
//!
//! "Sent" is not "received": what was written and not read when a connection broke is *in doubt*, and
//! counted. hysock_producer_flush() says how far messages have come, hysock_producer_shutdown() what
//! became of all of them. No framing of the library's own is on the wire: any program can receive.

use super::boundary::{self, Out};
use super::config;
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::producer_config::hysock_producer_config;
use super::runtime::hysock_runtime;
use super::sized::SizedOut;
use super::status::hysock_status;
use super::text::{data, text_len};
use crate::error::Error;
use crate::limits;
use crate::message::Producer;
use crate::message::producer::Flush;
use crate::socket::address::Address;
use std::ffi::{c_char, c_void};

/// Messages to one receiver.
pub struct hysock_producer {
    _opaque: [u8; 0],
}

/// Until the kernel has taken all of it.
pub const HYSOCK_FLUSH_WRITTEN: i32 = 1;
/// Until the receiving process has read all of it. Of datagrams: until none waits in the receiver's
/// queue.
pub const HYSOCK_FLUSH_READ: i32 = 2;

/// What became of the messages of a producer that was shut down.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hysock_producer_report {
    /// Read by the receiving process.
    pub delivered: u64,
    /// Written to a connection that broke, or was not read to its end in time: nobody can know.
    pub in_doubt: u64,
    /// Never written.
    pub unsent: u64,
    /// Dropped by the overflow policy, or refused by the socket.
    pub dropped: u64,
}

/// What a producer has counted since it was made. Later versions add numbers at the end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hysock_producer_counts {
    /// Messages that the kernel took.
    pub written: u64,
    /// Messages that wait now.
    pub queued: u64,
    /// Of the written ones: those that may have been lost with a connection.
    pub in_doubt: u64,
    pub dropped_oldest: u64,
    pub dropped_newest: u64,
    /// Messages that waited, and that the socket then refused.
    pub refused: u64,
    /// Connections that were made.
    pub connections: u64,
}

const REPORT_FIRST: usize = 32;
const COUNTS_FIRST: usize = 56;
const _: () = assert!(size_of::<hysock_producer_report>() >= REPORT_FIRST);
const _: () = assert!(size_of::<hysock_producer_counts>() >= COUNTS_FIRST);

/// Make a producer for the receiver at `address`. Nothing is connected yet: the receiver may be absent.
///
/// `address` is as in hysock_client_new(). `config` may be NULL for the defaults and may be freed as soon
/// as this returns.
///
/// Thread: any.
/// Owns: free `*producer` with hysock_producer_free().
/// Errors: HYSOCK_E_INVALID_ARGUMENT, also for what a setter of `config` had refused;
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_LIMIT.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_producer_new(
    runtime: *mut hysock_runtime,
    address: *const c_char,
    address_len: usize,
    config: *const hysock_producer_config,
    producer: *mut *mut hysock_producer,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a variable for the result.
        let out = unsafe { Out::for_handle("producer", producer) }?;
        let runtime = handle::get("runtime", runtime)?;
        // SAFETY: C gives NULL, `address_len` bytes, or a NUL-terminated text with HYSOCK_NTS.
        let address = Address::parse(unsafe { text_len("address", address, address_len) }?)?;
        let made = Producer::new(&runtime, &address, &config::read(config)?)?;
        out.set(handle::give_or::<hysock_producer>(made, |made| {
            made.release()
        })?);
        Ok(())
    })
}

/// Send one message. It is copied: written at once, or put into the queue.
///
/// `timeout_ms` is for room in the queue: 0 tries, HYSOCK_FOREVER waits for as long as it takes. A
/// message that failed was not sent and is not in the queue.
///
/// Thread: any, several at once; with a timeout not on I/O threads.
/// Errors: HYSOCK_E_TIMED_OUT when there was no room in time, HYSOCK_E_WOULD_BLOCK when there is none and
/// `timeout_ms` is 0; HYSOCK_E_LIMIT when the queue is full and the overflow policy is to fail; HYSOCK_E_TOO_LARGE; HYSOCK_E_FORBIDDEN and
/// HYSOCK_E_WRONG_TYPE when there can be no connection (that the receiver is absent is no error);
/// HYSOCK_E_SHUT_DOWN; HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_producer_send(
    producer: *mut hysock_producer,
    message: *const c_void,
    message_len: usize,
    timeout_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let producer = handle::get("producer", producer)?;
        // SAFETY: C gives `message_len` bytes.
        let message = unsafe { data("message", message, message_len) }?;
        producer.send(message, limits::duration(timeout_ms))
    })
}

/// Take no more messages, give those that wait up to `drain_ms` milliseconds to be written and read, end
/// the connection, and say what became of all messages since the producer was made.
///
/// The connection is half-closed and the receiver's own end of it waited for: it comes when it has read
/// everything. `report` may be NULL, and `report_size` is `sizeof *report`.
///
/// Thread: any but callbacks'.
/// Errors: HYSOCK_E_WOULD_DEADLOCK inside callbacks; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_producer_shutdown(
    producer: *mut hysock_producer,
    drain_ms: u32,
    report: *mut hysock_producer_report,
    report_size: usize,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let out = match report.is_null() {
            true => None,
            // SAFETY: C gives a struct of `report_size` bytes.
            false => Some(unsafe { SizedOut::new("report", report, report_size, REPORT_FIRST) }?),
        };
        let producer = handle::get("producer", producer)?;
        let became = producer.shutdown(limits::duration(drain_ms))?;
        if let Some(out) = out {
            out.set(&hysock_producer_report {
                delivered: became.delivered,
                in_doubt: became.in_doubt,
                unsent: became.unsent,
                dropped: became.dropped,
            });
        }
        Ok(())
    })
}

/// Free a producer. One that was not shut down ends at once: what waits is lost. Never waits.
///
/// Thread: any, also inside callbacks.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_producer_free(producer: *mut hysock_producer) {
    boundary::nothing(|| {
        handle::free(producer, |producer| {
            producer.check()?;
            producer.release();
            Ok(())
        });
    });
}

/// Wait until every message that was sent before has come that far: HYSOCK_FLUSH_WRITTEN or
/// HYSOCK_FLUSH_READ.
///
/// Thread: any but the I/O threads, which may only call it with a timeout of 0.
/// Errors: HYSOCK_E_TIMED_OUT, HYSOCK_E_WOULD_BLOCK when `timeout_ms` is 0; HYSOCK_E_CLOSED when a
/// connection broke since the last flush and messages are in doubt; HYSOCK_E_SHUT_DOWN when the producer
/// has ended before; HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_producer_flush(
    producer: *mut hysock_producer,
    how: i32,
    timeout_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let producer = handle::get("producer", producer)?;
        let what = match how {
            HYSOCK_FLUSH_WRITTEN => Flush::Written,
            HYSOCK_FLUSH_READ => Flush::Read,
            other => {
                return Err(Error::argument(format!(
                    "how: {other} is not one of HYSOCK_FLUSH_*"
                )));
            }
        };
        producer.flush(what, limits::duration(timeout_ms))
    })
}

/// Fill `*counts` with what the producer has counted so far; also after its end, until it is freed.
///
/// `size` is `sizeof *counts`: see hysock_server_stats().
///
/// Thread: any, also inside callbacks.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_producer_stats(
    producer: *mut hysock_producer,
    counts: *mut hysock_producer_counts,
    size: usize,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a struct of `size` bytes.
        let out = unsafe { SizedOut::new("counts", counts, size, COUNTS_FIRST) }?;
        let producer = handle::get("producer", producer)?;
        producer.check()?;
        let counts = producer.counts();
        out.set(&hysock_producer_counts {
            written: counts.written,
            queued: counts.queued,
            in_doubt: counts.in_doubt,
            dropped_oldest: counts.dropped_oldest,
            dropped_newest: counts.dropped_newest,
            refused: counts.refused,
            connections: counts.connections,
        });
        Ok(())
    })
}
