//! Configs: values behind a handle, which remember the first setter that was refused.

use super::boundary;
use super::handle;
use super::nouns::{Handle, Noun};
use super::status::hysock_status;
use crate::error::{Error, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A config of the core, behind a handle.
pub struct Config<T>(Mutex<State<T>>);

struct State<T> {
    value: T,
    refused: Option<Error>,
}

impl<T: Clone + Default> Config<T> {
    fn new() -> Config<T> {
        Config(Mutex::new(State {
            value: T::default(),
            refused: None,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `change` under a lock: it must not run the user's code.
    pub fn set<R>(&self, change: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        let mut state = self.state();
        let outcome = change(&mut state.value);
        if let Err(error) = &outcome {
            state.refused.get_or_insert_with(|| error.clone());
        }
        outcome
    }

    /// The values; the first refusal when there was one.
    fn read(&self) -> Result<T> {
        let state = self.state();
        match &state.refused {
            Some(error) => Err(error.clone()),
            None => Ok(state.value.clone()),
        }
    }
}

/// The C types of configs, and the core's config behind each.
pub trait ConfigNoun: Noun<Object = Config<Self::Value>> {
    type Value: Clone + Default + 'static;
}

/// The body of `hysock_*_config_new`: never NULL.
pub fn new<C: ConfigNoun>() -> *mut C
where
    C::Object: Handle,
{
    boundary::get(handle::full(), || handle::give(Arc::new(Config::new())))
}

/// The body of a setter: what it refuses, the config remembers.
pub fn set<C: ConfigNoun>(
    config: *const C,
    change: impl FnOnce(&mut C::Value) -> Result<()>,
) -> hysock_status {
    boundary::status_only(|| handle::get("config", config)?.set(change))
}

/// What a function that takes a config gets from it; NULL is all defaults.
pub fn read<C: ConfigNoun>(config: *const C) -> Result<C::Value> {
    if config.is_null() {
        return Ok(C::Value::default());
    }
    handle::get("config", config)?.read()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refusal_is_remembered() {
        let config = Config::<u32>::new();
        let set = |new| {
            let change = |value: &mut u32| {
                *value = new;
                Ok(())
            };
            config.set(change).unwrap();
        };
        set(7);
        assert_eq!(config.read().unwrap(), 7);
        let refuse = |why| {
            config
                .set(|_| Err::<(), _>(Error::argument(why)))
                .unwrap_err()
                .message
        };
        assert_eq!(refuse("first"), "first");
        assert_eq!(refuse("second"), "second");
        set(8);
        assert_eq!(config.read().unwrap_err().message, "first");
    }
}
