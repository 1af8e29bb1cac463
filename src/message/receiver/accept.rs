//! A receiver on its I/O threads: accepting producers, sharing them out, and the end.

use super::connection::{self, Connection};
use super::{Hold, Receiver, datagrams};
use crate::limits::{ACCEPT_BATCH, ACCEPT_PAUSE_MIN, UNLIMITED};
use crate::message::funnel::Reserved;
use crate::message::{Reason, Source, flags};
use crate::runtime::io_thread::{IoThread, Post};
use crate::runtime::{Level, Pause, context};
use crate::socket::Kind;
use crate::socket::listener::{self, Listener};
use crate::socket::packet::Packets;
use crate::socket::peer::Record;
use crate::socket::sys;
use crate::socket::users::User;
use rustix::io::Errno;
use std::cell::{Cell, RefCell, RefMut};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::sync::Notify;

thread_local! {
    static SHARDS: RefCell<Vec<Rc<Shard>>> = const { RefCell::new(Vec::new()) };
}

/// A receiver's share of one I/O thread.
pub struct Shard {
    hold: Hold,
    pub thread: Arc<IoThread>,
    /// Since when the end has begun, and until when producers are read.
    end: Cell<Option<Option<Instant>>>,
    pub changed: Notify,
    /// Tasks that keep the shard.
    tasks: Cell<usize>,
    /// No more connections are posted to this thread.
    accepted: Cell<bool>,
    /// Where the connections of a SEQPACKET receiver read to.
    packets: RefCell<Packets>,
}

impl Shard {
    /// Runs on the I/O thread.
    pub fn start(hold: Hold) {
        let config = &hold.0.config;
        let packets = Packets::new(config.max_message as usize, config.takes_fds());
        let shard = Rc::new(Shard {
            packets: RefCell::new(packets),
            hold,
            thread: context::io_thread().expect("posted to an I/O thread"),
            end: Cell::new(None),
            changed: Notify::new(),
            tasks: Cell::new(0),
            accepted: Cell::new(false),
        });
        SHARDS.with_borrow_mut(|shards| shards.push(shard));
    }

    fn find(receiver: &Receiver) -> Option<Rc<Shard>> {
        SHARDS.with_borrow(|shards| {
            let found = shards.iter().find(|s| std::ptr::eq(&*s.hold.0, receiver));
            found.cloned()
        })
    }

    pub fn receiver(&self) -> &Arc<Receiver> {
        &self.hold.0
    }

    pub fn is_ending(&self) -> bool {
        self.end.get().is_some()
    }

    /// How long producers are still read; zero when it is over.
    pub fn left(&self) -> Option<Duration> {
        let deadline = self.end.get()??;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    pub fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// Room for one read in the budget; `None` when the end, or its deadline, came first.
    pub async fn room(&self, source: &Arc<Source>, inside: bool) -> Option<Reserved> {
        let changed = self.changed.notified();
        let room = self.receiver().funnel.room(source, inside, &self.thread);
        let room = async {
            tokio::select! {
                biased;
                reserved = room => Some(reserved),
                () = changed => None,
            }
        };
        match self.left() {
            None => room.await,
            Some(left) => tokio::time::timeout(left, room).await.ok().flatten(),
        }
    }

    pub fn packets(&self) -> RefMut<'_, Packets> {
        self.packets.borrow_mut()
    }

    /// One listener brings no more connections. After the last one each thread's share may end: what was
    /// posted to it before is there by then.
    pub fn accepted_all(&self) {
        let receiver = self.receiver();
        if receiver.accepting.fetch_sub(1, Ordering::AcqRel) == 1 {
            for thread in receiver.runtime.io_threads() {
                let hold = receiver.take_hold();
                thread.post(Post::Run(Box::new(move || {
                    if let Some(shard) = Shard::find(&hold.0) {
                        shard.accepted.set(true);
                        shard.leave();
                    }
                })));
            }
        }
    }

    /// Runs `task` here; the shard lasts as long as it has tasks, or until its end begins.
    pub fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        self.tasks.set(self.tasks.get() + 1);
        let shard = self.clone();
        tokio::task::spawn_local(async move {
            task.await;
            shard.tasks.set(shard.tasks.get() - 1);
            shard.leave();
        });
    }

    fn leave(self: &Rc<Self>) {
        if self.is_ending() && self.tasks.get() == 0 && self.accepted.get() {
            let gone = SHARDS.with_borrow_mut(|shards| {
                let at = shards.iter().position(|other| Rc::ptr_eq(other, self));
                at.map(|at| shards.swap_remove(at))
            });
            drop(gone);
        }
    }
}

/// Starts accepting; runs on the first I/O thread.
pub fn start(hold: Hold, listeners: Vec<Arc<Listener>>) {
    let Some(shard) = Shard::find(&hold.0) else {
        return;
    };
    let (watcher, watched) = (shard.clone(), listeners.clone());
    shard.spawn(async move { watch(&watcher, watched).await });
    for listener in listeners {
        let task = shard.clone();
        if hold.0.config.kind == Kind::Datagram {
            shard.spawn(async move { datagrams::run(&task, &listener).await });
        } else {
            shard.spawn(async move { listen(&task, &listener).await });
        }
    }
}

/// Tells of socket files that were removed or replaced, until the end.
async fn watch(shard: &Shard, listeners: Vec<Arc<Listener>>) {
    let receiver = shard.receiver();
    let changed = shard.changed.notified();
    if shard.is_ending() {
        return;
    }
    let lost = listener::watch(listeners, |_, text| {
        let lost = &receiver.counters.listeners_lost;
        lost.fetch_add(1, Ordering::Relaxed);
        receiver.runtime.log().write(Level::Warn, || text);
    });
    tokio::select! {
        () = lost => {}
        () = changed => {}
    }
}

/// Begins the end of the receiver's share of this thread, or shortens the drain.
pub fn end(receiver: &Arc<Receiver>, drain: Option<Duration>) {
    let Some(shard) = Shard::find(receiver) else {
        return;
    };
    let deadline = drain.and_then(|drain| Instant::now().checked_add(drain));
    let deadline = match (shard.end.get().flatten(), deadline) {
        (Some(before), Some(now)) => Some(before.min(now)),
        (before, now) => before.or(now),
    };
    shard.end.set(Some(deadline));
    shard.changed.notify_waiters();
    shard.leave();
}

/// Accepts from one listener until the end begins, then what its backlog holds.
async fn listen(shard: &Rc<Shard>, listener: &Arc<Listener>) {
    let receiver = shard.receiver().clone();
    match sys::register(listener.clone(), Interest::READABLE) {
        Ok(registration) => {
            let mut pause = Pause::new();
            while !shard.is_ending() {
                let changed = shard.changed.notified();
                if receiver.connections.load(Ordering::Acquire) >= receiver.config.max_connections {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep(ACCEPT_PAUSE_MIN) => {}
                    }
                    continue;
                }
                let mut ready = tokio::select! {
                    () = changed => continue,
                    ready = registration.readable() => match ready {
                        Ok(ready) => ready,
                        Err(_) => break,
                    },
                };
                let most = receiver.config.max_connections;
                match accept_batch(&receiver, listener, most) {
                    Ok(true) => {
                        pause = Pause::new();
                        ready.clear_ready();
                    }
                    Ok(false) => pause = Pause::new(),
                    Err(errno) => {
                        if pause.is_first() {
                            log_pressure(&receiver, listener, errno);
                        }
                        drop(ready);
                        let changed = shard.changed.notified();
                        tokio::select! {
                            () = changed => {}
                            () = tokio::time::sleep(pause.next()) => {}
                        }
                    }
                }
                tokio::task::yield_now().await;
            }
        }
        Err(error) => receiver.runtime.log().write(Level::Error, || {
            let at = listener.address().display();
            format!("{at}: cannot accept producers: {error}")
        }),
    }
    remove_file(&receiver, listener).await;
    // Whoever has connected is read: nothing is lost in the backlog. Where another process accepts too, it
    // is that one's.
    if !listener.is_shared() {
        listener.refuse_more();
        let left = loop {
            match accept_batch(&receiver, listener, UNLIMITED) {
                Ok(false) => {}
                left => break left,
            }
        };
        if let Err(errno) = left.or_else(empty) {
            log_pressure(&receiver, listener, errno);
        }
    }
    shard.accepted_all();
}

pub async fn remove_file(receiver: &Receiver, listener: &Listener) {
    if let Err(error) = listener.remove_file_soon().await {
        let log = receiver.runtime.log();
        log.write(Level::Warn, || error.to_string());
    }
}

fn log_pressure(receiver: &Receiver, listener: &Listener, errno: Errno) {
    receiver.runtime.log().write(Level::Error, || {
        let at = listener.address().display();
        format!("{at}: cannot accept producers for now: {errno}: they wait in the backlog")
    });
}

/// A listener that lets nobody in any more says EINVAL when none is left.
fn empty(errno: Errno) -> Result<bool, Errno> {
    match errno {
        Errno::INVAL => Ok(true),
        errno => Err(errno),
    }
}

/// Accepts some connections, `most` in all; `true` when no more wait.
fn accept_batch(receiver: &Arc<Receiver>, listener: &Listener, most: u64) -> Result<bool, Errno> {
    for _ in 0..ACCEPT_BATCH {
        if receiver.connections.load(Ordering::Acquire) >= most {
            return Ok(false);
        }
        match listener.accept() {
            Ok(fd) => share_out(receiver, listener, fd),
            Err(Errno::AGAIN) => return Ok(true),
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(false)
}

/// Gives the connection to the thread with the fewest.
fn share_out(receiver: &Arc<Receiver>, listener: &Listener, fd: OwnedFd) {
    let fd = Arc::new(fd);
    let record = Record::new(&fd);
    if !listener.allow().admits(&record) {
        receiver.counters.forbidden.fetch_add(1, Ordering::Relaxed);
        return reject(receiver, record);
    }
    let most = receiver.config.max_connections_per_uid;
    let Some(user) = receiver.users.join(&record, most) else {
        receiver.counters.overload.fetch_add(1, Ordering::Relaxed);
        return reject(receiver, record);
    };
    let id = receiver.next_id.fetch_add(1, Ordering::Relaxed);
    let counted = Counted::new(receiver, user);
    let thread = counted.thread.clone();
    let add = move || {
        if let Some(shard) = Shard::find(&counted.receiver) {
            let source = Source::new(id, record);
            let connection = Connection::new(&shard, fd, source, counted);
            shard.spawn(async move { connection::run(connection).await });
        }
    };
    if thread.is_current() {
        add();
    } else {
        thread.post(Post::Run(Box::new(add)));
    }
}

/// Tells of a producer that was not let in. Whoever may not come must not fill the memory either: only as long
/// as there is room.
fn reject(receiver: &Receiver, record: Record) {
    if receiver.config.events && receiver.funnel.has_room() {
        let id = receiver.next_id.fetch_add(1, Ordering::Relaxed);
        let source = Source::new(id, record);
        let reserved = receiver.funnel.reserve_event();
        reserved.append(&source, |appending| {
            appending.event(flags::DISCONNECTED, Reason::Rejected as u64, &[]);
        });
    }
}

/// A connection counts until this is dropped.
pub struct Counted {
    receiver: Arc<Receiver>,
    thread: Arc<IoThread>,
    user: Arc<User>,
    _hold: Hold,
}

impl Counted {
    fn new(receiver: &Arc<Receiver>, user: Arc<User>) -> Counted {
        let load = |thread: &&Arc<IoThread>| thread.load.load(Ordering::Relaxed);
        let threads = receiver.runtime.io_threads();
        let thread = threads
            .iter()
            .min_by_key(load)
            .expect("a runtime has an I/O thread");
        thread.load.fetch_add(1, Ordering::Relaxed);
        receiver.connections.fetch_add(1, Ordering::AcqRel);
        receiver.counters.producers.fetch_add(1, Ordering::Relaxed);
        Counted {
            receiver: receiver.clone(),
            thread: thread.clone(),
            user,
            _hold: receiver.take_hold(),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.thread.load.fetch_sub(1, Ordering::Relaxed);
        self.receiver.users.leave(&self.user);
        self.receiver.connections.fetch_sub(1, Ordering::AcqRel);
    }
}
