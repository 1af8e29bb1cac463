//! A receiver: a socket that many producers write messages to, and one place where they come out.
//!
//! Needed: hysock_receiver_serve(), which is hysock_receiver_new(), hysock_receiver_add_listener(),
//! hysock_receiver_on_batch() and hysock_receiver_start() in one; then hysock_receiver_shutdown(),
//! hysock_receiver_wait(), hysock_receiver_free(). A receiver without a callback is pulled instead:
//! hysock_receiver_recv(), with hysock_receiver_fd() for an event loop.
//!
//! What is promised:
//!
//! 1. Messages of one producer arrive in the order in which it sent them. Between producers there is no
//!    order.
//! 2. A message arrives whole or not at all; exceptions are flagged, and HYSOCK_FRAMING_RAW has chunks,
//!    not messages.
//! 3. By default nothing is dropped: when the budget of bytes is used up (see
//!    hysock_receiver_config_set_max_bytes()), sockets are not read, and producers wait. Policies that
//!    drop count what they drop: sent = received + dropped.
//! 4. A message arrives once at most.
//!
//! Any program can be a producer: `printf 'hello\n' | nc -U -N PATH` for HYSOCK_FRAMING_DELIMITER,
//! `logger -u PATH` for HYSOCK_FRAMING_DATAGRAM. A connection that ends without a byte is
//! no error: only events, where they are on, tell of it.

use super::batch::{self, Lent, hysock_batch};
use super::boundary::{self, Out};
use super::closure::{self, Closure, Userdata};
use super::config;
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::listener_config::hysock_listener_config;
use super::queue_take::{HYSOCK_EVENT_BATCH, hysock_event};
use super::receiver_config::hysock_receiver_config;
use super::runtime::hysock_runtime;
use super::status::hysock_status;
use super::text::{hysock_drop_fn, text_len};
use crate::error::Error;
use crate::limits;
use crate::message::receiver::BatchFn;
use crate::message::{Batch, Receiver};
use crate::runtime::Waited;
use crate::socket::address::Address;
use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

/// A socket that many producers write to.
pub struct hysock_receiver {
    _opaque: [u8; 0],
}

/// Gets one batch of messages. It is lent: see hysock_batch_keep().
pub type hysock_batch_fn = Option<
    unsafe extern "C-unwind" fn(
        receiver: *mut hysock_receiver,
        batch: *mut hysock_batch,
        userdata: *mut c_void,
    ),
>;

/// Listen at `address` and give every batch of messages to `fn`: new, add_listener, on_batch and start
/// in one.
///
/// `address` is as in hysock_server_serve(). `config` may be NULL for the defaults and may be freed as
/// soon as this returns. With `fn` NULL the receiver is pulled: hysock_receiver_recv(). The file is made
/// with mode 0600; for another one use the single steps with a hysock_listener_config. `*receiver` is
/// set before the first batch arrives.
///
/// Thread: any.
/// Owns: free `*receiver` with hysock_receiver_free(); `userdata` is ours until `drop` is called with
/// it, which also happens when this fails.
/// Errors: as hysock_server_serve().
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_receiver_serve(
    runtime: *mut hysock_runtime,
    address: *const c_char,
    address_len: usize,
    config: *const hysock_receiver_config,
    r#fn: hysock_batch_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    receiver: *mut *mut hysock_receiver,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a variable for the result.
        let out = unsafe { Out::for_handle("receiver", receiver) }?;
        let runtime = handle::get("runtime", runtime)?;
        // SAFETY: C gives NULL, `address_len` bytes, or a NUL-terminated text with HYSOCK_NTS.
        let address = Address::parse(unsafe { text_len("address", address, address_len) }?)?;
        let made = Receiver::new(&runtime, &config::read(config)?)?;
        let pointer = handle::give_or::<hysock_receiver>(made.clone(), |made| made.release())?;
        out.set(pointer);
        let served = made
            .add_listener(
                &address,
                &config::read::<hysock_listener_config>(std::ptr::null())?,
            )
            .and_then(|()| match r#fn.is_some() {
                true => made.on_batch(callback(pointer, Closure::new("fn", r#fn, userdata)?)),
                false => Ok(()),
            })
            .and_then(|()| made.start());
        if served.is_err() {
            out.set(std::ptr::null_mut());
            end(pointer);
            // The callback's drop has run when a registration fails.
            let _ = made.wait(Some(Duration::from_secs(1)));
        }
        served
    })
}

/// A callback of the core that runs C's. The batch gets a handle for the time of the call; when C keeps
/// it, the handle is C's.
fn callback(
    receiver: *mut hysock_receiver,
    closure: Closure<
        unsafe extern "C-unwind" fn(*mut hysock_receiver, *mut hysock_batch, *mut c_void),
    >,
) -> BatchFn {
    let receiver = handle::Sent(receiver);
    Box::new(move |owner, batch: Arc<Batch>| {
        let count = batch.len();
        let lent = Arc::new(Lent::new(batch));
        // No room for one more handle: the messages are lost, and counted.
        let Ok(pointer) = handle::give::<hysock_batch>(lent.clone()) else {
            return owner.count_abandoned(count as u64);
        };
        let guard = batch::Returned(&lent, pointer);
        let event = || {
            // Taken, it is the taker's until the free.
            lent.keep();
            hysock_event {
                batch: pointer,
                ..hysock_event::of(HYSOCK_EVENT_BATCH, receiver.get())
            }
        };
        closure.run(event, |function, userdata| {
            // SAFETY: the function and its userdata were registered together.
            unsafe { function(receiver.get(), guard.1, userdata) }
        });
    })
}

/// Begin the end: no new producers, the socket file is removed. What producers have sent is read and
/// handed over: of those that are silent at once, of those that go on sending for up to `drain_ms`
/// milliseconds; then their sends fail. Nothing that was sent before is lost as long as the drain lasts.
///
/// Returns at once; hysock_receiver_wait() is the barrier.
///
/// Thread: any, also inside callbacks.
/// Errors: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_receiver_shutdown(
    receiver: *mut hysock_receiver,
    drain_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        handle::get("receiver", receiver)?.shutdown(limits::duration(drain_ms))
    })
}

/// Wait until the receiver has ended: all was handed over, no callback of it runs or will run, and its
/// drop has run. With queue delivery this dispatches the queue meanwhile. What a receiver without a
/// callback still holds can be taken after it.
///
/// Thread: any but callbacks'.
/// Errors: HYSOCK_E_TIMED_OUT; HYSOCK_E_WOULD_DEADLOCK inside callbacks; HYSOCK_E_INVALID_ARGUMENT,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_receiver_wait(
    receiver: *mut hysock_receiver,
    timeout_ms: u32,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        handle::get("receiver", receiver)?.wait(limits::duration(timeout_ms))
    })
}

/// Free a receiver. One that runs ends at once; its callback is withdrawn. Batches that you keep stay
/// yours. Never waits.
///
/// Thread: any, also inside callbacks.
/// Errors: none; NULL and handles that were freed before are passed over.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_free(receiver: *mut hysock_receiver) {
    boundary::nothing(|| end(receiver));
}

fn end(receiver: *mut hysock_receiver) {
    handle::free(receiver, |receiver| {
        receiver.check()?;
        receiver.release();
        Ok(())
    });
}

/// Take up to `max_messages` messages of a receiver without a callback; wait up to `timeout_ms` for the
/// first. One batch may hold fewer than wait.
///
/// Thread: any but the I/O threads, which may only call it with a timeout of 0.
/// Owns: free `*batch` with hysock_batch_free().
/// Errors: HYSOCK_E_WOULD_BLOCK when nothing waits and `timeout_ms` is 0; HYSOCK_E_TIMED_OUT;
/// HYSOCK_E_SHUT_DOWN when the receiver has ended and all is taken; HYSOCK_E_STATE when it has a
/// callback; HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED,
/// HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_receiver_recv(
    receiver: *mut hysock_receiver,
    max_messages: usize,
    timeout_ms: u32,
    batch: *mut *mut hysock_batch,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a variable for the result.
        let out = unsafe { Out::for_handle("batch", batch) }?;
        if max_messages == 0 {
            return Err(Error::argument("max_messages is 0: ask for one at least"));
        }
        let receiver = handle::get("receiver", receiver)?;
        let batch = receiver.recv(max_messages, limits::duration(timeout_ms))?;
        out.set(handle::give(Arc::new(Lent::owned(batch)))?);
        Ok(())
    })
}

/// A descriptor for poll, epoll or any loop: readable exactly while something waits for
/// hysock_receiver_recv(), and for ever once the receiver has ended. It stays the receiver's.
///
/// Thread: any.
/// Errors: negative: HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_receiver_fd(receiver: *const hysock_receiver) -> i32 {
    boundary::count(|| {
        let receiver = handle::get("receiver", receiver)?;
        receiver.check()?;
        Ok(receiver.fd() as usize)
    })
}

/// Make a receiver that listens nowhere yet.
///
/// `config` may be NULL for the defaults and may be freed as soon as this returns.
///
/// Thread: any.
/// Owns: free `*receiver` with hysock_receiver_free().
/// Errors: HYSOCK_E_INVALID_ARGUMENT, also for what a setter of `config` had refused;
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED, HYSOCK_E_LIMIT, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_receiver_new(
    runtime: *mut hysock_runtime,
    config: *const hysock_receiver_config,
    receiver: *mut *mut hysock_receiver,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a variable for the result.
        let out = unsafe { Out::for_handle("receiver", receiver) }?;
        let runtime = handle::get("runtime", runtime)?;
        let made = Receiver::new(&runtime, &config::read(config)?)?;
        out.set(handle::give_or::<hysock_receiver>(made, |made| {
            made.release()
        })?);
        Ok(())
    })
}

/// Bind a socket for producers; several are possible. Its type follows from the receiver's framing.
///
/// `address` is as in hysock_server_serve(). `config` NULL is all defaults.
///
/// Thread: any.
/// Errors: HYSOCK_E_IN_USE, HYSOCK_E_FORBIDDEN, HYSOCK_E_ABSENT, HYSOCK_E_WRONG_TYPE; HYSOCK_E_STATE
/// after the start; HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN,
/// HYSOCK_E_FORKED, HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_receiver_add_listener(
    receiver: *mut hysock_receiver,
    address: *const c_char,
    address_len: usize,
    config: *const hysock_listener_config,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        let receiver = handle::get("receiver", receiver)?;
        // SAFETY: C gives NULL, `address_len` bytes, or a NUL-terminated text with HYSOCK_NTS.
        let address = Address::parse(unsafe { text_len("address", address, address_len) }?)?;
        receiver.add_listener(&address, &config::read(config)?)
    })
}

/// Give every batch of messages to `fn`, in the receiver's delivery, one call at a time. Once, before the
/// start.
///
/// Thread: any.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_STATE after the start, and when there is one already; HYSOCK_E_INVALID_ARGUMENT,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_receiver_on_batch(
    receiver: *mut hysock_receiver,
    r#fn: hysock_batch_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        let closure = {
            let found = handle::get("receiver", receiver);
            let made = found.as_ref().ok();
            let queue = made.and_then(|made| closure::queue_of(made.executor()?));
            Closure::or_taken("fn", r#fn, userdata, queue)?
        };
        handle::get("receiver", receiver)?.on_batch(callback(receiver, closure))
    })
}

/// Accept producers from now on.
///
/// Thread: any.
/// Errors: HYSOCK_E_STATE without a listener and for a second time; HYSOCK_E_INVALID_ARGUMENT,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_receiver_start(
    receiver: *mut hysock_receiver,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || handle::get("receiver", receiver)?.start())
}
