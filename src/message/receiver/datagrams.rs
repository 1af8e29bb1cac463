//! A datagram socket: every message says who sent it.

use super::accept::{self, Shard};
use super::incoming::append_packet;
use crate::message::Source;
use crate::runtime::Level;
use crate::socket::listener::Listener;
use crate::socket::packet::Packets;
use crate::socket::peer::{Known, Peer, Record};
use crate::socket::sys;
use rustix::io::Errno;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::Interest;

/// Senders that are remembered; beyond it one who sends again gets a new number.
const SENDERS: usize = 1024;
/// Senders that are looked for first.
const RECENT: usize = 8;

/// Receives until the end, then what the socket still holds.
pub async fn run(shard: &Rc<Shard>, listener: &Arc<Listener>) {
    let receiver = shard.receiver().clone();
    let Ok(registration) = sys::register(listener.clone(), Interest::READABLE) else {
        shard.accepted_all();
        return receiver.runtime.log().write(Level::Error, || {
            format!("{}: cannot receive datagrams", listener.address().display())
        });
    };
    let mut reader = Reader {
        packets: Packets::new(receiver.config.max_message as usize, true),
        senders: Senders::default(),
    };
    while !shard.is_ending() {
        let changed = shard.changed.notified();
        let mut ready = tokio::select! {
            () = changed => continue,
            ready = registration.readable() => match ready {
                Ok(ready) => ready,
                Err(_) => break,
            },
        };
        if reader.read(shard, listener).await == Some(false) {
            ready.clear_ready();
        }
        drop(ready);
        tokio::task::yield_now().await;
    }
    accept::remove_file(&receiver, listener).await;
    // What waits in a socket that another process has too is not lost, and it must stay as it is.
    if !listener.is_shared() {
        // From here on senders are refused; what they had sent is still there.
        listener.refuse_more();
        while !shard.is_over() && reader.read(shard, listener).await != Some(false) {}
    }
    shard.accepted_all();
}

struct Reader {
    packets: Packets,
    senders: Senders,
}

/// Who has sent something.
#[derive(Default)]
struct Senders {
    all: HashMap<(u32, u32, Option<u32>), Arc<Source>>,
    /// Those of the last messages, in no order: mostly the next one is of one of them.
    recent: Vec<(Option<Peer>, Arc<Source>)>,
}

impl Reader {
    /// `Some(true)` when there may be more, `None` when the end came while it waited for room.
    async fn read(&mut self, shard: &Rc<Shard>, listener: &Listener) -> Option<bool> {
        let receiver = shard.receiver();
        let all = self.senders.find(shard, None).clone();
        let reserved = shard.room(&all, false).await?;
        let (packets, senders) = (&mut self.packets, &mut self.senders);
        let got = match packets.receive(listener.fd()) {
            Ok(got) => got,
            Err(Errno::AGAIN) => return Some(false),
            Err(error) => {
                receiver.runtime.log().write(Level::Warn, || {
                    format!("{}: {error}", listener.address().display())
                });
                return Some(false);
            }
        };
        reserved.append(&all, |appending| {
            packets.each(|packet| {
                let source = senders.find(shard, packet.sender);
                appending.from(source);
                append_packet(receiver, appending, source, packet);
            });
        });
        // Fewer than asked for: no more were there.
        Some(got == packets.count())
    }
}

impl Senders {
    fn find(&mut self, shard: &Shard, sender: Option<Peer>) -> &Arc<Source> {
        let known = self.recent.iter().position(|(peer, _)| *peer == sender);
        let at = known.unwrap_or_else(|| {
            let source = self.remembered(shard, sender);
            // The place of any other one.
            if self.recent.len() >= RECENT {
                let place = source.id as usize % RECENT;
                self.recent[place] = (sender, source);
                return place;
            }
            self.recent.push((sender, source));
            self.recent.len() - 1
        });
        &self.recent[at].1
    }

    fn remembered(&mut self, shard: &Shard, sender: Option<Peer>) -> Arc<Source> {
        let key = sender.map_or((u32::MAX, u32::MAX, None), |peer| {
            (peer.uid, peer.gid, peer.pid)
        });
        if let Some(source) = self.all.get(&key) {
            return source.clone();
        }
        if self.all.len() >= SENDERS {
            self.all.clear();
        }
        let receiver = shard.receiver();
        let id = receiver.next_id.fetch_add(1, Ordering::Relaxed);
        if sender.is_some() {
            receiver.counters.producers.fetch_add(1, Ordering::Relaxed);
        }
        let peer = Record::of(sender.map_or(Known::Unsupported, Known::Known));
        let source = Source::new(id, peer);
        self.all.insert(key, source.clone());
        source
    }
}
