//! HTTP/1.1 over Unix sockets: what server and client share.

pub mod body;
pub mod client;
pub mod headers;
pub mod parent;
pub mod reading;
pub mod rooms;
pub mod server;
mod trailers;
mod writing;

use std::any::Any;
use std::sync::OnceLock;

/// What the layer above keeps with an exchange or a call: it outlives the request, since both are used
/// again.
pub type Kept = OnceLock<Box<dyn Any + Send + Sync>>;
