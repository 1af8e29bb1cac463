//! Readers that ask for room in the budget, and wait for it in a queue.

use super::{Funnel, Overflow, Reserved, State};
use crate::message::source::Source;
use crate::runtime::io_thread::IoThread;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Waker};

/// A reader that found no room: once in the queue at most, and only as long as it waits.
pub(super) struct Waiting {
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
    /// It has stood in the queue of those that wait.
    in_line: bool,
}

impl Future for Room<'_> {
    type Output = Reserved;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reserved> {
        let funnel = self.funnel;
        let reserved = funnel.reserve(&mut self, cx.waker());
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

impl Funnel {
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
            in_line: false,
        }
    }

    /// Reserves the room; without any `waker` is woken when there may be some.
    fn reserve(self: &Arc<Self>, room: &mut Room<'_>, waker: &Waker) -> Option<Reserved> {
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
            // Who comes while others wait stands behind them, also when some of these are just being woken.
            let behind = !room.in_line && !state.waiting.is_empty();
            if (full || behind) && !stuck {
                if !state.waiting.iter().any(|w| Arc::ptr_eq(&w.source, source)) {
                    let waiting = Waiting {
                        source: source.clone(),
                        inside,
                        waker: waker.clone(),
                        thread: thread.clone(),
                    };
                    // Who was woken in vain keeps its place.
                    if room.in_line {
                        state.waiting.push_front(waiting);
                    } else {
                        state.waiting.push_back(waiting);
                    }
                }
                room.in_line = true;
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

    pub(super) fn wake_waiting(&self, mut state: MutexGuard<'_, State>) {
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
