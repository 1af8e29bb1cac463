//! Users and groups by name or number, as the system's databases know them.

use crate::error::{Error, Operation, Result};
use std::ffi::{CString, c_char};
use std::io;
use std::mem::MaybeUninit;

/// How large the texts of one entry may get.
const MOST: usize = 1024 * 1024;

/// A user's number, from it or from a name.
pub fn user(text: &[u8]) -> Result<u32> {
    find("user", text, |name, buffer| {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = std::ptr::null_mut();
        // SAFETY: all pointers lead to local variables, and the length is the buffer's; the entry is read
        // only where the call has said, by `found`, that it filled it.
        let error = unsafe {
            libc::getpwnam_r(
                name.as_ptr(),
                entry.as_mut_ptr(),
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut found,
            )
        };
        // SAFETY: NULL, or the entry that was filled.
        (error, unsafe { found.as_ref() }.map(|entry| entry.pw_uid))
    })
}

/// A group's number, from it or from a name.
pub fn group(text: &[u8]) -> Result<u32> {
    find("group", text, |name, buffer| {
        let mut entry = MaybeUninit::<libc::group>::uninit();
        let mut found = std::ptr::null_mut();
        // SAFETY: as above.
        let error = unsafe {
            libc::getgrnam_r(
                name.as_ptr(),
                entry.as_mut_ptr(),
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut found,
            )
        };
        // SAFETY: NULL, or the entry that was filled.
        (error, unsafe { found.as_ref() }.map(|entry| entry.gr_gid))
    })
}

fn find(
    what: &str,
    text: &[u8],
    ask: impl Fn(&CString, &mut [c_char]) -> (i32, Option<u32>),
) -> Result<u32> {
    let shown = String::from_utf8_lossy(text);
    if !text.is_empty() && text.iter().all(u8::is_ascii_digit) {
        // The last number means "leave as it is" to the system.
        return match shown.parse() {
            Ok(id) if id != u32::MAX => Ok(id),
            _ => Err(Error::argument(format!("there can be no {what} {shown}"))),
        };
    }
    let unknown = || Error::argument(format!("there is no {what} named \"{shown}\""));
    let name = CString::new(text).map_err(|_| unknown())?;
    let mut buffer = vec![0; 1024];
    loop {
        let (error, id) = ask(&name, &mut buffer);
        match (error, id) {
            (_, Some(id)) => return Ok(id),
            (libc::EINTR, None) => {}
            (libc::ERANGE, None) if buffer.len() < MOST => buffer.resize(buffer.len() * 4, 0),
            // What databases say of a name that they do not know: getpwnam(3).
            (0 | libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM, None) => {
                return Err(unknown());
            }
            (error, None) => {
                let what = format!("cannot look up the {what} \"{shown}\"");
                let cause = io::Error::from_raw_os_error(error);
                return Err(Error::system(Operation::Argument, what, &cause));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    #[test]
    fn names_and_numbers_are_found() {
        for find in [user, group] {
            assert_eq!(find(b"root").unwrap(), 0);
            assert_eq!(find(b"0").unwrap(), 0);
            assert_eq!(find(b"4294967294").unwrap(), 4294967294, "without an entry");
            assert_eq!(find(b"007").unwrap(), 7);
        }
    }

    #[test]
    fn what_is_none_is_refused_by_name() {
        for (find, what) in [(user as fn(&[u8]) -> Result<u32>, "user"), (group, "group")] {
            for text in [
                "",
                "no such name",
                "-1",
                "+1",
                " 0",
                "4294967295",
                "99999999999",
            ] {
                let error = find(text.as_bytes()).unwrap_err();
                assert_eq!(error.status, Status::InvalidArgument, "{text}: {error}");
                assert!(
                    error.message.contains(what) && error.message.contains(text),
                    "{error}"
                );
            }
            assert!(find(b"ro\0ot").is_err());
        }
    }

    #[test]
    fn an_entry_may_be_large() {
        let asked = std::cell::Cell::new(0);
        let slow = |_: &CString, buffer: &mut [c_char]| {
            asked.set(asked.get() + 1);
            if buffer.len() < 100_000 {
                (libc::ERANGE, None)
            } else {
                (0, Some(7))
            }
        };
        assert_eq!(find("user", b"x", slow).unwrap(), 7);
        assert!(asked.get() > 2);
        let never = |_: &CString, _: &mut [c_char]| (libc::ERANGE, None);
        let error = find("user", b"x", never).unwrap_err();
        assert_eq!(
            (error.status, error.os_error),
            (Status::System, libc::ERANGE)
        );
    }
}
