//! What a server has done: numbers for a program and for Prometheus, and an access log.
//!
//! All of it is options. The numbers are always counted, and asking for them stops nobody. The access
//! log costs nothing as long as there is none.

use super::boundary;
use super::closure::Userdata;
use super::error::{ErrorOut, hysock_error};
use super::handle;
use super::peer;
use super::queue_take::{self, HYSOCK_EVENT_ACCESS, hysock_event, keep_text};
use super::server::{for_server, hysock_server};
use super::sized::SizedOut;
use super::status::hysock_status;
use super::text::{copy_out, hysock_drop_fn, hysock_str};
use crate::error::Error;
use crate::http::server::{Counts, Entry};
use std::ffi::{c_char, c_void};

/// What a server has counted since it was made. Later versions add numbers at the end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hysock_server_counts {
    /// Connections that are open now.
    pub connections_open: u64,
    /// Connections that were served.
    pub connections_total: u64,
    /// Connections that were refused: by an allow rule or a limit of their uid.
    pub connections_refused: u64,
    /// Requests whose head has come. Each is answered, unanswered, or still at work.
    pub requests_total: u64,
    /// Requests that are at work now: their body is still coming, or their answer is not there yet.
    pub requests_in_flight: u64,
    /// Heads that were no HTTP: their connection got a 400 or 431 and was closed. No requests.
    pub requests_malformed: u64,
    /// Requests that got no answer: their client left, or their connection was closed.
    pub requests_unanswered: u64,
    /// Of these: handlers that the drain's deadline cut short.
    pub requests_aborted: u64,
    /// Requests that an allow rule refused with a 403.
    pub requests_forbidden: u64,
    /// Requests that a limit refused with a 503.
    pub overloads: u64,
    /// Answers with a status of 100 to 199, as an upgrade has.
    pub answers_1xx: u64,
    /// Answers with a status of 200 to 299; what the library answers by itself counts too.
    pub answers_2xx: u64,
    /// 300 to 399.
    pub answers_3xx: u64,
    /// 400 to 499.
    pub answers_4xx: u64,
    /// 500 to 599.
    pub answers_5xx: u64,
    /// Bytes that were read from sockets, heads included.
    pub bytes_received: u64,
    /// Bytes that were written to sockets, heads included.
    pub bytes_sent: u64,
    /// Connections closed because a head took too long.
    pub timeouts_head: u64,
    /// Connections closed because they were idle for too long.
    pub timeouts_idle: u64,
    /// Connections closed because a body, or the reading of an answer, made no progress.
    pub timeouts_progress: u64,
    /// Requests that got a 503 because their handler took too long.
    pub timeouts_handler: u64,
    /// How often accept(2) failed, for lack of descriptors above all.
    pub accept_errors: u64,
    /// Listeners whose socket file was removed or replaced while they served.
    pub listeners_lost: u64,
    /// Log lines of the runtime that found no room; see hysock_runtime_on_log().
    pub log_dropped: u64,
    /// Entries of the access log that found no room; see hysock_server_on_access().
    pub access_dropped: u64,
    /// Milliseconds since the server was made.
    pub uptime_ms: u64,
}

/// One request of the access log. Everything in it is good until the callback returns. Later versions
/// add fields at the end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct hysock_access {
    /// From the end of the request's head to the last byte of its answer in the socket.
    pub microseconds: u64,
    /// Bytes of the request, its head included.
    pub bytes_received: u64,
    /// Bytes of the answer, its head included, that were sent.
    pub bytes_sent: u64,
    /// The answer's status; 0 when there was none, because the client left or the connection was
    /// closed.
    pub http_status: i32,
    /// One of HYSOCK_PEER_*, about the next three.
    pub peer_state: i32,
    /// Who connected; UINT32_MAX when not known.
    pub uid: u32,
    /// UINT32_MAX when not known.
    pub gid: u32,
    /// 0 when not known, or not visible from here.
    pub pid: i32,
    /// 0.
    pub reserved: u32,
    /// As hysock_exchange_method().
    pub method: hysock_str,
    /// As hysock_exchange_target().
    pub target: hysock_str,
    /// The pattern of its route, as given to hysock_server_add_route(); absent for the fallback and
    /// for requests that no route took.
    pub pattern: hysock_str,
}

/// Gets one request, after its answer has left.
pub type hysock_access_fn =
    Option<unsafe extern "C-unwind" fn(entry: *const hysock_access, userdata: *mut c_void)>;

/// The size of the struct in the first version that had it.
const FIRST: usize = 208;
const _: () = assert!(size_of::<hysock_server_counts>() >= FIRST);

impl From<Counts> for hysock_server_counts {
    fn from(counts: Counts) -> hysock_server_counts {
        let [
            answers_1xx,
            answers_2xx,
            answers_3xx,
            answers_4xx,
            answers_5xx,
        ] = counts.answers;
        hysock_server_counts {
            connections_open: counts.connections_open,
            connections_total: counts.connections_total,
            connections_refused: counts.connections_refused,
            requests_total: counts.requests_total,
            requests_in_flight: counts.requests_in_flight,
            requests_malformed: counts.requests_malformed,
            requests_unanswered: counts.requests_unanswered,
            requests_aborted: counts.requests_aborted,
            requests_forbidden: counts.requests_forbidden,
            overloads: counts.overloads,
            answers_1xx,
            answers_2xx,
            answers_3xx,
            answers_4xx,
            answers_5xx,
            bytes_received: counts.bytes_received,
            bytes_sent: counts.bytes_sent,
            timeouts_head: counts.timeouts_head,
            timeouts_idle: counts.timeouts_idle,
            timeouts_progress: counts.timeouts_progress,
            timeouts_handler: counts.timeouts_handler,
            accept_errors: counts.accept_errors,
            listeners_lost: counts.listeners_lost,
            log_dropped: counts.log_dropped,
            access_dropped: counts.access_dropped,
            uptime_ms: u64::try_from(counts.uptime.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Fill `*counts` with what the server has counted so far; also after its end, until it is freed.
///
/// `size` is `sizeof *counts`: a program that was built with an older header gets what that header
/// knows, one with a newer header gets zeros for what this library does not count. The numbers are
/// read one by one while the server goes on; after the answer to a request has come, the request is
/// in them, and the answer's last bytes a moment later.
///
/// Thread: any, also inside callbacks; it never waits.
/// Errors: HYSOCK_E_INVALID_ARGUMENT for a NULL and for a size that no version of the struct had;
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_stats(
    server: *mut hysock_server,
    counts: *mut hysock_server_counts,
    size: usize,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::with_error(err, || {
        // SAFETY: C gives NULL or a struct of `size` bytes.
        let out = unsafe { SizedOut::new("counts", counts, size, FIRST) }?;
        let server = handle::get("server", server)?;
        server.check()?;
        out.set(&server.counts().into());
        Ok(())
    })
}

/// Run `fn` once for each request: after its answer has left (of an upgrade: the 101), or when its
/// client has. Before the start only.
///
/// What the library answers by itself (404, 413, 503) is in it too; heads that are no HTTP are not, they
/// are only counted. It runs in the server's delivery, one call at a time, while the server goes on:
/// entries wait in a bounded buffer, and those that find no room are counted (`access_dropped`). All
/// that have come in have run before hysock_server_on_closed(); when the server is freed before its end
/// the rest is dropped. Bytes of pipelined requests are counted with the request that they came with.
///
/// Thread: any.
/// Owns: `userdata` until `drop` is called with it, which also happens when this fails.
/// Errors: HYSOCK_E_STATE after the start, and when there is one already; HYSOCK_E_INVALID_ARGUMENT,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_SHUT_DOWN, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_on_access(
    server: *mut hysock_server,
    r#fn: hysock_access_fn,
    userdata: *mut c_void,
    drop: hysock_drop_fn,
    err: *mut hysock_error,
) -> hysock_status {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    let userdata = Userdata::new(userdata, drop);
    boundary::with_error(err, || {
        let closure = for_server(server, r#fn, userdata)?;
        let pointer = handle::Sent(server);
        let access = move |made: &Entry| {
            let entry = hysock_access::from(made);
            let event = || hysock_event {
                access: queue_take::keep_access(hysock_access {
                    method: keep_text(made.method.as_str().as_bytes()),
                    target: keep_text(made.target.as_bytes()),
                    pattern: made
                        .pattern()
                        .map_or(hysock_str::ABSENT, |pattern| keep_text(pattern.as_bytes())),
                    ..entry
                }),
                ..hysock_event::of(HYSOCK_EVENT_ACCESS, pointer.get())
            };
            closure.run(event, |function, userdata| {
                // SAFETY: the function and its userdata were registered together; the entry lives
                // until it returns.
                unsafe { function(&raw const entry, userdata) }
            });
        };
        handle::get("server", server)?.on_access(Box::new(access))
    })
}

impl From<&Entry> for hysock_access {
    fn from(entry: &Entry) -> hysock_access {
        let peer = entry.peer.known();
        let pattern = entry.pattern().map(str::as_bytes);
        let pid = peer.and_then(|peer| peer.pid).unwrap_or(0);
        hysock_access {
            microseconds: u64::try_from(entry.duration.as_micros()).unwrap_or(u64::MAX),
            bytes_received: entry.bytes_received,
            bytes_sent: entry.bytes_sent,
            http_status: entry.status.map_or(0, |status| i32::from(status.as_u16())),
            peer_state: peer::state(&entry.peer),
            uid: peer.map_or(u32::MAX, |peer| peer.uid),
            gid: peer.map_or(u32::MAX, |peer| peer.gid),
            pid: pid.cast_signed(),
            reserved: 0,
            method: hysock_str::new(entry.method.as_str().as_bytes()),
            target: hysock_str::new(entry.target.as_bytes()),
            pattern: pattern.map_or(hysock_str::ABSENT, hysock_str::new),
        }
    }
}

/// Write the same numbers into `buf` as text for Prometheus (exposition format 0.0.4, content type
/// `text/plain; version=0.0.4`), with a NUL after it, as much as fits; returns the length of the
/// whole text, so a result of `size` or more says that it was cut.
///
/// 8192 bytes are always enough. With `size` 0 nothing is written and `buf` may be NULL; the numbers
/// may be longer in the next call. All names begin with `hysock_server_`.
///
/// Thread: any, also inside callbacks; it never waits.
/// Errors: as a negative result: HYSOCK_E_INVALID_ARGUMENT for a `buf` of NULL with a size,
/// HYSOCK_E_BAD_HANDLE, HYSOCK_E_FORKED.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hysock_server_metrics(
    server: *mut hysock_server,
    buf: *mut c_char,
    size: usize,
    err: *mut hysock_error,
) -> i32 {
    // SAFETY: C gives NULL or memory for one error.
    let err = unsafe { ErrorOut::new(err) };
    boundary::count_with_error(err, || {
        if buf.is_null() && size > 0 {
            return Err(Error::argument("buf is NULL"));
        }
        let server = handle::get("server", server)?;
        server.check()?;
        let text = server.counts().to_prometheus();
        // SAFETY: C gives NULL or `size` bytes.
        unsafe { copy_out(text.as_bytes(), buf, size) };
        Ok(text.len())
    })
}
