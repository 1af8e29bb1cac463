//! Requests without an answer, or with one that is still being written, as the limits count them.
//!
//! The connection keeps the count of its request until the answer is taken. When that ends otherwise, since
//! the client has left or the handler was too late, the exchange takes the count over until its user is done
//! with it: whoever hangs up at once still has at work what is at work.

use super::Server;
use super::link::Link;
use crate::limits::UNLIMITED;
use crate::socket::users::User;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Counts one request until it is dropped.
pub struct InFlight {
    server: Arc<Server>,
    /// Counted among this user's as well.
    user: Option<Arc<User>>,
}

impl InFlight {
    pub fn new(link: &Link) -> InFlight {
        let shard = link.shard();
        let server = shard.server().clone();
        server.requests.fetch_add(1, Ordering::Relaxed);
        let is_limited = shard.config().max_requests_per_uid != UNLIMITED;
        let user = if is_limited { link.user() } else { None };
        if let Some(user) = &user {
            user.begin_request();
        }
        InFlight { server, user }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.server.requests.fetch_sub(1, Ordering::Relaxed);
        if let Some(user) = &self.user {
            self.server.admission.users.end_request(user);
        }
    }
}

/// The count of a connection's present request, until its answer is taken or its exchange takes it over.
#[derive(Default)]
pub struct Present(RefCell<Option<InFlight>>);

impl Present {
    pub fn count(&self, link: &Link) {
        let mut place = self.0.borrow_mut();
        place.get_or_insert_with(|| InFlight::new(link));
    }

    pub fn take(&self) -> Option<InFlight> {
        self.0.take()
    }
}
