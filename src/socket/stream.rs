//! The connected Unix stream that all HTTP runs on: hyper's `Read` and `Write` for a server, [`Transport`] for a
//! client, both over `recv` and `sendmsg(MSG_NOSIGNAL)`.
//!
//! Two homes share one set of calls. [`ReactorStream`] lives on an I/O thread, registered for READABLE
//! only: answers that the peer reads then wake nobody. [`CallerStream`] is driven by a thread that may
//! block in `recv`: a request costs one send and one receive. The descriptor itself is in blocking mode
//! in both, every call that must not block says so (MSG_DONTWAIT).

mod caller;
mod patience;
mod reactor;
mod useless;
mod waits;

pub use caller::{Caller, CallerStream};
pub use patience::{Expired, Patience};
pub use reactor::{Before, ClientStream, ReactorStream, ServerStream};
pub use useless::Useless;
pub use waits::Waits;

use crate::count::Count;
use crate::limits::READ_MAX;
use bytes::BufMut;
use hyper::rt::ReadBufCursor;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

/// Bytes that the streams of one thread have moved.
#[derive(Debug, Default)]
pub struct Meter {
    pub received: Count,
    pub sent: Count,
}

/// What a client's HTTP runs on.
pub trait Transport {
    /// Appends what has come to `into`, which has room for `most` bytes; 0 at the end.
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        into: &mut impl BufMut,
        most: usize,
    ) -> Poll<io::Result<usize>>;

    /// Sends as much as there is room for.
    fn poll_send(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Whether something has come that was not received yet.
    fn has_unread(&self) -> bool;
}

/// `recv` into uninitialised memory; EINTR is tried again.
pub(super) fn receive(
    fd: BorrowedFd<'_>,
    buf: &mut [MaybeUninit<u8>],
    flags: RecvFlags,
) -> rustix::io::Result<usize> {
    loop {
        match rustix::net::recv(fd, &mut *buf, flags) {
            Ok((_, n)) => return Ok(n),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Pieces that fit into this are put together and sent as one: a copy of a few hundred bytes costs less
/// than the kernel's walk through a `msghdr`.
const GATHER: usize = 1024;

/// A send that never waits and never raises SIGPIPE.
pub(super) fn send(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let one = |bytes: &[u8]| again(|| rustix::net::send(fd, bytes, flags));
    let len = bufs.iter().map(|piece| piece.len()).sum::<usize>();
    if let [piece] = bufs {
        return one(piece);
    }
    if len <= GATHER {
        let mut space = [0; GATHER];
        let mut end = 0;
        for piece in bufs {
            space[end..end + piece.len()].copy_from_slice(piece);
            end += piece.len();
        }
        return one(&space[..len]);
    }
    again(|| rustix::net::sendmsg(fd, bufs, &mut SendAncillaryBuffer::default(), flags))
}

/// Says one last thing to a peer, without waiting for anything. What it had sent is read first: closed
/// upon unread bytes, it would be told of an error before it could look at the answer.
pub fn send_away(fd: BorrowedFd<'_>, answer: &[u8]) {
    let mut space = [MaybeUninit::uninit(); GATHER];
    for _ in 0..READ_MAX / GATHER {
        if !matches!(receive(fd, &mut space, RecvFlags::DONTWAIT), Ok(1..)) {
            break;
        }
    }
    send(fd, &[IoSlice::new(answer)]).ok();
    rustix::net::shutdown(fd, Shutdown::Both).ok();
}

/// Tries a system call again as long as a signal interrupts it.
pub(super) fn again<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Lets `receive` fill hyper's buffer, at most [`READ_MAX`] bytes.
fn fill(
    buf: &mut ReadBufCursor<'_>,
    receive: impl FnOnce(&mut [MaybeUninit<u8>]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<(usize, bool)> {
    // SAFETY: the bytes are only handed to `recv`, which initialises what it fills and never
    // un-initialises any.
    let space = unsafe { buf.as_mut() };
    let len = space.len().min(READ_MAX);
    let n = receive(&mut space[..len])?;
    // SAFETY: `recv` has just initialised the first `n` bytes.
    unsafe { buf.advance(n) };
    Ok((n, n == len))
}

/// Lets `receive` append to `into`, at most `most` bytes.
fn append(
    into: &mut impl BufMut,
    most: usize,
    receive: impl FnOnce(&mut [MaybeUninit<u8>]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<(usize, bool)> {
    let space = into.chunk_mut();
    // SAFETY: the bytes are only handed to `recv`, which initialises what it fills and never
    // un-initialises any.
    let space = unsafe { space.as_uninit_slice_mut() };
    let len = space.len().min(most);
    let n = receive(&mut space[..len])?;
    // SAFETY: `recv` has just initialised the first `n` bytes.
    unsafe { into.advance_mut(n) };
    Ok((n, n == len))
}

#[cfg(test)]
mod tests {
    //! What the end of an idle connection leans on.

    use super::*;
    use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType};
    use std::os::fd::{AsFd, OwnedFd};

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC;
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
    }

    fn send_one(fd: &OwnedFd, bytes: &[u8]) -> rustix::io::Result<usize> {
        send(fd.as_fd(), &[IoSlice::new(bytes)])
    }

    fn receive_all(fd: &OwnedFd) -> Vec<u8> {
        let mut space = [0; 64];
        let mut all = Vec::new();
        loop {
            let (n, _) = rustix::net::recv(fd, &mut space, RecvFlags::DONTWAIT).unwrap();
            if n == 0 {
                return all;
            }
            all.extend_from_slice(&space[..n]);
        }
    }

    #[test]
    fn after_our_shutdown_of_reading_the_peer_sends_nothing_and_what_it_sent_is_there() {
        let (ours, peers) = pair();
        assert_eq!(send_one(&peers, b"before").unwrap(), 6);
        rustix::net::shutdown(&ours, Shutdown::Read).unwrap();
        assert_eq!(send_one(&peers, b"after"), Err(Errno::PIPE));
        assert_eq!(receive_all(&ours), b"before");
        // The other direction works on.
        assert_eq!(send_one(&ours, b"answer").unwrap(), 6);
        drop(ours);
        assert_eq!(receive_all(&peers), b"answer");
    }

    #[test]
    fn a_send_either_fails_whole_or_is_read_whole() {
        for _ in 0..200 {
            let (ours, peers) = pair();
            let sender = std::thread::spawn(move || {
                let mut sent = 0;
                loop {
                    match send_one(&peers, &[7; 10]) {
                        Ok(n) => sent += n,
                        Err(Errno::AGAIN) => {}
                        Err(error) => return (sent, error, peers),
                    }
                }
            });
            std::thread::yield_now();
            rustix::net::shutdown(&ours, Shutdown::Read).unwrap();
            let read = receive_all(&ours).len();
            let (sent, error, _peers) = sender.join().unwrap();
            assert_eq!((error, read), (Errno::PIPE, sent));
        }
    }
}
