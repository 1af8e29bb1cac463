//! The safe core, used from Rust: a server and a client in one process, and raw sockets against both.

use hysock::error::Status;
use hysock::http::client::{self, Call, Client};
use hysock::http::server::{self, Exchange, Server};
use hysock::runtime::{self, Delivery, Queue, Runtime};
use hysock::socket::address::Address;
use hysock::socket::listener::ListenerOptions;
use hysock::socket::policy::Rule;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

/// A directory of one test.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hysock-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Place(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }

    fn address(&self) -> Address {
        Address::parse(self.socket().as_os_str().as_encoded_bytes()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn serve(
    runtime: &Arc<Runtime>,
    place: &Place,
    config: &server::Config,
    handler: impl Fn(&Arc<Exchange>) + Send + Sync + 'static,
) -> Arc<Server> {
    let server = Server::new(runtime, config).unwrap();
    server.add_route(None, None, Box::new(handler)).unwrap();
    server
        .add_listener(&place.address(), &ListenerOptions::default())
        .unwrap();
    server.start().unwrap();
    server
}

fn end(runtime: &Arc<Runtime>) {
    runtime.shutdown(Some(LONG)).unwrap();
    runtime.wait(Some(LONG)).unwrap();
}

fn raw(place: &Place, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(place.socket()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(request).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn deliveries(runtime: &Arc<Runtime>) -> Vec<(Delivery, Option<Arc<Queue>>)> {
    let queue = Queue::new(runtime).unwrap();
    vec![
        (Delivery::Pool, None),
        (Delivery::Inline, None),
        (Delivery::Queue(queue.clone()), Some(queue)),
    ]
}

#[test]
fn every_delivery_answers_performed_and_started_calls() {
    for index in 0..3 {
        let runtime = Runtime::start(&runtime::Config::default()).unwrap();
        let (delivery, queue) = deliveries(&runtime).swap_remove(index);
        let place = Place::new();
        let config = server::Config {
            delivery: delivery.clone(),
            ..Default::default()
        };
        serve(&runtime, &place, &config, |exchange| {
            let text = format!(
                "{} {}",
                exchange.head().method(),
                exchange.body().unwrap_or(b"-").len()
            );
            exchange
                .answer(200, Some(b"text/plain"), text.as_bytes())
                .unwrap();
        });
        let config = client::Config {
            delivery,
            ..Default::default()
        };
        let client = Client::new(Some(&runtime), &place.address(), &config).unwrap();
        let (send, receive) = mpsc::channel();
        for number in 0..100 {
            let call = Call::new(&client, b"PUT", b"/").unwrap();
            call.set_body(None, vec![b'x'; number].into()).unwrap();
            let send = send.clone();
            call.start(Box::new(move |call, status| {
                let body = String::from_utf8(call.body().unwrap().to_vec()).unwrap();
                send.send((status, body)).unwrap();
            }))
            .unwrap();
        }
        let mut answers = Vec::new();
        while answers.len() < 100 {
            if let Some(queue) = &queue {
                queue.dispatch(u32::MAX, Some(LONG)).unwrap();
                answers.extend(receive.try_iter());
            } else {
                answers.push(receive.recv_timeout(LONG).unwrap());
            }
        }
        answers.sort_by_key(|(_, body)| body[4..].parse::<u32>().unwrap());
        for (number, (status, body)) in answers.into_iter().enumerate() {
            assert_eq!((status, body), (Status::Ok, format!("PUT {number}")));
        }
        if queue.is_none() {
            let call = Call::new(&client, b"GET", b"/").unwrap();
            call.perform().unwrap();
            assert_eq!(
                (call.http_status(), call.body()),
                (200, Some(&b"GET 1"[..]))
            );
        }
        end(&runtime);
    }
}

#[test]
fn half_closing_and_pipelining_clients_get_every_answer() {
    let runtime = Runtime::start(&runtime::Config::default()).unwrap();
    let place = Place::new();
    serve(&runtime, &place, &server::Config::default(), |exchange| {
        exchange
            .answer(200, None, exchange.head().target())
            .unwrap();
    });
    let mut requests = String::new();
    for number in 0..10 {
        requests += &format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    let answers = raw(&place, requests.as_bytes());
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 10, "{answers}");
    end(&runtime);
}

#[test]
fn a_client_that_leaves_is_told_once_and_its_requests_are_all_handled() {
    let runtime = Runtime::start(&runtime::Config::default()).unwrap();
    let place = Place::new();
    let (send, receive) = mpsc::channel();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = kept.clone();
    serve(
        &runtime,
        &place,
        &server::Config::default(),
        move |exchange| {
            exchange.defer().unwrap();
            let gone = send.clone();
            exchange
                .on_gone(Box::new(move |_| gone.send("gone").unwrap()))
                .unwrap();
            keep.lock().unwrap().push(exchange.clone());
            send.send("handled").unwrap();
        },
    );
    let mut stream = UnixStream::connect(place.socket()).unwrap();
    stream
        .write_all(&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3))
        .unwrap();
    drop(stream);
    let mut seen: Vec<_> = (0..6)
        .map(|_| receive.recv_timeout(LONG).unwrap())
        .collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        ["gone", "gone", "gone", "handled", "handled", "handled"]
    );
    for exchange in kept.lock().unwrap().drain(..) {
        assert_eq!(
            exchange.answer(200, None, b"").unwrap_err().status,
            Status::Closed
        );
        exchange.release();
    }
    end(&runtime);
}

#[test]
fn drain_finishes_what_was_begun_and_cuts_the_rest_at_its_deadline() {
    let runtime = Runtime::start(&runtime::Config::default()).unwrap();
    let place = Place::new();
    let (send, receive) = mpsc::channel();
    let server = serve(
        &runtime,
        &place,
        &server::Config::default(),
        move |exchange| {
            exchange.defer().unwrap();
            send.send(exchange.clone()).unwrap();
        },
    );
    let (closed, wait_closed) = mpsc::channel();
    server
        .on_closed(Box::new(move |c| {
            closed.send((c.reason, c.aborted)).unwrap()
        }))
        .unwrap();
    let mut streams: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = UnixStream::connect(place.socket()).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                .unwrap();
            (stream, receive.recv_timeout(LONG).unwrap())
        })
        .collect();
    server.shutdown(Some(Duration::from_millis(300))).unwrap();
    let (mut stream, exchange) = streams.remove(0);
    exchange.answer(200, None, b"late").unwrap();
    exchange.release();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.contains("connection: close") && answer.ends_with("late"),
        "{answer}"
    );
    server.wait(Some(LONG)).unwrap();
    assert_eq!(
        wait_closed.recv_timeout(LONG).unwrap(),
        (Status::TimedOut, 1)
    );
    let (_, exchange) = streams.remove(0);
    assert_eq!(
        exchange.answer(200, None, b"").unwrap_err().status,
        Status::ShutDown
    );
    assert!(!place.socket().exists());
    end(&runtime);
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let runtime = Runtime::start(&runtime::Config::default()).unwrap();
    let place = Place::new();
    serve(&runtime, &place, &server::Config::default(), |exchange| {
        exchange.answer(200, None, b"").unwrap();
    });
    for chunked in [false, true] {
        let mut stream = UnixStream::connect(place.socket()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let framing = if chunked {
            "Transfer-Encoding: chunked"
        } else {
            "Content-Length: 20000000"
        };
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let piece = if chunked {
            [&b"10000\r\n"[..], &[b'x'; 65536], b"\r\n"].concat()
        } else {
            vec![b'x'; 65536]
        };
        for _ in 0..300 {
            stream.write_all(&piece).unwrap();
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
    end(&runtime);
}

#[test]
fn a_call_times_out_and_is_cancelled_and_ends_once() {
    let runtime = Runtime::start(&runtime::Config::default()).unwrap();
    let place = Place::new();
    let silent = std::os::unix::net::UnixListener::bind(place.socket()).unwrap();
    let client = Client::new(Some(&runtime), &place.address(), &client::Config::default()).unwrap();
    let call = Call::new(&client, b"GET", b"/").unwrap();
    call.set_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(call.perform().unwrap_err().status, Status::TimedOut);
    let (send, receive) = mpsc::channel();
    for timeout in [Some(Duration::from_millis(50)), None] {
        let call = Call::new(&client, b"GET", b"/").unwrap();
        call.set_timeout(timeout).unwrap();
        let send = send.clone();
        call.start(Box::new(move |_, status| send.send(status).unwrap()))
            .unwrap();
        if timeout.is_none() {
            call.cancel().unwrap();
        }
        let want = if timeout.is_none() {
            Status::Cancelled
        } else {
            Status::TimedOut
        };
        assert_eq!(receive.recv_timeout(LONG).unwrap(), want);
        assert_eq!(call.outcome().unwrap_err().status, want);
    }
    let call = Call::new(&client, b"GET", b"/").unwrap();
    let other = call.clone();
    let (began, begin) = mpsc::channel();
    let canceller = std::thread::spawn(move || {
        begin.recv_timeout(LONG).unwrap();
        other.cancel().unwrap();
    });
    began.send(()).unwrap();
    assert_eq!(call.perform().unwrap_err().status, Status::Cancelled);
    canceller.join().unwrap();
    drop(silent);
    end(&runtime);
}

#[test]
fn more_calls_than_connections_wait_their_turn() {
    let runtime = Runtime::start(&runtime::Config::default()).unwrap();
    let place = Place::new();
    serve(&runtime, &place, &server::Config::default(), |exchange| {
        exchange.answer(200, None, b"ok").unwrap();
    });
    let config = client::Config {
        max_connections: 2,
        ..Default::default()
    };
    let client = Client::new(Some(&runtime), &place.address(), &config).unwrap();
    let (send, receive) = mpsc::channel();
    for _ in 0..50 {
        let send = send.clone();
        let call = Call::new(&client, b"GET", b"/").unwrap();
        call.start(Box::new(move |_, status| send.send(status).unwrap()))
            .unwrap();
    }
    let performers: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            std::thread::spawn(move || {
                for _ in 0..50 {
                    Call::new(&client, b"GET", b"/").unwrap().perform().unwrap();
                }
            })
        })
        .collect();
    for _ in 0..50 {
        assert_eq!(receive.recv_timeout(LONG).unwrap(), Status::Ok);
    }
    performers
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    end(&runtime);
}

/// One request on a connection that stays: the answer's status, and whether it says `close`.
fn ask(stream: &mut UnixStream) -> (u16, bool) {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let (_, len) = head.split_once("content-length: ").unwrap();
            if len.lines().next().unwrap().parse() == Ok(body.len()) {
                return (
                    head[9..12].parse().unwrap(),
                    head.contains("connection: close"),
                );
            }
        }
        let n = stream.read(&mut piece).unwrap();
        assert_ne!(n, 0, "the answer ended early");
        answer.extend_from_slice(&piece[..n]);
    }
}

#[test]
fn rules_that_a_reload_brings_hold_for_the_next_request() {
    let runtime = Runtime::start(&runtime::Config::default()).unwrap();
    let place = Place::new();
    let mut config = server::Config::default();
    let server = serve(&runtime, &place, &config, |exchange| {
        exchange.answer(200, None, b"x").unwrap();
    });
    let connect = || {
        let stream = UnixStream::connect(place.socket()).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    };
    let (mut old, mut idle) = (connect(), connect());
    assert_eq!(ask(&mut old), (200, false));
    assert_eq!(ask(&mut idle), (200, false));
    config.allow.add(Rule::uid(0xfff_fff0).unwrap());
    server.reload(&config).unwrap();
    // The shards hear of it in their own time, new connections at once.
    assert_eq!(ask(&mut connect()), (403, true));
    let refused = loop {
        match ask(&mut old) {
            (200, false) => {}
            other => break other,
        }
    };
    assert_eq!(refused, (403, true));
    assert_eq!(old.read(&mut [0; 1]).unwrap(), 0, "and then it is closed");
    config.allow.add(Rule::Own);
    server.reload(&config).unwrap();
    assert_eq!(ask(&mut connect()), (200, false));
    assert_eq!(ask(&mut idle), (200, false), "nobody was cut off");
    end(&runtime);
}

#[test]
fn a_limit_that_a_reload_brings_counts_the_connections_that_are_there() {
    let runtime = Runtime::start(&runtime::Config::default()).unwrap();
    let place = Place::new();
    let mut config = server::Config {
        max_connections_per_uid: u64::MAX,
        ..Default::default()
    };
    let server = serve(&runtime, &place, &config, |exchange| {
        exchange.answer(200, None, b"x").unwrap();
    });
    let mut streams: Vec<_> = (0..3)
        .map(|_| UnixStream::connect(place.socket()).unwrap())
        .collect();
    for stream in &mut streams {
        assert_eq!(ask(stream), (200, false));
    }
    config.max_connections_per_uid = 3;
    server.reload(&config).unwrap();
    let mut fourth = UnixStream::connect(place.socket()).unwrap();
    assert_eq!(ask(&mut fourth), (503, true));
    assert_eq!(ask(&mut streams[0]), (200, false));
    end(&runtime);
}
