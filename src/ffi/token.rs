//! A handle's number. Bits 63 and 55 set, 56 and 47 clear make it no address on x86-64 or arm64,
//! with or without ignored upper bits. The other 60: slot in 0 to 19, generation in 20 to 46 and 48
//! to 52, kind in 57 to 61.

use super::slots::Place;

const MARK: u64 = 1 << 63 | 1 << 55;
const SLOT: u64 = (1 << 20) - 1;
const LOW: u64 = (1 << 27) - 1;
const KIND: u64 = 31;

pub fn encode(kind: i32, place: Place) -> u64 {
    let (index, generation) = (u64::from(place.index), u64::from(place.generation));
    MARK | (kind as u64 & KIND) << 57
        | (generation >> 27) << 48
        | (generation & LOW) << 20
        | index & SLOT
}

/// Kind and place; `None` for what `encode` never makes.
pub fn decode(token: u64) -> Option<(i32, Place)> {
    let generation = (token >> 48 & 31) << 27 | token >> 20 & LOW;
    let place = Place {
        index: (token & SLOT) as u32,
        generation: generation as u32,
    };
    let kind = kind(token);
    (encode(kind, place) == token).then_some((kind, place))
}

/// The kind of a number that `encode` made.
pub fn kind(token: u64) -> i32 {
    (token >> 57 & KIND) as i32
}
