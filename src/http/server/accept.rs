//! Accepting connections on the first I/O thread, sharing them out, and the beginning of the end.

use super::admission::Newcomer;
use super::idle::idle;
use super::pressure::Pressure;
use super::shard::Shard;
use super::{Hold, Server};
use crate::error::{Error, Operation, Result};
use crate::limits::ACCEPT_BATCH;
use crate::runtime::io_thread::IoThread;
use crate::runtime::{Level, Pause};
use crate::socket::listener::{self, Listener};
use crate::socket::sys;
use rustix::event::EventfdFlags;
use rustix::io::Errno;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::Interest;
use tokio::sync::Notify;

/// A descriptor that a signal handler may write to: "shut down".
pub struct Signal(Arc<OwnedFd>);

impl Signal {
    pub fn new() -> Result<Signal> {
        rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map(|fd| Signal(Arc::new(fd)))
            .map_err(|e| {
                Error::system(
                    Operation::Start,
                    "cannot make the server's descriptor",
                    &e.into(),
                )
            })
    }

    /// A descriptor more, if there is one to be had.
    pub fn copy(&self) -> Option<OwnedFd> {
        rustix::io::fcntl_dupfd_cloexec(&self.0, 0).ok()
    }

    /// Async-signal-safe: one write(2).
    pub fn fire(&self) {
        rustix::io::write(&self.0, &1u64.to_ne_bytes()).ok();
    }
}

thread_local! {
    static ACCEPTORS: RefCell<Vec<(*const Server, Rc<Ending>)>> = const { RefCell::new(Vec::new()) };
}

/// The end of accepting, once it was asked for.
#[derive(Default)]
struct Ending {
    begun: Cell<bool>,
    drain: Cell<Option<Duration>>,
    notify: Notify,
}

impl Ending {
    /// A later call can only shorten the drain.
    fn begin(&self, drain: Option<Duration>) {
        let shorter = match (self.drain.get(), drain) {
            (Some(before), Some(now)) if self.begun.get() => Some(before.min(now)),
            (Some(before), None) if self.begun.get() => Some(before),
            (_, now) => now,
        };
        self.drain.set(shorter);
        self.begun.set(true);
        self.notify.notify_waiters();
    }

    /// `f`'s result, or `None` when the end begins or a listener is handed over first.
    async fn or<T>(&self, f: impl Future<Output = T>) -> Option<T> {
        let notified = self.notify.notified();
        if self.begun.get() {
            return None;
        }
        tokio::select! {
            biased;
            () = notified => None,
            result = f => Some(result),
        }
    }

    /// `f`'s result, or `None` when the end begins first.
    async fn before<T>(&self, f: impl Future<Output = T>) -> Option<T> {
        let mut f = pin!(f);
        while !self.begun.get() {
            let result = self.or(f.as_mut()).await;
            if result.is_some() {
                return result;
            }
        }
        None
    }
}

/// One of `server`'s listeners was handed over; runs on the first I/O thread.
pub fn listeners_changed(server: &Arc<Server>) {
    if let Some(ending) = find(server) {
        ending.notify.notify_waiters();
    }
}

/// Serves a connection that did not come through a listener; runs on the first I/O thread.
pub fn add(server: &Arc<Server>, fd: OwnedFd) {
    share_out(server, None, fd);
}

fn find(server: &Arc<Server>) -> Option<Rc<Ending>> {
    let key = Arc::as_ptr(server);
    ACCEPTORS.with_borrow(|all| {
        let found = all.iter().find(|(server, _)| *server == key);
        found.map(|(_, ending)| ending.clone())
    })
}

/// Starts accepting; runs on the first I/O thread.
pub fn start(hold: Hold, listeners: Vec<Arc<Listener>>) {
    let ending = Rc::new(Ending::default());
    let server = Arc::as_ptr(&hold.0);
    ACCEPTORS.with_borrow_mut(|all| all.push((server, ending.clone())));
    tokio::task::spawn_local(run(hold, listeners, ending));
}

/// Begins the end of accepting, or shortens the drain; runs on the first I/O thread.
pub fn end(server: &Arc<Server>, drain: Option<Duration>) {
    match find(server) {
        Some(ending) => ending.begin(drain),
        None => abort_after(server, drain),
    }
}

async fn run(hold: Hold, listeners: Vec<Arc<Listener>>, ending: Rc<Ending>) {
    let server = hold.0.clone();
    let pressure = Rc::new(Pressure::new(&server));
    let mut tasks: Vec<_> = listeners
        .iter()
        .enumerate()
        .map(|(index, listener)| Accepting {
            server: server.clone(),
            index,
            listener: listener.clone(),
            ending: ending.clone(),
            pressure: pressure.clone(),
        })
        .map(|accepting| tokio::task::spawn_local(accepting.run()))
        .collect();
    let (watched, end) = (server.clone(), ending.clone());
    tasks.push(tokio::task::spawn_local(async move {
        let reports = pressure.report_ends(&watched);
        end.before(async { tokio::join!(watch(&watched, listeners), reports) })
            .await;
    }));
    let end = async {
        tokio::select! {
            () = signalled(&server) => {}
            () = idle(&server) => {}
        }
    };
    if ending.before(end).await.is_some() {
        // The same way as a shutdown from a program's thread, so that its state is right.
        let drain = server.config().drain;
        server.end(drain);
        ending.begin(drain);
    }
    for task in tasks {
        task.await.ok();
    }
    ACCEPTORS.with_borrow_mut(|all| all.retain(|(_, other)| !Rc::ptr_eq(other, &ending)));
    server.each_shard(Shard::drain);
    abort_after(&server, ending.drain.get());
}

/// Tells of socket files that were removed or replaced.
async fn watch(server: &Server, listeners: Vec<Arc<Listener>>) {
    listener::watch(listeners, |_, text| {
        server.stats.listeners_lost.add(1);
        server.runtime.log().write(Level::Warn, || text);
    })
    .await;
}

/// Waits for [`Signal::fire`].
async fn signalled(server: &Server) {
    if let Ok(fd) = sys::register(server.signal.0.clone(), Interest::READABLE) {
        fd.readable().await.ok();
    } else {
        std::future::pending::<()>().await;
    }
}

/// Cuts off what the drain leaves.
fn abort_after(server: &Arc<Server>, drain: Option<Duration>) {
    let Some(drain) = drain else { return };
    if drain.is_zero() {
        return server.each_shard(Shard::abort);
    }
    // No hold: the server's end need not wait for this.
    let server = Arc::downgrade(server);
    tokio::task::spawn_local(async move {
        tokio::time::sleep(drain).await;
        if let Some(server) = server.upgrade() {
            server.each_shard(Shard::abort);
        }
    });
}

/// Accepting from one listener.
struct Accepting {
    server: Arc<Server>,
    index: usize,
    listener: Arc<Listener>,
    ending: Rc<Ending>,
    pressure: Rc<Pressure>,
}

impl Accepting {
    /// Accepts until the end begins, then what the backlog holds.
    async fn run(self) {
        if let Err(error) = self.serve().await {
            self.log(Level::Error, || {
                format!("cannot accept connections: {error}")
            });
        }
        if let Err(error) = self.listener.remove_file_soon().await {
            self.log(Level::Warn, || error.to_string());
        }
        if self.listener.is_shared() {
            // What waits is for whoever else has the socket.
            return;
        }
        // Whoever has connected is served, nobody connects any more: nothing is lost in the backlog.
        self.listener.refuse_more();
        loop {
            match self.accept_batch(true) {
                Ok(Drained::No) => {}
                Ok(Drained::Yes) => break,
                Err(error) => {
                    let (server, listener) = (&self.server, &self.listener);
                    self.pressure.turn_away(server, listener, error, u32::MAX);
                    break;
                }
            }
        }
    }

    async fn serve(&self) -> std::io::Result<()> {
        let (server, ending) = (&self.server, &self.ending);
        let registration = sys::register(self.listener.clone(), Interest::READABLE)?;
        let mut pause = Pause::new();
        while !ending.begun.get() && !self.listener.is_handed_over() {
            let room = server.until(|server| server.has_room().then_some(()));
            if ending.or(room).await.is_none() {
                continue;
            }
            let mut ready = match ending.or(registration.readable()).await {
                Some(ready) => ready?,
                None => continue,
            };
            match self.accept_batch(false) {
                Ok(Drained::Yes) => ready.clear_ready(),
                Ok(Drained::No) => {}
                Err(error) if self.pressure.relieve(server, &self.listener, error, &pause) => {
                    ready.clear_ready();
                }
                Err(_) => {
                    drop(ready);
                    // Ends early when a connection does: that gives its descriptor back.
                    let pause = tokio::time::timeout(pause.next(), server.changed());
                    ending.or(pause).await;
                    continue;
                }
            }
            pause = Pause::new();
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn log(&self, level: Level, line: impl FnOnce() -> String) {
        let address = self.listener.address().display();
        let log = self.server.runtime.log();
        log.write(level, || format!("{address}: {}", line()));
    }

    /// Accepts some connections, up to the limit unless these are the `last`; an error is one of the
    /// system's shortages.
    fn accept_batch(&self, last: bool) -> std::result::Result<Drained, Errno> {
        let (server, listener) = (&self.server, &*self.listener);
        for _ in 0..ACCEPT_BATCH {
            if !last && (!server.has_room() || listener.is_handed_over()) {
                return Ok(Drained::No);
            }
            match listener.accept() {
                Ok(fd) => share_out(server, Some((self.index, listener)), fd),
                Err(Errno::AGAIN) => return Ok(Drained::Yes),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => {
                    server.stats.accept_errors.add(1);
                    return Err(error);
                }
            }
        }
        Ok(Drained::No)
    }
}

enum Drained {
    Yes,
    No,
}

/// Gives a connection that may come in to the thread with the fewest, and to this one when there is no
/// better.
fn share_out(server: &Arc<Server>, from: Option<(usize, &Listener)>, fd: OwnedFd) {
    let load = |thread: &&Arc<IoThread>| thread.load.load(Ordering::Relaxed);
    let threads = server.runtime.io_threads();
    // The first I/O thread accepts, and `min_by_key` prefers the first.
    let thread = threads
        .iter()
        .min_by_key(load)
        .expect("a runtime has an I/O thread");
    let Some(newcomer) = Newcomer::new(server, thread, from, fd) else {
        return;
    };
    if thread.is_current()
        && let Some(shard) = Shard::find(server)
    {
        return shard.add(newcomer);
    }
    server.on_shard(thread, move |shard| shard.add(newcomer));
}

impl Server {
    fn has_room(&self) -> bool {
        self.has_room_for(0)
    }

    /// Whether there is room for one more connection beside those `waiting`.
    pub(super) fn has_room_for(&self, waiting: u64) -> bool {
        let open = self.connections.load(Ordering::Acquire);
        open.saturating_add(waiting) < self.config().max_connections
    }

    pub(super) fn connection_ended(&self) {
        self.connections.fetch_sub(1, Ordering::AcqRel);
        self.tell_change();
    }
}
