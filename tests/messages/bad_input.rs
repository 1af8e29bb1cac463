//! Each row of what bad input gets: counted, told, and no other producer notices.

use super::*;
use hysock::message::Reason;
use hysock::socket::policy::Rule;

/// A receiver with events, limits of its own, and a good producer, whose connect was taken.
fn observed(runtime: &Arc<Runtime>, folder: &Folder, config: receiver::Config) -> Arc<Receiver> {
    let config = receiver::Config {
        events: true,
        ..config
    };
    pulling(runtime, folder, &config)
}

fn lines() -> receiver::Config {
    receiver::Config {
        framing: Framing::Delimiter(b'\n'),
        max_message: 8,
        ..receiver::Config::default()
    }
}

/// Flags, code and bytes of the next `count` entries.
fn next(receiver: &Receiver, count: usize) -> Vec<(u32, u64, String)> {
    let all = pull(receiver, count).into_iter();
    all.map(|(data, _, flags, code)| (flags, code, String::from_utf8(data).unwrap()))
        .collect()
}

fn gone(reason: Reason, data: &str) -> (u32, u64, String) {
    (flags::DISCONNECTED, reason as u64, data.into())
}

#[test]
fn a_length_over_the_limit_closes_one_and_shows_who_and_how() {
    let runtime = runtime();
    let folder = Folder::new();
    let receiver = observed(&runtime, &folder, receiver::Config::default());
    let mut bad = UnixStream::connect(folder.path()).unwrap();
    // 1.19 GB, read as a length.
    bad.write_all(b"GET /index.html HTTP/1.1\r\n").unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let batch = receiver.recv(1, SOON).unwrap();
        batch.each(|entry, source, data| {
            let peer = source.peer.peer().unwrap().known().unwrap();
            assert_eq!(peer.pid, Some(std::process::id()));
            seen.push((entry.flags, entry.sequence, data.to_vec()));
        });
    }
    assert_eq!(
        seen[1],
        (flags::DISCONNECTED, 3, b"GET /index.html ".to_vec())
    );
    assert_eq!(receiver.counts().oversize, 1);
    end(&runtime);
}

#[test]
fn a_line_that_is_too_long_is_skipped_and_its_producer_stays() {
    let runtime = runtime();
    let folder = Folder::new();
    let receiver = observed(&runtime, &folder, lines());
    let mut stream = UnixStream::connect(folder.path()).unwrap();
    stream.write_all(b"12345678\n123456789\nstill\n").unwrap();
    stream.write_all(&[b'x'; 100_000]).unwrap();
    stream.write_all(b"\nhere\n").unwrap();
    let all = next(&receiver, 4);
    let found: Vec<_> = all
        .iter()
        .map(|(flags, n, s)| (*flags, *n, &s[..]))
        .collect();
    // The numbers show the gaps.
    let wanted = [
        (flags::CONNECTED, 0, ""),
        (0, 0, "12345678"),
        (0, 2, "still"),
        (0, 4, "here"),
    ];
    assert_eq!(found, wanted);
    assert_eq!(receiver.counts().skipped, 2);
    end(&runtime);
}

#[test]
fn an_end_inside_a_frame_discards_it() {
    let runtime = runtime();
    let folder = Folder::new();
    let receiver = observed(&runtime, &folder, receiver::Config::default());
    for cut in ["\0\0", "\0\0\0\x05", "\0\0\0\x05hell"] {
        let mut stream = UnixStream::connect(folder.path()).unwrap();
        stream.write_all(b"\0\0\0\x02ok").unwrap();
        stream.write_all(cut.as_bytes()).unwrap();
        drop(stream);
        let all = next(&receiver, 3);
        assert_eq!(all[1], (0, 0, "ok".into()));
        assert_eq!(all[2], gone(Reason::Truncated, ""));
    }
    assert_eq!(receiver.counts().truncated, 3);
    assert_eq!(receiver.counts().received, 3);
    end(&runtime);
}

#[test]
fn a_probe_is_nothing() {
    let runtime = runtime();
    let folder = Folder::new();
    let quiet = pulling(&runtime, &folder, &receiver::Config::default());
    drop(UnixStream::connect(folder.path()).unwrap());
    let mut stream = UnixStream::connect(folder.path()).unwrap();
    stream.write_all(b"\0\0\0\x05after").unwrap();
    assert_eq!(texts(pull(&quiet, 1)), ["after"]);
    let counts = quiet.counts();
    assert_eq!((counts.truncated, counts.received), (0, 1));
    quiet.shutdown(SOON).unwrap();
    quiet.wait(SOON).unwrap();
    let receiver = observed(&runtime, &folder, receiver::Config::default());
    drop(UnixStream::connect(folder.path()).unwrap());
    assert_eq!(next(&receiver, 2)[1], gone(Reason::Closed, ""));
    end(&runtime);
}

#[test]
fn a_message_under_way_may_not_stand_still() {
    let runtime = runtime();
    let folder = Folder::new();
    let config = receiver::Config {
        frame_timeout: Some(Duration::from_millis(50)),
        ..receiver::Config::default()
    };
    let receiver = observed(&runtime, &folder, config);
    // Silent from the first byte on: normal.
    let _idle = UnixStream::connect(folder.path()).unwrap();
    next(&receiver, 1);
    let mut stream = UnixStream::connect(folder.path()).unwrap();
    stream.write_all(b"\0\0\0\x05ab").unwrap();
    assert_eq!(next(&receiver, 2)[1], gone(Reason::TimedOut, ""));
    assert_eq!(receiver.counts().timed_out, 1);
    let deadline = Instant::now() + SOON.unwrap();
    while receiver.counts().producers != 1 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    end(&runtime);
}

#[test]
fn who_may_not_come_is_told_of_as_long_as_there_is_room() {
    let runtime = runtime();
    let folder = Folder::new();
    let config = receiver::Config {
        events: true,
        max_bytes: 64 * 1024,
        ..receiver::Config::default()
    };
    let receiver = Receiver::new(&runtime, &config).unwrap();
    let mut options = ListenerOptions::default();
    options
        .allow
        .add(Rule::Uid(rustix::process::getuid().as_raw() + 1));
    receiver.add_listener(&folder.address(), &options).unwrap();
    receiver.start().unwrap();
    let rejected = |n: u64| {
        let mut stream = UnixStream::connect(folder.path()).unwrap();
        stream.set_read_timeout(SOON).unwrap();
        assert!(!matches!(stream.read(&mut [0]), Ok(1)));
        assert_eq!(receiver.counts().forbidden, n);
    };
    rejected(1);
    assert_eq!(next(&receiver, 1), [gone(Reason::Rejected, "")]);
    // Nobody takes these, and they do not fill the memory.
    (2..3000).for_each(rejected);
    assert!(receiver.counts().held <= 64 * 1024 + 48);
    assert_eq!(receiver.counts().producers_total, 0);
    end(&runtime);
}

#[test]
fn what_is_sent_over_the_limit_is_refused_and_not_queued() {
    let runtime = runtime();
    for kind in [Kind::Stream, Kind::Seqpacket, Kind::Datagram] {
        let folder = Folder::new();
        let config = receiver::Config {
            kind,
            ..receiver::Config::default()
        };
        let receiver = pulling(&runtime, &folder, &config);
        let make = |max_message| {
            let config = producer::Config {
                kind,
                max_message,
                ..producer::Config::default()
            };
            Producer::new(&runtime, &folder.address(), &config).unwrap()
        };
        let producer = make(100);
        let refused = producer.send(&[1; 101], SOON).unwrap_err();
        assert_eq!(refused.status, Status::TooLarge, "{kind:?}");
        assert_eq!(producer.counts().queued, 0);
        producer.send(&[1; 100], SOON).unwrap();
        if kind != Kind::Stream {
            // The socket's own limit is its send buffer.
            let refused = make(1 << 20).send(&[1; 1 << 20], SOON).unwrap_err();
            assert_eq!(refused.status, Status::TooLarge, "{kind:?}");
        }
        if kind == Kind::Seqpacket {
            let empty = producer.send(b"", SOON).unwrap_err();
            assert_eq!(empty.status, Status::InvalidArgument);
        }
        assert_eq!(pull(&receiver, 1)[0].0.len(), 100);
        receiver.shutdown(SOON).unwrap();
    }
    end(&runtime);
}

#[test]
fn a_wrong_socket_type_is_told_at_once_and_not_tried_again() {
    let runtime = runtime();
    let folder = Folder::new();
    let _socket = UnixDatagram::bind(folder.path()).unwrap();
    let config = producer::Config::default();
    let producer = Producer::new(&runtime, &folder.address(), &config).unwrap();
    let error = producer.send(b"x", SOON).unwrap_err();
    assert_eq!(error.status, Status::WrongType, "{error}");
    let counts = producer.counts();
    assert_eq!((counts.queued, counts.connections), (0, 0));
    let receiver = Receiver::new(&runtime, &receiver::Config::default()).unwrap();
    let options = ListenerOptions::default();
    let error = receiver
        .add_listener(&folder.address(), &options)
        .unwrap_err();
    assert!(
        matches!(error.status, Status::InUse | Status::WrongType),
        "{error}"
    );
    end(&runtime);
}
