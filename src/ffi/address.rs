//! Addresses, as people write them. Every function that takes an address takes any of these:
//!
//!     /run/app.sock, app.sock                a path; a relative one is of the current directory
//!     unix:/run/app.sock, unix:///run/app.sock       what DOCKER_HOST and its like hold
//!     @name                                  an abstract name, also unix:@name, unix://@name
//!     http+unix://%2Frun%2Fapp.sock/target   the path percent-encoded as the host
//!     unix://2f72756e2f61:0/target           the path in hexadecimal digits as the host
//!
//! A path is bytes and may be up to 4,095 long. The last two forms can hold the target of a request
//! as well: hysock_get() uses it, hysock_address_parse() splits it off, and where only a socket is
//! meant anything but "/" is refused. Every other scheme is refused: there is no way to TCP here.

use super::boundary;
use super::error::{ErrorOut, hysock_error};
use super::status::hysock_status;
use super::text::{copy_out, text_len};
use crate::error::{Error, Operation, Result, Status};
use crate::socket::address::Address;
use std::ffi::c_char;

/// Split an address into the socket, in the plain form that every function takes (an absolute path,
/// or `@` and the abstract name), and the target of a request.
///
/// `address_len` may be HYSOCK_NTS. Both results end with a NUL; `target` is "" when the address
/// holds none. 4096 bytes are enough for any socket. What is not wanted may be NULL with size 0.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT for what is no address or of another scheme, and for an
/// abstract name with a NUL in it, which has no plain form; HYSOCK_E_TOO_LARGE when a result does
/// not fit, with the size that it needs: then neither is written.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_address_parse(
    address: *const c_char,
    address_len: usize,
    socket: *mut c_char,
    socket_size: usize,
    target: *mut c_char,
    target_size: usize,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL, `address_len` bytes, or a NUL-terminated text with HYSOCK_NTS.
        let text = unsafe { text_len("address", address, address_len) }?;
        let (parsed, found) = Address::parse_url(text)?;
        let (plain, found) = (parsed.plain()?, found.unwrap_or_default());
        fits("socket", &plain, socket, socket_size)?;
        fits("target", &found, target, target_size)?;
        // SAFETY: C gives NULL or so many bytes.
        unsafe {
            copy_out(&plain, socket, socket_size);
            copy_out(&found, target, target_size);
        }
        Ok(())
    })
}

fn fits(name: &str, result: &[u8], place: *const c_char, size: usize) -> Result<()> {
    if place.is_null() {
        return match size {
            0 => Ok(()),
            _ => Err(Error::argument(format!(
                "{name} is NULL, and its size is not 0"
            ))),
        };
    }
    if result.len() < size {
        return Ok(());
    }
    let needed = result.len() + 1;
    let message = format!("{name} needs {needed} bytes, and there are {size}");
    Err(Error::new(Status::TooLarge, Operation::Argument, message))
}
