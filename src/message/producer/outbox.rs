//! Frames that wait for the receiver, one after another as they go over the wire.

use crate::limits::MESSAGE_OVERHEAD;
use crate::message::framing::{Framing, SEALED};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::OwnedFd;

/// One frame of the outbox.
#[derive(Debug, Default)]
struct Frame {
    len: usize,
    /// Bytes of the message that are in sealed memory.
    elsewhere: usize,
    /// They go with the frame's first byte.
    fds: Vec<OwnedFd>,
}

/// A message on its way out.
pub struct Outgoing<'a> {
    pub payload: &'a [u8],
    pub fds: Vec<OwnedFd>,
    /// The payload is in the sealed memory that the only descriptor stands for.
    pub sealed: bool,
}

impl<'a> Outgoing<'a> {
    pub fn new(payload: &'a [u8], fds: Vec<OwnedFd>) -> Outgoing<'a> {
        Outgoing {
            payload,
            fds,
            sealed: false,
        }
    }

    /// What of it goes through the socket.
    pub fn body(&self) -> &'a [u8] {
        if self.sealed { &[] } else { self.payload }
    }
}

/// Frames in the order in which they were given.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// Where the first frame begins.
    head: usize,
    frames: VecDeque<Frame>,
    /// Bytes that wait in sealed memory.
    elsewhere: u64,
    /// How much of the first frame the kernel has taken.
    written: usize,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// What they cost of the queue's limit.
    pub fn cost(&self) -> u64 {
        let bytes = (self.bytes.len() - self.head) as u64 + self.elsewhere;
        bytes + self.frames.len() as u64 * MESSAGE_OVERHEAD
    }

    /// Appends a message, of whose frame the kernel has `written` bytes already; only the first can have some.
    pub fn push(&mut self, wire: Wire, message: Outgoing<'_>, written: usize) {
        debug_assert!(written == 0 || self.is_empty(), "frames go out in order");
        let before = self.bytes.len();
        wire.append(&mut self.bytes, &message);
        let len = self.bytes.len() - before;
        let elsewhere = message.payload.len() - message.body().len();
        self.elsewhere += elsewhere as u64;
        self.frames.push_back(Frame {
            len,
            elsewhere,
            fds: message.fds,
        });
        self.written += written;
    }

    /// The next bytes to send, of whole frames up to `most` and at least one, and the descriptors that go
    /// with the first byte.
    pub fn next(&self, most: usize) -> (&[u8], &[OwnedFd]) {
        let mut end = 0;
        let mut fds: &[OwnedFd] = &[];
        for (index, frame) in self.frames.iter().enumerate() {
            if index == 0 && self.written == 0 {
                fds = &frame.fds;
            } else if index > 0 && (end + frame.len > most || !frame.fds.is_empty()) {
                break;
            }
            end += frame.len;
        }
        (&self.bytes[self.head + self.written..self.head + end], fds)
    }

    /// The first frame alone: for sockets that keep messages apart.
    pub fn first(&self) -> Option<(&[u8], &[OwnedFd])> {
        let frame = self.frames.front()?;
        Some((&self.bytes[self.head..self.head + frame.len], &frame.fds))
    }

    /// The first frames one by one, as many as `pieces` has room for and up to one with descriptors; how many
    /// there are.
    pub fn many<'a>(&'a self, pieces: &mut [IoSlice<'a>]) -> usize {
        let mut start = self.head;
        let mut count = 0;
        for (frame, piece) in self.frames.iter().zip(pieces) {
            if !frame.fds.is_empty() {
                break;
            }
            *piece = IoSlice::new(&self.bytes[start..start + frame.len]);
            start += frame.len;
            count += 1;
        }
        count
    }

    /// The first frames have left, each as a message of its own.
    pub fn advance_by(&mut self, count: usize) {
        for frame in self.frames.drain(..count) {
            self.head += frame.len;
            self.elsewhere -= frame.elsewhere as u64;
        }
        self.tidy();
    }

    /// The kernel has taken `n` bytes; how many frames are complete by that.
    pub fn advance(&mut self, n: usize) -> u64 {
        self.written += n;
        let mut complete = 0;
        while let Some(frame) = self.frames.front()
            && self.written >= frame.len
        {
            self.written -= frame.len;
            self.head += frame.len;
            self.elsewhere -= frame.elsewhere as u64;
            self.frames.pop_front();
            complete += 1;
        }
        self.tidy();
        complete
    }

    /// Nothing of the first frame was written.
    pub fn is_at_start(&self) -> bool {
        self.written == 0
    }

    /// The connection is gone: what was not written whole is sent from its beginning.
    pub fn rewind(&mut self) {
        self.written = 0;
    }

    /// Drops the oldest message of which nothing was written.
    pub fn drop_oldest(&mut self) -> bool {
        let index = usize::from(self.written > 0);
        let Some(Frame { len, elsewhere, .. }) = self.frames.remove(index) else {
            return false;
        };
        self.elsewhere -= elsewhere as u64;
        let start = self.head + if index == 1 { self.frames[0].len } else { 0 };
        if index == 0 {
            self.head += len;
        } else {
            self.bytes.drain(start..start + len);
        }
        self.tidy();
        true
    }

    fn tidy(&mut self) {
        if self.frames.is_empty() {
            self.bytes.clear();
            self.head = 0;
            if self.bytes.capacity() > 256 * 1024 {
                self.bytes = Vec::new();
            }
        } else if self.head > self.bytes.len() / 2 {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
    }
}

/// How messages stand on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wire {
    /// `None`: the socket keeps messages apart.
    pub framing: Option<Framing>,
    /// Each frame's length is followed by the number of descriptors that belong to it, in one byte.
    pub counts_fds: bool,
}

impl Wire {
    /// Appends a message as it goes over the wire.
    fn append(self, bytes: &mut Vec<u8>, message: &Outgoing<'_>) {
        if let Some(header) = self.header(message) {
            bytes.extend_from_slice(header.as_slice());
        }
        bytes.extend_from_slice(message.body());
        bytes.extend(self.trailer());
    }

    pub fn header(self, message: &Outgoing<'_>) -> Option<Header> {
        let length = self.framing?.header(message.payload.len())?;
        let mut header = Header {
            bytes: [0; 5],
            len: 4,
        };
        header.bytes[..4].copy_from_slice(&length);
        if self.counts_fds {
            header.bytes[4] = match message.sealed {
                true => SEALED as u8,
                false => message.fds.len() as u8,
            };
            header.len = 5;
        }
        Some(header)
    }

    pub fn trailer(self) -> Option<u8> {
        self.framing?.trailer()
    }
}

/// What stands before a payload.
pub struct Header {
    bytes: [u8; 5],
    len: usize,
}

impl Header {
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: Wire = Wire {
        framing: Some(Framing::Delimiter(b'\n')),
        counts_fds: false,
    };

    fn outbox(lines: &[&str]) -> Outbox {
        let mut outbox = Outbox::default();
        lines
            .iter()
            .for_each(|line| outbox.push(LINES, Outgoing::new(line.as_bytes(), Vec::new()), 0));
        outbox
    }

    #[test]
    fn frames_leave_in_order_and_are_counted() {
        let mut outbox = outbox(&["one", "two", "three"]);
        assert_eq!(outbox.next(1).0, b"one\n");
        assert_eq!(outbox.next(8).0, b"one\ntwo\n");
        assert_eq!(outbox.advance(5), 1);
        assert_eq!(outbox.next(100).0, b"wo\nthree\n");
        assert_eq!(outbox.advance(9), 2);
        assert!(outbox.is_empty());
        assert_eq!(outbox.cost(), 0);
    }

    #[test]
    fn a_frame_that_was_cut_begins_anew() {
        let mut outbox = outbox(&["one", "two"]);
        outbox.advance(6);
        outbox.rewind();
        assert_eq!(outbox.next(100).0, b"two\n");
    }

    #[test]
    fn the_oldest_goes_first_but_never_half() {
        let mut all = outbox(&["one", "two", "three"]);
        assert!(all.drop_oldest());
        assert_eq!(all.next(100).0, b"two\nthree\n");
        all.advance(1);
        assert!(all.drop_oldest());
        assert_eq!(all.next(100).0, b"wo\n");
        assert!(!all.drop_oldest());
        all.advance(3);
        assert!(!all.drop_oldest());
    }

    #[test]
    fn sealed_memory_costs_what_is_in_it() {
        let mut outbox = Outbox::default();
        let wire = Wire {
            framing: Some(Framing::U32Be),
            counts_fds: true,
        };
        let sealed = || Outgoing {
            payload: &[7; 1000],
            fds: vec![std::io::pipe().unwrap().0.into()],
            sealed: true,
        };
        for _ in 0..3 {
            outbox.push(wire, sealed(), 0);
        }
        assert_eq!(outbox.cost(), 3 * (5 + 1000 + MESSAGE_OVERHEAD));
        let (bytes, fds) = outbox.next(100);
        assert_eq!((bytes, fds.len()), (&b"\0\0\x03\xe8\xff"[..], 1));
        assert_eq!(outbox.advance(5), 1);
        assert!(outbox.drop_oldest());
        outbox.advance_by(1);
        assert_eq!(outbox.cost(), 0);
    }

    #[test]
    fn half_a_frame_can_be_the_first() {
        let mut outbox = Outbox::default();
        let wire = Wire {
            framing: Some(Framing::U32Be),
            counts_fds: false,
        };
        outbox.push(wire, Outgoing::new(b"abc", Vec::new()), 5);
        assert_eq!(outbox.next(100).0, b"bc");
        assert_eq!(outbox.first().unwrap().0, b"\0\0\0\x03abc");
        assert_eq!(outbox.advance(2), 1);
    }
}
