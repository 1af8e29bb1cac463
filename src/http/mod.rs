//! HTTP/1.1 over Unix sockets: what server and client share.

pub mod body;
pub mod client;
pub mod headers;
pub mod parent;
pub mod server;
