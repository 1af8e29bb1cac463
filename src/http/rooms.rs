//! Memory of large bodies that have ended, for the next ones: the page faults of fresh memory cost as much as
//! the copy into it.

use super::body::Collected;
use crate::limits::{BULK, ROOMS};

/// What one I/O thread keeps.
#[derive(Default)]
pub struct Rooms {
    free: Vec<Collected>,
    bytes: usize,
    /// So many were not needed since the last look.
    idle: usize,
}

impl Rooms {
    /// Memory for a body of that announced length, which may have to grow.
    pub fn take(&mut self, announced: u64) -> Collected {
        if announced <= BULK as u64 {
            return Collected::default();
        }
        let room = self.free.pop().unwrap_or_default();
        self.bytes -= room.capacity();
        self.idle = self.idle.min(self.free.len());
        room
    }

    /// Keeps the memory of a body that has ended, unless enough is kept. Where reuse would hide a wrong use
    /// of the text from a sanitizer, it goes.
    pub fn keep(&mut self, body: Collected) {
        let bytes = self.bytes + body.capacity();
        if !cfg!(hysock_no_reuse) && body.capacity() > BULK && bytes <= ROOMS {
            self.bytes = bytes;
            self.free.push(body);
        }
    }

    /// A look from time to time: lets go of what was not needed since the last one.
    pub fn trim(&mut self) {
        for room in self.free.drain(..self.idle) {
            self.bytes -= room.capacity();
        }
        self.idle = self.free.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(len: usize) -> Collected {
        Collected::of(vec![0; len])
    }

    #[test]
    #[cfg(not(hysock_no_reuse))]
    fn large_ones_are_kept_up_to_the_bound() {
        let mut rooms = Rooms::default();
        rooms.keep(body(BULK));
        assert_eq!(rooms.free.len(), 0, "a small one");
        for _ in 0..10 {
            rooms.keep(body(ROOMS / 4));
        }
        assert_eq!((rooms.free.len(), rooms.bytes), (4, ROOMS));
        assert_eq!(rooms.take(BULK as u64).capacity(), 0);
        assert_eq!(rooms.take(BULK as u64 + 1).capacity(), ROOMS / 4);
        assert_eq!(rooms.bytes, ROOMS / 4 * 3);
    }

    #[test]
    #[cfg(not(hysock_no_reuse))]
    fn what_is_not_needed_goes_at_the_second_look() {
        let mut rooms = Rooms::default();
        for _ in 0..3 {
            rooms.keep(body(BULK + 1));
        }
        rooms.trim();
        assert_eq!(rooms.free.len(), 3);
        let two = [rooms.take(u64::MAX), rooms.take(u64::MAX)];
        two.into_iter().for_each(|room| rooms.keep(room));
        rooms.trim();
        assert_eq!((rooms.free.len(), rooms.bytes), (2, 2 * (BULK + 1)));
        rooms.trim();
        assert_eq!((rooms.free.len(), rooms.bytes), (0, 0));
    }
}
