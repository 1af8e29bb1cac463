//! How exchanges are lent to C: each gets a handle for the time of the call; when C has deferred it, the
//! handle is C's.

use super::closure::Closure;
use super::exchange::hysock_exchange;
use super::handle::{self, Known};
use super::queue_take::{HYSOCK_EVENT_REQUEST, hysock_event};
use crate::http::server::{AnswerFn, Exchange, Handler, RequestFn};
use std::ffi::c_void;
use std::mem;
use std::sync::Arc;

type ExchangeFn =
    unsafe extern "C-unwind" fn(exchange: *mut hysock_exchange, userdata: *mut c_void);
type StatusFn = unsafe extern "C-unwind" fn(
    exchange: *mut hysock_exchange,
    http_status: i32,
    userdata: *mut c_void,
);

/// An exchange in C's hands. Ends what was lent, also when the callback unwinds.
struct Lent<'a> {
    exchange: &'a Arc<Exchange>,
    handle: Known<hysock_exchange>,
}

impl<'a> Lent<'a> {
    /// `None` when there is no room for one more handle: the client gets a 500.
    fn new(exchange: &'a Arc<Exchange>) -> Option<Lent<'a>> {
        let face = exchange.face();
        let left = face.take_name().and_then(handle::by_number);
        let handle = match left {
            Some(handle) => handle,
            None => {
                let handle: Known<hysock_exchange> =
                    handle::give_again(exchange.clone(), &face.kept).ok()?;
                face.set_name(handle.pointer.addr());
                handle
            }
        };
        Some(Lent { exchange, handle })
    }

    fn run(&self, closure: &Closure<ExchangeFn>) {
        let event = || {
            // Taken, it is the taker's until the free.
            self.exchange.defer().ok();
            hysock_event::of(HYSOCK_EVENT_REQUEST, self.handle.pointer)
        };
        closure.run(event, |function, userdata| {
            handle::lend_known(self.exchange, &self.handle, || {
                // SAFETY: the function and its userdata were registered together.
                unsafe { function(self.handle.pointer, userdata) }
            });
        });
    }

    /// Leaves the handle open for the handler.
    fn leave(self) {
        self.exchange.face().leave_name();
        mem::forget(self);
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if self.exchange.is_deferred() {
            return;
        }
        // With the handle still open, for those who are to see the 500.
        if !std::thread::panicking() {
            self.exchange.give_up(true);
        }
        // The core ends the exchange itself. C may have freed the handle already: passed over.
        handle::end(&self.handle);
    }
}

/// A handler of the core that runs C's.
pub fn handler(closure: Closure<ExchangeFn>) -> Handler {
    Box::new(move |exchange| {
        if let Some(lent) = Lent::new(exchange) {
            lent.run(&closure);
        }
    })
}

/// One that runs before handlers: they get the same handle, unless this one takes the exchange.
pub fn before_handlers(closure: Closure<ExchangeFn>) -> RequestFn {
    Box::new(move |exchange| {
        let Some(lent) = Lent::new(exchange) else {
            // Nobody has looked at the request: no handler may.
            return false;
        };
        lent.run(&closure);
        let goes_on = !exchange.is_taken();
        if goes_on {
            lent.leave();
        }
        goes_on
    })
}

/// One that completes answers; whoever answers does it by an open handle.
pub fn on_answer(closure: Closure<StatusFn>) -> AnswerFn {
    Box::new(move |exchange, status| {
        let Some(handle) = handle::by_number(exchange.face().name()) else {
            return;
        };
        closure.call(|function, userdata| {
            handle::lend_known(exchange, &handle, || {
                let status = i32::from(status.as_u16());
                // SAFETY: the function and its userdata were registered together.
                unsafe { function(handle.pointer, status, userdata) }
            });
        });
    })
}
