//! What a receiver makes of what comes in.

use super::*;

#[test]
fn every_kind_and_framing_arrives_in_order() {
    let runtime = runtime();
    let modes = [
        (Kind::Stream, Framing::U32Be),
        (Kind::Stream, Framing::U32Le),
        (Kind::Stream, Framing::Delimiter(b'\n')),
        (Kind::Seqpacket, Framing::U32Be),
        (Kind::Datagram, Framing::U32Be),
    ];
    for (kind, framing) in modes {
        let folder = Folder::new();
        let config = receiver::Config {
            kind,
            framing,
            ..receiver::Config::default()
        };
        let receiver = pulling(&runtime, &folder, &config);
        let config = producer::Config {
            kind,
            framing,
            ..producer::Config::default()
        };
        let producer = Producer::new(&runtime, &folder.address(), &config).unwrap();
        let wanted: Vec<String> = (0..5000).map(|n| format!("message {n}")).collect();
        let sender = {
            let (producer, wanted) = (producer.clone(), wanted.clone());
            std::thread::spawn(move || {
                for text in &wanted[..1000] {
                    producer.send(text.as_bytes(), SOON).unwrap();
                }
                let rest = wanted[1000..].iter().map(|text| text.as_bytes());
                let (sent, result) = producer.send_batch(rest, SOON);
                result.unwrap();
                assert_eq!(sent, 4000);
                producer.flush(Flush::Written, SOON).unwrap();
            })
        };
        let all = pull(&receiver, wanted.len());
        assert!(
            all.iter()
                .enumerate()
                .all(|(n, (_, _, _, number))| *number == n as u64)
        );
        assert_eq!(texts(all), wanted, "{kind:?} {framing:?}");
        sender.join().unwrap();
        producer.flush(Flush::Read, SOON).unwrap();
        let report = producer.shutdown(SOON).unwrap();
        assert_eq!(
            (report.delivered, report.in_doubt, report.unsent),
            (5000, 0, 0)
        );
        assert_eq!(receiver.counts().received, 5000);
        assert_eq!(receiver.counts().held, 0);
    }
    end(&runtime);
}

#[test]
fn a_callback_gets_batches_and_events_in_order() {
    let runtime = runtime();
    let folder = Folder::new();
    let config = receiver::Config {
        events: true,
        framing: Framing::Delimiter(b'\n'),
        ..receiver::Config::default()
    };
    let receiver = Receiver::new(&runtime, &config).unwrap();
    let (send, seen) = mpsc::channel();
    receiver
        .on_batch(Box::new(move |_, batch| {
            batch.each(|entry, _, data| {
                send.send((entry.flags, entry.sequence, data.to_vec()))
                    .unwrap();
            });
        }))
        .unwrap();
    receiver
        .add_listener(&folder.address(), &ListenerOptions::default())
        .unwrap();
    receiver.start().unwrap();
    let mut stream = UnixStream::connect(folder.path()).unwrap();
    stream.write_all(b"one\ntwo\nhalf").unwrap();
    drop(stream);
    let next = || seen.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(next().0, flags::CONNECTED);
    assert_eq!(next(), (0, 0, b"one".to_vec()));
    assert_eq!(next(), (0, 1, b"two".to_vec()));
    assert_eq!(next(), (flags::PARTIAL, 2, b"half".to_vec()));
    assert_eq!(next(), (flags::DISCONNECTED, 1, vec![]));
    end(&runtime);
}

#[test]
fn a_full_budget_stops_the_producer_and_loses_nothing() {
    let runtime = runtime();
    let folder = Folder::new();
    let config = receiver::Config {
        max_bytes: 256 * 1024,
        max_bytes_per_producer: 128 * 1024,
        ..receiver::Config::default()
    };
    let receiver = pulling(&runtime, &folder, &config);
    let total = 20_000u64;
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let path = folder.path();
            std::thread::spawn(move || {
                let mut stream = UnixStream::connect(path).unwrap();
                for n in 0..total {
                    let mut frame = 100u32.to_be_bytes().to_vec();
                    frame.extend_from_slice(&n.to_be_bytes());
                    frame.resize(104, 7);
                    stream.write_all(&frame).unwrap();
                }
            })
        })
        .collect();
    let mut next = std::collections::HashMap::<u64, u64>::new();
    let mut count = 0;
    while count < 4 * total {
        // The last read of the I/O thread may bring more messages than it has bytes.
        assert!(receiver.counts().held <= (256 + 64) * 1024);
        let batch = receiver.recv(100, SOON).unwrap();
        batch.each(|_, source, data| {
            let number = u64::from_be_bytes(data[..8].try_into().unwrap());
            let wanted = next.entry(source.id).or_default();
            assert_eq!(number, *wanted);
            *wanted += 1;
            count += 1;
        });
    }
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
    assert_eq!(next.len(), 4);
    assert_eq!(receiver.counts().dropped, 0);
    end(&runtime);
}

#[test]
fn lossy_policies_count_what_they_drop() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let runtime = runtime();
        let folder = Folder::new();
        let config = receiver::Config {
            max_bytes: 64 * 1024,
            overflow,
            ..receiver::Config::default()
        };
        let receiver = pulling(&runtime, &folder, &config);
        let mut stream = UnixStream::connect(folder.path()).unwrap();
        for n in 0..10_000u32 {
            let mut frame = 100u32.to_be_bytes().to_vec();
            frame.extend_from_slice(&n.to_be_bytes());
            frame.resize(104, 7);
            stream.write_all(&frame).unwrap();
        }
        drop(stream);
        runtime.shutdown(Some(Duration::from_secs(5))).unwrap();
        receiver.wait(SOON).unwrap();
        let mut numbers = Vec::new();
        while let Ok(batch) = receiver.recv(usize::MAX, Some(Duration::ZERO)) {
            batch
                .each(|_, _, data| numbers.push(u32::from_be_bytes(data[..4].try_into().unwrap())));
        }
        let dropped = receiver.counts().dropped;
        assert!(dropped > 0);
        assert_eq!(numbers.len() as u64 + dropped, 10_000, "{overflow:?}");
        assert!(numbers.is_sorted());
        match overflow {
            Overflow::DropOldest => assert_eq!(numbers.last(), Some(&9999)),
            _ => assert_eq!(numbers.first(), Some(&0)),
        }
        runtime.wait(SOON).unwrap();
    }
}

#[test]
fn too_long_ends_one_producer_only() {
    let runtime = runtime();
    let folder = Folder::new();
    let config = receiver::Config {
        events: true,
        ..receiver::Config::default()
    };
    let receiver = pulling(&runtime, &folder, &config);
    let mut good = UnixStream::connect(folder.path()).unwrap();
    good.write_all(b"\0\0\0\x02ok").unwrap();
    assert_eq!(pull(&receiver, 2)[1].0, b"ok");
    let mut bad = UnixStream::connect(folder.path()).unwrap();
    bad.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let events = pull(&receiver, 2);
    assert_eq!(events[1].0, b"GET / HTTP/1.1\r\n");
    assert_eq!((events[1].2, events[1].3), (flags::DISCONNECTED, 3));
    let mut rest = Vec::new();
    assert!(bad.read_to_end(&mut rest).is_ok_and(|n| n == 0) || rest.is_empty());
    good.write_all(b"\0\0\0\x03yes").unwrap();
    assert_eq!(pull(&receiver, 1)[0].0, b"yes");
    assert_eq!(receiver.counts().oversize, 1);
    end(&runtime);
}

#[test]
fn one_user_has_a_share_of_the_connections() {
    let runtime = runtime();
    let folder = Folder::new();
    let config = receiver::Config {
        max_connections_per_uid: 2,
        ..receiver::Config::default()
    };
    let receiver = pulling(&runtime, &folder, &config);
    let connect = || {
        let mut stream = UnixStream::connect(folder.path()).unwrap();
        stream.set_read_timeout(SOON).unwrap();
        stream.write_all(b"\0\0\0\x02in").ok();
        stream
    };
    let one = connect();
    let _two = connect();
    assert_eq!(texts(pull(&receiver, 2)), ["in", "in"]);
    let mut three = connect();
    // Closed with the message unread: a reset, or an end when it came before the message.
    assert!(!matches!(three.read(&mut [0]), Ok(1)));
    assert_eq!(receiver.counts().overload, 1);
    drop(one);
    while receiver.counts().producers > 1 {
        std::thread::yield_now();
    }
    let _four = connect();
    assert_eq!(texts(pull(&receiver, 1)), ["in"]);
    end(&runtime);
}

#[test]
fn a_lost_socket_file_is_noticed() {
    let runtime = runtime();
    for kind in [Kind::Stream, Kind::Datagram] {
        let folder = Folder::new();
        let config = receiver::Config {
            kind,
            ..receiver::Config::default()
        };
        let receiver = pulling(&runtime, &folder, &config);
        assert_eq!(receiver.counts().listeners_lost, 0);
        std::fs::remove_file(folder.path()).unwrap();
        let deadline = std::time::Instant::now() + SOON.unwrap();
        while receiver.counts().listeners_lost == 0 {
            assert!(std::time::Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(10));
        }
        receiver.shutdown(SOON).unwrap();
        receiver.wait(SOON).unwrap();
    }
    end(&runtime);
}

#[test]
fn several_receivers_share_one_socket() {
    let runtime = runtime();
    let folder = Folder::new();
    let listener = std::os::unix::net::UnixListener::bind(folder.path()).unwrap();
    let receivers: Vec<_> = (0..2)
        .map(|_| {
            let config = receiver::Config {
                max_connections: 4,
                ..receiver::Config::default()
            };
            let receiver = Receiver::new(&runtime, &config).unwrap();
            let copy = listener.try_clone().unwrap();
            receiver
                .add_listener_fd(copy.into(), Adopt::Keep, &ListenerOptions::default())
                .unwrap();
            receiver.start().unwrap();
            receiver
        })
        .collect();
    let mut streams: Vec<_> = (0..8)
        .map(|_| UnixStream::connect(folder.path()).unwrap())
        .collect();
    for n in 0..100u8 {
        for (id, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&[0, 0, 0, 2, id as u8, n]).unwrap();
        }
    }
    let mut ids = Vec::new();
    for receiver in &receivers {
        let mut next = std::collections::HashMap::<u8, u8>::new();
        for (data, ..) in pull(receiver, 400) {
            let number = next.entry(data[0]).or_default();
            assert_eq!(data[1], *number);
            *number += 1;
        }
        assert_eq!(next.len(), 4);
        ids.extend(next.into_keys());
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..8).collect::<Vec<_>>());
    end(&runtime);
}
