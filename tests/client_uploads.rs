//! Bodies that are given piece by piece and answers that go to descriptors, against a server that is nothing
//! but a socket.

mod peers;

use hysock::error::Status;
use hysock::http::client::{self, BodyFn, Call, Moved};
use hysock::socket::address::Address;
use peers::{Host, LONG, Made, Peer, begin, delivered, each, made, made_for, made_to_deliver};
use std::io::{BufRead, Read, Seek, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

/// The body of a request with this head, and the trailers behind it.
fn body(peer: &mut Peer, head: &str) -> (Vec<u8>, String) {
    let head = head.to_ascii_lowercase();
    if let Some(at) = head.find("content-length: ") {
        let length: String = head[at + 16..]
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let mut body = vec![0; length.parse().unwrap()];
        peer.0.read_exact(&mut body).unwrap();
        return (body, String::new());
    }
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    let (mut body, mut trailers) = (Vec::new(), String::new());
    loop {
        let mut line = String::new();
        peer.0.read_line(&mut line).unwrap();
        let len = usize::from_str_radix(line.trim(), 16).unwrap();
        if len == 0 {
            break;
        }
        let start = body.len();
        body.resize(start + len + 2, 0);
        peer.0.read_exact(&mut body[start..]).unwrap();
        body.truncate(start + len);
    }
    loop {
        let mut line = String::new();
        peer.0.read_line(&mut line).unwrap();
        if line == "\r\n" {
            return (body, trailers);
        }
        trailers.push_str(&line);
    }
}

/// A server that keeps what it gets.
fn keeper(got: mpsc::Sender<(String, Vec<u8>, String)>) -> Host {
    Host::new_with_head(move |mut peer, mut head| {
        loop {
            let (body, trailers) = body(&mut peer, &head);
            got.send((head, body, trailers)).unwrap();
            peer.say(OK);
            match peer.request() {
                Some(next) => head = next,
                None => return,
            }
        }
    })
}

fn put(made: &Made) -> Arc<Call> {
    Call::new(&made.client, b"PUT", b"/").unwrap()
}

/// Gives `all` bytes, `piece` at a time, and then its end; says whether it was dropped.
fn counting(all: usize, piece: usize) -> BodyFn {
    let mut at = 0;
    Box::new(move |_, space| {
        let len = (all - at).min(piece).min(space.len());
        for (index, place) in space[..len].iter_mut().enumerate() {
            *place = byte(at + index);
        }
        at += len;
        len as i64
    })
}

fn assert_counts(body: &[u8], all: usize) {
    assert_eq!(body.len(), all);
    let wrong = body.iter().enumerate().position(|(at, b)| *b != byte(at));
    assert_eq!(wrong, None);
}

#[test]
fn a_function_gives_a_body_of_known_and_of_unknown_length() {
    each(|with_runtime, starts| {
        let (send, got) = mpsc::channel();
        let host = keeper(send);
        let made = made(&host, with_runtime, &client::Config::default());
        for (all, piece, length) in [
            (0, 1, None),
            (0, 1, Some(0)),
            (10, 3, None),
            (10, 10, Some(10)),
            (3_000_000, 50_000, None),
            (3_000_001, 1 << 20, Some(3_000_001)),
        ] {
            let call = put(&made);
            call.set_body_reader(Some(b"text/x"), length, counting(all, piece))
                .unwrap();
            begin(&call, starts).unwrap();
            assert_eq!(call.body(), Some(&b"ok"[..]));
            let (head, body, _) = got.recv_timeout(LONG).unwrap();
            assert!(head.contains("content-type: text/x"), "{head}");
            assert_counts(&body, all);
            call.release();
        }
        assert_eq!(host.connections.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_function_is_asked_in_every_delivery_and_dropped_there_once() {
    for index in 0..3 {
        let (send, got) = mpsc::channel();
        let host = keeper(send);
        let (made, queue) = made_to_deliver(&host, index);
        let call = put(&made);
        let dropped = Arc::new(AtomicUsize::new(0));
        let mut inner = counting(1_000_000, 30_000);
        let guard = Dropped(dropped.clone());
        let f: BodyFn = Box::new(move |call, space| {
            let _ = &guard;
            inner(call, space)
        });
        call.set_body_reader(None, None, f).unwrap();
        let reports = Arc::new(Mutex::new(Vec::new()));
        let keep = reports.clone();
        call.on_progress(Box::new(move |_, moved| keep.lock().unwrap().push(moved)))
            .unwrap();
        let (send, done) = mpsc::channel();
        call.start(Box::new(move |_, status| send.send(status).unwrap()))
            .unwrap();
        let status = delivered(&done, index, &queue);
        assert_eq!(status, Status::Ok);
        assert_counts(&got.recv_timeout(LONG).unwrap().1, 1_000_000);
        let last = *reports.lock().unwrap().last().unwrap();
        assert_eq!(
            last,
            Moved {
                sent: 1_000_000,
                send_total: None,
                received: 2,
                receive_total: Some(2)
            }
        );
        call.release();
        drop(call);
        drop(made);
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    }
}

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_body_that_is_not_what_was_announced_ends_the_call() {
    each(|with_runtime, starts| {
        let host = Host::new(|mut peer| peer.wait_closed());
        let made = made(&host, with_runtime, &client::Config::default());
        let gives: [(i64, Option<u64>, Status); 4] = [
            (-5, None, Status::Cancelled),
            (-5, Some(10), Status::Cancelled),
            (0, Some(10), Status::InvalidArgument),
            (1 << 40, None, Status::InvalidArgument),
        ];
        for (result, length, status) in gives {
            let call = put(&made);
            let mut first = true;
            let f = move |_: &Arc<Call>, _: &mut [u8]| {
                if std::mem::take(&mut first) {
                    1
                } else {
                    result
                }
            };
            call.set_body_reader(None, length, Box::new(f)).unwrap();
            assert_eq!(begin(&call, starts), Err(status), "{result}");
            let error = call.outcome().unwrap_err();
            assert_eq!(error.status, status);
            call.release();
        }
        let call = put(&made);
        let panics = |_: &Arc<Call>, _: &mut [u8]| -> i64 { panic!("planted") };
        call.set_body_reader(None, None, Box::new(panics)).unwrap();
        assert_eq!(begin(&call, starts), Err(Status::Cancelled));
        call.release();
    });
}

fn file(all: usize) -> std::fs::File {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("hysock-up-{}-{number}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create_new(true);
    let mut file = options.open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let bytes: Vec<u8> = (0..all).map(byte).collect();
    file.write_all(&bytes).unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn a_descriptor_gives_a_body() {
    each(|with_runtime, starts| {
        let (send, got) = mpsc::channel();
        let host = keeper(send);
        let made = made(&host, with_runtime, &client::Config::default());
        let mut file = file(1_000_000);
        file.seek(std::io::SeekFrom::Start(251)).unwrap();
        for (length, all) in [(None, 999_749), (Some(500), 500), (Some(0), 0)] {
            let call = put(&made);
            call.set_body_descriptor(None, file.as_fd(), length)
                .unwrap();
            begin(&call, starts).unwrap();
            let (head, body, _) = got.recv_timeout(LONG).unwrap();
            assert!(head.contains("content-length"), "{head}");
            assert_counts(&body, all);
            call.release();
        }
        assert_eq!(file.stream_position().unwrap(), 251);
        let call = put(&made);
        let long = call.set_body_descriptor(None, file.as_fd(), Some(1_000_000));
        assert_eq!(long.unwrap_err().status, Status::InvalidArgument);
        assert_eq!(begin_refused(&call, starts), Status::InvalidArgument);
        call.release();
        for (length, all) in [(None, 300_000), (Some(200_000), 200_000)] {
            let (read, mut write) = std::io::pipe().unwrap();
            let writer = thread::spawn(move || {
                let bytes: Vec<u8> = (0..300_000).map(byte).collect();
                // The rest finds nobody when less is wanted.
                for piece in bytes.chunks(7000) {
                    if write.write_all(piece).is_err() {
                        break;
                    }
                }
            });
            let call = put(&made);
            call.set_body_descriptor(None, read.as_fd(), length)
                .unwrap();
            drop(read);
            begin(&call, starts).unwrap();
            assert_counts(&got.recv_timeout(LONG).unwrap().1, all);
            call.release();
            drop(call);
            writer.join().unwrap();
        }
        drop(made);
        let host = Host::new(|mut peer| peer.wait_closed());
        let made = peers::made(&host, with_runtime, &client::Config::default());
        let (read, mut write) = std::io::pipe().unwrap();
        write.write_all(b"abc").unwrap();
        drop(write);
        let call = put(&made);
        call.set_body_descriptor(None, read.as_fd(), Some(4))
            .unwrap();
        assert_eq!(begin(&call, starts), Err(Status::InvalidArgument));
        let message = call.outcome().unwrap_err().message;
        assert!(message.contains("3 bytes of the 4"), "{message}");
        call.release();
    });
}

fn begin_refused(call: &Arc<Call>, starts: bool) -> Status {
    if starts {
        return call
            .start(Box::new(|_, _| unreachable!()))
            .unwrap_err()
            .status;
    }
    call.perform().unwrap_err().status
}

#[test]
fn a_body_is_written_while_the_call_runs() {
    let (send, got) = mpsc::channel();
    let host = keeper(send);
    let made = made(&host, true, &client::Config::default());
    for length in [None, Some(1_000_000)] {
        let call = put(&made);
        call.set_header(b"Trailer", b"Late").unwrap();
        call.set_body_stream(None, length).unwrap();
        assert_eq!(call.write(b"x", None).unwrap_err().status, Status::State);
        assert_eq!(call.perform().unwrap_err().status, Status::State);
        let early = call.add_trailer(b"Early", b"1");
        assert_eq!(early.is_ok(), length.is_none());
        let (send, done) = mpsc::channel();
        call.start(Box::new(move |_, status| send.send(status).unwrap()))
            .unwrap();
        let bytes: Vec<u8> = (0..1_000_000).map(byte).collect();
        let (small, large) = bytes.split_at(300_000);
        for piece in small.chunks(1000) {
            call.write(piece, Some(LONG)).unwrap();
        }
        call.write(large, Some(LONG)).unwrap();
        if length.is_some() {
            let more = call.write(b"x", Some(LONG)).unwrap_err();
            assert_eq!(more.status, Status::InvalidArgument);
        } else {
            call.add_trailer(b"Late", b"2").unwrap();
            assert!(call.add_trailer(b"Unknown", b"2").is_err());
        }
        call.finish_body().unwrap();
        assert_eq!(done.recv_timeout(LONG).unwrap(), Status::Ok);
        let (_, body, trailers) = got.recv_timeout(LONG).unwrap();
        assert_counts(&body, 1_000_000);
        let expected = if length.is_none() {
            "early: 1\r\nlate: 2\r\n"
        } else {
            ""
        };
        assert_eq!(trailers, expected);
        call.release();
    }
}

#[test]
fn writes_wait_for_room_and_hear_of_it() {
    let (go, gone) = mpsc::channel::<()>();
    let (send, got) = mpsc::channel();
    let host = Host::new_with_head(move |mut peer, head| {
        gone.recv_timeout(LONG).unwrap();
        send.send(body(&mut peer, &head).0.len()).unwrap();
        peer.say(OK);
    });
    let made = made(&host, true, &client::Config::default());
    let call = put(&made);
    call.set_body_stream(None, None).unwrap();
    let (done, ended) = mpsc::channel();
    call.start(Box::new(move |_, status| done.send(status).unwrap()))
        .unwrap();
    let piece = [7; 10_000];
    let mut all = 0;
    // Until the socket and the buffer are full.
    loop {
        match call.write(&piece, Some(Duration::from_millis(100))) {
            Ok(()) => all += piece.len(),
            Err(error) => break assert_eq!(error.status, Status::TimedOut),
        }
    }
    assert!(all < 2 << 20, "{all} bytes were taken that nobody reads");
    let full = call.write(&piece, Some(Duration::ZERO)).unwrap_err();
    assert_eq!(full.status, Status::WouldBlock);
    let (room, has_room) = mpsc::channel();
    call.on_writable(Box::new(move |call| {
        room.send(call.write(&piece, Some(Duration::ZERO)).is_ok())
            .unwrap();
    }))
    .unwrap();
    assert_eq!(
        call.on_writable(Box::new(|_| ())).unwrap_err().status,
        Status::State
    );
    go.send(()).unwrap();
    assert!(has_room.recv_timeout(LONG).unwrap());
    call.finish_body().unwrap();
    assert_eq!(ended.recv_timeout(LONG).unwrap(), Status::Ok);
    assert_eq!(got.recv_timeout(LONG).unwrap(), all + piece.len());
    call.release();
}

#[test]
fn an_early_answer_ends_the_body_and_the_connection() {
    each(|with_runtime, starts| {
        for status in ["413 Too Much", "200 OK"] {
            let host = Host::new(move |mut peer| {
                peer.say(&format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno"));
                // It reads no more, and does not close: the client does.
                let (send, closed) = (Arc::new(AtomicBool::new(false)), Instant::now());
                while !send.load(Ordering::SeqCst) {
                    assert!(closed.elapsed() < LONG);
                    let mut byte = [0; 65536];
                    thread::yield_now();
                    // What was on its way may be read until the end.
                    let end = peer.0.get_mut().read(&mut byte).map_or(true, |n| n == 0);
                    send.store(end, Ordering::SeqCst);
                }
            });
            let made = made(&host, with_runtime, &client::Config::default());
            for _ in 0..2 {
                let call = put(&made);
                let asked = Arc::new(AtomicUsize::new(0));
                let count = asked.clone();
                let f = move |_: &Arc<Call>, space: &mut [u8]| {
                    count.fetch_add(1, Ordering::SeqCst);
                    space.len() as i64
                };
                call.set_body_reader(None, Some(1 << 40), Box::new(f))
                    .unwrap();
                begin(&call, starts).unwrap();
                assert_eq!(call.body(), Some(&b"no"[..]));
                call.release();
            }
            assert_eq!(host.connections.load(Ordering::SeqCst), 2);
        }
    });
}

#[test]
fn a_server_that_leaves_in_the_middle_of_a_body() {
    each(|with_runtime, starts| {
        for says in ["", "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"] {
            let host = Host::new(move |mut peer| {
                let mut some = [0; 100_000];
                peer.0.read_exact(&mut some).unwrap();
                peer.say(says);
            });
            let made = made(&host, with_runtime, &client::Config::default());
            let call = put(&made);
            let f = |_: &Arc<Call>, space: &mut [u8]| space.len() as i64;
            call.set_body_reader(None, None, Box::new(f)).unwrap();
            let ended = begin(&call, starts);
            if says.is_empty() {
                assert_eq!(ended, Err(Status::Closed));
            } else {
                assert_eq!((ended, call.http_status()), (Ok(()), 503));
                assert_eq!(call.body(), Some(&b"no"[..]));
            }
            call.release();
        }
    });
}

#[test]
fn a_new_connection_is_answered_before_anything_is_asked() {
    let directory = std::env::temp_dir().join(format!("hysock-early-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("s");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let (left, has_left) = mpsc::channel();
    let server = thread::spawn(move || {
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().unwrap();
            let says = "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
            stream.write_all(says.as_bytes()).unwrap();
            drop(stream);
            left.send(()).unwrap();
        }
    });
    let has_left = Arc::new(Mutex::new(has_left));
    let address = Address::parse(path.as_os_str().as_encoded_bytes()).unwrap();
    each(|with_runtime, starts| {
        let made = made_for(&address, with_runtime, &client::Config::default());
        let call = put(&made);
        let waits = has_left.clone();
        // On a calling thread it is asked for before the head is sent.
        let f = move |_: &Arc<Call>, _: &mut [u8]| {
            waits.lock().unwrap().recv_timeout(LONG).unwrap();
            0
        };
        call.set_body_reader(None, None, Box::new(f)).unwrap();
        assert_eq!((begin(&call, starts), call.http_status()), (Ok(()), 503));
        assert_eq!(call.body(), Some(&b"no"[..]));
        call.release();
    });
    server.join().unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_read_has_its_end_while_a_body_goes_up_that_has_none() {
    let host = Host::new(|mut peer| {
        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
        peer.wait_closed();
    });
    for deadline in [None, Some(Duration::from_millis(300))] {
        let made = made(&host, false, &client::Config::default());
        let call = put(&made);
        let begun = Instant::now();
        // So slow that there is always room for it.
        let f = move |_: &Arc<Call>, space: &mut [u8]| {
            thread::sleep(Duration::from_millis(1));
            space[0] = 1;
            i64::from(begun.elapsed() < LONG)
        };
        call.set_body_reader(None, None, Box::new(f)).unwrap();
        call.set_streaming().unwrap();
        call.set_timeout(deadline).unwrap();
        call.perform().unwrap();
        assert_eq!(call.read(None).unwrap().as_bytes(), Some(&b"ok"[..]));
        let time = deadline.is_none().then_some(Duration::from_millis(100));
        let ended = call.read(time).unwrap_err();
        assert_eq!(ended.status, Status::TimedOut);
        assert!(begun.elapsed() < LONG / 2);
        call.release();
    }
}

#[test]
fn a_body_is_held_back_until_it_is_wanted() {
    each(|with_runtime, starts| {
        for kind in 0..3 {
            let (send, got) = mpsc::channel();
            let host = Host::new_with_head(move |mut peer, head| {
                assert!(head.contains("expect: 100-continue"), "{head}");
                // Nothing came behind the head.
                assert_eq!(peer.0.buffer(), b"");
                match kind {
                    0 => peer.say("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 100 Go on\r\n\r\n"),
                    1 => {
                        peer.say("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
                        let mut rest = Vec::new();
                        peer.0.read_to_end(&mut rest).ok();
                        return send.send(rest).unwrap();
                    }
                    _ => {}
                }
                send.send(body(&mut peer, &head).0).unwrap();
                peer.say(OK);
            });
            let made = made(&host, with_runtime, &client::Config::default());
            for whole in [true, false] {
                let call = put(&made);
                if whole {
                    call.set_body(None, b"whole".to_vec().into()).unwrap();
                } else {
                    call.set_body_reader(None, None, counting(5, 5)).unwrap();
                }
                let wait = if kind == 2 {
                    Duration::from_millis(50)
                } else {
                    LONG
                };
                call.set_expect_continue(Some(wait)).unwrap();
                let heard = Arc::new(Mutex::new(Vec::new()));
                let keep = heard.clone();
                call.on_informational(Box::new(move |_, status| {
                    keep.lock().unwrap().push(status.as_u16());
                }))
                .unwrap();
                let start = Instant::now();
                begin(&call, starts).unwrap();
                let body = got.recv_timeout(LONG).unwrap();
                let heard = heard.lock().unwrap().clone();
                if kind == 1 {
                    assert_eq!((call.http_status(), body.len()), (417, 0));
                    assert!(start.elapsed() < LONG);
                } else {
                    assert_eq!((call.http_status(), body.len()), (200, 5));
                }
                assert_eq!(heard, if kind == 0 { vec![103, 100] } else { vec![] });
                assert!(kind != 2 || start.elapsed() >= wait);
                call.release();
            }
        }
    });
}

#[test]
fn an_answer_goes_to_a_descriptor() {
    each(|with_runtime, starts| {
        let host = Host::new(|mut peer| {
            loop {
                peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
                let bytes: Vec<u8> = (0..1_000_000).map(byte).collect();
                if peer.0.get_mut().write_all(&bytes).is_err() {
                    return;
                }
                match peer.request() {
                    Some(head) if head.contains("/no") => {
                        peer.say("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno");
                        peer.request();
                    }
                    Some(_) => {}
                    None => return,
                }
            }
        });
        let made = made(&host, with_runtime, &client::Config::default());
        let get = |target: &[u8]| Call::new(&made.client, b"GET", target).unwrap();
        let mut to = file(3);
        to.seek(std::io::SeekFrom::End(0)).unwrap();
        let call = get(b"/");
        call.set_output(to.as_fd()).unwrap();
        assert_eq!(call.set_streaming().unwrap_err().status, Status::State);
        call.release();
        let call = get(b"/");
        call.set_output(to.as_fd()).unwrap();
        let last = Arc::new(Mutex::new(None));
        let keep = last.clone();
        call.on_progress(Box::new(move |_, moved| {
            *keep.lock().unwrap() = Some(moved)
        }))
        .unwrap();
        begin(&call, starts).unwrap();
        assert_eq!(
            (call.body(), call.content_length()),
            (None, Some(1_000_000))
        );
        let moved = last.lock().unwrap().unwrap();
        assert_eq!(
            (moved.received, moved.receive_total),
            (1_000_000, Some(1_000_000))
        );
        assert_eq!((moved.sent, moved.send_total), (0, Some(0)));
        let mut all = Vec::new();
        to.rewind().unwrap();
        to.read_to_end(&mut all).unwrap();
        assert_counts(&all[3..], 1_000_000);
        call.release();

        let call = get(b"/no");
        call.set_output(to.as_fd()).unwrap();
        begin(&call, starts).unwrap();
        assert_eq!((call.http_status(), call.body()), (404, Some(&b"no"[..])));
        call.release();

        let (mut read, write) = std::io::pipe().unwrap();
        let call = get(b"/");
        call.set_output(write.as_fd()).unwrap();
        drop(write);
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            let mut piece = [0; 3000];
            while all.len() < 1_000_000 {
                let n = read.read(&mut piece).unwrap();
                assert!(n > 0);
                all.extend_from_slice(&piece[..n]);
            }
            all
        });
        begin(&call, starts).unwrap();
        assert_counts(&reader.join().unwrap(), 1_000_000);
        call.release();

        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let call = get(b"/");
        call.set_output(full.as_fd()).unwrap();
        assert_eq!(begin(&call, starts), Err(Status::System));
        let error = call.outcome().unwrap_err();
        assert!(
            error.message.contains("hysock_call_set_output_fd"),
            "{error}"
        );
        call.release();
    });
}

#[test]
fn a_cancel_ends_what_waits_for_a_descriptor_or_for_room() {
    each(|with_runtime, starts| {
        for kind in 0..2 {
            let (send, waits) = mpsc::channel();
            let host = Host::new(move |mut peer| {
                if kind == 0 {
                    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n");
                    peer.say(&"x".repeat(200_000));
                }
                send.send(()).unwrap();
                peer.wait_closed();
            });
            let made = made(&host, with_runtime, &client::Config::default());
            let call = put(&made);
            let (read, write) = std::io::pipe().unwrap();
            if kind == 0 {
                call.set_output(write.as_fd()).unwrap();
            } else {
                call.set_body_descriptor(None, read.as_fd(), None).unwrap();
            }
            let other = call.clone();
            let canceller = thread::spawn(move || {
                waits.recv_timeout(LONG).unwrap();
                let at = Instant::now();
                other.cancel().unwrap();
                at
            });
            assert_eq!(begin(&call, starts), Err(Status::Cancelled));
            let ended = Instant::now();
            let at = canceller.join().unwrap();
            assert!(ended - at < Duration::from_millis(50), "{:?}", ended - at);
            call.release();
            drop((read, write));
        }
    });
    let host = Host::new(|mut peer| peer.wait_closed_unread());
    let made = made(&host, true, &client::Config::default());
    let call = put(&made);
    call.set_body_stream(None, None).unwrap();
    call.start(Box::new(|_, _| ())).unwrap();
    let writer = call.clone();
    let (send, full) = mpsc::channel();
    let thread = thread::spawn(move || {
        while writer
            .write(&[7; 10_000], Some(Duration::from_millis(100)))
            .is_ok()
        {}
        send.send(()).unwrap();
        (writer.write(&[7; 10_000], Some(LONG)), Instant::now())
    });
    full.recv_timeout(LONG).unwrap();
    let at = Instant::now();
    call.cancel().unwrap();
    let (written, ended) = thread.join().unwrap();
    assert_eq!(written.unwrap_err().status, Status::Cancelled);
    assert!(ended.saturating_duration_since(at) < Duration::from_millis(50));
    call.release();
}

#[test]
fn the_programs_own_pauses_are_not_its_peers() {
    each(|with_runtime, starts| {
        let (send, got) = mpsc::channel();
        let host = keeper(send);
        let made = made(&host, with_runtime, &client::Config::default());
        let call = put(&made);
        call.set_idle_timeout(Some(Duration::from_millis(60)))
            .unwrap();
        let (read, mut write) = std::io::pipe().unwrap();
        call.set_body_descriptor(None, read.as_fd(), None).unwrap();
        let writer = thread::spawn(move || {
            for _ in 0..3 {
                // Longer than the peer may rest.
                thread::sleep(Duration::from_millis(100));
                write.write_all(b"x").unwrap();
            }
        });
        begin(&call, starts).unwrap();
        writer.join().unwrap();
        assert_eq!(got.recv_timeout(LONG).unwrap().1, b"xxx");
        call.release();
    });
}

#[test]
fn a_peer_that_rests_after_an_early_answer_is_not_waited_for() {
    each(|with_runtime, starts| {
        let host = Host::new(|mut peer| {
            peer.say("HTTP/1.1 413 No\r\nContent-Length: 5\r\n\r\nab");
            peer.wait_closed();
        });
        let made = made(&host, with_runtime, &client::Config::default());
        let call = put(&made);
        call.set_idle_timeout(Some(Duration::from_millis(60)))
            .unwrap();
        let (read, write) = std::io::pipe().unwrap();
        call.set_body_descriptor(None, read.as_fd(), None).unwrap();
        let start = Instant::now();
        assert_eq!(begin(&call, starts), Err(Status::TimedOut));
        assert!(start.elapsed() < LONG);
        let message = call.outcome().unwrap_err().message;
        assert!(message.contains("not one byte moved"), "{message}");
        call.release();
        drop((read, write));
    });
}

#[test]
fn a_call_has_one_body_and_a_redirect_does_not_send_it_again() {
    each(|with_runtime, starts| {
        let host = Host::new_with_head(|mut peer, head| {
            body(&mut peer, &head);
            peer.say("HTTP/1.1 307 There\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n");
        });
        let config = client::Config {
            max_redirects: 5,
            ..Default::default()
        };
        let made = made(&host, with_runtime, &config);
        let call = put(&made);
        call.set_body_reader(None, None, counting(5, 5)).unwrap();
        let dropped = Arc::new(AtomicUsize::new(0));
        let guard = Dropped(dropped.clone());
        let second = call.set_body_reader(
            None,
            None,
            Box::new(move |_, _| {
                let _ = &guard;
                0
            }),
        );
        assert_eq!(second.unwrap_err().status, Status::State);
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        call.release();
        let call = put(&made);
        call.set_body_reader(None, None, counting(5, 5)).unwrap();
        begin(&call, starts).unwrap();
        assert_eq!(call.http_status(), 307);
        call.release();
    });
}
