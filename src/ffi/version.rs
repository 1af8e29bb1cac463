//! Which hysock this is. The macros HYSOCK_VERSION, HYSOCK_VERSION_NUMBER and their parts say what
//! a program was compiled against, the functions what it runs with.

use std::ffi::c_char;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
const NUMBER: u32 = part(env!("CARGO_PKG_VERSION_MAJOR")) << 16
    | part(env!("CARGO_PKG_VERSION_MINOR")) << 8
    | part(env!("CARGO_PKG_VERSION_PATCH"));

/// A part of the version; one that does not fit in its byte stops the build.
const fn part(digits: &str) -> u32 {
    match u8::from_str_radix(digits, 10) {
        Ok(part) => part as u32,
        Err(_) => panic!("a part of the version is no number up to 255"),
    }
}

/// The library's version as text, like "0.1.0".
///
/// The text is static and NUL-terminated.
///
/// Thread: any.
/// Errors: none.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_version() -> *const c_char {
    VERSION.as_ptr().cast()
}

/// The library's version as a number, `(major << 16) | (minor << 8) | patch`: compare it with
/// HYSOCK_VERSION_NUMBER to notice that a program runs with another library than it was compiled
/// for.
///
/// Thread: any.
/// Errors: none.
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn hysock_version_number() -> u32 {
    NUMBER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_text_agree() {
        let text = VERSION.strip_suffix('\0').unwrap();
        let number = hysock_version_number();
        let parts = [number >> 16, number >> 8 & 0xff, number & 0xff];
        assert_eq!(text, format!("{}.{}.{}", parts[0], parts[1], parts[2]));
    }
}
