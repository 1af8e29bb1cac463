//! The library's threads: explicit, started here, joined by a wait, and nothing hidden beside them.
//! I/O threads own connections for life; callback threads run callbacks in pool delivery.
//!
//! Needed: hysock_runtime_new(), and at the end hysock_runtime_shutdown(), hysock_runtime_wait(),
//! hysock_runtime_free(). One runtime serves any number of servers and clients. The functions of
//! hysock_runtime_config, and hysock_runtime_on_log(), are options.

use super::boundary::{self, Out};
use super::closure::{Closure, Userdata};
use super::config;
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::queue::hysock_queue;
use super::queue_take::{self, HYSOCK_EVENT_LOG, hysock_event};
use super::status::hysock_status;
use super::text::{hysock_drop_fn, hysock_str, string};
use crate::error::{Error, Result};
use crate::limits;
use crate::runtime::{Level, Runtime, ThreadHooks};
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// What a runtime is made with.
pub struct hysock_runtime_config {
    _opaque: [u8; 0],
}

/// Threads, and the servers and clients on them.
pub struct hysock_runtime {
    _opaque: [u8; 0],
}

/// Only what went wrong.
pub const HYSOCK_LOG_ERROR: i32 = 1;
/// And what deserves a look.
pub const HYSOCK_LOG_WARN: i32 = 2;
/// And what happens.
pub const HYSOCK_LOG_INFO: i32 = 3;
/// And everything else.
pub const HYSOCK_LOG_DEBUG: i32 = 4;

/// Runs at the start or at the end of each library thread, on that thread.
pub type hysock_thread_fn = Option<unsafe extern "C-unwind" fn(userdata: *mut c_void)>;

/// Gets one log line, without a line feed. `line` is good until the function returns.
pub type hysock_log_fn =
    Option<unsafe extern "C-unwind" fn(level: i32, line: hysock_str, userdata: *mut c_void)>;

/// Start the library's threads.
///
/// `config` may be NULL for one I/O thread and four callback threads, and may be freed as soon as
/// this returns. Daemonize first: threads do not survive fork(2). When no thread or descriptor is
/// to be had, that is an error here, and nothing is left behind.
///
/// Thread: any.
/// Owns: free `*runtime` with hysock_runtime_free().
/// Errors: HYSOCK_E_INVALID_ARGUMENT, also for what a setter of `config` had refused;
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_runtime_new(
    config: *const hysock_runtime_config,
    runtime: *mut *mut hysock_runtime,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a variable for the result.
        let runtime = unsafe { Out::for_handle("runtime", runtime) }?;
        let started = Runtime::start(&config::read(config)?)?;
        runtime.set(handle::give_or::<hysock_runtime>(started, |started| {
            started.release()
        })?);
        Ok(())
    })
}

/// Begin the end of everything on the runtime: no new connections and requests, answers in flight
/// may finish for `drain_ms` milliseconds (0: none, HYSOCK_FOREVER: all), then connections are
/// closed.
///
/// Returns at once; hysock_runtime_wait() is the barrier.
///
/// Thread: any, also inside callbacks.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_runtime_shutdown(
    runtime: *mut hysock_runtime,
    drain_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        handle::get("runtime", runtime)?.shutdown(limits::duration(drain_ms))
    })
}

/// Wait until the runtime has ended: no callback of anything on it runs or will run, all drops have
/// run, every thread is joined.
///
/// It begins nothing: call hysock_runtime_shutdown() first, as long as servers or clients run it does
/// not end. Queues of servers and clients that have
/// not ended yet are dispatched on the calling thread meanwhile. `timeout_ms` 0 only asks;
/// HYSOCK_FOREVER waits for as long as it takes.
///
/// Thread: any but the library's own.
/// Errors: HYSOCK_E_TIMED_OUT, whose message says what still runs; HYSOCK_E_WOULD_DEADLOCK inside a
/// callback; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_runtime_wait(
    runtime: *mut hysock_runtime,
    timeout_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        handle::get("runtime", runtime)?.wait(limits::duration(timeout_ms))
    })
}

/// Free a runtime. One that still runs is ended at once: connections are closed and callbacks that
/// have not begun are withdrawn. Never waits; to know that all has ended, wait first.
///
/// In a forked child the parent's threads and sockets are left alone.
///
/// Thread: any, also inside callbacks.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_runtime_free(runtime: *mut hysock_runtime) {
    boundary::nothing(|| {
        handle::free(runtime, |runtime| {
            runtime.check()?;
            runtime.release();
            Ok(())
        });
    });
}

/// Send log lines of `level` and graver ones to `fn`; a later call replaces an earlier one.
///
/// `queue` NULL means that lines come on a callback thread; else on whoever dispatches that queue.
/// Lines wait in a bounded buffer; when `fn` is too slow the rest is counted, and the count is a
/// line. Without this function nothing is logged anywhere.
///
/// Thread: any.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_INVALID_ARGUMENT for a level that is none and a `fn` of NULL;
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_runtime_on_log(
    runtime: *mut hysock_runtime,
    level: i32,
    queue: *mut hysock_queue,
    r#fn: hysock_log_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        let queue = match queue.is_null() {
            true => None,
            false => Some(handle::get("queue", queue)?),
        };
        let of = queue.as_ref().map(|queue| &***queue);
        let closure = Closure::or_taken("fn", r#fn, userdata, of)?;
        let runtime = handle::get("runtime", runtime)?;
        let level = log_level(level)?;
        let log = move |level: Level, line: &str| {
            let event = || hysock_event {
                level: level as i32,
                data: queue_take::keep_text(line.as_bytes()),
                ..hysock_event::of::<hysock_runtime>(HYSOCK_EVENT_LOG, std::ptr::null_mut())
            };
            let text = hysock_str::new(line.as_bytes());
            closure.run(event, |function, userdata| {
                // SAFETY: the function and its userdata were registered together; `line` lives until
                // it returns.
                unsafe { function(level as i32, text, userdata) }
            });
        };
        runtime.on_log(level, queue.as_deref(), Box::new(log))
    })
}

/// Send other lines to the log function from now on: those of `level` and graver ones.
///
/// Thread: any.
/// Errors: HYSOCK_E_STATE when there is no log function, see hysock_runtime_on_log();
/// HYSOCK_E_INVALID_ARGUMENT for a level that is none; HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN,
/// HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_runtime_set_log_level(
    runtime: *mut hysock_runtime,
    level: i32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        handle::get("runtime", runtime)?.set_log_level(log_level(level)?)
    })
}

fn log_level(level: i32) -> Result<Level> {
    Level::from_i32(level)
        .ok_or_else(|| Error::argument(format!("level: {level} is not one of HYSOCK_LOG_*")))
}

/// Make a config that holds the defaults.
///
/// Never NULL: when no memory for handles is left, the result is a handle that hysock_runtime_new()
/// refuses with HYSOCK_E_LIMIT.
///
/// Thread: any.
/// Owns: free the result with hysock_runtime_config_free().
/// Errors: none.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_runtime_config_new() -> *mut hysock_runtime_config {
    config::new()
}

/// Set how many threads do the I/O: 1 to 64, 1 by default.
///
/// One is right for most: it carries some 200,000 small requests a second. More spread connections
/// over cores; each connection stays on its thread.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_runtime_config_set_io_threads(
    config: *mut hysock_runtime_config,
    threads: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.io_threads = limits::IO_THREADS.count(u64::from(threads))? as u32;
        Ok(())
    })
}

/// Set how many threads run callbacks in pool delivery: 1 to 1024, 4 by default. With 1 no two
/// callbacks ever run at the same time.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_runtime_config_set_callback_threads(
    config: *mut hysock_runtime_config,
    threads: u32,
) -> hysock_status {
    config::set(config, |config| {
        config.callback_threads = limits::CALLBACK_THREADS.count(u64::from(threads))? as u32;
        Ok(())
    })
}

/// Set the stack size of the library's threads, in bytes: 64 KiB to 1 GiB, 2 MiB by default.
///
/// Callbacks run on these stacks.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_runtime_config_set_stack_size(
    config: *mut hysock_runtime_config,
    bytes: usize,
) -> hysock_status {
    config::set(config, |config| {
        config.stack_size = limits::STACK_SIZE.count(bytes as u64)? as usize;
        Ok(())
    })
}

/// Set what the names of the library's threads begin with, as ps(1) and debuggers show them: 1 to 8
/// bytes, "hysock" by default, which gives hysock-io-0 and hysock-cb-0.
///
/// Thread: any.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_runtime_config_set_thread_name(
    config: *mut hysock_runtime_config,
    prefix: *const c_char,
) -> hysock_status {
    config::set(config, |config| {
        // SAFETY: C gives NULL or a NUL-terminated text.
        let prefix = unsafe { string("prefix", prefix) }?;
        if !(1..=limits::THREAD_NAME_MAX).contains(&prefix.len()) {
            return Err(Error::argument(format!(
                "hysock_runtime_config_set_thread_name: \"{}\" has not 1 to {} bytes",
                prefix.escape_debug(),
                limits::THREAD_NAME_MAX
            )));
        }
        prefix.clone_into(&mut config.thread_name);
        Ok(())
    })
}

/// Set functions that run on each library thread: `start` before anything else, `stop` as the last.
///
/// For what a host needs on each thread that runs its callbacks: attaching to an interpreter,
/// unblocking a signal, naming a thread. Either may be NULL. They may run on several threads at
/// once. `drop` is called when the config and every runtime made with it are done with them.
///
/// Thread: any.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_runtime_config_set_thread_hooks(
    config: *mut hysock_runtime_config,
    start: hysock_thread_fn,
    stop: hysock_thread_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
) -> hysock_status {
    let userdata = Userdata::new(userdata, drop);
    boundary::status_only(|| {
        let config = handle::get("config", config)?;
        let hooks: Arc<dyn ThreadHooks> = Arc::new(Hooks {
            start,
            stop,
            userdata,
        });
        // Earlier hooks end here, where the config's lock is free again: their drop is the user's
        // code.
        let before = config.set(|config| Ok(config.hooks.replace(hooks)))?;
        std::mem::drop(before);
        Ok(())
    })
}

/// Free a config. What was made with it keeps its values.
///
/// Thread: any.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_runtime_config_free(config: *mut hysock_runtime_config) {
    boundary::nothing(|| handle::free(config, |_| Ok(())));
}

struct Hooks {
    start: hysock_thread_fn,
    stop: hysock_thread_fn,
    userdata: Userdata,
}

impl Hooks {
    fn call(&self, hook: hysock_thread_fn) {
        if let Some(hook) = hook {
            // SAFETY: the function and its userdata were registered together.
            unsafe { hook(self.userdata.pointer()) }
        }
    }
}

impl ThreadHooks for Hooks {
    fn start(&self) {
        self.call(self.start);
    }

    fn stop(&self) {
        self.call(self.stop);
    }
}
