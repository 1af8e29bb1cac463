//! Panics stay inside the library, and stay silent: a panic is a bug of ours, and the host learns
//! of it as an error, not by text on its stderr or by its own death.

use crate::error::{Error, Operation, Status};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    /// How many `contain`s are on this thread's stack.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Where the panic that is being unwound began.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What a contained panic said, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanicMessage {
    text: String,
    place: String,
}

impl fmt::Display for PanicMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.place.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.place)
        }
    }
}

impl From<PanicMessage> for Error {
    fn from(message: PanicMessage) -> Error {
        let text = format!("a bug in hysock, contained; please report it: {message}");
        Error::new(Status::Panic, Operation::None, text)
    }
}

/// Runs `f`. A panic in it ends here: nothing is printed, and its message is the result.
///
/// The outermost use on a library thread makes that whole thread silent.
#[inline]
pub fn contain<R>(f: impl FnOnce() -> R) -> Result<R, PanicMessage> {
    install_hook();
    let inside = Inside::enter();
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(result) => Ok(result),
        Err(payload) => Err(message(payload, inside)),
    }
}

#[cold]
fn message(payload: Box<dyn Any + Send>, inside: Inside) -> PanicMessage {
    let message = PanicMessage {
        text: text(&*payload),
        place: PLACE.take(),
    };
    // The payload's own drop is foreign code and might panic: still inside.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    drop(inside);
    message
}

fn text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

struct Inside;

impl Inside {
    #[inline]
    fn enter() -> Inside {
        DEPTH.set(DEPTH.get() + 1);
        Inside
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

static HOOKED: AtomicBool = AtomicBool::new(false);

/// Puts our hook in front of whatever hook there is; once per process.
#[inline]
fn install_hook() {
    if !HOOKED.load(Ordering::Relaxed) {
        install_first();
    }
}

#[cold]
fn install_first() {
    // A thread that panics already cannot change the hook: then the next call installs it. Nobody
    // waits for the one who does: a child that forked meanwhile would wait for ever.
    if std::thread::panicking() || HOOKED.swap(true, Ordering::Relaxed) {
        return;
    }
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if DEPTH.get() > 0 {
            remember_place(info);
        } else {
            previous(info);
        }
    }));
}

fn remember_place(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    // At the end of a thread the memory may be gone already: then the place is not told.
    PLACE.try_with(|slot| slot.replace(place)).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_passes() {
        assert_eq!(contain(|| 7), Ok(7));
        assert_eq!(DEPTH.get(), 0);
    }

    #[test]
    fn a_panic_becomes_a_message_with_its_place() {
        let message = contain(|| panic!("plain")).unwrap_err();
        assert_eq!(message.text, "plain");
        assert!(message.place.contains("panic.rs:"), "{}", message.place);
        let message = contain(|| panic!("number {}", 7)).unwrap_err();
        assert!(message.to_string().starts_with("number 7 ("), "{message}");
        let message = contain(|| std::panic::panic_any(7_u32)).unwrap_err();
        assert_eq!(message.text, "a panic without a message");
        assert_eq!(DEPTH.get(), 0);
    }

    #[test]
    fn nesting_keeps_the_thread_silent_until_the_outermost_ends() {
        let outer = contain(|| {
            assert!(contain(|| panic!("inner")).is_err());
            assert_eq!(DEPTH.get(), 1);
            panic!("outer")
        });
        assert_eq!(outer.unwrap_err().text, "outer");
        assert_eq!(DEPTH.get(), 0);
    }

    #[test]
    fn a_payload_that_panics_when_dropped_is_contained_too() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("bomb");
            }
        }
        assert!(contain(|| std::panic::panic_any(Bomb)).is_err());
        assert_eq!(DEPTH.get(), 0);
    }

    #[test]
    fn the_error_asks_for_a_report() {
        let error = Error::from(contain(|| panic!("why")).unwrap_err());
        assert_eq!(error.status, Status::Panic);
        assert!(error.message.contains("bug in hysock") && error.message.contains("why"));
    }
}
