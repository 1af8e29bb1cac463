//! HTTP/1.1 over Unix domain sockets. https://www.rfc-editor.org/rfc/rfc9112, unix(7).
//!
//! The twelve functions of a server:
//!
//!     hysock_runtime_new          start the library's threads
//!     hysock_server_serve         listen on a socket and hand every request to a function of yours
//!     hysock_exchange_method      what was asked: GET, POST, ...
//!     hysock_exchange_path        for what
//!     hysock_exchange_header      with which headers
//!     hysock_exchange_body        and with which body
//!     hysock_exchange_set_header  a header of the answer
//!     hysock_exchange_answer      the answer
//!     hysock_server_shutdown      begin the end
//!     hysock_server_wait          until no callback runs any more
//!     hysock_server_free
//!     hysock_runtime_free
//!
//! The eight of a client:
//!
//!     hysock_client_new           one socket to talk to
//!     hysock_call_new             one request
//!     hysock_call_set_body        its body
//!     hysock_call_perform         send it and wait for the answer
//!     hysock_call_http_status     the answer's status: 200, 404, ...
//!     hysock_call_body            the answer's body
//!     hysock_call_free
//!     hysock_client_free
//!
//! All else is options. What holds for every function:
//!
//! Results. A function that can fail returns a `hysock_status`: HYSOCK_OK is 0, failures are
//! negative. It is never an HTTP status: a 404 is a success here. Where the last parameter is a
//! `hysock_error`, it may be NULL; otherwise it is overwritten by each call and says in words what
//! went wrong and what to do. Counts and descriptors are returned as int32_t, negative = a status.
//! Getters never fail: they give an empty result. When a function fails, the place for its result
//! holds NULL.
//!
//! Handles. The pointers to the types below are no addresses but checked numbers. One that is
//! freed, freed twice, of the wrong kind or made up gives HYSOCK_E_BAD_HANDLE from any function and
//! on any thread, never a crash. Equal pointers are the same object. Free functions take NULL,
//! never block, and may be called anywhere, in any order, also inside callbacks.
//!
//! Text. `const char *` is NUL-terminated; where a length follows, HYSOCK_NTS says that it is. All
//! input is copied before a function returns. A `hysock_str` that comes out is not NUL-terminated
//! (print it with HYSOCK_PRI) and is good as long as its handle; bodies are followed by an
//! uncounted NUL. Times are milliseconds; 0 is "do not wait", HYSOCK_FOREVER is no limit.
//!
//! Configs hold values. A NULL config is all defaults; a config is read once and may be freed at
//! once. It remembers the first setter that was refused, and whoever reads it fails with that
//! message: checking each setter is allowed, never needed. Setters of a call and headers of an answer
//! are remembered in the same way, until it is begun or answered. 0 is refused; HYSOCK_FOREVER and
//! HYSOCK_UNLIMITED turn a limit off where that is possible.
//!
//! Callbacks are a function, a `userdata` that it gets, and a `drop` that is called with `userdata`
//! once, after the last call of the function; when the registration fails, before it returns.
//! `drop` may be NULL. No handle ever has two callbacks at once. A C++ exception must not leave a
//! callback.
//!
//! Threads. Every function may be called on any thread. The library's threads block all signals but
//! the synchronous ones, and it changes no signal disposition, prints nothing, and keeps `errno` as
//! it was. Async-signal-safe are hysock_queue_wake() and hysock_server_shutdown_signal(), nothing
//! else. A call that would wait for itself is refused with HYSOCK_E_WOULD_DEADLOCK.
//!
//! The end. A shutdown begins it, a wait is the barrier: when it returns HYSOCK_OK, no callback of
//! that handle runs or will run, and its drops have run.
//!
//! Descriptors. The library needs its own: a program that closes every descriptor it finds must do so
//! before hysock_runtime_new(), or calls fail with HYSOCK_E_SYSTEM or HYSOCK_E_PANIC and waits do not
//! end.
//!
//! Fork. Threads do not survive fork(2): daemonize first. In a child, a runtime and what hangs on
//! it give HYSOCK_E_FORKED, and freeing them leaves the parent's sockets alone. Configs, and
//! clients without a runtime, go on working.

#![allow(non_camel_case_types)]
// What a caller must keep to stands in the header's words, once for all functions: see above.
#![allow(clippy::missing_safety_doc)]

mod boundary;
mod closure;
mod config;
mod free_list;
mod lent;
mod nouns;
mod sized;
mod slots;
mod token;

pub mod address;
pub mod batch;
pub mod call;
pub mod call_answer;
pub mod call_news;
pub mod call_read;
pub mod call_request;
pub mod call_upgrade;
pub mod call_write;
pub mod client;
pub mod client_config;
pub mod error;
pub mod exchange;
pub mod exchange_events;
pub mod exchange_file;
pub mod exchange_read;
pub mod exchange_route;
pub mod exchange_upgrade;
pub mod exchange_userdata;
pub mod exchange_write;
pub mod handle;
pub mod headers;
pub mod listener;
pub mod listener_config;
pub mod peer;
pub mod producer;
pub mod producer_config;
pub mod producer_send;
pub mod queue;
pub mod queue_take;
pub mod receiver;
pub mod receiver_config;
pub mod receiver_listener;
pub mod receiver_stats;
pub mod runtime;
pub mod server;
pub mod server_config;
pub mod server_hooks;
pub mod server_stats;
pub mod status;
pub mod test_hooks;
pub mod text;
pub mod timer;
pub mod version;
