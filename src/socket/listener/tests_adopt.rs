//! Sockets that somebody else made, and those that go to somebody else.

use super::super::address::scratch::Scratch;
use super::super::connect::{connect_now, probe};
use super::super::peer::Peer;
use super::tests::{inode, options};
use super::*;
use rustix::io::FdFlags;
use rustix::net::AddressFamily;
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

fn adopt(socket: impl Into<OwnedFd>, adopt: Adopt) -> Result<Listener> {
    Listener::adopt(socket.into(), adopt, &options())
}

fn serves(listener: &Listener) {
    while listener.accept().is_ok() {}
    connect_now(listener.address()).unwrap();
    listener.accept().unwrap();
}

#[test]
fn what_was_opened_is_adopted_with_its_file() {
    let scratch = Scratch::new();
    let deep = "d".repeat(150);
    std::fs::create_dir(scratch.join(&deep)).unwrap();
    for name in ["x", &format!("{deep}/x")] {
        for how in [Adopt::Own, Adopt::Keep] {
            let address = scratch.address(name);
            let path = address.path().unwrap();
            let socket = Listener::open(&address, &options()).unwrap();
            let flags = rustix::io::fcntl_getfd(&socket).unwrap();
            assert!(flags.contains(FdFlags::CLOEXEC));
            let waiting = connect_now(&address).unwrap();
            let listener = adopt(socket, how).unwrap();
            assert_eq!(listener.address(), &address);
            assert_eq!(listener.is_shared(), how == Adopt::Keep);
            // Whoever came before is served.
            listener.accept().unwrap();
            drop(waiting);
            serves(&listener);
            std::fs::rename(path, scratch.join("y")).unwrap();
            assert_eq!(listener.lost(), Some(Lost::Removed));
            std::fs::rename(scratch.join("y"), path).unwrap();
            drop(listener);
            assert_eq!(path.exists(), how == Adopt::Keep, "{name} {how:?}");
        }
    }
}

#[test]
fn what_was_opened_and_closed_stays_dead_and_is_replaced() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    drop(Listener::open(&address, &options()).unwrap());
    assert!(address.path().unwrap().exists());
    serves(&Listener::bind(&address, &options()).unwrap());
    let name = format!("@hysock-test-opened-{}", std::process::id());
    let address = Address::parse(name.as_bytes()).unwrap();
    let socket = Listener::open(&address, &options()).unwrap();
    serves(&adopt(socket, Adopt::Own).unwrap());
}

#[test]
fn a_stranger_s_socket_is_adopted_by_its_name() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let path = address.path().unwrap();
    for how in [Adopt::Own, Adopt::Keep] {
        let socket = UnixListener::bind(path).unwrap();
        let listener = adopt(socket, how).unwrap();
        assert_eq!(listener.address(), &address);
        assert_eq!(listener.accept().map(drop).unwrap_or(()), ());
        serves(&listener);
        drop(listener);
        assert_eq!(path.exists(), how == Adopt::Keep);
    }
}

#[test]
fn a_socket_that_was_taken_from_its_path_leaves_the_new_one_alone() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let path = address.path().unwrap();
    // Made by another process: a thread of this one looks like the same listener.
    let mut child = std::process::Command::new("python3")
        .arg("-c")
        .arg("import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print(flush=True); sys.stdin.read()")
        .arg(scratch.join("theirs"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0];
    std::io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut line).unwrap();
    let ours = UnixListener::bind(path).unwrap();
    std::fs::rename(scratch.join("theirs"), path).unwrap();
    let file = inode(path);
    let listener = adopt(ours, Adopt::Own).unwrap();
    assert_eq!(listener.lost(), Some(Lost::Replaced));
    drop(listener);
    assert_eq!(inode(path), file);
    drop(child.stdin.take());
    child.wait().unwrap();
    // The same with nobody there, and with nothing there.
    for remove in [false, true] {
        let name = if remove { "none" } else { "dead" };
        let other = scratch.join(name);
        let ours = UnixListener::bind(&other).unwrap();
        std::fs::remove_file(&other).unwrap();
        if !remove {
            scratch.leave_dead(name);
        }
        let listener = adopt(ours, Adopt::Own).unwrap();
        assert!(listener.lost().is_some());
        drop(listener);
        assert_eq!(other.exists(), !remove);
        // What its keeper does with it is not ours to watch.
        let kept = UnixListener::bind(scratch.join("kept")).unwrap();
        std::fs::remove_file(scratch.join("kept")).unwrap();
        assert_eq!(adopt(kept, Adopt::Keep).unwrap().lost(), None);
    }
}

#[test]
fn a_listener_is_handed_over_with_its_file() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let path = address.path().unwrap();
    for stale in [Stale::Replace, Stale::TakeOver] {
        let options = ListenerOptions { stale, ..options() };
        let old = Listener::bind(&address, &options).unwrap();
        let _waiting = connect_now(&address).unwrap();
        let socket = old.hand_over().unwrap();
        assert!(old.is_handed_over() && old.is_shared());
        assert_eq!(old.hand_over().unwrap_err().status, Status::State);
        old.remove_file().unwrap();
        drop(old);
        assert!(path.exists());
        let new = adopt(socket, Adopt::Own).unwrap();
        assert_eq!(new.address(), &address, "by the path that it stands at");
        new.accept().unwrap();
        assert_eq!(new.lost(), None);
        serves(&new);
        drop(new);
        assert!(!path.exists());
    }
}

#[test]
fn who_adopts_as_his_own_is_whom_clients_see() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let script = "import socket, sys, os\n\
        s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()\n\
        p = socket.socket(fileno=0); socket.send_fds(p, [b'x'], [s.fileno()])";
    let (here, there) = UnixStream::pair().unwrap();
    let status = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(address.path().unwrap())
        .stdin(OwnedFd::from(there))
        .status()
        .unwrap();
    assert!(status.success());
    let pid = |address: &Address| {
        let client = probe(address, SocketType::STREAM).unwrap().unwrap();
        Peer::of(client).unwrap().known().unwrap().pid
    };
    assert_ne!(pid(&address), Some(std::process::id()));
    let listener = adopt(receive_fd(&here), Adopt::Own).unwrap();
    assert_eq!(pid(&address), Some(std::process::id()));
    drop(listener);
    assert!(!address.path().unwrap().exists());
}

fn receive_fd(from: &UnixStream) -> OwnedFd {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut bytes = [std::io::IoSliceMut::new(&mut byte)];
    recvmsg(from, &mut bytes, &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
    ancillary
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        })
        .unwrap()
}

#[test]
fn what_cannot_be_listened_on_is_refused() {
    let scratch = Scratch::new();
    let refused = |socket: OwnedFd, status: Status, text: &str| {
        for how in [Adopt::Own, Adopt::Keep] {
            let error = adopt(socket.try_clone().unwrap(), how).unwrap_err();
            assert_eq!(error.status, status, "{error}");
            assert!(error.message.contains(text), "{error}");
        }
    };
    let file = std::fs::File::open("/dev/null").unwrap();
    refused(file.into(), Status::WrongType, "no socket");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    refused(tcp.into(), Status::WrongType, "another family");
    let datagram = UnixDatagram::bind(scratch.join("d")).unwrap();
    refused(datagram.into(), Status::WrongType, "a datagram socket");
    let (connected, _other) = UnixStream::pair().unwrap();
    refused(connected.into(), Status::InvalidArgument, "does not listen");
    let fresh = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    refused(fresh, Status::InvalidArgument, "does not listen");
}

#[test]
fn connections_are_told_from_what_is_none() {
    let scratch = Scratch::new();
    let check = |socket: &dyn AsFd| check_connected(socket.as_fd(), SocketType::STREAM);
    let (one, other) = UnixStream::pair().unwrap();
    check(&one).unwrap();
    drop(other);
    check(&one).unwrap();
    let listener = UnixListener::bind(scratch.join("x")).unwrap();
    let error = check(&listener).unwrap_err();
    assert!(error.message.contains("not connected"), "{error}");
    let (datagram, _other) = UnixDatagram::pair().unwrap();
    assert_eq!(check(&datagram).unwrap_err().status, Status::WrongType);
}

#[test]
fn a_relative_path_is_nobody_s_to_own() {
    let scratch = Scratch::new();
    // Another current directory would be another's: this thread gets its own.
    std::thread::scope(|scope| {
        let in_scratch = || {
            // SAFETY: no memory is touched.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_FS) }, 0);
            rustix::process::chdir(scratch.path()).unwrap();
            let socket = UnixListener::bind("x").unwrap();
            let error = adopt(socket.try_clone().unwrap(), Adopt::Own).unwrap_err();
            assert_eq!(error.status, Status::InvalidArgument, "{error}");
            let listener = adopt(socket, Adopt::Keep).unwrap();
            assert!(!listener.has_file());
            drop(listener);
        };
        scope.spawn(in_scratch).join().unwrap();
    });
    assert!(scratch.join("x").exists());
}
