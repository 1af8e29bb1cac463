//! Taking: what [`Queue::take`](super::Queue::take) does in the place of running callbacks.
//!
//! A thread that takes delivers nodes as one that dispatches does, but what would call the user's
//! function notes an event instead. Until the taker gives back what it has, by its next take, each node
//! that was delivered stays scheduled, so that no other event of it comes out; whoever waits for its end
//! goes on waiting; and what was dropped after an event that uses it becomes an event of its own.

use super::context;
use super::delivery::{self, Event, Executor, Node, Strand};
use super::queue::Queue;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

/// Something of the user's that is still to be dropped.
type Dropped = Box<dyn Any + Send + Sync>;
type Ending = Box<dyn FnOnce() + Send + Sync>;

thread_local! {
    /// In [`Queue::take`].
    static BUSY: Cell<bool> = const { Cell::new(false) };
    /// Delivering for it: what would run is noted.
    static ON: Cell<bool> = const { Cell::new(false) };
    /// How many more events the taker has room for.
    static ROOM: Cell<usize> = const { Cell::new(0) };
    static STEP: RefCell<Step> = const { RefCell::new(Step::new()) };
}

/// A thread that takes, until this ends.
pub struct Taker(());

impl Taker {
    /// `None` when this thread is taking already, further up on its stack.
    pub fn begin() -> Option<Taker> {
        (!BUSY.replace(true)).then_some(Taker(()))
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        BUSY.set(false);
    }
}

/// What delivering one node has left to be done.
struct Step {
    noted: bool,
    /// An end that somebody may wait for.
    waited: bool,
    dropped: Vec<Dropped>,
    endings: Vec<Ending>,
    /// What events point to.
    kept: Vec<Box<dyn Any + Send>>,
}

impl Step {
    const fn new() -> Step {
        Step {
            noted: false,
            waited: false,
            dropped: Vec::new(),
            endings: Vec::new(),
            kept: Vec::new(),
        }
    }
}

/// Whether what would run a callback on this thread is to note an event.
#[inline]
pub fn is_on() -> bool {
    ON.get()
}

/// How many items may be delivered.
pub fn room() -> usize {
    if is_on() { ROOM.get() } else { usize::MAX }
}

/// An event was noted that uses what its registration has.
pub fn note() {
    ROOM.set(ROOM.get().saturating_sub(1));
    STEP.with_borrow_mut(|step| step.noted = true);
}

/// Whether the end of a registration can be an event right here; counts it if so. Not behind an event
/// that uses it.
pub fn note_drop() -> bool {
    let now = ROOM.get() > 0 && !STEP.with_borrow(|step| step.noted);
    if now {
        ROOM.set(ROOM.get() - 1);
    }
    now
}

/// Drops it later: the taker may still use it.
pub fn postpone(dropped: Dropped) {
    STEP.with_borrow_mut(|step| step.dropped.push(dropped));
}

/// Keeps it until the taker gives back what it has.
pub fn keep(kept: Box<dyn Any + Send>) {
    STEP.with_borrow_mut(|step| step.kept.push(kept));
}

/// Runs `f`: the callbacks of somebody have run, who may be waited for. When this thread takes they are
/// yet to be dealt with, and the queue is readable until it takes again.
pub fn settle(f: impl FnOnce() + Send + Sync + 'static) {
    if is_on() {
        settle_later(true, f);
    } else {
        f();
    }
}

/// Like [`settle`], where this thread takes. Without `waited` nobody needs to hear of it soon.
pub fn settle_later(waited: bool, f: impl FnOnce() + Send + Sync + 'static) {
    STEP.with_borrow_mut(|step| {
        step.endings.push(Box::new(f));
        step.waited |= waited;
    });
}

/// Runs a callback that is not for takers, such as one that must have run before others go on.
pub fn aside<R>(f: impl FnOnce() -> R) -> R {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            ON.set(self.0);
        }
    }
    let _back = Back(ON.replace(false));
    f()
}

/// What a taker has and nobody else may touch.
pub struct Held {
    thread: ThreadId,
    /// Where its events are.
    array: usize,
    nodes: Vec<Arc<dyn Node>>,
    /// Ends of registrations, to be taken after this.
    later: Vec<Arc<dyn Node>>,
    endings: Vec<Ending>,
    kept: Vec<Box<dyn Any + Send>>,
}

impl Held {
    pub fn new(array: usize) -> Held {
        Held {
            thread: thread::current().id(),
            array,
            nodes: Vec::new(),
            later: Vec::new(),
            endings: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// Whether this thread has it, or whoever takes into that array.
    pub fn is_of(&self, array: usize) -> bool {
        self.array == array || self.thread == thread::current().id()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Delivers one event of a node. `room` is what is left of the taker's array.
    pub fn deliver(&mut self, queue: &Arc<Queue>, node: Arc<dyn Node>, room: usize) -> usize {
        ROOM.set(room);
        ON.set(true);
        delivery::take(&node);
        ON.set(false);
        self.nodes.push(node);
        STEP.with_borrow_mut(|step| {
            step.noted = false;
            if std::mem::take(&mut step.waited) || !step.dropped.is_empty() {
                queue.stir();
            }
            self.kept.append(&mut step.kept);
            if step.dropped.is_empty() {
                return self.endings.append(&mut step.endings);
            }
            let endings = Arc::new(Endings(std::mem::take(&mut step.endings)));
            let farewell = |dropped| -> Arc<dyn Node> {
                Arc::new(Farewell {
                    strand: Strand::new(Executor::Queue(queue.clone())),
                    rest: Mutex::new(Some((dropped, endings.clone()))),
                })
            };
            self.later.extend(step.dropped.drain(..).map(farewell));
        });
        room - ROOM.get()
    }

    /// The taker is done with it.
    pub fn give_back(self) {
        drop(self.kept);
        for node in self.later {
            delivery::post_own(node, Event::Discard);
        }
        for node in &self.nodes {
            delivery::give_back(node);
        }
        Endings(self.endings).run();
    }
}

/// What is to be done at the end of registrations.
struct Endings(Vec<Ending>);

impl Endings {
    fn run(mut self) {
        self.run_all();
    }

    fn run_all(&mut self) {
        for ending in self.0.drain(..) {
            context::contain(ending);
        }
    }
}

impl Drop for Endings {
    fn drop(&mut self) {
        self.run_all();
    }
}

/// The end of a registration on its way to a taker.
struct Farewell {
    strand: Strand,
    rest: Mutex<Option<(Dropped, Arc<Endings>)>>,
}

impl Farewell {
    fn end(&self) {
        let rest = self
            .rest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((dropped, endings)) = rest {
            drop(dropped);
            settle(move || drop(endings));
        }
    }
}

impl Node for Farewell {
    fn strand(&self) -> &Strand {
        &self.strand
    }

    fn deliver(self: Arc<Self>, _: Event) {
        self.end();
    }

    fn abandon(self: Arc<Self>, _: Event) {
        self.end();
    }
}
