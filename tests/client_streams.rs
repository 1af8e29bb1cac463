//! Answers that are read piece by piece, against a server that is nothing but a socket.

mod peers;

use hysock::error::{Result, Status};
use hysock::http::client::{self, Call};
use hysock::http::reading::Piece;
use peers::{Host, LONG, Made, begin, delivered, each, made, made_to_deliver};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

fn call(made: &Made) -> Arc<Call> {
    let call = Call::new(&made.client, b"GET", b"/").unwrap();
    call.set_streaming().unwrap();
    call
}

/// Performed or started, and its head is there.
fn begun(made: &Made, starts: bool) -> Arc<Call> {
    let call = call(made);
    begin(&call, starts).unwrap();
    call
}

/// All that a read gives, and how it ends.
fn read_all(call: &Arc<Call>) -> (Vec<u8>, Status) {
    let mut all = Vec::new();
    loop {
        match call.read(Some(LONG)) {
            Ok(Piece::End) => {
                // It stays so.
                assert_eq!(call.read(Some(LONG)).unwrap(), Piece::End);
                return (all, Status::Ok);
            }
            Ok(piece) => all.extend_from_slice(piece.as_bytes().unwrap()),
            Err(error) => {
                let again = call.read(Some(LONG)).unwrap_err();
                assert_eq!(
                    (again.status, &again.message),
                    (error.status, &error.message)
                );
                assert_eq!(call.outcome().unwrap_err().status, error.status);
                return (all, error.status);
            }
        }
    }
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn every_framing_is_read_to_its_end_and_the_connection_goes_on() {
    each(|with_runtime, starts| {
        let host = Host::new(|mut peer| {
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
            peer.say("56789");
            peer.request().unwrap();
            peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n");
            peer.say("3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nSum: 5\r\n\r\n");
            peer.request().unwrap();
            peer.say("HTTP/1.1 204 No\r\n\r\n");
            peer.request().unwrap();
            peer.say("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end");
        });
        let made = made(&host, with_runtime, &client::Config::default());
        for (length, body, trailer) in [
            (Some(10), "0123456789", None),
            (None, "abcde", Some("5")),
            (Some(0), "", None),
            (None, "to the end", None),
        ] {
            let call = begun(&made, starts);
            assert_eq!(call.content_length(), length);
            assert_eq!(call.trailers(), None);
            assert_eq!(call.body(), None);
            assert_eq!(read_all(&call), (body.into(), Status::Ok));
            assert!(call.outcome().is_ok());
            let sum = call
                .trailers()
                .map(|trailers| trailers["sum"].to_str().unwrap());
            assert_eq!(sum, trailer);
            call.release();
        }
        assert_eq!(host.connections.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_body_that_breaks_is_an_error_and_never_an_end() {
    for (text, body, status) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            "abc",
            Status::Truncated,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "abc",
            Status::Truncated,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nz\r\n",
            "abc",
            Status::Protocol,
        ),
    ] {
        each(|with_runtime, starts| {
            let host = Host::new(move |mut peer| peer.say(text));
            let made = made(&host, with_runtime, &client::Config::default());
            let call = begun(&made, starts);
            assert_eq!(read_all(&call), (body.into(), status), "{text}");
            call.release();
        });
    }
}

/// Reads on by callbacks until the end, of which `done` is told.
fn read_on(call: &Arc<Call>, mut all: Vec<u8>, done: mpsc::Sender<(Vec<u8>, Status)>) {
    let f = move |call: &Arc<Call>, piece: Result<Piece<'_>>| match piece {
        Ok(Piece::End) => done.send((all, Status::Ok)).unwrap(),
        Ok(piece) => {
            all.extend_from_slice(piece.as_bytes().unwrap());
            read_on(call, all, done);
        }
        Err(error) => done.send((all, error.status)).unwrap(),
    };
    call.read_start(Box::new(f)).unwrap();
}

#[test]
fn callbacks_read_in_every_delivery() {
    for index in 0..3 {
        for (cut, status) in [(0, Status::Ok), (1, Status::Truncated)] {
            let host = Host::new(move |mut peer| {
                peer.say("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
                peer.say(&"x".repeat(300_000 - cut));
            });
            let (made, queue) = made_to_deliver(&host, index);
            let call = call(&made);
            let (send, receive) = mpsc::channel();
            call.start(Box::new(move |call, status| {
                assert_eq!((status, call.http_status()), (Status::Ok, 200));
                read_on(call, Vec::new(), send);
                assert_eq!(
                    call.read(Some(Duration::ZERO)).unwrap_err().status,
                    Status::State
                );
            }))
            .unwrap();
            let (all, ended) = delivered(&receive, index, &queue);
            assert_eq!((all.len(), ended), (300_000 - cut, status));
            call.release();
            drop(call);
            drop(made);
        }
    }
}

#[test]
fn nothing_is_read_ahead_and_a_large_body_is_read_whole() {
    const ALL: u64 = 64 << 20;
    each(|with_runtime, starts| {
        let sent = Arc::new(AtomicU64::new(0));
        let count = sent.clone();
        let host = Host::new(move |mut peer| {
            peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {ALL}\r\n\r\n"));
            let piece = [7; 1 << 16];
            while count.load(Ordering::SeqCst) < ALL {
                peer.0.get_mut().write_all(&piece).unwrap();
                count.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
        });
        let made = made(&host, with_runtime, &client::Config::default());
        let call = begun(&made, starts);
        let mut read = 0;
        loop {
            let piece = call.read(Some(LONG)).unwrap();
            let Some(bytes) = piece.as_bytes() else { break };
            read += bytes.len() as u64;
            // What the kernel holds, and a piece.
            let ahead = sent.load(Ordering::SeqCst).saturating_sub(read);
            assert!(
                ahead < 2 << 20,
                "{ahead} bytes were taken that nobody asked for"
            );
        }
        assert_eq!(read, ALL);
        call.release();
    });
}

#[test]
fn a_cancel_ends_a_read_that_waits_at_once_and_closes_the_connection() {
    each(|with_runtime, starts| {
        let (send, closed) = mpsc::channel();
        let host = Host::new(move |mut peer| {
            peer.say(CHUNKED);
            peer.say("1\r\nx\r\n");
            peer.wait_closed();
            send.send(()).unwrap();
        });
        let made = made(&host, with_runtime, &client::Config::default());
        let call = begun(&made, starts);
        assert_eq!(call.read(Some(LONG)).unwrap().as_bytes(), Some(&b"x"[..]));
        let reader = call.clone();
        let thread = thread::spawn(move || {
            loop {
                match reader.read(Some(LONG)) {
                    // The other one looks just now.
                    Err(error) if error.status == Status::State => {}
                    read => return (read, Instant::now()),
                }
            }
        });
        // Until it waits, the reads of others say WOULD_BLOCK.
        let deadline = Instant::now() + LONG;
        while call.read(Some(Duration::ZERO)).unwrap_err().status == Status::WouldBlock {
            assert!(Instant::now() < deadline);
        }
        let begun = Instant::now();
        call.cancel().unwrap();
        let (read, ended) = thread.join().unwrap();
        assert_eq!(read.unwrap_err().status, Status::Cancelled);
        assert!(
            ended - begun < Duration::from_millis(50),
            "{:?}",
            ended - begun
        );
        closed.recv_timeout(LONG).unwrap();
        assert_eq!(call.read(Some(LONG)).unwrap_err().status, Status::Cancelled);
        assert_eq!(call.outcome().unwrap_err().status, Status::Cancelled);
        call.release();
    });
}

#[test]
fn an_answer_that_is_freed_unread_closes_its_connection_and_gives_its_place() {
    each(|with_runtime, starts| {
        let (send, closed) = mpsc::channel();
        let host = Host::new(move |mut peer| {
            peer.say(CHUNKED);
            peer.wait_closed();
            send.send(()).unwrap();
        });
        let config = client::Config {
            max_connections: 1,
            timeout: Some(LONG),
            ..Default::default()
        };
        let made = made(&host, with_runtime, &config);
        for _ in 0..3 {
            let call = begun(&made, starts);
            call.release();
            closed.recv_timeout(LONG).unwrap();
        }
        assert_eq!(host.connections.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn a_read_that_times_out_ends_alone_and_the_calls_limits_end_all() {
    each(|with_runtime, starts| {
        let host = Host::new(|mut peer| {
            peer.say(CHUNKED);
            peer.wait_closed();
        });
        let made = made(&host, with_runtime, &client::Config::default());
        let short = Duration::from_millis(20);
        let idle = call(&made);
        idle.set_idle_timeout(Some(short * 5)).unwrap();
        begin(&idle, starts).unwrap();
        let first = idle.read(Some(short)).unwrap_err();
        assert_eq!(first.status, Status::TimedOut);
        assert!(first.message.contains("in time"), "{first}");
        let start = Instant::now();
        let over = loop {
            let error = idle.read(Some(short)).unwrap_err();
            if !error.message.contains("in time") {
                break error;
            }
            assert!(start.elapsed() < LONG);
        };
        assert_eq!(over.status, Status::TimedOut);
        assert!(over.message.contains("not one byte moved"), "{over}");
        idle.release();
        let total = call(&made);
        total.set_timeout(Some(short * 3)).unwrap();
        begin(&total, starts).unwrap();
        let over = total.read(Some(LONG)).unwrap_err();
        assert!(
            over.message.contains("no whole answer within 60 ms"),
            "{over}"
        );
        total.release();
    });
}

#[test]
fn the_clients_end_cuts_what_is_read_and_what_is_not() {
    each(|with_runtime, starts| {
        let host = Host::new(|mut peer| {
            peer.say(CHUNKED);
            peer.wait_closed();
        });
        let made = made(&host, with_runtime, &client::Config::default());
        let call = begun(&made, starts);
        made.client.shutdown(Some(Duration::ZERO)).unwrap();
        made.client.wait(Some(LONG)).unwrap();
        assert_eq!(call.read(Some(LONG)).unwrap_err().status, Status::ShutDown);
        let refused = call.read_start(Box::new(|_, _| unreachable!()));
        let status = refused.unwrap_err().status;
        assert_eq!(
            status,
            if starts {
                Status::ShutDown
            } else {
                Status::State
            }
        );
        call.release();
    });
}

#[test]
fn what_does_not_stream_cannot_be_read_and_redirects_are_followed_before() {
    each(|with_runtime, starts| {
        let host = Host::new(|mut peer| {
            peer.say("HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 2\r\n\r\nno");
            assert!(peer.request().unwrap().starts_with("GET /b "));
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes");
            peer.request().unwrap();
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall");
        });
        let config = client::Config {
            max_redirects: 3,
            ..Default::default()
        };
        let made = made(&host, with_runtime, &config);
        let call = call(&made);
        let early = call.read(Some(LONG)).unwrap_err();
        assert_eq!(early.status, Status::State);
        begin(&call, starts).unwrap();
        assert_eq!(call.http_status(), 200);
        assert_eq!(read_all(&call), (b"yes".to_vec(), Status::Ok));
        call.release();
        let whole = Call::new(&made.client, b"GET", b"/").unwrap();
        begin(&whole, starts).unwrap();
        assert_eq!(
            (whole.body(), whole.content_length()),
            (Some(&b"all"[..]), Some(3))
        );
        let error = whole.read(Some(LONG)).unwrap_err();
        assert!(error.message.contains("hysock_call_body"), "{error}");
    });
}
