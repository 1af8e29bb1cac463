//! Waiting for a full backlog on threads that may wait, so that the caller can be cancelled.

use super::{connect_now, connect_until, still_busy};
use crate::error::{Error, Operation, Result, Status};
use crate::socket::address::Address;
use crate::socket::sys;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Threads that wait in connect at the same time; what goes beyond shares one thread that retries.
const THREADS_MAX: usize = 64;
/// How often the shared thread tries again.
const RETRY: Duration = Duration::from_millis(10);
/// Enough for connect and for a completion that hands the descriptor on.
const STACK: usize = 256 * 1024;
const NAME: &str = "hysock-connect";

/// Connects as [`connect_until`] does, on a thread of its own, and gives the result to `done` there.
/// After `Ok` `done` is called exactly once, after an error never. Takes no lock while `done` runs.
pub fn connect_in_background(
    address: &Address,
    deadline: Option<Instant>,
    done: impl FnOnce(Result<OwnedFd>) + Send + 'static,
) -> Result<()> {
    let job = Job {
        address: address.clone(),
        start: Instant::now(),
        deadline,
        done: Box::new(done),
    };
    Waiters::here().add(job)
}

struct Job {
    address: Address,
    start: Instant,
    deadline: Option<Instant>,
    done: Box<dyn FnOnce(Result<OwnedFd>) + Send>,
}

impl Job {
    fn finish(self, result: Result<OwnedFd>) {
        let done = self.done;
        // A panic was reported by its hook; the thread has others to serve.
        let _ = catch_unwind(AssertUnwindSafe(|| done(result)));
    }

    /// One try; gives the job back when it has to wait on.
    fn retry(self) -> Option<Job> {
        match connect_now(&self.address) {
            Err(error) if error.status == Status::Busy => {
                if self
                    .deadline
                    .is_none_or(|deadline| Instant::now() < deadline)
                {
                    return Some(self);
                }
                let error = still_busy(&self.address, self.start);
                self.finish(Err(error));
            }
            result => self.finish(result),
        }
        None
    }
}

/// All that waits in this process.
struct Waiters {
    process: u32,
    threads: AtomicUsize,
    overflow: Mutex<Overflow>,
}

#[derive(Default)]
struct Overflow {
    /// Whether the shared thread lives; it ends when it finds `jobs` empty.
    running: bool,
    jobs: Vec<Job>,
}

/// A thread's place among [`THREADS_MAX`].
struct Place(&'static Waiters);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Waiters {
    /// The waiters of this process. A forked child has none of its parent's threads, and the mutex it
    /// inherited may be held by one of them: it starts afresh, and leaves what it inherited alone.
    fn here() -> &'static Waiters {
        static HERE: AtomicPtr<Waiters> = AtomicPtr::new(std::ptr::null_mut());
        let process = std::process::id();
        loop {
            let known = HERE.load(Ordering::Acquire);
            // SAFETY: null, or from the `Box::into_raw` below and never freed since.
            if let Some(waiters) = unsafe { known.as_ref() }
                && waiters.process == process
            {
                return waiters;
            }
            let fresh = Box::into_raw(Box::new(Waiters {
                process,
                threads: AtomicUsize::new(0),
                overflow: Mutex::default(),
            }));
            if HERE
                .compare_exchange(known, fresh, Ordering::AcqRel, Ordering::Acquire)
                .is_err()
            {
                // SAFETY: made above and shown to nobody.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }

    fn add(&'static self, job: Job) -> Result<()> {
        let one_more = |threads| (threads < THREADS_MAX).then_some(threads + 1);
        if self
            .threads
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .is_err()
        {
            return self.share(job);
        }
        let place = Place(self);
        // A thread that does not start drops its closure, and the job must survive that.
        let cell = Arc::new(Mutex::new(Some(job)));
        let taken = Arc::clone(&cell);
        let started = sys::spawn_masked(NAME, STACK, move || {
            let _place = place;
            if let Some(job) = lock(&taken).take() {
                let result = connect_until(&job.address, job.deadline);
                job.finish(result);
            }
        });
        // Only where no thread was started is the job still ours to take.
        match started.map_err(|_| lock(&cell).take()) {
            Err(Some(job)) => self.share(job),
            _ => Ok(()),
        }
    }

    /// Leaves the job to the shared thread.
    fn share(&'static self, job: Job) -> Result<()> {
        let mut overflow = lock(&self.overflow);
        if !overflow.running {
            sys::spawn_masked(NAME, STACK, || self.serve()).map_err(|cause| {
                let what = format!(
                    "the backlog of {} is full and no thread can be started to wait for it",
                    job.address
                );
                Error::system(Operation::Connect, what, &cause)
            })?;
            overflow.running = true;
        }
        overflow.jobs.push(job);
        Ok(())
    }

    /// The shared thread: tries every job in turn, until none is left.
    fn serve(&self) {
        loop {
            let jobs = std::mem::take(&mut lock(&self.overflow).jobs);
            let mut waiting: Vec<Job> = jobs.into_iter().filter_map(Job::retry).collect();
            let next = waiting.iter().filter_map(|job| job.deadline).min();
            {
                let mut overflow = lock(&self.overflow);
                waiting.append(&mut overflow.jobs);
                if waiting.is_empty() {
                    overflow.running = false;
                    return;
                }
                overflow.jobs = waiting;
            }
            let left = next.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            std::thread::sleep(left.map_or(RETRY, |left| left.min(RETRY)));
        }
    }
}

/// A panic cannot happen under these locks, so there is nothing to find broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Full, accept_all, threads_named};
    use super::*;
    use std::sync::mpsc::{channel, sync_channel};

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn each_waiter_gets_its_connection_and_threads_stay_bounded() {
        let full = Full::new();
        let (sender, results) = channel();
        let count = THREADS_MAX + 30;
        for number in 0..count {
            let sender = sender.clone();
            let deadline = Some(Instant::now() + LONG);
            let done = move |result: Result<OwnedFd>| sender.send((number, result)).unwrap();
            connect_in_background(&full.address, deadline, done).unwrap();
        }
        drop(sender);
        // Threads that have given up their place may take a moment to end.
        let threads = threads_named(NAME);
        assert!(threads <= THREADS_MAX + 10, "{threads} threads");
        assert!(lock(&Waiters::here().overflow).running);
        let accepted = accept_all(&full, count);
        let mut seen = vec![false; count];
        let mut open = Vec::new();
        for _ in 0..count {
            let (number, result) = results.recv_timeout(LONG).unwrap();
            open.push(result.unwrap());
            assert!(
                !std::mem::replace(&mut seen[number], true),
                "{number} was called twice"
            );
        }
        assert!(
            results.recv_timeout(LONG).is_err(),
            "every sender is gone, so none comes again"
        );
        drop(accepted);
    }

    #[test]
    fn the_deadline_ends_the_wait_on_both_kinds_of_thread() {
        let full = Full::new();
        let (sender, results) = channel();
        let patience = Duration::from_millis(30);
        for shared in [false, true] {
            let sender = sender.clone();
            let start = Instant::now();
            let job = Job {
                address: full.address.clone(),
                start,
                deadline: Some(start + patience),
                done: Box::new(move |result| sender.send((start.elapsed(), result)).unwrap()),
            };
            if shared {
                Waiters::here().share(job).unwrap();
            } else {
                Waiters::here().add(job).unwrap();
            }
        }
        for _ in 0..2 {
            let (waited, result) = results.recv_timeout(LONG).unwrap();
            let error = result.unwrap_err();
            assert_eq!((error.status, error.os_error), (Status::Busy, libc::EAGAIN));
            assert!(waited >= patience, "{waited:?}");
            assert!(error.message.contains("stayed full for"), "{error}");
        }
    }

    #[test]
    fn other_errors_come_at_once_and_a_panic_harms_nobody() {
        let absent = Address::parse(b"/nowhere/at/all").unwrap();
        let (sender, results) = sync_channel(2);
        connect_in_background(&absent, None, |_| std::panic::resume_unwind(Box::new(()))).unwrap();
        Waiters::here()
            .share(Job {
                address: absent.clone(),
                start: Instant::now(),
                deadline: None,
                done: Box::new(|_| std::panic::resume_unwind(Box::new(()))),
            })
            .unwrap();
        let other = sender.clone();
        connect_in_background(&absent, None, move |r| sender.send(r).unwrap()).unwrap();
        Waiters::here()
            .share(Job {
                address: absent,
                start: Instant::now(),
                deadline: None,
                done: Box::new(move |r| other.send(r).unwrap()),
            })
            .unwrap();
        for _ in 0..2 {
            let error = results.recv_timeout(LONG).unwrap().unwrap_err();
            assert_eq!(error.status, Status::Absent);
        }
    }

    #[test]
    fn a_forked_child_waits_with_threads_of_its_own() {
        // In a process of its own: a bare fork would hold copies of other tests' sockets.
        let (_, module) = module_path!().split_once("::").unwrap();
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", &format!("{module}::fork_and_wait")])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}"
        );
    }

    #[test]
    #[ignore = "forks: run by the test above"]
    fn fork_and_wait() {
        let absent = Address::parse(b"/nowhere/at/all").unwrap();
        let held = lock(&Waiters::here().overflow);
        // SAFETY: the child only makes the calls below and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let (sender, results) = sync_channel(2);
            let other = sender.clone();
            let job = Job {
                address: absent.clone(),
                start: Instant::now(),
                deadline: None,
                done: Box::new(move |r| other.send(r).unwrap()),
            };
            let well = Waiters::here().share(job).is_ok()
                && connect_in_background(&absent, None, move |r| sender.send(r).unwrap()).is_ok()
                && (0..2).all(|_| matches!(results.recv_timeout(LONG), Ok(Err(_))));
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(i32::from(!well)) };
        }
        assert!(child > 0);
        drop(held);
        let stop = Instant::now() + LONG;
        let mut status = 0;
        // SAFETY: `status` is valid for writing, and the child is ours.
        while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
            if Instant::now() > stop {
                // SAFETY: the child is ours and not yet reaped; the next round reaps it.
                unsafe { libc::kill(child, libc::SIGKILL) };
            }
            std::thread::yield_now();
        }
        assert_eq!(status, 0, "the child hung or failed");
    }
}
