//! A server's stream as hyper sees it.

use super::ServerStream;
use crate::socket::stream::{fill, receive};
use hyper::rt::{Read, ReadBufCursor, Write};
use rustix::net::{RecvFlags, Shutdown};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

impl Read for ServerStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.has_prefix.get() {
            let mut prefix = self.0.prefix.borrow_mut();
            let n = prefix.len().min(buf.remaining());
            buf.put_slice(&prefix.split_to(n));
            self.0.has_prefix.set(!prefix.is_empty());
            return Poll::Ready(Ok(()));
        }
        let received = ready!(self.poll_receive(cx, |fd| {
            fill(&mut buf, |space| receive(fd, space, RecvFlags::DONTWAIT))
        }));
        Poll::Ready(received.map(drop))
    }
}

impl Write for ServerStream {
    #[inline(always)]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, &[IoSlice::new(buf)])
    }

    #[inline(always)]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shutdown(Shutdown::Write);
        Poll::Ready(Ok(()))
    }
}
