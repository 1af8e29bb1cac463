//! Receiver and producer together, through the safe core.

mod bad_input;
mod datagrams;
mod descriptors;
mod ends;
mod full;
mod producers;
mod receivers;

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
use std::time::{Duration, Instant};

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
