//! `perform`: a call on the calling thread, one send and one receive when the connection is warm. No
//! thread of the library takes part, unless the server's backlog is full.

use super::Client;
use super::call::Call;
use super::cancel::Driver;
use super::pool::{Found, Grant, Next, Pool, Seat};
use super::reactor;
use super::transfer::{Failure, Http, Progress};
use crate::error::{Error, Operation, Result, Status};
use crate::runtime::fork::Mark;
use crate::socket::connect;
use crate::socket::stream::{Caller, CallerStream};
use std::future::ready;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// How long a connection is idle before it is looked at again.
const SETTLED: Duration = Duration::from_millis(100);

/// A connection driven by calling threads, one at a time.
pub struct CallerConnection {
    http: Http<CallerStream>,
    caller: Arc<Caller>,
    flag: Arc<Flag>,
    idle_since: Instant,
    mark: Mark,
}

impl Drop for CallerConnection {
    fn drop(&mut self) {
        // A forked child's copy would keep the connection open; but in that child it is the parent's.
        if !self.mark.is_foreign() {
            self.caller.shutdown();
        }
    }
}

/// Remembers a wake: there is something to poll before the thread may block.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl CallerConnection {
    fn new(fd: OwnedFd) -> Result<Box<CallerConnection>> {
        let (stream, caller) = CallerStream::new(fd);
        let http = Http::new(stream).map_err(|error| {
            Error::new(
                Status::System,
                Operation::Connect,
                format!("HTTP cannot begin: {error}"),
            )
        })?;
        Ok(Box::new(CallerConnection {
            http,
            caller,
            flag: Arc::default(),
            idle_since: Instant::now(),
            mark: Mark::here()?,
        }))
    }

    pub fn idle_for(&self) -> Duration {
        self.idle_since.elapsed()
    }

    /// Sends the request and blocks for the answer.
    fn run(
        &mut self,
        call: &Call,
        max_body: u64,
        deadline: Option<Instant>,
    ) -> std::result::Result<(), Failure> {
        self.caller.set_deadline(deadline);
        self.caller.begin_request();
        let waker = Waker::from(self.flag.clone());
        let mut cx = Context::from_waker(&waker);
        let mut transfer = pin!(self.http.transfer(call, ready(()), max_body));
        loop {
            if let Poll::Ready(result) = transfer.as_mut().poll(&mut cx) {
                return result;
            }
            if self.flag.0.swap(false, Ordering::AcqRel) {
                continue;
            }
            if !self.caller.take_wants_write() {
                self.caller.allow_blocking();
            } else if self.caller.wait_both().is_err() {
                // Blocking in a read whose time is over gives the right error at once.
                self.caller.allow_blocking();
            }
        }
    }

    fn is_reusable(&mut self) -> bool {
        let waker = Waker::from(self.flag.clone());
        self.http.is_reusable(&mut Context::from_waker(&waker)) && !self.caller.is_sink()
    }

    /// Whether bytes came that nobody asked for: the next call would take them for its answer. Asked of
    /// connections that had time to get some, so that calls in a row need no system call for it.
    fn is_disturbed(&self) -> bool {
        self.idle_for() > SETTLED && self.caller.has_unread()
    }

    fn progress(&self) -> Progress {
        Progress {
            sent: self.caller.has_sent(),
            received: self.caller.has_received(),
        }
    }
}

/// Performs `call` to its end.
pub fn perform(client: &Arc<Client>, call: &Call, deadline: Option<Instant>) -> Result<()> {
    let pool = client.pool()?;
    let mut fresh = false;
    loop {
        let grant = find(client, pool, call, deadline, fresh)?;
        let place = Place {
            client,
            pool,
            armed: true,
        };
        let (mut connection, reused) = match grant {
            Grant::Connection(connection) if !connection.is_disturbed() => (connection, true),
            Grant::Connection(_) | Grant::Place => (open(client, call, deadline)?, false),
        };
        call.set_driver(Driver::Caller(connection.caller.clone()))?;
        let result = connection.run(call, client.config.max_body, deadline);
        call.set_driver(Driver::None)?;
        match result {
            Ok(()) => {
                if connection.is_reusable() {
                    place.put_back(connection);
                }
                return Ok(());
            }
            Err(failure) => {
                let progress = connection.progress();
                drop(connection);
                if reused && call.may_retry(progress) && !failure.is_timeout() {
                    fresh = true;
                    continue;
                }
                if failure.is_timeout() {
                    return Err(call.timed_out());
                }
                return Err(failure.into_error(&client.address.display(), progress));
            }
        }
    }
}

/// The right to one connection; given on when it is dropped.
struct Place<'a> {
    client: &'a Arc<Client>,
    pool: &'a Pool,
    armed: bool,
}

impl Place<'_> {
    fn put_back(mut self, mut connection: Box<CallerConnection>) {
        self.armed = false;
        connection.idle_since = Instant::now();
        give(self.client, self.pool.put_back(self.client, connection));
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.armed {
            give(self.client, self.pool.free_place());
        }
    }
}

fn give(client: &Arc<Client>, next: Next) {
    if let Next::Call(call) = next {
        reactor::run_in_free_place(client, call);
    }
}

/// Finds a connection or a place for one; waits for it when all are taken.
fn find(
    client: &Arc<Client>,
    pool: &Pool,
    call: &Call,
    deadline: Option<Instant>,
    fresh: bool,
) -> Result<Grant> {
    let seat = match pool.find(client, fresh) {
        Found::Grant(grant) => return Ok(grant),
        Found::Wait(seat) => seat,
    };
    if pool.has_reactor_idle() {
        reactor::give_up_idle(client);
    }
    let mut cancelled = call.set_driver(Driver::Seat(seat.clone()));
    if cancelled.is_err() {
        seat.leave();
    }
    let grant = seat.wait(deadline);
    cancelled = cancelled.and_then(|()| call.set_driver(Driver::None));
    match (grant, cancelled) {
        (Some(grant), Ok(())) => Ok(grant),
        (Some(_), Err(error)) => {
            // Granted and cancelled at once: the place goes on.
            give(client, pool.free_place());
            Err(error)
        }
        (None, Ok(())) => Err(call.timed_out()),
        (None, Err(error)) => Err(error),
    }
}

/// Connects; a full backlog is waited for on a helper thread, so that a cancel can end the wait.
fn open(client: &Client, call: &Call, deadline: Option<Instant>) -> Result<Box<CallerConnection>> {
    let busy = match connect::connect_now(&client.address) {
        Ok(fd) => return CallerConnection::new(fd),
        Err(error) if error.status == Status::Busy => error,
        Err(error) => return Err(error),
    };
    let until = connect_deadline(client, deadline);
    let seat = Seat::new();
    let helper = seat.clone();
    connect::connect_in_background(&client.address, until, move |fd| {
        // Given back: the caller has left, the descriptor closes.
        helper.give(fd).ok();
    })?;
    call.set_driver(Driver::Connect(seat.clone()))?;
    // The helper keeps the deadline.
    let fd = seat.wait(None);
    call.set_driver(Driver::None)?;
    CallerConnection::new(fd.unwrap_or(Err(busy))?)
}

/// The earlier of the connect's own limit and the call's.
pub fn connect_deadline(client: &Client, deadline: Option<Instant>) -> Option<Instant> {
    let limit = client
        .config
        .connect_timeout
        .and_then(|t| Instant::now().checked_add(t));
    match (limit, deadline) {
        (Some(limit), Some(deadline)) => Some(limit.min(deadline)),
        (limit, deadline) => limit.or(deadline),
    }
}
