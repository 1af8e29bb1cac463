//! Messages through a socket: sends that carry descriptors, receives that keep messages apart and say who
//! sent each.

use super::peer::Peer;
use super::stream;
use super::sys;
use crate::limits::FDS_MAX;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

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
/// Messages that one system call takes.
pub const PACKETS: usize = 64;
/// Address space for them.
const SPACE_MAX: usize = 64 * 1024 * 1024;
/// Room for the descriptors and the credentials of one message.
const CONTROL: usize =
    rustix::cmsg_space!(ScmRights(FDS_MAX), ScmCredentials(1)).next_multiple_of(8);

/// Where messages are received to; used again and again.
pub struct Packets {
    /// One piece for each message.
    space: Vec<u8>,
    size: usize,
    /// In words, since the kernel's headers in it are aligned.
    control: Vec<u64>,
    with_control: bool,
}

/// One message that was received.
pub struct Packet<'a> {
    pub data: &'a [u8],
    /// It was longer than the space for it.
    pub truncated: bool,
    pub sender: Option<Peer>,
    pub fds: Vec<OwnedFd>,
    /// Descriptors came that nobody asked for: the kernel has closed them.
    pub fds_lost: bool,
}

impl Packets {
    /// Room for messages of up to `size` bytes. Without `with_control` neither senders nor descriptors are
    /// received.
    pub fn new(size: usize, with_control: bool) -> Packets {
        Packets {
            space: Vec::new(),
            size,
            control: Vec::new(),
            with_control,
        }
    }

    /// Of big messages fewer at once.
    fn count(&self) -> usize {
        (SPACE_MAX / self.size.max(1)).clamp(1, PACKETS)
    }

    /// Receives what has come, up to some messages and without waiting; `f` gets each. 0 messages is the
    /// end of a SEQPACKET connection.
    pub fn receive(
        &mut self,
        fd: BorrowedFd<'_>,
        mut f: impl FnMut(Packet<'_>),
    ) -> rustix::io::Result<usize> {
        let count = self.count();
        if self.space.is_empty() {
            // Zeroes from the system: only what messages have filled takes memory.
            self.space = vec![0; count * self.size];
            if self.with_control {
                self.control = vec![0; count * CONTROL / size_of::<u64>()];
            }
        }
        let mut pieces: Vec<libc::iovec> = self
            .space
            .chunks_exact_mut(self.size)
            .map(|chunk| libc::iovec {
                iov_base: chunk.as_mut_ptr().cast(),
                iov_len: chunk.len(),
            })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(count);
        for (index, piece) in pieces.iter_mut().enumerate() {
            // SAFETY: all zeroes are a valid mmsghdr: no name, no control, no flags.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = piece;
            header.msg_hdr.msg_iovlen = 1;
            if self.with_control {
                header.msg_hdr.msg_control = self.control[index * CONTROL / size_of::<u64>()..]
                    .as_mut_ptr()
                    .cast();
                header.msg_hdr.msg_controllen = CONTROL as _;
            }
            headers.push(header);
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        let got = stream::again(|| {
            // SAFETY: each header points to one piece of `space` and one of `control`, which live and are
            // not touched until the call has returned.
            let got = unsafe {
                libc::recvmmsg(
                    fd.as_raw_fd(),
                    headers.as_mut_ptr(),
                    count as u32,
                    flags as _,
                    std::ptr::null_mut(),
                )
            };
            if got < 0 {
                Err(last_error())
            } else {
                Ok(got as usize)
            }
        })?;
        for (index, header) in headers[..got].iter().enumerate() {
            let flags = header.msg_hdr.msg_flags;
            let len = header.msg_len as usize;
            let (sender, fds) = if self.with_control {
                control(&header.msg_hdr)
            } else {
                (None, Vec::new())
            };
            let start = index * self.size;
            f(Packet {
                data: &self.space[start..start + len.min(self.size)],
                truncated: flags & libc::MSG_TRUNC != 0,
                sender,
                fds,
                fds_lost: flags & libc::MSG_CTRUNC != 0,
            });
        }
        Ok(got)
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// What came beside the bytes of a message.
fn control(header: &libc::msghdr) -> (Option<Peer>, Vec<OwnedFd>) {
    let mut sender = None;
    let mut fds = Vec::new();
    // SAFETY: the kernel has filled the header's control buffer, which lives; the macros walk it within the
    // length that it wrote there.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(header);
        while let Some(message) = next.as_ref() {
            let data = libc::CMSG_DATA(next);
            let len = message.cmsg_len - libc::CMSG_LEN(0) as usize;
            match (message.cmsg_level, message.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    for index in 0..len / size_of::<i32>() {
                        let fd = data.cast::<i32>().add(index).read_unaligned();
                        // Ours alone: the kernel has just made it for this message.
                        fds.push(OwnedFd::from_raw_fd(fd));
                    }
                }
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if len >= size_of::<libc::ucred>() => {
                    let found = data.cast::<libc::ucred>().read_unaligned();
                    sender = Some(Peer {
                        uid: found.uid,
                        gid: found.gid,
                        pid: u32::try_from(found.pid).ok().filter(|&pid| pid != 0),
                    });
                }
                _ => {}
            }
            next = libc::CMSG_NXTHDR(header, next);
        }
    }
    (sender, fds)
}

/// What one read of a stream gave.
pub struct Read {
    pub bytes: usize,
    pub fds: Vec<OwnedFd>,
    pub fds_lost: bool,
}

/// Reads a stream into `space`, without waiting, with the descriptors that come along when `with_fds`.
pub fn read(fd: BorrowedFd<'_>, space: &mut [u8], with_fds: bool) -> rustix::io::Result<Read> {
    let mut piece = libc::iovec {
        iov_base: space.as_mut_ptr().cast(),
        iov_len: space.len(),
    };
    let mut room = [MaybeUninit::<u64>::uninit(); CONTROL / size_of::<u64>()];
    // SAFETY: all zeroes are a valid msghdr.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut piece;
    header.msg_iovlen = 1;
    if with_fds {
        header.msg_control = room.as_mut_ptr().cast();
        header.msg_controllen = CONTROL as _;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    let bytes = stream::again(|| {
        // SAFETY: the header points to `piece`, which is `space`, and to `room`; all live until it returns.
        let got = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) };
        if got < 0 {
            Err(last_error())
        } else {
            Ok(got as usize)
        }
    })?;
    let (_, fds) = if with_fds {
        control(&header)
    } else {
        (None, Vec::new())
    };
    Ok(Read {
        bytes,
        fds,
        fds_lost: header.msg_flags & libc::MSG_CTRUNC != 0,
    })
}

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
            let got = packets.receive(two.as_fd(), |packet| {
                assert_eq!(packet.sender.unwrap().pid, Some(std::process::id()));
                seen.push((packet.data.to_vec(), packet.truncated, packet.fds.len()));
            });
            assert_eq!(got.unwrap(), 3);
            assert_eq!(seen[0], (b"first".to_vec(), false, 0));
            assert_eq!(seen[1], (b"second".to_vec(), false, 1));
            assert_eq!(seen[2], (b"much too".to_vec(), true, 0));
            assert_eq!(
                packets.receive(two.as_fd(), |_| {}).unwrap_err(),
                Errno::AGAIN
            );
        }
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
