//! How a call went. The values are fixed for ever and never reused. INVALID_ARGUMENT, BAD_HANDLE,
//! STATE and WOULD_DEADLOCK are mistakes in the program; the others are days like any other.

use crate::error::Status;
use std::ffi::{CStr, c_char};

/// HYSOCK_OK or a negative HYSOCK_E_ value. Never an HTTP status.
pub type hysock_status = i32;

/// It worked.
pub const HYSOCK_OK: hysock_status = 0;
/// NULL, a bad length, a value out of range, an illegal byte. The message names the argument.
pub const HYSOCK_E_INVALID_ARGUMENT: hysock_status = -1;
/// The handle was freed, is of another kind, or is none.
pub const HYSOCK_E_BAD_HANDLE: hysock_status = -2;
/// The right call at the wrong moment: a second answer, a second start.
pub const HYSOCK_E_STATE: hysock_status = -3;
/// A blocking call on a thread that must not block, or inside a callback that it would wait for.
pub const HYSOCK_E_WOULD_DEADLOCK: hysock_status = -4;
/// The runtime, or what hangs on it, belongs to the parent of this forked process.
pub const HYSOCK_E_FORKED: hysock_status = -5;
/// Nothing now.
pub const HYSOCK_E_WOULD_BLOCK: hysock_status = -6;
/// The caller's deadline came first.
pub const HYSOCK_E_TIMED_OUT: hysock_status = -7;
/// The caller cancelled it.
pub const HYSOCK_E_CANCELLED: hysock_status = -8;
/// The peer is gone.
pub const HYSOCK_E_CLOSED: hysock_status = -9;
/// The server, the client, the queue or the runtime has ended.
pub const HYSOCK_E_SHUT_DOWN: hysock_status = -10;
/// There is no such socket.
pub const HYSOCK_E_ABSENT: hysock_status = -11;
/// There is a socket file, and nobody listens on it.
pub const HYSOCK_E_REFUSED: hysock_status = -12;
/// Somebody listens, and took no connection until the deadline: the backlog stayed full.
pub const HYSOCK_E_BUSY: hysock_status = -13;
/// Not permitted.
pub const HYSOCK_E_FORBIDDEN: hysock_status = -14;
/// Not a socket, or one of another type.
pub const HYSOCK_E_WRONG_TYPE: hysock_status = -15;
/// A living listener holds the address.
pub const HYSOCK_E_IN_USE: hysock_status = -16;
/// The peer broke HTTP.
pub const HYSOCK_E_PROTOCOL: hysock_status = -17;
/// The peer ended in the middle of a message.
pub const HYSOCK_E_TRUNCATED: hysock_status = -18;
/// More than a configured limit, which the message names with its setter.
pub const HYSOCK_E_TOO_LARGE: hysock_status = -19;
/// A limit on how many is reached.
pub const HYSOCK_E_LIMIT: hysock_status = -20;
/// A system call failed: `os_error` of the `hysock_error` has its errno.
pub const HYSOCK_E_SYSTEM: hysock_status = -21;
/// This kernel cannot do it.
pub const HYSOCK_E_UNSUPPORTED: hysock_status = -22;
/// A bug in hysock, contained. Please report it.
pub const HYSOCK_E_PANIC: hysock_status = -23;

/// A few words for a status: the text for a log when there is no `hysock_error` at hand.
///
/// Any value is allowed; an unknown one gives "unknown status". The text is static and
/// NUL-terminated.
///
/// Thread: any.
/// Errors: none.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_status_message(status: i32) -> *const c_char {
    message(status).as_ptr()
}

fn message(status: hysock_status) -> &'static CStr {
    match status {
        HYSOCK_OK => c"no error",
        HYSOCK_E_INVALID_ARGUMENT => c"invalid argument",
        HYSOCK_E_BAD_HANDLE => c"the handle was freed, is of another kind, or is none",
        HYSOCK_E_STATE => c"not possible at this moment",
        HYSOCK_E_WOULD_DEADLOCK => c"would wait for itself",
        HYSOCK_E_FORKED => c"belongs to the parent of this forked process",
        HYSOCK_E_WOULD_BLOCK => c"nothing now",
        HYSOCK_E_TIMED_OUT => c"timed out",
        HYSOCK_E_CANCELLED => c"cancelled",
        HYSOCK_E_CLOSED => c"the peer is gone",
        HYSOCK_E_SHUT_DOWN => c"shut down",
        HYSOCK_E_ABSENT => c"no such socket",
        HYSOCK_E_REFUSED => c"nobody listens on the socket",
        HYSOCK_E_BUSY => c"the listener took no connection in time",
        HYSOCK_E_FORBIDDEN => c"not permitted",
        HYSOCK_E_WRONG_TYPE => c"not a socket, or one of another type",
        HYSOCK_E_IN_USE => c"in use by a living listener",
        HYSOCK_E_PROTOCOL => c"the peer broke the protocol",
        HYSOCK_E_TRUNCATED => c"the peer ended in the middle of a message",
        HYSOCK_E_TOO_LARGE => c"larger than the configured limit",
        HYSOCK_E_LIMIT => c"a limit is reached",
        HYSOCK_E_SYSTEM => c"a system call failed",
        HYSOCK_E_UNSUPPORTED => c"not supported by this kernel",
        HYSOCK_E_PANIC => c"a bug in hysock, contained",
        _ => c"unknown status",
    }
}

/// The constants above are the values of [`Status`].
const _: () = {
    assert!(HYSOCK_OK == Status::Ok as i32);
    assert!(HYSOCK_E_INVALID_ARGUMENT == Status::InvalidArgument as i32);
    assert!(HYSOCK_E_BAD_HANDLE == Status::BadHandle as i32);
    assert!(HYSOCK_E_STATE == Status::State as i32);
    assert!(HYSOCK_E_WOULD_DEADLOCK == Status::WouldDeadlock as i32);
    assert!(HYSOCK_E_FORKED == Status::Forked as i32);
    assert!(HYSOCK_E_WOULD_BLOCK == Status::WouldBlock as i32);
    assert!(HYSOCK_E_TIMED_OUT == Status::TimedOut as i32);
    assert!(HYSOCK_E_CANCELLED == Status::Cancelled as i32);
    assert!(HYSOCK_E_CLOSED == Status::Closed as i32);
    assert!(HYSOCK_E_SHUT_DOWN == Status::ShutDown as i32);
    assert!(HYSOCK_E_ABSENT == Status::Absent as i32);
    assert!(HYSOCK_E_REFUSED == Status::Refused as i32);
    assert!(HYSOCK_E_BUSY == Status::Busy as i32);
    assert!(HYSOCK_E_FORBIDDEN == Status::Forbidden as i32);
    assert!(HYSOCK_E_WRONG_TYPE == Status::WrongType as i32);
    assert!(HYSOCK_E_IN_USE == Status::InUse as i32);
    assert!(HYSOCK_E_PROTOCOL == Status::Protocol as i32);
    assert!(HYSOCK_E_TRUNCATED == Status::Truncated as i32);
    assert!(HYSOCK_E_TOO_LARGE == Status::TooLarge as i32);
    assert!(HYSOCK_E_LIMIT == Status::Limit as i32);
    assert!(HYSOCK_E_SYSTEM == Status::System as i32);
    assert!(HYSOCK_E_UNSUPPORTED == Status::Unsupported as i32);
    assert!(HYSOCK_E_PANIC == Status::Panic as i32);
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_status_has_words_of_its_own() {
        let words: HashSet<_> = (-23..=0).map(message).collect();
        assert_eq!(words.len(), 24);
        assert!(!words.contains(c"unknown status"));
        for unknown in [1, -24, i32::MIN, i32::MAX] {
            assert_eq!(message(unknown), c"unknown status");
        }
    }
}
