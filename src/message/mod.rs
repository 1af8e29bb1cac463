//! The message half: many producers, one receiver, over stream, sequenced-packet and datagram sockets.
//!
//! Data flows one way: a producer's frames -> a connection's decoder -> the funnel -> batches -> whoever
//! receives; a batch's end gives its bytes back to the budget.

pub mod batch;
pub mod framing;
mod funnel;
pub mod producer;
pub mod receiver;
mod source;

pub use batch::{Batch, Entry};
pub use framing::Framing;
pub use funnel::Overflow;
pub use producer::Producer;
pub use receiver::Receiver;
pub use source::Source;

/// What a message is flagged with.
pub mod flags {
    /// A last line without its delimiter.
    pub const PARTIAL: u32 = 1;
    /// A packet of which only the beginning is there.
    pub const TRUNCATED: u32 = 2;
    /// It came with descriptors.
    pub const FDS: u32 = 4;
    /// It came as sealed memory.
    pub const MAPPED: u32 = 8;
    /// No message: a producer has connected.
    pub const CONNECTED: u32 = 0x100;
    /// No message: a producer is gone, `sequence` says why.
    pub const DISCONNECTED: u32 = 0x200;
}

/// Entries of a batch that are no messages.
const EVENTS: u32 = flags::CONNECTED | flags::DISCONNECTED;

/// Why a producer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Reason {
    /// It has ended its stream between two messages.
    Closed = 1,
    /// In the middle of a message.
    Truncated = 2,
    /// It announced a message beyond the limit.
    Oversize = 3,
    /// A message under way stood still for too long.
    TimedOut = 4,
    /// The receiver has ended.
    ShutDown = 5,
    /// The connection failed.
    Error = 6,
    /// It was not let in: there was no connected.
    Rejected = 7,
}
