//! Datagrams: who sent them.

use super::*;

#[test]
fn datagrams_say_who_sent_them() {
    let runtime = runtime();
    let folder = Folder::new();
    let config = receiver::Config {
        kind: Kind::Datagram,
        ..receiver::Config::default()
    };
    let receiver = pulling(&runtime, &folder, &config);
    let socket = UnixDatagram::unbound().unwrap();
    socket.send_to(b"<13>hello", folder.path()).unwrap();
    let batch = receiver.recv(usize::MAX, SOON).unwrap();
    let source = batch.source(0).unwrap();
    let peer = source.peer.peer().unwrap().known().unwrap();
    assert_eq!(peer.pid, Some(std::process::id()));
    drop(batch);
    end(&runtime);
}

#[test]
fn an_adopted_datagram_socket_knows_its_senders() {
    let runtime = runtime();
    let folder = Folder::new();
    let socket = UnixDatagram::bind(folder.path()).unwrap();
    let config = receiver::Config {
        kind: Kind::Datagram,
        ..receiver::Config::default()
    };
    let receiver = Receiver::new(&runtime, &config).unwrap();
    let options = ListenerOptions::default();
    receiver
        .add_listener_fd(socket.into(), Adopt::Own, &options)
        .unwrap();
    receiver.start().unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sender.send_to(b"hello", folder.path()).unwrap();
    let batch = receiver.recv(1, SOON).unwrap();
    let source = batch.source(0).unwrap();
    let peer = source.peer.peer().unwrap().known().unwrap();
    assert_eq!(peer.pid, Some(std::process::id()));
    assert!(batch.source(1).is_none() && batch.source(usize::MAX).is_none());
    drop(batch);
    receiver.shutdown(SOON).unwrap();
    receiver.wait(SOON).unwrap();
    assert!(!folder.path().exists());
    end(&runtime);
}
