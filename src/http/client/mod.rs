//! The client: one address, its connections, and calls that are performed on the caller's thread or
//! started on an I/O thread.

mod call;
mod caller;
mod cancel;
mod config;
mod delivered;
mod extras;
mod filling;
mod get;
mod inbound;
mod live;
mod news;
mod open;
mod outgoing;
mod output;
mod pool;
mod reactor;
mod redirect;
mod request;
mod state;
mod streaming;
mod switch;
mod transfer;
mod upload;
mod watch;
mod wire;
mod worker;
mod writing;

pub use call::{Call, DoneFn};
pub use config::Config;
pub use get::get;
pub use news::{InterimFn, Moved, ProgressFn};
pub use streaming::ReadFn;
pub use upload::{BodyFn, WritableFn};

use crate::error::{Error, Operation, Result, Status};
use crate::runtime::delivery::{Delivery, Executor};
use crate::runtime::fork::Mark;
use crate::runtime::gate::{Gate, deadline_after};
use crate::runtime::io_thread::IoThread;
use crate::runtime::{self, Member, Runtime, Waited, context};
use crate::socket::address::Address;
use crate::socket::listener;
use open::Source;
use pool::{Pool, Process, Processes};
use rustix::net::SocketType;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a client on a runtime has on top.
struct Home {
    runtime: Arc<Runtime>,
    /// Where its started calls run.
    thread: Arc<IoThread>,
    executor: Executor,
}

pub struct Client {
    home: Option<Home>,
    source: Source,
    config: Config,
    processes: Processes,
    ending: AtomicBool,
    /// Calls do not run to their end any more.
    cut: AtomicBool,
    /// Completions do not run any more.
    withdrawn: AtomicBool,
}

impl Client {
    /// Without a runtime calls can be performed, not started.
    pub fn new(
        runtime: Option<&Arc<Runtime>>,
        address: &Address,
        config: &Config,
    ) -> Result<Arc<Client>> {
        Client::of(runtime, Source::Address(address.clone()), config.clone())
    }

    /// For one connection that is there already: calls go over it one after another, and when it has ended
    /// they are over.
    pub fn with_connection(
        runtime: Option<&Arc<Runtime>>,
        socket: OwnedFd,
        config: &Config,
    ) -> Result<Arc<Client>> {
        listener::check_connected(socket.as_fd(), SocketType::STREAM)?;
        listener::prepare(&socket, false)?;
        let config = Config {
            max_connections: 1,
            ..config.clone()
        };
        let client = Client::of(runtime, open::given(&socket), config)?;
        let admitted = client.admit(Arc::new(socket)).inspect_err(|_| {
            client.release();
        })?;
        client.put_back_given(admitted.socket);
        Ok(client)
    }

    fn of(runtime: Option<&Arc<Runtime>>, source: Source, config: Config) -> Result<Arc<Client>> {
        let home = match runtime {
            None if matches!(config.delivery, Delivery::Queue(_)) => {
                return Err(Error::argument(
                    "a client without a runtime has no callbacks that a queue could deliver",
                ));
            }
            None => None,
            Some(runtime) => {
                runtime.check_running()?;
                runtime.check_delivery(&config.delivery)?;
                let thread = runtime.next_io_thread().clone();
                let executor = runtime.executor(&config.delivery, &thread);
                Some(Home {
                    runtime: runtime.clone(),
                    thread,
                    executor,
                })
            }
        };
        let client = Arc::new(Client {
            home,
            source,
            config,
            processes: Processes::new(Mark::here()?),
            ending: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            withdrawn: AtomicBool::new(false),
        });
        if let Some(runtime) = runtime {
            runtime.add_member(client.clone())?;
        }
        Ok(client)
    }

    /// `FORKED` in a forked child, for a client on a runtime.
    pub fn check(&self) -> Result<()> {
        self.home
            .as_ref()
            .map_or(Ok(()), |home| home.runtime.check())
    }

    fn home(&self) -> Result<&Home> {
        self.home.as_ref().ok_or_else(|| {
            Error::state(
                "the client was made without a runtime: its calls can be performed, not started",
            )
        })
    }

    fn here(&self) -> Result<&Process> {
        self.processes.here()
    }

    fn pool(&self) -> Result<&Pool> {
        self.here().map(|here| &here.pool)
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// A call begins. The hold is let go by [`Client::let_go`].
    fn hold(&self) -> Result<()> {
        self.here()?.holds.fetch_add(1, Ordering::AcqRel);
        if self.is_ending() {
            self.let_go();
            return Err(shut_down());
        }
        Ok(())
    }

    /// Something of a call begins that outlives what its first hold is for; `SHUT_DOWN` when the end is there.
    fn hold_again(&self) -> Result<()> {
        let holds = &self.here()?.holds;
        holds
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |holds| {
                (holds > 0).then_some(holds + 1)
            })
            .map(drop)
            .map_err(|_| shut_down())
    }

    fn let_go(&self) {
        let Ok(here) = self.here() else { return };
        if here.holds.fetch_sub(1, Ordering::AcqRel) == 1 {
            here.gate.open();
            if let Some(home) = &self.home {
                home.runtime.remove_member(self);
            }
        }
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    /// Begins the end: calls that run have until the drain's deadline, new ones are refused.
    pub fn shutdown(self: &Arc<Self>, drain: Option<Duration>) -> Result<()> {
        self.check()?;
        self.end(drain);
        Ok(())
    }

    fn end(self: &Arc<Self>, drain: Option<Duration>) {
        let first = !self.ending.swap(true, Ordering::AcqRel);
        if drain == Some(Duration::ZERO) {
            self.cancel_all();
        }
        match &self.home {
            Some(home) => reactor::end(self, home, drain),
            // No thread of ours watches the drain's deadline: `wait` does.
            None => {
                if let Ok(here) = self.here() {
                    here.close_idle();
                    *lock(&here.drain_until) = deadline_after(drain);
                }
            }
        }
        if first {
            if let Some(home) = &self.home {
                home.executor.stir_held();
            }
            self.let_go();
        }
    }

    fn cancel_all(self: &Arc<Self>) {
        // Before the list is read: a call that comes later sees it.
        self.cut.store(true, Ordering::Release);
        if let Ok(here) = self.here() {
            let performed = lock(&here.performed).clone();
            performed.iter().for_each(|call| self.cut_short(call));
        }
        reactor::cut(self);
    }

    fn cut_short(&self, call: &Arc<Call>) {
        if self.is_withdrawn() {
            call.withdraw();
        } else {
            call.cut();
        }
    }

    /// Returns when no callback of the client runs or will run.
    pub fn wait(self: &Arc<Self>, timeout: Option<Duration>) -> Result<()> {
        self.check()?;
        context::check_may_wait("hysock_client_wait")?;
        let deadline = deadline_after(timeout);
        let open = match &self.home {
            Some(_) => runtime::wait_for(&**self, deadline)?,
            None => self.wait_without_runtime(deadline)?,
        };
        if open {
            return Ok(());
        }
        Err(runtime::timed_out("the client has not ended yet"))
    }

    /// The end of a drain cancels what still runs.
    fn wait_without_runtime(self: &Arc<Self>, deadline: Option<Instant>) -> Result<bool> {
        let here = self.here()?;
        let drain = *lock(&here.drain_until);
        if let Some(drain) = drain
            && deadline.is_none_or(|deadline| drain < deadline)
            && !here.gate.wait_until(Some(drain))
        {
            self.cancel_all();
        }
        Ok(here.gate.wait_until(deadline))
    }

    /// What free does: cancels every call that runs; nothing is called back.
    pub fn release(self: &Arc<Self>) {
        if self.check().is_ok() {
            self.withdraw_all();
        }
    }

    fn withdraw_all(self: &Arc<Self>) {
        self.withdrawn.store(true, Ordering::Release);
        self.end(Some(Duration::ZERO));
    }
}

impl Waited for Client {
    fn gate(&self) -> &Gate {
        // A member is on a runtime, and so in the process that made it.
        &self.processes.first().gate
    }

    fn executor(&self) -> Option<&Executor> {
        self.home.as_ref().map(|home| &home.executor)
    }
}

impl Member for Client {
    fn begin_shutdown(self: Arc<Self>, drain: Option<Duration>) {
        self.end(drain);
    }

    fn withdraw(self: Arc<Self>) {
        self.withdraw_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shut_down() -> Error {
    Error::new(
        Status::ShutDown,
        Operation::Start,
        "the client was shut down",
    )
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
