//! Sending several messages at once, in pieces, and with descriptors. All of it is options.

use super::boundary::{self, Out};
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::producer::hysock_producer;
use super::status::hysock_status;
use super::text::data;
use crate::error::{Error, Operation, Result};
use crate::limits;
use std::ffi::c_void;
use std::os::fd::{BorrowedFd, OwnedFd};

/// One message of a batch that is sent.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hysock_slice {
    /// May be NULL when `len` is 0.
    pub data: *const c_void,
    pub len: usize,
}

/// Send `count` messages in order, many with one system call. `*sent` says how many were sent or wait in
/// the queue: all of them, or those before the one that the error is about.
///
/// Thread: any, several at once; with a timeout not on I/O threads.
/// Errors: as hysock_producer_send().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_producer_send_batch(
    producer: *mut hysock_producer,
    messages: *const hysock_slice,
    count: usize,
    timeout_ms: u32,
    sent: *mut usize,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a variable for the result.
        let out = unsafe { Out::new("sent", sent) }?;
        out.set(0);
        let producer = handle::get("producer", producer)?;
        // SAFETY: C gives `count` slices.
        let messages = unsafe { slices(messages, count) }?;
        for message in messages {
            // SAFETY: C gives `len` bytes with each.
            unsafe { data("messages", message.data, message.len) }?;
        }
        let payloads = messages.iter().map(|message| {
            // SAFETY: as above; looked at just now.
            unsafe { data("messages", message.data, message.len) }.unwrap_or_default()
        });
        let (done, result) = producer.send_batch(payloads, limits::duration(timeout_ms));
        out.set(done);
        result
    })
}

/// Send one message that is made of `count` pieces.
///
/// Thread: any, several at once; with a timeout not on I/O threads.
/// Errors: as hysock_producer_send().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_producer_sendv(
    producer: *mut hysock_producer,
    pieces: *const hysock_slice,
    count: usize,
    timeout_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let producer = handle::get("producer", producer)?;
        // SAFETY: C gives `count` slices.
        let pieces = unsafe { slices(pieces, count) }?;
        let mut message = Vec::new();
        for piece in pieces {
            // SAFETY: C gives `len` bytes with each.
            message.extend_from_slice(unsafe { data("pieces", piece.data, piece.len) }?);
        }
        producer.send(&message, limits::duration(timeout_ms))
    })
}

/// Send one message with `fd_count` open descriptors, 1 to 253. They are duplicated: yours stay yours.
/// See hysock_producer_config_set_fds().
///
/// Thread: any, several at once; with a timeout not on I/O threads.
/// Errors: as hysock_producer_send(), HYSOCK_E_FORBIDDEN also when the receiver refuses descriptors, and
/// HYSOCK_E_STATE when they are off.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_producer_send_fds(
    producer: *mut hysock_producer,
    message: *const c_void,
    message_len: usize,
    fds: *const i32,
    fd_count: usize,
    timeout_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let producer = handle::get("producer", producer)?;
        // SAFETY: C gives `message_len` bytes.
        let message = unsafe { data("message", message, message_len) }?;
        if fd_count == 0 || fd_count > limits::FDS_MAX {
            return Err(Error::argument(format!(
                "fd_count: {fd_count} is out of range (1 to {})",
                limits::FDS_MAX
            )));
        }
        if fds.is_null() {
            return Err(Error::argument("fds is NULL"));
        }
        // SAFETY: C gives `fd_count` numbers.
        let fds = unsafe { std::slice::from_raw_parts(fds, fd_count) };
        let fds = fds.iter().map(|&fd| duplicate(fd)).collect::<Result<_>>()?;
        producer.send_with(message, fds, limits::duration(timeout_ms))
    })
}

fn duplicate(fd: i32) -> Result<OwnedFd> {
    if fd < 0 {
        return Err(Error::argument(format!("fds: {fd} is no descriptor")));
    }
    // SAFETY: a number of C's; one that is not open gives EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    borrowed.try_clone_to_owned().map_err(|e| {
        let what = format!("cannot duplicate the descriptor {fd}");
        Error::system(Operation::Send, &what, &e)
    })
}

/// # Safety
/// `messages` is NULL or readable for `count` slices.
unsafe fn slices<'a>(messages: *const hysock_slice, count: usize) -> Result<&'a [hysock_slice]> {
    if count == 0 {
        return Ok(&[]);
    }
    if messages.is_null() || count > isize::MAX as usize / size_of::<hysock_slice>() {
        return Err(Error::argument(
            "the array is NULL, or its count is too large",
        ));
    }
    // SAFETY: the caller's promise; the size was just looked at.
    Ok(unsafe { std::slice::from_raw_parts(messages, count) })
}
