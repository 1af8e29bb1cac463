//! Telling the tasks that accept that a connection has ended or the config has changed.

use super::Server;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;

/// Changes of a server that somebody waits for, on the first I/O thread.
#[derive(Default)]
pub struct Changes {
    state: Mutex<State>,
    /// Of the config only.
    pub reloaded: Notify,
}

#[derive(Default)]
struct State {
    count: u64,
    waiting: Vec<Waker>,
}

impl Changes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_at_next(&self, cx: &Context<'_>) {
        let mut state = self.state();
        if !state.waiting.iter().any(|w| w.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
    }
}

impl Server {
    /// Something has changed: who waits looks again.
    pub(super) fn tell_change(&self) {
        let waiting = {
            let mut state = self.changes.state();
            state.count += 1;
            std::mem::take(&mut state.waiting)
        };
        for waker in waiting {
            self.runtime.io_threads()[0].wake(waker);
        }
    }

    /// Waits until `condition` gives something, looking again at each change.
    pub(super) async fn until<T>(&self, condition: impl Fn(&Server) -> Option<T>) -> T {
        poll_fn(|cx| {
            if let Some(result) = condition(self) {
                return Poll::Ready(result);
            }
            self.changes.wake_at_next(cx);
            // Again, for what changed in between.
            condition(self).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Waits for the next change.
    pub(super) async fn changed(&self) {
        let count = |server: &Server| server.changes.state().count;
        let before = count(self);
        self.until(|server| (count(server) != before).then_some(()))
            .await;
    }
}
