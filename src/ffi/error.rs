//! What went wrong, in words: a struct of the caller's own, on its stack, that is never freed.
//!
//!     hysock_error err;
//!     if (hysock_runtime_new(NULL, &runtime, &err) != HYSOCK_OK)
//!         fprintf(stderr, "%s\n", err.message);
//!
//! Each call that is given one overwrites it; after a success its status is 0 and its message
//! empty.

use crate::error::{Error, Operation};
use std::ffi::c_char;
use std::mem::MaybeUninit;

/// No particular step.
pub const HYSOCK_OPERATION_NONE: i32 = 0;
/// Looking at the arguments.
pub const HYSOCK_OPERATION_ARGUMENT: i32 = 1;
/// Starting threads, opening descriptors.
pub const HYSOCK_OPERATION_START: i32 = 2;
/// Making the socket file and listening on it.
pub const HYSOCK_OPERATION_BIND: i32 = 3;
/// Connecting to a socket.
pub const HYSOCK_OPERATION_CONNECT: i32 = 4;
/// Sending a request or an answer.
pub const HYSOCK_OPERATION_SEND: i32 = 5;
/// Receiving a request or an answer.
pub const HYSOCK_OPERATION_RECEIVE: i32 = 6;
/// Waiting for something to end.
pub const HYSOCK_OPERATION_WAIT: i32 = 7;
/// Running a callback.
pub const HYSOCK_OPERATION_CALLBACK: i32 = 8;

/// One failure. 512 bytes, frozen.
#[repr(C)]
pub struct hysock_error {
    /// HYSOCK_OK or the HYSOCK_E_ value that the function returned.
    pub status: i32,
    /// The errno behind it; 0 when no system call failed.
    pub os_error: i32,
    /// The step that failed, a HYSOCK_OPERATION_ value.
    pub operation: i32,
    /// 0.
    pub reserved: i32,
    /// NUL-terminated UTF-8: what failed, on what, and what to do. Empty after a success.
    pub message: [c_char; 496],
}

const MESSAGE: usize = size_of::<hysock_error>() - 16;

const _: () = assert!(size_of::<hysock_error>() == 512);
const _: () = {
    assert!(HYSOCK_OPERATION_NONE == Operation::None as i32);
    assert!(HYSOCK_OPERATION_ARGUMENT == Operation::Argument as i32);
    assert!(HYSOCK_OPERATION_START == Operation::Start as i32);
    assert!(HYSOCK_OPERATION_BIND == Operation::Bind as i32);
    assert!(HYSOCK_OPERATION_CONNECT == Operation::Connect as i32);
    assert!(HYSOCK_OPERATION_SEND == Operation::Send as i32);
    assert!(HYSOCK_OPERATION_RECEIVE == Operation::Receive as i32);
    assert!(HYSOCK_OPERATION_WAIT == Operation::Wait as i32);
    assert!(HYSOCK_OPERATION_CALLBACK == Operation::Callback as i32);
};

/// The caller's place for an error, or none.
pub(super) struct ErrorOut<'a>(Option<&'a mut MaybeUninit<hysock_error>>);

impl ErrorOut<'_> {
    /// # Safety
    /// `err` is NULL, or writable memory for one `hysock_error` that nobody else uses until the
    /// function of the C API that it was given to returns.
    pub unsafe fn new<'a>(err: *mut hysock_error) -> ErrorOut<'a> {
        // SAFETY: the caller's promise; `MaybeUninit` asks for nothing about the content.
        ErrorOut(unsafe { err.cast::<MaybeUninit<hysock_error>>().as_mut() })
    }

    pub fn write(self, outcome: Result<(), &Error>) {
        let Some(place) = self.0 else { return };
        let place = place.as_mut_ptr();
        let (status, os_error, operation, message) = match outcome {
            Ok(()) => (0, 0, 0, ""),
            Err(e) => (e.status as i32, e.os_error, e.operation as i32, &*e.message),
        };
        // SAFETY: `place` comes from a reference to a whole struct, which lives in this function;
        // only as much of the message is written as fits. Fields are written one by one because the
        // struct need not be initialised, and to spare a success the 496 bytes.
        unsafe {
            (&raw mut (*place).status).write(status);
            (&raw mut (*place).os_error).write(os_error);
            (&raw mut (*place).operation).write(operation);
            (&raw mut (*place).reserved).write(0);
            let text = (&raw mut (*place).message).cast::<u8>();
            let fitting = fitting(message);
            for (at, byte) in fitting.bytes().enumerate() {
                // A NUL inside, from a path that was given with a length, would end the text.
                text.add(at).write(if byte == 0 { b'?' } else { byte });
            }
            text.add(fitting.len()).write(0);
        }
    }
}

/// The longest beginning of `message` that fits with its NUL and cuts no character in two.
fn fitting(message: &str) -> &str {
    let mut end = message.len().min(MESSAGE - 1);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;
    use std::ffi::CStr;

    fn written(outcome: Result<(), &Error>) -> (hysock_error, String) {
        let mut err = hysock_error {
            status: 7,
            os_error: 7,
            operation: 7,
            reserved: 7,
            message: [7; MESSAGE],
        };
        // SAFETY: `err` is a local variable.
        unsafe { ErrorOut::new(&mut err) }.write(outcome);
        // SAFETY: `write` ends the message with a NUL.
        let text = unsafe { CStr::from_ptr(err.message.as_ptr()) };
        let text = text.to_str().expect("the message is UTF-8").to_owned();
        (err, text)
    }

    #[test]
    fn a_success_clears_it() {
        let (err, text) = written(Ok(()));
        assert_eq!(
            (err.status, err.os_error, err.operation, err.reserved),
            (0, 0, 0, 0)
        );
        assert_eq!(text, "");
    }

    #[test]
    fn a_failure_fills_it() {
        let cause = std::io::Error::from_raw_os_error(libc::EACCES);
        let error = Error::system(Operation::Bind, "cannot bind /run/x", &cause);
        let (err, text) = written(Err(&error));
        assert_eq!(err.status, Status::System as i32);
        assert_eq!(err.os_error, libc::EACCES);
        assert_eq!(err.operation, HYSOCK_OPERATION_BIND);
        assert_eq!(err.reserved, 0);
        assert!(text.starts_with("cannot bind /run/x: "), "{text}");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        for pad in 0..4 {
            let long = "x".repeat(pad) + &"\u{1f600}".repeat(200);
            let (_, text) = written(Err(&Error::argument(long.clone())));
            assert!(long.starts_with(&text));
            assert!(text.len() <= 495 && text.len() > 495 - 4, "{}", text.len());
        }
        let (_, text) = written(Err(&Error::argument("y".repeat(495))));
        assert_eq!(text.len(), 495);
    }

    #[test]
    fn a_nul_inside_does_not_end_the_message() {
        let (_, text) = written(Err(&Error::argument("path \0x has a NUL")));
        assert_eq!(text, "path ?x has a NUL");
    }

    #[test]
    fn null_is_allowed() {
        // SAFETY: NULL is.
        unsafe { ErrorOut::new(std::ptr::null_mut()) }.write(Ok(()));
    }
}
