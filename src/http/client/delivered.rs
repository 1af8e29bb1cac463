//! A call's callbacks, on the thread that its delivery has for them.

use super::Client;
use super::call::Call;
use super::state::Stage;
use crate::error::Status;
use crate::http::parent::Keep;
use crate::runtime::delivery::{Event, Node, Strand};
use crate::runtime::{context, taking};
use std::sync::Arc;

/// The last callback has run: whoever waits for it may go on. What the call's parent kept goes after that.
pub struct Delivered<'a>(pub &'a Arc<Client>, pub Option<Keep>);

impl Drop for Delivered<'_> {
    fn drop(&mut self) {
        let keep = self.1.take();
        if taking::is_on() {
            let client = self.0.clone();
            let ending = client.is_ending();
            taking::settle_later(ending, move || drop(Delivered(&client, keep)));
        } else {
            self.0.let_go();
        }
    }
}

impl Node for Call {
    fn strand(&self) -> &Strand {
        self.strand
            .as_ref()
            .expect("only a call on a runtime is started")
    }

    fn deliver(self: Arc<Self>, event: Event) {
        match event {
            Event::Read => return self.deliver_piece(),
            Event::Writable => return self.deliver_writable(),
            Event::News => return self.deliver_news(),
            _ => {}
        }
        let mut state = self.state();
        let status = match &state.stage {
            // Of one that is streamed the head is there.
            Stage::Done(Err(error)) if self.answer.get().is_none() => error.status,
            _ => Status::Ok,
        };
        let run = event == Event::Call && !state.withdrawn && !self.client.is_withdrawn();
        let delivered = Delivered(&self.client, state.keep.take());
        let done = state.done.take();
        // Those of an answer that is streamed stay until its end.
        let streams = state.streams.is_some() && self.answer.get().is_some();
        let extras = state.extras.as_mut().filter(|_| !streams);
        let hooks = extras.map(|extras| extras.take_hooks());
        drop(state);
        match done {
            Some(done) if run => context::callback(|| done(&self, status)),
            done => drop(done),
        }
        drop(hooks);
        drop(delivered);
    }

    fn abandon(self: Arc<Self>, event: Event) {
        match event {
            Event::Read => drop(self.take_reader()),
            Event::Writable | Event::News => self.abandon_extras(),
            _ => self.deliver(Event::Discard),
        }
    }
}
