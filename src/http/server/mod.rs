//! The server: listeners, connections that stay on one I/O thread for life, and exchanges.

mod accept;
mod access;
mod admission;
mod answer;
mod answering;
mod callbacks;
mod changes;
mod clock;
mod conditions;
mod config;
mod connection;
mod end;
mod exchange;
mod face;
mod file;
mod framing;
mod head;
mod hooks;
mod idle;
mod in_flight;
mod inbound;
mod link;
mod listeners;
mod metrics;
mod outgoing;
mod pairs;
mod pattern;
mod pressure;
mod reading;
mod routes;
mod sending;
mod service;
mod shard;
mod sse;
mod stats;
mod trailers;
mod upgrade;
mod userdata;
mod writing;

pub use access::{AccessFn, Entry};
pub use config::Config;
pub use exchange::{Exchange, GoneFn, Handler};
pub use face::Face;
pub use hooks::{AnswerFn, RequestFn};
pub use reading::ReadFn;
pub use sse::SentEvent;
pub use stats::Counts;
pub use upgrade::UpgradeFn;
pub use userdata::{Kept, Value};
pub use writing::WritableFn;

use crate::error::{Error, Operation, Result, Status};
use crate::runtime::Runtime;
use crate::runtime::delivery::{self, Event, Strand};
use crate::runtime::gate::Gate;
use crate::runtime::io_thread::{IoThread, Post};
use crate::socket::listener::Listener;
use access::Access;
use admission::Admission;
use changes::Changes;
use routes::{Route, Routes};
use shard::Shard;
use stats::Stats;
use std::fmt;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// How a server ended.
#[derive(Debug, Clone, Copy)]
pub struct Closed {
    /// `Ok`: drained; `TimedOut`: the drain's deadline cut exchanges short.
    pub reason: Status,
    pub aborted: u64,
}

pub type ClosedFn = Box<dyn FnOnce(Closed) + Send>;

pub struct Server {
    runtime: Arc<Runtime>,
    /// As of now; each shard has a copy of its own.
    config: Mutex<Arc<Config>>,
    strand: Strand,
    gate: Gate,
    /// What the end waits for: shards, connections, events that were posted, and the server's own hold
    /// until its end begins.
    holds: AtomicUsize,
    ending: AtomicBool,
    closing: AtomicBool,
    withdrawn: AtomicBool,
    /// Requests that were read and not answered yet.
    requests: AtomicU64,
    connections: AtomicU64,
    /// Connections on their way to the thread that accepts.
    arriving: AtomicU64,
    /// Requests that wait for a callback thread or for whoever dispatches.
    queued: AtomicUsize,
    aborted: AtomicU64,
    stats: Stats,
    /// Set before the start, if at all.
    access: OnceLock<Arc<Access>>,
    admission: Admission,
    changes: Changes,
    /// Written by a signal handler: drain.
    signal: accept::Signal,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    routes: Arc<Routes>,
    listeners: Vec<Arc<Listener>>,
    /// Given before the start.
    connections: Vec<OwnedFd>,
    /// The first allow rule of a route that was refused: without it the route would be open to all.
    refused: Option<Error>,
    on_closed: Option<ClosedFn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Running,
    Ending,
}

/// Keeps a server's end waiting until it is dropped.
struct Hold(Arc<Server>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

impl Server {
    pub fn new(runtime: &Arc<Runtime>, config: &Config) -> Result<Arc<Server>> {
        runtime.check_running()?;
        runtime.check_delivery(&config.delivery)?;
        let executor = runtime.executor(&config.delivery, &runtime.io_threads()[0]);
        let server = Arc::new(Server {
            runtime: runtime.clone(),
            config: Mutex::new(Arc::new(config.clone())),
            strand: Strand::new(executor),
            gate: Gate::default(),
            holds: AtomicUsize::new(1),
            ending: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            withdrawn: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            arriving: AtomicU64::new(0),
            queued: AtomicUsize::new(0),
            aborted: AtomicU64::new(0),
            stats: Stats::new(runtime.io_threads().len()),
            access: OnceLock::new(),
            admission: Admission::default(),
            changes: Changes::default(),
            signal: accept::Signal::new()?,
            state: Mutex::new(State {
                stage: Stage::New,
                routes: Arc::default(),
                listeners: Vec::new(),
                connections: Vec::new(),
                refused: None,
                on_closed: None,
            }),
        });
        runtime.add_member(server.clone())?;
        Ok(server)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn config(&self) -> Arc<Config> {
        let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        config.clone()
    }

    /// Keeps to `config` from now on, in all but the delivery, which stays; no connection ends by it.
    pub fn reload(self: &Arc<Self>, config: &Config) -> Result<()> {
        self.check()?;
        let state = self.state();
        if state.stage == Stage::Ending {
            return Err(shut_down());
        }
        let config = Arc::new(config.clone());
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config.clone();
        // Posted under the lock: of two reloads the last one holds everywhere.
        self.each_shard(move |shard| shard.keep_to(&config));
        drop(state);
        self.tell_change();
        self.changes.reloaded.notify_one();
        Ok(())
    }

    /// `FORKED` in a forked child.
    pub fn check(&self) -> Result<()> {
        self.runtime.check()
    }

    fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// Which of the runtime's I/O threads that is.
    fn index_of(&self, thread: &Arc<IoThread>) -> usize {
        let threads = self.runtime.io_threads().iter();
        threads
            .enumerate()
            .find_map(|(index, known)| Arc::ptr_eq(known, thread).then_some(index))
            .expect("one of the runtime's")
    }

    /// Free was called: no callback runs any more.
    fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    fn check_new(&self, state: &State, what: &str) -> Result<()> {
        match state.stage {
            Stage::New => Ok(()),
            Stage::Running => Err(Error::state(format!(
                "{what}: the server has started already"
            ))),
            Stage::Ending => Err(shut_down()),
        }
    }

    /// Adds a handler; before the start only.
    pub fn add_route(
        &self,
        method: Option<&str>,
        path: Option<&str>,
        handler: Handler,
    ) -> Result<()> {
        self.add_to_routes(method, path, Route::new(handler))
    }

    /// Adds a handler that reads the request's body itself; before the start only.
    pub fn add_streaming_route(
        &self,
        method: Option<&str>,
        path: Option<&str>,
        handler: Handler,
    ) -> Result<()> {
        self.add_to_routes(method, path, Route::new(handler).streaming())
    }

    fn add_to_routes(&self, method: Option<&str>, path: Option<&str>, route: Route) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        self.check_new(&state, "a route is added before the start")?;
        Arc::get_mut(&mut state.routes)
            .expect("shared from the start on only")
            .add(method, path, route)
    }

    /// Sends an entry for each request to `f`; before the start only.
    pub fn on_access(&self, f: AccessFn) -> Result<()> {
        self.check()?;
        let access = Arc::new(Access::new(f));
        let refused = {
            let state = self.state();
            self.check_new(&state, "on_access comes before the start")?;
            self.access.set(access).err()
        };
        match refused {
            None => Ok(()),
            Some(_) => Err(Error::state("the server has an on_access callback already")),
        }
    }

    pub fn on_closed(&self, f: ClosedFn) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        if state.stage == Stage::Ending {
            return Err(shut_down());
        }
        if state.on_closed.is_some() {
            return Err(Error::state("the server has an on_closed callback already"));
        }
        state.on_closed = Some(f);
        Ok(())
    }

    /// Accepts connections from now on.
    pub fn start(self: &Arc<Self>) -> Result<()> {
        self.check()?;
        let mut state = self.state();
        self.check_new(&state, "start")?;
        if let Some(error) = &state.refused {
            return Err(error.clone());
        }
        if state.listeners.is_empty() && state.connections.is_empty() {
            return Err(Error::state(
                "start: the server has no listener, add one first",
            ));
        }
        if state.routes.is_empty() {
            return Err(Error::state(
                "start: the server has no route, add one first",
            ));
        }
        state.stage = Stage::Running;
        let listeners = state.listeners.clone();
        let routes = state.routes.clone();
        // Posted under the lock, so that an end on another thread comes after it.
        for thread in self.runtime.io_threads() {
            let hold = self.take_hold();
            let routes = routes.clone();
            thread.post(Post::Run(Box::new(move || Shard::start(hold, routes))));
        }
        let hold = self.take_hold();
        let accept = move || accept::start(hold, listeners);
        self.runtime.io_threads()[0].post(Post::Run(Box::new(accept)));
        for connection in std::mem::take(&mut state.connections) {
            self.post_connection(connection);
        }
        Ok(())
    }

    fn take_hold(self: &Arc<Self>) -> Hold {
        self.hold();
        Hold(self.clone())
    }

    fn hold(&self) {
        self.holds.fetch_add(1, Ordering::AcqRel);
    }

    fn let_go(self: &Arc<Self>) {
        if self.holds.fetch_sub(1, Ordering::AcqRel) == 1
            && !self.closing.swap(true, Ordering::AcqRel)
        {
            delivery::post_own(self.clone(), Event::Gone);
        }
    }

    /// Runs `f` with this server's shard on each I/O thread.
    fn each_shard(self: &Arc<Self>, f: impl Fn(&Rc<Shard>) + Clone + Send + 'static) {
        for thread in self.runtime.io_threads() {
            self.on_shard(thread, f.clone());
        }
    }

    fn on_shard(self: &Arc<Self>, thread: &IoThread, f: impl FnOnce(&Rc<Shard>) + Send + 'static) {
        let hold = self.take_hold();
        thread.post(Post::Run(Box::new(move || {
            if let Some(shard) = Shard::find(&hold.0) {
                f(&shard);
            }
        })));
    }
}

fn shut_down() -> Error {
    Error::new(
        Status::ShutDown,
        Operation::Start,
        "the server was shut down",
    )
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("stage", &self.state().stage)
            .finish_non_exhaustive()
    }
}
