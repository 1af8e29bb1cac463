//! Started calls: each connection is a task of the client's I/O thread, which runs one call after
//! another and waits, idle, in between.

use super::call::Call;
use super::caller::connect_deadline;
use super::pool::Next;
use super::transfer::{Http, Progress};
use super::{Client, Home};
use crate::error::{Error, Operation, Result, Status};
use crate::limits::SWEEP;
use crate::runtime::io_thread::{IoThread, Post};
use crate::socket::connect;
use crate::socket::stream::{ReactorStream, Side};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

thread_local! {
    static LOCALS: RefCell<Vec<Rc<Local>>> = const { RefCell::new(Vec::new()) };
}

/// A client's connections on its I/O thread.
struct Local {
    client: Arc<Client>,
    thread: Arc<IoThread>,
    /// The last one to become idle is the first to work again.
    idle: RefCell<Vec<Rc<Idle>>>,
    workers: Cell<usize>,
    sweeping: Cell<bool>,
}

/// An idle connection waits for what to do.
#[derive(Default)]
struct Idle {
    order: Cell<Option<Order>>,
    waker: Cell<Option<Waker>>,
    since: Cell<Option<Instant>>,
}

enum Order {
    Run(Arc<Call>),
    Close,
}

impl Idle {
    fn give(&self, order: Order) {
        self.order.set(Some(order));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Sends a call on its way; from any thread.
pub fn start(client: &Arc<Client>, call: Arc<Call>) {
    let Some(home) = &client.home else { return };
    if home.thread.is_current() {
        return Local::of(client, home).start(call);
    }
    on_home(client, move |local| local.start(call));
}

/// A place became free on another thread, and this call was the next.
pub fn run_in_free_place(client: &Arc<Client>, call: Arc<Call>) {
    on_home(client, move |local| local.spawn(call));
}

/// A calling thread waits and an idle connection here holds the place that it needs.
pub fn give_up_idle(client: &Arc<Client>) {
    on_home(client, |local| {
        if let Some(idle) = local.pop_idle() {
            idle.give(Order::Close);
        }
    });
}

/// The client ends: idle connections close, calls get until the drain's deadline.
pub fn end(client: &Arc<Client>, home: &Home, drain: Option<Duration>) {
    let weak = Arc::downgrade(client);
    on_thread(client, home, move |local| {
        while let Some(idle) = local.pop_idle() {
            idle.give(Order::Close);
        }
        local.client.pools.forget_idle();
        local.leave_if_over();
        if let Some(drain) = drain.filter(|drain| !drain.is_zero()) {
            tokio::task::spawn_local(async move {
                tokio::time::sleep(drain).await;
                if let Some(client) = weak.upgrade() {
                    client.cancel_all();
                }
            });
        }
    });
}

fn on_home(client: &Arc<Client>, f: impl FnOnce(&Rc<Local>) + Send + 'static) {
    if let Some(home) = &client.home {
        on_thread(client, home, f);
    }
}

fn on_thread(client: &Arc<Client>, home: &Home, f: impl FnOnce(&Rc<Local>) + Send + 'static) {
    let client = client.clone();
    home.thread.post(Post::Run(Box::new(move || {
        if let Some(home) = &client.home {
            f(&Local::of(&client, home));
        }
    })));
}

impl Local {
    /// The client's state on this thread, made at its first use.
    fn of(client: &Arc<Client>, home: &Home) -> Rc<Local> {
        LOCALS.with_borrow_mut(|locals| {
            if let Some(local) = locals
                .iter()
                .find(|local| Arc::ptr_eq(&local.client, client))
            {
                return local.clone();
            }
            let local = Rc::new(Local {
                client: client.clone(),
                thread: home.thread.clone(),
                idle: RefCell::default(),
                workers: Cell::new(0),
                sweeping: Cell::new(false),
            });
            locals.push(local.clone());
            local
        })
    }

    fn leave_if_over(&self) {
        if self.workers.get() == 0 && self.client.is_ending() {
            LOCALS.with_borrow_mut(|locals| {
                locals.retain(|local| !std::ptr::eq(&**local, self));
            });
        }
    }

    fn pop_idle(&self) -> Option<Rc<Idle>> {
        let idle = self.idle.borrow_mut().pop();
        self.count_idle();
        idle
    }

    fn remove_idle(&self, which: &Rc<Idle>) {
        self.idle
            .borrow_mut()
            .retain(|idle| !Rc::ptr_eq(idle, which));
        self.count_idle();
    }

    fn count_idle(&self) {
        if let Ok(pool) = self.client.pool() {
            pool.idle_on_reactor
                .store(self.idle.borrow().len(), Ordering::Release);
        }
    }

    fn start(self: &Rc<Self>, call: Arc<Call>) {
        if let Some(idle) = self.pop_idle() {
            return idle.give(Order::Run(call));
        }
        match self.client.pool() {
            Ok(pool) if pool.find_for_reactor(&self.client, &call) => self.spawn(call),
            Ok(_) => drop(tokio::task::spawn_local(self.clone().watch(call))),
            Err(error) => call.finish(Err(error)),
        }
    }

    /// Watches over a call that waits for a connection: a cancel or its deadline ends it there.
    async fn watch(self: Rc<Self>, call: Arc<Call>) {
        let claimed = poll_fn(|cx| match call.poll_claimed(&self.thread, cx.waker()) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        });
        let ended = match call.deadline() {
            None => claimed.await,
            Some(deadline) => {
                let limited = tokio::time::timeout_at(deadline.into(), claimed).await;
                limited.unwrap_or_else(|_| Err(call.timed_out()))
            }
        };
        if let Err(error) = ended
            && call.claim()
        {
            call.finish(Err(error));
        }
    }

    fn spawn(self: &Rc<Self>, call: Arc<Call>) {
        self.workers.set(self.workers.get() + 1);
        tokio::task::spawn_local(self.clone().work(call));
    }

    /// The life of one connection.
    async fn work(self: Rc<Self>, first: Arc<Call>) {
        let mut worker = Worker {
            local: self,
            connection: None,
            idle: Rc::default(),
            placed: true,
        };
        let mut next = Some(first);
        while let Some(call) = next.take() {
            let result = worker.run(&call).await;
            if worker.connection.is_none() {
                call.finish(result);
                break;
            }
            // Idle before the callback runs: what it starts finds this connection.
            worker.go_idle();
            match worker.next_waiting() {
                Some(waiting) => {
                    call.finish(result);
                    next = waiting;
                }
                None => {
                    call.finish(result);
                    next = worker.wait_idle().await;
                }
            }
        }
    }

    /// Closes idle connections that are too old or too many.
    async fn sweep(self: Rc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let config = &self.client.config;
            loop {
                let mut idle = self.idle.borrow_mut();
                let Some(oldest) = idle.first() else {
                    self.sweeping.set(false);
                    return;
                };
                let age = oldest
                    .since
                    .get()
                    .map(|since| since.elapsed())
                    .unwrap_or_default();
                let over = idle.len() as u64 > config.max_idle && age >= SWEEP;
                if !over && config.idle_age.is_none_or(|limit| age < limit) {
                    break;
                }
                let oldest = idle.remove(0);
                drop(idle);
                self.count_idle();
                oldest.give(Order::Close);
            }
        }
    }
}

/// One connection and the task that drives it.
struct Worker {
    local: Rc<Local>,
    connection: Option<(Http<ReactorStream>, ReactorStream)>,
    idle: Rc<Idle>,
    /// Holds one of the pool's places.
    placed: bool,
}

impl Worker {
    /// Runs `call` to its end; the connection is kept when it can be used again.
    async fn run(&mut self, call: &Arc<Call>) -> Result<()> {
        let client = self.local.client.clone();
        let deadline = call.deadline();
        loop {
            let reused = self.connection.is_some();
            if !reused {
                let fd = self
                    .limit(call, deadline, open(&client, deadline))
                    .await??;
                self.connection = Some(attach(fd)?);
            }
            let (http, stream) = self.connection.as_mut().expect("made above");
            stream.begin_request();
            let before = stream.received();
            let keep = |answer| call.keep(answer);
            let transfer = http.transfer(call.request(), client.config.max_body, keep);
            let result = limit(&self.local.thread, call, deadline, transfer).await;
            let (http, stream) = self.connection.as_mut().expect("made above");
            let progress = Progress {
                sent: stream.has_sent(),
                received: stream.received() > before,
            };
            let reusable = matches!(result, Ok(Ok(_)))
                && !stream.is_sink()
                && poll_fn(|cx| Poll::Ready(http.is_reusable(cx))).await;
            if !reusable {
                self.close();
            }
            match result? {
                Ok(()) => return Ok(()),
                Err(_) if reused && call.may_retry(progress) => {}
                Err(failure) => return Err(failure.into_error(&client.address.display(), progress)),
            }
        }
    }

    async fn limit<T>(
        &self,
        call: &Arc<Call>,
        deadline: Option<Instant>,
        f: impl Future<Output = T>,
    ) -> Result<T> {
        limit(&self.local.thread, call, deadline, f).await
    }

    fn close(&mut self) {
        if let Some((http, stream)) = self.connection.take() {
            drop(http);
            stream.shutdown(rustix::net::Shutdown::Both);
        }
    }

    fn go_idle(&self) {
        self.idle.since.set(Some(Instant::now()));
        self.local.idle.borrow_mut().push(self.idle.clone());
        self.local.count_idle();
        if !self.local.sweeping.replace(true) {
            tokio::task::spawn_local(self.local.clone().sweep());
        }
    }

    /// Whose turn it is: `None` nobody's, `Some(None)` a calling thread's, which this connection makes room
    /// for.
    fn next_waiting(&mut self) -> Option<Option<Arc<Call>>> {
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
    async fn wait_idle(&mut self) -> Option<Arc<Call>> {
        let idle = self.idle.clone();
        let (http, _) = self.connection.as_mut()?;
        // What would end the connection was registered for when it was found reusable.
        let mut first = true;
        let order = poll_fn(|cx| {
            if let Some(order) = idle.order.take() {
                return Poll::Ready(Some(order));
            }
            idle.waker.set(Some(cx.waker().clone()));
            if std::mem::take(&mut first) {
                return Poll::Pending;
            }
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

/// `f`, ended by the call's cancel or its deadline.
async fn limit<T>(
    thread: &Arc<IoThread>,
    call: &Arc<Call>,
    deadline: Option<Instant>,
    f: impl Future<Output = T>,
) -> Result<T> {
    let mut f = pin!(f);
    let cancellable = poll_fn(|cx| {
        if let Poll::Ready(value) = f.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        match call.poll_cancelled(thread, cx.waker()) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    });
    match deadline {
        None => cancellable.await,
        Some(deadline) => {
            let limited = tokio::time::timeout_at(deadline.into(), cancellable).await;
            limited.unwrap_or_else(|_| Err(call.timed_out()))
        }
    }
}

fn attach(fd: OwnedFd) -> Result<(Http<ReactorStream>, ReactorStream)> {
    let stream = ReactorStream::new(fd, Side::Client)
        .map_err(|e| Error::system(Operation::Connect, "cannot register the connection", &e))?;
    let http = Http::new(stream.clone()).map_err(|error| {
        Error::new(
            Status::System,
            Operation::Connect,
            format!("HTTP cannot begin: {error}"),
        )
    })?;
    Ok((http, stream))
}

/// Connects; a full backlog is waited for on a helper thread.
async fn open(client: &Client, deadline: Option<Instant>) -> Result<OwnedFd> {
    let busy = match connect::connect_now(&client.address) {
        Err(error) if error.status == Status::Busy => error,
        other => return other,
    };
    let (send, receive) = tokio::sync::oneshot::channel();
    let until = connect_deadline(client, deadline);
    connect::connect_in_background(&client.address, until, move |fd| {
        // Refused when the call has ended meanwhile: the descriptor closes.
        drop(send.send(fd));
    })?;
    receive.await.unwrap_or(Err(busy))
}
