//! Unix sockets themselves: addresses, the listener and the life of its file, connecting, the peer,
//! and the stream that all HTTP runs on. The only place outside `ffi` that makes system calls `unsafe`ly.

pub mod account;
pub mod address;
pub mod connect;
pub mod descriptor;
pub mod listener;
mod lock;
pub mod memfd;
pub mod packet;
pub mod peer;
mod pinned;
pub mod policy;
pub mod stream;
pub mod sys;
pub mod users;

/// How a Unix socket keeps its bytes, unix(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    #[default]
    Stream,
    Seqpacket,
    Datagram,
}

impl Kind {
    pub(crate) fn socket_type(self) -> rustix::net::SocketType {
        match self {
            Kind::Stream => rustix::net::SocketType::STREAM,
            Kind::Seqpacket => rustix::net::SocketType::SEQPACKET,
            Kind::Datagram => rustix::net::SocketType::DGRAM,
        }
    }
}
