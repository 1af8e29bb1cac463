//! Taking the place of a living socket, and owner and mode of files.

use super::super::address::scratch::{Scratch, without_rights};
use super::super::connect::connect_now;
use super::tests::{inode, mode, options, refused, with_umask};
use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

fn taking() -> ListenerOptions {
    ListenerOptions {
        stale: Stale::TakeOver,
        ..options()
    }
}

fn take_over(address: &Address) -> Listener {
    Listener::bind(address, &taking()).unwrap()
}

#[test]
fn a_live_socket_is_taken_over_and_keeps_what_it_has() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let path = address.path().unwrap();
    let old = take_over(&address);
    assert_eq!(mode(path), 0o600);
    connect_now(&address).unwrap();
    assert_eq!(old.lost(), None);
    let new = take_over(&address);
    assert_eq!((old.lost(), new.lost()), (Some(Lost::Replaced), None));
    assert_eq!(new.address(), &address);
    assert!(!scratch.join(".x.new").exists());
    connect_now(&address).unwrap();
    new.accept().unwrap();
    // What waited in its backlog is still the old one's.
    old.accept().unwrap();
    assert!(old.accept().is_err() && new.accept().is_err());

    let file = inode(path);
    drop(old);
    assert_eq!(inode(path), file);
    drop(new);
    assert!(!path.exists());
}

#[test]
fn a_dead_socket_and_one_of_another_type_are_taken_over_and_nothing_else_is() {
    let scratch = Scratch::new();
    scratch.leave_dead("dead");
    let _datagram = UnixDatagram::bind(scratch.join("datagram")).unwrap();
    for name in ["dead", "datagram", "absent"] {
        let address = scratch.address(name);
        let listener = take_over(&address);
        connect_now(&address).unwrap();
        drop(listener);
        assert!(!address.path().unwrap().exists());
    }
    std::fs::write(scratch.join("file"), "precious").unwrap();
    std::fs::create_dir(scratch.join("dir")).unwrap();
    std::os::unix::fs::symlink(scratch.join("dead"), scratch.join("link")).unwrap();
    for (name, what) in [
        ("file", "regular file"),
        ("dir", "directory"),
        ("link", "symbolic link"),
    ] {
        let address = scratch.address(name);
        let before = inode(address.path().unwrap());
        refused(&address, &taking(), Status::WrongType, what);
        assert_eq!(inode(address.path().unwrap()), before);
        assert!(!scratch.join(&format!(".{name}.new")).exists());
    }
    assert_eq!(std::fs::read(scratch.join("file")).unwrap(), b"precious");
}

#[test]
fn what_a_killed_taker_left_is_in_nobody_s_way() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    scratch.leave_dead(".x.new");
    let _listener = take_over(&address);
    assert!(!scratch.join(".x.new").exists());
    connect_now(&address).unwrap();
    // What is no socket stays, there too.
    std::fs::write(scratch.join(".x.new"), "precious").unwrap();
    refused(&address, &taking(), Status::WrongType, ".x.new");
    assert!(scratch.join(".x.new").exists());
    connect_now(&address).unwrap();
}

#[test]
fn long_paths_are_taken_over() {
    let scratch = Scratch::new();
    let deep = "d".repeat(150);
    std::fs::create_dir(scratch.join(&deep)).unwrap();
    let address = scratch.address(&format!("{deep}/x"));
    let old = take_over(&address);
    let new = take_over(&address);
    assert_eq!(old.lost(), Some(Lost::Replaced));
    connect_now(&address).unwrap();
    new.accept().unwrap();
}

#[test]
fn an_abstract_name_cannot_be_taken_over() {
    let name = format!("@hysock-test-take-over-{}", std::process::id());
    let address = Address::parse(name.as_bytes()).unwrap();
    let _first = take_over(&address);
    refused(&address, &taking(), Status::InUse, "in use by this process");
}

/// From the first listener to the last there is no moment at which connecting fails.
#[test]
fn while_it_is_taken_over_every_connect_succeeds() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let (stop, connects) = (AtomicBool::new(false), AtomicU32::new(0));
    let failures = Mutex::new(Vec::new());
    let mut owners = vec![take_over(&address)];
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    match connect_now(&address) {
                        // More than the backlogs take: it was there, and not refused.
                        Err(error) if error.status != Status::Busy => {
                            failures.lock().unwrap().push(error.message);
                        }
                        _ => {}
                    }
                    connects.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..100 {
            let before = connects.load(Ordering::Relaxed);
            owners.push(take_over(&address));
            while connects.load(Ordering::Relaxed) == before {
                std::thread::yield_now();
            }
            for owner in owners.iter().rev().take(2) {
                for _ in 0..64 {
                    owner.accept().ok();
                }
            }
        }
        stop.store(true, Ordering::Release);
    });
    assert_eq!(failures.into_inner().unwrap(), [""; 0]);
    let last = owners.pop().unwrap();
    assert!(owners.iter().all(|old| old.lost() == Some(Lost::Replaced)));
    assert_eq!(last.lost(), None);
}

#[test]
fn a_file_that_is_taken_away_is_noticed() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let path = address.path().unwrap();
    let listener = Listener::bind(&address, &options()).unwrap();
    assert_eq!(listener.lost(), None);
    std::fs::rename(path, scratch.join("y")).unwrap();
    assert_eq!(listener.lost(), Some(Lost::Removed));
    std::fs::write(path, "").unwrap();
    assert_eq!(listener.lost(), Some(Lost::Replaced));
    std::fs::rename(scratch.join("y"), path).unwrap();
    assert_eq!(listener.lost(), None);
    // Its own removal is nobody's deed.
    listener.remove_file().unwrap();
    assert_eq!(listener.lost(), None);
}

#[test]
fn owner_and_group_are_given_and_the_mode_is_not_open_before() {
    if !rustix::process::geteuid().is_root() {
        return refused_to_others();
    }
    let scratch = Scratch::new();
    let address = scratch.address("x");
    for stale in [Stale::Replace, Stale::TakeOver] {
        for (owner, group, mask) in [
            (Some(4711), None, 0),
            (None, Some(4712), 0o022),
            (Some(4711), Some(4712), 0o777),
        ] {
            let options = ListenerOptions {
                mode: 0o660,
                owner,
                group,
                stale,
                ..options()
            };
            assert_eq!(options.birth_mode(), 0o600);
            let listener = with_umask(mask, || Listener::bind(&address, &options)).unwrap();
            let stat = std::fs::symlink_metadata(address.path().unwrap()).unwrap();
            let wanted = (owner.unwrap_or(0), group.unwrap_or(0), 0o660);
            assert_eq!((stat.uid(), stat.gid(), stat.mode() & 0o7777), wanted);
            connect_now(&address).unwrap();
            drop(listener);
            assert!(!address.path().unwrap().exists());
        }
    }
    refused_to_others();
}

fn refused_to_others() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let options = ListenerOptions {
        group: Some(4712),
        ..options()
    };
    let error = without_rights(|| Listener::bind(&address, &options).unwrap_err());
    assert_eq!(error.status, Status::Forbidden, "{error}");
    assert!(error.message.contains("gid 4712"), "{error}");
}

#[test]
fn root_makes_no_file_where_anybody_may_replace_it() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let free_for_all = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(scratch.path(), free_for_all).unwrap();
    if rustix::process::geteuid().is_root() {
        let error = refused(&address, &options(), Status::Forbidden, "mode is 777");
        assert!(error.message.contains("parent_check"), "{error}");
        assert!(!scratch.join(".x.lock").exists(), "a trace was left");
        refused(&address, &taking(), Status::Forbidden, "mode is 777");
        let unchecked = ListenerOptions {
            parent_check: false,
            ..options()
        };
        Listener::bind(&address, &unchecked).unwrap();
        std::fs::remove_file(scratch.join(".x.lock")).unwrap();
    }
    without_rights(|| Listener::bind(&address, &options()).map(drop)).unwrap();
}

#[test]
fn other_types_of_sockets_have_the_same_life() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let path = address.path().unwrap();
    for kind in [SocketType::SEQPACKET, SocketType::DGRAM] {
        let bind = |options: &ListenerOptions| Listener::bind_as(kind, &address, options);
        let first = bind(&options()).unwrap();
        assert_eq!(mode(path), 0o600);
        let error = bind(&options()).unwrap_err();
        assert_eq!(error.status, Status::InUse, "{error}");
        // A stream's prober meets another type, and leaves it alone.
        refused(&address, &options(), Status::InUse, "another type");
        let second = bind(&taking()).unwrap();
        assert_eq!(first.lost(), Some(Lost::Replaced));
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());

        let socket = rustix::net::socket(rustix::net::AddressFamily::UNIX, kind, None).unwrap();
        let bound = address.with_sockaddr(|name| rustix::net::bind(&socket, name));
        bound.unwrap();
        drop(socket);
        drop(bind(&options()).unwrap());
        assert!(!path.exists(), "a dead one was replaced, and removed");
    }
}
