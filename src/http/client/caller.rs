//! `perform`: a call on the calling thread, one send and one receive when the connection is warm. No
//! thread of the library takes part, unless the server's backlog is full.

use super::Client;
use super::call::Call;
use super::cancel::Driver;
use super::live::Live;
use super::open::{Admitted, Tries};
use super::outgoing::Probe;
use super::pool::{Found, Grant, Next, Pool, Seat};
use super::reactor;
use super::state::Times;
use super::transfer::{Failure, Http, Progress, Rest};
use super::wire::Next as NextFrame;
use crate::error::{Result, Status};
use crate::runtime::fork::Mark;
use crate::socket::stream::{Caller, CallerStream, Expired};
use bytes::Bytes;
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
    /// Dropped first.
    end: End,
    http: Http<CallerStream>,
    flag: Arc<Flag>,
    idle_since: Instant,
}

/// The driver's view of the stream, which ends with its connection.
struct End {
    caller: Arc<Caller>,
    mark: Mark,
    /// Others go on with the socket.
    kept: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        // A forked child's copy would keep the connection open; but in that child it is the parent's.
        if !self.kept && !self.mark.is_foreign() {
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
    fn new(client: &Client, socket: Arc<OwnedFd>) -> Result<Box<CallerConnection>> {
        let Admitted { socket, peer } = client.admit(socket)?;
        let useless = client.useless();
        let (stream, caller) = CallerStream::new(socket, useless.clone());
        let probe = Probe::Caller(caller.clone());
        let http = Http::new(stream, probe, peer, useless, client.config.max_head);
        Ok(Box::new(CallerConnection {
            end: End {
                caller,
                mark: Mark::here()?,
                kept: false,
            },
            http,
            flag: Arc::default(),
            idle_since: Instant::now(),
        }))
    }

    /// Ends HTTP on the client's given connection, which stays open for the next call.
    fn leave(self, client: &Client) {
        let CallerConnection {
            mut http, mut end, ..
        } = self;
        end.kept = http.rest();
        if end.kept {
            client.put_back_given(end.caller.socket().clone());
        }
    }

    /// The socket is the call's from here on, with what has come of another protocol.
    fn give_away(self, call: &Call, early: Bytes) {
        let CallerConnection { http, mut end, .. } = self;
        end.kept = true;
        end.caller.leave();
        let socket = end.caller.socket().clone();
        drop((http, end));
        call.switch(socket, early);
    }

    pub fn idle_for(&self) -> Duration {
        self.idle_since.elapsed()
    }

    /// Sends the request and blocks for the answer.
    fn run(
        &mut self,
        call: &Arc<Call>,
        max_body: u64,
        times: Times,
    ) -> std::result::Result<Rest, Failure> {
        self.end.caller.set_limits(times.deadline, times.patience);
        self.end.caller.begin_request();
        let waker = Waker::from(self.flag.clone());
        let mut cx = Context::from_waker(&waker);
        let mut transfer = pin!(self.http.transfer(call, ready(()), max_body));
        loop {
            if let Poll::Ready(result) = transfer.as_mut().poll(&mut cx) {
                return result;
            }
            if times.extras {
                look_up(call, times)?;
            }
            if self.flag.0.swap(false, Ordering::AcqRel) {
                // A body that is always taken at once must not keep its answer from being seen.
                self.end.caller.look();
                continue;
            }
            if times.extras
                && let Some(waits) = call.take_waits()
            {
                let waited = self.end.caller.wait_also(&waits, None);
                waited.map_err(|_| Failure::Expired)?;
                continue;
            }
            if !self.end.caller.take_wants_write() {
                self.end.caller.allow_blocking();
            } else if self.end.caller.wait_both().is_err() {
                // Blocking in a read whose time is over gives the right error at once.
                self.end.caller.allow_blocking();
            }
        }
    }

    /// What comes next of an answer's body; `None` when nothing has come until then.
    pub fn next_of(
        &mut self,
        call: &Arc<Call>,
        times: Times,
        until: Option<Instant>,
    ) -> Option<NextFrame> {
        let caller = &self.end.caller;
        caller.set_limits(times.deadline, times.patience);
        let waker = Waker::from(self.flag.clone());
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(next) = self.http.poll_body(&mut cx) {
                return Some(next);
            }
            if self.flag.0.swap(false, Ordering::AcqRel) {
                let is_over = |end: Option<Instant>| end.is_some_and(|end| end <= Instant::now());
                caller.look();
                if is_over(times.deadline) {
                    caller.allow_blocking();
                } else if is_over(until) {
                    return None;
                }
                continue;
            }
            let waits = if times.extras {
                call.take_waits()
            } else {
                None
            };
            let waited = match waits {
                None => caller.wait_until(until),
                Some(waits) => caller.wait_also(&waits, until),
            };
            match waited {
                Ok(true) => {}
                Ok(false) => return None,
                // Blocking in a read whose time is over gives the right error at once.
                Err(_) => caller.allow_blocking(),
            }
        }
    }

    pub fn caller(&self) -> &Arc<Caller> {
        &self.end.caller
    }

    /// Whether this is a child forked from the process whose connection it is.
    pub fn is_foreign(&self) -> bool {
        self.end.mark.is_foreign()
    }

    fn rest(&mut self) -> bool {
        self.http.rest() && !self.end.caller.is_sink()
    }

    /// Whether nothing more comes of the answer.
    pub fn is_over(&self) -> bool {
        self.http.is_over()
    }

    /// Whether bytes came that nobody asked for: the next call would take them for its answer. Asked of
    /// connections that had time to get some, so that calls in a row need no system call for it.
    fn is_disturbed(&self, times: Times) -> bool {
        if times.extras {
            // A body that is given once cannot be sent again.
            return self.end.caller.is_stale();
        }
        self.idle_for() > SETTLED && self.end.caller.has_unread()
    }

    fn progress(&self) -> Progress {
        Progress {
            sent: self.end.caller.has_sent(),
            received: self.end.caller.has_received(),
        }
    }
}

/// Between two steps of a call that has much to move: what else there is.
fn look_up(call: &Arc<Call>, times: Times) -> std::result::Result<(), Failure> {
    call.show_news();
    if call.is_cut() {
        return Err(Failure::Own(call.cut_error()));
    }
    match times.deadline {
        Some(deadline) if deadline <= Instant::now() => Err(Failure::Expired),
        _ => Ok(()),
    }
}

/// Performs `call` to its end, or to the head of an answer whose body is read from what is given.
pub fn perform(client: &Arc<Client>, call: &Arc<Call>, times: Times) -> Result<Option<Box<Live>>> {
    let deadline = times.deadline;
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
            Grant::Connection(connection) if !connection.is_disturbed(times) => (connection, true),
            Grant::Connection(_) | Grant::Place => (open(client, call, deadline)?, false),
        };
        call.set_driver(Driver::Caller(connection.end.caller.clone()))?;
        let result = connection.run(call, client.config.max_body, times);
        call.set_driver(Driver::None)?;
        match result {
            Ok(Rest::Body) => return Ok(Some(Live::new(connection, times, place))),
            Ok(Rest::Switched(early)) => {
                connection.give_away(call, early);
                return Ok(None);
            }
            Ok(Rest::Nothing) => {
                hand_back(connection, place);
                if !call.is_redirected()? {
                    return Ok(None);
                }
                fresh = false;
            }
            Err(failure) => {
                let progress = connection.progress();
                let expired = connection.end.caller.expired();
                drop(connection);
                if reused && call.may_retry(progress) && !failure.is_timeout() {
                    fresh = true;
                    continue;
                }
                if failure.is_timeout() {
                    return Err(call.timed_out(expired));
                }
                return Err(failure.into_error(&client.source, progress));
            }
        }
    }
}

/// After the whole answer: the connection is for the next call, if it can be.
pub fn hand_back(mut connection: Box<CallerConnection>, place: Place<'_>) {
    if !connection.rest() {
        drop(connection);
    } else if place.client.is_given() {
        connection.leave(place.client);
    } else {
        place.put_back(connection);
    }
}

/// The right to one connection; given on when it is dropped.
pub struct Place<'a> {
    client: &'a Arc<Client>,
    pool: &'a Pool,
    armed: bool,
}

impl<'a> Place<'a> {
    /// The place of a connection that the caller of this has.
    pub fn of(client: &'a Arc<Client>) -> Result<Place<'a>> {
        Ok(Place {
            client,
            pool: client.pool()?,
            armed: true,
        })
    }

    /// Holds on to it; see [`Place::of`].
    pub fn keep(mut self) -> Arc<Client> {
        self.armed = false;
        self.client.clone()
    }

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
        (None, Ok(())) => Err(call.timed_out(Expired::Total)),
        (None, Err(error)) => Err(error),
    }
}

/// A new connection, or the given one.
fn open(client: &Client, call: &Call, deadline: Option<Instant>) -> Result<Box<CallerConnection>> {
    if let Some(socket) = client.take_given()? {
        return CallerConnection::new(client, socket);
    }
    let mut tries = Tries::new(client);
    loop {
        match connect(client, call, deadline) {
            Ok(fd) => return CallerConnection::new(client, Arc::new(fd)),
            Err(error) => rest(call, tries.after(error)?, deadline)?,
        }
    }
}

/// Waits for the next try.
fn rest(call: &Call, pause: Duration, deadline: Option<Instant>) -> Result<()> {
    let seat = Seat::new();
    call.set_driver(Driver::Connect(seat.clone()))?;
    let next = Instant::now() + pause;
    seat.wait(Some(deadline.map_or(next, |deadline| deadline.min(next))));
    call.set_driver(Driver::None)?;
    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        return Err(call.timed_out(Expired::Total));
    }
    Ok(())
}

/// Connects; a full backlog is waited for on a helper thread, so that a cancel can end the wait.
fn connect(client: &Client, call: &Call, deadline: Option<Instant>) -> Result<OwnedFd> {
    let busy = match client.connect_now() {
        Err(error) if error.status == Status::Busy => error,
        other => return other,
    };
    let seat = Seat::new();
    let helper = seat.clone();
    client.connect_in_background(deadline, move |fd| {
        // Given back: the caller has left, the descriptor closes.
        helper.give(fd).ok();
    })?;
    call.set_driver(Driver::Connect(seat.clone()))?;
    // The helper keeps the deadline.
    let fd = seat.wait(None);
    call.set_driver(Driver::None)?;
    fd.unwrap_or(Err(busy))
}
