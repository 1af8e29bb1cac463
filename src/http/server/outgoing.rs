//! The bodies that hyper sends: there as a whole, or written piece by piece.

use super::exchange::Exchange;
use super::file::Part;
use super::link::Link;
use super::sending::Aside;
use crate::http::body::Whole;
use crate::http::writing::Taken;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use rustix::io::Errno;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Tells the link when hyper has let go of the answer's body.
pub struct Written(Rc<Link>);

impl Written {
    pub fn new(link: Rc<Link>) -> Written {
        Written(link)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        self.0.end_answer();
    }
}

pub enum Outgoing {
    Whole(Whole<Written>),
    Stream(Stream),
    File(Box<File>),
    Aside(Box<Beside>),
}

/// What a handler writes piece by piece.
pub struct Stream {
    exchange: Arc<Exchange>,
    length: Option<u64>,
    ended: bool,
    written: Written,
}

impl Stream {
    pub fn new(exchange: Arc<Exchange>, link: Rc<Link>, length: Option<u64>) -> Stream {
        Stream {
            exchange,
            length,
            ended: length == Some(0),
            written: Written::new(link),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.exchange.end_writing();
        drop(self.written.0.in_flight.take());
    }
}

impl Stream {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.exchange.take_written(cx) {
            Taken::Piece(piece, last) => {
                self.ended = last;
                self.written.0.note_bulk(piece.len());
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Taken::Trailers(trailers) => {
                self.ended = true;
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Taken::End => {
                self.ended = true;
                Poll::Ready(None)
            }
            Taken::Broken => {
                // The connection's end says it, after what was written so far.
                self.written.0.break_answer();
                Poll::Pending
            }
            Taken::Nothing => Poll::Pending,
        }
    }
}

/// A file, read as the socket takes it.
pub struct File {
    part: Part,
    written: Written,
}

impl File {
    pub fn new(part: Part, link: Rc<Link>) -> File {
        File {
            part,
            written: Written::new(link),
        }
    }

    fn poll_frame(&mut self) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let link = &self.written.0;
        let read = if link.stream.is_sink() {
            // For nobody.
            Err(Errno::PIPE)
        } else {
            self.part.read()
        };
        match read {
            Ok(piece) => Poll::Ready(piece.map(|piece| Ok(Frame::data(piece)))),
            Err(error) => {
                if error != Errno::PIPE {
                    link.log_short_file(error);
                }
                link.break_answer();
                Poll::Pending
            }
        }
    }
}

/// A file that goes past hyper: its body only waits, until it is dropped. To a HEAD nobody asks it.
pub struct Beside {
    aside: Option<Aside>,
    len: u64,
    written: Written,
}

impl Beside {
    pub fn new(aside: Aside, link: Rc<Link>) -> Beside {
        Beside {
            len: aside.part.len(),
            aside: Some(aside),
            written: Written::new(link),
        }
    }

    /// hyper has taken the head.
    fn begin(&mut self) {
        if let Some(aside) = self.aside.take() {
            self.written.0.aside.replace(Some(aside));
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Outgoing::Whole(body) => Pin::new(body).poll_frame(cx),
            Outgoing::Stream(body) => body.poll_frame(cx),
            Outgoing::File(body) => body.poll_frame(),
            Outgoing::Aside(body) => {
                body.begin();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Outgoing::Whole(body) => body.is_end_stream(),
            Outgoing::Stream(body) => body.ended,
            Outgoing::File(body) => body.part.len() == 0,
            Outgoing::Aside(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Outgoing::Whole(body) => body.size_hint(),
            Outgoing::Stream(body) => body.length.map(SizeHint::with_exact).unwrap_or_default(),
            Outgoing::File(body) => SizeHint::with_exact(body.part.len()),
            Outgoing::Aside(body) => SizeHint::with_exact(body.len),
        }
    }
}
