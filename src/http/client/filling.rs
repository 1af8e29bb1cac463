//! A body that the program is asked for: in the call's delivery, for a performed call on its thread.

use super::call::Call;
use super::state::State;
use super::upload::{BodyFn, Source, Upload};
use crate::error::{Error, Operation, Result, Status};
use crate::limits::BODY_PIECE;
use crate::runtime::{context, taking};
use bytes::Bytes;
use std::sync::Arc;

impl State {
    fn reader(&mut self) -> Option<(&mut Upload, Option<BodyFn>)> {
        let upload = self.upload()?;
        let f = match &mut upload.source {
            Source::Reader { f, asked } => {
                *asked = false;
                f.take()
            }
            _ => None,
        };
        Some((upload, f))
    }
}

impl Call {
    /// Asks for the next piece, and gives it to the connection.
    pub(super) fn fill(self: &Arc<Self>) {
        let (mut f, room) = {
            let mut state = self.state();
            let Some((upload, Some(f))) = state.reader() else {
                return;
            };
            (f, upload.room())
        };
        let mut piece = vec![0; room];
        // What is left of it after a panic.
        let mut result = -1;
        if room > 0 {
            taking::aside(|| context::callback(|| result = f(self, &mut piece)));
        } else {
            result = 0;
        }
        let mut state = self.state();
        let Some(upload) = state.upload() else { return };
        if let Source::Reader { f: place, .. } = &mut upload.source {
            *place = Some(f);
        }
        let task = match upload.take_filled(piece, result) {
            Ok(()) => upload.writing.task.take(),
            Err(error) => upload.fail(error),
        };
        let performed = state.extras.as_ref().is_some_and(|e| e.performed);
        drop(state);
        match task {
            // It is the one that has asked.
            Some(_) if performed => {}
            task => self.wake(task),
        }
    }
}

impl Upload {
    /// How much is asked for.
    fn room(&self) -> usize {
        if self.is_over() {
            return 0;
        }
        let left = self.writing.length.map(|all| all - self.writing.written);
        left.map_or(BODY_PIECE, |left| left.min(BODY_PIECE as u64) as usize)
    }

    fn take_filled(&mut self, mut piece: Vec<u8>, result: i64) -> Result<()> {
        if self.is_over() || self.writing.finished {
            return Ok(());
        }
        let Ok(len) = usize::try_from(result) else {
            let what = format!("the function that gives the body has ended it with {result}");
            return Err(Error::new(Status::Cancelled, Operation::Send, what));
        };
        if len > piece.len() {
            return Err(Error::argument(format!(
                "the function that gives the body says {len} bytes, and had room for {}",
                piece.len()
            )));
        }
        if len > 0 {
            piece.truncate(len);
            self.writing.push(Bytes::from(piece));
        }
        let (written, length) = (self.writing.written, self.writing.length);
        if len == 0 && length.is_some_and(|length| written < length) {
            return Err(short(written, length.unwrap_or_default()));
        }
        self.writing.finished = len == 0 || length == Some(written);
        Ok(())
    }
}

/// A body that does not become as long as was announced.
pub fn short(written: u64, length: u64) -> Error {
    Error::argument(format!(
        "the body has ended after {written} bytes of the {length} that were announced"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(length: Option<u64>) -> Upload {
        let f: BodyFn = Box::new(|_, _| 0);
        Upload::new(
            Source::Reader {
                f: Some(f),
                asked: false,
            },
            length,
        )
    }

    #[test]
    fn what_a_function_gives_is_checked() {
        let mut some = upload(Some(10));
        assert_eq!(some.room(), 10);
        some.take_filled(vec![1; 10], 4).unwrap();
        assert_eq!(some.room(), 6);
        let error = some.take_filled(vec![1; 6], 7).unwrap_err();
        assert_eq!(error.status, Status::InvalidArgument);
        let error = some.take_filled(vec![1; 6], 0).unwrap_err();
        assert!(error.message.contains("4 bytes of the 10"), "{error}");
        let error = some.take_filled(vec![1; 6], -7).unwrap_err();
        assert_eq!(error.status, Status::Cancelled);
        assert!(error.message.contains("-7"), "{error}");
        some.take_filled(vec![1; 6], 6).unwrap();
        assert!(some.writing.finished && some.room() == 0);
        let mut open = upload(None);
        assert_eq!(open.room(), BODY_PIECE);
        open.take_filled(vec![1; 8], 8).unwrap();
        assert!(!open.writing.finished);
        open.take_filled(vec![1; 8], 0).unwrap();
        assert!(open.writing.finished);
        assert_eq!(open.writing.waiting_bytes, 8);
    }
}
