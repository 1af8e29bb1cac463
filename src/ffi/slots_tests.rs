use super::*;
use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::AcqRel;
use std::sync::{Arc, Barrier};
use std::thread;

const KIND: u32 = 3;

/// Counts its own drops.
struct Counted(Arc<AtomicUsize>, usize);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn table<V: Send + Sync>(limit: u32) -> &'static Table<V> {
    Box::leak(Box::new(Table::with_limit(limit)))
}

fn insert<V: Send + Sync>(table: &'static Table<V>, value: V) -> Place {
    table.insert(KIND, value).ok().expect("the table has room")
}

fn live<V: Send + Sync>(table: &'static Table<V>) -> usize {
    assert_eq!(table.live(|kind| kind != KIND), 0);
    table.live(|kind| kind == KIND)
}

#[test]
fn a_value_is_found_until_it_is_closed() {
    let table = table::<&str>(1);
    let place = insert(table, "one");
    assert_eq!(*table.acquire(place).unwrap(), "one");
    assert_eq!(live(table), 1);
    assert_eq!(*table.close(place).unwrap(), "one");
    assert_eq!(live(table), 0);
    assert!(table.acquire(place).is_none(), "stale");
    assert!(table.close(place).is_none(), "closed twice");
    assert_eq!(live(table), 0);
}

#[test]
fn places_that_never_were_are_refused() {
    let table = table::<u8>(1);
    assert!(
        table
            .acquire(Place {
                index: 0,
                generation: 0
            })
            .is_none(),
        "before the first"
    );
    let place = insert(table, 1);
    for index in [place.index + 1, SLOTS, ALL - 1, ALL, u32::MAX] {
        assert!(table.acquire(Place { index, ..place }).is_none(), "{index}");
        assert!(table.close(Place { index, ..place }).is_none(), "{index}");
    }
    let other = Place {
        generation: place.generation.wrapping_sub(1),
        ..place
    };
    assert!(table.acquire(other).is_none());
    assert_eq!(*table.acquire(place).unwrap(), 1);
}

#[test]
fn the_last_reference_drops_the_value_once() {
    let (table, drops) = (table(1), Arc::new(AtomicUsize::new(0)));
    let place = insert(table, Counted(drops.clone(), 0));
    let user = table.acquire(place).unwrap();
    assert!(table.spot(place).is_some());
    drop(table.close(place));
    assert_eq!(drops.load(Relaxed), 0, "a user still looks at it");
    assert!(table.spot(place).is_none());
    assert!(table.acquire(place).is_none(), "closed while in use");
    drop(user);
    assert_eq!(drops.load(Relaxed), 1);
}

#[test]
#[cfg(not(hysock_no_reuse))]
fn free_slots_come_back_in_the_order_in_which_they_were_freed() {
    let table = table::<u8>(1);
    let places: Vec<Place> = (0..10).map(|n| insert(table, n)).collect();
    for place in places.iter().rev() {
        drop(table.close(*place));
    }
    for old in places.iter().rev() {
        let new = insert(table, 0);
        assert_eq!(new.index, old.index);
        assert_eq!(new.generation, old.generation + 1);
        assert!(table.acquire(*old).is_none());
    }
}

#[test]
#[cfg(hysock_no_reuse)]
fn free_slots_do_not_come_back_while_there_are_unused_ones() {
    let table = table::<u8>(1);
    let mut seen = HashSet::new();
    for _ in 0..SLOTS {
        let place = insert(table, 0);
        assert!(seen.insert(place.index));
        drop(table.close(place));
    }
    assert!(!seen.insert(insert(table, 0).index));
}

#[test]
fn a_full_table_gives_the_value_back_and_recovers() {
    let table = table::<u32>(2);
    let places: Vec<Place> = (0..2 * SLOTS).map(|n| insert(table, n)).collect();
    let indices: HashSet<u32> = places.iter().map(|place| place.index).collect();
    assert_eq!(indices.len(), 2 * SLOTS as usize);
    assert_eq!(table.insert(KIND, 99), Err(99));
    drop(table.close(places[77]));
    // From another thread, whose shard has nothing of its own: it takes from the others.
    let new = thread::spawn(move || insert(table, 99)).join().unwrap();
    assert_eq!(new.index, places[77].index);
    assert_eq!(table.insert(KIND, 100), Err(100));
    assert_eq!(live(table), 2 * SLOTS as usize);
}

#[test]
fn a_slot_whose_generations_are_used_up_retires() {
    let (table, drops) = (table(1), Arc::new(AtomicUsize::new(0)));
    let first = insert(table, Counted(drops.clone(), 0));
    drop(table.close(first));
    table
        .taken(first.index)
        .state
        .store(u64::from(u32::MAX) << 32, Relaxed);
    let mut last = None;
    for _ in 0..SLOTS {
        let place = insert(table, Counted(drops.clone(), 0));
        last = last.or((place.index == first.index).then_some(place));
        if last.is_some() {
            break;
        }
    }
    let last = last.expect("the slot came back once more");
    assert_eq!(last.generation, u32::MAX);
    drop(table.close(last));
    assert!(table.acquire(last).is_none());
    assert!(
        table
            .acquire(Place {
                generation: 0,
                ..last
            })
            .is_none()
    );
    // All other slots can be taken, this one never again.
    while let Ok(place) = table.insert(KIND, Counted(drops.clone(), 0)) {
        assert_ne!(place.index, first.index);
    }
    assert_eq!(live(table), SLOTS as usize - 1);
}

#[test]
fn a_last_reference_from_a_signal_handler_is_an_orphan_until_the_next_call() {
    let (table, drops) = (table(1), Arc::new(AtomicUsize::new(0)));
    let places: Vec<Place> = (0..3)
        .map(|n| insert(table, Counted(drops.clone(), n)))
        .collect();
    let held: Vec<_> = places
        .iter()
        .map(|p| table.acquire(*p).unwrap().in_signal())
        .collect();
    for place in &places {
        drop(table.close(*place));
    }
    drop(held);
    assert_eq!(drops.load(Relaxed), 0, "no destructor ran in the handler");
    let next = insert(table, Counted(drops.clone(), 9));
    assert_eq!(drops.load(Relaxed), 3);
    // Not the last one: nothing is left behind.
    drop(table.acquire(next).unwrap().in_signal());
    assert_eq!(table.orphans.load(Relaxed), 0);
    drop(table.close(next));
    assert_eq!(drops.load(Relaxed), 4);
}

#[test]
fn dropping_a_value_may_use_the_table() {
    struct Nested(&'static Table<Nested>, Option<Place>);
    impl Drop for Nested {
        fn drop(&mut self) {
            if let Some(inner) = self.1 {
                drop(self.0.close(inner));
                let again = insert(self.0, Nested(self.0, None));
                drop(self.0.close(again));
            }
        }
    }
    let table = table(1);
    let inner = insert(table, Nested(table, None));
    let outer = insert(table, Nested(table, Some(inner)));
    drop(table.close(outer));
    assert_eq!(live(table), 0);
    assert!(table.acquire(inner).is_none());
}

/// Threads insert, look at, close and close again what all of them share. Every value must be
/// dropped exactly once, a reference must always show the value that belongs to its place, and
/// exactly one close of each must succeed.
#[test]
fn threads_hammering_one_table_agree() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 20_000;
    const SHARED: usize = 16;
    let table = table::<Counted>(2 * THREADS as u32);
    let drops = Arc::new(AtomicUsize::new(0));
    // Packed places, which may be stale by the time that somebody uses them.
    let shared: Arc<Vec<AtomicU64>> = Arc::new((0..SHARED).map(|_| AtomicU64::new(0)).collect());
    let closed = Arc::new(AtomicUsize::new(0));
    let barrier = Arc::new(Barrier::new(THREADS));
    let pack = |p: Place| (u64::from(p.generation) << 32) | (u64::from(p.index) + 1);
    let unpack = |v: u64| {
        let index = (v as u32).checked_sub(1)?;
        Some(Place {
            index,
            generation: (v >> 32) as u32,
        })
    };
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (drops, shared) = (drops.clone(), shared.clone());
            let (closed, barrier) = (closed.clone(), barrier.clone());
            thread::spawn(move || {
                barrier.wait();
                let mut random = thread as u64 + 1;
                for round in 0..ROUNDS {
                    random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
                    let cell = &shared[(random >> 33) as usize % SHARED];
                    let number = thread * ROUNDS + round;
                    let place = insert(table, Counted(drops.clone(), number));
                    let own = table.acquire(place).expect("nobody else knows it yet");
                    assert_eq!(own.1, number);
                    drop(own);
                    if let Some(old) = unpack(cell.swap(pack(place), AcqRel)) {
                        if let Some(held) = table.acquire(old) {
                            assert!(held.1 < THREADS * ROUNDS);
                        }
                        closed.fetch_add(table.close(old).is_some().into(), Relaxed);
                        closed.fetch_add(table.close(old).is_some().into(), Relaxed);
                    }
                    // Somebody else's, which may be closed at this very moment, by either.
                    let cell = &shared[(random >> 40) as usize % SHARED];
                    if let Some(other) = unpack(cell.load(Acquire)) {
                        let held = table.acquire(other);
                        if round % 3 == 0 {
                            closed.fetch_add(table.close(other).is_some().into(), Relaxed);
                        }
                        if let Some(held) = held {
                            let held = if round % 2 == 0 {
                                held.in_signal()
                            } else {
                                held
                            };
                            assert!(held.1 < THREADS * ROUNDS);
                        }
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    for cell in shared.iter() {
        let last = unpack(cell.load(Acquire)).unwrap();
        closed.fetch_add(table.close(last).is_some().into(), Relaxed);
    }
    let end = insert(table, Counted(drops.clone(), 0));
    drop(table.close(end));
    assert_eq!(closed.load(Relaxed), THREADS * ROUNDS);
    assert_eq!(drops.load(Relaxed), THREADS * ROUNDS + 1);
    assert_eq!(live(table), 0);
    // No slot was lost and none is in the queues twice.
    let mut seen = HashSet::new();
    while let Ok(place) = table.insert(KIND, Counted(drops.clone(), 0)) {
        assert!(seen.insert(place.index));
    }
    assert_eq!(seen.len() as u32, table.limit * SLOTS);
}

#[test]
fn a_reserved_slot_serves_one_value_after_another_and_goes_back() {
    static TABLE: Table<Arc<u32>> = Table::with_limit(1);
    let slot = TABLE.reserve(1).unwrap();
    let mut places = Vec::new();
    for number in 0..3 {
        let place = TABLE
            .insert_reserved(&slot, Arc::new(number))
            .ok()
            .unwrap()
            .place();
        assert_eq!(**TABLE.acquire(place).unwrap(), number);
        // One value at a time.
        assert_eq!(
            TABLE.insert_reserved(&slot, Arc::new(9)).map(|_| ()),
            Err(Arc::new(9))
        );
        drop(TABLE.close(place).unwrap());
        places.push(place);
    }
    assert!(places.iter().all(|place| TABLE.acquire(*place).is_none()));
    assert!(places.iter().all(|place| place.index == places[0].index));
    drop(slot);
    // All 1024 slots can be had again, each once.
    let all: Vec<_> = (0..SLOTS)
        .map(|n| TABLE.insert(1, Arc::new(n)).unwrap())
        .collect();
    assert!(TABLE.insert(1, Arc::new(0)).is_err());
    all.into_iter()
        .for_each(|place| drop(TABLE.close(place).unwrap()));
}

#[test]
fn a_reserved_slot_whose_generations_are_used_up_is_never_used_again() {
    static TABLE: Table<Arc<u32>> = Table::with_limit(1);
    let slot = TABLE.reserve(1).unwrap();
    let first = TABLE
        .insert_reserved(&slot, Arc::new(1))
        .ok()
        .unwrap()
        .place();
    drop(TABLE.close(first).unwrap());
    TABLE
        .taken(first.index)
        .state
        .store(u64::from(u32::MAX) << 32, Relaxed);
    let last = TABLE
        .insert_reserved(&slot, Arc::new(2))
        .ok()
        .unwrap()
        .place();
    assert_eq!(last.generation, u32::MAX);
    drop(TABLE.close(last).unwrap());
    assert!(TABLE.insert_reserved(&slot, Arc::new(3)).is_err());
    drop(slot);
    let rest = (1..SLOTS).map(|n| TABLE.insert(1, Arc::new(n)).unwrap());
    assert!(rest.into_iter().all(|place| place.index != first.index));
    assert!(TABLE.insert(1, Arc::new(0)).is_err());
}
