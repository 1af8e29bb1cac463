//! One connection of an I/O thread, and the task that drives it.

use super::Client;
use super::call::Call;
use super::open::{Admitted, Tries};
use super::outgoing::Probe;
use super::pool::Next;
use super::reactor::{Idle, Local, Order, run_in_free_place};
use super::transfer::{Http, Progress, Rest};
use super::watch::watch;
use crate::error::{Error, Operation, Result, Status};
use crate::socket::stream::{ClientStream, Expired};
use bytes::Bytes;
use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

/// One connection and the task that drives it.
pub struct Worker {
    pub local: Rc<Local>,
    pub connection: Option<(Http<ClientStream>, ClientStream)>,
    pub idle: Rc<Idle>,
    /// Holds one of the pool's places.
    pub placed: bool,
}

impl Worker {
    /// Runs `call` to its end; the connection is kept when it can be used again.
    pub async fn run(&mut self, call: &Arc<Call>) -> Result<()> {
        let client = self.local.client.clone();
        let times = poll_fn(|cx| Poll::Ready(call.enter(cx.waker()))).await?;
        let deadline = times.deadline;
        loop {
            if times.extras && self.connection.as_ref().is_some_and(|(_, s)| s.is_stale()) {
                // A body that is given once cannot be sent again.
                self.close();
            }
            let reused = self.connection.is_some();
            if !reused {
                let socket = limit(call, deadline, open(&client, deadline)).await??;
                self.connection = Some(attach(&client, socket)?);
            }
            let (http, stream) = self.connection.as_mut().expect("made above");
            stream.begin_request();
            let before = stream.received();
            let transfer = http.transfer(call, others_first(), client.config.max_body);
            let result = if times.patience.is_endless() {
                limit(call, deadline, transfer).await
            } else {
                let watched = watch(stream, times, call, transfer);
                let result = limit(call, deadline, watched).await;
                result.and_then(|done| done.map_err(|why| call.timed_out(why)))
            };
            let (_, stream) = self.connection.as_ref().expect("made above");
            let progress = Progress {
                sent: stream.has_sent(),
                received: stream.received() > before,
            };
            let result = match result {
                Ok(Ok(Rest::Body)) => {
                    let ended = self.stream(call, times).await;
                    self.keep_or_close(ended.is_ok());
                    return ended;
                }
                Ok(Ok(Rest::Switched(early))) => {
                    self.give_away(call, early);
                    return Ok(());
                }
                Ok(done) => Ok(done.map(drop)),
                Err(error) => Err(error),
            };
            self.keep_or_close(matches!(result, Ok(Ok(()))));
            match result? {
                Ok(()) if call.is_redirected()? => {}
                Ok(()) => return Ok(()),
                Err(_) if reused && call.may_retry(progress) => {}
                Err(failure) => return Err(failure.into_error(&client.source, progress)),
            }
        }
    }

    /// A request is over; `whole`: its answer has come to its end.
    fn keep_or_close(&mut self, whole: bool) {
        let Some((http, stream)) = &mut self.connection else {
            return;
        };
        if !whole || stream.is_sink() || !http.rest() {
            self.close();
        } else if self.local.client.is_given() {
            self.leave();
        }
    }

    fn close(&mut self) {
        if let Some((http, stream)) = self.connection.take() {
            drop(http);
            stream.shutdown(rustix::net::Shutdown::Both);
        }
    }

    /// Ends HTTP on the client's given connection, which stays open for the next call.
    fn leave(&mut self) {
        if let Some((mut http, stream)) = self.connection.take() {
            let keeps = http.rest();
            drop(http);
            if keeps {
                // Its registration with this thread ends here.
                self.local.client.put_back_given(stream.into_socket());
            } else {
                stream.shutdown(rustix::net::Shutdown::Both);
            }
        }
    }

    /// The connection is the call's from here on, with what has come of another protocol.
    fn give_away(&mut self, call: &Call, early: Bytes) {
        if let Some((http, stream)) = self.connection.take() {
            drop(http);
            call.switch(stream.into_socket(), early);
        }
    }

    pub fn go_idle(&self) {
        self.local.idle.borrow_mut().push(self.idle.clone());
        self.local.count_idle();
        if !self.local.sweeping.replace(true) {
            tokio::task::spawn_local(self.local.clone().sweep());
        }
    }

    /// Whose turn it is: `None` nobody's, `Some(None)` a calling thread's, which this connection makes room
    /// for.
    pub fn next_waiting(&mut self) -> Option<Option<Arc<Call>>> {
        let next = self
            .local
            .client
            .pool()
            .map_or(Next::Nobody, |pool| pool.next());
        let next = match next {
            Next::Nobody if !self.local.client.is_ending() => return None,
            Next::Nobody => None,
            Next::Call(call) => Some(call),
            Next::Taken => {
                self.placed = false;
                None
            }
        };
        self.local.remove_idle(&self.idle);
        Some(next)
    }

    /// Waits for a call; `None` when the connection is to close.
    pub async fn wait_idle(&mut self) -> Option<Arc<Call>> {
        let idle = self.idle.clone();
        let (http, _) = self.connection.as_mut()?;
        let order = poll_fn(|cx| {
            if let Some(order) = idle.order.take() {
                return Poll::Ready(Some(order));
            }
            if idle.since.get().is_none() {
                idle.since.set(Some(Instant::now()));
            }
            idle.waker.replace(Some(cx.waker().clone()));
            http.poll_ended(cx).map(|()| None)
        })
        .await;
        match order {
            Some(Order::Run(call)) => Some(call),
            Some(Order::Close) => None,
            None => {
                self.local.remove_idle(&self.idle);
                None
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.close();
        self.local.workers.set(self.local.workers.get() - 1);
        let client = &self.local.client;
        if self.placed
            && let Ok(pool) = client.pool()
            && let Next::Call(call) = pool.free_place()
        {
            // Not spawned here: the thread may be on its way out.
            run_in_free_place(client, call);
        }
        self.local.leave_if_over();
    }
}

/// Lets the tasks of this thread that are ready go first. So a turn takes in all that has come before it
/// sends anything, and what it sends comes close together: the peer is woken once for much, not for each.
async fn others_first() {
    let mut others = true;
    poll_fn(|cx| {
        if !std::mem::take(&mut others) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// `f`, ended by the call's cancel or its deadline. The call has this task's waker.
pub async fn limit<T>(
    call: &Arc<Call>,
    deadline: Option<Instant>,
    f: impl Future<Output = T>,
) -> Result<T> {
    let mut f = pin!(f);
    let cancellable = poll_fn(|cx| {
        // First: a call that was cancelled before it began is not sent.
        if call.is_cut() {
            return Poll::Ready(Err(call.cut_error()));
        }
        f.as_mut().poll(cx).map(Ok)
    });
    match deadline {
        None => cancellable.await,
        Some(deadline) => {
            let limited = tokio::time::timeout_at(deadline.into(), cancellable).await;
            limited.unwrap_or_else(|_| Err(call.timed_out(Expired::Total)))
        }
    }
}

fn attach(client: &Client, socket: Arc<OwnedFd>) -> Result<(Http<ClientStream>, ClientStream)> {
    let Admitted { socket, peer } = client.admit(socket)?;
    let useless = client.useless();
    let stream = ClientStream::new(socket, useless.clone())
        .map_err(|e| Error::system(Operation::Connect, "cannot register the connection", &e))?;
    let probe = Probe::Reactor(stream.clone());
    let http = Http::new(stream.clone(), probe, peer, useless, client.config.max_head);
    Ok((http, stream))
}

/// A new connection, or the given one.
async fn open(client: &Client, deadline: Option<Instant>) -> Result<Arc<OwnedFd>> {
    if let Some(socket) = client.take_given()? {
        return Ok(socket);
    }
    let mut tries = Tries::new(client);
    loop {
        match connect(client, deadline).await {
            Ok(fd) => return Ok(Arc::new(fd)),
            Err(error) => tokio::time::sleep(tries.after(error)?).await,
        }
    }
}

/// Connects; a full backlog is waited for on a helper thread.
async fn connect(client: &Client, deadline: Option<Instant>) -> Result<OwnedFd> {
    let busy = match client.connect_now() {
        Err(error) if error.status == Status::Busy => error,
        other => return other,
    };
    let (send, receive) = tokio::sync::oneshot::channel();
    client.connect_in_background(deadline, move |fd| {
        // Refused when the call has ended meanwhile: the descriptor closes.
        drop(send.send(fd));
    })?;
    receive.await.unwrap_or(Err(busy))
}
