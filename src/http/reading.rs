//! A body that is read piece by piece: an exchange's request, a call's answer.
//!
//! Nothing is taken from the connection before it is asked for, so a reader that rests holds its peer up and
//! nobody else.

use crate::error::{Error, Result};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use std::collections::VecDeque;
use std::task::Waker;

/// What a read gives; good until the next read.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Data(Bytes),
    /// Of a body that was collected before it was read: all of it.
    Whole(&'a [u8]),
    End,
}

impl Piece<'_> {
    /// The bytes; `None` at the end.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Piece::Data(bytes) => Some(bytes),
            Piece::Whole(bytes) => Some(bytes),
            Piece::End => None,
        }
    }
}

/// A body on its way to who reads it.
pub struct Reading {
    /// The connection's task.
    task: Waker,
    /// A piece is wanted and has not come.
    asked: bool,
    /// One as a rule; more only when the connection goes on without the reader.
    pieces: VecDeque<Bytes>,
    /// Of the last read: C looks at its bytes.
    lent: Bytes,
    end: Option<Result<()>>,
    /// A thread waits in `read`.
    pub blocked: bool,
    /// Freed: nobody reads any more.
    discarded: bool,
}

/// What the reader wants of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Nothing,
    Piece,
    /// No piece any more.
    Freed,
}

/// What the connection has for the reader.
pub enum Arrived {
    Piece(Bytes),
    Trailers(HeaderMap),
    End(Result<()>),
}

impl Arrived {
    /// What a frame is; `fail` puts what went wrong into words.
    pub fn of<E>(
        frame: Option<std::result::Result<Frame<Bytes>, E>>,
        fail: impl FnOnce(E) -> Error,
    ) -> Arrived {
        match frame {
            None => Arrived::End(Ok(())),
            Some(Err(error)) => Arrived::End(Err(fail(error))),
            Some(Ok(frame)) => frame.into_data().map_or_else(
                |frame| Arrived::Trailers(frame.into_trailers().unwrap_or_default()),
                Arrived::Piece,
            ),
        }
    }
}

impl Reading {
    pub fn new(task: Waker) -> Reading {
        Reading {
            task,
            asked: false,
            pieces: VecDeque::new(),
            lent: Bytes::new(),
            end: None,
            blocked: false,
            discarded: false,
        }
    }

    /// What a read gives now.
    pub fn take(&mut self) -> Option<Result<Piece<'static>>> {
        if let Some(piece) = self.pieces.pop_front() {
            self.lent = piece.clone();
            return Some(Ok(Piece::Data(piece)));
        }
        let end = self.end.clone()?;
        self.lent = Bytes::new();
        Some(end.map(|()| Piece::End))
    }

    pub fn has_outcome(&self) -> bool {
        !self.pieces.is_empty() || self.end.is_some()
    }

    /// Whom to wake for the next piece.
    pub fn ask(&mut self) -> Option<Waker> {
        let asks = !self.has_outcome() && !std::mem::replace(&mut self.asked, true);
        asks.then(|| self.task.clone())
    }

    pub fn arrive(&mut self, what: Arrived) {
        match what {
            Arrived::Piece(piece) if !self.discarded && self.end.is_none() => {
                self.pieces.push_back(piece);
            }
            Arrived::Piece(_) => return,
            Arrived::Trailers(_) => drop(self.end.get_or_insert(Ok(()))),
            Arrived::End(end) => drop(self.end.get_or_insert(end)),
        }
        self.asked = false;
    }

    /// Nobody reads any more: whom to tell.
    pub fn discard(&mut self) -> Waker {
        self.discarded = true;
        self.pieces.clear();
        self.task.clone()
    }

    /// No piece comes any more.
    pub fn fail(&mut self, why: Error) {
        self.pieces.clear();
        self.end.get_or_insert(Err(why));
    }

    /// Nobody waits for a piece in vain: there will be none.
    pub fn is_discarded(&self) -> bool {
        self.discarded
    }

    /// The end has come, and all before it was taken.
    pub fn is_over(&self) -> bool {
        self.pieces.is_empty() && matches!(self.end, Some(Ok(())))
    }

    /// What the connection is to do for the reader.
    pub fn wanted(&self) -> Wanted {
        if self.discarded || self.end.is_some() {
            Wanted::Freed
        } else if self.asked {
            Wanted::Piece
        } else {
            Wanted::Nothing
        }
    }
}
