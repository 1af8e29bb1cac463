//! The task of a producer, on an I/O thread: connects again, writes what waits, and ends.

use super::{Producer, State};
use crate::runtime::Level;
use crate::socket::Kind;
use crate::socket::packet;
use crate::socket::sys;
use rustix::net::Shutdown;
use std::future::poll_fn;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How often the end looks whether datagrams were read.
const LOOK: Duration = Duration::from_millis(2);

/// What there is to do.
enum Step {
    Write,
    /// Connect, not before this.
    Connect(Option<Instant>),
    Wait,
    /// Somebody else writes.
    Helped,
    End,
}

pub async fn run(producer: Arc<Producer>) {
    let mut registered: Option<(Arc<OwnedFd>, AsyncFd<Arc<OwnedFd>>)> = None;
    loop {
        match producer.step() {
            Step::Write => producer.write(&mut registered).await,
            Step::Connect(at) => {
                let left = at.map(|at| at.saturating_duration_since(Instant::now()));
                if let Some(left) = left.filter(|left| !left.is_zero()) {
                    producer.woken_within(Some(left)).await;
                } else {
                    producer.connect();
                }
            }
            Step::Wait => producer.woken_within(None).await,
            Step::Helped => {
                // Else each message that is read would wake this thread too.
                registered = None;
                producer.woken().await;
            }
            Step::End => break,
        }
    }
    drop(registered);
    producer.finish().await;
    producer.close();
}

impl Producer {
    fn step(&self) -> Step {
        self.state().step()
    }

    /// Ready once there was a wake since the last time.
    async fn woken(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            if std::mem::take(&mut state.woken) {
                return Poll::Ready(());
            }
            state.task = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Returns after a wake, after `limit`, or at the end's deadline.
    async fn woken_within(&self, limit: Option<Duration>) {
        match self.limit(limit) {
            Some(limit) => drop(tokio::time::timeout(limit, self.woken()).await),
            None => self.woken().await,
        }
    }

    /// The earlier of `limit` and the end's deadline.
    fn limit(&self, limit: Option<Duration>) -> Option<Duration> {
        let deadline = self.state().end.and_then(|end| end.deadline);
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        match (limit, left) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn connect(&self) {
        let mut state = self.state();
        state.retry_at = None;
        if let Err(error) = self.ensure_link(&mut state) {
            state.postpone();
            let told = state.refusal.replace(error.status) == Some(error.status);
            drop(state);
            if !told {
                self.runtime.log().write(Level::Warn, || error.to_string());
            }
        }
    }

    /// Writes until nothing waits; when the socket is full, until it has room.
    async fn write(&self, registered: &mut Option<(Arc<OwnedFd>, AsyncFd<Arc<OwnedFd>>)>) {
        let (blocked, link) = {
            let mut state = self.state();
            (self.write_out(&mut state), state.link.clone())
        };
        let (true, Some(link)) = (blocked, link) else {
            return;
        };
        let known = registered
            .as_ref()
            .is_some_and(|(fd, _)| Arc::ptr_eq(fd, &link));
        if !known {
            registered.take();
            match sys::register(link.clone(), Interest::WRITABLE) {
                Ok(registration) => *registered = Some((link, registration)),
                Err(_) => return self.woken_within(Some(Duration::from_millis(10))).await,
            }
        }
        let Some((_, registration)) = registered else {
            return;
        };
        let writable = async {
            if let Ok(mut guard) = registration.writable().await {
                guard.clear_ready();
            }
        };
        // An end, or a connection that a sender found broken, must not wait for room.
        tokio::select! {
            () = writable => {}
            () = self.interrupted() => {}
        }
    }

    /// Ready when the end is due, or when a sender has found the connection broken.
    async fn interrupted(&self) {
        loop {
            let over = {
                let state = self.state();
                state.link.is_none() || matches!(state.step(), Step::End | Step::Helped)
            };
            if over {
                return;
            }
            self.woken_within(None).await;
        }
    }

    /// Ends the connection, and finds out what the receiver has read.
    async fn finish(&self) {
        let (link, end, all) = {
            let state = self.state();
            (state.link.clone(), state.end, state.outbox.is_empty())
        };
        let now = end.is_none_or(|end| end.now);
        if let Some(link) = link {
            let read = if all && !now {
                self.wait_for_end(&link, end.and_then(|end| end.deadline))
                    .await
            } else {
                false
            };
            let mut state = self.state();
            if read || packet::unread_by_peer(link.as_fd()) == 0 && !packet::is_broken(link.as_fd())
            {
                state.read = state.taken;
            }
            let taken = state.taken - state.read;
            state.counts.in_doubt += taken;
            state.link = None;
            drop(state);
            rustix::net::shutdown(&link, Shutdown::Both).ok();
        }
    }

    /// Half-closes and waits for the receiver's end: `true` when it has read everything.
    async fn wait_for_end(&self, link: &Arc<OwnedFd>, deadline: Option<Instant>) -> bool {
        let limit = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        let wait = async {
            if self.config.kind == Kind::Datagram {
                while packet::unread_by_peer(link.as_fd()) > 0 {
                    tokio::time::sleep(LOOK).await;
                }
                return !packet::is_broken(link.as_fd());
            }
            rustix::net::shutdown(link, Shutdown::Write).ok();
            let Ok(registration) = sys::register(link.clone(), Interest::READABLE) else {
                return false;
            };
            loop {
                let Ok(mut guard) = registration.readable().await else {
                    return false;
                };
                match packet::discard(link.as_fd()) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(rustix::io::Errno::AGAIN) => guard.clear_ready(),
                    Err(_) => return false,
                }
            }
            // A receiver that has only closed its own half may still read.
            while packet::unread_by_peer(link.as_fd()) > 0 {
                tokio::time::sleep(LOOK).await;
            }
            packet::was_read_to_its_end(link.as_fd())
        };
        match limit {
            Some(limit) => tokio::time::timeout(limit, wait).await.unwrap_or(false),
            None => wait.await,
        }
    }
}

impl State {
    fn step(&self) -> Step {
        if self.helped {
            return Step::Helped;
        }
        let over = self.end.is_some_and(|end| {
            end.now
                || end
                    .deadline
                    .is_some_and(|deadline| Instant::now() >= deadline)
        });
        if over || (self.end.is_some() && self.outbox.is_empty()) {
            Step::End
        } else if self.outbox.is_empty() {
            Step::Wait
        } else if self.link.is_some() {
            Step::Write
        } else {
            Step::Connect(self.retry_at)
        }
    }
}
