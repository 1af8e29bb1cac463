//! Where one message ends and the next begins in a stream of bytes.

use crate::error::{Error, Result};

/// How messages stand in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// The payload's length before it, four bytes, most significant first.
    #[default]
    U32Be,
    /// The same, least significant first (DogStatsD's stream mode).
    U32Le,
    /// This byte behind each message, in none of them.
    Delimiter(u8),
    /// No boundaries: whatever one read gives.
    Raw,
}

impl Framing {
    /// What stands before a payload of `len` bytes.
    pub fn header(self, len: usize) -> Option<[u8; 4]> {
        match self {
            Framing::U32Be => Some((len as u32).to_be_bytes()),
            Framing::U32Le => Some((len as u32).to_le_bytes()),
            Framing::Delimiter(_) | Framing::Raw => None,
        }
    }

    /// What stands behind each payload.
    pub fn trailer(self) -> Option<u8> {
        match self {
            Framing::Delimiter(byte) => Some(byte),
            _ => None,
        }
    }

    /// Refuses a payload that could not be told from what follows it.
    pub fn check(self, payload: &[u8]) -> Result<()> {
        match self {
            Framing::Delimiter(byte) if memchr::memchr(byte, payload).is_some() => {
                Err(Error::argument(format!(
                    "the message contains the delimiter \"{}\"",
                    byte.escape_ascii()
                )))
            }
            Framing::Raw if payload.is_empty() => Err(Error::argument(
                "a chunk of no bytes cannot be sent without framing",
            )),
            _ => Ok(()),
        }
    }

    fn length(self, header: [u8; 4]) -> usize {
        match self {
            Framing::U32Le => u32::from_le_bytes(header) as usize,
            _ => u32::from_be_bytes(header) as usize,
        }
    }
}

/// Gets the messages that a decoder finds.
pub trait Sink {
    /// One whole message, to be copied, and how many descriptors belong to it.
    fn slice(&mut self, payload: &[u8], fds: usize);
    /// One whole message that came in pieces.
    fn owned(&mut self, payload: Vec<u8>, fds: usize);
    /// One whole message of `len` bytes, which are in memory that a descriptor stands for.
    fn sealed(&mut self, len: usize);
    /// A line beyond the limit, which is skipped up to its delimiter.
    fn skipped(&mut self);
}

/// In the place of the number of descriptors: one, for sealed memory that holds the payload; none of it is in
/// the stream.
pub const SEALED: usize = 255;

/// A length beyond the limit: nothing on this stream can be trusted any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oversize {
    /// The header, and up to [`OVERSIZE_SHOWN`] bytes of what came with it.
    pub first: Vec<u8>,
}

/// What is shown of a message that is too long.
const OVERSIZE_SHOWN: usize = 16;

/// What is left at the end of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Tail {
    Nothing,
    /// A last line without its delimiter.
    Partial(Vec<u8>),
    /// A frame was cut short.
    Truncated,
}

/// Finds the messages in what one producer sends, however it is cut.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    max: usize,
    /// Each length is followed by the number of descriptors that belong to the message.
    counts_fds: bool,
    header: [u8; 5],
    /// How much of the header is there.
    have: usize,
    /// The payload's length and its descriptors, once the header is there.
    need: Option<(usize, usize)>,
    /// What is there of the message under way. Grows as bytes come, never by what a header claims.
    partial: Vec<u8>,
    /// In a line that is too long, up to its delimiter.
    skipping: bool,
}

impl Decoder {
    pub fn new(framing: Framing, max: usize, counts_fds: bool) -> Decoder {
        Decoder {
            framing,
            max,
            counts_fds,
            header: [0; 5],
            have: 0,
            need: None,
            partial: Vec::new(),
            skipping: false,
        }
    }

    /// Whether a message is under way.
    pub fn is_inside(&self) -> bool {
        self.have > 0 || self.need.is_some() || !self.partial.is_empty() || self.skipping
    }

    /// Bytes kept of the message under way.
    pub fn held(&self) -> usize {
        self.partial.len()
    }

    pub fn feed(
        &mut self,
        bytes: &[u8],
        sink: &mut impl Sink,
    ) -> std::result::Result<(), Oversize> {
        match self.framing {
            Framing::U32Be | Framing::U32Le => self.feed_lengths(bytes, sink),
            Framing::Delimiter(byte) => {
                self.feed_lines(byte, bytes, sink);
                Ok(())
            }
            Framing::Raw => {
                bytes
                    .chunks(self.max)
                    .for_each(|chunk| sink.slice(chunk, 0));
                Ok(())
            }
        }
    }

    fn feed_lengths(
        &mut self,
        mut bytes: &[u8],
        sink: &mut impl Sink,
    ) -> std::result::Result<(), Oversize> {
        let size = if self.counts_fds { 5 } else { 4 };
        while !bytes.is_empty() {
            let (need, fds) = match self.need {
                Some(need) => need,
                None => {
                    let head = bytes.len().min(size - self.have);
                    let (head, rest) = bytes.split_at(head);
                    self.header[self.have..self.have + head.len()].copy_from_slice(head);
                    self.have += head.len();
                    bytes = rest;
                    if self.have < size {
                        return Ok(());
                    }
                    self.have = 0;
                    let (len, fds) = self.check().ok_or_else(|| {
                        let mut first = self.header[..size].to_vec();
                        let more = bytes.len().min(OVERSIZE_SHOWN - size);
                        first.extend_from_slice(&bytes[..more]);
                        Oversize { first }
                    })?;
                    if fds == SEALED {
                        sink.sealed(len);
                        continue;
                    }
                    // The usual case first: the payload is there too.
                    if let Some((payload, rest)) = bytes.split_at_checked(len) {
                        sink.slice(payload, fds);
                        bytes = rest;
                        continue;
                    }
                    self.need = Some((len, fds));
                    (len, fds)
                }
            };
            let (now, rest) = bytes.split_at(bytes.len().min(need - self.partial.len()));
            self.keep(now, need);
            bytes = rest;
            if self.partial.len() == need {
                self.need = None;
                sink.owned(std::mem::take(&mut self.partial), fds);
            }
        }
        Ok(())
    }

    /// The length and the number of descriptors of a whole header, unless it is too long.
    fn check(&self) -> Option<(usize, usize)> {
        let [a, b, c, d, fds] = self.header;
        let length = self.framing.length([a, b, c, d]);
        let fds = if self.counts_fds { usize::from(fds) } else { 0 };
        (length <= self.max).then_some((length, fds))
    }

    fn feed_lines(&mut self, delimiter: u8, mut bytes: &[u8], sink: &mut impl Sink) {
        while let Some(end) = memchr::memchr(delimiter, bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.partial.len() + line.len() > self.max {
                self.partial = Vec::new();
                sink.skipped();
            } else if self.partial.is_empty() {
                sink.slice(line, 0);
            } else {
                self.partial.extend_from_slice(line);
                sink.owned(std::mem::take(&mut self.partial), 0);
            }
        }
        if self.skipping {
            return;
        }
        if self.partial.len() + bytes.len() > self.max {
            self.partial = Vec::new();
            self.skipping = true;
            sink.skipped();
        } else {
            self.keep(bytes, self.max);
        }
    }

    /// Keeps a piece; never makes more room than the message can need.
    fn keep(&mut self, piece: &[u8], most: usize) {
        let len = self.partial.len() + piece.len();
        if self.partial.capacity() < len {
            let room = (2 * len).min(most);
            self.partial.reserve_exact(room - self.partial.len());
        }
        self.partial.extend_from_slice(piece);
    }

    /// The stream has ended.
    pub fn finish(&mut self) -> Tail {
        let inside = self.is_inside();
        let partial = std::mem::take(&mut self.partial);
        match self.framing {
            Framing::Delimiter(_) if !partial.is_empty() => Tail::Partial(partial),
            Framing::U32Be | Framing::U32Le if inside => Tail::Truncated,
            _ => Tail::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
