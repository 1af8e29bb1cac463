use super::*;
use crate::ffi::config::Config;
use crate::ffi::listener_config::hysock_listener_config;
use crate::ffi::runtime::hysock_runtime_config;
use crate::ffi::server::hysock_server;
use crate::socket::listener::ListenerOptions;
use std::ptr::{null, without_provenance};

/// Objects that need no runtime. Runtime configs are left to the one test that counts.
type Listener = hysock_listener_config;

fn listener() -> *mut Listener {
    super::super::config::new()
}

fn drop_handle<C: Noun>(pointer: *const C) {
    free(pointer, |_| Ok(()));
}

fn fault<C: Noun>(pointer: *const C) -> Fault {
    lookup(pointer).err().expect("not a usable handle")
}

#[test]
fn a_token_says_what_was_put_into_it_and_is_no_address() {
    for kind in [1, 10, 31] {
        for index in [0, 1, 0xf_ffff] {
            for generation in [0, 1, 0x7ff_ffff, 0x800_0000, 0xdead_beef, u32::MAX] {
                let place = Place { index, generation };
                let token = token::encode(kind, place);
                assert_eq!(token::decode(token), Some((kind, place)));
                assert_eq!(token >> 63, 1);
                assert_eq!(token >> 56 & 1, 0);
                assert_eq!(token >> 55 & 1, 1);
                assert_eq!(token >> 47 & 1, 0);
            }
        }
    }
    let token = token::encode(
        1,
        Place {
            index: 5,
            generation: 6,
        },
    );
    for bit in [47, 53, 54, 55, 56, 62, 63] {
        assert_eq!(token::decode(token ^ 1 << bit), None, "bit {bit}");
    }
}

#[test]
fn a_handle_leads_to_its_object_until_it_is_freed() {
    let object: Arc<Config<ListenerOptions>> = {
        let first = listener();
        let object = get("config", first).unwrap().clone();
        drop_handle(first);
        object
    };
    let handle: *mut Listener = give(object.clone()).unwrap();
    assert!(Arc::ptr_eq(&get("config", handle).unwrap(), &object));
    assert_eq!(Arc::strong_count(&object), 2);
    drop_handle(handle);
    assert_eq!(Arc::strong_count(&object), 1);
    assert_eq!(fault(handle), Fault::Stale);
    drop_handle(handle);
    assert_eq!(Arc::strong_count(&object), 1, "freed once");
}

#[test]
fn an_object_in_use_outlives_its_handle() {
    let handle = listener();
    let user = get("config", handle).unwrap();
    let weak = Arc::downgrade(&user);
    drop_handle(handle);
    assert!(weak.upgrade().is_some());
    drop(user);
    assert!(weak.upgrade().is_none());
}

#[test]
fn each_fault_is_told_apart() {
    let handle = listener();
    let of_other_kind: *const hysock_server = handle.cast();
    assert_eq!(
        fault(of_other_kind),
        Fault::Kind(HYSOCK_KIND_LISTENER_CONFIG)
    );
    assert_eq!(fault(null::<Listener>()), Fault::Null);
    let local = 1_u64;
    assert_eq!(
        fault(std::ptr::from_ref(&local).cast::<Listener>()),
        Fault::Foreign
    );
    assert_eq!(
        fault(without_provenance::<Listener>(usize::MAX)),
        Fault::Foreign
    );
    assert_eq!(fault(full::<Listener>()), Fault::Full);
    let never = token::encode(
        HYSOCK_KIND_LISTENER_CONFIG,
        Place {
            index: 999_999,
            generation: 1,
        },
    );
    assert_eq!(
        fault(without_provenance::<Listener>(never as usize)),
        Fault::Stale
    );
    drop_handle(of_other_kind);
    assert!(get("config", handle).is_ok(), "freed as another kind");
    drop_handle(handle);

    let error = |pointer| get("server", pointer).err().unwrap();
    let kind = error(of_other_kind);
    assert_eq!(kind.status, Status::BadHandle);
    assert_eq!(
        kind.message,
        "server is a hysock_listener_config, not a hysock_server"
    );
    let null = error(null::<hysock_server>());
    assert_eq!(
        (null.status, &*null.message),
        (Status::InvalidArgument, "server is NULL")
    );
}

#[test]
fn handles_that_cannot_be_used_are_passed_over_by_free() {
    drop_handle(null::<Listener>());
    drop_handle(full::<Listener>());
    drop_handle(without_provenance::<Listener>(0x1000));
}

#[test]
fn what_cannot_be_ended_stays_alive() {
    let handle = listener();
    let weak = Arc::downgrade(&get("config", handle).unwrap());
    free(handle, |_| {
        Err(Error::new(Status::Forked, Operation::None, "a child"))
    });
    assert!(weak.upgrade().is_some());
    assert_eq!(fault(handle), Fault::Stale);
}

#[test]
fn a_lent_handle_works_as_any_other() {
    let handle = listener();
    let object = get("config", handle).unwrap().clone();
    let other = listener();
    lend(&object, handle, || {
        let inside = get("config", handle).unwrap();
        assert!(inside._held.is_none() && Arc::ptr_eq(&inside, &object));
        assert!(get("config", other).unwrap()._held.is_some());
        let of_other_kind: *const hysock_server = handle.cast();
        assert_eq!(
            fault(of_other_kind),
            Fault::Kind(HYSOCK_KIND_LISTENER_CONFIG)
        );
        drop_handle(handle);
        assert_eq!(fault(handle), Fault::Stale, "freed inside its own callback");
        assert_eq!(Arc::strong_count(&object), 1, "the table's own is gone");
        assert!(Arc::ptr_eq(&inside, &object));
    });
    assert!(LENT.get().is_none());
    drop_handle(other);
}

#[test]
fn a_signal_handler_finds_the_object() {
    let handle = listener();
    assert_eq!(in_signal(handle, |_| Ok(())), HYSOCK_OK);
    assert_eq!(
        in_signal(handle, |_| Err(Error::state("no"))),
        Status::State as i32
    );
    drop_handle(handle);
    assert_eq!(in_signal(handle, |_| Ok(())), Status::BadHandle as i32);
    assert_eq!(
        in_signal(null::<Listener>(), |_| Ok(())),
        Status::InvalidArgument as i32
    );
}

#[test]
fn live_handles_are_counted_by_kind() {
    let live = || hysock_handles_live(HYSOCK_KIND_RUNTIME_CONFIG);
    assert_eq!(live(), 0);
    let handles: [*mut hysock_runtime_config; 3] =
        std::array::from_fn(|_| super::super::config::new());
    assert_eq!(live(), 3);
    assert!(hysock_handles_live(HYSOCK_KIND_ANY) >= 3);
    drop_handle(handles[0]);
    drop_handle(handles[0]);
    assert_eq!(live(), 2);
    drop_handle(handles[1]);
    drop_handle(handles[2]);
    assert_eq!(live(), 0);
    for wrong in [-1, HYSOCK_KIND_PRODUCER + 1, i32::MAX, i32::MIN] {
        assert_eq!(hysock_handles_live(wrong), Status::InvalidArgument as i32);
    }
}
