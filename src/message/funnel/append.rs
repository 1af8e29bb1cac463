//! Appending what one read gave.

use super::{ARENA, Funnel, Overflow, State, charge};
use crate::message::batch::Content;
use crate::message::source::Source;
use crate::socket::memfd::Mapped;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

/// Room for one read.
pub struct Reserved {
    pub(super) funnel: Arc<Funnel>,
    pub(super) step: u64,
}

impl Reserved {
    /// Hands over what the read gave of one producer: `decode` finds the messages, and says how many bytes of
    /// a message under way it holds now.
    pub fn append<R>(
        mut self,
        source: &Arc<Source>,
        decode: impl FnOnce(&mut Appending<'_>) -> R,
    ) -> R {
        let funnel = self.funnel.clone();
        let before = source.partial.load(Ordering::Relaxed);
        let mut appending = Appending {
            state: funnel.state(),
            funnel: &funnel,
            source: source.clone(),
            charged: 0,
            partial: before,
        };
        let result = decode(&mut appending);
        appending.settle();
        let Appending {
            mut state, partial, ..
        } = appending;
        if partial != before {
            source.partial.store(partial, Ordering::Relaxed);
            state.held = state.held + partial - before;
            state.partial = state.partial + partial - before;
            source.held.fetch_add(partial, Ordering::AcqRel);
            source.held.fetch_sub(before, Ordering::AcqRel);
        }
        let filled = !state.contents.is_empty();
        let step = std::mem::take(&mut self.step);
        state.held -= step;
        state.reserved -= step;
        // Whoever fits into what was not needed.
        funnel.wake_waiting(state);
        if filled {
            (funnel.on_filled)();
        }
        result
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.step > 0 {
            let mut state = self.funnel.state();
            state.held -= self.step;
            state.reserved -= self.step;
            self.funnel.wake_waiting(state);
        }
    }
}

/// The end of a funnel, as one reader appends to it.
pub struct Appending<'a> {
    state: MutexGuard<'a, State>,
    funnel: &'a Funnel,
    source: Arc<Source>,
    /// Of the source's messages that are not in its own figures yet.
    charged: u64,
    /// Bytes of the message under way.
    pub partial: u64,
}

impl Appending<'_> {
    /// What follows is from `source`.
    pub fn from(&mut self, source: &Arc<Source>) {
        if !Arc::ptr_eq(&self.source, source) {
            self.settle();
            self.source = source.clone();
        }
    }

    fn settle(&mut self) {
        let charged = std::mem::take(&mut self.charged);
        self.source.held.fetch_add(charged, Ordering::AcqRel);
    }

    /// A message beyond the limit was passed over.
    pub fn skip(&mut self) {
        self.state.skipped += 1;
        self.source.sequence();
    }

    /// Appends one message; `false` when it was dropped.
    pub fn message(&mut self, payload: Payload<'_>, flags: u32) -> bool {
        if self.state.closed {
            return false;
        }
        let len = payload.len();
        let cost = charge(len);
        let sequence = self.source.sequence();
        if self.funnel.budget.overflow != Overflow::Block && !self.make_room(cost) {
            self.state.dropped += 1;
            return false;
        }
        self.charged += cost;
        self.state.held += cost;
        match payload {
            Payload::Owned(bytes) if len > ARENA / 4 => {
                let content = Content::of(&self.source, bytes, flags, sequence);
                self.state.contents.push_back(content);
            }
            Payload::Mapped(mapped) => {
                let content = Content::of_mapped(&self.source, mapped, flags, sequence);
                self.state.contents.push_back(content);
            }
            payload => {
                let tail = self.state.tail(len);
                tail.push(&self.source, payload.bytes(), flags, sequence);
            }
        }
        true
    }

    /// Appends a message that came with descriptors.
    pub fn message_with(&mut self, payload: Payload<'_>, flags: u32, fds: Vec<OwnedFd>) {
        if self.message(payload, flags)
            && let Some(tail) = self.state.contents.back_mut()
        {
            tail.attach(fds);
        }
    }

    /// Appends an event of the producer: it is never dropped.
    pub fn event(&mut self, flags: u32, code: u64, data: &[u8]) {
        if self.state.closed {
            return;
        }
        self.charged += charge(data.len());
        self.state.held += charge(data.len());
        self.state
            .tail(data.len())
            .push(&self.source, data, flags, code);
    }

    /// For a lossy policy: whether there is room for a message of that cost, after dropping.
    fn make_room(&mut self, cost: u64) -> bool {
        let budget = self.funnel.budget;
        // What is reserved for reads is not held by messages.
        let full = |state: &State| state.held - state.reserved + cost > budget.bytes;
        if budget.overflow == Overflow::DropOldest {
            while full(&self.state) && self.state.drop_oldest() {}
        }
        !full(&self.state) || self.state.contents.is_empty()
    }
}

/// One message's bytes.
pub enum Payload<'a> {
    Slice(&'a [u8]),
    Owned(Vec<u8>),
    Mapped(Mapped),
}

impl Payload<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Payload::Slice(bytes) => bytes,
            Payload::Owned(bytes) => bytes,
            Payload::Mapped(bytes) => bytes,
        }
    }

    fn len(&self) -> usize {
        self.bytes().len()
    }
}
