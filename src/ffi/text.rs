//! Text and data. What comes out is a `hysock_str`, pointer and length, not NUL-terminated, and
//! good as long as its handle (in a callback that did not defer: until the callback returns).
//! Absent is `ptr` NULL; empty is not NULL with `len` 0.
//!
//!     hysock_str type = hysock_exchange_header(exchange, "content-type");
//!     printf("%.*s\n", HYSOCK_PRI(type));

use super::boundary;
use crate::error::{Error, Result};
use std::ffi::{CStr, c_char, c_void};
use std::ptr::null;

/// cbindgen:ignore
pub const HYSOCK_NTS: usize = usize::MAX;

/// A piece of text or data that belongs to a handle.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct hysock_str {
    /// The first byte; NULL when there is no such text.
    pub ptr: *const c_char,
    /// How many bytes.
    pub len: usize,
}

/// Called with the `userdata` of a callback, once, after the callback's last call. May be NULL.
pub type hysock_drop_fn = Option<unsafe extern "C-unwind" fn(userdata: *mut c_void)>;

/// Whether a text is exactly `text`, byte by byte.
///
/// An absent text equals NULL only, not "".
///
/// Thread: any.
/// Errors: none; a `text` of NULL gives false when `s` is there.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_str_equal(s: hysock_str, text: *const c_char) -> bool {
    boundary::get(false, || {
        // SAFETY: C gives a text of ours, or one built the same way, and NULL or a NUL-terminated
        // text.
        let (s, text) = unsafe { (s.bytes(), opt_text(text)) };
        Ok(s == text)
    })
}

/// Copies a text into `buf`, with a NUL after it, as much as fits; returns the length of the whole
/// text, so a result of `size` or more says that it was cut.
///
/// `size` counts the NUL. With `size` 0 nothing is written and `buf` may be NULL. An absent text is
/// copied as an empty one.
///
/// Thread: any.
/// Errors: none; a `buf` of NULL is treated as `size` 0.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_str_copy(s: hysock_str, buf: *mut c_char, size: usize) -> usize {
    boundary::get(0, || {
        // SAFETY: C gives a text of ours, or one built the same way.
        let bytes = unsafe { s.bytes() }.unwrap_or_default();
        // SAFETY: C gives NULL or `size` bytes.
        unsafe { copy_out(bytes, buf, size) };
        Ok(bytes.len())
    })
}

/// As much of `bytes` as fits, and a NUL; nothing when `buf` is NULL or `size` 0.
///
/// # Safety
/// `buf` is NULL or writable for `size` bytes.
pub unsafe fn copy_out(bytes: &[u8], buf: *mut c_char, size: usize) {
    if buf.is_null() || size == 0 {
        return;
    }
    let fitting = bytes.len().min(size - 1);
    // SAFETY: `buf` is writable for `size` bytes, of which these are the first. `copy` and
    // not `copy_nonoverlapping`: a caller may shift a text inside its own buffer.
    unsafe {
        std::ptr::copy(bytes.as_ptr(), buf.cast(), fitting);
        buf.add(fitting).write(0);
    }
}

impl hysock_str {
    /// Not there.
    pub const ABSENT: hysock_str = hysock_str {
        ptr: null(),
        len: 0,
    };

    /// A view of `bytes`. It is the handle that `bytes` belongs to that keeps it valid.
    pub fn new(bytes: &[u8]) -> hysock_str {
        if bytes.is_empty() {
            // The pointer of an empty slice may be dangling; C may look at it.
            return hysock_str {
                ptr: c"".as_ptr(),
                len: 0,
            };
        }
        hysock_str {
            ptr: bytes.as_ptr().cast(),
            len: bytes.len(),
        }
    }

    pub fn maybe(bytes: Option<&[u8]>) -> hysock_str {
        bytes.map_or(hysock_str::ABSENT, hysock_str::new)
    }

    /// The bytes; a length that no memory can have counts as absent.
    ///
    /// # Safety
    /// `ptr` is NULL or readable for `len` bytes for as long as the result is used.
    pub(super) unsafe fn bytes<'a>(self) -> Option<&'a [u8]> {
        if self.ptr.is_null() || isize::try_from(self.len).is_err() {
            return None;
        }
        // SAFETY: the caller's promise; NULL and lengths that are too large were just excluded.
        Some(unsafe { std::slice::from_raw_parts(self.ptr.cast(), self.len) })
    }
}

/// A NUL-terminated argument that may be NULL.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and stays as it is until the function of the C API returns.
pub unsafe fn opt_text<'a>(text: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// A NUL-terminated argument; NULL is refused, by name.
///
/// # Safety
/// As [`opt_text`].
pub unsafe fn text<'a>(name: &str, text: *const c_char) -> Result<&'a [u8]> {
    // SAFETY: the caller's promise.
    unsafe { opt_text(text) }.ok_or_else(|| is_null(name))
}

/// Like [`text`], for what the core takes as a string: anything beyond UTF-8 is refused, by name.
///
/// # Safety
/// As [`opt_text`].
pub unsafe fn string<'a>(name: &str, pointer: *const c_char) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { text(name, pointer) }?;
    std::str::from_utf8(bytes).map_err(|_| Error::argument(format!("{name} is not valid text")))
}

/// Like [`string`]; NULL is `None`.
///
/// # Safety
/// As [`opt_text`].
pub unsafe fn opt_string<'a>(name: &str, pointer: *const c_char) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    unsafe { string(name, pointer) }.map(Some)
}

/// A text with a length, or NUL-terminated with the length HYSOCK_NTS. NULL with 0 is empty.
///
/// # Safety `pointer` is NULL, or readable for `len` bytes, or NUL-terminated when `len` is
/// HYSOCK_NTS; and stays as it is until the function of the C API returns.
pub unsafe fn text_len<'a>(name: &str, pointer: *const c_char, len: usize) -> Result<&'a [u8]> {
    if len == HYSOCK_NTS {
        // SAFETY: the caller's promise.
        return unsafe { text(name, pointer) };
    }
    // SAFETY: the caller's promise.
    unsafe { slice(name, pointer.cast(), len) }
}

/// Data with a length; HYSOCK_NTS is refused. NULL with 0 is empty.
///
/// # Safety `pointer` is NULL or readable for `len` bytes, and stays as it is until the function of
/// the C API returns.
pub unsafe fn data<'a>(name: &str, pointer: *const c_void, len: usize) -> Result<&'a [u8]> {
    if len == HYSOCK_NTS {
        return Err(Error::argument(format!(
            "{name}_len is HYSOCK_NTS, or -1 from a read() that failed: data needs its real length"
        )));
    }
    // SAFETY: the caller's promise.
    unsafe { slice(name, pointer.cast(), len) }
}

/// # Safety
/// As [`data`].
unsafe fn slice<'a>(name: &str, pointer: *const u8, len: usize) -> Result<&'a [u8]> {
    if isize::try_from(len).is_err() {
        let message = format!("{name}_len is {len}, more than PTRDIFF_MAX: a negative number?");
        return Err(Error::argument(message));
    }
    if pointer.is_null() {
        return if len == 0 {
            Ok(&[])
        } else {
            Err(is_null(name))
        };
    }
    // SAFETY: the caller's promise; NULL and lengths that are too large were just excluded.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

fn is_null(name: &str) -> Error {
    Error::argument(format!("{name} is NULL"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    fn str(text: &str) -> hysock_str {
        hysock_str::new(text.as_bytes())
    }

    fn refused<T: std::fmt::Debug>(outcome: Result<T>) -> String {
        let error = outcome.unwrap_err();
        assert_eq!(error.status, Status::InvalidArgument);
        error.message.into_owned()
    }

    // SAFETY of the unsafe blocks below: all pointers lead to constants and local variables.

    #[test]
    fn equal_compares_whole_texts() {
        unsafe {
            assert!(hysock_str_equal(str("PUT"), c"PUT".as_ptr()));
            assert!(!hysock_str_equal(str("PUT"), c"PUTS".as_ptr()));
            assert!(!hysock_str_equal(str("PUTS"), c"PUT".as_ptr()));
            assert!(hysock_str_equal(str(""), c"".as_ptr()));
            assert!(!hysock_str_equal(hysock_str::ABSENT, c"".as_ptr()));
            assert!(hysock_str_equal(hysock_str::ABSENT, null()));
            assert!(!hysock_str_equal(str(""), null()));
            let bad = hysock_str {
                ptr: c"x".as_ptr(),
                len: HYSOCK_NTS,
            };
            assert!(!hysock_str_equal(bad, c"x".as_ptr()));
        }
    }

    #[test]
    fn copy_cuts_and_terminates() {
        let copy = |s: hysock_str, size: usize| {
            let mut buf = [b'#'; 8];
            let len = unsafe { hysock_str_copy(s, buf.as_mut_ptr().cast(), size) };
            (len, buf)
        };
        assert_eq!(copy(str("abc"), 8), (3, *b"abc\0####"));
        assert_eq!(copy(str("abc"), 4), (3, *b"abc\0####"));
        assert_eq!(copy(str("abc"), 3), (3, *b"ab\0#####"));
        assert_eq!(copy(str("abc"), 1), (3, *b"\0#######"));
        assert_eq!(copy(str("abc"), 0), (3, *b"########"));
        assert_eq!(copy(hysock_str::ABSENT, 8), (0, *b"\0#######"));
        assert_eq!(
            unsafe { hysock_str_copy(str("abc"), std::ptr::null_mut(), 8) },
            3
        );
    }

    #[test]
    fn empty_is_not_absent() {
        assert!(!str("").ptr.is_null());
        assert!(hysock_str::maybe(None).ptr.is_null());
        assert!(!hysock_str::maybe(Some(b"")).ptr.is_null());
        assert_eq!(hysock_str::maybe(Some(b"abc")).len, 3);
    }

    #[test]
    fn texts_are_taken_with_a_nul_or_a_length() {
        unsafe {
            assert_eq!(text("path", c"/x".as_ptr()).unwrap(), b"/x");
            assert_eq!(refused(text("path", null())), "path is NULL");
            assert_eq!(text_len("target", c"/xyz".as_ptr(), 2).unwrap(), b"/x");
            assert_eq!(
                text_len("target", c"/xyz".as_ptr(), HYSOCK_NTS).unwrap(),
                b"/xyz"
            );
            assert_eq!(text_len("target", null(), 0).unwrap(), b"");
            assert_eq!(refused(text_len("target", null(), 2)), "target is NULL");
            assert_eq!(
                refused(text_len("target", null(), HYSOCK_NTS)),
                "target is NULL"
            );
            let long = refused(text_len("target", c"".as_ptr(), isize::MAX as usize + 1));
            assert!(
                long.starts_with("target_len is 9223372036854775808"),
                "{long}"
            );
            assert_eq!(string("name", c"accept".as_ptr()).unwrap(), "accept");
            assert_eq!(
                refused(string("name", c"\xff".as_ptr())),
                "name is not valid text"
            );
            assert_eq!(opt_string("method", null()).unwrap(), None);
            assert_eq!(opt_string("method", c"GET".as_ptr()).unwrap(), Some("GET"));
        }
    }

    #[test]
    fn data_needs_a_length() {
        unsafe {
            assert_eq!(data("body", b"a\0b".as_ptr().cast(), 3).unwrap(), b"a\0b");
            assert_eq!(data("body", null(), 0).unwrap(), b"");
            assert_eq!(refused(data("body", null(), 1)), "body is NULL");
            let failed_read = refused(data("body", c"".as_ptr().cast(), HYSOCK_NTS));
            assert!(
                failed_read.starts_with("body_len is HYSOCK_NTS"),
                "{failed_read}"
            );
            assert!(refused(data("body", c"".as_ptr().cast(), usize::MAX - 1)).contains("PTRDIFF"));
        }
    }
}
