//! A callback as C gives it, `(fn, userdata, drop)`, as one value: whoever owns it may call it, and
//! `drop` runs when it ends, once, on whatever path that is.

use super::queue_take::{self, hysock_event};
use super::text::hysock_drop_fn;
use crate::error::{Error, Result};
use crate::runtime::delivery::Executor;
use crate::runtime::{Queue, taking};
use std::ffi::c_void;

/// A `userdata` and the function that ends it.
pub struct Userdata {
    pointer: *mut c_void,
    drop: hysock_drop_fn,
}

// SAFETY: the library never looks behind the pointer. It calls the user's functions with it on its
// own threads, which the header says; each registration has one call at a time except for handlers
// in pool delivery, of which it says that they run in parallel.
unsafe impl Send for Userdata {}
// SAFETY: as above.
unsafe impl Sync for Userdata {}

impl Userdata {
    pub fn new(pointer: *mut c_void, drop: hysock_drop_fn) -> Userdata {
        Userdata { pointer, drop }
    }

    pub fn pointer(&self) -> *mut c_void {
        self.pointer
    }

    /// Whether anything happens at its end.
    pub fn has_drop(&self) -> bool {
        self.drop.is_some()
    }
}

impl Drop for Userdata {
    fn drop(&mut self) {
        let Some(drop) = self.drop.take() else { return };
        if taking::is_on() {
            queue_take::give_drop(Userdata::new(self.pointer, Some(drop)));
        } else {
            // SAFETY: C registered this function for this pointer, and this is its only call: the
            // value cannot be copied and its fields are private.
            crate::runtime::context::callback(|| unsafe { drop(self.pointer) });
        }
    }
}

/// A C function with its `userdata`. `F` is one of the `hysock_*_fn` types, without its `Option`.
pub struct Closure<F> {
    /// NULL only where the queue's events are taken.
    function: Option<F>,
    userdata: Userdata,
}

impl<F> Closure<F> {
    /// Refuses a NULL function, by name; then `drop` has run when this returns.
    pub fn new(name: &str, function: Option<F>, userdata: Userdata) -> Result<Closure<F>> {
        match function {
            Some(_) => Ok(Closure { function, userdata }),
            None => Err(Error::argument(format!("{name} is NULL"))),
        }
    }

    /// Like [`Closure::new`], but a function that would run where `queue` is dispatched may be NULL: its
    /// events can only be taken.
    pub fn or_taken(
        name: &str,
        function: Option<F>,
        userdata: Userdata,
        queue: Option<&Queue>,
    ) -> Result<Closure<F>> {
        match queue {
            Some(queue) if function.is_none() => {
                queue.set_taken();
                Ok(Closure { function, userdata })
            }
            _ => Closure::new(name, function, userdata),
        }
    }

    /// Calls the function; or, when this thread takes, gives it what `event` says.
    #[inline]
    pub fn run(&self, event: impl FnOnce() -> hysock_event, call: impl FnOnce(&F, *mut c_void)) {
        if taking::is_on() {
            queue_take::give(hysock_event {
                userdata: self.userdata.pointer(),
                ..event()
            });
        } else {
            self.call(call);
        }
    }

    /// Calls the function, whoever takes.
    #[inline]
    pub fn call(&self, call: impl FnOnce(&F, *mut c_void)) {
        if let Some(function) = &self.function {
            call(function, self.userdata.pointer());
        }
    }
}

/// The queue in which an executor's events wait for the user's own thread.
pub fn queue_of(executor: &Executor) -> Option<&Queue> {
    executor.user_queue().map(|queue| &**queue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    type Function = unsafe extern "C-unwind" fn(*mut c_void);

    unsafe extern "C-unwind" fn count(userdata: *mut c_void) {
        // SAFETY: the tests give a living `Cell<u32>`.
        let counter = unsafe { &*userdata.cast::<Cell<u32>>() };
        counter.set(counter.get() + 1);
    }

    fn userdata(drops: &Cell<u32>) -> Userdata {
        Userdata::new(std::ptr::from_ref(drops).cast_mut().cast(), Some(count))
    }

    #[test]
    fn drop_runs_once_at_the_end() {
        let drops = Cell::new(0);
        let closure = Closure::new("fn", Some(count as Function), userdata(&drops)).unwrap();
        // SAFETY: the function and its userdata were registered together.
        closure.call(|function, userdata| unsafe { function(userdata) });
        assert_eq!(drops.replace(0), 1, "called");
        drop(closure);
        assert_eq!(drops.get(), 1, "dropped");
    }

    #[test]
    fn drop_has_run_when_a_registration_fails() {
        let drops = Cell::new(0);
        let error = Closure::<Function>::new("fn", None, userdata(&drops))
            .err()
            .unwrap();
        assert_eq!(error.message, "fn is NULL");
        assert_eq!(drops.get(), 1);
    }

    #[test]
    fn a_panic_drops_too() {
        let drops = Cell::new(0);
        let owned = userdata(&drops);
        let outcome = crate::panic::contain(move || {
            let _owned = owned;
            panic!("planted")
        });
        assert!(outcome.is_err());
        assert_eq!(drops.get(), 1);
    }

    #[test]
    fn drop_may_be_null() {
        drop(Userdata::new(std::ptr::null_mut(), None));
    }
}
