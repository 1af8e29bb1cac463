//! What a handler does to answer: headers one by one, then the answer as a whole.

use super::answer::{Payload, Stage, State, answer_status};
use super::exchange::Exchange;
use crate::error::{Error, Result};
use crate::http::headers;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Exchange {
    pub fn set_header(&self, name: &[u8], value: &[u8]) -> Result<()> {
        self.edit(|map| headers::put(map, name, value, true))
    }

    pub fn add_header(&self, name: &[u8], value: &[u8]) -> Result<()> {
        self.edit(|map| headers::put(map, name, value, false))
    }

    pub fn remove_header(&self, name: &[u8]) -> Result<()> {
        self.edit(|map| headers::remove(map, name))
    }

    fn edit(&self, f: impl FnOnce(&mut HeaderMap) -> Result<()>) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        state.check_open()?;
        let edited = f(&mut state.headers);
        if let Err(error) = &edited {
            state.refused.get_or_insert_with(|| Box::new(error.clone()));
        }
        edited
    }

    /// Refuses the answer that goes out next: it would lack something that the user wanted in it.
    pub fn refuse(&self, error: Error) {
        self.state().refused.get_or_insert_with(|| Box::new(error));
    }

    /// Answers, once. A refused answer has sent nothing and may be repeated.
    pub fn answer(
        self: &Arc<Self>,
        http_status: i32,
        content_type: Option<&[u8]>,
        body: &[u8],
    ) -> Result<()> {
        self.check()?;
        let status = answer_status(http_status, body.is_empty())?;
        self.seal(status, content_type, |state| {
            Payload::Whole(state.copy_body(body))
        })
    }

    /// Answers with what `make` gives, `len` bytes, which are not copied. It is called only when they will be
    /// sent.
    pub fn answer_given(
        self: &Arc<Self>,
        http_status: i32,
        content_type: Option<&[u8]>,
        len: usize,
        make: impl FnOnce() -> Bytes,
    ) -> Result<()> {
        self.check()?;
        let status = answer_status(http_status, len == 0)?;
        self.seal(status, content_type, |_| Payload::Whole(make()))
    }

    /// As [`Exchange::seal_with`], for a head that has only a content type of its own.
    pub(super) fn seal(
        self: &Arc<Self>,
        status: StatusCode,
        content_type: Option<&[u8]>,
        payload: impl FnOnce(&mut State) -> Payload,
    ) -> Result<()> {
        let content_type = content_type.map(headers::content_type).transpose()?;
        let prepare = |headers: &mut HeaderMap| {
            if let Some(content_type) = content_type {
                headers.insert(CONTENT_TYPE, content_type);
            }
        };
        self.seal_with(status, prepare, payload)
    }

    /// The head of the answer is complete, with what `prepare` puts into it; `payload` is called only when
    /// it will be sent.
    pub(super) fn seal_with(
        self: &Arc<Self>,
        status: StatusCode,
        prepare: impl FnOnce(&mut HeaderMap),
        payload: impl FnOnce(&mut State) -> Payload,
    ) -> Result<()> {
        let mut state = self.state();
        state.check_unanswered()?;
        if let Some(error) = state.refused.take() {
            return Err(*error);
        }
        let mut state = self.complete_head(state, status, prepare)?;
        state.status = status;
        state.payload = payload(&mut state);
        self.quiet.store(state.is_quiet(), Ordering::Release);
        self.settle(state, Stage::Answered);
        Ok(())
    }
}
