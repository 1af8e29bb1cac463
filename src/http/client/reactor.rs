//! Started calls: each connection is a task of the client's I/O thread, which runs one call after
//! another and waits, idle, in between.

use super::call::Call;
use super::worker::Worker;
use super::{Client, Home};
use crate::error::Result;
use crate::limits::{SPARE_CALLS, SWEEP};
use crate::runtime::io_thread::Post;
use crate::socket::stream::Expired;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

thread_local! {
    static LOCALS: RefCell<Vec<Rc<Local>>> = const { RefCell::new(Vec::new()) };
}

/// A client's connections on its I/O thread.
pub struct Local {
    pub client: Arc<Client>,
    /// The last one to become idle is the first to work again.
    pub idle: RefCell<Vec<Rc<Idle>>>,
    pub workers: Cell<usize>,
    /// Started calls that have come here and not ended; each knows its place.
    running: RefCell<Vec<Arc<Call>>>,
    /// Calls that have ended, for the next ones: the one used last is the first again, while its memory is
    /// still at hand.
    spares: RefCell<Vec<Arc<Call>>>,
    pub sweeping: Cell<bool>,
}

/// An idle connection waits for what to do.
#[derive(Default)]
pub struct Idle {
    pub order: Cell<Option<Order>>,
    pub waker: RefCell<Option<Waker>>,
    pub since: Cell<Option<Instant>>,
}

pub enum Order {
    Run(Arc<Call>),
    Close,
}

impl Idle {
    fn give(&self, order: Order) {
        self.order.set(Some(order));
        self.since.set(None);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Sends a call on its way; from any thread.
pub fn start(client: &Arc<Client>, call: Arc<Call>) {
    let Some(home) = &client.home else { return };
    if home.thread.is_current() {
        return Local::of(client).start(call);
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

/// Every call here is cut short; those that are still on their way see it when they come.
pub fn cut(client: &Arc<Client>) {
    let Some(home) = &client.home else { return };
    let client = client.clone();
    home.thread.post(Post::Run(Box::new(move || {
        if let Some(local) = Local::find(&client) {
            let running = local.running.borrow().clone();
            running.iter().for_each(|call| client.cut_short(call));
        }
    })));
}

/// The client ends: idle connections close, calls get until the drain's deadline.
pub fn end(client: &Arc<Client>, home: &Home, drain: Option<Duration>) {
    let weak = Arc::downgrade(client);
    on_thread(client, home, move |local| {
        while let Some(idle) = local.pop_idle() {
            idle.give(Order::Close);
        }
        if let Ok(here) = local.client.here() {
            here.close_idle();
        }
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
        f(&Local::of(&client));
    })));
}

impl Local {
    /// The client's state on this thread, made at its first use.
    fn of(client: &Arc<Client>) -> Rc<Local> {
        if let Some(local) = Self::find(client) {
            return local;
        }
        LOCALS.with_borrow_mut(|locals| {
            let local = Rc::new(Local {
                client: client.clone(),
                idle: RefCell::default(),
                workers: Cell::new(0),
                running: RefCell::default(),
                spares: RefCell::default(),
                sweeping: Cell::new(false),
            });
            locals.push(local.clone());
            local
        })
    }

    fn find(client: &Arc<Client>) -> Option<Rc<Local>> {
        LOCALS.with_borrow(|locals| {
            let mut locals = locals.iter();
            locals
                .find(|local| Arc::ptr_eq(&local.client, client))
                .cloned()
        })
    }

    pub fn leave_if_over(&self) {
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

    pub fn remove_idle(&self, which: &Rc<Idle>) {
        self.idle
            .borrow_mut()
            .retain(|idle| !Rc::ptr_eq(idle, which));
        self.count_idle();
    }

    pub fn count_idle(&self) {
        if let Ok(pool) = self.client.pool() {
            pool.idle_on_reactor
                .store(self.idle.borrow().len(), Ordering::Release);
        }
    }

    fn remember(&self, call: &Arc<Call>) {
        let mut running = self.running.borrow_mut();
        call.place.store(running.len(), Ordering::Relaxed);
        running.push(call.clone());
    }

    /// A call that is used no more, on the client's I/O thread.
    pub fn take_spare(client: &Arc<Client>) -> Option<Arc<Call>> {
        LOCALS.with_borrow(|locals| {
            let mut locals = locals.iter();
            let local = locals.find(|local| Arc::ptr_eq(&local.client, client))?;
            local.spares.borrow_mut().pop()
        })
    }

    fn keep_spare(&self, call: Arc<Call>) {
        let mut spares = self.spares.borrow_mut();
        if spares.len() < SPARE_CALLS {
            spares.push(call);
        }
    }

    fn finish(&self, mut call: Arc<Call>, result: Result<()>) {
        let mut running = self.running.borrow_mut();
        let place = call.place.load(Ordering::Relaxed);
        running.swap_remove(place);
        if let Some(moved) = running.get(place) {
            moved.place.store(place, Ordering::Relaxed);
        }
        drop(running);
        call.finish(result);
        // Freed in its completion, as a rule.
        if call.recycle() {
            self.keep_spare(call);
        }
    }

    fn start(self: &Rc<Self>, call: Arc<Call>) {
        self.remember(&call);
        if self.client.is_cut() {
            self.client.cut_short(&call);
        }
        if let Some(idle) = self.pop_idle() {
            return idle.give(Order::Run(call));
        }
        match self.client.pool() {
            Ok(pool) if pool.find_for_reactor(&self.client, &call) => self.spawn(call),
            Ok(_) => drop(tokio::task::spawn_local(self.clone().watch(call))),
            Err(error) => self.finish(call, Err(error)),
        }
    }

    /// Watches over a call that waits for a connection: a cancel or its deadline ends it there.
    async fn watch(self: Rc<Self>, call: Arc<Call>) {
        let claimed = poll_fn(|cx| match call.poll_claimed(cx.waker()) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        });
        let ended = match call.deadline() {
            None => claimed.await,
            Some(deadline) => {
                let limited = tokio::time::timeout_at(deadline.into(), claimed).await;
                limited.unwrap_or_else(|_| Err(call.timed_out(Expired::Total)))
            }
        };
        if let Err(error) = ended
            && call.claim()
        {
            self.finish(call, Err(error));
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
                worker.local.finish(call, result);
                break;
            }
            // Idle before the callback runs: what it starts finds this connection.
            worker.go_idle();
            match worker.next_waiting() {
                Some(waiting) => {
                    worker.local.finish(call, result);
                    next = waiting;
                }
                None => {
                    worker.local.finish(call, result);
                    next = worker.wait_idle().await;
                }
            }
        }
    }

    /// Closes idle connections that are too old or too many.
    pub async fn sweep(self: Rc<Self>) {
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
