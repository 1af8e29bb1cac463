//! What becomes of a message that was read: its flags, and what came beside its bytes.

use super::Receiver;
use crate::message::funnel::{Appending, Payload};
use crate::message::{Source, flags};
use crate::socket::memfd::Mapped;
use crate::socket::packet::Packet;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

/// Appends a message that came alone.
pub fn append_packet(
    receiver: &Receiver,
    appending: &mut Appending<'_>,
    source: &Source,
    packet: Packet<'_>,
) {
    let (config, counters) = (&receiver.config, &receiver.counters);
    let Packet { data, mut fds, .. } = packet;
    let mut flags = 0;
    if packet.truncated {
        if !config.truncated {
            counters.skipped.fetch_add(1, Ordering::Relaxed);
            source.sequence();
            return;
        }
        counters.truncated.fetch_add(1, Ordering::Relaxed);
        flags = flags::TRUNCATED;
    }
    if config.memfd && data.is_empty() && fds.len() == 1 {
        match Mapped::open(fds[0].as_fd(), None, config.max_message as usize) {
            Ok(mapped) => {
                appending.message(Payload::Mapped(mapped), flags::MAPPED);
            }
            Err(_) => {
                counters.skipped.fetch_add(1, Ordering::Relaxed);
                source.sequence();
            }
        }
        return;
    }
    if packet.fds_lost || (!config.fds && !fds.is_empty()) {
        counters.fds_refused.fetch_add(1, Ordering::Relaxed);
        fds.clear();
    }
    if fds.is_empty() {
        appending.message(Payload::Slice(data), flags);
    } else {
        appending.message_with(Payload::Slice(data), flags | flags::FDS, fds);
    }
}

/// Messages that say how many descriptors belong to them.
pub struct WithFds<'a, 'b> {
    pub appending: &'a mut Appending<'b>,
    pub fds: &'a mut VecDeque<OwnedFd>,
    pub receiver: &'a Receiver,
    /// What a message announced did not come, or is not what it must be.
    pub broken: bool,
}

impl WithFds<'_, '_> {
    fn message(&mut self, payload: Payload<'_>, fds: usize) {
        if fds == 0 {
            self.appending.message(payload, 0);
        } else if self.fds.len() < fds {
            // Never late on a Unix socket: the producer lies.
            self.broken = true;
        } else if self.receiver.config.fds {
            let fds = self.fds.drain(..fds).collect();
            self.appending.message_with(payload, flags::FDS, fds);
        } else {
            self.fds.drain(..fds);
            let refused = &self.receiver.counters.fds_refused;
            refused.fetch_add(1, Ordering::Relaxed);
            self.appending.message(payload, 0);
        }
    }
}

impl crate::message::framing::Sink for WithFds<'_, '_> {
    fn slice(&mut self, payload: &[u8], fds: usize) {
        self.message(Payload::Slice(payload), fds);
    }

    fn owned(&mut self, payload: Vec<u8>, fds: usize) {
        self.message(Payload::Owned(payload), fds);
    }

    fn sealed(&mut self, len: usize) {
        let config = &self.receiver.config;
        let fd = self.fds.pop_front().filter(|_| config.memfd);
        let mapped =
            fd.and_then(|fd| Mapped::open(fd.as_fd(), Some(len), config.max_message as usize).ok());
        match mapped {
            Some(mapped) => {
                self.appending
                    .message(Payload::Mapped(mapped), flags::MAPPED);
            }
            None => self.broken = true,
        }
    }

    fn skipped(&mut self) {
        self.appending.skip();
    }
}
