//! The form of a queue without callbacks: what would run a function comes out as data instead. For
//! languages in which a call from C is dear, and for programs that like to decide themselves:
//!
//!     hysock_event events[64];
//!     int32_t n = hysock_queue_take(queue, events, 64, sizeof events[0], HYSOCK_FOREVER);
//!     for (int32_t i = 0; i < n; i++)
//!         handle(&events[i]);
//!
//! A queue is either dispatched or taken. Where callbacks would run on one that is taken, `fn` may be
//! NULL; one that is given never runs, and nobody may dispatch the queue. What must have run before
//! something goes on is called as ever: hysock_server_on_request(), hysock_server_on_answer(),
//! hysock_call_set_body_reader(), hysock_call_on_progress(), hysock_call_on_informational().
//!
//! The waits of what is delivered by it, hysock_server_wait() and so on, cannot take: another thread does
//! so meanwhile, or the same one between waits that do not last. They end when all was given back.

use super::batch::hysock_batch;
use super::boundary;
use super::closure::Userdata;
use super::handle;
use super::queue::hysock_queue;
use super::server_stats::hysock_access;
use super::sized::SizedOut;
use super::status::{HYSOCK_OK, hysock_status};
use super::text::hysock_str;
use crate::limits;
use crate::runtime::taking;
use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr::{null, null_mut};

/// A registration has ended: `userdata` is not used any more. In the place of a call of its `drop`; there
/// is none without a `drop`.
pub const HYSOCK_EVENT_DROP: i32 = 1;
/// A request, `handle` is its hysock_exchange. It counts as deferred: yours until hysock_exchange_free().
pub const HYSOCK_EVENT_REQUEST: i32 = 2;
/// hysock_exchange_on_gone(): the client has left.
pub const HYSOCK_EVENT_GONE: i32 = 3;
/// hysock_exchange_read_start(): `status`, and the piece in `data`.
pub const HYSOCK_EVENT_READ: i32 = 4;
/// hysock_exchange_on_writable(): there is room again.
pub const HYSOCK_EVENT_WRITABLE: i32 = 5;
/// hysock_exchange_upgrade(): the connection in `fd`, early bytes in `data`.
pub const HYSOCK_EVENT_UPGRADED: i32 = 6;
/// hysock_call_start(): the hysock_call in `handle` has ended, with `status`.
pub const HYSOCK_EVENT_CALL: i32 = 7;
/// hysock_server_on_closed(): the hysock_server in `handle` has ended, `status` and `aborted` say how.
pub const HYSOCK_EVENT_CLOSED: i32 = 8;
/// hysock_server_on_access(): `access`; `handle` is the hysock_server.
pub const HYSOCK_EVENT_ACCESS: i32 = 9;
/// Messages in `batch` for the hysock_receiver in `handle`. The batch is yours until
/// hysock_batch_free(), as if it had been kept.
pub const HYSOCK_EVENT_BATCH: i32 = 10;
/// hysock_runtime_after(): the time has come. `handle` is the hysock_timer, NULL when none was asked for.
pub const HYSOCK_EVENT_TIMER: i32 = 11;
/// hysock_runtime_on_log(): a line in `data`, and its `level`.
pub const HYSOCK_EVENT_LOG: i32 = 12;
/// hysock_call_read_start(): as HYSOCK_EVENT_READ, for the hysock_call in `handle`.
pub const HYSOCK_EVENT_CALL_READ: i32 = 13;

/// hysock_call_on_writable(): as HYSOCK_EVENT_WRITABLE, for the hysock_call in `handle`.
pub const HYSOCK_EVENT_CALL_WRITABLE: i32 = 14;

/// What would have been a call of a function. What a kind does not use is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct hysock_event {
    /// One of HYSOCK_EVENT_*; skip what you do not know.
    pub kind: i32,
    pub status: hysock_status,
    /// What was given with the registration.
    pub userdata: *mut c_void,
    /// Whose event it is; its type follows from `kind`.
    pub handle: *mut c_void,
    pub batch: *mut hysock_batch,
    /// Good as long as its handle, a log line until the next take.
    pub data: hysock_str,
    /// Good until the next take.
    pub access: *const hysock_access,
    /// Answers that were cut short.
    pub aborted: u64,
    pub fd: i32,
    /// One of HYSOCK_LOG_*.
    pub level: i32,
}

/// The size of the struct in the first version that had it.
const FIRST: usize = 72;
const _: () = assert!(size_of::<hysock_event>() >= FIRST);

impl hysock_event {
    /// One of its kind, with what all have.
    pub(super) fn of<C>(kind: i32, handle: *mut C) -> hysock_event {
        hysock_event {
            kind,
            status: HYSOCK_OK,
            userdata: null_mut(),
            handle: handle.cast(),
            batch: null_mut(),
            data: hysock_str::ABSENT,
            access: null(),
            aborted: 0,
            fd: -1,
            level: 0,
        }
    }
}

/// Take up to `n` events that wait, in their order; returns how many.
///
/// `size` is `sizeof(hysock_event)`. When nothing waits, it waits up to `timeout_ms` milliseconds (0: not
/// at all, HYSOCK_FOREVER: until something comes) for the first one; hysock_queue_wake() ends the waiting
/// with 0.
///
/// What was taken belongs to the thread that took it, until that thread takes again, or anybody into the
/// same array: that gives it back. Until then no other event of the same handle comes out, and the end of
/// a registration never comes in one array with an event that uses it. While
/// something waits only for that, the descriptor is readable. Take once more with an `n` of 0, which only
/// gives back, before a thread goes on to something else.
///
/// Thread: any but I/O threads; not in functions that a take runs.
/// Owns: exchanges and batches that come out are to be freed; other handles are whose they were.
/// Errors: negative: HYSOCK_E_SHUT_DOWN when the queue was freed or its runtime has ended;
/// HYSOCK_E_WOULD_DEADLOCK, HYSOCK_E_INVALID_ARGUMENT, HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED,
/// HYSOCK_E_SYSTEM.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_queue_take(
    queue: *mut hysock_queue,
    events: *mut hysock_event,
    n: usize,
    size: usize,
    timeout_ms: u32,
) -> i32 {
    boundary::count(|| {
        let queue = handle::get("queue", queue)?;
        let room = n.min(i32::MAX as usize);
        if room > 0 {
            // SAFETY: nothing is written to it here.
            unsafe { SizedOut::new("events", events, size, FIRST) }?;
        }
        let taken = queue.take(events.addr(), room, limits::duration(timeout_ms))?;
        let mut noted = EVENTS.take();
        for (index, event) in noted.drain(..).enumerate() {
            // SAFETY: C gives an array of `n` structs of `size` bytes each, and no more than `n` come.
            let place = unsafe { events.byte_add(index * size) };
            // SAFETY: as above.
            unsafe { SizedOut::new("events", place, size, FIRST) }?.set(&event);
        }
        EVENTS.set(noted);
        Ok(taken)
    })
}

thread_local! {
    /// What the take under way has noted.
    static EVENTS: RefCell<Vec<hysock_event>> = const { RefCell::new(Vec::new()) };
}

/// Notes an event for the take under way.
pub(super) fn give(event: hysock_event) {
    taking::note();
    EVENTS.with_borrow_mut(|events| events.push(event));
}

/// Notes the end of a registration, or puts it off until the take after next.
pub(super) fn give_drop(userdata: Userdata) {
    if !taking::note_drop() {
        return taking::postpone(Box::new(userdata));
    }
    EVENTS.with_borrow_mut(|events| {
        events.push(hysock_event {
            userdata: userdata.pointer(),
            ..hysock_event::of::<c_void>(HYSOCK_EVENT_DROP, null_mut())
        });
    });
    // The event stands for the call of its drop.
    std::mem::forget(userdata);
}

/// A copy that is good until what was taken is given back.
pub(super) fn keep_text(text: &[u8]) -> hysock_str {
    let copy: Box<[u8]> = text.into();
    let view = hysock_str::new(&copy);
    taking::keep(Box::new(copy));
    view
}

/// As [`keep_text`].
pub(super) fn keep_access(access: hysock_access) -> *const hysock_access {
    let copy = Box::new(Entry(access));
    let view = &raw const copy.0;
    taking::keep(copy);
    view
}

struct Entry(hysock_access);

// SAFETY: what it points to is kept beside it, by the same owner.
unsafe impl Send for Entry {}
