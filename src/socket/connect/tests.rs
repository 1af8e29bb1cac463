use super::super::address::scratch::{Scratch, own_thread, until_in, without_rights};
use super::*;
use crate::error::Status;
use rustix::fs::OFlags;
use rustix::net::SocketType;
use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::sync::mpsc::channel;
use std::thread;

const LONG: Duration = Duration::from_secs(20);

/// A listener whose backlog is full.
pub(crate) struct Full {
    pub(crate) address: Address,
    pub(crate) listener: UnixListener,
    pub(crate) queued: Vec<OwnedFd>,
    _scratch: Scratch,
}

impl Full {
    pub(crate) fn new() -> Full {
        let scratch = Scratch::new();
        let address = scratch.address("full");
        let listener = UnixListener::bind(address.path().unwrap()).unwrap();
        rustix::net::listen(&listener, 1).unwrap();
        let mut queued = Vec::new();
        while queued.len() < 100 {
            match connect_now(&address) {
                Ok(socket) => queued.push(socket),
                Err(error) => {
                    assert_eq!(error.status, Status::Busy, "{error}");
                    return Full {
                        address,
                        listener,
                        queued,
                        _scratch: scratch,
                    };
                }
            }
        }
        panic!("a backlog of 1 took 100 connections");
    }
}

/// Accepts what was queued and `more`; ends with an error when they do not come.
pub(crate) fn accept_all(full: &Full, more: usize) -> Vec<UnixStream> {
    let count = full.queued.len() + more;
    let stop = Instant::now() + LONG;
    full.listener.set_nonblocking(true).unwrap();
    let mut accepted = Vec::new();
    while accepted.len() < count {
        match full.listener.accept() {
            Ok((stream, _)) => accepted.push(stream),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                assert!(Instant::now() < stop, "{} of {count} came", accepted.len());
                let timeout = rustix::time::Timespec {
                    tv_sec: 1,
                    tv_nsec: 0,
                };
                let mut poll = [rustix::event::PollFd::new(
                    &full.listener,
                    rustix::event::PollFlags::IN,
                )];
                rustix::event::poll(&mut poll, Some(&timeout)).unwrap();
            }
        }
    }
    accepted
}

/// How many threads of this process bear a name.
pub(crate) fn threads_named(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|comm| comm.trim_end() == name).count()
}

fn until_in_connect(thread: i32) {
    until_in(thread, libc::SYS_connect);
}

fn error_of(address: &Address) -> Error {
    let now = connect_now(address).unwrap_err();
    let until = connect_until(address, Some(Instant::now() + LONG)).unwrap_err();
    assert_eq!(now, until, "both ways to connect must say the same");
    assert_eq!(now.operation, Operation::Connect);
    assert!(now.message.contains(&address.display()), "{now}");
    now
}

fn assert_fails(address: &Address, status: Status, os_error: i32, text: &str) {
    let error = error_of(address);
    assert_eq!(
        (error.status, error.os_error),
        (status, os_error),
        "{error}"
    );
    assert!(error.message.contains(text), "{error}");
}

/// Blocking, closed on exec, no timeout left on it, and bytes go through.
fn assert_usable(socket: OwnedFd, mut peer: UnixStream) {
    assert!(
        !rustix::fs::fcntl_getfl(&socket)
            .unwrap()
            .contains(OFlags::NONBLOCK)
    );
    let flags = rustix::io::fcntl_getfd(&socket).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    let left = rustix::net::sockopt::socket_timeout(&socket, Timeout::Send).unwrap();
    assert_eq!(left, None);
    let mut stream = UnixStream::from(socket);
    stream.write_all(b"hello").unwrap();
    drop(stream);
    let mut text = String::new();
    peer.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
}

#[test]
fn connects_to_paths_short_and_long_and_to_abstract_names() {
    let scratch = Scratch::new();
    let deep = "d".repeat(150);
    std::fs::create_dir(scratch.join(&deep)).unwrap();
    let name = format!("@hysock-test-{}-{}", std::process::id(), own_thread());
    let addresses = [
        scratch.address("x"),
        scratch.address(&format!("{deep}/x")),
        Address::parse(name.as_bytes()).unwrap(),
    ];
    for address in addresses {
        let flags = SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        address
            .with_sockaddr(|name| rustix::net::bind(&socket, name))
            .unwrap();
        rustix::net::listen(&socket, 8).unwrap();
        let listener = UnixListener::from(socket);
        let one = connect_now(&address).unwrap();
        assert_usable(one, listener.accept().unwrap().0);
        let two = connect_until(&address, Some(Instant::now() + LONG)).unwrap();
        assert_usable(two, listener.accept().unwrap().0);
    }
}

#[test]
fn each_failure_has_its_own_status() {
    let scratch = Scratch::new();
    let at = |name: &str| scratch.join(name);
    assert_fails(
        &scratch.address("none"),
        Status::Absent,
        libc::ENOENT,
        "start its server",
    );
    assert_fails(
        &scratch.address("no/x"),
        Status::Absent,
        libc::ENOENT,
        "there is no directory",
    );

    std::fs::write(at("file"), "").unwrap();
    assert_fails(
        &scratch.address("file"),
        Status::WrongType,
        libc::ECONNREFUSED,
        "a regular file",
    );
    assert_fails(
        &scratch.address("file/x"),
        Status::Absent,
        libc::ENOTDIR,
        "not a directory",
    );
    std::fs::create_dir(at("dir")).unwrap();
    assert_fails(
        &scratch.address("dir"),
        Status::WrongType,
        libc::ECONNREFUSED,
        "a directory",
    );
    std::os::unix::fs::symlink(at("none"), at("link")).unwrap();
    assert_fails(
        &scratch.address("link"),
        Status::Absent,
        libc::ENOENT,
        "no socket at",
    );

    scratch.leave_dead("dead");
    assert_fails(
        &scratch.address("dead"),
        Status::Refused,
        libc::ECONNREFUSED,
        "left over",
    );
    let nobody = Address::parse(b"@hysock-test-nobody").unwrap();
    assert_fails(
        &nobody,
        Status::Refused,
        libc::ECONNREFUSED,
        "nobody listens",
    );

    let _datagram = UnixDatagram::bind(at("datagram")).unwrap();
    assert_fails(
        &scratch.address("datagram"),
        Status::WrongType,
        libc::EPROTOTYPE,
        "not a stream",
    );
    let deep = scratch.address(&format!("{}/x", "d".repeat(150)));
    assert_fails(&deep, Status::Absent, libc::ENOENT, "there is no directory");
    std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
    assert_fails(
        &scratch.address("loop/x"),
        Status::System,
        libc::ELOOP,
        "cannot connect",
    );
}

#[test]
fn without_permission_it_is_forbidden() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let address = scratch.address("closed");
    let _listener = UnixListener::bind(address.path().unwrap()).unwrap();
    let closed = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(address.path().unwrap(), closed.clone()).unwrap();
    let error = without_rights(|| error_of(&address));
    assert_eq!(
        (error.status, error.os_error),
        (Status::Forbidden, libc::EACCES)
    );
    assert!(error.message.contains("write permission"), "{error}");

    std::fs::write(scratch.join("file"), "").unwrap();
    std::fs::set_permissions(scratch.join("file"), closed).unwrap();
    let error = without_rights(|| error_of(&scratch.address("file")));
    assert_eq!(
        (error.status, error.os_error),
        (Status::WrongType, libc::EACCES)
    );
}

#[test]
fn a_full_backlog_is_busy_and_never_refused() {
    let full = Full::new();
    let error = connect_now(&full.address).unwrap_err();
    assert_eq!((error.status, error.os_error), (Status::Busy, libc::EAGAIN));
    let past = Instant::now();
    assert_eq!(
        connect_until(&full.address, Some(past)).unwrap_err().status,
        Status::Busy
    );

    let patience = Duration::from_millis(50);
    let start = Instant::now();
    let error = connect_until(&full.address, Some(start + patience)).unwrap_err();
    assert!(start.elapsed() >= patience);
    assert_eq!((error.status, error.os_error), (Status::Busy, libc::EAGAIN));
    assert!(error.message.contains("stayed full for"), "{error}");
}

#[test]
fn a_freed_place_wakes_the_one_that_waits() {
    for deadline in [None, Some(Instant::now() + LONG)] {
        let full = Full::new();
        let (sender, thread) = channel();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                sender.send(own_thread()).unwrap();
                connect_until(&full.address, deadline)
            });
            until_in_connect(thread.recv().unwrap());
            let mut accepted = accept_all(&full, 1);
            assert_usable(waiting.join().unwrap().unwrap(), accepted.pop().unwrap());
        });
    }
}

#[test]
fn a_listener_that_ends_wakes_the_one_that_waits() {
    let full = Full::new();
    let (sender, thread) = channel();
    let address = full.address.clone();
    let waiting = thread::spawn(move || {
        sender.send(own_thread()).unwrap();
        connect_until(&address, Some(Instant::now() + LONG))
    });
    until_in_connect(thread.recv().unwrap());
    let Full {
        listener, _scratch, ..
    } = full;
    drop(listener);
    assert_eq!(waiting.join().unwrap().unwrap_err().status, Status::Refused);
}

#[test]
fn signals_do_not_end_the_wait() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler does nothing, and no other test uses this signal.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        assert_eq!(
            libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()),
            0
        );
    }
    for deadline in [None, Some(Instant::now() + LONG)] {
        let full = Full::new();
        let (sender, thread) = channel();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                sender.send(own_thread()).unwrap();
                connect_until(&full.address, deadline)
            });
            let thread = thread.recv().unwrap();
            for _ in 0..20 {
                until_in_connect(thread);
                // SAFETY: the thread is in this process and was not joined.
                let sent = unsafe {
                    libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR2)
                };
                assert_eq!(sent, 0);
            }
            until_in_connect(thread);
            assert!(!waiting.is_finished());
            let mut accepted = accept_all(&full, 1);
            assert_usable(waiting.join().unwrap().unwrap(), accepted.pop().unwrap());
        });
    }
}
