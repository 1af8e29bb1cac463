//! A request's body that is no memory: written by the program, asked of it, or read from a descriptor.

use super::call::Call;
use super::extras::bad_descriptor;
use super::state::State;
use crate::error::{Error, Result};
use crate::http::headers;
use crate::http::trailers;
use crate::http::writing::{Taken, Writing};
use crate::runtime::context;
use crate::runtime::delivery::{self, Event};
use crate::socket::descriptor::Descriptor;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, MutexGuard};
use std::task::{Context, Waker};

/// Runs once when there is room again.
pub type WritableFn = Box<dyn FnOnce(&Arc<Call>) + Send>;
/// Fills a buffer with the next bytes of the body: how many, 0 at its end, negative to give up.
pub type BodyFn = Box<dyn FnMut(&Arc<Call>, &mut [u8]) -> i64 + Send>;

/// A body on its way up.
pub struct Upload {
    pub writing: Writing<WritableFn>,
    pub source: Source,
    /// Some of it has left a source that gives it only once.
    pub begun: bool,
    /// It goes no further, since nobody wants it any more.
    pub stopped: bool,
    pub failure: Option<Error>,
    /// Trailers that are known before the head.
    pub early_trailers: HeaderMap,
    /// A thread waits for room.
    pub blocked: bool,
    pub changed: Arc<Condvar>,
}

pub enum Source {
    /// [`Call::write`].
    Program,
    /// A function of the program.
    Reader {
        /// `None` while it runs.
        f: Option<BodyFn>,
        /// The delivery is to run it, or runs it.
        asked: bool,
    },
    /// From there on, when it is a file.
    Descriptor(Descriptor, Option<u64>),
}

impl Upload {
    pub fn new(source: Source, length: Option<u64>) -> Upload {
        Upload {
            writing: Writing::new(length, false, Vec::new()),
            source,
            begun: false,
            stopped: false,
            failure: None,
            early_trailers: HeaderMap::new(),
            blocked: false,
            changed: Arc::default(),
        }
    }

    /// Nobody takes more of it.
    fn stop(&mut self) -> impl Sized + use<> {
        self.stopped = true;
        if self.blocked {
            self.changed.notify_all();
        }
        self.writing.let_go()
    }

    /// All of it has been given away.
    pub fn is_over(&self) -> bool {
        self.stopped || self.failure.is_some()
    }

    /// The call begins, with these headers.
    pub fn begin(&mut self, headers: &HeaderMap) {
        let mut names = trailers::announced(headers);
        names.extend(self.early_trailers.keys().cloned());
        self.writing.announce(names, &self.early_trailers);
    }

    pub fn take_hooks(&mut self) -> impl Sized + use<> {
        let reader = match &mut self.source {
            Source::Reader { f, .. } => f.take(),
            _ => None,
        };
        (reader, self.writing.take_hook())
    }

    pub fn fail(&mut self, error: Error) -> Option<Waker> {
        self.failure.get_or_insert(error);
        self.writing.task.take()
    }
}

impl State {
    pub fn upload(&mut self) -> Option<&mut Upload> {
        self.extras.as_mut()?.upload.as_mut()
    }

    /// Refuses a second body.
    fn check_body(&mut self, content_type: Option<&[u8]>) -> Result<()> {
        if self.upload().is_some() || self.request.has_body() {
            return Err(Error::state("the call has a body already"));
        }
        if let Some(text) = content_type {
            let text = headers::content_type(text)?;
            self.request.headers.insert(CONTENT_TYPE, text);
        }
        Ok(())
    }

    fn set_upload(&mut self, source: Source, length: Option<u64>) {
        let extras = self.extras.get_or_insert_default();
        extras.upload = Some(Upload::new(source, length));
    }
}

impl Call {
    /// `f` is asked for the body, piece by piece.
    pub fn set_body_reader(
        &self,
        content_type: Option<&[u8]>,
        length: Option<u64>,
        f: BodyFn,
    ) -> Result<()> {
        let source = Source::Reader {
            f: Some(f),
            asked: false,
        };
        let mut source = Some(source);
        self.set(|state| {
            state.check_body(content_type)?;
            // One that is refused goes without a lock: it is the user's code.
            state.set_upload(source.take().expect("set once"), length);
            Ok(())
        })
    }

    /// The body is what is read from a descriptor.
    pub fn set_body_descriptor(
        &self,
        content_type: Option<&[u8]>,
        fd: BorrowedFd<'_>,
        length: Option<u64>,
    ) -> Result<()> {
        let bad = |error| bad_descriptor("hysock_call_set_body_fd", error);
        self.set(|state| {
            state.check_body(content_type)?;
            let fd = Descriptor::copy(fd, true).map_err(bad)?;
            let position = fd.position().map_err(bad)?;
            // Files that are made when they are read say that they are empty.
            let rest = position.map(|(_, rest)| rest).filter(|rest| *rest > 0);
            if let (Some(rest), Some(length)) = (rest, length)
                && length > rest
            {
                return Err(Error::argument(format!(
                    "hysock_call_set_body_fd: {length} bytes are more than the {rest} that the file has"
                )));
            }
            let source = Source::Descriptor(fd, position.map(|(at, _)| at));
            state.set_upload(source, length.or(rest));
            Ok(())
        })
    }

    /// The body is what [`Call::write`] gives.
    pub fn set_body_stream(&self, content_type: Option<&[u8]>, length: Option<u64>) -> Result<()> {
        self.set(|state| {
            state.check_body(content_type)?;
            state.set_upload(Source::Program, length);
            Ok(())
        })
    }

    /// There is room, or never will be: whoever waits for it hears of it.
    pub(super) fn tell_writer(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let Some(upload) = state.upload() else { return };
        if upload.blocked {
            upload.changed.notify_all();
        }
        let ended = upload.is_over();
        if upload.writing.must_tell(ended) {
            let owner = self.owner(&state);
            drop(state);
            delivery::post(&owner, self.clone(), Event::Writable);
        }
    }

    /// No more of the body is sent.
    pub(super) fn stop_upload(self: &Arc<Self>) {
        let mut state = self.state();
        let Some(extras) = &mut state.extras else {
            return;
        };
        extras.stopped = true;
        // From here on the peer's pauses count.
        extras.rests.store(false, Ordering::Relaxed);
        extras.waits = None;
        let Some(upload) = &mut extras.upload else {
            return;
        };
        let unsent = upload.stop();
        self.tell_writer(state);
        drop(unsent);
    }

    /// The head of the answer is there: a server that has answered well may go on reading.
    pub(super) fn answer_began(self: &Arc<Self>, is_success: bool, length: Option<u64>) {
        let mut state = self.state();
        let Some(extras) = &mut state.extras else {
            return;
        };
        extras.news.receive_total = length;
        let stops = !is_success || extras.held;
        drop(state);
        if stops {
            self.stop_upload();
        }
    }

    /// The body ends before its end, and the call with it.
    pub(super) fn fail_upload(&self, error: Error) -> Taken {
        if let Some(upload) = self.state().upload() {
            // The one that drives the connection is who has found it out.
            upload.fail(error);
        }
        Taken::Nothing
    }

    /// Something of a descriptor was read; `once`: it cannot be read again.
    pub(super) fn note_read(&self, once: bool) {
        let mut state = self.state();
        if let Some(extras) = &mut state.extras {
            extras.rests.store(false, Ordering::Relaxed);
            if let Some(upload) = &mut extras.upload {
                upload.begun |= once;
            }
        }
    }

    /// At the end of a body that was not written here.
    pub(super) fn take_trailers(&self) -> Taken {
        let mut state = self.state();
        let trailers = state.upload().and_then(|u| u.writing.trailers.clone());
        trailers.map_or(Taken::End, Taken::Trailers)
    }

    /// What has ended the body before its end.
    pub(super) fn upload_failure(&self) -> Option<Error> {
        self.state().upload()?.failure.clone()
    }

    /// The next piece of what is written, or of what the program was asked for.
    pub(super) fn take_upload(self: &Arc<Self>, cx: &Context<'_>) -> Taken {
        loop {
            let mut state = self.state();
            let Some(extras) = &mut state.extras else {
                return Taken::Nothing;
            };
            let performed = extras.performed;
            let Some(upload) = &mut extras.upload else {
                return Taken::Nothing;
            };
            if upload.is_over() {
                return Taken::Nothing;
            }
            let taken = upload.writing.take_next(cx);
            let has_more = match &taken {
                Taken::Piece(_, last) => !last,
                Taken::Nothing => true,
                _ => false,
            };
            let is_piece = matches!(taken, Taken::Piece(..));
            upload.begun |= is_piece;
            match &mut upload.source {
                Source::Reader { .. } if performed => {
                    if !matches!(taken, Taken::Nothing) {
                        return taken;
                    }
                    drop(state);
                    self.fill();
                    continue;
                }
                // The next one while this one is sent.
                Source::Reader { asked, .. } => {
                    let asks = has_more && !upload.writing.finished;
                    if asks && !std::mem::replace(asked, true) {
                        let owner = self.owner(&state);
                        drop(state);
                        delivery::post(&owner, self.clone(), Event::Writable);
                    }
                }
                _ if is_piece => self.tell_writer(state),
                _ => {}
            }
            return taken;
        }
    }

    /// Runs the function that waits for room, or the one that is asked for the body.
    pub(super) fn deliver_writable(self: Arc<Self>) {
        let mut state = self.state();
        let withdrawn = state.withdrawn || self.client.is_withdrawn();
        let Some(upload) = state.upload() else { return };
        if matches!(upload.source, Source::Reader { .. }) {
            drop(state);
            if !withdrawn {
                self.fill();
            }
            return;
        }
        let f = upload.writing.take_hook();
        drop(state);
        match f {
            Some(f) if !withdrawn => context::callback(|| f(&self)),
            f => drop(f),
        }
    }
}
