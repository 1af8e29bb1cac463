//! An end to answers that are all wrapping.
//!
//! A head is limited, and what surrounds a chunk; but a server that sends interim answers, or chunks of one
//! byte in lines of thousands, on and on, would be read for ever.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts bytes that came since the last head of an answer or piece of its body. One task or thread at a
/// time uses it.
#[derive(Debug)]
pub struct Useless {
    bytes: AtomicU64,
    most: u64,
}

impl Useless {
    pub fn new(most: u64) -> Useless {
        Useless {
            bytes: AtomicU64::new(0),
            most,
        }
    }

    /// What came was of use.
    pub fn reset(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// So many more have come.
    pub fn count(&self, n: usize) -> io::Result<()> {
        let bytes = self.bytes.load(Ordering::Relaxed) + n as u64;
        self.bytes.store(bytes, Ordering::Relaxed);
        if bytes > self.most {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bytes_in_a_row_are_too_many() {
        let useless = Useless::new(10);
        for _ in 0..5 {
            useless.count(10).unwrap();
            useless.reset();
        }
        useless.count(9).unwrap();
        useless.count(1).unwrap();
        let error = useless.count(1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        useless.reset();
        useless.count(1).unwrap();
    }
}
