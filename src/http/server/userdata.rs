//! What a user keeps with an exchange or with its connection.

use super::Server;
use super::exchange::Exchange;
use crate::error::{Error, Result};
use crate::runtime::delivery::{self, Event, Executor, Node, Strand};
use crate::runtime::taking;
use std::any::Any;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Anything; its drop is the user's.
pub type Value = Box<dyn Any + Send + Sync>;

/// A value that is dropped where the server's callbacks run, whoever lets go of it.
pub struct Kept {
    server: Arc<Server>,
    executor: Executor,
    value: Option<Value>,
}

impl Kept {
    pub fn new(exchange: &Exchange, value: Value) -> Kept {
        Kept {
            server: exchange.server.clone(),
            executor: exchange.strand.executor().clone(),
            value: Some(value),
        }
    }

    /// Drops the value here and now: this is where callbacks run.
    pub fn end_here(mut self) {
        drop(self.value.take());
    }

    fn read<R>(&self, f: impl FnOnce(&dyn Any) -> R) -> Option<R> {
        self.value.as_deref().map(|value| f(value))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else {
            return;
        };
        // The server's end waits for it, as for any event.
        self.server.hold();
        let farewell = Arc::new(Farewell {
            server: self.server.clone(),
            strand: Strand::new(self.executor.clone()),
            value: Mutex::new(Some(value)),
        });
        delivery::post_own(farewell, Event::Discard);
    }
}

/// A value on its way to where it is dropped.
struct Farewell {
    server: Arc<Server>,
    strand: Strand,
    value: Mutex<Option<Value>>,
}

impl Farewell {
    fn end(&self) {
        let value = self
            .value
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(value);
        let server = self.server.clone();
        taking::settle(move || server.let_go());
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

/// What is kept with a connection: shared by the connection, which lets go of it at its end, and by each
/// exchange, which does so when its user is done with it. The last one ends it.
#[derive(Default)]
pub struct Memory(Mutex<Option<Kept>>);

impl Memory {
    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one exchange has of both.
#[derive(Default)]
pub struct Keeps {
    own: Option<Kept>,
    memory: Option<Arc<Memory>>,
    /// Not yet known to the connection.
    fresh: Option<Arc<Memory>>,
}

impl Keeps {
    pub fn is_empty(&self) -> bool {
        self.own.is_none() && self.memory.is_none()
    }
}

impl Exchange {
    /// What the connection remembers, for an exchange that begins.
    pub(super) fn remember(self: &mut Arc<Self>, memory: &Arc<Memory>) {
        let this = Arc::get_mut(self).expect("nobody else has it yet");
        let state = this.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.keeps.memory = Some(memory.clone());
    }

    /// For the connection, when the answer is there: a memory that it does not know yet.
    pub(super) fn take_fresh(&self) -> Option<Arc<Memory>> {
        // Whoever keeps something is not quiet.
        if self.quiet.load(Ordering::Acquire) {
            return None;
        }
        self.state().keeps.fresh.take()
    }

    /// The last callback has run, on this thread: ends what was kept.
    pub(super) fn end_keeps(&self) {
        if self.quiet.load(Ordering::Acquire) {
            return;
        }
        let (own, memory) = {
            let keeps = &mut self.state().keeps;
            (keeps.own.take(), keeps.memory.take())
        };
        let last = memory.and_then(Arc::into_inner);
        let kept = last.and_then(|memory| memory.kept().take());
        own.into_iter().chain(kept).for_each(Kept::end_here);
    }

    /// Keeps a value until the exchange ends, instead of the one before.
    pub fn set_userdata(&self, value: Option<Value>) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        if state.released {
            return Err(Error::state("the exchange was freed"));
        }
        let kept = value.map(|value| Kept::new(self, value));
        let before = std::mem::replace(&mut state.keeps.own, kept);
        // Under the lock: a release has something to do again.
        self.quiet.store(false, Ordering::Release);
        drop(state);
        drop(before);
        Ok(())
    }

    pub fn userdata<R>(&self, f: impl FnOnce(&dyn Any) -> R) -> Option<R> {
        self.state()
            .keeps
            .own
            .as_ref()
            .and_then(|kept| kept.read(f))
    }

    /// Keeps a value until the connection and its exchanges have ended, instead of the one before.
    pub fn set_connection_userdata(&self, value: Option<Value>) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        // Afterwards the connection may have gone on, or ended.
        state.check_open()?;
        let kept = value.map(|value| Kept::new(self, value));
        let keeps = &mut state.keeps;
        let memory = keeps.memory.get_or_insert_with(|| {
            let memory = Arc::<Memory>::default();
            keeps.fresh = Some(memory.clone());
            memory
        });
        let before = std::mem::replace(&mut *memory.kept(), kept);
        drop(state);
        drop(before);
        Ok(())
    }

    pub fn connection_userdata<R>(&self, f: impl FnOnce(&dyn Any) -> R) -> Option<R> {
        let state = self.state();
        let kept = state.keeps.memory.as_ref()?.kept();
        kept.as_ref().and_then(|kept| kept.read(f))
    }
}
