//! A batch: messages that were received together. Its messages are an array, read without a call for
//! each:
//!
//!     size_t count;
//!     const hysock_message *messages = hysock_batch_messages(batch, &count);
//!     for (size_t i = 0; i < count; i++)
//!         handle(messages[i].data, messages[i].len);
//!
//! In a callback it is lent, and ends with the callback's return unless hysock_batch_keep() was called;
//! from hysock_receiver_recv() it is yours. Its end gives its bytes back to the receiver's budget.

use super::boundary::{self, Out};
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::peer::{self, hysock_peer};
use super::sized::SizedOut;
use super::status::hysock_status;
use crate::error::{Error, Operation, Status};
use crate::message::{Batch, flags};
use std::ffi::c_void;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Messages that were received together.
pub struct hysock_batch {
    _opaque: [u8; 0],
}

/// The last line of a stream, without its delimiter.
pub const HYSOCK_MESSAGE_PARTIAL: u32 = 1;
/// A datagram or packet that was longer than the limit: its beginning. See
/// hysock_receiver_config_set_truncated().
pub const HYSOCK_MESSAGE_TRUNCATED: u32 = 2;
/// It came with descriptors: hysock_batch_take_fd().
pub const HYSOCK_MESSAGE_FDS: u32 = 4;
/// It came as sealed memory: see hysock_receiver_config_set_memfd().
pub const HYSOCK_MESSAGE_MAPPED: u32 = 8;
/// No message: a producer has connected. See hysock_receiver_config_set_events().
pub const HYSOCK_MESSAGE_CONNECTED: u32 = 256;
/// No message: a producer is gone; `sequence` is one of HYSOCK_GONE_*. After HYSOCK_GONE_OVERSIZE the
/// data are up to 16 bytes of what it had sent.
pub const HYSOCK_MESSAGE_DISCONNECTED: u32 = 512;

const _: () = assert!(
    HYSOCK_MESSAGE_PARTIAL == flags::PARTIAL
        && HYSOCK_MESSAGE_TRUNCATED == flags::TRUNCATED
        && HYSOCK_MESSAGE_FDS == flags::FDS
        && HYSOCK_MESSAGE_MAPPED == flags::MAPPED
        && HYSOCK_MESSAGE_CONNECTED == flags::CONNECTED
        && HYSOCK_MESSAGE_DISCONNECTED == flags::DISCONNECTED
);

/// The producer has ended its stream between two messages.
pub const HYSOCK_GONE_CLOSED: i32 = 1;
/// In the middle of a message.
pub const HYSOCK_GONE_TRUNCATED: i32 = 2;
/// It announced a message beyond the limit.
pub const HYSOCK_GONE_OVERSIZE: i32 = 3;
/// A message under way stood still for too long.
pub const HYSOCK_GONE_TIMED_OUT: i32 = 4;
/// The receiver was shut down.
pub const HYSOCK_GONE_SHUT_DOWN: i32 = 5;
/// The connection failed.
pub const HYSOCK_GONE_ERROR: i32 = 6;
/// An allow rule, or the share of its user, did not let it in: it was never connected. Only told as long as the
/// budget is not used up; counted always.
pub const HYSOCK_GONE_REJECTED: i32 = 7;

/// One message. Its data are good until its batch ends.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hysock_message {
    /// Never NULL.
    pub data: *const c_void,
    pub len: usize,
    /// Who sent it: a number that no other producer of this receiver gets.
    pub producer: u64,
    /// The message's number among its producer's, from 0. A gap shows messages that were dropped or
    /// passed over.
    pub sequence: u64,
    /// Any of HYSOCK_MESSAGE_*.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

/// A batch as C holds it.
pub struct Lent {
    batch: Mutex<Option<Arc<Batch>>>,
    messages: OnceLock<Vec<hysock_message>>,
    kept: AtomicBool,
}

// SAFETY: the pointers in `messages` lead into the batch, which is never changed, and which is held for as
// long as they can be reached.
unsafe impl Send for Lent {}
// SAFETY: as above.
unsafe impl Sync for Lent {}

impl Lent {
    /// For a callback.
    pub fn new(batch: Arc<Batch>) -> Lent {
        Lent {
            batch: Mutex::new(Some(batch)),
            messages: OnceLock::new(),
            kept: AtomicBool::new(false),
        }
    }

    /// C's from the beginning.
    pub fn owned(batch: Batch) -> Lent {
        let lent = Lent::new(Arc::new(batch));
        lent.kept.store(true, Ordering::Release);
        lent
    }

    /// From now on it is C's; `false` when it was before.
    pub fn keep(&self) -> bool {
        !self.kept.swap(true, Ordering::AcqRel)
    }

    fn batch(&self) -> Option<Arc<Batch>> {
        let batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        batch.clone()
    }

    fn messages(&self) -> &[hysock_message] {
        self.messages.get_or_init(|| {
            let mut messages = Vec::new();
            if let Some(batch) = self.batch() {
                messages.reserve_exact(batch.len());
                batch.each(|entry, source, data| {
                    messages.push(hysock_message {
                        data: data.as_ptr().cast(),
                        len: data.len(),
                        producer: source.id,
                        sequence: entry.sequence,
                        flags: entry.flags,
                        reserved: 0,
                    });
                });
            }
            messages
        })
    }
}

/// Ends what was lent, also when the callback unwinds.
pub(super) struct Returned<'a>(pub &'a Lent, pub *mut hysock_batch);

impl Drop for Returned<'_> {
    fn drop(&mut self) {
        if !self.0.kept.load(Ordering::Acquire) {
            handle::free(self.1, |_| Ok(()));
        }
    }
}

/// The messages of a batch: `*count` of them, in the order of their arrival. Good until the batch ends.
///
/// Thread: any.
/// Errors: none; NULL with a count of 0 for a handle that cannot be used.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_batch_messages(
    batch: *const hysock_batch,
    count: *mut usize,
) -> *const hysock_message {
    boundary::get(std::ptr::null(), || {
        // SAFETY: C gives NULL or a variable for the result.
        let count = unsafe { Out::new("count", count) }?;
        count.set(0);
        let lent = handle::get("batch", batch)?;
        let messages = lent.messages();
        count.set(messages.len());
        Ok(messages.as_ptr())
    })
}

/// Keep a batch beyond the callback that it is lent to: it is yours until hysock_batch_free(). Its bytes
/// count as held until then.
///
/// Thread: the callback's.
/// Owns: free it with hysock_batch_free().
/// Errors: HYSOCK_E_STATE for one that is yours already; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_batch_keep(
    batch: *mut hysock_batch,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        if !handle::get("batch", batch)?.keep() {
            return Err(Error::state("the batch is yours already"));
        }
        Ok(())
    })
}

/// Free a batch: its messages end here, and their bytes are free for new ones. Descriptors that nobody
/// took are closed. Not needed for one that was lent and not kept; inside its callback it ends it early.
///
/// Thread: any.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_batch_free(batch: *mut hysock_batch) {
    boundary::nothing(|| {
        handle::free(batch, |lent| {
            // Nothing to end when its callback returns.
            lent.kept.store(true, Ordering::Release);
            let batch = lent
                .batch
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            drop(batch);
            Ok(())
        });
    });
}

/// Take the next descriptor that came with message number `index` of the batch.
///
/// Thread: any, one at a time.
/// Owns: close the descriptor; it is closed on exec.
/// Errors: negative: HYSOCK_E_WOULD_BLOCK when the message has no further one;
/// HYSOCK_E_INVALID_ARGUMENT for an index beyond the last, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_batch_take_fd(batch: *mut hysock_batch, index: usize) -> i32 {
    boundary::count(|| {
        let lent = handle::get("batch", batch)?;
        let batch = lent.batch().ok_or_else(freed)?;
        if index >= batch.len() {
            return Err(beyond(index, batch.len()));
        }
        let fd: OwnedFd = batch.take_fd(index).ok_or_else(|| {
            Error::new(
                Status::WouldBlock,
                Operation::None,
                "the message has no further descriptor",
            )
        })?;
        Ok(fd.into_raw_fd() as usize)
    })
}

/// Fill `*peer` with who sent message number `index` of the batch; `size` is `sizeof *peer`. As
/// hysock_exchange_peer(): of a connection it is who connected, of a datagram the kernel's word on who
/// sent it, which knows neither groups nor label. Groups and label of a connection that is gone by now
/// are gone too, unless somebody had asked before.
///
/// Thread: any; it never waits.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, also for an index beyond the last; HYSOCK_E_BAD_HANDLE,
/// HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_batch_peer(
    batch: *const hysock_batch,
    index: usize,
    peer: *mut hysock_peer,
    size: usize,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a struct of `size` bytes.
        let out = unsafe { SizedOut::new("peer", peer, size, peer::FIRST) }?;
        let lent = handle::get("batch", batch)?;
        let batch = lent.batch().ok_or_else(freed)?;
        let source = batch
            .source(index)
            .ok_or_else(|| beyond(index, batch.len()))?;
        out.set(&peer::snapshot(&source.peer)?);
        Ok(())
    })
}

fn beyond(index: usize, len: usize) -> Error {
    Error::argument(format!(
        "index: {index} is beyond the batch's {len} messages"
    ))
}

fn freed() -> Error {
    Error::new(Status::BadHandle, Operation::None, "the batch was freed")
}
