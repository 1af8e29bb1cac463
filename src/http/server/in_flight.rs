//! Requests without an answer, or with one that is still being written, as the limits count them.

use super::link::Link;
use crate::limits::UNLIMITED;
use crate::socket::users::User;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Counts one request until it is dropped.
pub struct InFlight {
    link: Rc<Link>,
    /// Counted among this user's as well.
    user: Option<Arc<User>>,
}

impl InFlight {
    pub fn new(link: &Rc<Link>) -> InFlight {
        let shard = link.shard();
        shard.server().requests.fetch_add(1, Ordering::Relaxed);
        let is_limited = shard.config().max_requests_per_uid != UNLIMITED;
        let user = if is_limited { link.user() } else { None };
        if let Some(user) = &user {
            user.requests.fetch_add(1, Ordering::Relaxed);
        }
        InFlight {
            link: link.clone(),
            user,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let server = self.link.shard().server();
        server.requests.fetch_sub(1, Ordering::Relaxed);
        if let Some(user) = &self.user {
            user.requests.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
