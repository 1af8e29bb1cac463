//! What a producer does with and without a receiver.

use super::*;

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
