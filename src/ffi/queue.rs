//! Where callbacks run. By default on the runtime's callback threads (pool delivery: they may
//! block, and handlers run in parallel). With HYSOCK_DELIVERY_INLINE on the I/O thread itself: the
//! fastest, but a callback must never block. With a queue on the thread that dispatches it, one
//! after another, so that a program with an event loop of its own needs no locks.
//!
//! A queue has one descriptor for poll, epoll or any loop. It is readable exactly while something
//! waits:
//!
//!     hysock_queue_new(runtime, &queue, &err);
//!     hysock_server_config_set_queue(config, queue);
//!     ... watch hysock_queue_fd(queue) for reading; when it is:
//!     hysock_queue_dispatch(queue, UINT32_MAX, 0);
//!
//! Needed: hysock_queue_new(), hysock_queue_dispatch(), hysock_queue_free().

use super::boundary::{self, Out};
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::runtime::hysock_runtime;
use super::status::hysock_status;
use crate::error::{Error, Result};
use crate::limits;
use crate::runtime::{Delivery, Queue};

/// Callbacks that wait for the thread that dispatches them.
pub struct hysock_queue {
    _opaque: [u8; 0],
}

/// Callbacks run on the runtime's callback threads. The default.
pub const HYSOCK_DELIVERY_POOL: i32 = 1;
/// Callbacks run on the I/O thread and must never block: blocking functions refuse with
/// HYSOCK_E_WOULD_DEADLOCK there.
pub const HYSOCK_DELIVERY_INLINE: i32 = 2;

/// Make a queue, to be given to servers, clients and the log of the same runtime.
///
/// Thread: any.
/// Owns: free `*queue` with hysock_queue_free().
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED,
/// HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_queue_new(
    runtime: *mut hysock_runtime,
    queue: *mut *mut hysock_queue,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a variable for the result.
        let queue = unsafe { Out::for_handle("queue", queue) }?;
        let made = Queue::new(&*handle::get("runtime", runtime)?)?;
        queue.set(handle::give_or::<hysock_queue>(made, |made| made.close())?);
        Ok(())
    })
}

/// Run callbacks that wait, at most `max` of them, on this thread; returns how many ran.
///
/// When nothing waits, it waits up to `timeout_ms` milliseconds (0: not at all, HYSOCK_FOREVER:
/// until something comes) for the first one. hysock_queue_wake() ends the waiting with 0. Several
/// threads may dispatch one queue; no handle ever has two callbacks at once. Callbacks may call
/// this for another queue, but not wait in it.
///
/// Thread: any but I/O threads.
/// Errors: negative: HYSOCK_E_SHUT_DOWN when the queue was freed or its runtime has ended;
/// HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED,
/// HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_queue_dispatch(
    queue: *mut hysock_queue,
    max: u32,
    timeout_ms: u32,
) -> i32 {
    boundary::count(|| {
        let queue = handle::get("queue", queue)?;
        Ok(queue.dispatch(max, limits::duration(timeout_ms))? as usize)
    })
}

/// Free a queue. What waits in it is withdrawn: those callbacks do not run, exchanges among them
/// are answered with a 500, and drops run.
///
/// Thread: any, also inside its own callbacks.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_queue_free(queue: *mut hysock_queue) {
    boundary::nothing(|| {
        handle::free(queue, |queue| {
            queue.check()?;
            queue.close();
            Ok(())
        });
    });
}

/// The descriptor to watch: readable exactly while something waits, or a wake. It stays the
/// queue's: do not read, write or close it. Level-triggered; with an edge-triggered epoll dispatch
/// until 0 comes back.
///
/// Thread: any.
/// Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_queue_fd(queue: *const hysock_queue) -> i32 {
    boundary::count(|| {
        let queue = handle::get("queue", queue)?;
        queue.check()?;
        usize::try_from(queue.fd()).map_err(|_| Error::state("the queue has no descriptor"))
    })
}

/// Make a dispatch that waits return, or the next one that would wait.
///
/// Thread: any; async-signal-safe.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_queue_wake(queue: *mut hysock_queue) -> hysock_status {
    boundary::in_signal(|| {
        handle::in_signal(queue, |queue| {
            queue.check()?;
            queue.wake();
            Ok(())
        })
    })
}

/// What a `_config_set_delivery` says.
pub(super) fn delivery(setter: &str, delivery: i32) -> Result<Delivery> {
    match delivery {
        HYSOCK_DELIVERY_POOL => Ok(Delivery::Pool),
        HYSOCK_DELIVERY_INLINE => Ok(Delivery::Inline),
        other => Err(Error::argument(format!(
            "{setter}: {other} is neither HYSOCK_DELIVERY_POOL nor HYSOCK_DELIVERY_INLINE"
        ))),
    }
}

/// What a `_config_set_queue` says.
pub(super) fn through(queue: *mut hysock_queue) -> Result<Delivery> {
    let queue = handle::get("queue", queue)?;
    queue.check()?;
    Ok(Delivery::Queue(queue.clone()))
}
