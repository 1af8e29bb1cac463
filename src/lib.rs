//! HTTP over Unix domain sockets, for programs that are not written in Rust.
//!
//! The house, in the header's order:
//!
//! - [`error`], [`limits`]: what can go wrong, and every number in one table
//! - [`panic`]: a bug of ours never leaves the library
//! - [`count`], `metrics`: numbers that are counted on one thread and read on any, and their text
//! - [`runtime`]: threads, delivery of callbacks, the pollable queue, the fork guard, the log
//! - [`socket`]: addresses, the listener and its file, connecting, the peer, the stream
//! - [`http`]: what server and client share; [`http::server`], [`http::client`]
//! - [`message`]: many producers, one receiver
//! - [`ffi`]: the C face, one file per handle

#![deny(unsafe_code)]

pub mod count;
pub mod error;
#[allow(unsafe_code)]
pub mod ffi;
pub mod http;
pub mod limits;
pub mod message;
mod metrics;
pub mod panic;
pub mod runtime;
#[allow(unsafe_code)]
pub mod socket;
