//! What is read, and what stays, when a receiver ends.

use super::*;

#[test]
fn what_waits_in_the_backlog_is_read_at_the_end() {
    let config = runtime::Config {
        io_threads: 4,
        ..runtime::Config::default()
    };
    let runtime = Runtime::start(&config).unwrap();
    for round in 0..30 {
        let folder = Folder::new();
        let receiver = pulling(&runtime, &folder, &receiver::Config::default());
        for _ in 0..40 {
            let mut stream = UnixStream::connect(folder.path()).unwrap();
            stream.write_all(b"\0\0\0\x04here").unwrap();
        }
        receiver.shutdown(SOON).unwrap();
        receiver.wait(SOON).unwrap();
        assert_eq!(pull(&receiver, 40).len(), 40, "round {round}");
        let none = receiver.recv(1, Some(Duration::ZERO)).err().unwrap();
        assert_eq!(none.status, Status::ShutDown);
    }
    end(&runtime);
}

#[test]
fn an_end_can_be_hastened() {
    let runtime = runtime();
    let folder = Folder::new();
    let config = receiver::Config {
        max_bytes: 64 * 1024,
        ..receiver::Config::default()
    };
    let receiver = pulling(&runtime, &folder, &config);
    let config = producer::Config::default();
    let producer = Producer::new(&runtime, &folder.address(), &config).unwrap();
    for _ in 0..20 {
        producer.send(&[7; 32 * 1024], SOON).unwrap();
    }
    // Nobody takes anything, so nobody has room: it waits for as long as it may.
    receiver.shutdown(None).unwrap();
    let waited = receiver.wait(Some(Duration::from_millis(300)));
    assert_eq!(waited.unwrap_err().status, Status::TimedOut);
    receiver.shutdown(Some(Duration::ZERO)).unwrap();
    receiver.wait(SOON).unwrap();
    producer.release();
    end(&runtime);
}

#[test]
fn a_socket_of_somebody_elses_stays_as_it_is() {
    let runtime = runtime();
    let folder = Folder::new();
    let listener = std::os::unix::net::UnixListener::bind(folder.path()).unwrap();
    let receiver = Receiver::new(&runtime, &receiver::Config::default()).unwrap();
    let options = ListenerOptions::default();
    let copy = listener.try_clone().unwrap();
    receiver
        .add_listener_fd(copy.into(), Adopt::Keep, &options)
        .unwrap();
    let wrong = UnixDatagram::unbound().unwrap();
    let refused = receiver.add_listener_fd(wrong.into(), Adopt::Keep, &options);
    assert_eq!(refused.unwrap_err().status, Status::WrongType);
    receiver.start().unwrap();
    let mut stream = UnixStream::connect(folder.path()).unwrap();
    stream.write_all(b"\0\0\0\x03yes").unwrap();
    assert_eq!(texts(pull(&receiver, 1)), ["yes"]);
    receiver.shutdown(SOON).unwrap();
    receiver.wait(SOON).unwrap();
    // Who comes later waits for whoever accepts next.
    let mut later = UnixStream::connect(folder.path()).unwrap();
    later.write_all(b"later").unwrap();
    listener.set_nonblocking(false).unwrap();
    let mut text = [0; 5];
    listener.accept().unwrap().0.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"later");
    end(&runtime);
}
