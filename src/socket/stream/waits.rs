//! What a calling thread waits for when its body comes from, or goes to, a descriptor.

use super::caller::Caller;
use super::patience::Expired;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

/// Something beside the connection.
#[derive(Default)]
pub struct Waits {
    /// While it waits for room in this one, what the connection has is left there.
    pub fd: Option<(Arc<OwnedFd>, PollFlags)>,
    /// Readable when the thread is to look up.
    pub alarm: Option<Arc<OwnedFd>>,
    pub until: Option<Instant>,
}

impl Caller {
    /// Waits for one of them or for the connection, no longer than the limits have it: `false` when `own` came
    /// first. A read is allowed afterwards when there is something to read.
    pub fn wait_also(&self, waits: &Waits, own: Option<Instant>) -> io::Result<bool> {
        let limit = match waits.fd {
            // Not the peer is waited for.
            Some(_) => self.deadline().map(|end| (end, Expired::Total)),
            None => self.until(false),
        };
        let times = [limit.map(|(end, _)| end), waits.until, own];
        let until = times.into_iter().flatten().min();
        let mut events = PollFlags::empty();
        if !matches!(&waits.fd, Some((_, wanted)) if wanted.contains(PollFlags::OUT)) {
            events |= PollFlags::IN;
            events.set(PollFlags::OUT, self.take_wants_write());
        }
        let has_moved = self.poll_all(events, waits, until)?;
        if has_moved {
            return Ok(true);
        }
        let now = Instant::now();
        if let Some((_, why)) = limit.filter(|(end, _)| *end <= now) {
            self.set_expired(why);
            return Err(Errno::TIMEDOUT.into());
        }
        Ok(own.is_none_or(|own| own > now))
    }

    /// Whether anything has happened until then.
    fn poll_all(
        &self,
        events: PollFlags,
        waits: &Waits,
        until: Option<Instant>,
    ) -> io::Result<bool> {
        let mut fds = Vec::with_capacity(3);
        if !events.is_empty() {
            fds.push(PollFd::new(&**self.socket(), events));
        }
        if let Some((fd, events)) = &waits.fd {
            fds.push(PollFd::new(&**fd, *events));
        }
        if let Some(alarm) = &waits.alarm {
            fds.push(PollFd::new(&**alarm, PollFlags::IN));
        }
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let time = left.and_then(|left| Timespec::try_from(left).ok());
            match rustix::event::poll(&mut fds, time.as_ref()) {
                Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let of_socket = fds.first().filter(|_| !events.is_empty());
        if of_socket.is_some_and(|fd| !(fd.revents() - PollFlags::OUT).is_empty()) {
            self.allow_blocking();
        }
        Ok(true)
    }
}
