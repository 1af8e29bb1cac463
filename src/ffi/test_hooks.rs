//! What the tests need of the shipped library and nobody else: not in the header.

use super::boundary;
use super::handle;
use super::runtime::hysock_runtime;
use super::status::hysock_status;
use crate::error::{Error, Operation, Result, Status};
use crate::runtime::delivery::{self, Event, Node, Strand};
use crate::runtime::io_thread::Post;
use crate::runtime::{Delivery, Runtime};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Panics inside the library, to prove that it is contained: `where` 1 in this function, 2 on an
/// I/O thread, 3 on a callback thread of `runtime`. Returns HYSOCK_E_PANIC when all is well.
///
/// cbindgen:ignore
#[doc(hidden)]
#[unsafe(no_mangle)]
pub extern "C" fn hysock_test_panic(runtime: *mut hysock_runtime, r#where: i32) -> hysock_status {
    boundary::status_only(|| {
        let (send, receive) = channel();
        match r#where {
            1 => panic!("planted in the caller's thread"),
            2 => on_io_thread(&*handle::get("runtime", runtime)?, send),
            3 => on_callback_thread(&*handle::get("runtime", runtime)?, send),
            other => return Err(Error::argument(format!("where: {other} is not 1, 2 or 3"))),
        }
        contained(&receive)
    })
}

/// Tells where it is dropped: in the unwinding of the panic, or with a job that never ran.
struct Witness(Sender<bool>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.send(std::thread::panicking()).ok();
    }
}

fn contained(receive: &Receiver<bool>) -> Result<()> {
    let (status, message) = match receive.recv_timeout(Duration::from_secs(10)) {
        Ok(true) => (Status::Panic, "planted on a thread of the library"),
        Ok(false) => (Status::ShutDown, "the runtime has ended"),
        Err(_) => (Status::TimedOut, "the thread is busy"),
    };
    Err(Error::new(status, Operation::None, message))
}

fn on_io_thread(runtime: &Arc<Runtime>, send: Sender<bool>) {
    let witness = Witness(send);
    runtime.next_io_thread().post(Post::Run(Box::new(move || {
        let _witness = witness;
        panic!("planted on an I/O thread");
    })));
}

fn on_callback_thread(runtime: &Arc<Runtime>, send: Sender<bool>) {
    let executor = runtime.executor(&Delivery::Pool, runtime.next_io_thread());
    let planted = Planted {
        strand: Strand::new(executor),
        witness: Mutex::new(Some(Witness(send))),
    };
    delivery::post_own(Arc::new(planted), Event::Call);
}

/// A callback that panics.
struct Planted {
    strand: Strand,
    witness: Mutex<Option<Witness>>,
}

impl Node for Planted {
    fn strand(&self) -> &Strand {
        &self.strand
    }

    fn deliver(self: Arc<Self>, _: Event) {
        let _witness = self
            .witness
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        panic!("planted on a callback thread");
    }

    fn abandon(self: Arc<Self>, _: Event) {}
}
