//! How callbacks reach the user's code: one mechanism for the pool, inline and queues.
//!
//! Whatever has callbacks (an exchange, a call, a server, the log) is a [`Node`] with a [`Strand`].
//! An event is posted to the strand; the strand hands its node to the [`Executor`] unless it is there
//! already; whoever dispatches the executor runs one event of the strand. So one handle never has two
//! callbacks at once, its order is kept, and it waits in a queue at most once. A call with a parent
//! posts to its parent's strand: their callbacks never overlap.

use super::context;
use super::io_thread::{IoThread, Post};
use super::queue::Queue;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where a user wants callbacks to run.
#[derive(Debug, Clone, Default)]
pub enum Delivery {
    /// On the runtime's callback threads.
    #[default]
    Pool,
    /// On the I/O thread; never may they block.
    Inline,
    /// On whoever dispatches this queue.
    Queue(Arc<Queue>),
}

/// What there is to deliver; each node knows its own kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Run the main callback: the request handler, the completion, the log function.
    Call,
    /// Run the second one: the client is gone, the server is closed.
    Gone,
    /// Run the one that waits for a piece of a body.
    Read,
    /// Run the one that waits for room to write.
    Writable,
    /// Run those that hear how it goes on.
    News,
    /// Run the one that gets the connection for another protocol.
    Upgraded,
    /// Nothing runs any more: drop the callbacks here.
    Discard,
}

/// Something with callbacks.
pub trait Node: Send + Sync + 'static {
    fn strand(&self) -> &Strand;
    /// Runs the callback of `event`, on the delivery's thread, with no lock held, through
    /// [`context::callback`].
    fn deliver(self: Arc<Self>, event: Event);
    /// The queue of this node was freed: nobody will run `event`. Ends it as if it had been withdrawn.
    fn abandon(self: Arc<Self>, event: Event);
}

/// Who runs the nodes of a strand.
#[derive(Clone)]
pub enum Executor {
    Queue(Arc<Queue>),
    Inline(Arc<IoThread>),
}

impl Executor {
    fn submit(&self, node: Arc<dyn Node>) {
        match self {
            Executor::Queue(queue) => context::submit(queue, node),
            Executor::Inline(thread) => thread.post(Post::Node(node)),
        }
    }

    /// Something waits behind what a taker holds.
    fn stir(&self) {
        if let Executor::Queue(queue) = self {
            queue.stir();
        }
    }

    /// An end has begun: what takers have is to be given back soon.
    pub fn stir_held(&self) {
        if let Executor::Queue(queue) = self {
            queue.stir_held();
        }
    }

    /// The queue that `wait` must dispatch while it waits: the user's own, not the pool's.
    pub fn user_queue(&self) -> Option<&Arc<Queue>> {
        match self {
            Executor::Queue(queue) if queue.is_users() => Some(queue),
            _ => None,
        }
    }
}

/// The order of one handle's callbacks.
pub struct Strand {
    executor: Executor,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The owner is in a queue, being run, or held by a taker.
    scheduled: bool,
    /// Held, and its taker was not yet told that it waits again.
    held: bool,
    /// The first event has a place of its own: the usual strand never allocates.
    first: Option<(Arc<dyn Node>, Event)>,
    rest: VecDeque<(Arc<dyn Node>, Event)>,
}

impl State {
    fn push(&mut self, item: (Arc<dyn Node>, Event)) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.rest.push_back(item);
        }
    }

    fn pop(&mut self) -> Option<(Arc<dyn Node>, Event)> {
        let next = self.rest.pop_front();
        std::mem::replace(&mut self.first, next)
    }
}

impl Strand {
    pub fn new(executor: Executor) -> Strand {
        Strand {
            executor,
            state: Mutex::default(),
        }
    }

    pub fn executor(&self) -> &Executor {
        &self.executor
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Schedules `event` of `node` without handing it over.
    #[cfg(test)]
    pub fn put(&self, node: Arc<dyn Node>, event: Event) {
        let mut state = self.state();
        state.push((node, event));
        state.scheduled = true;
    }
}

/// Posts `event` of `node` to the strand of `owner` (the node itself, or its parent).
pub fn post(owner: &Arc<dyn Node>, node: Arc<dyn Node>, event: Event) {
    let strand = owner.strand();
    let mut state = strand.state();
    state.push((node, event));
    if !std::mem::replace(&mut state.scheduled, true) {
        drop(state);
        strand.executor.submit(owner.clone());
    } else if std::mem::take(&mut state.held) {
        drop(state);
        strand.executor.stir();
    }
}

/// Posts `event` of `node` to its own strand.
pub fn post_own(node: Arc<dyn Node>, event: Event) {
    post(&node.clone(), node, event);
}

/// Posts `event` of `node`, which is being delivered, so that it is its next one.
pub fn post_next(node: Arc<dyn Node>, event: Event) {
    let strand = node.clone();
    let mut state = strand.strand().state();
    if let Some(first) = state.first.replace((node, event)) {
        state.rest.push_front(first);
    }
}

/// Like [`post`], but runs the event on the spot when this is the strand's own I/O thread and nothing of
/// the strand is under way. Only where no user code is on the stack and no lock is held.
pub fn post_or_run(owner: &Arc<dyn Node>, node: Arc<dyn Node>, event: Event) {
    let strand = owner.strand();
    let Executor::Inline(thread) = &strand.executor else {
        return post(owner, node, event);
    };
    if !thread.is_current() {
        return post(owner, node, event);
    }
    let mut state = strand.state();
    if std::mem::replace(&mut state.scheduled, true) {
        return state.push((node, event));
    }
    drop(state);
    context::contain(|| node.deliver(event));
    reschedule(owner);
}

/// Runs one event of the strand of `owner`; called by whoever dispatches.
pub fn run(owner: &Arc<dyn Node>) {
    let next = owner.strand().state().pop();
    if let Some((node, event)) = next {
        context::contain(|| node.deliver(event));
    }
    reschedule(owner);
}

/// Like [`run`], by a taker: the strand stays scheduled until [`give_back`].
pub fn take(owner: &Arc<dyn Node>) {
    let strand = owner.strand();
    let next = strand.state().pop();
    if let Some((node, event)) = next {
        context::contain(|| node.deliver(event));
    }
    let mut state = strand.state();
    state.held = state.first.is_none();
    if !state.held {
        drop(state);
        strand.executor.stir();
    }
}

/// The taker is done with what it took of the strand of `owner`.
pub fn give_back(owner: &Arc<dyn Node>) {
    owner.strand().state().held = false;
    reschedule(owner);
}

/// Ends every event of the strand of `owner`: its queue was freed.
pub fn abandon(owner: &Arc<dyn Node>) {
    loop {
        let mut state = owner.strand().state();
        let Some((node, event)) = state.pop() else {
            state.scheduled = false;
            return;
        };
        drop(state);
        node.abandon(event);
    }
}

fn reschedule(owner: &Arc<dyn Node>) {
    let strand = owner.strand();
    let mut state = strand.state();
    if state.first.is_some() {
        drop(state);
        strand.executor.submit(owner.clone());
    } else {
        state.scheduled = false;
    }
}
