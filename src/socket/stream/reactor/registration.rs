//! When a stream is registered with its thread's reactor, and how it reads before and after.

use super::{Reactor, Received, Side};
use crate::socket::sys;
use rustix::io::Errno;
use std::cell::Ref;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

impl Reactor {
    /// Registers the descriptor, or does it again for something else. What the socket is ready for by now is
    /// reported as well.
    #[cold]
    pub(super) fn register(&self, interest: Interest) -> io::Result<()> {
        if self.left.get() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        drop(self.registration.take());
        let registration = sys::register(self.fd.clone(), interest)?;
        self.registration.replace(Some(registration));
        Ok(())
    }

    /// What there is to wait with, from now on in any case.
    pub(super) fn registration(&self) -> io::Result<Ref<'_, AsyncFd<Arc<OwnedFd>>>> {
        if self.registration.borrow().is_none() {
            self.register(Interest::READABLE)?;
        }
        let registration = Ref::filter_map(self.registration.borrow(), Option::as_ref);
        registration.map_err(|_| io::ErrorKind::NotConnected.into())
    }

    /// Not registered yet, and there may be something to read all the same.
    pub(super) fn is_untried(&self) -> bool {
        !self.drained.get() && !self.left.get() && self.registration.borrow().is_none()
    }

    #[inline(always)]
    pub(super) fn receive(&self, receive: impl FnOnce(BorrowedFd<'_>) -> Received) -> Received {
        match receive(self.fd.as_fd()) {
            Ok((n, filled)) => {
                self.count_received(n as u64);
                // A short read emptied the socket: the next event will say so, no need to hear it from
                // EAGAIN.
                Ok((n, n == 0 || filled))
            }
            // The client closed with answers unread: to a server that is an end like any other.
            Err(Errno::CONNRESET) if self.side == Side::Server => Ok((0, true)),
            Err(error) => Err(error),
        }
    }

    #[inline(always)]
    pub(super) fn poll_registered(
        &self,
        registration: &AsyncFd<Arc<OwnedFd>>,
        cx: &mut Context<'_>,
        mut receive: impl FnMut(BorrowedFd<'_>) -> Received,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(registration.poll_read_ready(cx))?;
            match self.receive(&mut receive) {
                Ok((n, more)) => {
                    if !more {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(n));
                }
                Err(Errno::AGAIN) => guard.clear_ready(),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Reads what is there already; registers when there is nothing.
    #[cold]
    #[inline(never)]
    pub(super) fn poll_untried(
        &self,
        cx: &mut Context<'_>,
        mut receive: impl FnMut(BorrowedFd<'_>) -> Received,
    ) -> Poll<io::Result<usize>> {
        if self.is_untried() {
            match self.receive(&mut receive) {
                Ok((n, more)) => {
                    self.drained.set(!more);
                    return Poll::Ready(Ok(n));
                }
                Err(Errno::AGAIN) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        let registration = self.registration()?;
        self.poll_registered(&registration, cx, receive)
    }

    pub(super) fn leave(&self) {
        self.left.set(true);
        drop(self.registration.take());
    }
}
