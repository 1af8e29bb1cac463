//! Ending a call early, and who must hear of it.

use super::call::Call;
use super::pool::Seat;
use super::state::{Stage, Times};
use crate::error::{Error, Operation, Result, Status};
use crate::http::parent::Child;
use crate::socket::stream::Caller;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

/// What a cancel must wake.
pub enum Driver {
    None,
    /// A thread waits for a place.
    Seat(Arc<Seat>),
    /// A thread waits for its connect.
    Connect(Arc<Seat<Result<OwnedFd>>>),
    /// A thread is at work on this connection.
    Caller(Arc<Caller>),
    /// A task of the client's I/O thread works on it, or will.
    Reactor(Option<Waker>),
}

impl Call {
    /// Ends the call early, from any thread. Nothing happens to one that has ended.
    pub fn cancel(self: &Arc<Self>) -> Result<()> {
        self.check()?;
        self.end_with(cancelled());
        Ok(())
    }

    /// The client ends before the call.
    pub(super) fn cut(self: &Arc<Self>) {
        let message = "the client was shut down before the call had ended";
        self.end_with(Error::new(Status::ShutDown, Operation::None, message));
    }

    fn end_with(self: &Arc<Self>, error: Error) {
        let mut state = self.state();
        if state.cancelled.is_some() || matches!(state.stage, Stage::Done(_)) {
            return;
        }
        state.cancelled = Some(error.clone());
        self.cut.store(true, Ordering::Release);
        // Under the lock: the driver cannot go on to its next use of the connection meanwhile.
        match &mut state.driver {
            Driver::None => {}
            Driver::Seat(seat) => seat.leave(),
            Driver::Connect(seat) => seat.leave(),
            Driver::Caller(caller) => caller.shutdown(),
            Driver::Reactor(waker) => self.wake(waker.take()),
        }
        let streams = matches!(state.stage, Stage::Streaming);
        if let Some(extras) = &state.extras {
            extras.ring();
            drop(state);
            self.stop_upload();
            state = self.state();
        }
        if streams {
            self.fail_stream(state, &error);
        }
    }

    /// What free does: cancels, and `done` no longer runs.
    pub fn release(self: &Arc<Self>) {
        if self.check().is_ok() {
            self.withdraw();
        }
    }

    pub(super) fn withdraw(self: &Arc<Self>) {
        {
            let mut state = self.state();
            state.withdrawn = true;
            if let Some(switch) = &mut state.switch {
                switch.give_up();
            }
            if matches!(state.stage, Stage::Done(_)) {
                return;
            }
        }
        self.end_with(Error::new(
            Status::Cancelled,
            Operation::None,
            "the call was freed",
        ));
    }

    /// Says what to wake from now on; the cancel's error once there was one.
    pub fn set_driver(&self, driver: Driver) -> Result<()> {
        let mut state = self.state();
        if let Some(error) = &state.cancelled {
            return Err(error.clone());
        }
        state.driver = driver;
        Ok(())
    }

    /// Takes a call that waits for a connection; only the first who asks gets it.
    pub fn claim(&self) -> bool {
        let mut state = self.state();
        if let Driver::Reactor(waker) = &mut state.driver {
            // Its watch ends.
            self.wake(waker.take());
        }
        !std::mem::replace(&mut state.claimed, true)
    }

    /// For the watch over a waiting call: whether it was claimed, or the cancel's error.
    pub fn poll_claimed(&self, waker: &Waker) -> Result<bool> {
        let mut state = self.state();
        if state.claimed {
            return Ok(true);
        }
        state.work_by(waker)?;
        Ok(false)
    }

    /// Whether it was cancelled.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Why a call that was cut ends.
    pub fn cut_error(&self) -> Error {
        self.state().cancelled.clone().unwrap_or_else(cancelled)
    }

    /// The work on it begins: how long it may take. A cancel wakes `waker` from now on.
    pub fn enter(&self, waker: &Waker) -> Result<Times> {
        let mut state = self.state();
        state.work_by(waker)?;
        Ok(state.times())
    }

    pub(super) fn wake(&self, waker: Option<Waker>) {
        if let (Some(waker), Some(home)) = (waker, &self.client.home) {
            home.thread.wake(waker);
        }
    }
}

fn cancelled() -> Error {
    Error::new(Status::Cancelled, Operation::None, "the call was cancelled")
}

impl Child for Call {
    fn parent_ended(self: Arc<Self>) {
        let message = "the exchange that the call was made for has ended";
        self.end_with(Error::new(Status::Cancelled, Operation::None, message));
    }
}
