//! One producer, as the receiver knows it.

use crate::runtime::io_thread::IoThread;
use crate::socket::peer::Record;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// One connection, or one sender of datagrams. Lives as long as a message of it is held.
pub struct Source {
    /// Never used again for another one.
    pub id: u64,
    pub peer: Record,
    /// Bytes of the budget that its messages hold.
    pub held: AtomicU64,
    /// Of these, of the message under way.
    pub partial: AtomicU64,
    /// The number of its next message. Written by its reader only.
    next: AtomicU64,
    /// Its reader, when its own share of the budget is used up.
    waiting: Mutex<Option<(Arc<IoThread>, Waker)>>,
}

impl Source {
    pub fn new(id: u64, peer: Record) -> Arc<Source> {
        Arc::new(Source {
            id,
            peer,
            held: AtomicU64::new(0),
            partial: AtomicU64::new(0),
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
        })
    }

    /// Counts a message that is not kept: a gap in the numbers shows it.
    pub fn sequence(&self) -> u64 {
        let number = self.next.load(Ordering::Relaxed);
        self.next.store(number + 1, Ordering::Relaxed);
        number
    }

    /// Nothing but a message under way is held.
    pub fn is_all_partial(&self) -> bool {
        self.held.load(Ordering::Acquire) == self.partial.load(Ordering::Relaxed)
    }

    pub fn wait(&self, thread: &Arc<IoThread>, waker: &Waker) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = Some((thread.clone(), waker.clone()));
    }

    /// Messages of it were given back.
    pub fn release(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::AcqRel);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = waiting.take();
        if let Some((thread, waker)) = waiting {
            thread.wake(waker);
        }
    }
}
