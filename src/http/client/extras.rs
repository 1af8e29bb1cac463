//! What a call has beside a head and a body in memory: a body that comes from elsewhere, one that goes
//! elsewhere, and those who hear how it goes on.

use super::call::Call;
use super::news::News;
use super::streaming::Hold;
use super::upload::{Source, Upload};
use crate::error::{Error, Result};
use crate::socket::descriptor::Descriptor;
use crate::socket::stream::Waits;
use http::HeaderMap;
use rustix::event::EventfdFlags;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// How often a thread looks for a cancel, when there is no descriptor left to wake it with.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Default)]
pub struct Extras {
    pub upload: Option<Upload>,
    /// Where the body of a 2xx goes.
    pub output: Option<Descriptor>,
    pub news: News,
    /// It runs on a calling thread, which must not be waited for elsewhere.
    pub performed: bool,
    /// For the calling thread.
    pub waits: Option<Waits>,
    /// Wakes a calling thread that waits for a descriptor.
    pub alarm: Option<Arc<OwnedFd>>,
    /// How long the body waits for a 100; then it is asked for with `Expect`.
    pub expect: Option<Option<Duration>>,
    /// It waits.
    pub held: bool,
    held_task: Option<Waker>,
    /// Nobody wants the rest of the body.
    pub stopped: bool,
    /// See [`Call::rests`].
    pub rests: Arc<AtomicBool>,
    /// Until the last of its functions are gone.
    pub last_hold: Option<Hold>,
}

impl Extras {
    pub fn begin(&mut self, performed: bool, headers: &HeaderMap) -> Result<()> {
        let upload = self.upload.as_mut();
        let is_written = upload.is_some_and(|upload| {
            upload.begin(headers);
            matches!(upload.source, Source::Program)
        });
        self.performed = performed;
        if performed && is_written {
            return Err(Error::state(
                "the body of hysock_call_set_body_stream() is written while the call runs: start it",
            ));
        }
        Ok(())
    }

    /// Wakes the calling thread.
    pub fn ring(&self) {
        if let Some(alarm) = &self.alarm {
            rustix::io::write(alarm, &1u64.to_ne_bytes()).ok();
        }
    }

    /// The program's functions, to be dropped without a lock.
    pub fn take_hooks(&mut self) -> impl Sized + use<> {
        let body = self.upload.as_mut().map(|upload| upload.take_hooks());
        (body, self.news.take_hooks())
    }

    /// Whether no more of the body is sent.
    fn is_over(&self) -> bool {
        self.stopped || self.upload.as_ref().is_some_and(|u| u.failure.is_some())
    }
}

impl Call {
    /// Runs a setter of what is beside the usual.
    pub(super) fn set_extra(&self, f: impl FnOnce(&mut Extras) -> Result<()>) -> Result<()> {
        self.set(|state| f(state.extras.get_or_insert_default()))
    }

    /// The body of a 2xx goes to `fd`.
    pub fn set_output(&self, fd: BorrowedFd<'_>) -> Result<()> {
        self.set(|state| {
            if state.streams.is_some() {
                return Err(Error::state(
                    "the answer is streamed: its body goes to who reads it, not to a descriptor",
                ));
            }
            let output = Descriptor::copy(fd, false)
                .map_err(|error| bad_descriptor("hysock_call_set_output_fd", error))?;
            state.extras.get_or_insert_default().output = Some(output);
            Ok(())
        })
    }

    /// The body is sent when the server has said 100, or after `wait`.
    pub fn set_expect_continue(&self, wait: Option<Duration>) -> Result<()> {
        self.set_extra(|extras| {
            extras.expect = Some(wait);
            Ok(())
        })
    }

    /// What this calling thread is to wait for, beside its connection.
    pub(super) fn take_waits(&self) -> Option<Waits> {
        self.state().extras.as_mut()?.waits.take()
    }

    pub(super) fn set_waits(&self, mut waits: Waits) {
        let mut state = self.state();
        let Some(extras) = &mut state.extras else {
            return;
        };
        if waits.fd.is_some() && extras.alarm.is_none() {
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            // Without one it looks now and then.
            extras.alarm = rustix::event::eventfd(0, flags).ok().map(Arc::new);
        }
        waits.alarm = extras.alarm.clone();
        if waits.alarm.is_none() && waits.fd.is_some() {
            waits.until = Some(Instant::now() + LOOK);
        }
        extras.waits = Some(waits);
    }

    /// Whether the body is still held back; `cx` is woken when it is not any more.
    pub(super) fn poll_held(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state();
        let Some(extras) = &mut state.extras else {
            return false;
        };
        extras.held_task = extras.held.then(|| cx.waker().clone());
        extras.held
    }

    /// The server wants the body that was held back, or has had its time.
    pub(super) fn release_body(&self) {
        let mut state = self.state();
        let Some(extras) = &mut state.extras else {
            return;
        };
        extras.held = false;
        let task = extras.held_task.take();
        drop(state);
        // On the thread that drives the connection.
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Whether the next move is the program's, not the peer's.
    pub(super) fn rests(&self) -> Arc<AtomicBool> {
        let state = self.state();
        let extras = state.extras.as_ref();
        extras
            .map(|extras| extras.rests.clone())
            .unwrap_or_default()
    }

    /// Whether no more of the body is to be sent.
    pub(super) fn is_stopped(&self) -> bool {
        self.state().extras.as_ref().is_none_or(|e| e.is_over())
    }

    pub(super) fn set_rests(&self, rests: bool) {
        if let Some(extras) = &self.state().extras {
            extras.rests.store(rests, Ordering::Relaxed);
        }
    }
}

pub fn bad_descriptor(what: &str, error: rustix::io::Errno) -> Error {
    Error::argument(format!(
        "{what}: fd cannot be used: {}",
        std::io::Error::from(error)
    ))
}
