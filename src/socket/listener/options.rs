//! What a listener's file shall be, and what happens to one that is there already.

use crate::error::{Error, Result};
use crate::socket::policy::Allow;

/// The bits that a socket file's mode may have.
const PERMISSIONS: u32 = 0o777;

/// What to do with a socket file that is at the path already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// It stays, and the bind fails.
    Refuse,
    /// One that nobody listens on is replaced.
    Replace,
    /// Whatever socket is there is replaced by renaming: the path is never absent.
    TakeOver,
}

#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Permission bits of the file; the umask does not touch them.
    pub mode: u32,
    /// Who shall own the file; who makes it, by default.
    pub owner: Option<u32>,
    pub group: Option<u32>,
    /// Connections that may wait to be accepted; the system's most by default.
    pub backlog: Option<u32>,
    pub stale: Stale,
    /// Root makes no file where anybody can put another one in its place.
    pub parent_check: bool,
    /// Whose connections are served.
    pub allow: Allow,
}

impl Default for ListenerOptions {
    fn default() -> ListenerOptions {
        ListenerOptions {
            mode: 0o600,
            owner: None,
            group: None,
            backlog: None,
            stale: Stale::Replace,
            parent_check: true,
            allow: Allow::default(),
        }
    }
}

impl ListenerOptions {
    pub(super) fn check(&self) -> Result<()> {
        if self.mode & !PERMISSIONS != 0 {
            return Err(Error::argument(format!(
                "the socket mode {:o} has bits beyond {PERMISSIONS:o}",
                self.mode
            )));
        }
        Ok(())
    }

    /// The bits that the file is born with: only its owner's while it is not yet whose it shall be.
    pub(super) fn birth_mode(&self) -> u32 {
        if self.owner.is_some() || self.group.is_some() {
            self.mode & 0o700
        } else {
            self.mode
        }
    }
}
