//! Sending a file: the kernel hands its pages over, and the bytes never come into this process.

use super::{Reactor, ReactorStream};
use crate::limits::FILE_BUFFER;
use crate::socket::sys;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::sockopt;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

/// How a socket was before it was made ready for sendfile(2).
pub struct Before {
    flags: OFlags,
    buffer: Option<usize>,
}

impl<P: Deref<Target = Reactor>> ReactorStream<P> {
    /// Prepares for files: sendfile(2) has no flags, so the socket must not be in blocking mode, and gets room
    /// for more, since the peer is told that there is something when it may already have waited for it.
    pub fn begin_files(&self) -> rustix::io::Result<Before> {
        let fd = &self.0.fd;
        let flags = rustix::fs::fcntl_getfl(fd)?;
        rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?;
        // It says twice what one sets.
        let buffer = sockopt::socket_send_buffer_size(fd)? / 2;
        let buffer = (buffer < FILE_BUFFER).then_some(buffer);
        if buffer.is_some() {
            sockopt::set_socket_send_buffer_size(fd, FILE_BUFFER)?;
        }
        Ok(Before { flags, buffer })
    }

    /// The socket is as it was.
    pub fn end_files(&self, before: &Before) {
        let fd = &self.0.fd;
        // What worked one way works the other.
        rustix::fs::fcntl_setfl(fd, before.flags).ok();
        if let Some(buffer) = before.buffer {
            sockopt::set_socket_send_buffer_size(fd, buffer).ok();
        }
    }

    /// Sends at most `len` bytes of `file` from `at` on, after [`ReactorStream::begin_files`]: how many, 0 at
    /// the end of the file. To a peer that has left it is EPIPE.
    pub fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        file: BorrowedFd<'_>,
        at: u64,
        len: usize,
    ) -> Poll<rustix::io::Result<usize>> {
        let this: &Reactor = &self.0;
        if this.expired.get() {
            return Poll::Ready(Err(Errno::TIMEDOUT));
        }
        loop {
            if this.sink.get() {
                return Poll::Ready(Err(Errno::PIPE));
            }
            match sys::send_file(&*this.fd, file, at, len) {
                Ok(n) => {
                    this.blocked.set(false);
                    this.count_sent(n as u64);
                    return Poll::Ready(Ok(n));
                }
                Err(Errno::AGAIN) => {
                    this.blocked.set(true);
                    ready!(self.poll_writable(cx)).map_err(|_| Errno::IO)?;
                }
                Err(Errno::PIPE | Errno::CONNRESET) => self.set_sink(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ServerStream;
    use super::*;
    use crate::socket::stream::Meter;
    use rustix::fs::MemfdFlags;
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
    use std::os::fd::{AsFd, OwnedFd};
    use std::sync::Arc;
    use std::task::Waker;

    fn with_stream(f: impl FnOnce(ServerStream, OwnedFd)) {
        let flags = SocketFlags::CLOEXEC;
        let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let (ours, peers) = pair.unwrap();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_io().build().unwrap();
        let _guard = runtime.enter();
        f(
            ServerStream::new(Arc::new(ours), Arc::new(Meter::default())),
            peers,
        );
    }

    fn file(len: u64) -> OwnedFd {
        let file = rustix::fs::memfd_create("file", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, len).unwrap();
        file
    }

    fn send(stream: &ServerStream, file: &OwnedFd, at: u64) -> Poll<rustix::io::Result<usize>> {
        let mut cx = Context::from_waker(Waker::noop());
        stream.poll_send_file(&mut cx, file.as_fd(), at, 1 << 20)
    }

    #[test]
    fn it_sends_until_there_is_no_room_and_the_socket_is_as_before() {
        with_stream(|stream, peers| {
            let file = file(1 << 30);
            let before = stream.begin_files().unwrap();
            let mut sent = 0;
            while let Poll::Ready(n) = send(&stream, &file, sent) {
                sent += n.unwrap() as u64;
            }
            assert!(sent > 0 && stream.is_blocked() && stream.sent() == sent);
            let mut space = vec![0; 1 << 20];
            let (n, _) = rustix::net::recv(&peers, &mut space, RecvFlags::empty()).unwrap();
            assert!(send(&stream, &file, sent).is_ready() && n > 0 && !stream.is_blocked());
            stream.end_files(&before);
            let flags = rustix::fs::fcntl_getfl(&stream).unwrap();
            assert!(!flags.contains(OFlags::NONBLOCK));
            let buffer = sockopt::socket_send_buffer_size(&stream).unwrap();
            assert_eq!(buffer, sockopt::socket_send_buffer_size(&peers).unwrap());
        });
    }

    #[test]
    fn the_end_of_the_file_and_a_peer_that_has_left() {
        with_stream(|stream, peers| {
            let file = file(100);
            stream.begin_files().unwrap();
            assert_eq!(send(&stream, &file, 0), Poll::Ready(Ok(100)));
            assert_eq!(send(&stream, &file, 100), Poll::Ready(Ok(0)));
            drop(peers);
            assert_eq!(send(&stream, &file, 0), Poll::Ready(Err(Errno::PIPE)));
            assert!(stream.is_sink());
        });
    }
}
