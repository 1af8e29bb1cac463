//! Structs that may grow: the caller says how large its header's is, and gets as much of ours.

use crate::error::{Error, Result};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// No struct of this API is as large: such a size is a mistake, and memory would be zeroed up to it.
const LARGEST: usize = 4096;

/// The caller's place for a struct, and its size by the caller's header.
pub struct SizedOut<T> {
    place: NonNull<T>,
    size: usize,
}

impl<T: Copy> SizedOut<T> {
    /// Refuses NULL by name, and a size below `first`, which is that of the first version of the struct.
    ///
    /// # Safety
    /// `place` is NULL or writable for `size` bytes until the function of the C API that it was given to
    /// returns. `T` is a struct of C.
    pub unsafe fn new(name: &str, place: *mut T, size: usize, first: usize) -> Result<SizedOut<T>> {
        let place =
            NonNull::new(place).ok_or_else(|| Error::argument(format!("{name} is NULL")))?;
        if !(first..=LARGEST).contains(&size) {
            return Err(Error::argument(format!(
                "size is {size}: give sizeof of the struct that {name} points to"
            )));
        }
        Ok(SizedOut { place, size })
    }

    /// Writes as much of `value` as the caller knows of, and zeros behind it.
    pub fn set(&self, value: &T) {
        let known = self.size.min(size_of::<T>());
        let place = self.place.as_ptr().cast::<MaybeUninit<u8>>();
        // SAFETY: `place` is writable for `size` bytes by `new`'s contract, `value` is readable for
        // `known`, of which some may be padding, and it is memory of ours: the two do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(std::ptr::from_ref(value).cast(), place, known);
            place.add(known).write_bytes(0, self.size - known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Three {
        one: u64,
        two: u64,
        three: u64,
    }

    const VALUE: Three = Three {
        one: 1,
        two: 2,
        three: 3,
    };

    fn set(size: usize) -> [u64; 5] {
        let mut memory = [9_u64; 5];
        // SAFETY: the memory is larger than every size that is given here.
        let out = unsafe { SizedOut::new("out", memory.as_mut_ptr().cast(), size, 8) }.unwrap();
        out.set(&VALUE);
        memory
    }

    #[test]
    fn as_much_is_written_as_the_caller_knows() {
        assert_eq!(set(8), [1, 9, 9, 9, 9]);
        assert_eq!(set(16), [1, 2, 9, 9, 9]);
        assert_eq!(set(24), [1, 2, 3, 9, 9]);
    }

    #[test]
    fn what_only_the_caller_knows_is_zero() {
        assert_eq!(set(32), [1, 2, 3, 0, 9]);
        assert_eq!(set(40), [1, 2, 3, 0, 0]);
    }

    #[test]
    fn null_and_sizes_of_no_version_are_refused() {
        let refused = |place: *mut Three, size| {
            // SAFETY: nothing is written here.
            let out = unsafe { SizedOut::new("out", place, size, 16) };
            out.err().unwrap().message
        };
        let mut value = VALUE;
        assert_eq!(refused(std::ptr::null_mut(), 24), "out is NULL");
        for size in [0, 15, LARGEST + 1, usize::MAX] {
            assert!(refused(&raw mut value, size).starts_with(&format!("size is {size}:")));
        }
        assert_eq!(value, VALUE);
    }
}
