//! One producer's connection: reads, decodes, and fills the funnel.

use super::accept::{Counted, Shard};
use super::incoming::{WithFds, append_packet};
use crate::limits::READ_MAX;
use crate::message::framing::{Decoder, Oversize, Tail};
use crate::message::funnel::{Payload, Reserved};
use crate::message::{Reason, Source, flags};
use crate::socket::Kind;
use crate::socket::packet;
use crate::socket::sys;
use rustix::io::Errno;
use rustix::net::Shutdown;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// During a drain a producer that sends nothing for so long is read no more: what it sends then fails.
const QUIET: Duration = Duration::from_millis(100);
/// Descriptors that may have come before the message that they belong to.
const FDS_AHEAD: usize = 2 * crate::limits::FDS_MAX;

thread_local! {
    /// Where every connection of this thread reads to.
    static SPACE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub struct Connection {
    shard: Rc<Shard>,
    fd: Arc<OwnedFd>,
    source: Arc<Source>,
    decoder: Decoder,
    /// Descriptors that came, for the messages that announce them.
    fds: VecDeque<OwnedFd>,
    /// Since when the message under way has not moved.
    since: Option<Instant>,
    /// No longer counted when it is dropped.
    _counted: Counted,
}

impl Connection {
    pub fn new(
        shard: &Rc<Shard>,
        fd: Arc<OwnedFd>,
        source: Arc<Source>,
        counted: Counted,
    ) -> Connection {
        let config = &shard.receiver().config;
        let max = config.max_message as usize;
        let counts_fds = config.takes_fds() && config.kind == Kind::Stream;
        Connection {
            shard: shard.clone(),
            fd,
            source,
            decoder: Decoder::new(config.framing, max, counts_fds),
            fds: VecDeque::new(),
            since: None,
            _counted: counted,
        }
    }
}

/// What one read came to.
enum Step {
    More,
    /// Nothing is there now.
    Empty,
    End(Reason),
}

pub async fn run(mut connection: Connection) {
    connection.event(flags::CONNECTED, 0, &[]);
    let reason = connection.read_all().await;
    connection.finish(reason);
    // For copies of the descriptor in forked children too.
    rustix::net::shutdown(&connection.fd, Shutdown::Both).ok();
}

impl Connection {
    fn event(&mut self, event: u32, code: u64, data: &[u8]) {
        let receiver = self.shard.receiver();
        if receiver.config.events {
            let reserved = receiver.funnel.reserve_event();
            reserved.append(&self.source, |appending| appending.event(event, code, data));
        }
    }

    async fn read_all(&mut self) -> Reason {
        let shard = self.shard.clone();
        let Ok(registration) = sys::register(self.fd.clone(), Interest::READABLE) else {
            return Reason::Error;
        };
        let mut draining = false;
        loop {
            if shard.is_over() {
                return self.cut();
            }
            if shard.is_ending() && !draining {
                draining = true;
            }
            let Some(ready) = self.readable(&registration, draining).await else {
                match self.silence(draining) {
                    Some(reason) => return reason,
                    None => continue,
                }
            };
            let Ok(mut ready) = ready else {
                return Reason::Error;
            };
            let inside = self.decoder.is_inside();
            let Some(reserved) = shard.room(&self.source, inside).await else {
                continue;
            };
            match self.read(reserved) {
                Step::More => {}
                Step::Empty => ready.clear_ready(),
                Step::End(reason) => return reason,
            }
            drop(ready);
            // Other producers' turn: a busy one must not keep them waiting.
            tokio::task::yield_now().await;
        }
    }

    /// Waits for bytes; `None` when a limit or the end came first.
    async fn readable<'a>(
        &self,
        registration: &'a AsyncFd<Arc<OwnedFd>>,
        draining: bool,
    ) -> Option<std::io::Result<tokio::io::unix::AsyncFdReadyGuard<'a, Arc<OwnedFd>>>> {
        let stalled = self.since.zip(self.shard.receiver().config.frame_timeout);
        let stalled = stalled.map(|(since, limit)| limit.saturating_sub(since.elapsed()));
        let quiet = draining.then_some(QUIET);
        let limit = [stalled, quiet, self.shard.left()]
            .into_iter()
            .flatten()
            .min();
        let readable = async {
            let changed = self.shard.changed.notified();
            if self.shard.is_ending() != draining {
                return None;
            }
            tokio::select! {
                biased;
                ready = registration.readable() => Some(ready),
                () = changed => None,
            }
        };
        match limit {
            None => readable.await,
            Some(limit) => tokio::time::timeout(limit, readable).await.ok().flatten(),
        }
    }

    /// Nothing came for a while: whether that is the end.
    fn silence(&mut self, draining: bool) -> Option<Reason> {
        let limit = self.shard.receiver().config.frame_timeout;
        if let (Some(since), Some(limit)) = (self.since, limit)
            && since.elapsed() >= limit
        {
            return Some(Reason::TimedOut);
        }
        if draining && !self.decoder.is_inside() {
            return Some(self.cut());
        }
        None
    }

    /// Stops the producer and reads what it had sent by then: its next send fails, and nothing is lost.
    fn cut(&mut self) -> Reason {
        rustix::net::shutdown(&self.fd, Shutdown::Read).ok();
        loop {
            let reserved = self.shard.receiver().funnel.reserve_event();
            match self.read(reserved) {
                Step::More => {}
                Step::Empty => return Reason::ShutDown,
                Step::End(Reason::Closed) => return Reason::ShutDown,
                Step::End(reason) => return reason,
            }
        }
    }

    fn read(&mut self, reserved: Reserved) -> Step {
        let config = &self.shard.receiver().config;
        if config.kind == Kind::Seqpacket {
            return self.read_packets(reserved);
        }
        let fds = config.takes_fds();
        SPACE.with_borrow_mut(|space| {
            space.resize(READ_MAX, 0);
            match packet::read(self.fd.as_fd(), space, fds) {
                Ok(read) if read.bytes == 0 => Step::End(Reason::Closed),
                Ok(read) => {
                    if read.fds_lost {
                        self.refuse_fds();
                    }
                    self.fds.extend(read.fds);
                    let step = self.decode(reserved, &space[..read.bytes]);
                    // A read ends early behind bytes that came with descriptors.
                    let more = read.bytes == READ_MAX || fds || read.fds_lost;
                    match step {
                        Step::More if !more => Step::Empty,
                        step => step,
                    }
                }
                Err(Errno::AGAIN) => Step::Empty,
                Err(Errno::CONNRESET) => Step::End(Reason::Closed),
                Err(_) => Step::End(Reason::Error),
            }
        })
    }

    fn refuse_fds(&self) {
        let counters = &self.shard.receiver().counters;
        counters.fds_refused.fetch_add(1, Ordering::Relaxed);
    }

    fn decode(&mut self, reserved: Reserved, bytes: &[u8]) -> Step {
        let (decoder, fds) = (&mut self.decoder, &mut self.fds);
        let receiver = self.shard.receiver();
        let result = reserved.append(&self.source, |appending| {
            let mut sink = WithFds {
                appending,
                fds,
                receiver,
                broken: false,
            };
            let result = decoder.feed(bytes, &mut sink);
            let broken = sink.broken;
            appending.partial = decoder.held() as u64;
            result.map(|()| broken)
        });
        self.since = self.decoder.is_inside().then(Instant::now);
        let counters = &self.shard.receiver().counters;
        match result {
            Ok(false) if self.fds.len() <= FDS_AHEAD => Step::More,
            Ok(_) => Step::End(Reason::Error),
            Err(Oversize { first }) => {
                counters.oversize.fetch_add(1, Ordering::Relaxed);
                self.event(flags::DISCONNECTED, Reason::Oversize as u64, &first);
                Step::End(Reason::Oversize)
            }
        }
    }

    fn read_packets(&mut self, reserved: Reserved) -> Step {
        let (fd, source) = (self.fd.as_fd(), &self.source);
        let receiver = self.shard.receiver();
        let mut packets = self.shard.packets();
        let got = match packets.receive(fd) {
            Ok(0) | Err(Errno::CONNRESET) => return Step::End(Reason::Closed),
            Ok(got) => got,
            Err(Errno::AGAIN) => return Step::Empty,
            Err(_) => return Step::End(Reason::Error),
        };
        let mut ended = false;
        reserved.append(source, |appending| {
            packets.each(|packet| {
                if packet.data.is_empty() && packet.fds.is_empty() {
                    // No message has no bytes: this is the end.
                    ended = true;
                } else {
                    append_packet(receiver, appending, source, packet);
                }
            });
        });
        if ended {
            Step::End(Reason::Closed)
        } else if got < packets.count() {
            Step::Empty
        } else {
            Step::More
        }
    }

    /// The stream has ended: what is left of it, and the event.
    fn finish(&mut self, reason: Reason) {
        let receiver = self.shard.receiver().clone();
        let counters = &receiver.counters;
        let tail = self.decoder.finish();
        let reason = match (&tail, reason) {
            (Tail::Truncated, Reason::Closed | Reason::ShutDown) => Reason::Truncated,
            _ => reason,
        };
        match reason {
            Reason::Truncated => counters.truncated.fetch_add(1, Ordering::Relaxed),
            Reason::TimedOut => counters.timed_out.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        let reserved = receiver.funnel.reserve_event();
        reserved.append(&self.source, |appending| {
            appending.partial = 0;
            if let Tail::Partial(line) = tail {
                appending.message(Payload::Owned(line), flags::PARTIAL);
            }
        });
        if reason != Reason::Oversize {
            self.event(flags::DISCONNECTED, reason as u64, &[]);
        }
    }
}
