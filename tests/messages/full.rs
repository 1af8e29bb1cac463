//! Sockets that keep messages apart, when their queue in the kernel is full and a producer's too: whoever
//! sends then writes for itself.

use super::*;

const KINDS: [Kind; 2] = [Kind::Datagram, Kind::Seqpacket];

/// A receiver that is soon full, and a producer that is even sooner.
fn narrow(runtime: &Arc<Runtime>, folder: &Folder, kind: Kind) -> (Arc<Receiver>, Arc<Producer>) {
    let config = receiver::Config {
        kind,
        max_bytes: 8 * 1024,
        max_message: 1024,
        ..receiver::Config::default()
    };
    let receiver = pulling(runtime, folder, &config);
    let config = producer::Config {
        kind,
        max_queue: 4 * 1024,
        ..producer::Config::default()
    };
    let producer = Producer::new(runtime, &folder.address(), &config).unwrap();
    (receiver, producer)
}

/// Sends until there is no room, here or in the kernel, for a while.
fn fill(producer: &Producer, sender: u32) -> u32 {
    let mut sent = 0;
    while producer
        .send(&message(sender, sent), Some(Duration::from_millis(100)))
        .is_ok()
    {
        sent += 1;
    }
    sent
}

fn message(sender: u32, number: u32) -> Vec<u8> {
    let mut message = sender.to_be_bytes().to_vec();
    message.extend_from_slice(&number.to_be_bytes());
    message.resize(100, 7);
    message
}

/// Sender and number.
fn parse(data: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
    assert_eq!(data.len(), 100);
    (word(0), word(4))
}

/// Takes all of `counts`, of each sender in order.
fn expect(receiver: &Receiver, counts: &[u32]) {
    let mut next = vec![0; counts.len()];
    while next != counts {
        for (data, ..) in pull(receiver, 1) {
            let (sender, number) = parse(&data);
            assert_eq!(number, next[sender as usize], "of sender {sender}");
            next[sender as usize] += 1;
        }
    }
}

#[test]
fn senders_that_wait_write_for_themselves_in_order_and_once() {
    let runtime = runtime();
    for kind in KINDS {
        let folder = Folder::new();
        let (receiver, producer) = narrow(&runtime, &folder, kind);
        let senders: Vec<_> = (0..3)
            .map(|sender| {
                let producer = producer.clone();
                std::thread::spawn(move || {
                    for n in 0..4000 {
                        let timeout = match n % 3 {
                            0 => None,
                            1 => SOON,
                            _ => Some(Duration::ZERO),
                        };
                        let message = message(sender, n);
                        while let Err(error) = producer.send(&message, timeout) {
                            assert_eq!(error.status, Status::WouldBlock);
                        }
                    }
                })
            })
            .collect();
        // By then they all wait.
        while producer.counts().queued < 20 {
            std::thread::yield_now();
        }
        expect(&receiver, &[4000; 3]);
        senders.into_iter().for_each(|s| s.join().unwrap());
        let report = producer.shutdown(SOON).unwrap();
        assert_eq!((report.delivered, report.in_doubt), (12_000, 0), "{kind:?}");
        receiver.shutdown(SOON).unwrap();
    }
    end(&runtime);
}

#[test]
fn a_batch_goes_out_whole_across_a_full_queue() {
    let runtime = runtime();
    for kind in KINDS {
        let folder = Folder::new();
        let (receiver, producer) = narrow(&runtime, &folder, kind);
        let sender = {
            let producer = producer.clone();
            std::thread::spawn(move || {
                let messages: Vec<_> = (0..5000).map(|n| message(0, n)).collect();
                producer.send_batch(messages.iter().map(|m| &m[..]), SOON)
            })
        };
        expect(&receiver, &[5000]);
        let (sent, result) = sender.join().unwrap();
        result.unwrap();
        assert_eq!((sent, producer.counts().dropped_newest), (5000, 0));
        producer.flush(Flush::Read, SOON).unwrap();
        producer.release();
        receiver.shutdown(SOON).unwrap();
    }
    end(&runtime);
}

#[test]
fn whoever_waits_keeps_to_its_time_and_holds_up_nobody() {
    let runtime = runtime();
    for kind in KINDS {
        let folder = Folder::new();
        let (receiver, producer) = narrow(&runtime, &folder, kind);
        let sent = fill(&producer, 0);
        for limit in [1, 20, 200] {
            let begin = Instant::now();
            let error = producer
                .send(&message(2, 0), Some(Duration::from_millis(limit)))
                .unwrap_err();
            let passed = begin.elapsed().as_millis() as u64;
            assert_eq!(error.status, Status::TimedOut);
            assert!((limit..limit + 1000).contains(&passed), "{passed} ms");
        }
        let waiting = {
            let producer = producer.clone();
            std::thread::spawn(move || producer.send(&message(1, 0), None))
        };
        // While that one waits in the kernel others get their answers at once.
        for _ in 0..50 {
            let refused = producer
                .send(&message(2, 0), Some(Duration::ZERO))
                .unwrap_err();
            assert_eq!(refused.status, Status::WouldBlock);
            assert!(producer.counts().queued > 0);
            let unread = producer.flush(Flush::Written, Some(Duration::from_millis(1)));
            assert_eq!(unread.unwrap_err().status, Status::TimedOut);
        }
        expect(&receiver, &[sent, 1]);
        waiting.join().unwrap().unwrap();
        producer.release();
        receiver.shutdown(SOON).unwrap();
    }
    end(&runtime);
}

#[test]
fn the_end_of_a_producer_reaches_those_that_wait() {
    let runtime = runtime();
    for kind in KINDS {
        let folder = Folder::new();
        let (receiver, producer) = narrow(&runtime, &folder, kind);
        let sent = fill(&producer, 0);
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let producer = producer.clone();
                std::thread::spawn(move || producer.send(&message(1, 0), None))
            })
            .collect();
        let begin = Instant::now();
        let report = producer.shutdown(Some(Duration::from_millis(50))).unwrap();
        assert!(begin.elapsed() < Duration::from_secs(5));
        for one in waiting {
            assert_eq!(one.join().unwrap().unwrap_err().status, Status::ShutDown);
        }
        assert!(report.unsent > 0);
        let all = report.delivered + report.in_doubt + report.unsent;
        assert_eq!(all, u64::from(sent), "{report:?}");
        receiver.shutdown(Some(Duration::ZERO)).unwrap();
    }
    end(&runtime);
}

#[test]
fn a_receiver_that_dies_lets_those_go_that_wait_for_it() {
    let runtime = runtime();
    for kind in KINDS {
        let folder = Folder::new();
        let (receiver, producer) = narrow(&runtime, &folder, kind);
        let sent = fill(&producer, 0);
        let waiting = {
            let producer = producer.clone();
            std::thread::spawn(move || producer.send(&message(1, 0), None))
        };
        receiver.release();
        receiver.wait(SOON).unwrap();
        let (receiver, _) = narrow(&runtime, &folder, kind);
        // What was not written yet comes to the next one, nothing twice.
        let mut seen = Vec::new();
        while !seen.contains(&(1, 0)) {
            seen.extend(pull(&receiver, 1).iter().map(|(data, ..)| parse(data)));
        }
        assert_eq!(seen.pop(), Some((1, 0)));
        let first = sent - seen.len() as u32;
        let wanted: Vec<_> = (first..sent).map(|number| (0, number)).collect();
        assert_eq!(seen, wanted);
        waiting.join().unwrap().unwrap();
        let report = producer.shutdown(SOON).unwrap();
        let all = report.delivered + report.in_doubt;
        assert_eq!((all, report.unsent), (u64::from(sent) + 1, 0));
        receiver.shutdown(SOON).unwrap();
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
