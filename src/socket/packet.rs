//! Messages through a socket: sends that carry descriptors, receives that keep messages apart and say who
//! sent each.

mod receive;

pub use receive::{Packet, Packets, Read, read};

use super::stream;
use super::sys;
use crate::limits::FDS_MAX;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Sends without waiting and without SIGPIPE; `fds` go with the first byte.
pub fn send(
    fd: BorrowedFd<'_>,
    pieces: &[IoSlice<'_>],
    fds: &[OwnedFd],
) -> rustix::io::Result<usize> {
    if fds.is_empty() {
        return stream::send(fd, pieces);
    }
    let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(Errno::TOOMANYREFS);
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    stream::again(|| rustix::net::sendmsg(fd, pieces, &mut control, flags))
}

/// Messages that one system call takes.
pub const PACKETS: usize = 64;

/// Sends each piece as one message, without waiting and without SIGPIPE; how many the socket took, at least
/// one. What stopped it is told by the next call.
pub fn send_many(fd: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    if let [one] = pieces {
        return stream::send(fd, std::slice::from_ref(one)).map(|_| 1);
    }
    stream::again(|| sendmmsg(fd, pieces, libc::MSG_DONTWAIT))
}

fn sendmmsg(
    fd: BorrowedFd<'_>,
    pieces: &[IoSlice<'_>],
    flags: libc::c_int,
) -> rustix::io::Result<usize> {
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; PACKETS];
    let count = pieces.len().min(PACKETS);
    for (header, piece) in headers.iter_mut().zip(&pieces[..count]) {
        // SAFETY: all zeroes are a valid mmsghdr: no name, no control, no flags.
        let header = header.write(unsafe { std::mem::zeroed() });
        // An IoSlice is an iovec (std guarantees it); the kernel only reads through it.
        header.msg_hdr.msg_iov = std::ptr::from_ref(piece).cast_mut().cast();
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: the first `count` headers are initialised and point to one piece each, which live until the
    // call has returned.
    let sent = unsafe {
        libc::sendmmsg(
            fd.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            count as u32,
            (flags | libc::MSG_NOSIGNAL) as _,
        )
    };
    if sent < 0 {
        Err(last_error())
    } else {
        Ok(sent as usize)
    }
}

/// How long [`send_waiting`] waits for room for each message on this socket; the kernel rounds it up by some
/// milliseconds.
pub fn limit_waits(fd: BorrowedFd<'_>, limit: Duration) -> rustix::io::Result<()> {
    set_socket_timeout(fd, Timeout::Send, Some(limit))
}

/// As [`send_many`], but waits for room in the kernel: a sender there is woken alone, and with room, where
/// those that poll are all woken for each message that is read. AGAIN: none came in time for the first; INTR: a
/// signal came.
pub fn send_waiting(fd: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    sendmmsg(fd, pieces, 0)
}

/// Waits until a message may fit, or a signal comes. The kernel counts whole messages, so one may still not.
pub fn wait_for_room(fd: BorrowedFd<'_>, limit: Duration) {
    let limit = Timespec::try_from(limit).ok();
    let mut poll = [PollFd::new(&fd, PollFlags::OUT)];
    rustix::event::poll(&mut poll, limit.as_ref()).ok();
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Bytes that the other side has not read yet.
pub fn unread_by_peer(fd: BorrowedFd<'_>) -> u64 {
    sys::unsent(fd)
}

/// Whether the connection is over: the other side has closed it or died.
pub fn is_broken(fd: BorrowedFd<'_>) -> bool {
    let mut poll = [PollFd::new(&fd, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let polled = rustix::io::retry_on_intr(|| rustix::event::poll(&mut poll, Some(&now)));
    polled.is_ok()
        && poll[0]
            .revents()
            .intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Of a connection that is over: whether the other side had read everything before it closed. The kernel
/// says ECONNRESET when it had not.
pub fn was_read_to_its_end(fd: BorrowedFd<'_>) -> bool {
    loop {
        match discard(fd) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// Reads and drops something, without waiting; 0 is the end.
pub fn discard(fd: BorrowedFd<'_>) -> rustix::io::Result<usize> {
    let mut scratch = [MaybeUninit::<u8>::uninit(); 4096];
    stream::receive(fd, &mut scratch, RecvFlags::DONTWAIT)
}

/// Makes the kernel say with each message who sent it (SO_PASSCRED, unix(7)).
pub fn tell_senders(fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    rustix::net::sockopt::set_socket_passcred(fd, true)
}

/// Whether the kernel lets descriptors through or refuses them, so that their sender gets EPERM;
/// connections that are accepted from `fd` do as it does. `false` before Linux 6.16, which always lets them
/// through: there they are closed when they are read.
pub fn let_fds_through(fd: BorrowedFd<'_>, through: bool) -> bool {
    let through = libc::c_int::from(through);
    // SAFETY: the descriptor is open, and the option is one int.
    let failed = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const through).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    failed == 0
}

/// As in asm-generic/socket.h, the one of x86-64 and arm64.
const SO_PASSRIGHTS: libc::c_int = 83;

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::os::fd::BorrowedFd;

    fn pair(kind: SocketType) -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap()
    }

    fn put(fd: BorrowedFd<'_>, data: &[u8], fds: &[OwnedFd]) {
        assert_eq!(send(fd, &[IoSlice::new(data)], fds).unwrap(), data.len());
    }

    #[test]
    fn packets_stay_apart_and_know_their_sender() {
        for kind in [SocketType::DGRAM, SocketType::SEQPACKET] {
            let (one, two) = pair(kind);
            tell_senders(two.as_fd()).unwrap();
            put(one.as_fd(), b"first", &[]);
            let extra = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
            put(one.as_fd(), b"second", &[extra]);
            put(one.as_fd(), b"much too long", &[]);
            let mut packets = Packets::new(8, true);
            let mut seen = Vec::new();
            assert_eq!(packets.receive(two.as_fd()).unwrap(), 3);
            packets.each(|packet| {
                assert_eq!(packet.sender.unwrap().pid, Some(std::process::id()));
                seen.push((packet.data.to_vec(), packet.truncated, packet.fds.len()));
            });
            assert_eq!(seen[0], (b"first".to_vec(), false, 0));
            assert_eq!(seen[1], (b"second".to_vec(), false, 1));
            assert_eq!(seen[2], (b"much too".to_vec(), true, 0));
            assert_eq!(packets.receive(two.as_fd()).unwrap_err(), Errno::AGAIN);
            packets.each(|_| panic!("they were given out"));
        }
    }

    #[test]
    fn many_leave_and_come_with_one_call_each() {
        let (one, two) = pair(SocketType::SEQPACKET);
        let long = vec![b'x'; 5000];
        let messages: Vec<&[u8]> = vec![b"short", &long, b"3", &long[..2048], &long[..2049]];
        let pieces: Vec<_> = messages.iter().map(|m| IoSlice::new(m)).collect();
        assert_eq!(send_many(one.as_fd(), &pieces).unwrap(), 5);
        let mut packets = Packets::new(5000, false);
        for _ in 0..2 {
            let mut seen = Vec::new();
            assert_eq!(packets.receive(two.as_fd()).unwrap(), 5);
            packets.each(|packet| {
                assert!(!packet.truncated);
                seen.push(packet.data.to_vec());
            });
            assert_eq!(seen, messages);
            assert_eq!(send_many(one.as_fd(), &pieces).unwrap(), 5);
        }
        // As many as there is room for, then the reason for no more.
        let mut sent = 0;
        let full = loop {
            match send_many(one.as_fd(), &pieces[1..]) {
                Ok(n) => sent += n,
                Err(errno) => break errno,
            }
        };
        assert!(full == Errno::AGAIN && sent > 4);
    }

    #[test]
    fn descriptors_that_nobody_wants_are_noticed() {
        let (one, two) = pair(SocketType::STREAM);
        let extra = || rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
        put(one.as_fd(), b"ab", &[extra()]);
        let mut space = [0; 16];
        let read_one = read(two.as_fd(), &mut space, false).unwrap();
        assert!(read_one.fds_lost && read_one.fds.is_empty() && read_one.bytes == 2);
        put(one.as_fd(), b"cd", &[extra(), extra()]);
        let with = read(two.as_fd(), &mut space, true).unwrap();
        assert!(!with.fds_lost && with.fds.len() == 2);
    }

    #[test]
    fn what_was_read_is_told_from_what_was_lost() {
        let (one, two) = pair(SocketType::STREAM);
        put(one.as_fd(), b"read", &[]);
        assert!(unread_by_peer(one.as_fd()) > 0);
        read(two.as_fd(), &mut [0; 16], false).unwrap();
        assert_eq!(unread_by_peer(one.as_fd()), 0);
        assert!(!is_broken(one.as_fd()));
        drop(two);
        assert!(is_broken(one.as_fd()));
        assert!(was_read_to_its_end(one.as_fd()));
        let (one, two) = pair(SocketType::STREAM);
        put(one.as_fd(), b"lost", &[]);
        drop(two);
        assert!(!was_read_to_its_end(one.as_fd()));
    }
}
