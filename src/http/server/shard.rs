//! One server's share of one I/O thread: its connections there, and the sweep that keeps their time.

use super::admission::Newcomer;
use super::config::Config;
use super::connection::Connection;
use super::exchange::Exchange;
use super::link::Link;
use super::routes::Routes;
use super::stats::ShardStats;
use super::{Hold, Server};
use crate::http::body::Collected;
use crate::http::rooms::Rooms;
use crate::limits::{self, SWEEP};
use crate::runtime::context;
use crate::runtime::delivery::Executor;
use crate::runtime::io_thread::IoThread;
use crate::socket::policy::Allow;
use crate::socket::stream::ServerStream;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use std::cell::{Cell, Ref, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::sync::Notify;

thread_local! {
    static SHARDS: RefCell<Vec<Rc<Shard>>> = const { RefCell::new(Vec::new()) };
}

pub struct Shard {
    pub thread: Arc<IoThread>,
    pub routes: Arc<Routes>,
    pub executor: Executor,
    settings: RefCell<Settings>,
    pub stats: Arc<ShardStats>,
    started: Instant,
    /// Milliseconds since `started`, as coarse as the sweep.
    now: Cell<u64>,
    /// No connection comes any more.
    draining: Cell<bool>,
    connections: RefCell<Vec<Rc<Link>>>,
    /// Exchanges that have ended, for the next requests: the one used last is the first again, while its
    /// memory is still at hand.
    spares: RefCell<Vec<Arc<Exchange>>>,
    /// For large bodies.
    pub rooms: RefCell<Rooms>,
    /// Connections with HTTP state.
    pub live: Cell<usize>,
    /// Wakes the sweep: there is something to do before its next turn.
    changed: Notify,
    /// The sweep's timer runs.
    sweeping: Cell<bool>,
    /// Last, and so dropped last: the server's end drops what the fields above share with it.
    hold: Hold,
}

/// The server's config, and what follows from it.
struct Settings {
    config: Arc<Config>,
    /// How hyper serves a connection whose answers are small: head and body in one buffer, which costs
    /// less than a list of two.
    http: http1::Builder,
    /// The same for one that has had a large answer: bodies are sent from where they are.
    http_bulk: http1::Builder,
}

impl Settings {
    fn new(config: Arc<Config>) -> Settings {
        let mut http = http1::Builder::new();
        http.half_close(true)
            .header_read_timeout(None)
            .max_header_size(config.max_head)
            .max_buf_size(config.max_head);
        let http_bulk = http.clone();
        http.writev(false);
        Settings {
            config,
            http,
            http_bulk,
        }
    }
}

impl Shard {
    /// Runs on the I/O thread.
    pub fn start(hold: Hold, routes: Arc<Routes>) {
        let thread = context::io_thread().expect("posted to an I/O thread");
        let server = &hold.0;
        let config = server.config();
        let executor = server.runtime.executor(&config.delivery, &thread);
        let stats = server.stats.shard(server.index_of(&thread)).clone();
        let shard = Rc::new(Shard {
            thread,
            routes,
            executor,
            settings: RefCell::new(Settings::new(config)),
            stats,
            started: Instant::now(),
            now: Cell::new(0),
            draining: Cell::new(false),
            connections: RefCell::default(),
            spares: RefCell::default(),
            rooms: RefCell::default(),
            live: Cell::new(0),
            changed: Notify::new(),
            sweeping: Cell::new(false),
            hold,
        });
        SHARDS.with_borrow_mut(|shards| shards.push(shard.clone()));
        tokio::task::spawn_local(shard.sweep());
    }

    /// The shard of `server` on this thread.
    pub fn find(server: &Server) -> Option<Rc<Shard>> {
        SHARDS.with_borrow(|shards| {
            shards
                .iter()
                .find(|shard| std::ptr::eq(&*shard.hold.0, server))
                .cloned()
        })
    }

    pub fn server(&self) -> &Arc<Server> {
        &self.hold.0
    }

    /// Not to be kept: a reload replaces it between two turns of the reactor.
    #[inline]
    pub fn config(&self) -> Ref<'_, Config> {
        Ref::map(self.settings.borrow(), |settings| &*settings.config)
    }

    /// How hyper serves a connection that goes live now; `bulk` is one that has had a large answer.
    pub fn http(&self, bulk: bool) -> Ref<'_, http1::Builder> {
        Ref::map(self.settings.borrow(), |settings| match bulk {
            true => &settings.http_bulk,
            false => &settings.http,
        })
    }

    /// Takes over a reloaded config. Heads that have begun to arrive are still measured by the old one.
    pub fn keep_to(&self, config: &Arc<Config>) {
        self.settings.replace(Settings::new(config.clone()));
        self.changed.notify_one();
    }

    /// Looks at the connections of a listener again, whose rules are others now.
    pub fn reconsider(&self, listener: usize, allow: &Allow) {
        self.each(|link| link.reconsider(listener, allow));
    }

    pub fn now(&self) -> u64 {
        self.now.get()
    }

    fn tick(&self) {
        self.now.set(self.started.elapsed().as_millis() as u64);
    }

    /// The end has begun: at once for answers, though the last connections may still be on their way here.
    pub fn is_draining(&self) -> bool {
        self.server().ending.load(Ordering::Acquire)
    }

    pub fn take_spare(&self) -> Option<Arc<Exchange>> {
        self.spares.borrow_mut().pop()
    }

    pub fn keep_spare(&self, mut exchange: Arc<Exchange>) {
        if let Some(room) = exchange.take_room() {
            self.rooms.borrow_mut().keep(room);
        }
        let mut spares = self.spares.borrow_mut();
        if spares.len() < limits::SPARE_EXCHANGES {
            spares.push(exchange);
        }
    }

    /// Memory for a body that is to be collected.
    pub fn take_room(&self, body: &Incoming) -> Collected {
        let announced = body.size_hint().lower();
        self.rooms.borrow_mut().take(announced)
    }

    /// Takes a connection for life.
    pub fn add(self: &Rc<Self>, newcomer: Newcomer) {
        let Newcomer {
            socket,
            peer,
            place,
        } = newcomer;
        let stream = ServerStream::new(socket, self.stats.bytes.clone());
        if place.refused().is_none() {
            self.stats.connections.add(1);
        }
        self.tick();
        let mut connections = self.connections.borrow_mut();
        if !self.sweeping.get() {
            self.changed.notify_one();
        }
        let link = Link::new(self.clone(), stream, peer, place, connections.len());
        connections.push(link.clone());
        drop(connections);
        tokio::task::spawn_local(Connection::new(link));
    }

    /// Forgets a connection that has ended.
    pub fn remove(&self, index: usize) {
        let mut connections = self.connections.borrow_mut();
        let gone = connections.swap_remove(index);
        if let Some(moved) = connections.get(index) {
            moved.index.set(index);
        }
        if connections.is_empty() && self.draining.get() {
            self.changed.notify_one();
        }
        drop(connections);
        gone.give_up_place();
    }

    fn each(&self, f: impl Fn(&Rc<Link>)) {
        // Nothing that `f` does ends a connection on the spot: it wakes its task.
        self.connections.borrow().iter().for_each(f);
    }

    /// From now on answers say `Connection: close`, and connections without a request end.
    pub fn drain(self: &Rc<Self>) {
        self.draining.set(true);
        self.each(|link| link.wake());
        self.changed.notify_one();
    }

    /// Ends every connection now.
    pub fn abort(self: &Rc<Self>) {
        self.draining.set(true);
        self.each(|link| link.abort());
        self.changed.notify_one();
    }

    /// Whether as many requests as may wait for whoever runs handlers.
    pub fn is_full(&self) -> bool {
        matches!(self.executor, Executor::Queue(_))
            && self.server().queued.load(Ordering::Relaxed) >= self.config().max_queue
    }

    /// Whether one more connection may keep its HTTP state between requests.
    pub fn has_room_for_live(&self) -> bool {
        self.live.get() <= limits::LIVE_CONNECTIONS
    }

    /// Looks after the deadlines of all connections; ends with the shard.
    ///
    /// The timer runs on when the last connection ends, once: connections that come and go one at a time
    /// would else start one each.
    async fn sweep(self: Rc<Self>) {
        let mut next = pin!(tokio::time::sleep(SWEEP));
        loop {
            while self.connections.borrow().is_empty() {
                if self.draining.get() {
                    return self.forget();
                }
                self.sweeping.set(false);
                self.rooms.take();
                self.changed.notified().await;
                self.sweeping.set(true);
            }
            next.as_mut().reset(tokio::time::Instant::now() + SWEEP);
            // Either way it is time to look.
            tokio::select! {
                () = next.as_mut() => {}
                () = self.changed.notified() => {}
            }
            self.tick();
            self.each(|link| link.check_time());
            self.rooms.borrow_mut().trim();
        }
    }

    /// From now on the thread has nothing of this server.
    fn forget(self: Rc<Self>) {
        SHARDS.with_borrow_mut(|shards| shards.retain(|shard| !Rc::ptr_eq(shard, &self)));
    }
}
