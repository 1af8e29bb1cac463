//! What every exported function has around its body: panics end here, `errno` stays as it was, and
//! results become what C expects.

use super::error::ErrorOut;
use super::status::{HYSOCK_OK, hysock_status};
use crate::error::{Error, Result};
use crate::panic;
use crate::socket::sys;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;

/// Runs a body; a panic in it is an error of the status `PANIC`.
#[inline]
fn run<R>(body: impl FnOnce() -> Result<R>) -> Result<R> {
    panic::contain(body).unwrap_or_else(|message| Err(message.into()))
}

/// For functions that give a status and fill a `hysock_error`.
#[inline]
pub fn with_error(err: ErrorOut<'_>, body: impl FnOnce() -> Result<()>) -> hysock_status {
    let _errno = Errno::keep();
    let outcome = run(body);
    err.write(outcome.as_ref().copied());
    status(&outcome)
}

/// For functions that give only a status.
#[inline]
pub fn status_only(body: impl FnOnce() -> Result<()>) -> hysock_status {
    let _errno = Errno::keep();
    status(&run(body))
}

/// For functions that give a count or a descriptor, or a negative status.
#[inline]
pub fn count(body: impl FnOnce() -> Result<usize>) -> i32 {
    let _errno = Errno::keep();
    match run(body) {
        Ok(count) => i32::try_from(count).unwrap_or(i32::MAX),
        Err(error) => error.status as i32,
    }
}

/// For functions that give a count or a descriptor, or a negative status, and fill a `hysock_error`.
#[inline]
pub fn count_with_error(err: ErrorOut<'_>, body: impl FnOnce() -> Result<usize>) -> i32 {
    let _errno = Errno::keep();
    let outcome = run(body);
    err.write(outcome.as_ref().map(|_| ()));
    match outcome {
        Ok(count) => i32::try_from(count).unwrap_or(i32::MAX),
        Err(error) => error.status as i32,
    }
}

/// A descriptor that C gives away.
///
/// # Safety
/// The number is C's to give away: nothing else of the program closes it from now on.
pub unsafe fn descriptor(fd: i32) -> Result<OwnedFd> {
    // SAFETY: the caller's promise.
    unsafe { sys::own(fd) }
        .ok_or_else(|| Error::argument(format!("fd: {fd} is no open descriptor")))
}

/// For getters: whatever goes wrong gives `default`.
#[inline]
pub fn get<R>(default: R, body: impl FnOnce() -> Result<R>) -> R {
    let _errno = Errno::keep();
    run(body).unwrap_or(default)
}

/// For free functions and other `void`s.
#[inline]
pub fn nothing(body: impl FnOnce()) {
    let _errno = Errno::keep();
    // A panic has nobody to be told to; its place was remembered and its text is dropped.
    panic::contain(body).ok();
}

/// For functions that a signal handler may call. The body must not be able to panic: containing one
/// uses memory of the thread that may not exist yet. Nothing is formatted.
#[inline]
pub fn in_signal(body: impl FnOnce() -> hysock_status) -> hysock_status {
    let _errno = Errno::keep();
    body()
}

fn status(outcome: &Result<()>) -> hysock_status {
    match outcome {
        Ok(()) => HYSOCK_OK,
        Err(error) => error.status as hysock_status,
    }
}

/// Puts `errno` back.
struct Errno {
    /// Where this thread's is; a raw pointer, so that this cannot leave the thread.
    place: *mut i32,
    value: i32,
}

impl Errno {
    #[inline]
    fn keep() -> Errno {
        // SAFETY: the function has no conditions; the address that it gives is valid for reading
        // and writing for as long as this thread lives.
        let (place, value) = unsafe {
            let place = libc::__errno_location();
            (place, *place)
        };
        Errno { place, value }
    }
}

impl Drop for Errno {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: as above; this runs on the thread that made it.
        unsafe { *self.place = self.value }
    }
}

/// The caller's place for a result.
pub struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// Refuses NULL, by name.
    ///
    /// # Safety
    /// `place` is NULL or writable for one `T` until the function of the C API that it was given to
    /// returns.
    pub unsafe fn new(name: &str, place: *mut T) -> Result<Out<T>> {
        NonNull::new(place)
            .map(Out)
            .ok_or_else(|| Error::argument(format!("{name} is NULL")))
    }

    pub fn set(&self, value: T) {
        // SAFETY: `new`'s caller promised that it is writable; what was there needs no drop, it is
        // C's.
        unsafe { self.0.write(value) }
    }
}

impl<T> Out<*mut T> {
    /// A place for a handle, which holds NULL until there is one.
    ///
    /// # Safety
    /// As [`Out::new`].
    pub unsafe fn for_handle(name: &str, place: *mut *mut T) -> Result<Out<*mut T>> {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::new(name, place) }?;
        out.set(std::ptr::null_mut());
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;
    use crate::ffi::error::hysock_error;
    use std::mem::MaybeUninit;

    fn set_errno(value: i32) {
        // SAFETY: the address is valid for this thread.
        unsafe { *libc::__errno_location() = value }
    }

    fn errno() -> i32 {
        std::io::Error::last_os_error().raw_os_error().unwrap()
    }

    #[test]
    fn a_panic_becomes_a_status_and_a_message() {
        let mut err = MaybeUninit::<hysock_error>::uninit();
        // SAFETY: a local variable.
        let out = unsafe { ErrorOut::new(err.as_mut_ptr()) };
        assert_eq!(with_error(out, || panic!("planted")), Status::Panic as i32);
        // SAFETY: `with_error` wrote the status, and the message up to its NUL.
        let (status, message) = unsafe {
            let err = err.as_ptr();
            (
                (*err).status,
                std::ffi::CStr::from_ptr((&raw const (*err).message).cast()),
            )
        };
        assert_eq!(status, Status::Panic as i32);
        assert!(message.to_str().unwrap().contains("planted"));

        assert_eq!(status_only(|| panic!("planted")), Status::Panic as i32);
        assert_eq!(count(|| panic!("planted")), Status::Panic as i32);
        assert_eq!(get(7, || panic!("planted")), 7);
        nothing(|| panic!("planted"));
    }

    #[test]
    fn results_become_what_c_expects() {
        assert_eq!(status_only(|| Ok(())), 0);
        assert_eq!(status_only(|| Err(Error::state("no"))), -3);
        assert_eq!(count(|| Ok(7)), 7);
        // SAFETY: NULL is no place, which is allowed.
        let nowhere = || unsafe { ErrorOut::new(std::ptr::null_mut()) };
        assert_eq!(count_with_error(nowhere(), || Ok(7)), 7);
        assert_eq!(count_with_error(nowhere(), || Err(Error::state("no"))), -3);
        assert_eq!(count(|| Ok(usize::MAX)), i32::MAX);
        assert_eq!(count(|| Err(Error::state("no"))), -3);
        assert_eq!(get(0, || Ok(7)), 7);
        assert_eq!(get(0, || Err(Error::state("no"))), 0);
        assert_eq!(in_signal(|| -2), -2);
    }

    #[test]
    fn errno_stays_as_it_was() {
        let spoil = || set_errno(libc::EPIPE);
        set_errno(libc::EXDEV);
        let fail = || {
            spoil();
            Err(Error::state("no"))
        };
        status_only(fail);
        assert_eq!(errno(), libc::EXDEV);
        nothing(|| {
            spoil();
            panic!("planted")
        });
        assert_eq!(errno(), libc::EXDEV);
        in_signal(|| {
            spoil();
            0
        });
        assert_eq!(errno(), libc::EXDEV);
    }

    #[test]
    fn a_place_for_a_handle_is_null_until_there_is_one() {
        let mut local = 1;
        let mut place = &raw mut local;
        // SAFETY: a local variable, and NULL.
        let (good, null) = unsafe {
            (
                Out::for_handle("runtime", &raw mut place),
                Out::<*mut i32>::for_handle("runtime", std::ptr::null_mut()),
            )
        };
        assert!(good.is_ok());
        assert!(place.is_null());
        let message = null.err().unwrap().message;
        assert_eq!(message, "runtime is NULL");
    }
}
