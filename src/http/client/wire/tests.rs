//! Whole exchanges on one connection whose other end is a script: what comes may be cut anywhere.

mod random;

use super::*;
use crate::http::body::Collected;
use crate::limits::UNLIMITED;
use bytes::BufMut;
use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

const MAX_HEAD: usize = 8 * 1024;

/// The other end.
#[derive(Default)]
struct Peer {
    coming: RefCell<BytesMut>,
    /// So much at most comes, and goes, at once; 0 is all.
    cut: Cell<usize>,
    ended: Cell<bool>,
    /// Every second time there is nothing yet.
    rests: Cell<bool>,
    /// But never for what is sent.
    takes_all: Cell<bool>,
    sent: RefCell<Vec<u8>>,
}

impl Peer {
    fn portion(&self, most: usize) -> usize {
        match self.cut.get() {
            0 => most,
            cut => most.min(cut),
        }
    }

    fn pauses(&self) -> bool {
        self.rests.replace(!self.rests.get())
    }
}

impl Transport for &Peer {
    fn poll_receive(
        &self,
        _: &mut Context<'_>,
        into: &mut impl BufMut,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let mut coming = self.coming.borrow_mut();
        let n = self.portion(coming.len().min(most));
        if self.pauses() || (n == 0 && !self.ended.get()) {
            return Poll::Pending;
        }
        assert!(into.chunk_mut().len() >= n, "there is room");
        into.put(coming.split_to(n));
        Poll::Ready(Ok(n))
    }

    fn poll_send(&self, _: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if !self.takes_all.get() && self.pauses() {
            return Poll::Pending;
        }
        let all = bufs.iter().flat_map(|piece| piece.iter());
        let most = bufs.iter().map(|piece| piece.len()).sum();
        let mut sent = self.sent.borrow_mut();
        let before = sent.len();
        sent.extend(all.take(self.portion(most)));
        Poll::Ready(Ok(sent.len() - before))
    }

    fn has_unread(&self) -> bool {
        !self.coming.borrow().is_empty()
    }
}

/// Polls until it is ready; `None` when nothing more comes.
fn run<T>(peer: &Peer, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut in_vain = 0;
    loop {
        let before = (peer.coming.borrow().len(), peer.sent.borrow().len());
        if let Poll::Ready(value) = poll(&mut cx) {
            return Some(value);
        }
        let after = (peer.coming.borrow().len(), peer.sent.borrow().len());
        in_vain = if before == after { in_vain + 1 } else { 0 };
        if in_vain > 4 {
            assert!(after.0 == 0 && !peer.ended.get(), "{after:?} is left");
            return None;
        }
    }
}

/// What came of an answer.
#[derive(Debug, Default, PartialEq)]
struct Got {
    interim: usize,
    status: u16,
    body: Vec<u8>,
    trailers: HeaderMap,
}

/// How a body is read.
#[derive(Clone, Copy)]
enum Way {
    Pieces,
    Whole(u64),
}

fn head(wire: &mut Wire<&Peer>, got: &mut Got) -> Option<Result<Option<u64>, Broken>> {
    let peer = wire.io;
    loop {
        let mut room = HeaderMap::new();
        match run(peer, |cx| wire.poll_head(cx, &mut room))? {
            Ok(begun) if begun.head.is_interim() => got.interim += 1,
            Ok(begun) => {
                got.status = begun.head.status.as_u16();
                return Some(Ok(begun.length));
            }
            Err(error) => return Some(Err(error)),
        }
    }
}

/// The answer to the request that was begun; `None` when it does not come to its end.
fn answer(wire: &mut Wire<&Peer>, way: Way) -> Option<Result<Got, Broken>> {
    let mut got = Got::default();
    let length = match head(wire, &mut got)? {
        Ok(length) => length,
        Err(error) => return Some(Err(error)),
    };
    let read = match way {
        Way::Pieces => pieces(wire, &mut got)?,
        Way::Whole(limit) => whole(wire, &mut got, length, limit)?,
    };
    Some(read.map(|()| got))
}

fn pieces(wire: &mut Wire<&Peer>, got: &mut Got) -> Option<Result<(), Broken>> {
    let peer = wire.io;
    loop {
        match run(peer, |cx| wire.poll_body(cx))? {
            None => return Some(Ok(())),
            Some(Err(error)) => return Some(Err(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => got.body.extend_from_slice(&data),
                Err(frame) => got.trailers = frame.into_trailers().unwrap(),
            },
        }
    }
}

fn whole(
    wire: &mut Wire<&Peer>,
    got: &mut Got,
    length: Option<u64>,
    limit: u64,
) -> Option<Result<(), Broken>> {
    let peer = wire.io;
    let Ok(mut gather) = Gather::new(length.unwrap_or(0), limit, Collected::default()) else {
        return Some(Err(Broken::BodyTooLarge));
    };
    loop {
        match run(peer, |cx| wire.poll_gather(cx, &mut gather))? {
            Ok(Gathered::Data(n)) => assert!(n > 0),
            Ok(Gathered::End(trailers)) => {
                got.trailers = trailers.map_or_else(HeaderMap::new, |trailers| *trailers);
                got.body = gather.finish().as_bytes().unwrap().to_vec();
                return Some(Ok(()));
            }
            Err(error) => return Some(Err(error)),
        }
    }
}

fn wire(peer: &Peer) -> Wire<&Peer> {
    Wire::new(peer, MAX_HEAD)
}

/// Asks, and is answered with this.
fn ask(wire: &mut Wire<&Peer>, text: impl AsRef<[u8]>, way: Way) -> Option<Result<Got, Broken>> {
    wire.request().extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
    wire.begin(Body::Nothing, false, true);
    wire.io.coming.borrow_mut().extend_from_slice(text.as_ref());
    answer(wire, way)
}

fn long(body: usize) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 200 OK\r\ncontent-length: {body}\r\n\r\n").into_bytes();
    text.resize(text.len() + body, b'x');
    text
}

#[test]
fn a_connection_is_used_again_only_behind_an_answer_that_has_an_end_of_its_own() {
    for (text, again) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", true),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhi", false),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhi",
            false,
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi!", false),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi",
            false,
        ),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", false),
    ] {
        for way in [Way::Pieces, Way::Whole(9)] {
            let peer = Peer::default();
            // The rest of a connection may be half of one: the server still reads.
            peer.ended.set(true);
            let mut wire = wire(&peer);
            let got = ask(&mut wire, text, way).unwrap().unwrap();
            assert_eq!(got.body, b"hi");
            assert_eq!(wire.rest(), again, "{text}");
        }
    }
}

#[test]
fn what_follows_a_large_body_is_not_the_next_answer() {
    for len in [BULK, 100_000, BODY_READ, 3 * BODY_READ] {
        for extra in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"] {
            let peer = Peer::default();
            let mut wire = wire(&peer);
            let text = long(len);
            // The head comes for itself, so that the rest is read to where it is collected.
            peer.cut.set(text.len() - len);
            wire.request().extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
            wire.begin(Body::Nothing, false, true);
            peer.coming.borrow_mut().extend_from_slice(&text);
            peer.coming.borrow_mut().extend_from_slice(extra);
            let mut got = Got::default();
            let length = head(&mut wire, &mut got).unwrap().unwrap();
            peer.cut.set(0);
            whole(&mut wire, &mut got, length, UNLIMITED)
                .unwrap()
                .unwrap();
            assert_eq!(got.body.len(), len);
            assert_eq!(wire.rest(), extra.is_empty(), "{len}");
        }
    }
}

#[test]
fn a_connection_that_rests_holds_nothing_large() {
    let peer = Peer::default();
    let mut wire = wire(&peer);
    let body = Arc::new(vec![b'x'; 100_000]);
    struct Shared(Arc<Vec<u8>>);
    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    wire.request().resize(20_000, b'x');
    let sent = Body::Whole(Bytes::from_owner(Shared(body.clone())));
    wire.begin(sent, false, true);
    let text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks = format!("c000\r\n{}\r\n0\r\n\r\n", "x".repeat(0xc000));
    peer.coming.borrow_mut().extend_from_slice(text.as_bytes());
    let mut got = Got::default();
    head(&mut wire, &mut got).unwrap().unwrap();
    peer.coming
        .borrow_mut()
        .extend_from_slice(chunks.as_bytes());
    pieces(&mut wire, &mut got).unwrap().unwrap();
    assert_eq!(
        (got.body.len(), peer.sent.borrow().len()),
        (0xc000, 120_000)
    );
    assert!(wire.rest());
    assert_eq!(Arc::strong_count(&body), 1, "the body is held no longer");
    assert_eq!(wire.input.capacity(), 0);
    assert!(wire.request().capacity() <= ROOM);
}

#[test]
fn a_peer_that_takes_whatever_comes_is_not_sent_all_in_one_turn() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let peer = Peer::default();
    peer.cut.set(10);
    peer.takes_all.set(true);
    let mut wire = wire(&peer);
    wire.begin(Body::Whole(Bytes::from(vec![0; 1000])), false, true);
    let wakes = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(wakes.clone());
    let mut turns = 1;
    while wire.poll_up(&mut Context::from_waker(&waker)).is_pending() {
        assert_eq!(wakes.0.load(Ordering::Relaxed), turns);
        turns += 1;
        assert!(turns < 1000);
    }
    assert_eq!(peer.sent.borrow().len(), 1000);
    assert!(turns > 3, "{turns}");
}

#[test]
fn the_limit_of_a_body_is_exact() {
    for len in [1, 5_000, BULK, 40_000, BODY_READ, 300_000] {
        let body = "x".repeat(len);
        let texts = [
            format!("content-length: {len}\r\n\r\n{body}"),
            format!("\r\n{body}"),
            format!("transfer-encoding: chunked\r\n\r\n{len:x}\r\n{body}\r\n0\r\n\r\n"),
            format!(
                "transfer-encoding: chunked\r\n\r\n1\r\nx\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                len, body
            ),
        ];
        for (i, text) in texts.iter().enumerate() {
            let len = len + usize::from(i == 3);
            for (limit, fits) in [(len, true), (len - 1, false), (len + 1, true)] {
                let peer = Peer::default();
                peer.ended.set(true);
                peer.cut.set(7_000);
                let text = format!("HTTP/1.1 200 OK\r\n{text}");
                let got = ask(&mut wire(&peer), text, Way::Whole(limit as u64)).unwrap();
                match got {
                    Ok(got) => assert!(fits && got.body.len() == len, "{i} {len} {limit}"),
                    Err(Broken::BodyTooLarge) => assert!(!fits, "{i} {len} {limit}"),
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}

#[test]
fn lengths_that_no_memory_has_are_neither_reserved_nor_added_to() {
    for length in [u64::MAX, u64::MAX - 1, 1 << 40] {
        let peer = Peer::default();
        let mut wire = wire(&peer);
        let text = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{}",
            "x".repeat(300_000)
        );
        let got = ask(&mut wire, &text, Way::Whole(UNLIMITED));
        assert!(got.is_none(), "{length}: the rest is still to come");
        peer.ended.set(true);
        let mut gather = Gather::new(length, UNLIMITED, Collected::default()).unwrap();
        let end = run(&peer, |cx| wire.poll_gather(cx, &mut gather)).unwrap();
        assert!(matches!(end, Err(Broken::Ended)));
    }
}

#[test]
fn a_head_is_refused_when_it_is_too_long_or_cannot_become_one() {
    let text = |len: usize| {
        let bare = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\na: \r\n\r\n";
        let value = "x".repeat(len - bare.len());
        format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\na: {value}\r\n\r\n")
    };
    for cut in [0, 1, 1000] {
        let peer = Peer::default();
        peer.cut.set(cut);
        let mut wire = wire(&peer);
        ask(&mut wire, text(MAX_HEAD), Way::Pieces)
            .unwrap()
            .unwrap();
        assert!(wire.rest());
        let got = ask(&mut wire, text(MAX_HEAD + 1), Way::Pieces).unwrap();
        assert!(matches!(got, Err(Broken::HeadTooLarge)), "{cut}");
    }
    let peer = Peer::default();
    peer.cut.set(1000);
    let got = ask(&mut wire(&peer), "\r\n".repeat(MAX_HEAD), Way::Pieces).unwrap();
    assert!(matches!(got, Err(Broken::HeadTooLarge)));
    for garbage in ["Hello", "\r\n\nSSH-2.0", "HTTP/2.0 ", "HTTP/1.1 abc"] {
        let peer = Peer::default();
        peer.cut.set(1);
        let got = ask(&mut wire(&peer), garbage, Way::Pieces);
        assert!(
            matches!(got, Some(Err(Broken::Head(_)))),
            "{garbage}: {got:?}"
        );
    }
}
