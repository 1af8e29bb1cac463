//! Where a receiver's messages come from: sockets that it binds, adopts or is passed by a service manager.

use super::Receiver;
use crate::error::{Error, Operation, Result};
use crate::runtime::Level;
use crate::socket::Kind;
use crate::socket::address::Address;
use crate::socket::listener::{Adopt, Listener, ListenerOptions, activation};
use crate::socket::packet;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

const BEFORE_START: &str = "a listener is added before the start";

impl Receiver {
    /// Adds what `make` makes, all or none; before the start only. How many there were.
    fn add(&self, make: impl FnOnce() -> Result<Vec<Listener>>) -> Result<usize> {
        self.check()?;
        self.check_new(&self.state(), BEFORE_START)?;
        let listeners = make()?;
        for listener in &listeners {
            self.prepare(listener)?;
        }
        let count = listeners.len();
        let mut state = self.state();
        self.check_new(&state, BEFORE_START)?;
        state.listeners.extend(listeners.into_iter().map(Arc::new));
        Ok(count)
    }

    fn prepare(&self, listener: &Listener) -> Result<()> {
        // Where the kernel cannot refuse them, they are closed when they come.
        packet::let_fds_through(listener.fd(), self.config.takes_fds());
        if self.config.kind == Kind::Datagram {
            packet::tell_senders(listener.fd()).map_err(|errno| {
                let what = format!("cannot ask for the senders of {}", listener.address());
                Error::system(Operation::Bind, &what, &errno.into())
            })?;
        }
        Ok(())
    }

    /// Binds a socket of the receiver's type; producers are accepted from the start on.
    pub fn add_listener(&self, address: &Address, options: &ListenerOptions) -> Result<()> {
        let kind = self.config.kind.socket_type();
        self.add(|| Ok(vec![Listener::bind_as(kind, address, options)?]))
            .map(drop)
    }

    /// Receives from a socket that somebody else made.
    pub fn add_listener_fd(
        &self,
        socket: OwnedFd,
        adopt: Adopt,
        options: &ListenerOptions,
    ) -> Result<()> {
        activation::mark(socket.as_raw_fd());
        let kind = self.config.kind.socket_type();
        self.add(|| Ok(vec![Listener::adopt_as(kind, socket, adopt, options)?]))
            .map(drop)
    }

    /// Receives from the sockets that a service manager passed under this name, or from all of the
    /// receiver's type. How many there were.
    pub fn add_activated(&self, name: Option<&[u8]>, options: &ListenerOptions) -> Result<usize> {
        let kind = self.config.kind.socket_type();
        self.add(|| {
            activation::adopt(name, kind, options, |passed, error| {
                let log = self.runtime.log();
                log.write(Level::Info, || activation::left_alone(passed, error));
            })
        })
    }
}
