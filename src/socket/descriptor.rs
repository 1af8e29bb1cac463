//! A descriptor of the program's that a body comes from or goes to: a file, a pipe, a socket, a terminal.
//! Nothing here waits in it, whatever its mode; only files are slow when their disk is.

use super::sys;
use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, OFlags};
use rustix::io::{Errno, ReadWriteFlags};
use rustix::net::{RecvFlags, SendFlags};
use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What a pipe takes without blocking, once it says that it takes anything.
const PIPE_PIECE: usize = 4096;

pub struct Descriptor {
    fd: Arc<OwnedFd>,
    kind: Kind,
    /// On an I/O thread that had to wait for it.
    watch: Option<AsyncFd<Arc<OwnedFd>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Socket,
    Other,
}

impl Descriptor {
    /// A copy of its own of one that can be read, or written.
    pub fn copy(fd: BorrowedFd<'_>, to_read: bool) -> rustix::io::Result<Descriptor> {
        let lacking = if to_read {
            OFlags::WRONLY
        } else {
            OFlags::RDONLY
        };
        let flags = rustix::fs::fcntl_getfl(fd)?;
        if flags & OFlags::RWMODE == lacking || flags.contains(OFlags::PATH) {
            return Err(Errno::BADF);
        }
        let stat = rustix::fs::fstat(fd)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return Err(Errno::ISDIR),
            FileType::RegularFile | FileType::BlockDevice => Kind::File,
            FileType::Socket => Kind::Socket,
            _ => Kind::Other,
        };
        Ok(Descriptor {
            fd: Arc::new(rustix::io::fcntl_dupfd_cloexec(fd, 0)?),
            kind,
            watch: None,
        })
    }

    /// The same, for another use of it.
    pub fn again(&self) -> Descriptor {
        Descriptor {
            fd: self.fd.clone(),
            kind: self.kind,
            watch: None,
        }
    }

    pub fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    /// Where a file is read from, and how much is there; `None` for what is read once.
    pub fn position(&self) -> rustix::io::Result<Option<(u64, u64)>> {
        if self.kind != Kind::File {
            return Ok(None);
        }
        let at = rustix::fs::tell(&self.fd)?;
        let size = rustix::fs::fstat(&self.fd)?.st_size.max(0) as u64;
        Ok(Some((at, size.saturating_sub(at))))
    }

    /// At most `max` bytes, of a file those at `at`; none at the end, `AGAIN` when nothing is here yet.
    pub fn read(&self, at: Option<u64>, max: usize) -> rustix::io::Result<Bytes> {
        let mut piece = vec![0; max];
        loop {
            let space = &mut piece[..];
            let read = match (self.kind, at) {
                (_, Some(at)) => rustix::io::pread(&self.fd, space, at),
                (Kind::Socket, None) => {
                    rustix::net::recv(&self.fd, space, RecvFlags::DONTWAIT).map(|(n, _)| n)
                }
                (_, None) if !self.is_ready(PollFlags::IN)? => Err(Errno::AGAIN),
                (_, None) => rustix::io::read(&self.fd, space),
            };
            match read {
                Err(Errno::INTR) => {}
                Ok(n) => {
                    piece.truncate(n);
                    return Ok(Bytes::from(piece));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// How many of the bytes it took; `AGAIN` when there is no room.
    pub fn write(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        match self.kind {
            Kind::File => super::stream::again(|| rustix::io::write(&self.fd, bytes)),
            Kind::Socket => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                super::stream::again(|| rustix::net::send(&self.fd, bytes, flags))
            }
            Kind::Other => sys::without_sigpipe(|| {
                let written = self.write_at_once(bytes);
                written.unwrap_or_else(|| self.write_pipe(bytes))
            }),
        }
    }

    /// As much as it takes without waiting, pwritev2(2); `None` where it cannot say that, as terminals cannot.
    fn write_at_once(&self, bytes: &[u8]) -> Option<rustix::io::Result<usize>> {
        // Where the file stands, as write(2).
        const HERE: u64 = u64::MAX;
        let bytes = [IoSlice::new(bytes)];
        let flags = ReadWriteFlags::NOWAIT;
        match super::stream::again(|| rustix::io::pwritev2(&self.fd, &bytes, HERE, flags)) {
            Ok(n) => Some(Ok(n)),
            Err(error @ (Errno::AGAIN | Errno::PIPE | Errno::NOSPC | Errno::IO)) => {
                Some(Err(error))
            }
            Err(_) => None,
        }
    }

    fn write_pipe(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() {
            let rest = &bytes[written..];
            let piece = &rest[..rest.len().min(PIPE_PIECE)];
            let ready = self.is_ready(PollFlags::OUT);
            let result = match ready {
                Ok(true) => super::stream::again(|| rustix::io::write(&self.fd, piece)),
                Ok(false) => Err(Errno::AGAIN),
                Err(error) => Err(error),
            };
            match result {
                Ok(n) => written += n,
                Err(_) if written > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn is_ready(&self, events: PollFlags) -> rustix::io::Result<bool> {
        let mut fds = [PollFd::new(&*self.fd, events)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let found = super::stream::again(|| rustix::event::poll(&mut fds, Some(&now)))?;
        Ok(found > 0)
    }

    /// On an I/O thread: ready when it is worth trying again.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>, events: PollFlags) -> Poll<io::Result<()>> {
        let writes = events.contains(PollFlags::OUT);
        let interest = if writes {
            Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        if self.watch.is_none() {
            self.watch = Some(sys::register(self.fd.clone(), interest)?);
        }
        loop {
            let watch = self.watch.as_ref().expect("made above");
            let mut guard = if writes {
                ready!(watch.poll_write_ready(cx))?
            } else {
                ready!(watch.poll_read_ready(cx))?
            };
            if self.is_ready(events)? {
                return Poll::Ready(Ok(()));
            }
            guard.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn an_empty_pipe_and_a_full_one_do_not_block() {
        let (read, write) = std::io::pipe().unwrap();
        let from = Descriptor::copy(read.as_fd(), true).unwrap();
        let to = Descriptor::copy(write.as_fd(), false).unwrap();
        assert_eq!(from.position().unwrap(), None);
        assert_eq!(from.read(None, 10).unwrap_err(), Errno::AGAIN);
        let mut all = 0;
        loop {
            match to.write(&[7; 10_000]) {
                Ok(n) => all += n,
                Err(error) => break assert_eq!(error, Errno::AGAIN),
            }
        }
        // What room is left is less than what is never torn apart, pipe(7).
        while let Ok(n) = to.write_pipe(&[7; 10_000]) {
            all += n;
        }
        assert!(all > PIPE_PIECE);
        let mut taken = 0;
        while taken < all {
            taken += from.read(None, 3000).unwrap().len();
        }
        drop((to, write));
        assert!(from.read(None, 10).unwrap().is_empty());
    }

    #[test]
    fn what_cannot_say_how_much_it_takes_is_asked_piece_by_piece() {
        let (read, write) = std::io::pipe().unwrap();
        let to = Descriptor::copy(write.as_fd(), false).unwrap();
        let from = Descriptor::copy(read.as_fd(), true).unwrap();
        assert_eq!(to.write_pipe(&[7; 10_000]).unwrap(), 10_000);
        assert_eq!(to.write(&[8; 10_000]).unwrap(), 10_000);
        let mut all = Vec::new();
        while let Ok(piece) = from.read(None, 3000) {
            all.extend_from_slice(&piece);
        }
        assert_eq!(all, [[7; 10_000], [8; 10_000]].concat());
    }

    #[test]
    fn a_pipe_without_a_reader_is_an_error_and_no_signal() {
        let (read, write) = std::io::pipe().unwrap();
        let to = Descriptor::copy(write.as_fd(), false).unwrap();
        drop(read);
        // The test's own thread has SIGPIPE ignored: what is left pending would be seen by the mask alone.
        assert_eq!(to.write(b"x").unwrap_err(), Errno::PIPE);
    }

    #[test]
    fn a_file_is_read_where_it_stands_and_stays_there() {
        let path = std::env::temp_dir().join(format!("hysock-fd-{}", std::process::id()));
        std::fs::write(&path, b"0123456789").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(4)).unwrap();
        let from = Descriptor::copy(file.as_fd(), true).unwrap();
        assert_eq!(from.position().unwrap(), Some((4, 6)));
        assert_eq!(&from.read(Some(6), 3).unwrap()[..], b"678");
        assert_eq!(from.position().unwrap(), Some((4, 6)));
        assert!(from.read(Some(10), 3).unwrap().is_empty());
        assert_eq!(
            Descriptor::copy(file.as_fd(), false).err(),
            Some(Errno::BADF)
        );
        let folder = std::fs::File::open("/").unwrap();
        assert_eq!(
            Descriptor::copy(folder.as_fd(), true).err(),
            Some(Errno::ISDIR)
        );
    }
}
