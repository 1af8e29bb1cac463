//! What a receiver has counted, as a struct and as text.

use super::boundary;
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::receiver::hysock_receiver;
use super::sized::SizedOut;
use super::status::hysock_status;
use super::text::copy_out;
use crate::error::Error;
use crate::message::receiver::Counts;
use std::ffi::c_char;

/// What a receiver has counted since it was made. Later versions add numbers at the end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hysock_receiver_counts {
    /// Messages that were handed over, to the callback or by hysock_receiver_recv().
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Messages that the overflow policy dropped.
    pub dropped: u64,
    /// Bytes of the budget that are held now.
    pub held: u64,
    /// Producers that are connected now.
    pub producers: u64,
    /// Producers that there were: connections, or senders of datagrams.
    pub producers_total: u64,
    /// Messages that ended too early.
    pub truncated: u64,
    /// Producers that were disconnected because they announced a message beyond the limit.
    pub oversize: u64,
    /// Lines and datagrams beyond the limit, passed over.
    pub skipped: u64,
    /// Messages that came with descriptors which nobody wanted.
    pub fds_refused: u64,
    /// Producers that were disconnected because a message under way stood still.
    pub timed_out: u64,
    /// Messages that waited when the receiver was freed, or for which there was no handle.
    pub abandoned: u64,
    /// Producers that no allow rule of the listener admits: they were disconnected.
    pub forbidden: u64,
    /// Producers beyond the share of their user: they were disconnected.
    pub overload: u64,
    /// Socket files that somebody removed or replaced: new producers do not get here any more.
    pub listeners_lost: u64,
}

const FIRST: usize = 112;
const _: () = assert!(size_of::<hysock_receiver_counts>() >= FIRST);

/// Fill `*counts` with what the receiver has counted so far; also after its end, until it is freed.
///
/// `size` is `sizeof *counts`: see hysock_server_stats().
///
/// Thread: any, also inside callbacks.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_receiver_stats(
    receiver: *mut hysock_receiver,
    counts: *mut hysock_receiver_counts,
    size: usize,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a struct of `size` bytes.
        let out = unsafe { SizedOut::new("counts", counts, size, FIRST) }?;
        let receiver = handle::get("receiver", receiver)?;
        receiver.check()?;
        out.set(&receiver.counts().into());
        Ok(())
    })
}

impl From<Counts> for hysock_receiver_counts {
    fn from(counts: Counts) -> hysock_receiver_counts {
        hysock_receiver_counts {
            received: counts.received,
            received_bytes: counts.received_bytes,
            dropped: counts.dropped,
            held: counts.held,
            producers: counts.producers,
            producers_total: counts.producers_total,
            truncated: counts.truncated,
            oversize: counts.oversize,
            skipped: counts.skipped,
            fds_refused: counts.fds_refused,
            timed_out: counts.timed_out,
            abandoned: counts.abandoned,
            forbidden: counts.forbidden,
            overload: counts.overload,
            listeners_lost: counts.listeners_lost,
        }
    }
}

/// Write the same numbers into `buf` as text for Prometheus, as hysock_server_metrics() does; returns the
/// length of the whole text. 4096 bytes are always enough. All names begin with `hysock_receiver_`.
///
/// Thread: any, also inside callbacks; it never waits.
/// Errors: as a negative result: HYSOCK_E_INVALID_ARGUMENT for a `buf` of NULL with a size,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_receiver_metrics(
    receiver: *mut hysock_receiver,
    buf: *mut c_char,
    size: usize,
    err: *mut hysock_error,
) -> i32 {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::count_with_error(err, || {
        if buf.is_null() && size > 0 {
            return Err(Error::argument("buf is NULL"));
        }
        let receiver = handle::get("receiver", receiver)?;
        receiver.check()?;
        let text = receiver.counts().to_prometheus();
        // SAFETY: C gives NULL or `size` bytes.
        unsafe { copy_out(text.as_bytes(), buf, size) };
        Ok(text.len())
    })
}
