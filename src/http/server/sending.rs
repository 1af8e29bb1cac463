//! A file on its way to the client past hyper, which has written the head of the answer: sendfile(2) takes a
//! third of what reading and sending does.

use super::file::Part;
use super::link::Link;
use crate::limits::FILE_TURN;
use crate::socket::stream::{Before, ServerStream};
use bytes::Bytes;
use hyper::rt::Write;
use rustix::io::Errno;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The file of an answer, and whether another request may follow on its connection.
pub struct Aside {
    pub part: Part,
    pub keeps: bool,
}

/// How it went.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    Whole,
    /// The client has left.
    Gone,
    /// The file became shorter, or cannot be read.
    Broken(Errno),
}

/// The connection's use of its socket meanwhile.
pub struct Sending {
    stream: ServerStream,
    part: Part,
    pub keeps: bool,
    /// `None` when it is not ready for sendfile(2).
    before: Option<Before>,
    /// Of a file that the kernel cannot send by itself: what was read of it.
    piece: Option<Bytes>,
}

impl Sending {
    pub fn new(link: &Link, aside: Aside) -> Sending {
        let stream = link.stream.clone();
        let before = stream.begin_files().ok();
        Sending {
            stream,
            part: aside.part,
            keeps: aside.keeps,
            piece: before.is_none().then(Bytes::new),
            before,
        }
    }

    /// Sends on. Others have their turn after each [`FILE_TURN`].
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Sent> {
        let mut turn = FILE_TURN;
        while self.part.len() > 0 || self.has_piece() {
            if turn == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let sent = match self.piece {
                None => ready!(self.poll_kernel(cx, turn)),
                Some(_) => ready!(self.poll_copy(cx)),
            };
            match sent {
                Ok(n) => turn = turn.saturating_sub(n),
                Err(Errno::PIPE) => return Poll::Ready(Sent::Gone),
                // A file system that cannot, or a sandbox that forbids it: nothing of it was sent.
                Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) if self.piece.is_none() => {
                    self.piece = Some(Bytes::new());
                }
                Err(error) => return Poll::Ready(Sent::Broken(error)),
            }
        }
        Poll::Ready(Sent::Whole)
    }

    fn has_piece(&self) -> bool {
        self.piece.as_ref().is_some_and(|piece| !piece.is_empty())
    }

    fn poll_kernel(
        &mut self,
        cx: &mut Context<'_>,
        turn: usize,
    ) -> Poll<rustix::io::Result<usize>> {
        let part = &mut self.part;
        let len = usize::try_from(part.len()).map_or(turn, |len| len.min(turn));
        let n = ready!(self.stream.poll_send_file(cx, part.file(), part.at(), len))?;
        if n == 0 {
            return Poll::Ready(Err(Errno::NODATA));
        }
        part.skip(n);
        Poll::Ready(Ok(n))
    }

    fn poll_copy(&mut self, cx: &mut Context<'_>) -> Poll<rustix::io::Result<usize>> {
        let piece = self.piece.get_or_insert_default();
        if self.stream.is_sink() {
            return Poll::Ready(Err(Errno::PIPE));
        }
        if piece.is_empty() {
            *piece = self.part.read()?.unwrap_or_default();
        }
        let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, piece));
        let n = sent.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        drop(piece.split_to(n));
        Poll::Ready(Ok(n))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            self.stream.end_files(before);
        }
    }
}
