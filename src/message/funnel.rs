//! The funnel: what many producers sent, in one queue with one budget of bytes.
//!
//! Readers on I/O threads reserve room before they read, and append what they decoded; whoever receives
//! takes a batch at a time, and its end gives the room back. A reader that finds no room waits, so its
//! socket is not read and its producer is slowed: nothing is lost.

mod append;
mod room;

pub use append::{Appending, Payload, Reserved};

use super::batch::{Batch, Content};
use crate::limits::{MESSAGE_OVERHEAD, READ_MAX};
use room::Waiting;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A batch's bytes are kept together up to this size; a longer message is a batch of its own.
const ARENA: usize = 128 * 1024;
/// Arenas kept for the next messages.
const SPARES: usize = 4;

/// What happens to messages for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// Nothing: the producer waits. Of datagrams the kernel's queue is filled, then their senders wait.
    #[default]
    Block,
    /// The new one is dropped and counted.
    DropNewest,
    /// The oldest that waits is dropped and counted.
    DropOldest,
}

/// How much may be held.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    pub bytes: u64,
    pub per_producer: u64,
    pub overflow: Overflow,
}

/// What one message costs of a budget.
pub fn charge(len: usize) -> u64 {
    len as u64 + MESSAGE_OVERHEAD
}

pub struct Funnel {
    budget: Budget,
    state: Mutex<State>,
    /// Told, with no lock held, when the funnel has something for whoever receives.
    on_filled: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    /// In the order of arrival; the last one is appended to.
    contents: VecDeque<Content>,
    spares: Vec<Content>,
    /// Reserved, waiting, in batches, and of messages under way.
    held: u64,
    /// Of `held`, messages under way.
    partial: u64,
    /// Of `held`, room for reads that have not happened yet.
    reserved: u64,
    waiting: VecDeque<Waiting>,
    dropped: u64,
    skipped: u64,
    received: u64,
    received_bytes: u64,
    /// Nobody takes any more: what comes is dropped.
    closed: bool,
}

/// What a funnel has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub received: u64,
    pub received_bytes: u64,
    pub dropped: u64,
    /// Lines beyond the limit.
    pub skipped: u64,
    /// Bytes held now.
    pub held: u64,
}

impl Funnel {
    pub fn new(budget: Budget, on_filled: Box<dyn Fn() + Send + Sync>) -> Arc<Funnel> {
        Arc::new(Funnel {
            budget,
            state: Mutex::default(),
            on_filled,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much one read may take.
    fn step(&self) -> u64 {
        (READ_MAX as u64).min(self.budget.bytes)
    }

    /// For what needs no room: an event, or the end of what a producer sent.
    pub fn reserve_event(self: &Arc<Self>) -> Reserved {
        Reserved {
            funnel: self.clone(),
            step: 0,
        }
    }

    /// Whether the budget is not used up.
    pub fn has_room(&self) -> bool {
        self.state().held < self.budget.bytes
    }

    /// Takes what waits, up to `max` messages.
    pub fn take(self: &Arc<Self>, max: usize) -> Option<Batch> {
        let mut state = self.state();
        let front = state.contents.front_mut()?;
        let content = if front.len() > max {
            front.split(max)
        } else if front.is_spacious() {
            let compact = front.split(front.len());
            let empty = state.contents.pop_front().expect("looked at above");
            state.keep_spare(empty);
            compact
        } else {
            state.contents.pop_front().expect("looked at above")
        };
        let (messages, bytes) = content.tally();
        state.received += messages;
        state.received_bytes += bytes;
        drop(state);
        Some(Batch::new(content, self.clone()))
    }

    /// Whether something waits.
    pub fn is_filled(&self) -> bool {
        !self.state().contents.is_empty()
    }

    pub fn counts(&self) -> Counts {
        let state = self.state();
        Counts {
            received: state.received,
            received_bytes: state.received_bytes,
            dropped: state.dropped,
            skipped: state.skipped,
            held: state.held,
        }
    }

    /// Nobody takes any more; how many messages were still waiting.
    pub fn close(&self) -> u64 {
        let contents = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.contents)
        };
        let left = contents.iter().map(|content| content.tally().0).sum();
        for content in contents {
            self.give_back(content);
        }
        left
    }

    /// A batch has ended: its room is free again.
    pub(super) fn give_back(&self, mut content: Content) {
        let freed = content.release();
        let mut state = self.state();
        state.held -= freed;
        content.clear();
        state.keep_spare(content);
        self.wake_waiting(state);
    }
}

impl State {
    /// Whatever is appended goes into a content that has room for it.
    fn tail(&mut self, len: usize) -> &mut Content {
        let fits = self
            .contents
            .back()
            .is_some_and(|tail| tail.has_room(len, ARENA));
        if !fits {
            let content = self.spares.pop().unwrap_or_default();
            self.contents.push_back(content);
        }
        self.contents.back_mut().expect("just made sure")
    }

    fn keep_spare(&mut self, mut content: Content) {
        if self.spares.len() < SPARES && content.is_standard(ARENA) {
            content.clear();
            self.spares.push(content);
        }
    }

    /// Drops the oldest message that waits; events stay.
    fn drop_oldest(&mut self) -> bool {
        let mut contents = self.contents.iter_mut().enumerate();
        let found = contents.find_map(|(at, content)| Some((at, content.drop_first()?)));
        let Some((at, freed)) = found else {
            return false;
        };
        self.held -= freed;
        self.dropped += 1;
        if self.contents[at].is_empty()
            && let Some(empty) = self.contents.remove(at)
        {
            self.keep_spare(empty);
        }
        true
    }
}

#[cfg(test)]
mod tests;
