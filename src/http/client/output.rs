//! An answer's body on its way to a descriptor.

use super::call::Call;
use super::outgoing::Probe;
use super::transfer::{Failure, Http};
use crate::error::{Error, Operation};
use crate::socket::descriptor::Descriptor;
use crate::socket::stream::{Transport, Waits};
use bytes::{Buf, Bytes};
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

impl Call {
    pub(super) fn output(&self) -> Option<Descriptor> {
        let state = self.state();
        let output = state.extras.as_ref()?.output.as_ref()?;
        Some(output.again())
    }
}

impl<IO: Transport> Http<IO> {
    /// Moves the whole body there, no faster than it takes it.
    pub async fn save(&mut self, call: &Arc<Call>, mut to: Descriptor) -> Result<(), Failure> {
        loop {
            let next = poll_fn(|cx| match self.poll_body(cx) {
                Poll::Pending => call
                    .upload_failure()
                    .map_or(Poll::Pending, |error| Poll::Ready(Err(Failure::Own(error)))),
                Poll::Ready(next) => Poll::Ready(next.transpose().map_err(Failure::Http)),
            });
            let Some(frame) = next.await? else {
                return Ok(());
            };
            match frame.into_data() {
                Ok(piece) => {
                    call.note_moved(0, piece.len());
                    self.put(call, piece, &mut to).await.map_err(Failure::Own)?;
                }
                Err(frame) => call.keep_trailers(frame.into_trailers().ok().map(Box::new)),
            }
        }
    }

    async fn put(
        &mut self,
        call: &Arc<Call>,
        mut piece: Bytes,
        to: &mut Descriptor,
    ) -> Result<(), Error> {
        while !piece.is_empty() {
            match to.write(&piece) {
                Ok(n) => piece.advance(n),
                Err(Errno::AGAIN) => {
                    call.set_rests(true);
                    self.wait_for_room(call, to).await.map_err(unwritable)?;
                    call.set_rests(false);
                }
                Err(error) => return Err(unwritable(error)),
            }
        }
        Ok(())
    }

    async fn wait_for_room(&mut self, call: &Arc<Call>, to: &mut Descriptor) -> Result<(), Errno> {
        let mut asked = false;
        poll_fn(|cx| match &self.probe {
            Probe::Reactor(_) => {
                let ready = to.poll_ready(cx, PollFlags::OUT);
                ready.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            }
            // The thread waits, and then it is tried again.
            Probe::Caller(_) if std::mem::replace(&mut asked, true) => Poll::Ready(Ok(())),
            Probe::Caller(_) => {
                call.set_waits(Waits {
                    fd: Some((to.fd().clone(), PollFlags::OUT)),
                    ..Waits::default()
                });
                Poll::Pending
            }
        })
        .await
    }
}

fn unwritable(error: Errno) -> Error {
    let what = "the descriptor of hysock_call_set_output_fd() cannot be written";
    Error::system(Operation::Receive, what, &error.into())
}
