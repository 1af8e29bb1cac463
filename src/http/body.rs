//! Bodies: what is sent in one piece, and what is collected into one.

use crate::limits::FRAME_MAX;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// First reservation for a body of announced length; more grows as bytes arrive.
const FIRST: u64 = 64 * 1024;
/// Room for a body of announced length grows to at most so many times what has come.
const TRUST: usize = 16;
/// Memory up to this is kept for the next body.
const ROOM: usize = 4 * 1024;

/// A body that is there as a whole. `G` is dropped with it: how its owner learns that it was handed to
/// the socket.
pub struct Whole<G = ()> {
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

/// Why a body could not be collected.
#[derive(Debug)]
pub enum Uncollected {
    TooLarge,
    Broken(hyper::Error),
}

/// A body on its way into memory, followed by a NUL that does not count.
pub struct Collect {
    incoming: Incoming,
    bytes: Vec<u8>,
    limit: u64,
    /// Its announced length; 0 when it is not known.
    announced: usize,
    trailers: Option<Box<HeaderMap>>,
}

impl Collect {
    /// In the memory of `used`. Refuses at once a body that is announced as longer than `limit`.
    pub fn into(incoming: Incoming, limit: u64, used: Collected) -> Result<Collect, Uncollected> {
        let announced = incoming.size_hint();
        if announced.lower() > limit {
            return Err(Uncollected::TooLarge);
        }
        let first = announced.lower().min(FIRST) as usize;
        let mut bytes = used.0;
        bytes.clear();
        bytes.reserve(first + 1);
        Ok(Collect {
            incoming,
            bytes,
            limit,
            announced: usize::try_from(announced.lower()).unwrap_or(0),
            trailers: None,
        })
    }

    /// Grows in few steps, since each may copy what is there and touch fresh memory.
    fn make_room(&mut self, more: usize) {
        let needed = self.bytes.len() + more + 1;
        if needed > self.bytes.capacity() && needed <= self.announced {
            let room = (self.announced + 1).min(needed * TRUST);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
    }

    /// What came behind the body.
    pub fn take_trailers(&mut self) -> Option<Box<HeaderMap>> {
        self.trailers.take()
    }

    /// Bytes so far.
    pub fn collected(&self) -> usize {
        self.bytes.len()
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Collected, Uncollected>> {
        loop {
            match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                None => {
                    let mut bytes = std::mem::take(&mut self.bytes);
                    bytes.push(0);
                    return Poll::Ready(Ok(Collected(bytes)));
                }
                Some(Err(error)) => return Poll::Ready(Err(Uncollected::Broken(error))),
                Some(Ok(frame)) => {
                    let data = match frame.into_data() {
                        Ok(data) => data,
                        Err(frame) => {
                            self.trailers = frame.into_trailers().ok().map(Box::new);
                            continue;
                        }
                    };
                    if (self.bytes.len() + data.len()) as u64 > self.limit {
                        return Poll::Ready(Err(Uncollected::TooLarge));
                    }
                    self.make_room(data.len());
                    self.bytes.extend_from_slice(&data);
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
