//! Some messages that were received together, in one piece of memory.

use super::funnel::{Funnel, charge};
use super::source::Source;
use crate::socket::memfd::Mapped;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Among how many sources a message's is looked for, the last ones.
const RECENT: usize = 8;

/// One message of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub offset: usize,
    pub len: usize,
    /// Which of the batch's sources.
    source: u32,
    pub flags: u32,
    /// The message's number among its producer's, from 0; of an event its code.
    pub sequence: u64,
}

/// Messages, their bytes one after another, and who sent them.
#[derive(Default)]
pub struct Content {
    data: Vec<u8>,
    entries: Vec<Entry>,
    /// Those before were split off.
    first: usize,
    sources: Vec<Arc<Source>>,
    fds: Vec<(usize, Vec<OwnedFd>)>,
    /// Space for what each source gets back.
    costs: Vec<u64>,
    /// Where the bytes of its only message are, instead of in `data`.
    mapped: Option<Mapped>,
}

impl Content {
    /// One message that is mapped.
    pub fn of_mapped(source: &Arc<Source>, mapped: Mapped, flags: u32, sequence: u64) -> Content {
        let mut content = Content::of(source, Vec::new(), flags, sequence);
        content.entries[0].len = mapped.len();
        content.mapped = Some(mapped);
        content
    }

    fn bytes(&self, entry: &Entry) -> &[u8] {
        let all = self.mapped.as_deref().unwrap_or(&self.data);
        &all[entry.offset..entry.offset + entry.len]
    }

    /// One message that has memory of its own.
    pub fn of(source: &Arc<Source>, data: Vec<u8>, flags: u32, sequence: u64) -> Content {
        let entry = Entry {
            offset: 0,
            len: data.len(),
            source: 0,
            flags,
            sequence,
        };
        Content {
            data,
            entries: vec![entry],
            sources: vec![source.clone()],
            ..Content::default()
        }
    }

    pub fn push(&mut self, source: &Arc<Source>, data: &[u8], flags: u32, sequence: u64) {
        // Producers take turns: one of the last few, so that not each turn touches what all threads count in.
        let mut recent = self.sources.iter().rev().take(RECENT);
        let source = match recent.position(|other| Arc::ptr_eq(other, source)) {
            Some(back) => self.sources.len() - 1 - back,
            None => {
                self.sources.push(source.clone());
                self.sources.len() - 1
            }
        };
        self.entries.push(Entry {
            offset: self.data.len(),
            len: data.len(),
            source: source as u32,
            flags,
            sequence,
        });
        self.data.extend_from_slice(data);
    }

    /// Descriptors of the last message.
    pub fn attach(&mut self, fds: Vec<OwnedFd>) {
        if !fds.is_empty() {
            self.fds.push((self.entries.len() - 1, fds));
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len() - self.first
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages and their bytes, events aside.
    pub fn tally(&self) -> (u64, u64) {
        let entries = self.entries[self.first..].iter();
        let messages = entries.filter(|e| e.flags & super::EVENTS == 0);
        messages.fold((0, 0), |(n, bytes), e| (n + 1, bytes + e.len as u64))
    }

    pub fn has_room(&self, len: usize, most: usize) -> bool {
        self.mapped.is_none()
            && self.data.len() + len <= most
            && self.sources.len() < u32::MAX as usize
    }

    /// Whether most of its memory is unused: a holder would keep far more than it was charged for.
    pub fn is_spacious(&self) -> bool {
        self.data.capacity() > 4 * self.data.len() + 4096 || self.first > 0
    }

    pub fn is_standard(&self, size: usize) -> bool {
        self.data.capacity() <= 2 * size
    }

    /// Takes the first `count` messages out, in memory of their own size.
    pub fn split(&mut self, count: usize) -> Content {
        let range = self.first..self.first + count;
        let entries = &self.entries[range.clone()];
        let len = entries.iter().map(|entry| entry.len).sum();
        let mut content = Content {
            data: Vec::with_capacity(len),
            entries: Vec::with_capacity(count),
            ..Content::default()
        };
        for entry in entries {
            let source = &self.sources[entry.source as usize];
            content.push(source, self.bytes(entry), entry.flags, entry.sequence);
        }
        while self
            .fds
            .first()
            .is_some_and(|(index, _)| *index < range.end)
        {
            let (index, fds) = self.fds.remove(0);
            content.fds.push((index - range.start, fds));
        }
        self.first = range.end;
        content
    }

    /// Drops the first message, whatever events are before it; what it cost.
    pub fn drop_first(&mut self) -> Option<u64> {
        let left = &mut self.entries[self.first..];
        let index = left.iter().position(|e| e.flags & super::EVENTS == 0)?;
        left[..=index].rotate_right(1);
        let entry = left[0];
        let index = self.first + index;
        self.fds.retain(|(of, _)| *of != index);
        self.first += 1;
        let cost = charge(entry.len);
        self.sources[entry.source as usize].release(cost);
        Some(cost)
    }

    pub fn clear(&mut self) {
        self.data.clear();
        self.entries.clear();
        self.sources.clear();
        self.fds.clear();
        self.mapped = None;
        self.first = 0;
    }

    /// Gives every source its bytes back, once each; what they were in all.
    pub fn release(&mut self) -> u64 {
        let mut costs = std::mem::take(&mut self.costs);
        costs.clear();
        costs.resize(self.sources.len(), 0);
        for entry in &self.entries[self.first..] {
            costs[entry.source as usize] += charge(entry.len);
        }
        for (source, &cost) in self.sources.iter().zip(&costs) {
            if cost > 0 {
                source.release(cost);
            }
        }
        let total = costs.iter().sum();
        self.costs = costs;
        total
    }
}

/// Some messages; their bytes are given back to the receiver's budget when it is dropped.
pub struct Batch {
    content: Mutex<Content>,
    funnel: Arc<Funnel>,
}

impl Batch {
    pub(super) fn new(content: Content, funnel: Arc<Funnel>) -> Batch {
        Batch {
            content: Mutex::new(content),
            funnel,
        }
    }

    /// Runs `f` with each message: its place, its producer's number and its bytes, which stay where they
    /// are as long as the batch lives.
    pub fn each(&self, mut f: impl FnMut(&Entry, &Arc<Source>, &[u8])) {
        let content = self.content();
        for entry in &content.entries[content.first..] {
            let source = &content.sources[entry.source as usize];
            f(entry, source, content.bytes(entry));
        }
    }

    pub fn len(&self) -> usize {
        self.content().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The producer of message number `index`.
    pub fn source(&self, index: usize) -> Option<Arc<Source>> {
        let content = self.content();
        let entry = content.entries[content.first..].get(index)?;
        Some(content.sources[entry.source as usize].clone())
    }

    /// The next descriptor that came with message number `index`.
    pub fn take_fd(&self, index: usize) -> Option<OwnedFd> {
        let mut content = self.content();
        let at = content.first + index;
        let (_, fds) = content
            .fds
            .iter_mut()
            .find(|(of, fds)| *of == at && !fds.is_empty())?;
        Some(fds.remove(0))
    }

    fn content(&self) -> std::sync::MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let content = std::mem::take(
            self.content
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.funnel.give_back(content);
    }
}
