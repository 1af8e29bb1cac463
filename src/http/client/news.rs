//! Who hears how a call goes on: how far its bodies are, and what the server says before its answer.

use super::call::Call;
use super::extras::Extras;
use crate::error::{Error, Result};
use crate::limits::{INTERIM_MAX, PROGRESS_PAUSE};
use crate::runtime::delivery::{self, Event};
use crate::runtime::{context, taking};
use http::StatusCode;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Hears how far a call is.
pub type ProgressFn = Box<dyn FnMut(&Arc<Call>, Moved) + Send>;
/// Hears of an informational answer.
pub type InterimFn = Box<dyn FnMut(&Arc<Call>, StatusCode) + Send>;

/// Bytes of the bodies so far, and of all where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    pub sent: u64,
    pub send_total: Option<u64>,
    pub received: u64,
    pub receive_total: Option<u64>,
}

#[derive(Default)]
pub struct News {
    on_progress: Option<ProgressFn>,
    on_interim: Option<InterimFn>,
    sent: u64,
    pub send_total: Option<u64>,
    received: u64,
    pub receive_total: Option<u64>,
    interim: VecDeque<StatusCode>,
    /// When a report was due last.
    last: Option<Instant>,
    due: bool,
    posted: bool,
}

impl News {
    pub fn wants_progress(&self) -> bool {
        self.on_progress.is_some()
    }

    pub fn wants_interim(&self) -> bool {
        self.on_interim.is_some()
    }

    pub fn take_hooks(&mut self) -> impl Sized + use<> {
        (self.on_progress.take(), self.on_interim.take())
    }

    /// A request begins, maybe once more.
    pub fn begin(&mut self) {
        self.sent = 0;
        self.received = 0;
        self.send_total = Some(0);
        self.receive_total = None;
    }

    /// Whether a report is to be made now.
    fn note(&mut self, sent: usize, received: usize) -> bool {
        self.sent += sent as u64;
        self.received += received as u64;
        if self.on_progress.is_none() {
            return false;
        }
        let now = Instant::now();
        let is_due = self.last.is_none_or(|last| now - last >= PROGRESS_PAUSE);
        if is_due {
            self.last = Some(now);
            self.due = true;
        }
        is_due
    }

    /// The last report is due.
    pub fn end(&mut self) {
        self.due = self.on_progress.is_some();
    }

    fn is_due(&self) -> bool {
        self.due && self.on_progress.is_some()
    }

    fn moved(&self) -> Moved {
        Moved {
            sent: self.sent,
            send_total: self.send_total,
            received: self.received,
            receive_total: self.receive_total,
        }
    }
}

impl Call {
    pub fn on_progress(&self, f: ProgressFn) -> Result<()> {
        let mut f = Some(f);
        self.set_extra(|extras| {
            if extras.news.on_progress.is_some() {
                return Err(Error::state("the call has an on_progress callback already"));
            }
            extras.news.on_progress = f.take();
            Ok(())
        })
    }

    pub fn on_informational(&self, f: InterimFn) -> Result<()> {
        let mut f = Some(f);
        self.set_extra(|extras| {
            if extras.news.on_interim.is_some() {
                let what = "the call has an on_informational callback already";
                return Err(Error::state(what));
            }
            extras.news.on_interim = f.take();
            Ok(())
        })
    }

    /// Bytes of a body have moved.
    pub(super) fn note_moved(self: &Arc<Self>, sent: usize, received: usize) {
        let mut state = self.state();
        let Some(extras) = &mut state.extras else {
            return;
        };
        if extras.news.note(sent, received) && !extras.performed {
            drop(state);
            self.post_news();
        }
    }

    /// An informational answer has come.
    pub(super) fn informed(self: &Arc<Self>, status: StatusCode) {
        if status == StatusCode::CONTINUE {
            self.release_body();
        }
        let mut state = self.state();
        let Some(extras) = &mut state.extras else {
            return;
        };
        let news = &mut extras.news;
        // Of a flood the first are heard of.
        if !news.wants_interim() || news.interim.len() >= INTERIM_MAX {
            return;
        }
        news.interim.push_back(status);
        if !extras.performed {
            drop(state);
            self.post_news();
        }
    }

    pub(super) fn post_news(self: &Arc<Self>) {
        let mut state = self.state();
        let Some(extras) = &mut state.extras else {
            return;
        };
        if std::mem::replace(&mut extras.news.posted, true) {
            return;
        }
        let owner = self.owner(&state);
        drop(state);
        delivery::post(&owner, self.clone(), Event::News);
    }

    /// Tells those who are to hear; in the call's delivery, or on its calling thread.
    pub(super) fn show_news(self: &Arc<Self>) {
        loop {
            let mut state = self.state();
            let Some(extras) = &mut state.extras else {
                return;
            };
            let news = &mut extras.news;
            if let Some(status) = news.interim.pop_front()
                && let Some(mut f) = news.on_interim.take()
            {
                drop(state);
                taking::aside(|| context::callback(|| f(self, status)));
                self.put_back(|news| news.on_interim = Some(f));
            } else if std::mem::take(&mut news.due)
                && let Some(mut f) = news.on_progress.take()
            {
                let moved = news.moved();
                drop(state);
                taking::aside(|| context::callback(|| f(self, moved)));
                self.put_back(|news| news.on_progress = Some(f));
            } else {
                news.posted = false;
                return;
            }
        }
    }

    fn put_back(&self, f: impl FnOnce(&mut News)) {
        if let Some(extras) = &mut self.state().extras {
            f(&mut extras.news);
        }
    }

    /// The call ends: no more of its body is sent, and the last report is made.
    pub(super) fn end_extras(self: &Arc<Self>) {
        self.stop_upload();
        let mut state = self.state();
        let Some(extras) = &mut state.extras else {
            return;
        };
        extras.news.end();
        let performed = extras.performed;
        drop(state);
        if performed {
            self.show_news();
        } else {
            self.post_news();
        }
    }

    /// The queue was freed: nothing is told or asked any more.
    pub(super) fn abandon_extras(&self) {
        let mut state = self.state();
        let Some(extras) = &mut state.extras else {
            return;
        };
        let upload = extras.upload.as_mut();
        let task = upload.and_then(|upload| upload.fail(super::shut_down()));
        let hooks = extras.take_hooks();
        let hold = extras.last_hold.take();
        drop(state);
        self.wake(task);
        drop(hooks);
        drop(hold);
    }

    pub(super) fn deliver_news(self: Arc<Self>) {
        let withdrawn = self.state().withdrawn || self.client.is_withdrawn();
        let mut state = loop {
            if !withdrawn {
                self.show_news();
            }
            let mut state = self.state();
            let is_due = |extras: &mut Box<Extras>| extras.news.is_due();
            if withdrawn || !state.extras.as_mut().is_some_and(is_due) {
                break state;
            }
        };
        let Some(extras) = &mut state.extras else {
            return;
        };
        extras.news.posted = false;
        let Some(hold) = extras.last_hold.take() else {
            return;
        };
        let hooks = extras.take_hooks();
        drop(state);
        drop(hooks);
        drop(hold);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_due_at_first_and_not_too_often() {
        let mut news = News::default();
        assert!(!news.note(1, 2));
        news.on_progress = Some(Box::new(|_, _| {}));
        assert!(news.note(3, 0));
        assert!(!news.note(0, 4));
        news.last = news.last.map(|last| last - PROGRESS_PAUSE);
        assert!(news.note(0, 0));
        let moved = news.moved();
        assert_eq!((moved.sent, moved.received), (4, 6));
        news.begin();
        let moved = news.moved();
        assert_eq!(
            (moved.sent, moved.send_total, moved.received),
            (0, Some(0), 0)
        );
    }
}
