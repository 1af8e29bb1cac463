//! A call's connection, for another protocol.
//!
//! hysock_call_set_upgrade() asks for it; when the call has ended with 101, or with what Docker's API
//! gives instead, hysock_call_take_fd() hands the connection over: a descriptor to read from and
//! write to, until either side closes it.

use super::boundary::{self, Out};
use super::call::hysock_call;
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::status::hysock_status;
use super::text::{hysock_str, opt_text};
use std::ffi::c_char;
use std::os::fd::IntoRawFd;

/// Ask the server to switch the connection to `protocol`: sends `Connection: Upgrade` and `Upgrade:
/// protocol`.
///
/// The server may agree in two ways, and hysock_call_take_fd() then gives the connection: by HTTP
/// status 101; or, as Docker and Podman do for attach and exec, by a 2xx without Content-Length and
/// chunks, behind which the connection is used both ways. With `protocol` NULL nothing is sent and
/// only the second is meant. Any other answer is as without this, and a 101 to a call without it is
/// HYSOCK_E_PROTOCOL.
///
/// Thread: any, one at a time.
/// Errors: HYSOCK_E_STATE when the call has begun; HYSOCK_E_INVALID_ARGUMENT for an empty `protocol`
/// or one that would break the message, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_set_upgrade(
    call: *mut hysock_call,
    protocol: *const c_char,
) -> hysock_status {
    boundary::status_only(|| {
        let call = handle::get("call", call)?;
        // SAFETY: C gives NULL or a NUL-terminated text.
        let protocol = unsafe { opt_text(protocol) };
        call.set_upgrade(protocol)
    })
}

/// Take the connection of a call whose server has switched, once.
///
/// `*fd` is yours to close: a blocking descriptor with FD_CLOEXEC, without timeouts. `*early` is what
/// the server has sent behind its head already, to be read before what comes from `*fd`; it is empty
/// when that is nothing, and good as long as the call. shutdown(2) with SHUT_WR says that you will
/// send no more, and the other direction goes on. The connection counts for no limit of the client,
/// no timeout ends it, and the client's end leaves it alone; when the call is freed before, it is
/// closed.
///
/// Thread: any, one at a time; also in the call's `fn`.
/// Owns: close `*fd`.
/// Errors: HYSOCK_E_STATE when hysock_call_set_upgrade() was not called, when there is no answer, or
/// one that goes on with HTTP, such as a 404, and for a second time; HYSOCK_E_INVALID_ARGUMENT,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_call_take_fd(
    call: *mut hysock_call,
    fd: *mut i32,
    early: *mut hysock_str,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or variables for the results.
        let (fd_out, early_out) = unsafe { (Out::new("fd", fd)?, Out::new("early", early)?) };
        fd_out.set(-1);
        early_out.set(hysock_str::ABSENT);
        let (fd, early) = handle::get("call", call)?.take_fd()?;
        // The call keeps the bytes.
        early_out.set(hysock_str::new(&early));
        fd_out.set(fd.into_raw_fd());
        Ok(())
    })
}
