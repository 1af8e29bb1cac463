//! What the library knows about the thread that it runs on.

use super::delivery::Node;
use super::io_thread::IoThread;
use super::log::{Level, Log};
use super::queue::Queue;
use crate::error::{Error, Operation, Result, Status};
use std::cell::{Cell, RefCell};
use std::sync::{Arc, Weak};
use std::task::Waker;

thread_local! {
    static CALLBACKS: Cell<u32> = const { Cell::new(0) };
    static IO: RefCell<Option<Local>> = const { RefCell::new(None) };
    static LOG: RefCell<Weak<Log>> = const { RefCell::new(Weak::new()) };
}

/// The state of an I/O thread that only the thread itself uses.
struct Local {
    thread: Arc<IoThread>,
    /// Nodes for other threads, handed over once per turn of the reactor: a hand-over wakes a thread.
    outbox: Vec<(Arc<Queue>, Arc<dyn Node>)>,
    flusher: Option<Waker>,
}

/// Makes this thread an I/O thread for its life.
pub fn enter(thread: Arc<IoThread>) {
    IO.set(Some(Local {
        thread,
        outbox: Vec::new(),
        flusher: None,
    }));
}

pub fn leave() {
    flush();
    IO.set(None);
}

/// The I/O thread that this is, if it is one.
pub fn io_thread() -> Option<Arc<IoThread>> {
    IO.with_borrow(|io| io.as_ref().map(|local| local.thread.clone()))
}

pub fn is_io_thread() -> bool {
    IO.with_borrow(Option::is_some)
}

pub fn is_this_io_thread(thread: &IoThread) -> bool {
    IO.with_borrow(|io| {
        io.as_ref()
            .is_some_and(|local| std::ptr::eq(&*local.thread, thread))
    })
}

/// Runs a user's callback: contains panics and marks the thread as inside a callback.
pub fn callback(f: impl FnOnce()) {
    CALLBACKS.with(|callbacks| {
        callbacks.set(callbacks.get() + 1);
        contain(f);
        callbacks.set(callbacks.get() - 1);
    });
}

/// Runs `f`. A panic in it, which can only be a bug of the library's own, ends here and is logged.
pub fn contain(f: impl FnOnce()) {
    if let Err(message) = crate::panic::contain(f) {
        LOG.with_borrow(|log| {
            if let Some(log) = log.upgrade() {
                log.write(Level::Error, || Error::from(message).to_string());
            }
        });
    }
}

/// Whose log this library thread writes to.
pub fn set_log(log: &Arc<Log>) {
    LOG.set(Arc::downgrade(log));
}

/// Whether a callback is on this thread's stack.
pub fn in_callback() -> bool {
    CALLBACKS.get() > 0
}

/// `WOULD_DEADLOCK` where waiting for callbacks to end could wait for itself.
pub fn check_may_wait(what: &str) -> Result<()> {
    if !in_callback() && !is_io_thread() {
        return Ok(());
    }
    Err(would_deadlock(format!(
        "{what} was called inside a callback, which it would wait for: call it from another thread"
    )))
}

/// `WOULD_DEADLOCK` on threads that must never block.
pub fn check_may_block(what: &str) -> Result<()> {
    if !is_io_thread() {
        return Ok(());
    }
    Err(would_deadlock(format!(
        "{what} would block an I/O thread (inline delivery): use pool or queue delivery, or the asynchronous form"
    )))
}

fn would_deadlock(message: String) -> Error {
    Error::new(Status::WouldDeadlock, Operation::Wait, message)
}

/// Hands `node` to `queue`: at once, or from an I/O thread at the end of the turn.
pub fn submit(queue: &Arc<Queue>, node: Arc<dyn Node>) {
    let node = IO.with_borrow_mut(|io| match io {
        None => Some(node),
        Some(local) => {
            local.outbox.push((queue.clone(), node));
            if let Some(flusher) = local.flusher.take() {
                flusher.wake();
            }
            None
        }
    });
    if let Some(node) = node {
        queue.push(std::iter::once(node));
    }
}

/// The task that hands the outbox over. It is woken by the first node of a turn and so runs after
/// every task that was ready then.
pub async fn flusher() {
    std::future::poll_fn(|cx| {
        // Before the flush: what it ends may submit again, and wakes this task for it.
        IO.with_borrow_mut(|io| {
            if let Some(local) = io {
                local.flusher = Some(cx.waker().clone());
            }
        });
        flush();
        std::task::Poll::<()>::Pending
    })
    .await
}

fn flush() {
    let mut outbox = IO.with_borrow_mut(|io| match io {
        Some(local) => std::mem::take(&mut local.outbox),
        None => Vec::new(),
    });
    let mut rest = outbox.drain(..).peekable();
    while let Some((queue, node)) = rest.next() {
        let same = std::iter::from_fn(|| {
            rest.next_if(|(next, _)| Arc::ptr_eq(next, &queue))
                .map(|(_, node)| node)
        });
        queue.push(std::iter::once(node).chain(same));
    }
    drop(rest);
    // Give the buffer back, so that a turn costs no allocation.
    IO.with_borrow_mut(|io| {
        if let Some(local) = io
            && local.outbox.is_empty()
        {
            local.outbox = outbox;
        }
    });
}
