//! Sockets that a service manager passes at a program's start: `sd_listen_fds(3)`. The environment is
//! read and stays as it is.

use super::super::sys;
use super::{Adopt, Listener, ListenerOptions, check};
use crate::error::{Error, Result};
use rustix::net::SocketType;
use std::ffi::OsString;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The first descriptor that is passed.
const FIRST: RawFd = 3;
/// The most that can be passed.
const MOST: usize = 1024;
/// The name of one that was given none.
const NAMELESS: &[u8] = b"unknown";

/// Which of them were taken: each is taken once, whatever its number is used for later.
static TAKEN: [AtomicU64; MOST / 64] = [const { AtomicU64::new(0) }; MOST / 64];

/// One that was passed to this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    fd: RawFd,
    name: Vec<u8>,
}

/// What this process was passed.
fn passed() -> Result<Vec<Passed>> {
    parse(std::process::id(), |name| std::env::var_os(name))
}

fn parse(pid: u32, variable: impl Fn(&str) -> Option<OsString>) -> Result<Vec<Passed>> {
    let text = |name| variable(name).map(|value| value.to_string_lossy().into_owned());
    let (Some(whose), Some(count)) = (text("LISTEN_PID"), text("LISTEN_FDS")) else {
        return Ok(Vec::new());
    };
    // Inherited from a parent that it was meant for.
    if whose.parse() != Ok(pid) {
        return Ok(Vec::new());
    }
    let count = match count.parse::<usize>() {
        Ok(count) if count <= MOST => count,
        _ => {
            return Err(Error::argument(format!(
                "the environment's LISTEN_FDS is \"{count}\", not a number up to {MOST}"
            )));
        }
    };
    let mut names = vec![NAMELESS.to_vec(); count];
    if let Some(given) = variable("LISTEN_FDNAMES") {
        names = given
            .as_bytes()
            .split(|&byte| byte == b':')
            .map(<[u8]>::to_vec)
            .collect();
        if names.len() != count && !(count == 0 && given.is_empty()) {
            return Err(Error::argument(format!(
                "the environment's LISTEN_FDNAMES has {} names for {count} descriptors",
                names.len()
            )));
        }
    }
    let numbers = FIRST..FIRST + count as RawFd;
    Ok(numbers
        .zip(names)
        .map(|(fd, name)| Passed { fd, name })
        .collect())
}

/// Listens on the sockets that were passed under this name, or on all on which a listener of `kind` can be.
/// `unfit` hears of each that is none; asked for by name, that is an error, and none is taken.
pub fn adopt(
    name: Option<&[u8]>,
    kind: SocketType,
    options: &ListenerOptions,
    mut unfit: impl FnMut(&Passed, &Error),
) -> Result<Vec<Listener>> {
    let mut taken: Vec<(Passed, OwnedFd)> = passed()?
        .into_iter()
        .filter(|passed| name.is_none_or(|name| passed.name == name))
        .filter_map(|passed| passed.take().map(|fd| (passed, fd)))
        .collect();
    let mut first = None;
    for (passed, fd) in std::mem::take(&mut taken) {
        match check(fd.as_fd(), kind) {
            Ok(()) => taken.push((passed, fd)),
            Err(error) => {
                passed.give_back(fd);
                unfit(&passed, &error);
                first.get_or_insert(error);
            }
        }
    }
    if let (Some(_), Some(error)) = (name, first) {
        for (passed, fd) in taken {
            passed.give_back(fd);
        }
        return Err(error);
    }
    let mut listeners = Vec::new();
    let mut taken = taken.into_iter();
    for (_, fd) in taken.by_ref() {
        match Listener::adopt_as(kind, fd, Adopt::Keep, options) {
            Ok(listener) => listeners.push(listener),
            Err(error) => {
                taken.for_each(|(passed, fd)| passed.give_back(fd));
                return Err(error);
            }
        }
    }
    Ok(listeners)
}

/// The log line about one that does not fit.
pub fn left_alone(passed: &Passed, error: &Error) -> String {
    let name = String::from_utf8_lossy(&passed.name);
    format!("the passed socket \"{name}\" was left alone: {error}")
}

fn bit(fd: RawFd) -> Option<(&'static AtomicU64, u64)> {
    let index = usize::try_from(fd - FIRST)
        .ok()
        .filter(|&index| index < MOST)?;
    Some((&TAKEN[index / 64], 1 << (index % 64)))
}

/// Notes that a number was used otherwise. Whether it was taken before.
pub fn mark(fd: RawFd) -> bool {
    bit(fd).is_some_and(|(word, bit)| word.fetch_or(bit, Ordering::AcqRel) & bit != 0)
}

impl Passed {
    /// Takes the descriptor; `None` when it was taken before or is not open.
    fn take(&self) -> Option<OwnedFd> {
        if mark(self.fd) {
            return None;
        }
        // SAFETY: the service manager gave this number to the process, and it is given out once.
        unsafe { sys::own(self.fd) }
    }

    /// Undoes [`Passed::take`].
    fn give_back(&self, fd: OwnedFd) {
        let number = fd.into_raw_fd();
        if let Some((word, bit)) = bit(number) {
            word.fetch_and(!bit, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Vec<(RawFd, String)>> {
        let find = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let name = |passed: &Passed| String::from_utf8(passed.name.clone()).unwrap();
        Ok(parse(77, find)?
            .iter()
            .map(|passed| (passed.fd, name(passed)))
            .collect())
    }

    #[test]
    fn the_environment_says_what_was_passed() {
        assert_eq!(with(&[]).unwrap(), []);
        assert_eq!(with(&[("LISTEN_FDS", "1")]).unwrap(), []);
        let others = [("LISTEN_PID", "78"), ("LISTEN_FDS", "x")];
        assert_eq!(with(&others).unwrap(), [], "it was another process's");
        let mine = ("LISTEN_PID", "77");
        assert_eq!(with(&[mine, ("LISTEN_FDS", "0")]).unwrap(), []);
        let empty = [mine, ("LISTEN_FDS", "0"), ("LISTEN_FDNAMES", "")];
        assert_eq!(with(&empty).unwrap(), []);
        let nameless = with(&[mine, ("LISTEN_FDS", "2")]).unwrap();
        assert_eq!(nameless, [(3, "unknown".into()), (4, "unknown".into())]);
        let named = [mine, ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "http:admin")];
        assert_eq!(
            with(&named).unwrap(),
            [(3, "http".into()), (4, "admin".into())]
        );
    }

    #[test]
    fn nonsense_in_the_environment_is_named() {
        let mine = ("LISTEN_PID", "77");
        for (count, names, text) in [
            ("-1", None, "LISTEN_FDS"),
            ("many", None, "LISTEN_FDS"),
            ("1025", None, "1024"),
            ("2", Some("one"), "1 names for 2"),
            ("1", Some("one:two"), "2 names for 1"),
        ] {
            let mut variables = vec![mine, ("LISTEN_FDS", count)];
            variables.extend(names.map(|names| ("LISTEN_FDNAMES", names)));
            let error = with(&variables).unwrap_err();
            assert!(error.message.contains(text), "{error}");
        }
    }

    #[test]
    fn each_number_is_taken_once() {
        // Beyond what other tests may have open.
        let fd = FIRST + MOST as RawFd - 1;
        assert!(!mark(fd));
        assert!(mark(fd));
        assert!(
            Passed {
                fd,
                name: Vec::new()
            }
            .take()
            .is_none()
        );
        assert!(!mark(FIRST + MOST as RawFd), "never passed, so never taken");
        assert!(!mark(0));
    }
}
