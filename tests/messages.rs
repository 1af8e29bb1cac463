//! Receiver and producer together, through the safe core.

use hysock::error::Status;
use hysock::message::producer::{self, Flush, Producer};
use hysock::message::receiver::{self, Receiver};
use hysock::message::{Framing, Overflow, flags};
use hysock::runtime::{self, Runtime};
use hysock::socket::Kind;
use hysock::socket::address::Address;
use hysock::socket::listener::{Adopt, ListenerOptions};
use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const SOON: Option<Duration> = Some(Duration::from_secs(20));

struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hysock-m-{}-{n}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn path(&self) -> PathBuf {
        self.0.join("s")
    }

    fn address(&self) -> Address {
        use std::os::unix::ffi::OsStrExt;
        Address::parse(self.path().as_os_str().as_bytes()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn runtime() -> Arc<Runtime> {
    Runtime::start(&runtime::Config::default()).unwrap()
}

fn pulling(runtime: &Arc<Runtime>, folder: &Folder, config: &receiver::Config) -> Arc<Receiver> {
    let receiver = Receiver::new(runtime, config).unwrap();
    let options = ListenerOptions::default();
    receiver.add_listener(&folder.address(), &options).unwrap();
    receiver.start().unwrap();
    receiver
}

fn end(runtime: &Arc<Runtime>) {
    runtime.shutdown(Some(Duration::from_secs(5))).unwrap();
    runtime.wait(SOON).unwrap();
}

/// Pulls `count` entries.
fn pull(receiver: &Receiver, count: usize) -> Vec<(Vec<u8>, u64, u32, u64)> {
    let mut all = Vec::new();
    while all.len() < count {
        let batch = receiver.recv(usize::MAX, SOON).unwrap();
        batch.each(|entry, source, data| {
            all.push((data.to_vec(), source.id, entry.flags, entry.sequence));
        });
    }
    all
}

fn texts(all: Vec<(Vec<u8>, u64, u32, u64)>) -> Vec<String> {
    all.into_iter()
        .map(|(data, ..)| String::from_utf8(data).unwrap())
        .collect()
}

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
fn a_producer_survives_its_receiver() {
    let (one, two) = (runtime(), runtime());
    let folder = Folder::new();
    let config = producer::Config::default();
    let producer = Producer::new(&two, &folder.address(), &config).unwrap();
    producer.send(b"before there is anybody", SOON).unwrap();
    assert_eq!(producer.counts().queued, 1);
    let receiver = pulling(&one, &folder, &receiver::Config::default());
    producer.flush(Flush::Read, SOON).unwrap();
    assert_eq!(texts(pull(&receiver, 1)), ["before there is anybody"]);
    receiver.shutdown(SOON).unwrap();
    receiver.wait(SOON).unwrap();
    producer.send(b"between", SOON).unwrap();
    let receiver = pulling(&one, &folder, &receiver::Config::default());
    assert_eq!(texts(pull(&receiver, 1)), ["between"]);
    producer.send(b"after", SOON).unwrap();
    assert_eq!(texts(pull(&receiver, 1)), ["after"]);
    let report = producer.shutdown(SOON).unwrap();
    assert_eq!(
        (report.delivered, report.in_doubt, report.unsent),
        (3, 0, 0)
    );
    end(&one);
    end(&two);
}

#[test]
fn a_producers_queue_is_bounded() {
    let runtime = runtime();
    let folder = Folder::new();
    let with = |overflow| producer::Config {
        max_queue: 1000,
        overflow,
        ..producer::Config::default()
    };
    let make = |overflow| Producer::new(&runtime, &folder.address(), &with(overflow)).unwrap();
    let fill = |producer: &Producer| -> Vec<Status> {
        (0..20)
            .map(|_| producer.send(&[1; 100], Some(Duration::from_millis(1))))
            .map(|sent| sent.map_or_else(|e| e.status, |()| Status::Ok))
            .collect()
    };
    let blocked = fill(&make(producer::Overflow::Block));
    assert_eq!(blocked.iter().filter(|s| **s == Status::Ok).count(), 6);
    assert_eq!(blocked[19], Status::TimedOut);
    assert_eq!(fill(&make(producer::Overflow::Fail))[19], Status::Limit);
    for overflow in [
        producer::Overflow::DropOldest,
        producer::Overflow::DropNewest,
    ] {
        let producer = make(overflow);
        assert!(fill(&producer).iter().all(|s| *s == Status::Ok));
        let counts = producer.counts();
        assert_eq!(
            counts.queued + counts.dropped_oldest + counts.dropped_newest,
            20
        );
        let report = producer.shutdown(Some(Duration::ZERO)).unwrap();
        assert_eq!((report.unsent, report.dropped), (6, 14));
    }
    end(&runtime);
}

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
fn descriptors_come_with_their_message() {
    for kind in [Kind::Stream, Kind::Seqpacket, Kind::Datagram] {
        let runtime = runtime();
        let folder = Folder::new();
        let config = receiver::Config {
            kind,
            fds: true,
            ..receiver::Config::default()
        };
        let receiver = pulling(&runtime, &folder, &config);
        let config = producer::Config {
            kind,
            fds: true,
            ..producer::Config::default()
        };
        let producer = Producer::new(&runtime, &folder.address(), &config).unwrap();
        producer.send(b"none", SOON).unwrap();
        let (mut read, write) = std::io::pipe().unwrap();
        producer
            .send_with(b"one", vec![write.into()], SOON)
            .unwrap();
        producer.send(b"none again", SOON).unwrap();
        let mut found = Vec::new();
        let mut fds = Vec::new();
        while found.len() < 3 {
            let batch = receiver.recv(usize::MAX, SOON).unwrap();
            let mut index = 0;
            batch.each(|entry, _, data| found.push((data.to_vec(), entry.flags & flags::FDS)));
            while index < batch.len() {
                fds.extend(batch.take_fd(index));
                index += 1;
            }
        }
        let flags: Vec<u32> = found.iter().map(|(_, flags)| *flags).collect();
        assert_eq!(flags, [0, flags::FDS, 0], "{kind:?}");
        let mut write = std::fs::File::from(fds.pop().unwrap());
        write.write_all(b"through").unwrap();
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        end(&runtime);
    }
}

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
fn who_is_sent_away_does_not_come_back_at_once() {
    let runtime = runtime();
    let folder = Folder::new();
    let listener = std::os::unix::net::UnixListener::bind(folder.path()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let config = producer::Config::default();
    let producer = Producer::new(&runtime, &folder.address(), &config).unwrap();
    let end_at = std::time::Instant::now() + Duration::from_millis(500);
    let mut sent = 0;
    while std::time::Instant::now() < end_at {
        drop(listener.accept());
        producer
            .send(b"is anybody there", Some(Duration::ZERO))
            .ok();
        sent += 1;
        std::thread::yield_now();
    }
    let counts = producer.counts();
    assert!(
        sent > 100 && (2..20).contains(&counts.connections),
        "{counts:?}"
    );
    producer.release();
    end(&runtime);
}

#[test]
fn a_flush_tells_of_each_doubt_once() {
    let runtime = runtime();
    let folder = Folder::new();
    let listener = std::os::unix::net::UnixListener::bind(folder.path()).unwrap();
    let config = producer::Config::default();
    let producer = Producer::new(&runtime, &folder.address(), &config).unwrap();
    producer.send(b"never read", SOON).unwrap();
    let (peer, _) = listener.accept().unwrap();
    producer.flush(Flush::Written, SOON).unwrap();
    let unread = producer.flush(Flush::Read, Some(Duration::ZERO));
    assert_eq!(unread.unwrap_err().status, Status::WouldBlock);
    drop(peer);
    let lost = producer.flush(Flush::Read, SOON).unwrap_err();
    assert_eq!(lost.status, Status::Closed, "{lost}");
    producer.flush(Flush::Read, SOON).unwrap();
    let report = producer.shutdown(SOON).unwrap();
    assert_eq!((report.delivered, report.in_doubt), (0, 1));
    end(&runtime);
}

#[test]
fn descriptors_that_nobody_asked_for_are_refused_by_the_kernel() {
    let (major, minor) = kernel();
    let runtime = runtime();
    for kind in [Kind::Stream, Kind::Seqpacket, Kind::Datagram] {
        let folder = Folder::new();
        let config = receiver::Config {
            kind,
            ..receiver::Config::default()
        };
        let receiver = pulling(&runtime, &folder, &config);
        let config = producer::Config {
            kind,
            fds: true,
            ..producer::Config::default()
        };
        let producer = Producer::new(&runtime, &folder.address(), &config).unwrap();
        let (_, write) = std::io::pipe().unwrap();
        let sent = producer.send_with(b"one", vec![write.into()], SOON);
        if (major, minor) >= (6, 16) {
            assert_eq!(sent.unwrap_err().status, Status::Forbidden, "{kind:?}");
            assert_eq!(receiver.counts().fds_refused, 0);
        } else {
            sent.unwrap();
            producer.flush(Flush::Read, SOON).unwrap();
        }
        producer.release();
    }
    end(&runtime);
}

fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap())
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
fn a_full_queue_takes_the_next_message_as_soon_as_there_is_room() {
    let runtime = runtime();
    let folder = Folder::new();
    let socket = UnixDatagram::bind(folder.path()).unwrap();
    socket.set_read_timeout(SOON).unwrap();
    let config = producer::Config {
        kind: Kind::Datagram,
        max_queue: 10_000,
        ..producer::Config::default()
    };
    let producer = Producer::new(&runtime, &folder.address(), &config).unwrap();
    let send = |timeout| producer.send(&[7; 100], Some(timeout));
    while send(Duration::ZERO).is_ok() {}
    let queued = producer.counts().queued;
    // Room for a few, far from half of the queue.
    let mut space = [0; 200];
    for _ in 0..8 {
        assert_eq!(socket.recv(&mut space).unwrap(), 100);
    }
    send(Duration::from_secs(20)).unwrap();
    assert!(
        producer.counts().queued > queued / 2,
        "it has not waited for half"
    );
    producer.release();
    end(&runtime);
}
