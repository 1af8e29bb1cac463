//! A directory of its own for a test, removed at the end.

use super::Address;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Open to every user, so that tests may act as another one, and sticky, so that root may use it.
    pub(crate) fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hysock-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o1777)).unwrap();
        Scratch(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The address of a socket in this directory.
    pub(crate) fn address(&self, name: &str) -> Address {
        Address::parse(self.join(name).as_os_str().as_bytes()).unwrap()
    }

    /// Leaves a dead socket file. It never listened, so a copy of the socket in a child that another
    /// test has just forked cannot make it look alive.
    pub(crate) fn leave_dead(&self, name: &str) {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        );
        let socket = socket.unwrap();
        self.address(name)
            .with_sockaddr(|name| rustix::net::bind(&socket, name))
            .unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs `f` on a thread without root's rights, and gives its result.
pub(crate) fn without_rights<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::process::Uid::from_raw(65534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            f()
        });
        thread.join().unwrap()
    })
}

/// The id of this thread, for [`until_in`].
pub(crate) fn own_thread() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Waits until a thread sits in a system call.
pub(crate) fn until_in(thread: i32, call: libc::c_long) {
    let stop = Instant::now() + Duration::from_secs(20);
    let wanted = format!("{call} ");
    let file = format!("/proc/self/task/{thread}/syscall");
    while !std::fs::read_to_string(&file).unwrap().starts_with(&wanted) {
        assert!(
            Instant::now() < stop,
            "the thread never came to call {call}"
        );
        std::thread::yield_now();
    }
}
