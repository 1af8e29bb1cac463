//! One I/O thread: a reactor of its own and an inbox. Connections stay on it for life.

use super::context;
use super::delivery::{self, Node};
use super::fork::Mark;
use crate::error::{Error, Operation, Result};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

/// What other threads ask of an I/O thread.
pub enum Post {
    /// Poll the task behind this waker. Waking it from a foreign thread directly would cost a write
    /// to an eventfd each; through the inbox a burst costs one.
    Wake(Waker),
    /// Run a node whose delivery is inline.
    Node(Arc<dyn Node>),
    /// Run this on the thread, inside its reactor.
    Run(Box<dyn FnOnce() + Send>),
}

pub struct IoThread {
    inbox: Mutex<Inbox>,
    /// Connections that live here, to share new ones out evenly.
    pub load: AtomicUsize,
    stop: AtomicBool,
    mark: Mark,
}

#[derive(Default)]
struct Inbox {
    posts: Vec<Post>,
    waker: Option<Waker>,
    closed: bool,
}

impl IoThread {
    pub(super) fn new(mark: Mark) -> Arc<IoThread> {
        Arc::new(IoThread {
            inbox: Mutex::default(),
            load: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            mark,
        })
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `FORKED` in a forked child.
    pub fn check(&self) -> Result<()> {
        self.mark.check()
    }

    pub fn is_current(&self) -> bool {
        context::is_this_io_thread(self)
    }

    /// Leaves something for the thread. After its end nodes are withdrawn and the rest is dropped.
    pub fn post(&self, post: Post) {
        let mut inbox = self.inbox();
        if inbox.closed {
            drop(inbox);
            return discard(post);
        }
        inbox.posts.push(post);
        // Taken by the first post after a drain: empty -> not empty is the only wake.
        let waker = inbox.waker.take();
        drop(inbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes a task of this thread, from wherever.
    pub fn wake(&self, waker: Waker) {
        if self.is_current() {
            waker.wake();
        } else {
            self.post(Post::Wake(waker));
        }
    }

    /// Ends the thread after what it was given so far.
    pub(super) fn stop(&self) {
        if self.mark.is_foreign() {
            return;
        }
        self.stop.store(true, Ordering::Release);
        self.post(Post::Run(Box::new(|| {})));
    }

    /// Makes the reactor, on the thread that it is for. A lack of descriptors is an error, not a panic.
    fn reactor() -> Result<LocalRuntime> {
        Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build_local(LocalOptions::default())
            .map_err(|e| Error::system(Operation::Start, "cannot make a reactor", &e))
    }

    /// The thread's life; `ready` is told whether it began.
    pub(super) fn main(self: Arc<Self>, ready: impl FnOnce(Result<()>)) {
        let reactor = match Self::reactor() {
            Ok(reactor) => reactor,
            Err(error) => return ready(Err(error)),
        };
        context::enter(self.clone());
        ready(Ok(()));
        reactor.block_on(async {
            tokio::task::spawn_local(context::flusher());
            self.drain_inbox().await;
        });
        let rest = {
            let mut inbox = self.inbox();
            inbox.closed = true;
            std::mem::take(&mut inbox.posts)
        };
        rest.into_iter().for_each(discard);
        // Tasks that are left are dropped here, inside the context that they need.
        drop(reactor);
        context::leave();
    }

    async fn drain_inbox(&self) {
        let mut posts = Vec::new();
        poll_fn(|cx| {
            std::mem::swap(&mut self.inbox().posts, &mut posts);
            for post in posts.drain(..) {
                match post {
                    Post::Wake(waker) => waker.wake(),
                    Post::Node(node) => delivery::run(&node),
                    Post::Run(run) => context::contain(run),
                }
            }
            let mut inbox = self.inbox();
            if !inbox.posts.is_empty() {
                // What the posts posted waits for the next turn, so that sockets get theirs.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.stop.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            inbox.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

fn discard(post: Post) {
    match post {
        Post::Node(node) => delivery::abandon(&node),
        Post::Run(run) => drop(run),
        Post::Wake(_) => {}
    }
}
