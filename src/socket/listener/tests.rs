use super::super::address::scratch::{Scratch, own_thread, until_in, without_rights};
use super::super::connect::{connect_now, connect_until};
use super::*;
use rustix::fs::{Mode, OFlags, inotify};
use rustix::io::Errno;
use rustix::net::AddressFamily;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Barrier;

pub(super) fn options() -> ListenerOptions {
    ListenerOptions::default()
}

fn bind(address: &Address) -> Result<Listener> {
    Listener::bind(address, &options())
}

pub(super) fn refused(
    address: &Address,
    options: &ListenerOptions,
    status: Status,
    text: &str,
) -> Error {
    let error = Listener::bind(address, options).unwrap_err();
    assert_eq!(
        (error.status, error.operation),
        (status, Operation::Bind),
        "{error}"
    );
    assert!(error.message.contains(text), "{error}");
    error
}

pub(super) fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

pub(super) fn inode(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).unwrap().ino()
}

/// Runs `f` under a umask that no other thread sees.
pub(super) fn with_umask<R: Send>(mask: u32, f: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            // SAFETY: no memory is touched; from now on this thread has a umask and a current
            // directory of its own.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_FS) }, 0);
            rustix::process::umask(Mode::from_raw_mode(mask));
            f()
        });
        thread.join().unwrap()
    })
}

#[test]
fn a_listener_serves_and_its_file_ends_with_it() {
    let scratch = Scratch::new();
    let deep = "d".repeat(150);
    std::fs::create_dir(scratch.join(&deep)).unwrap();
    for name in ["x", &format!("{deep}/x")] {
        let address = scratch.address(name);
        let path = address.path().unwrap();
        let listener = bind(&address).unwrap();
        assert_eq!(listener.address(), &address);
        assert_eq!(mode(path), 0o600);
        assert_eq!(listener.accept().unwrap_err(), Errno::AGAIN);
        let client = connect_now(&address).unwrap();
        let served = listener.accept().unwrap();
        for (fd, waits) in [(listener.fd(), false), (served.as_fd(), true)] {
            let status = rustix::fs::fcntl_getfl(fd).unwrap();
            assert_eq!(status.contains(OFlags::NONBLOCK), !waits);
            let flags = rustix::io::fcntl_getfd(fd).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
        rustix::io::write(&served, b"hi").unwrap();
        let mut text = [0; 8];
        assert_eq!(rustix::io::read(&client, &mut text).unwrap(), 2);
        drop(listener);
        assert!(!path.exists());
        bind(&address).unwrap();
    }
}

#[test]
fn the_mode_is_the_wanted_one_whatever_the_umask() {
    let scratch = Scratch::new();
    for mask in [0o000, 0o022, 0o077, 0o777] {
        for wanted in [0o600, 0o660, 0o666, 0o777, 0o200] {
            let address = scratch.address("x");
            let options = ListenerOptions {
                mode: wanted,
                ..options()
            };
            let listener = with_umask(mask, || Listener::bind(&address, &options)).unwrap();
            let got = mode(address.path().unwrap());
            assert_eq!(
                got, wanted,
                "umask {mask:o}: {got:o} in place of {wanted:o}"
            );
            assert_eq!(mode(&scratch.join(".x.lock")), 0o600, "umask {mask:o}");
            drop(listener);
        }
    }
    let options = ListenerOptions {
        mode: 0o4755,
        ..options()
    };
    let error = Listener::bind(&scratch.address("x"), &options).unwrap_err();
    assert_eq!(error.status, Status::InvalidArgument);
    assert!(error.message.contains("4755"), "{error}");
}

#[test]
fn the_file_is_born_with_its_mode() {
    let scratch = Scratch::new();
    let watch =
        inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).unwrap();
    let events = inotify::WatchFlags::CREATE | inotify::WatchFlags::ATTRIB;
    inotify::add_watch(&watch, scratch.path(), events).unwrap();
    let address = scratch.address("x");
    let listener = with_umask(0, || bind(&address)).unwrap();
    assert_eq!(mode(address.path().unwrap()), 0o600);
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&watch, &mut buffer);
    let mut seen = Vec::new();
    loop {
        match reader.next() {
            Ok(event) if event.file_name() == Some(c"x") => seen.push(event.events()),
            Ok(_) => {}
            Err(errno) => {
                assert_eq!(errno, Errno::AGAIN);
                break;
            }
        }
    }
    assert_eq!(
        seen,
        [inotify::ReadFlags::CREATE],
        "its mode was changed after its birth"
    );
    drop(listener);
}

#[test]
fn a_live_listener_keeps_its_path() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let path = address.path().unwrap();
    let first = bind(&address).unwrap();
    let file = inode(path);
    let who = format!("in use by this process, pid {} (uid ", std::process::id());
    let error = refused(&address, &options(), Status::InUse, &who);
    assert_eq!(error.os_error, libc::EADDRINUSE);
    assert!(error.message.starts_with(&address.display()), "{error}");
    assert_eq!(inode(path), file);
    first.accept().unwrap();
    connect_now(&address).unwrap();

    let other = scratch.address("datagram");
    let _datagram = UnixDatagram::bind(other.path().unwrap()).unwrap();
    refused(&other, &options(), Status::InUse, "another type");
}

#[test]
fn a_full_backlog_is_alive() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let options = ListenerOptions {
        backlog: Some(1),
        ..options()
    };
    let first = Listener::bind(&address, &options).unwrap();
    let mut queued = Vec::new();
    while let Ok(socket) = connect_now(&address) {
        queued.push(socket);
        assert!(queued.len() < 100, "the backlog of 1 was not kept");
    }
    refused(&address, &options, Status::InUse, "backlog is full");
    for _ in 0..queued.len() {
        first.accept().unwrap();
    }
    connect_now(&address).unwrap();
}

#[test]
fn a_dead_file_is_replaced_or_refused() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let path = address.path().unwrap();
    scratch.leave_dead("x");
    let file = inode(path);
    let strict = ListenerOptions {
        stale: Stale::Refuse,
        ..options()
    };
    refused(&address, &strict, Status::InUse, "stale");
    assert_eq!(inode(path), file);
    let listener = bind(&address).unwrap();
    connect_now(&address).unwrap();
    drop(listener);
    Listener::bind(&address, &strict).unwrap();
}

#[test]
fn what_is_no_socket_is_never_touched() {
    let scratch = Scratch::new();
    std::fs::write(scratch.join("file"), "precious").unwrap();
    std::fs::create_dir(scratch.join("dir")).unwrap();
    scratch.leave_dead("dead");
    symlink(scratch.join("dead"), scratch.join("link")).unwrap();
    symlink(scratch.join("nowhere"), scratch.join("dangling")).unwrap();
    for (name, text) in [
        ("file", "a regular file"),
        ("dir", "a directory"),
        ("link", "a symbolic link"),
        ("dangling", "a symbolic link"),
    ] {
        let before = inode(&scratch.join(name));
        refused(&scratch.address(name), &options(), Status::WrongType, text);
        assert_eq!(inode(&scratch.join(name)), before);
        assert!(
            !scratch.join(&format!(".{name}.lock")).exists(),
            "a lock was left beside {name}"
        );
    }
    assert_eq!(std::fs::read(scratch.join("file")).unwrap(), b"precious");
    assert!(scratch.join("dead").exists());
    assert!(!scratch.join("nowhere").exists());
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let scratch = Scratch::new();
    let absent = scratch.address("none/x");
    let error = refused(&absent, &options(), Status::Absent, "make the directory");
    assert_eq!(error.os_error, libc::ENOENT);
    let deep = scratch.address(&format!("{}/x", "d".repeat(150)));
    refused(&deep, &options(), Status::Absent, "make the directory");
    std::fs::write(scratch.join("file"), "").unwrap();
    refused(
        &scratch.address("file/x"),
        &options(),
        Status::Absent,
        "not a directory",
    );

    let closed = scratch.join("closed");
    std::fs::create_dir(&closed).unwrap();
    for bits in [0o000, 0o555] {
        std::fs::set_permissions(&closed, Permissions::from_mode(bits)).unwrap();
        let address = scratch.address("closed/x");
        let error = without_rights(|| bind(&address).unwrap_err());
        assert_eq!(
            (error.status, error.os_error),
            (Status::Forbidden, libc::EACCES),
            "{error}"
        );
        assert!(error.message.contains(closed.to_str().unwrap()), "{error}");
    }
    std::fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_socket_that_may_not_be_probed_is_left_alone() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let path = address.path().unwrap();
    scratch.leave_dead("x");
    std::fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
    let error = without_rights(|| bind(&address).unwrap_err());
    assert_eq!(error.status, Status::Forbidden, "{error}");
    assert!(error.message.contains("cannot tell whether"), "{error}");
    assert!(path.exists());
}

#[test]
fn only_our_own_file_is_removed_and_only_once() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let path = address.path().unwrap();
    let old = bind(&address).unwrap();
    std::fs::remove_file(path).unwrap();
    let new = bind(&address).unwrap();
    let file = inode(path);
    old.remove_file().unwrap();
    assert_eq!(inode(path), file);
    drop(old);
    assert_eq!(inode(path), file);

    new.remove_file().unwrap();
    assert!(!path.exists());
    let third = bind(&address).unwrap();
    new.remove_file().unwrap();
    drop(new);
    assert!(path.exists());
    drop(third);
    assert!(!path.exists());
}

#[test]
fn a_file_is_removed_under_the_lock() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let path = address.path().unwrap();
    let listener = bind(&address).unwrap();
    let lock = FileLock::acquire(path).unwrap();
    let (sender, thread) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let removing = scope.spawn(|| {
            sender.send(own_thread()).unwrap();
            listener.remove_file()
        });
        until_in(thread.recv().unwrap(), libc::SYS_clock_nanosleep);
        assert!(path.exists());
        drop(lock);
        removing.join().unwrap().unwrap();
    });
    assert!(!path.exists());
}

#[test]
fn a_file_of_another_process_stays() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let mut inherited = bind(&address).unwrap();
    // What a forked child sees: the same record, under another pid.
    *inherited.file.as_mut().unwrap().owner.as_mut().unwrap() += 1;
    inherited.remove_file().unwrap();
    drop(inherited);
    assert!(address.path().unwrap().exists());
}

#[test]
fn a_start_that_fails_late_leaves_no_file() {
    let scratch = Scratch::new();
    for stale in [Stale::Replace, Stale::TakeOver] {
        let address = scratch.address("x");
        let options = ListenerOptions {
            owner: Some(0),
            stale,
            ..options()
        };
        // Only root can give a file away, and that is found out when there is one.
        let error = without_rights(|| Listener::bind(&address, &options).unwrap_err());
        assert_eq!(
            (error.status, error.os_error),
            (Status::Forbidden, libc::EPERM),
            "{error}"
        );
        assert!(error.message.contains("uid 0"), "{error}");
        let left: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "only the lock: {left:?}");
    }
}

#[test]
fn abstract_names_have_no_file() {
    let name = |end: &str| format!("@hysock-test-{end}-{}", std::process::id()).into_bytes();
    let address = Address::parse(&name("listener")).unwrap();
    let listener = bind(&address).unwrap();
    connect_now(&address).unwrap();
    listener.accept().unwrap();
    refused(
        &address,
        &options(),
        Status::InUse,
        "in use by this process",
    );
    listener.remove_file().unwrap();

    let address = Address::parse(&name("silent")).unwrap();
    let flags = SocketFlags::CLOEXEC;
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
    address
        .with_sockaddr(|name| rustix::net::bind(&socket, name))
        .unwrap();
    refused(&address, &options(), Status::InUse, "does not listen");
}

#[test]
fn of_two_starters_exactly_one_wins() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let path = address.path().unwrap();
    for round in 0..200 {
        if round % 2 == 0 {
            scratch.leave_dead("x");
        }
        let barrier = Barrier::new(2);
        let start = || {
            barrier.wait();
            bind(&address)
        };
        let (one, two) = std::thread::scope(|scope| {
            let other = scope.spawn(start);
            (start(), other.join().unwrap())
        });
        let (winner, loser) = match (one, two) {
            (Ok(winner), Err(loser)) | (Err(loser), Ok(winner)) => (winner, loser),
            other => panic!("round {round}: {other:?}"),
        };
        assert_eq!(loser.status, Status::InUse, "round {round}: {loser}");
        // The loser's probe came first; this one must reach the winner.
        winner.accept().unwrap();
        let deadline = Some(std::time::Instant::now() + std::time::Duration::from_secs(10));
        connect_until(&address, deadline).unwrap();
        winner.accept().unwrap();
        drop(winner);
        assert!(!path.exists(), "round {round}");
    }
}

#[test]
fn one_ends_while_another_starts_and_the_path_is_never_lost() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    for round in 0..200 {
        let old = bind(&address).unwrap();
        let barrier = Barrier::new(2);
        let new = std::thread::scope(|scope| {
            let ending = scope.spawn(|| {
                barrier.wait();
                drop(old);
            });
            barrier.wait();
            let new = bind(&address);
            ending.join().unwrap();
            new
        });
        match new {
            // Removed by the one that ended, it would be out of reach.
            Ok(_new) => drop(connect_now(&address).unwrap()),
            Err(error) => assert_eq!(error.status, Status::InUse, "round {round}: {error}"),
        }
    }
}

#[test]
fn who_has_connected_is_accepted_when_nobody_may_connect_any_more() {
    let scratch = Scratch::new();
    let name = format!("@hysock-refuse-more-{}", std::process::id());
    let abstract_name = Address::parse(name.as_bytes()).unwrap();
    for address in [scratch.address("x"), abstract_name] {
        let listener = bind(&address).unwrap();
        let early: Vec<_> = (0..3).map(|_| connect_now(&address).unwrap()).collect();
        listener.refuse_more();
        assert_eq!(connect_now(&address).unwrap_err().status, Status::Refused);
        for _ in &early {
            listener.accept().unwrap();
        }
        // No more of them, by whatever errno.
        assert!(listener.accept().is_err());
    }
}
