//! The client: one address, its connections, and calls that are performed on the caller's thread or
//! started on an I/O thread.

mod call;
mod caller;
mod pool;
mod reactor;
mod request;
mod transfer;
mod worker;

pub use call::{Call, DoneFn};

use crate::error::{Error, Operation, Result, Status};
use crate::limits;
use crate::runtime::delivery::{Delivery, Executor};
use crate::runtime::fork::Mark;
use crate::runtime::gate::{Gate, deadline_after};
use crate::runtime::io_thread::IoThread;
use crate::runtime::{self, Member, Runtime, Waited, context};
use crate::socket::address::Address;
use pool::{Pool, Pools};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a client keeps to.
#[derive(Debug, Clone)]
pub struct Config {
    pub delivery: Delivery,
    pub max_body: u64,
    pub connect_timeout: Option<Duration>,
    /// From the start of a call to the end of its answer.
    pub timeout: Option<Duration>,
    pub max_connections: u64,
    pub max_idle: u64,
    pub idle_age: Option<Duration>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            delivery: Delivery::Pool,
            max_body: limits::CLIENT_MAX_BODY.default,
            connect_timeout: limits::CLIENT_CONNECT_TIMEOUT.default_time(),
            timeout: limits::CLIENT_TIMEOUT.default_time(),
            max_connections: limits::CLIENT_MAX_CONNECTIONS.default,
            max_idle: limits::CLIENT_MAX_IDLE.default,
            idle_age: limits::CLIENT_IDLE_AGE.default_time(),
        }
    }
}

/// What a client on a runtime has on top.
struct Home {
    runtime: Arc<Runtime>,
    /// Where its started calls run.
    thread: Arc<IoThread>,
    executor: Executor,
}

pub struct Client {
    home: Option<Home>,
    address: Address,
    config: Config,
    pools: Pools,
    gate: Gate,
    /// Calls that were begun and not delivered, and the client's own hold until its end begins.
    holds: AtomicUsize,
    ending: AtomicBool,
    /// Calls that were begun and have not ended; each knows its place.
    running: Mutex<Vec<Arc<Call>>>,
}

impl Client {
    /// Without a runtime calls can be performed, not started.
    pub fn new(
        runtime: Option<&Arc<Runtime>>,
        address: &Address,
        config: &Config,
    ) -> Result<Arc<Client>> {
        let home = match runtime {
            None => None,
            Some(runtime) => {
                runtime.check_running()?;
                if let Delivery::Queue(queue) = &config.delivery {
                    queue.check()?;
                }
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
            address: address.clone(),
            config: config.clone(),
            pools: Pools::new(Mark::here()?),
            gate: Gate::default(),
            holds: AtomicUsize::new(1),
            ending: AtomicBool::new(false),
            running: Mutex::default(),
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

    fn pool(&self) -> Result<&Pool> {
        self.pools.here()
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    fn running(&self) -> MutexGuard<'_, Vec<Arc<Call>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins. The hold is let go by [`Client::let_go`].
    fn hold(&self) -> Result<()> {
        self.holds.fetch_add(1, Ordering::AcqRel);
        if self.is_ending() {
            self.let_go();
            return Err(shut_down());
        }
        Ok(())
    }

    fn let_go(&self) {
        if self.holds.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.gate.open();
            if let Some(home) = &self.home {
                home.runtime.remove_member(self);
            }
        }
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
            // Nobody of ours is there to watch the drain's deadline: `wait` does.
            None => self.pools.forget_idle(),
        }
        if first {
            self.let_go();
        }
    }

    fn cancel_all(&self) {
        let calls = self.running().clone();
        calls.iter().for_each(|call| call.cut());
    }

    /// Returns when no callback of the client runs or will run.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        self.check()?;
        context::check_may_wait("hysock_client_wait")?;
        let deadline = deadline_after(timeout);
        let open = match &self.home {
            Some(_) => runtime::wait_for(self, deadline)?,
            None => self.gate.wait_until(deadline),
        };
        if open {
            return Ok(());
        }
        Err(runtime::timed_out("the client has not ended yet"))
    }

    /// What free does: cancels every call that runs; nothing is called back.
    pub fn release(self: &Arc<Self>) {
        if self.check().is_ok() {
            self.withdraw_all();
        }
    }

    fn withdraw_all(self: &Arc<Self>) {
        let calls = self.running().clone();
        calls.iter().for_each(|call| call.withdraw());
        self.end(Some(Duration::ZERO));
    }
}

impl Waited for Client {
    fn gate(&self) -> &Gate {
        &self.gate
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
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
