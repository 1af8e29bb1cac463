//! A value that one thread uses and any thread may hold and drop.
//!
//! What may be driven by any thread and what belongs to one reactor have one type in a client's HTTP, which can
//! be sent between threads. A reactor's never is: this keeps that promise at run time, for the price of one
//! comparison.

use std::ops::Deref;
use std::sync::Arc;

thread_local! {
    static HERE: u8 = const { 0 };
}

/// Tells living threads apart.
fn here() -> usize {
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

/// A counted reference to the value.
pub struct Pinned<T>(Arc<Home<T>>);

struct Home<T> {
    thread: usize,
    value: T,
}

// SAFETY: the only shared access to `value` is `deref`, which refuses every thread but one, so there is
// never concurrent access. Dropping needs exclusive access and may happen anywhere, since `T` is `Send`.
unsafe impl<T: Send> Sync for Home<T> {}

impl<T: Send> Pinned<T> {
    /// For this thread.
    pub fn new(value: T) -> Pinned<T> {
        Pinned(Arc::new(Home {
            thread: here(),
            value,
        }))
    }
}

impl<T> Clone for Pinned<T> {
    fn clone(&self) -> Pinned<T> {
        Pinned(self.0.clone())
    }
}

impl<T> Deref for Pinned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        assert!(
            self.0.thread == here(),
            "used on a thread that it does not belong to"
        );
        &self.0.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn another_thread_may_hold_it_and_not_use_it() {
        let value = Pinned::new(Cell::new(1));
        value.set(2);
        let there = value.clone();
        let used = std::thread::spawn(move || there.get()).join();
        assert!(used.is_err());
        assert_eq!(value.get(), 2);
    }
}
