//! Each user's share of connections and requests.

use super::peer::{Known, Record};
use crate::limits::UNLIMITED;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The users that have connections or requests, by uid.
#[derive(Debug, Default)]
pub struct Users(Mutex<BTreeMap<u32, Arc<User>>>);

/// One user's share.
#[derive(Debug)]
pub struct User {
    uid: u32,
    connections: AtomicU64,
    /// Requests without an answer; counted while there is a limit.
    requests: AtomicU64,
}

impl User {
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// One more request, of a connection that is there.
    pub fn begin_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    fn is_unused(&self) -> bool {
        let load = |count: &AtomicU64| count.load(Ordering::SeqCst);
        load(&self.connections) == 0 && load(&self.requests) == 0
    }
}

/// Stands for the users that the kernel does not know.
const NOBODY: u32 = u32::MAX;

impl Users {
    fn users(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<User>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more connection of a user; `None` when it would be beyond `most`.
    pub fn join(&self, peer: &Record, most: u64) -> Option<Arc<User>> {
        let uid = match peer.peer() {
            Ok(Known::Known(known)) => known.uid,
            _ => NOBODY,
        };
        let mut users = self.users();
        let user = users.entry(uid).or_insert_with(|| {
            Arc::new(User {
                uid,
                connections: AtomicU64::new(0),
                requests: AtomicU64::new(0),
            })
        });
        // Written under the lock only.
        if most != UNLIMITED && user.connections.load(Ordering::Relaxed) >= most {
            return None;
        }
        user.connections.fetch_add(1, Ordering::Relaxed);
        Some(user.clone())
    }

    pub fn leave(&self, user: &Arc<User>) {
        let mut users = self.users();
        if user.connections.fetch_sub(1, Ordering::SeqCst) == 1 {
            forget_unused(&mut users, user);
        }
    }

    /// A request has ended; its connection may have ended before.
    pub fn end_request(&self, user: &Arc<User>) {
        user.requests.fetch_sub(1, Ordering::SeqCst);
        if user.is_unused() {
            forget_unused(&mut self.users(), user);
        }
    }
}

/// Who still has requests stays: else the next connection of that user would begin to count at 0.
fn forget_unused(users: &mut BTreeMap<u32, Arc<User>>, user: &Arc<User>) {
    let known = users.get(&user.uid);
    if known.is_some_and(|known| Arc::ptr_eq(known, user)) && user.is_unused() {
        users.remove(&user.uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::peer::Peer;

    fn user(uid: u32) -> Record {
        let (gid, pid) = (1, None);
        Record::of(Known::Known(Peer { uid, gid, pid }))
    }

    #[test]
    fn a_user_has_a_share_and_is_forgotten_with_the_last_connection() {
        let users = Users::default();
        let one = users.join(&user(1), 2).unwrap();
        let again = users.join(&user(1), 2).unwrap();
        assert!(Arc::ptr_eq(&one, &again));
        assert!(users.join(&user(1), 2).is_none());
        assert!(users.join(&user(2), 2).is_some(), "somebody else's share");
        assert!(users.join(&user(1), UNLIMITED).is_some());
        for _ in 0..2 {
            users.leave(&one);
        }
        assert!(users.join(&user(1), 2).is_some());
        users.leave(&one);
        users.leave(&one);
        assert!(!users.users().contains_key(&1));
        assert!(users.users().contains_key(&2));
    }

    #[test]
    fn a_user_is_known_until_the_last_request_has_ended() {
        let users = Users::default();
        let one = users.join(&user(1), 2).unwrap();
        one.begin_request();
        users.leave(&one);
        let again = users.join(&user(1), 2).unwrap();
        assert_eq!(again.requests(), 1);
        users.leave(&again);
        users.end_request(&one);
        assert!(users.users().is_empty());

        // Not somebody who came after that.
        let other = users.join(&user(1), 2).unwrap();
        one.begin_request();
        users.end_request(&one);
        assert!(Arc::ptr_eq(&users.users()[&1], &other));
    }

    #[test]
    fn those_whom_nobody_knows_share_one_share() {
        let users = Users::default();
        assert!(users.join(&Record::of(Known::Gone), 1).is_some());
        assert!(users.join(&Record::of(Known::Unsupported), 1).is_none());
    }
}
