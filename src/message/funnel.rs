//! The funnel: what many producers sent, in one queue with one budget of bytes.
//!
//! Readers on I/O threads reserve room before they read, and append what they decoded; whoever receives
//! takes a batch at a time, and its end gives the room back. A reader that finds no room waits, so its
//! socket is not read and its producer is slowed: nothing is lost.

use super::batch::{Batch, Content};
use super::source::Source;
use crate::limits::{MESSAGE_OVERHEAD, READ_MAX};
use crate::runtime::io_thread::IoThread;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

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

/// A reader that found no room: once in the queue at most, and only as long as it waits.
struct Waiting {
    source: Arc<Source>,
    /// It has a message under way.
    inside: bool,
    waker: Waker,
    thread: Arc<IoThread>,
}

impl Waiting {
    fn wake(self) {
        self.thread.wake(self.waker);
    }
}

/// One read's room, once there is some. Dropped before, its turn is the next one's.
pub struct Room<'a> {
    funnel: &'a Arc<Funnel>,
    source: &'a Arc<Source>,
    inside: bool,
    thread: &'a Arc<IoThread>,
    waits: bool,
}

impl Future for Room<'_> {
    type Output = Reserved;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reserved> {
        let reserved = self.funnel.reserve(&self, cx.waker());
        self.waits = reserved.is_none();
        reserved.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.funnel.leave(self.source);
        }
    }
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

    /// Room for one read of `source`, whose reader runs on `thread`. `inside` is a message under way.
    pub fn room<'a>(
        self: &'a Arc<Self>,
        source: &'a Arc<Source>,
        inside: bool,
        thread: &'a Arc<IoThread>,
    ) -> Room<'a> {
        Room {
            funnel: self,
            source,
            inside,
            thread,
            waits: false,
        }
    }

    /// Reserves the room; without any `waker` is woken when there may be some.
    fn reserve(self: &Arc<Self>, room: &Room<'_>, waker: &Waker) -> Option<Reserved> {
        let (source, inside, thread) = (room.source, room.inside, room.thread);
        let step = self.step();
        let mut state = self.state();
        if self.budget.overflow == Overflow::Block {
            // Who holds nothing may always begin: a budget smaller than one message must not end all.
            let own = source.held.load(Ordering::Acquire);
            if own > 0
                && own + step > self.budget.per_producer
                && !(inside && source.is_all_partial())
            {
                source.wait(thread, waker);
                // Given back in between?
                if source.held.load(Ordering::Acquire) == own {
                    return None;
                }
            }
            let full = state.held > 0 && state.held + step > self.budget.bytes;
            // With nothing but messages under way nobody could make room: they must go on.
            let stuck = inside && state.held == state.partial;
            if full && !stuck {
                if !state.waiting.iter().any(|w| Arc::ptr_eq(&w.source, source)) {
                    state.waiting.push_back(Waiting {
                        source: source.clone(),
                        inside,
                        waker: waker.clone(),
                        thread: thread.clone(),
                    });
                }
                return None;
            }
        }
        if room.waits {
            state.waiting.retain(|w| !Arc::ptr_eq(&w.source, source));
        }
        state.held += step;
        state.reserved += step;
        Some(Reserved {
            funnel: self.clone(),
            step,
        })
    }

    /// A reader waits no more. When it was woken already, the room is for the next one.
    fn leave(&self, source: &Arc<Source>) {
        let mut state = self.state();
        state.waiting.retain(|w| !Arc::ptr_eq(&w.source, source));
        self.wake_waiting(state);
    }

    /// For what needs no room: an event, or the end of what a producer sent.
    pub fn reserve_event(self: &Arc<Self>) -> Reserved {
        Reserved {
            funnel: self.clone(),
            step: 0,
        }
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

    fn wake_waiting(&self, mut state: MutexGuard<'_, State>) {
        if state.waiting.is_empty() {
            return;
        }
        let room = self.budget.bytes.saturating_sub(state.held) / self.step();
        let count = state
            .waiting
            .len()
            .min(usize::try_from(room).unwrap_or(usize::MAX));
        let mut woken: Vec<_> = state.waiting.drain(..count).collect();
        // Nothing but messages under way: one of these must go on, whoever else waits before it.
        if state.held == state.partial
            && let Some(at) = state.waiting.iter().position(|w| w.inside)
        {
            woken.extend(state.waiting.remove(at));
        }
        drop(state);
        woken.into_iter().for_each(Waiting::wake);
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

/// Room for one read.
pub struct Reserved {
    funnel: Arc<Funnel>,
    step: u64,
}

impl Reserved {
    /// Hands over what the read gave of one producer: `decode` finds the messages, and says how many bytes of
    /// a message under way it holds now.
    pub fn append<R>(
        self,
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
        drop(state);
        // Gives the reservation back, and so wakes whoever fits into what was not needed.
        drop(self);
        if filled {
            (funnel.on_filled)();
        }
        result
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut state = self.funnel.state();
        state.held -= self.step;
        state.reserved -= self.step;
        self.funnel.wake_waiting(state);
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
}

impl Payload<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Payload::Slice(bytes) => bytes,
            Payload::Owned(bytes) => bytes,
        }
    }

    fn len(&self) -> usize {
        self.bytes().len()
    }
}

#[cfg(test)]
mod tests;
