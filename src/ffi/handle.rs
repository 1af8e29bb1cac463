//! Handles: how they are counted, and nothing else to know. Each kind that a program can hold has a
//! number here; hysock_handles_live() lets a test assert that nothing was forgotten, which leak
//! checkers cannot see.

use super::boundary;
use super::nouns::{Handle, Noun, Object, kind_name};
use super::slots::{Held, Place, Reserved, Spot, Table};
use super::status::{HYSOCK_OK, hysock_status};
use super::token;
use crate::error::{Error, Operation, Result, Status};
use crate::http::Kept;
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::ptr::without_provenance_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Every kind.
pub const HYSOCK_KIND_ANY: i32 = 0;
/// hysock_runtime_config
pub const HYSOCK_KIND_RUNTIME_CONFIG: i32 = 1;
/// hysock_runtime
pub const HYSOCK_KIND_RUNTIME: i32 = 2;
/// hysock_queue
pub const HYSOCK_KIND_QUEUE: i32 = 3;
/// hysock_listener_config
pub const HYSOCK_KIND_LISTENER_CONFIG: i32 = 4;
/// hysock_server_config
pub const HYSOCK_KIND_SERVER_CONFIG: i32 = 5;
/// hysock_server
pub const HYSOCK_KIND_SERVER: i32 = 6;
/// hysock_exchange, those that are lent to a callback included
pub const HYSOCK_KIND_EXCHANGE: i32 = 7;
/// hysock_client_config
pub const HYSOCK_KIND_CLIENT_CONFIG: i32 = 8;
/// hysock_client
pub const HYSOCK_KIND_CLIENT: i32 = 9;
/// hysock_call
pub const HYSOCK_KIND_CALL: i32 = 10;
/// hysock_timer
pub const HYSOCK_KIND_TIMER: i32 = 11;
/// hysock_receiver_config
pub const HYSOCK_KIND_RECEIVER_CONFIG: i32 = 12;
/// hysock_receiver
pub const HYSOCK_KIND_RECEIVER: i32 = 13;
/// hysock_batch, those that are lent to a callback included
pub const HYSOCK_KIND_BATCH: i32 = 14;
/// hysock_producer_config
pub const HYSOCK_KIND_PRODUCER_CONFIG: i32 = 15;
/// hysock_producer
pub const HYSOCK_KIND_PRODUCER: i32 = 16;

/// How many handles of a kind (HYSOCK_KIND_ANY: of all kinds) were made and not freed.
///
/// Meant for tests and for a last look before a program ends: it walks a table and is not fast.
///
/// Thread: any.
/// Errors: negative: HYSOCK_E_INVALID_ARGUMENT for a number that is no kind.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_handles_live(kind: i32) -> i32 {
    boundary::count(|| {
        if kind != HYSOCK_KIND_ANY && kind_name(kind).is_none() {
            return Err(Error::argument(format!(
                "kind: {kind} is not one of HYSOCK_KIND_*"
            )));
        }
        Ok(TABLE.live(|of| kind == HYSOCK_KIND_ANY || of == kind as u32))
    })
}

static TABLE: Table<Object> = Table::new();

/// The handle of a config that found the table full: valid nowhere.
const FULL: (i32, Place) = (
    31,
    Place {
        index: 0,
        generation: 0,
    },
);

/// What generations are counted from: another number in each process and each copy of the library,
/// so that a handle of another copy is told apart. 0 until the first handle is made.
static BASE: AtomicU32 = AtomicU32::new(0);

fn base() -> u32 {
    let base = BASE.load(Ordering::Relaxed);
    if base != 0 {
        return base;
    }
    let fresh = (RandomState::new().hash_one(0) as u32).max(1);
    match BASE.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => fresh,
        Err(base) => base,
    }
}

fn to_pointer<C: Noun>(place: Place) -> *mut C {
    let generation = place.generation.wrapping_add(base());
    let token = token::encode(
        C::KIND,
        Place {
            generation,
            ..place
        },
    );
    without_provenance_mut(token as usize)
}

/// A handle on its way to the thread that runs a callback with it.
pub struct Sent<C>(pub *mut C);

// SAFETY: a handle is a number; nothing is behind it that a thread could reach without the table.
unsafe impl<C> Send for Sent<C> {}
// SAFETY: as above.
unsafe impl<C> Sync for Sent<C> {}

impl<C> Sent<C> {
    pub fn get(&self) -> *mut C {
        self.0
    }
}

/// Why a pointer is no handle that can be used. Made without memory: signal handlers make it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Null,
    Foreign,
    Kind(i32),
    Full,
    Stale,
}

impl Fault {
    pub fn status(self) -> Status {
        match self {
            Fault::Null => Status::InvalidArgument,
            Fault::Full => Status::Limit,
            Fault::Foreign | Fault::Kind(_) | Fault::Stale => Status::BadHandle,
        }
    }

    #[cold]
    fn error(self, name: &str, wanted: i32) -> Error {
        let wanted = kind_name(wanted).unwrap_or("handle");
        let message = match self {
            Fault::Null => format!("{name} is NULL"),
            Fault::Foreign => format!("{name} is not a handle of hysock but some other pointer"),
            Fault::Kind(kind) => {
                format!(
                    "{name} is a {}, not a {wanted}",
                    kind_name(kind).unwrap_or("handle")
                )
            }
            Fault::Full => format!("{name}: there was no room for one more {wanted}: free some"),
            Fault::Stale => {
                format!("{name} was freed before (or belongs to another copy of the library)")
            }
        };
        Error::new(self.status(), Operation::Argument, message)
    }
}

type Found<T> = std::result::Result<T, Fault>;

fn place_of<C: Noun>(pointer: *const C) -> Found<Place> {
    if pointer.is_null() {
        return Err(Fault::Null);
    }
    let (kind, place) = token::decode(pointer.addr() as u64).ok_or(Fault::Foreign)?;
    if kind == C::KIND {
        let generation = place.generation.wrapping_sub(BASE.load(Ordering::Relaxed));
        return Ok(Place {
            generation,
            ..place
        });
    }
    match kind_name(kind) {
        Some(_) => Err(Fault::Kind(kind)),
        None if (kind, place) == FULL => Err(Fault::Full),
        None => Err(Fault::Foreign),
    }
}

/// What a callback was lent.
#[derive(Clone, Copy)]
struct Loan {
    token: usize,
    /// The `Arc` that the handle stands for.
    object: *const (),
    spot: Spot<Object>,
}

thread_local! {
    /// Of the callback that runs on this thread.
    static LENT: Cell<Option<Loan>> = const { Cell::new(None) };
}

/// A handle whose slot need not be searched for.
pub struct Known<C> {
    pub pointer: *mut C,
    spot: Spot<Object>,
}

/// A handle in use: until this ends the object stays, whoever frees the handle meanwhile. It lives
/// within one function of the C API.
pub struct Ref<T> {
    object: *const Arc<T>,
    /// None when it was lent to the callback that this function was called from.
    _held: Option<Held<Object>>,
}

impl<T> Deref for Ref<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        // SAFETY: the pointer leads into the slot that `_held` keeps as it is; or to the `Arc` that
        // `lend` borrowed, which is further up on the stack of this thread (a `Ref` cannot leave
        // it).
        unsafe { &*self.object }
    }
}

#[inline]
fn lookup<C: Noun>(pointer: *const C) -> Found<Ref<C::Object>> {
    if let Some(loan) = LENT.get()
        && loan.token == pointer.addr()
        && token::kind(loan.token as u64) == C::KIND
    {
        if !loan.spot.is_open() {
            return Err(Fault::Stale);
        }
        return Ok(Ref {
            object: loan.object.cast(),
            _held: None,
        });
    }
    acquire(pointer)
}

#[inline(never)]
fn acquire<C: Noun>(pointer: *const C) -> Found<Ref<C::Object>> {
    let place = place_of(pointer)?;
    let held = TABLE.acquire(place).ok_or(Fault::Stale)?;
    let object: *const Arc<C::Object> = Handle::from_object(held.value()).ok_or(Fault::Foreign)?;
    Ok(Ref {
        object,
        _held: Some(held),
    })
}

/// The object behind a handle; the error names the argument.
#[inline]
pub fn get<C: Noun>(name: &str, pointer: *const C) -> Result<Ref<C::Object>> {
    lookup(pointer).map_err(|fault| fault.error(name, C::KIND))
}

/// A handle by its number, while it can be used.
pub fn by_number<C: Noun>(number: usize) -> Option<Known<C>> {
    let pointer = without_provenance_mut(number);
    let spot = TABLE.spot(place_of::<C>(pointer).ok()?)?;
    Some(Known { pointer, spot })
}

/// Runs `f` on the object; for signal handlers: nothing is allocated and no destructor runs. `f`
/// keeps to that too; an error of it has a static message.
pub fn in_signal<C: Noun>(
    pointer: *const C,
    f: impl FnOnce(&C::Object) -> Result<()>,
) -> hysock_status {
    let found = place_of(pointer).and_then(|place| TABLE.acquire(place).ok_or(Fault::Stale));
    let held = match found {
        Ok(held) => held.in_signal(),
        Err(fault) => return fault.status() as hysock_status,
    };
    let outcome = match <C::Object as Handle>::from_object(held.value()) {
        Some(object) => f(object),
        None => return Fault::Foreign.status() as hysock_status,
    };
    outcome
        .err()
        .map_or(HYSOCK_OK, |error| error.status as hysock_status)
}

/// Makes a handle. The one reference that C owns with it ends in [`free`].
pub fn give<C: Noun>(object: Arc<C::Object>) -> Result<*mut C> {
    give_or(object, |_| ())
}

/// Like [`give`], for an object that is given again and again: it keeps its slot, in `kept`.
pub fn give_again<C: Noun>(object: Arc<C::Object>, kept: &Kept) -> Result<Known<C>> {
    let slot = kept.get_or_init(|| {
        let reserve = !cfg!(hysock_no_reuse);
        Box::new(reserve.then(|| TABLE.reserve(C::KIND as u32)).flatten())
    });
    let object = Handle::into_object(object);
    let inserted = match slot.downcast_ref::<Option<Reserved<Object>>>() {
        Some(Some(slot)) => TABLE.insert_reserved(slot, object),
        _ => Err(object),
    };
    match inserted {
        Ok(spot) => Ok(Known {
            pointer: to_pointer(spot.place()),
            spot,
        }),
        Err(object) => {
            let pointer: *mut C = insert(object, |_| ())?;
            by_number(pointer.addr()).ok_or_else(|| Fault::Stale.error("handle", C::KIND))
        }
    }
}

/// Like [`give`]; when there is no room for a handle, the object is ended by `end`.
pub fn give_or<C: Noun>(
    object: Arc<C::Object>,
    end: impl FnOnce(&Arc<C::Object>),
) -> Result<*mut C> {
    insert(Handle::into_object(object), end)
}

fn insert<C: Noun>(object: Object, end: impl FnOnce(&Arc<C::Object>)) -> Result<*mut C> {
    TABLE
        .insert(C::KIND as u32, object)
        .map(to_pointer)
        .map_err(|object| {
            if let Some(object) = Handle::from_object(&object) {
                end(object);
            }
            let name = kind_name(C::KIND).unwrap_or("handle");
            let message =
                format!("there is no room for one more {name}: too many handles are alive");
            Error::new(Status::Limit, Operation::None, message)
        })
}

/// The handle that stands for "there was no room for one".
pub fn full<C: Noun>() -> *mut C {
    without_provenance_mut(token::encode(FULL.0, FULL.1) as usize)
}

/// Ends a handle, then the object by `end`. When that fails, which is the case in a forked child
/// only, the object stays where it is for ever: it belongs to the parent. A handle that cannot be
/// used is passed over, as NULL is.
pub fn free<C: Noun>(pointer: *const C, end: impl FnOnce(&Arc<C::Object>) -> Result<()>) {
    let Some(held) = place_of(pointer).ok().and_then(|place| TABLE.close(place)) else {
        return;
    };
    if let Some(object) = Handle::from_object(held.value())
        && end(object).is_err()
    {
        std::mem::forget(held);
    }
}

/// As [`free`], of an object that ends by itself.
pub fn end<C: Noun>(handle: &Known<C>) {
    drop(TABLE.close_spot(handle.spot));
}

/// Runs a callback that gets `pointer`, the handle of `object`: its own calls with that handle,
/// which are nearly all that callbacks do, need not count references.
pub fn lend<C: Noun>(object: &Arc<C::Object>, pointer: *const C, callback: impl FnOnce()) {
    match by_number::<C>(pointer.addr()) {
        Some(handle) => lend_known(object, &handle, callback),
        None => callback(),
    }
}

/// As [`lend`]. The kind of the handle and the type of the object agree, always.
#[inline]
pub fn lend_known<C: Noun>(object: &Arc<C::Object>, handle: &Known<C>, callback: impl FnOnce()) {
    struct Before(Option<Loan>);
    impl Drop for Before {
        fn drop(&mut self) {
            LENT.set(self.0);
        }
    }
    let _before = Before(LENT.replace(Some(Loan {
        token: handle.pointer.addr(),
        object: std::ptr::from_ref(object).cast(),
        spot: handle.spot,
    })));
    callback();
}

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
