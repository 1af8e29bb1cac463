//! What can go wrong, as one type: a status, the system's own error, the step that failed, and a
//! message that says what and what to do about it.

use std::borrow::Cow;
use std::fmt;
use std::io;

/// The outcome of every call. Values are fixed for ever and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Status {
    Ok = 0,
    InvalidArgument = -1,
    BadHandle = -2,
    State = -3,
    WouldDeadlock = -4,
    Forked = -5,
    WouldBlock = -6,
    TimedOut = -7,
    Cancelled = -8,
    Closed = -9,
    ShutDown = -10,
    Absent = -11,
    Refused = -12,
    Busy = -13,
    Forbidden = -14,
    WrongType = -15,
    InUse = -16,
    Protocol = -17,
    Truncated = -18,
    TooLarge = -19,
    Limit = -20,
    System = -21,
    Unsupported = -22,
    Panic = -23,
}

/// Which step of the work an [`Error`] comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Operation {
    None = 0,
    Argument = 1,
    Start = 2,
    Bind = 3,
    Connect = 4,
    Send = 5,
    Receive = 6,
    Wait = 7,
    Callback = 8,
}

/// One failure, with everything that its reader needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub status: Status,
    pub operation: Operation,
    /// The errno behind it; 0 when no system call failed.
    pub os_error: i32,
    pub message: Cow<'static, str>,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(
        status: Status,
        operation: Operation,
        message: impl Into<Cow<'static, str>>,
    ) -> Error {
        Error {
            status,
            operation,
            os_error: 0,
            message: message.into(),
        }
    }

    /// An argument that cannot be used; `message` names it.
    pub fn argument(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(Status::InvalidArgument, Operation::Argument, message)
    }

    /// The right call at the wrong moment.
    pub fn state(message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(Status::State, Operation::None, message)
    }

    /// A failed system call; the message is `what: reason`.
    pub fn system(operation: Operation, what: impl fmt::Display, cause: &io::Error) -> Error {
        Error {
            status: Status::System,
            operation,
            os_error: cause.raw_os_error().unwrap_or(0),
            message: format!("{what}: {cause}").into(),
        }
    }

    /// The same failure under another status, for system errors that have a name of their own.
    pub fn with_status(mut self, status: Status) -> Error {
        self.status = status;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
