//! Timers: a function that runs once, later: an answer after a while, the next event of a stream,
//! another try. Nothing of it blocks a thread meanwhile.
//!
//! Needed: hysock_runtime_after(). hysock_timer_free() calls one off; a timer that nobody wants to call
//! off needs no handle.

use super::boundary::{self, Out};
use super::closure::{Closure, Userdata};
use super::error::{ErrorOut, hysock_error};
use super::handle::{self, Sent};
use super::queue::hysock_queue;
use super::queue_take::{HYSOCK_EVENT_TIMER, hysock_event};
use super::runtime::hysock_runtime;
use super::status::hysock_status;
use super::text::hysock_drop_fn;
use crate::error::Error;
use crate::limits;
use crate::runtime::Timer;
use std::ffi::c_void;
use std::ptr::null_mut;

/// A function that runs once, later.
pub struct hysock_timer {
    _opaque: [u8; 0],
}

/// Runs when the time has come. `timer` is its handle, NULL when none was asked for.
pub type hysock_timer_fn =
    Option<unsafe extern "C-unwind" fn(timer: *mut hysock_timer, userdata: *mut c_void)>;

/// Run `fn` once in `ms` milliseconds: not earlier, and about a millisecond later when nothing else
/// is in the way. Those that are due at the same time run in the order in which they were made.
///
/// `queue` NULL means on a callback thread, where two timers may run at once; else on whoever
/// dispatches that queue. `timer` NULL means that nobody will call it off: then there is no handle to
/// free. A timer keeps no runtime alive: once hysock_runtime_shutdown() was called and the servers and
/// clients have ended, what still waits does not run and is dropped.
///
/// Thread: any, also inside callbacks.
/// Owns: free `*timer` with hysock_timer_free(), also after it has run; `userdata` is ours until
/// `drop` is called with it, after `fn` has returned or instead of it, and also when this fails.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, also for HYSOCK_FOREVER and for a queue of another runtime;
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_LIMIT.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_runtime_after(
    runtime: *mut hysock_runtime,
    ms: u32,
    queue: *mut hysock_queue,
    r#fn: hysock_timer_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    timer: *mut *mut hysock_timer,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        // SAFETY: C gives NULL, which is no handle wanted, or a variable for the result.
        let out = unsafe { Out::for_handle("timer", timer) }.ok();
        let queue = match queue.is_null() {
            true => None,
            false => Some(handle::get("queue", queue)?),
        };
        let of = queue.as_ref().map(|queue| &***queue);
        let closure = Closure::or_taken("fn", r#fn, userdata, of)?;
        let runtime = handle::get("runtime", runtime)?;
        let after = limits::duration(ms)
            .ok_or_else(|| Error::argument("ms: HYSOCK_FOREVER never comes"))?;
        let made = Timer::new(&runtime, queue.as_deref())?;
        let pointer = match &out {
            Some(_) => handle::give::<hysock_timer>(made.clone())?,
            None => null_mut(),
        };
        let set = |pointer| out.iter().for_each(|out| out.set(pointer));
        // Before it can run.
        set(pointer);
        let sent = Sent(pointer);
        let function = move || {
            let event = || hysock_event::of(HYSOCK_EVENT_TIMER, sent.get());
            closure.run(event, |function, userdata| {
                // SAFETY: the function and its userdata were registered together.
                unsafe { function(sent.get(), userdata) }
            });
        };
        let started = made.start(after, Box::new(function));
        if started.is_err() {
            set(null_mut());
            handle::free(pointer, |_| Ok(()));
        }
        started
    })
}

/// Free a timer. One that still waits is called off: its function does not run, its drop does, in its
/// delivery. An invocation that has begun runs to its end; on the thread that dispatches the timer's
/// queue none begins afterwards.
///
/// Thread: any, also inside callbacks, its own included.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_timer_free(timer: *mut hysock_timer) {
    boundary::nothing(|| {
        handle::free(timer, |timer| {
            timer.check()?;
            timer.release();
            Ok(())
        });
    });
}
