//! The I/O thread's part in an answer that is streamed: it moves the body on as far as it is asked for.

use super::call::Call;
use super::state::Times;
use super::transfer::{Failure, Progress};
use super::watch::watch;
use super::worker::{Worker, limit};
use crate::error::Result;
use crate::http::reading::Arrived;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

impl Worker {
    /// The head of the answer is there: gives its body to who reads it.
    pub async fn stream(&mut self, call: &Arc<Call>, times: Times) -> Result<()> {
        poll_fn(|cx| Poll::Ready(call.begin_stream(cx.waker()))).await?;
        // A body of announced length ends with its last byte.
        while !self.is_over() {
            match self.next_of(call, times).await? {
                Arrived::End(end) => return end,
                Arrived::Piece(piece) => {
                    if times.extras {
                        call.note_moved(0, piece.len());
                    }
                    call.arrive(Arrived::Piece(piece));
                }
                trailers => call.arrive(trailers),
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_none_or(|(http, _)| http.is_over())
    }

    async fn next_of(&mut self, call: &Arc<Call>, times: Times) -> Result<Arrived> {
        let (http, stream) = self.connection.as_mut().expect("it has given the body");
        let asked = poll_fn(|cx| {
            http.drive(cx);
            call.poll_asked()
        });
        limit(call, times.deadline, asked).await??;
        let next = poll_fn(|cx| match http.poll_body(cx) {
            Poll::Pending if times.extras => {
                let failure = call.upload_failure();
                failure.map_or(Poll::Pending, |error| Poll::Ready(Err(error)))
            }
            next => next.map(Ok),
        });
        let frame = if times.patience.is_endless() {
            limit(call, times.deadline, next).await??
        } else {
            // Only waits for the peer count, not those for who reads; but a reader waits for nobody else.
            let extras = false;
            let watched = watch(stream, Times { extras, ..times }, call, next);
            let frame = limit(call, times.deadline, watched).await?;
            frame.map_err(|why| call.timed_out(why))??
        };
        let source = &self.local.client.source;
        Ok(Arrived::of(frame, |error| {
            Failure::Http(error).into_error(source, Progress::ANSWERED)
        }))
    }
}
