//! Addresses as people write them, and the way from an address to what the kernel takes.

#[cfg(test)]
pub(crate) mod scratch;
mod url;

use crate::error::{Error, Operation, Result, Status};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write as _};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Longest path, without its NUL.
const PATH_MAX: usize = 4095;
/// Longest name that fits into `sun_path` together with the byte that ends or starts it.
const DIRECT_MAX: usize = 107;
/// Longest file name of a path over [`DIRECT_MAX`]: what `/proc/self/fd/2147483647/` leaves.
const NAME_MAX: usize = DIRECT_MAX - "/proc/self/fd/2147483647/".len();
/// Longer values are shown by their two ends in messages.
const SHOWN_MAX: usize = 240;

/// Where a socket is: an absolute path, or a name in the abstract namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address(Place);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// Absolute, with a file name, at most [`PATH_MAX`] bytes, no NUL.
    Path(PathBuf),
    /// Without the leading NUL; 1 to [`DIRECT_MAX`] bytes of any value.
    Abstract(Vec<u8>),
}

impl Address {
    /// Reads an address in any of its forms: `/path`, `path` (made absolute as text), `unix:path`,
    /// `unix:///path`, `@abstract`, NUL + name, `http+unix://%2Fpath` and `unix://<hex>:0`.
    /// A file whose name starts with `@` or looks like a scheme is `./@x`, `./tcp:x`.
    pub fn parse(bytes: &[u8]) -> Result<Address> {
        let (address, target) = Address::parse_url(bytes)?;
        match target.as_deref() {
            None | Some(b"/") => Ok(address),
            Some(target) => Err(Error::argument(format!(
                "the address \"{}\" carries the request target \"{}\", and only a socket is meant \
                 here: leave it off",
                printable(bytes),
                printable(target)
            ))),
        }
    }

    /// Like [`parse`](Address::parse), and gives the request target that a URL carries beyond the
    /// socket. It starts with `/`; it is `None` when the address has no place for one.
    pub fn parse_url(bytes: &[u8]) -> Result<(Address, Option<Vec<u8>>)> {
        url::parse(bytes)
    }

    /// The address for messages: a path, or `@` and the abstract name, always printable.
    pub fn display(&self) -> String {
        match &self.0 {
            Place::Path(path) => printable(path.as_os_str().as_bytes()),
            Place::Abstract(name) => format!("@{}", printable(name)),
        }
    }

    /// The form that has no scheme and no encoding: the path, or `@` and the abstract name.
    pub fn plain(&self) -> Result<Vec<u8>> {
        match &self.0 {
            Place::Path(path) => Ok(path.as_os_str().as_bytes().to_vec()),
            Place::Abstract(name) if name.contains(&0) => Err(Error::argument(format!(
                "the abstract name \"{}\" has a NUL byte, so it cannot be written as @name",
                printable(name)
            ))),
            Place::Abstract(name) => Ok([b"@", &name[..]].concat()),
        }
    }

    /// The absolute path, unless the name is abstract.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Place::Path(path) => Some(path),
            Place::Abstract(_) => None,
        }
    }

    /// Whether this is a name without a file.
    pub fn is_abstract(&self) -> bool {
        matches!(self.0, Place::Abstract(_))
    }

    /// Calls `f` with the address as the kernel takes it, for bind and connect. A path that does not
    /// fit goes through a descriptor of its directory, which stays open until `f` has returned.
    pub fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(&SocketAddrUnix) -> rustix::io::Result<R>,
    ) -> rustix::io::Result<R> {
        let path = match &self.0 {
            Place::Abstract(name) => return f(&SocketAddrUnix::new_abstract_name(name)?),
            Place::Path(path) => path,
        };
        if path.as_os_str().len() <= DIRECT_MAX {
            return f(&SocketAddrUnix::new(path)?);
        }
        let (directory, name) = split(path);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        let mut short = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
        short.extend_from_slice(name.as_bytes());
        f(&SocketAddrUnix::new(OsStr::from_bytes(&short))?)
    }

    /// The address that a bound socket's own name says; a relative path is against this directory.
    pub(super) fn of_name(name: &SocketAddrUnix) -> Result<Address> {
        match (name.path_bytes(), name.abstract_name()) {
            (Some(path), _) => Address::from_path(path),
            (None, name) => Address::from_abstract(name.unwrap_or_default()),
        }
    }

    /// Whether the path is too long for the kernel and `/proc`, the way round that, is missing.
    pub(super) fn lacks_proc(&self) -> bool {
        self.path()
            .is_some_and(|path| path.as_os_str().len() > DIRECT_MAX)
            && rustix::fs::stat("/proc/self/fd").is_err()
    }

    /// An abstract name, without its leading NUL or `@`.
    fn from_abstract(name: &[u8]) -> Result<Address> {
        if name.is_empty() {
            return Err(Error::argument(
                "the abstract socket name is empty: write @name, \
                 or a NUL and the name with its length given",
            ));
        }
        if name.len() > DIRECT_MAX {
            return Err(Error::argument(format!(
                "the abstract socket name \"{}\" has {} bytes, more than the {DIRECT_MAX} \
                 that the system takes",
                printable(name),
                name.len()
            )));
        }
        Ok(Address(Place::Abstract(name.to_vec())))
    }

    /// A path, absolute or relative to the current directory of this moment.
    pub(super) fn from_path(path: &[u8]) -> Result<Address> {
        if path.is_empty() {
            return Err(empty());
        }
        if let Some(at) = path.iter().position(|&byte| byte == 0) {
            return Err(Error::argument(format!(
                "the socket path \"{}\" has a NUL byte at offset {at}: check the length given",
                printable(path)
            )));
        }
        let absolute = if path[0] == b'/' {
            path.to_vec()
        } else {
            against_current(path)?
        };
        if absolute.len() > PATH_MAX {
            return Err(Error::argument(format!(
                "the socket path \"{}\" has {} bytes, more than the {PATH_MAX} of PATH_MAX",
                printable(&absolute),
                absolute.len()
            )));
        }
        let path = PathBuf::from(OsStr::from_bytes(&absolute).to_owned());
        check_name(&path)?;
        Ok(Address(Place::Path(path)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display())
    }
}

/// Directory and file name of an absolute path, as text.
pub(super) fn split(path: &Path) -> (&Path, &OsStr) {
    let bytes = path.as_os_str().as_bytes();
    let slash = bytes.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    let directory = if slash == 0 {
        &b"/"[..]
    } else {
        &bytes[..slash]
    };
    (
        Path::new(OsStr::from_bytes(directory)),
        OsStr::from_bytes(&bytes[slash + 1..]),
    )
}

/// The path of a file in the same directory, whose name is this one's between two texts.
pub(super) fn sibling(path: &Path, before: &str, after: &str) -> PathBuf {
    let (directory, name) = split(path);
    let mut file = OsString::from(before);
    file.push(name);
    file.push(after);
    directory.join(file)
}

/// Bytes as text that is safe to print on one line; a long value is shown by its two ends.
pub(super) fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    if bytes.len() <= SHOWN_MAX {
        print_into(&mut text, bytes);
    } else {
        print_into(&mut text, &bytes[..SHOWN_MAX / 2]);
        text.push_str("...");
        print_into(&mut text, &bytes[bytes.len() - SHOWN_MAX / 2..]);
    }
    text
}

/// An error that a system call gave, under a status and with a message of its own.
pub(super) fn failure(
    status: Status,
    operation: Operation,
    errno: Errno,
    what: impl fmt::Display,
) -> Error {
    Error::system(operation, what, &io::Error::from(errno)).with_status(status)
}

fn print_into(text: &mut String, bytes: &[u8]) {
    for c in String::from_utf8_lossy(bytes).chars() {
        if c.is_control() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{:02x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
}

fn empty() -> Error {
    Error::argument(
        "the address is empty: give a path such as /run/app.sock, or @name for an abstract socket",
    )
}

fn against_current(path: &[u8]) -> Result<Vec<u8>> {
    let current = std::env::current_dir().map_err(|cause| {
        let what = format!(
            "cannot make \"{}\" absolute, the current directory is not known",
            printable(path)
        );
        Error::system(Operation::Argument, what, &cause)
    })?;
    let mut rest = path;
    while let Some(shorter) = rest.strip_prefix(b"./") {
        let slashes = shorter.iter().take_while(|&&byte| byte == b'/').count();
        rest = &shorter[slashes..];
    }
    let mut absolute = current.into_os_string().as_bytes().to_vec();
    if absolute.last() != Some(&b'/') {
        absolute.push(b'/');
    }
    absolute.extend_from_slice(rest);
    Ok(absolute)
}

/// Refuses a path that cannot name a socket, whatever the file system holds.
fn check_name(path: &Path) -> Result<()> {
    let shown = printable(path.as_os_str().as_bytes());
    let (_, name) = split(path);
    if matches!(name.as_bytes(), b"" | b"." | b"..") {
        return Err(Error::argument(format!(
            "the socket path \"{shown}\" names a directory: add the socket's own name"
        )));
    }
    if path.as_os_str().len() > DIRECT_MAX && name.len() > NAME_MAX {
        return Err(Error::argument(format!(
            "the file name in the socket path \"{shown}\" has {} bytes: in a path over {DIRECT_MAX} \
             bytes it can have {NAME_MAX}, the directory may be as long as you like",
            name.len()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
