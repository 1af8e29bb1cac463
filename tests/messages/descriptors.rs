//! Descriptors that come with messages.

use super::*;

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
