//! Shortages: no descriptor, or no memory, for one more connection. Connections wait a moment in the
//! backlog; when it lasts, a descriptor that was kept for this lets the server tell them so.

use super::Server;
use crate::limits::{ACCEPT_PAUSE_MAX, TURN_AWAY};
use crate::runtime::{Level, Pause};
use crate::socket::listener::Listener;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Says the same to every method: no body.
const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n";

/// What the accept loops of one server know about shortages. All on one thread.
pub struct Pressure {
    /// Given up for the time of one answer. `None` when somebody else was faster to take it.
    reserve: RefCell<Option<OwnedFd>>,
    episode: Cell<Option<Episode>>,
    begun: Notify,
    /// Connections that were turned away in the second that began then.
    turned_away: Cell<(Instant, u32)>,
}

/// From the first failure until there was none for a while.
#[derive(Clone, Copy)]
struct Episode {
    began: Instant,
    last: Instant,
    turned_away: u64,
}

impl Pressure {
    pub fn new(server: &Server) -> Pressure {
        let pressure = Pressure {
            reserve: RefCell::default(),
            episode: Cell::new(None),
            begun: Notify::new(),
            turned_away: Cell::new((Instant::now(), 0)),
        };
        pressure.keep_reserve(server);
        pressure
    }

    fn keep_reserve(&self, server: &Server) {
        self.reserve.replace(server.signal.copy());
    }

    /// An accept failed with `error`; `pause` knows whether it is the first failure in a row. Says whether
    /// nobody waits any more.
    pub fn relieve(
        &self,
        server: &Server,
        listener: &Listener,
        error: Errno,
        pause: &Pause,
    ) -> bool {
        let now = Instant::now();
        let before = self.episode.get();
        self.episode.set(Some(Episode {
            began: before.map_or(now, |episode| episode.began),
            last: now,
            turned_away: before.map_or(0, |episode| episode.turned_away),
        }));
        if before.is_none() {
            self.begun.notify_one();
            log_begin(server, listener, error);
        }
        // The first time they wait: it may be over in a moment, and their requests may still be on
        // their way.
        !pause.is_first() && self.turn_away(server, listener, error, self.may_turn_away(now))
    }

    /// How many connections may be turned away now: those who come again and again are not to keep the
    /// thread busy.
    fn may_turn_away(&self, now: Instant) -> u32 {
        let (since, count) = self.turned_away.get();
        if now.duration_since(since) >= Duration::from_secs(1) {
            self.turned_away.set((now, 0));
            return TURN_AWAY;
        }
        TURN_AWAY.saturating_sub(count)
    }

    /// Answers up to `most` of those that wait with a 503, for the lack of a descriptor. Says whether
    /// nobody waits any more.
    pub fn turn_away(&self, server: &Server, listener: &Listener, error: Errno, most: u32) -> bool {
        if !matches!(error, Errno::MFILE | Errno::NFILE) {
            return false;
        }
        let mut count = 0;
        let mut one = Ok(());
        while count < most && one.is_ok() {
            one = self.turn_one_away(server, listener);
            count += u32::from(one.is_ok());
        }
        let (since, before) = self.turned_away.get();
        self.turned_away.set((since, before.saturating_add(count)));
        server.stats.connections_refused.add(u64::from(count));
        if let Some(mut episode) = self.episode.get() {
            episode.turned_away += u64::from(count);
            self.episode.set(Some(episode));
        }
        one == Err(Errno::AGAIN)
    }

    fn turn_one_away(&self, server: &Server, listener: &Listener) -> rustix::io::Result<()> {
        if self.reserve.borrow().is_none() {
            self.keep_reserve(server);
        }
        if self.reserve.take().is_none() {
            return Err(Errno::MFILE);
        }
        let accepted = listener.accept().map(|connection| answer(&connection));
        self.keep_reserve(server);
        match accepted {
            Err(Errno::INTR | Errno::CONNABORTED) => Ok(()),
            accepted => accepted,
        }
    }

    /// Says when an episode is over; for ever.
    pub async fn report_ends(&self, server: &Server) {
        loop {
            self.begun.notified().await;
            while let Some(episode) = self.episode.get() {
                let calm = episode.last + ACCEPT_PAUSE_MAX * 2;
                if Instant::now() < calm {
                    tokio::time::sleep_until(calm.into()).await;
                    continue;
                }
                self.episode.set(None);
                server.runtime.log().write(Level::Warn, || {
                    let time = episode.last.duration_since(episode.began).as_secs_f32();
                    let count = episode.turned_away;
                    format!("connections are accepted again, after {time:.1} s; {count} got a 503")
                });
            }
        }
    }
}

fn log_begin(server: &Server, listener: &Listener, error: Errno) {
    server.runtime.log().write(Level::Error, || {
        let address = listener.address().display();
        format!(
            "{address}: cannot accept for now: {error}: clients wait, and get a 503 if it lasts"
        )
    });
}

/// Without waiting: what of it does not work is the client's loss.
fn answer(connection: &OwnedFd) {
    // Unread bytes would take the answer from the client.
    let mut space = [0; 16 * 1024];
    while rustix::net::recv(connection, &mut space, RecvFlags::DONTWAIT).is_ok_and(|(n, _)| n > 0) {
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::net::send(connection, ANSWER, flags).ok();
    rustix::net::shutdown(connection, Shutdown::Both).ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn who_is_turned_away_reads_why() {
        let (ours, mut peers) = UnixStream::pair().unwrap();
        peers.write_all(&[b'x'; 100_000]).unwrap();
        answer(&ours.into());
        let mut text = String::new();
        // To the end: no reset takes it away.
        peers.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
        assert!(text.ends_with("\r\n\r\n") && text.contains("\r\nretry-after: 1\r\n"));
    }
}
