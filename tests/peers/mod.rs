//! A server that is nothing but a socket, and a client for it.

#![allow(dead_code, reason = "each test uses a part")]

use hysock::error::Status;
use hysock::http::client::{self, Call, Client};
use hysock::runtime::{self, Delivery, Queue, Runtime};
use hysock::socket::address::Address;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub const LONG: Duration = Duration::from_secs(20);

/// A server whose connections `serve` has, one after another.
pub struct Host {
    directory: std::path::PathBuf,
    thread: Option<JoinHandle<()>>,
    pub connections: Arc<AtomicU32>,
}

impl Host {
    pub fn new(mut serve: impl FnMut(Peer) + Send + 'static) -> Host {
        Host::new_with_head(move |peer, _| serve(peer))
    }

    /// `serve` gets the head of the first request, too.
    pub fn new_with_head(mut serve: impl FnMut(Peer, String) + Send + 'static) -> Host {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hysock-streams-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).unwrap();
        let listener = UnixListener::bind(directory.join("s")).unwrap();
        let connections = Arc::new(AtomicU32::new(0));
        let count = connections.clone();
        let thread = thread::spawn(move || {
            loop {
                let (stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(LONG)).unwrap();
                stream.set_write_timeout(Some(LONG)).unwrap();
                let mut peer = Peer(BufReader::new(stream));
                match peer.request() {
                    Some(head) if head.contains("/end") => return,
                    None => return,
                    Some(head) => {
                        count.fetch_add(1, Ordering::SeqCst);
                        serve(peer, head);
                    }
                }
            }
        });
        Host {
            directory,
            thread: Some(thread),
            connections,
        }
    }

    pub fn address(&self) -> Address {
        let path = self.directory.join("s");
        Address::parse(path.as_os_str().as_encoded_bytes()).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let path = self.directory.join("s");
        if let Ok(mut stream) = UnixStream::connect(path) {
            stream.write_all(b"GET /end HTTP/1.1\r\n\r\n").ok();
        }
        let ended = self.thread.take().unwrap().join();
        std::fs::remove_dir_all(&self.directory).ok();
        if !thread::panicking() {
            ended.unwrap();
        }
    }
}

/// The other end of one connection, whose first request's head was read.
pub struct Peer(pub BufReader<UnixStream>);

impl Peer {
    /// The head of the next request.
    pub fn request(&mut self) -> Option<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).unwrap() == 0 {
                return None;
            }
        }
        Some(head)
    }

    pub fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// Waits for the other side's close without reading anything.
    pub fn wait_closed_unread(&mut self) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(self.0.get_ref(), PollFlags::empty())];
        let time = Timespec::try_from(LONG).unwrap();
        assert_eq!(poll(&mut fds, Some(&time)).unwrap(), 1);
    }

    /// Waits for the other side's close.
    pub fn wait_closed(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).ok();
    }
}

pub struct Made {
    pub runtime: Option<Arc<Runtime>>,
    pub client: Arc<Client>,
}

impl Drop for Made {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        self.client.shutdown(Some(LONG)).unwrap();
        self.client.wait(Some(LONG)).unwrap();
        if let Some(runtime) = &self.runtime {
            runtime.shutdown(Some(LONG)).unwrap();
            runtime.wait(Some(LONG)).unwrap();
        }
    }
}

pub fn made(host: &Host, with_runtime: bool, config: &client::Config) -> Made {
    made_for(&host.address(), with_runtime, config)
}

pub fn made_for(address: &Address, with_runtime: bool, config: &client::Config) -> Made {
    let runtime = with_runtime.then(|| Runtime::start(&runtime::Config::default()).unwrap());
    let client = Client::new(runtime.as_ref(), address, config).unwrap();
    Made { runtime, client }
}

/// A client with a runtime that delivers by the pool, inline, or by a queue: 0, 1 or 2.
pub fn made_to_deliver(host: &Host, index: usize) -> (Made, Arc<Queue>) {
    let runtime = Runtime::start(&runtime::Config::default()).unwrap();
    let queue = Queue::new(&runtime).unwrap();
    let delivery = match index {
        0 => Delivery::Pool,
        1 => Delivery::Inline,
        _ => Delivery::Queue(queue.clone()),
    };
    let config = client::Config {
        delivery,
        ..Default::default()
    };
    let client = Client::new(Some(&runtime), &host.address(), &config).unwrap();
    let runtime = Some(runtime);
    (Made { runtime, client }, queue)
}

/// What a callback sends; in a queue's delivery it runs here.
pub fn delivered<T>(from: &mpsc::Receiver<T>, index: usize, queue: &Queue) -> T {
    loop {
        match from.try_recv() {
            Ok(sent) => return sent,
            Err(_) if index == 2 => drop(queue.dispatch(1, Some(LONG)).unwrap()),
            Err(_) => return from.recv_timeout(LONG).unwrap(),
        }
    }
}

pub fn begin(call: &Arc<Call>, starts: bool) -> std::result::Result<(), Status> {
    if !starts {
        return call.perform().map_err(|error| error.status);
    }
    let (send, receive) = mpsc::channel();
    call.start(Box::new(move |_, status| send.send(status).unwrap()))
        .unwrap();
    match receive.recv_timeout(LONG).unwrap() {
        Status::Ok => Ok(()),
        status => Err(status),
    }
}

pub fn each(mut f: impl FnMut(bool, bool)) {
    for (with_runtime, starts) in [(false, false), (true, false), (true, true)] {
        f(with_runtime, starts);
    }
}
