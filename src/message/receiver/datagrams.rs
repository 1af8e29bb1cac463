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
        senders: HashMap::new(),
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
    senders: HashMap<(u32, u32, Option<u32>), Arc<Source>>,
}

impl Reader {
    /// `Some(true)` when there may be more, `None` when the end came while it waited for room.
    async fn read(&mut self, shard: &Rc<Shard>, listener: &Listener) -> Option<bool> {
        let receiver = shard.receiver();
        let all = find(shard, &mut self.senders, None);
        let reserved = shard.room(&all, false).await?;
        let (packets, senders) = (&mut self.packets, &mut self.senders);
        let mut last: Option<(Option<Peer>, Arc<Source>)> = None;
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
                let sender = packet.sender;
                // Often the same one sends several in a row.
                let source = match &last {
                    Some((same, source)) if *same == sender => source,
                    _ => {
                        let source = find(shard, senders, sender);
                        appending.from(&source);
                        &last.insert((sender, source)).1
                    }
                };
                append_packet(receiver, appending, source, packet);
            });
        });
        // Fewer than asked for: no more were there.
        Some(got == packets.count())
    }
}

fn find(
    shard: &Rc<Shard>,
    senders: &mut HashMap<(u32, u32, Option<u32>), Arc<Source>>,
    sender: Option<Peer>,
) -> Arc<Source> {
    let key = sender.map_or((u32::MAX, u32::MAX, None), |peer| {
        (peer.uid, peer.gid, peer.pid)
    });
    if let Some(source) = senders.get(&key) {
        return source.clone();
    }
    if senders.len() >= SENDERS {
        senders.clear();
    }
    let receiver = shard.receiver();
    let id = receiver.next_id.fetch_add(1, Ordering::Relaxed);
    if sender.is_some() {
        receiver.counters.producers.fetch_add(1, Ordering::Relaxed);
    }
    let peer = Record::of(sender.map_or(Known::Unsupported, Known::Known));
    let source = Source::new(id, peer);
    senders.insert(key, source.clone());
    source
}
