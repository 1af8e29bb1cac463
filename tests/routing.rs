//! The safe core, used from Rust: routes with parameters, what runs beside every handler, and what is kept.

use hysock::error::Status;
use hysock::http::server::{self, Exchange, Server};
use hysock::runtime::{self, Delivery, Runtime};
use hysock::socket::address::Address;
use hysock::socket::listener::ListenerOptions;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("hysock-r{}-{number}", std::process::id()));
    std::fs::create_dir(&path).unwrap();
    path
}

/// Runs `test` with a server that `add` has given its routes, in pool and in inline delivery.
fn with_server(add: impl Fn(&Arc<Server>), test: impl Fn(&Path, &Arc<Server>)) {
    for delivery in [Delivery::Pool, Delivery::Inline] {
        let folder = folder();
        let path = folder.join("s");
        let address = Address::parse(path.as_os_str().as_encoded_bytes()).unwrap();
        let runtime = Runtime::start(&runtime::Config::default()).unwrap();
        let config = server::Config {
            delivery,
            ..Default::default()
        };
        let server = Server::new(&runtime, &config).unwrap();
        add(&server);
        let options = ListenerOptions::default();
        server.add_listener(&address, &options).unwrap();
        server.start().unwrap();
        test(&path, &server);
        runtime.shutdown(Some(LONG)).unwrap();
        runtime.wait(Some(LONG)).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// One connection.
struct Client(UnixStream);

impl Client {
    fn new(path: &Path) -> Client {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Client(stream)
    }

    /// The answer to a GET, which has a body of announced length.
    fn get(&mut self, target: &str) -> String {
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
        self.0.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        loop {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let (_, length) = head.split_once("content-length: ").unwrap();
                let length = length.split("\r\n").next().unwrap();
                if body.len() == length.parse::<usize>().unwrap() {
                    return text.into_owned();
                }
            }
        }
    }
}

fn answer(exchange: &Arc<Exchange>, text: &[u8]) {
    exchange.answer(200, Some(b"text/plain"), text).unwrap();
}

#[test]
fn parameters_and_query_are_decoded() {
    let add = |server: &Arc<Server>| {
        let handler = |exchange: &Arc<Exchange>| {
            let head = exchange.head();
            assert_eq!(head.pattern(), Some("/items/{id}"));
            assert_eq!(head.param(b"other"), None);
            let query = head.query_value(b"q").unwrap_or(b"-");
            answer(
                exchange,
                &[head.param(b"id").unwrap(), b"|", query].concat(),
            );
        };
        server
            .add_route(Some("GET"), Some("/items/{id}"), Box::new(handler))
            .unwrap();
    };
    with_server(add, |path, _| {
        let mut client = Client::new(path);
        assert!(client.get("/items/a%2Fb").ends_with("\r\n\r\na/b|-"));
        // The same exchange again: nothing of the last request is left.
        assert!(client.get("/items/c?q=d+e").ends_with("\r\n\r\nc|d e"));
        assert!(client.get("/items/").starts_with("HTTP/1.1 404 "));
    });
}

#[test]
fn functions_beside_every_handler() {
    let add = |server: &Arc<Server>| {
        server
            .add_route(
                None,
                None,
                Box::new(|exchange| answer(exchange, b"handled")),
            )
            .unwrap();
        let on_request = |exchange: &Arc<Exchange>| {
            let refused = exchange.head().path() == b"/refused";
            if refused {
                exchange.answer(403, None, b"no").unwrap();
            }
            !refused
        };
        server.on_request(Box::new(on_request)).unwrap();
        let again = server.on_request(Box::new(|_| true)).unwrap_err();
        assert_eq!(again.status, Status::State);
        let on_answer = |exchange: &Arc<Exchange>, status: http::StatusCode| {
            let status = status.as_str().as_bytes();
            exchange.set_header(b"x-status", status).unwrap();
            exchange.remove_header(b"content-type").unwrap();
            let again = exchange.answer(200, None, b"").unwrap_err();
            assert_eq!(again.status, Status::State);
        };
        server.on_answer(Box::new(on_answer)).unwrap();
    };
    with_server(add, |path, server| {
        let mut client = Client::new(path);
        let handled = client.get("/");
        assert!(handled.contains("x-status: 200\r\n"), "{handled}");
        assert!(!handled.contains("content-type"), "{handled}");
        assert!(handled.ends_with("\r\n\r\nhandled"), "{handled}");
        let refused = client.get("/refused");
        assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
        assert!(refused.contains("x-status: 403\r\n"), "{refused}");
        let late = server.on_request(Box::new(|_| true)).unwrap_err();
        assert_eq!(late.status, Status::State);
    });
}

/// Says when it is dropped.
struct Told(&'static str, mpsc::Sender<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        self.1.send(self.0).ok();
    }
}

#[test]
fn what_is_kept_ends_once() {
    let (send, told) = mpsc::channel();
    let add = |server: &Arc<Server>| {
        let send = send.clone();
        let handler = move |exchange: &Arc<Exchange>| {
            let value = |name| Some(Box::new(Told(name, send.clone())) as server::Value);
            let name = |value: &dyn std::any::Any| value.downcast_ref::<Told>().unwrap().0;
            assert_eq!(exchange.userdata(name), None);
            exchange.set_userdata(value("exchange")).unwrap();
            assert_eq!(exchange.userdata(name), Some("exchange"));
            if exchange.head().path() == b"/first" {
                assert_eq!(exchange.connection_userdata(name), None);
                exchange
                    .set_connection_userdata(value("connection"))
                    .unwrap();
            }
            assert_eq!(exchange.connection_userdata(name), Some("connection"));
            answer(exchange, b"x");
            let late = exchange.set_connection_userdata(None).unwrap_err();
            assert_eq!(late.status, Status::State);
        };
        server.add_route(None, None, Box::new(handler)).unwrap();
    };
    with_server(add, |path, _| {
        let mut client = Client::new(path);
        for target in ["/first", "/next", "/next"] {
            client.get(target);
            assert_eq!(told.recv_timeout(LONG), Ok("exchange"));
        }
        assert!(told.try_recv().is_err());
        drop(client);
        assert_eq!(told.recv_timeout(LONG), Ok("connection"));
    });
    assert!(told.try_recv().is_err());
}
