//! A second Rust library for the same program, as somebody else would build it.

use std::os::raw::c_int;

/// 42 when threads, panics and thread-local values of this library work.
#[unsafe(no_mangle)]
pub extern "C" fn second_answer() -> c_int {
    thread_local!(static VALUE: std::cell::Cell<c_int> = const { std::cell::Cell::new(1) });
    VALUE.set(40);
    let thread = std::thread::spawn(|| VALUE.get() + 1);
    let two = thread.join().unwrap_or(0);
    std::panic::set_hook(Box::new(|_| {}));
    let caught = std::panic::catch_unwind(|| panic!("caught")).is_err();
    if caught { VALUE.get() + two } else { 0 }
}
