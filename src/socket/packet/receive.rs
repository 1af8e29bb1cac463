//! Receives that keep messages apart, with what comes beside their bytes.

use super::{PACKETS, last_error};
use crate::limits::FDS_MAX;
use crate::socket::peer::Peer;
use crate::socket::stream;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Address space for the messages of one call.
const SPACE_MAX: usize = 64 * 1024 * 1024;
/// Messages up to this length are kept close together: far apart, each would cost misses of the caches.
const SHORT: usize = 2048;
/// Room for the descriptors and the credentials of one message.
const CONTROL: usize =
    rustix::cmsg_space!(ScmRights(FDS_MAX), ScmCredentials(1)).next_multiple_of(8);

/// Where messages are received to; used again and again.
pub struct Packets {
    size: usize,
    with_control: bool,
    /// Made with the first use.
    space: Option<Space>,
}

/// Short messages lie close together, what is beyond [`SHORT`] of one elsewhere.
struct Space {
    short: Vec<u8>,
    rest: Vec<u8>,
    /// A message that is in both, in one piece.
    joined: Vec<u8>,
    /// In words, since the kernel's headers in it are aligned.
    control: Vec<u64>,
    /// They lead into the vectors above, which are never made longer.
    headers: Vec<libc::mmsghdr>,
    /// Messages that were received and not given out; their descriptors are nobody's until then.
    got: usize,
    _pieces: Vec<[libc::iovec; 2]>,
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
            size,
            with_control,
            space: None,
        }
    }

    /// How many messages one call asks for: of big ones fewer. When fewer came, no more were there.
    pub fn count(&self) -> usize {
        (SPACE_MAX / self.size.max(1)).clamp(1, PACKETS)
    }

    /// Receives what has come, up to some messages and without waiting; [`Packets::each`] gives them out. 0
    /// messages is the end of a SEQPACKET connection.
    pub fn receive(&mut self, fd: BorrowedFd<'_>) -> rustix::io::Result<usize> {
        let (count, size, with_control) = (self.count(), self.size, self.with_control);
        let space = self
            .space
            .get_or_insert_with(|| Space::new(count, size, with_control));
        space.got = 0;
        space.got = space.receive(fd, with_control)?;
        Ok(space.got)
    }

    /// Gives out what the last call received, once.
    pub fn each(&mut self, mut f: impl FnMut(Packet<'_>)) {
        let Some(space) = &mut self.space else { return };
        for index in 0..std::mem::take(&mut space.got) {
            let header = &space.headers[index];
            let flags = header.msg_hdr.msg_flags;
            let (sender, fds) = if self.with_control {
                control(&header.msg_hdr)
            } else {
                (None, Vec::new())
            };
            let len = (header.msg_len as usize).min(self.size);
            f(Packet {
                data: space.data(index, len, self.size),
                truncated: flags & libc::MSG_TRUNC != 0,
                sender,
                fds,
                fds_lost: flags & libc::MSG_CTRUNC != 0,
            });
        }
    }
}

impl Space {
    fn new(count: usize, size: usize, with_control: bool) -> Space {
        let (short, rest) = (size.min(SHORT), size.saturating_sub(SHORT));
        let words = if with_control {
            CONTROL / size_of::<u64>()
        } else {
            0
        };
        // Zeroes from the system: only what messages have filled takes memory.
        let mut space = Space {
            short: vec![0; count * short],
            rest: vec![0; count * rest],
            joined: Vec::new(),
            control: vec![0; count * words],
            headers: Vec::with_capacity(count),
            got: 0,
            _pieces: vec![[EMPTY; 2]; count],
        };
        for (index, pieces) in space._pieces.iter_mut().enumerate() {
            pieces[0] = piece(&mut space.short[index * short..][..short]);
            pieces[1] = piece(&mut space.rest[index * rest..][..rest]);
            // SAFETY: all zeroes are a valid mmsghdr: no name, no control, no flags.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = pieces.as_mut_ptr();
            header.msg_hdr.msg_iovlen = if rest > 0 { 2 } else { 1 };
            if with_control {
                let control = &mut space.control[index * words..][..words];
                header.msg_hdr.msg_control = control.as_mut_ptr().cast();
            }
            space.headers.push(header);
        }
        space
    }

    fn receive(&mut self, fd: BorrowedFd<'_>, with_control: bool) -> rustix::io::Result<usize> {
        if with_control {
            // The kernel has written there how much of it was used.
            for header in &mut self.headers {
                header.msg_hdr.msg_controllen = CONTROL as _;
            }
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        stream::again(|| {
            // SAFETY: each header points to its pieces and its control space, which live in this struct,
            // overlap with nothing and are not looked at until the call has returned.
            let got = unsafe {
                libc::recvmmsg(
                    fd.as_raw_fd(),
                    self.headers.as_mut_ptr(),
                    self.headers.len() as u32,
                    flags as _,
                    std::ptr::null_mut(),
                )
            };
            if got < 0 {
                Err(last_error())
            } else {
                Ok(got as usize)
            }
        })
    }

    /// The `len` bytes of message number `index`.
    fn data(&mut self, index: usize, len: usize, size: usize) -> &[u8] {
        let short = size.min(SHORT);
        let first = &self.short[index * short..][..len.min(short)];
        if len <= short {
            return first;
        }
        let rest = &self.rest[index * (size - short)..][..len - short];
        self.joined.clear();
        self.joined.extend_from_slice(first);
        self.joined.extend_from_slice(rest);
        &self.joined
    }
}

const EMPTY: libc::iovec = libc::iovec {
    iov_base: std::ptr::null_mut(),
    iov_len: 0,
};

fn piece(space: &mut [u8]) -> libc::iovec {
    libc::iovec {
        iov_base: space.as_mut_ptr().cast(),
        iov_len: space.len(),
    }
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
