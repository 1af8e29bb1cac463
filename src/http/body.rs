//! Bodies: what is sent in one piece, and what is collected into one.

use crate::limits::FRAME_MAX;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// First reservation for a body of announced length; more grows as bytes arrive.
const FIRST: u64 = 64 * 1024;
/// Room for a body of announced length grows to at most so many times what has come and is read next.
const TRUST: usize = 16;
/// Memory up to this is kept for the next body.
const ROOM: usize = 4 * 1024;

/// A body that is there as a whole. `G` is dropped with it: how its owner learns that it was handed to
/// the socket.
pub struct Whole<G> {
    data: Bytes,
    _guard: G,
}

impl<G> Whole<G> {
    pub fn new(data: Bytes, guard: G) -> Whole<G> {
        Whole {
            data,
            _guard: guard,
        }
    }
}

impl<G: Unpin> Body for Whole<G> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.data.is_empty() {
            return Poll::Ready(None);
        }
        // Bounded, since hyper copies small answers together before it sends them.
        let first = self.data.len().min(FRAME_MAX);
        Poll::Ready(Some(Ok(Frame::data(self.data.split_to(first)))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.len() as u64)
    }
}

/// A body is longer than its limit.
#[derive(Debug)]
pub struct TooLarge;

/// Why a body could not be collected.
#[derive(Debug)]
pub enum Uncollected {
    TooLarge,
    Broken(hyper::Error),
}

impl From<TooLarge> for Uncollected {
    fn from(_: TooLarge) -> Uncollected {
        Uncollected::TooLarge
    }
}

/// Memory that a body is put together in, followed by a NUL that does not count.
pub struct Gather {
    bytes: Vec<u8>,
    limit: u64,
    /// Its announced length; 0 when it is not known.
    announced: usize,
}

impl Gather {
    /// In the memory of `used`. Refuses at once a body that is announced as longer than `limit`.
    pub fn new(announced: u64, limit: u64, used: Collected) -> Result<Gather, TooLarge> {
        if announced > limit {
            return Err(TooLarge);
        }
        let mut bytes = used.0;
        bytes.clear();
        bytes.reserve(announced.min(FIRST) as usize + 1);
        Ok(Gather {
            bytes,
            limit,
            announced: usize::try_from(announced).unwrap_or(0),
        })
    }

    pub fn put(&mut self, piece: &[u8]) -> Result<(), TooLarge> {
        self.make_room(piece.len())?;
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Where the next `more` bytes go, and how many of them may come at once.
    pub fn room(&mut self, more: usize) -> Result<(&mut Vec<u8>, usize), TooLarge> {
        self.make_room(more)?;
        self.bytes.reserve(more + 1);
        Ok((&mut self.bytes, more))
    }

    /// Grows in few steps, since each may copy what is there and touch fresh memory.
    fn make_room(&mut self, more: usize) -> Result<(), TooLarge> {
        if (self.bytes.len() + more) as u64 > self.limit {
            return Err(TooLarge);
        }
        let needed = self.bytes.len() + more + 1;
        if needed > self.bytes.capacity() && needed <= self.announced {
            let room = self.announced.saturating_add(1).min(needed * TRUST);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        Ok(())
    }

    /// The whole body.
    pub fn finish(&mut self) -> Collected {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.push(0);
        Collected(bytes)
    }
}

/// A body on its way into memory.
pub struct Collect {
    incoming: Incoming,
    gather: Gather,
}

impl Collect {
    /// See [`Gather::new`].
    pub fn new(incoming: Incoming, limit: u64, used: Collected) -> Result<Collect, Uncollected> {
        let announced = incoming.size_hint().lower();
        Ok(Collect {
            incoming,
            gather: Gather::new(announced, limit, used)?,
        })
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Collected, Uncollected>> {
        loop {
            match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                None => return Poll::Ready(Ok(self.gather.finish())),
                Some(Err(error)) => return Poll::Ready(Err(Uncollected::Broken(error))),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.gather.put(data)?;
                    }
                }
            }
        }
    }
}

/// A whole body, or none; an uncounted NUL follows it in memory.
#[derive(Debug, Default)]
pub struct Collected(Vec<u8>);

impl Collected {
    /// A body of no bytes, which is not the same as no body.
    pub fn empty() -> Collected {
        Collected(vec![0])
    }

    /// Memory, whatever is in it.
    #[cfg(test)]
    pub fn of(bytes: Vec<u8>) -> Collected {
        Collected(bytes)
    }

    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Keeps the memory, if it is not large, without what is in it. Where reuse would hide a wrong use of
    /// the text from a sanitizer, it goes.
    pub fn into_room(mut self) -> Collected {
        if cfg!(hysock_no_reuse) || self.0.capacity() > ROOM {
            return Collected::default();
        }
        self.0.clear();
        self
    }

    pub fn as_bytes(&self) -> Option<&[u8]> {
        self.0.split_last().map(|(_, body)| body)
    }
}
