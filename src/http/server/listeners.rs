//! Where a server's connections come from: sockets that it binds, adopts or is passed by a service
//! manager, and single connections.

use super::shard::Shard;
use super::{Server, Stage, State, accept, shut_down};
use crate::error::{Error, Operation, Result, Status};
use crate::runtime::Level;
use crate::runtime::io_thread::Post;
use crate::socket::address::Address;
use crate::socket::listener::activation;
use crate::socket::listener::{self, Adopt, Listener, ListenerOptions};
use rustix::net::SocketType;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const BEFORE_START: &str = "a listener is added before the start";

impl Server {
    /// Adds what `make` makes; before the start only.
    fn add(&self, make: impl FnOnce() -> Result<Listener>) -> Result<()> {
        self.check()?;
        self.check_new(&self.state(), BEFORE_START)?;
        let listener = make()?;
        let mut state = self.state();
        // Again, since binding took its time: dropped, the listener takes its file with it.
        self.check_new(&state, BEFORE_START)?;
        state.listeners.push(Arc::new(listener));
        Ok(())
    }

    /// Binds and listens; connections are accepted from the start on.
    pub fn add_listener(&self, address: &Address, options: &ListenerOptions) -> Result<()> {
        self.add(|| Listener::bind(address, options))
    }

    /// Listens on a socket that somebody else made.
    pub fn add_listener_fd(
        &self,
        socket: OwnedFd,
        adopt: Adopt,
        options: &ListenerOptions,
    ) -> Result<()> {
        activation::mark(socket.as_raw_fd());
        self.add(|| Listener::adopt(socket, adopt, options))
    }

    /// Listens on the sockets that a service manager passed under this name, or on all that HTTP can be
    /// served on. How many there were.
    pub fn add_activated(&self, name: Option<&[u8]>, options: &ListenerOptions) -> Result<usize> {
        self.check()?;
        self.check_new(&self.state(), BEFORE_START)?;
        let kind = SocketType::STREAM;
        let listeners = activation::adopt(name, kind, options, |passed, error| {
            let log = self.runtime.log();
            log.write(Level::Info, || activation::left_alone(passed, error));
        })?;
        // All of them, or none.
        let count = listeners.len();
        let mut state = self.state();
        self.check_new(&state, BEFORE_START)?;
        state.listeners.extend(listeners.into_iter().map(Arc::new));
        Ok(count)
    }

    /// Serves one connection that is there already; before or after the start.
    pub fn add_connection(self: &Arc<Self>, socket: OwnedFd) -> Result<()> {
        self.check()?;
        listener::check_connected(socket.as_fd(), SocketType::STREAM)?;
        listener::prepare(&socket, false)?;
        let mut state = self.state();
        let arriving = self.arriving.load(Ordering::Acquire);
        let waiting = state.connections.len() as u64 + arriving;
        match state.stage {
            Stage::Ending => return Err(shut_down()),
            _ if !self.has_room_for(waiting) => return Err(full()),
            Stage::New => state.connections.push(socket),
            // Under the lock, so that an end on another thread comes after it.
            Stage::Running => self.post_connection(socket),
        }
        Ok(())
    }

    /// Hands a connection to the thread that accepts.
    pub(super) fn post_connection(self: &Arc<Self>, socket: OwnedFd) {
        let hold = self.take_hold();
        self.arriving.fetch_add(1, Ordering::AcqRel);
        let add = move || {
            accept::add(&hold.0, socket);
            hold.0.arriving.fetch_sub(1, Ordering::AcqRel);
        };
        self.runtime.io_threads()[0].post(Post::Run(Box::new(add)));
    }

    /// Where the listener that was added as number `index` listens: a path, or `@` and an abstract name.
    pub fn listener_address(&self, index: usize) -> Result<Vec<u8>> {
        self.check()?;
        let state = self.state();
        if state.stage == Stage::Ending {
            return Err(shut_down());
        }
        find(&state, index)?.address().plain()
    }

    /// The listener that was added as number `index` keeps to the rules of `options` from now on. A
    /// connection that it let in before and that they do not admit gets a 403 for its next request.
    pub fn reload_listener(
        self: &Arc<Self>,
        index: usize,
        options: &ListenerOptions,
    ) -> Result<()> {
        self.check()?;
        let state = self.state();
        if state.stage == Stage::Ending {
            return Err(shut_down());
        }
        *find(&state, index)?.allow() = options.allow.clone();
        if state.stage == Stage::Running {
            // By way of the thread that accepts: who was let in by the old rules is on the way to its
            // thread before this is.
            let hold = self.take_hold();
            let allow = options.allow.clone();
            let reconsider = move || {
                let look = move |shard: &Rc<Shard>| shard.reconsider(index, &allow);
                hold.0.each_shard(look);
            };
            self.runtime.io_threads()[0].post(Post::Run(Box::new(reconsider)));
        }
        Ok(())
    }

    /// Gives the socket of the listener that was added as number `index` to somebody else: this server
    /// accepts no more from it and leaves its file alone.
    pub fn take_listener(self: &Arc<Self>, index: usize) -> Result<OwnedFd> {
        self.check()?;
        let state = self.state();
        if state.stage == Stage::Ending {
            return Err(shut_down());
        }
        let socket = find(&state, index)?.hand_over()?;
        if state.stage == Stage::Running {
            let hold = self.take_hold();
            let changed = move || accept::listeners_changed(&hold.0);
            self.runtime.io_threads()[0].post(Post::Run(Box::new(changed)));
        }
        Ok(socket)
    }
}

fn find(state: &State, index: usize) -> Result<&Arc<Listener>> {
    state.listeners.get(index).ok_or_else(|| {
        let count = state.listeners.len();
        Error::argument(format!(
            "index: the server has no listener {index}, only {count}, counted from 0"
        ))
    })
}

fn full() -> Error {
    Error::new(
        Status::Limit,
        Operation::Start,
        "the server has as many connections as it may: see hysock_server_config_set_max_connections()",
    )
}
