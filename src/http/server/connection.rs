//! One connection, from accept to close: parked while idle, driven by hyper while there is a request,
//! lingering after an early answer.

use super::clock::Phase;
use super::inbound::Next;
use super::link::Link;
use super::sending::{Aside, Sending, Sent};
use super::service::Service;
use super::upgrade::Switched;
use crate::limits::LINGER_BYTES;
use crate::socket::stream::ServerStream;
use hyper::server::conn::http1;
use rustix::net::Shutdown;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

type Http = http1::Connection<ServerStream, Service>;

enum State {
    /// Only the descriptor: no request has begun.
    Parked,
    Live(Box<Http>),
    Lingering {
        discarded: u64,
    },
    /// The head of the answer has left, its file follows.
    Sending(Box<Sending>),
    /// The user speaks another protocol.
    Switched(Switched),
}

/// The connection's task.
pub struct Connection {
    link: Rc<Link>,
    state: State,
}

impl Connection {
    pub fn new(link: Rc<Link>) -> Connection {
        Connection {
            link,
            state: State::Parked,
        }
    }

    /// Waits for the first byte of a request.
    fn poll_parked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let link = &self.link;
        if link.shard.is_draining() && link.ends_idle() {
            return Poll::Ready(());
        }
        if let Err(error) = ready!(link.stream.poll_readable(cx)) {
            link.log_unregistered(&error);
            return Poll::Ready(());
        }
        self.go_live();
        self.poll_step(cx)
    }

    fn go_live(&mut self) {
        let link = &self.link;
        let service = Service::new(link.clone());
        let builder = link.shard.http(link.bulk.get());
        let http = builder.serve_connection(link.stream.clone(), service);
        drop(builder);
        link.park.set(false);
        link.shard.live.set(link.shard.live.get() + 1);
        self.state = State::Live(Box::new(http));
    }

    fn poll_live(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let State::Live(http) = &mut self.state else {
                return self.poll_step(cx);
            };
            if let Poll::Ready(result) = http.poll_without_shutdown(cx) {
                if result.as_ref().is_err_and(hyper::Error::is_parse) {
                    self.link.shard.stats.malformed.add(1);
                }
                if result.is_ok() && self.link.streams.switching.get() {
                    return self.switch(cx);
                }
                return self.end_of_http(result.is_ok(), cx);
            }
            let link = &self.link;
            match link.clock.phase() {
                Phase::Handler => {
                    if !link.stream.is_sink() {
                        ready!(link.stream.poll_gone(cx));
                    }
                    // What the client had sent before is still served; its answers go nowhere.
                    link.stream.set_sink();
                    link.cut_exchange(false);
                }
                Phase::Reading | Phase::Streaming => match link.poll_streams(cx) {
                    Next::Aside(aside) => return self.send_aside(aside, cx),
                    Next::Wait => return Poll::Pending,
                    Next::Again => {}
                    Next::Over => {
                        link.end_exchange();
                        link.set_phase(Phase::Answer);
                    }
                    Next::Forget => {
                        link.end_exchange();
                        link.end_request();
                        link.set_phase(Phase::Idle);
                        self.park();
                    }
                    Next::End => return Poll::Ready(()),
                },
                Phase::Answer if !link.answering.get() && !link.stream.is_blocked() => {
                    link.end_request();
                    link.set_phase(Phase::Idle);
                    if link.shard.is_draining() || !link.shard.has_room_for_live() {
                        link.park.set(true);
                    }
                    if !link.park.get() {
                        return Poll::Pending;
                    }
                }
                Phase::Idle if link.park.get() || link.shard.is_draining() => self.park(),
                // It has come without a request.
                Phase::Head if link.stream.received() == 0 => self.park(),
                _ => return Poll::Pending,
            }
        }
    }

    /// Lets go of hyper's state. What it has read is read again.
    fn leave_http(&mut self) {
        let State::Live(http) = std::mem::replace(&mut self.state, State::Parked) else {
            return;
        };
        let link = &self.link;
        link.shard.live.set(link.shard.live.get() - 1);
        link.park.set(false);
        link.stream.put_back(http.into_parts().read_buf);
    }

    /// Lets go of hyper's state between two requests.
    fn park(&mut self) {
        self.leave_http();
        self.rest();
    }

    /// Between two requests, without hyper's state. A head that has begun to arrive goes live.
    fn rest(&mut self) {
        self.state = State::Parked;
        let link = &self.link;
        if link.stream.has_prefix() {
            link.set_phase(Phase::Head);
            self.go_live();
        }
    }

    /// The head of the answer has left: its file is sent without hyper.
    fn send_aside(&mut self, aside: Aside, cx: &mut Context<'_>) -> Poll<()> {
        self.leave_http();
        let link = &self.link;
        link.answering.set(true);
        self.state = State::Sending(Box::new(Sending::new(link, aside)));
        self.poll_step(cx)
    }

    fn poll_sending(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Sending(sending) = &mut self.state else {
            return self.poll_step(cx);
        };
        let keeps = sending.keeps;
        let sent = ready!(sending.poll(cx));
        let link = &self.link;
        match sent {
            Sent::Whole => {}
            // What it had sent before is still served.
            Sent::Gone => {
                link.cut_exchange(false);
            }
            Sent::Broken(error) => {
                link.log_short_file(error);
                return Poll::Ready(());
            }
        }
        link.end_answer();
        link.end_exchange();
        link.end_request();
        link.set_phase(Phase::Idle);
        if !keeps {
            return self.end(true, cx);
        }
        self.rest();
        self.poll_step(cx)
    }

    /// The 101 is written: the user gets the descriptor, and what has come behind the request.
    fn switch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let link = &self.link;
        link.end_request();
        self.leave_http();
        let link = &self.link;
        let Some(switched) = link.switch() else {
            return Poll::Ready(());
        };
        self.state = State::Switched(switched);
        self.poll_step(cx)
    }

    /// hyper is done with the connection.
    fn end_of_http(&mut self, well: bool, cx: &mut Context<'_>) -> Poll<()> {
        let shard = &self.link.shard;
        shard.live.set(shard.live.get() - 1);
        self.end(well, cx)
    }

    /// No request follows.
    fn end(&mut self, well: bool, cx: &mut Context<'_>) -> Poll<()> {
        let link = &self.link;
        self.state = State::Parked;
        link.end_stream();
        link.cut_exchange(false);
        link.end_request();
        let may_be_sending = link.early.get() || !well || link.stream.has_unread();
        if link.cut.get() || link.stream.is_sink() || !may_be_sending {
            return Poll::Ready(());
        }
        // The client may still be sending: closing now would take the answer from it.
        link.stream.shutdown(Shutdown::Write);
        link.set_phase(Phase::Linger);
        self.state = State::Lingering { discarded: 0 };
        self.poll_step(cx)
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Parked => self.poll_parked(cx),
            State::Live(_) => self.poll_live(cx),
            State::Sending(_) => self.poll_sending(cx),
            State::Switched(switched) => switched.exchange.poll_session(cx),
            State::Lingering { discarded } => loop {
                match ready!(self.link.stream.poll_discard(cx)) {
                    Ok(n) if n > 0 && *discarded < LINGER_BYTES => *discarded += n as u64,
                    _ => return Poll::Ready(()),
                }
            },
        }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut task = self.link.task.borrow_mut();
            if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
                *task = Some(cx.waker().clone());
            }
        }
        if self.link.cut.get() {
            return Poll::Ready(());
        }
        self.poll_step(cx)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let link = &self.link;
        let state = std::mem::replace(&mut self.state, State::Parked);
        let is_users = matches!(state, State::Switched(_));
        if matches!(state, State::Live(_)) {
            link.shard.live.set(link.shard.live.get() - 1);
        }
        // Before hyper's state goes: it would take the exchange for one whose client has left.
        let is_torn = link.is_torn();
        if !link.cut_exchange(link.shard.is_draining()) && is_torn {
            link.shard.server().aborted.fetch_add(1, Ordering::AcqRel);
        }
        drop(state);
        link.end_stream();
        link.exchange.take();
        link.end_request();
        link.forget();
        link.task.take();
        if !is_users || link.cut.get() {
            // For copies of the descriptor in forked children too.
            link.stream.shutdown(Shutdown::Both);
        }
        link.shard.remove(link.index.get());
    }
}
