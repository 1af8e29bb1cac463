//! Unix sockets themselves: addresses, the listener and the life of its file, connecting, the peer,
//! and the stream that all HTTP runs on. The only place outside `ffi` that makes system calls `unsafe`ly.

pub mod account;
pub mod address;
pub mod connect;
pub mod listener;
mod lock;
pub mod peer;
mod pinned;
pub mod policy;
pub mod stream;
pub mod sys;
