//! An answer out of a file.

use super::boundary;
use super::error::{ErrorOut, hysock_error};
use super::exchange::hysock_exchange;
use super::handle;
use super::status::hysock_status;
use super::text::opt_text;
use crate::error::Error;
use std::ffi::c_char;
use std::os::fd::BorrowedFd;

/// Answer with the content of a regular file: 200, or what the request asks for.
///
/// That is a part of it (206, one range of bytes; of several ranges all is sent), or nothing when the
/// client has it already (304) or it is not what the client wants to have (412, 416). So it goes for GET and
/// HEAD; other methods get all of it. The answer has `ETag`, of the file's inode, size and time, and
/// `Last-Modified`, unless they were set before, and `Accept-Ranges`; `content_type` NULL sets no type.
///
/// All of the file is sent from its first byte, wherever the descriptor stands; it is read as the client
/// reads, on an I/O thread: best from a disk. `fd` stays yours and may be closed at once. A file that
/// becomes shorter meanwhile cuts the answer short.
///
/// Thread: any, one at a time.
/// Errors: as hysock_exchange_answer(); HYSOCK_E_INVALID_ARGUMENT also for what is no regular file or not
/// open for reading; HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_exchange_send_file(
    exchange: *mut hysock_exchange,
    fd: i32,
    content_type: *const c_char,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let exchange = handle::get("exchange", exchange)?;
        if fd < 0 {
            return Err(Error::argument(format!(
                "fd is {fd}: an open() that failed?"
            )));
        }
        // SAFETY: not -1; C keeps it open until this returns, and a closed one is only an error.
        let file = unsafe { BorrowedFd::borrow_raw(fd) };
        // SAFETY: C gives NULL or a NUL-terminated text.
        exchange.send_file(file, unsafe { opt_text(content_type) })
    })
}
