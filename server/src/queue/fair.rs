//! Frames of flows that have to wait, each in a buffer of its own.

use std::time::Instant;

use dosp_transport::fq_codel::{Config, Dropped, FlowKey, FqCodel, Law};

use super::Parts;

/// Memory of the frames that wait, in bytes. Their delay is kept far below what this makes; it is
/// against senders that do not adapt.
const MAX_LEN: usize = 1024 * 1024;
/// Every buffer is as long as one of these, or as its frame where that is longer: from a packet of the
/// usual MTU up to the longest frame of a super-packet with its headers.
const BUFFER_LENS: [usize; 4] = [2 * 1024, 8 * 1024, 24 * 1024, 66 * 1024];
/// Memory for frames to come, in bytes: all that a writer can take at once is wanted again in a moment.
const MAX_SPARE_LEN: usize = MAX_LEN;

/// How many frames were dropped, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// They waited for too long.
    pub delay: u64,
    /// There was no room for them.
    pub overflow: u64,
}

impl Drops {
    /// Each reason by its name in status output.
    pub fn by_name(self) -> impl Iterator<Item = (String, u64)> {
        [("queue_delay", self.delay), ("queue_full", self.overflow)]
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
    }

    fn add(&mut self, why: Dropped) {
        match why {
            Dropped::Delay => self.delay += 1,
            Dropped::Overflow => self.overflow += 1,
        }
    }
}

/// The queues, which own no memory while nothing waits.
#[derive(Debug, Default)]
pub(super) struct Fair {
    queues: Option<Box<FqCodel<Vec<u8>>>>,
    spare: Spare,
    drops: Drops,
}

impl Fair {
    pub(super) fn is_empty(&self) -> bool {
        self.queues.as_ref().is_none_or(|queues| queues.is_empty())
    }

    /// Bytes of memory of what waits.
    pub(super) fn len(&self) -> usize {
        self.queues.as_ref().map_or(0, |queues| queues.len())
    }

    pub(super) fn num_frames(&self) -> u64 {
        self.queues.as_ref().map_or(0, |queues| queues.num_items() as u64)
    }

    pub(super) fn push(&mut self, key: FlowKey, [head, data]: Parts<'_>, law: Law, now: Instant) {
        let Self { queues, spare, drops } = self;
        let queues = queues.get_or_insert_with(|| {
            let config = Config { law, max_len: MAX_LEN, ..Config::default() };
            Box::new(FqCodel::new(config))
        });
        let mut frame = spare.take(head.len() + data.len());
        frame.extend_from_slice(head);
        frame.extend_from_slice(data);
        let cost = frame.capacity();
        queues.push(key, frame, cost, now, |frame, why| {
            drops.add(why);
            spare.put(frame);
        });
    }

    /// Appends frames to `batch` as they take turns, until that has grown by `len` bytes; returns how
    /// many.
    pub(super) fn take(&mut self, batch: &mut Vec<u8>, len: usize, now: Instant) -> u64 {
        let Self { queues, spare, drops } = self;
        let Some(queues) = queues else { return 0 };
        let (begin, mut taken) = (batch.len(), 0);
        while batch.len() - begin < len {
            let popped = queues.pop(now, |frame, why| {
                drops.add(why);
                spare.put(frame);
            });
            let Some(frame) = popped else { break };
            batch.extend_from_slice(&frame);
            taken += 1;
            spare.put(frame);
        }
        taken
    }

    pub(super) fn set_law(&mut self, law: Law) {
        if let Some(queues) = &mut self.queues {
            queues.set_law(law);
        }
    }

    /// Forgets what waits, and the memory.
    pub(super) fn clear(&mut self) {
        (self.queues, self.spare) = (None, Spare::default());
    }

    /// What was dropped since the last time.
    #[inline]
    pub(super) fn take_drops(&mut self) -> Drops {
        std::mem::take(&mut self.drops)
    }
}

/// Buffers of frames that are gone, for frames to come.
#[derive(Debug, Default)]
struct Spare {
    buffers: [Vec<Vec<u8>>; BUFFER_LENS.len()],
    len: usize,
}

impl Spare {
    fn take(&mut self, len: usize) -> Vec<u8> {
        let class = BUFFER_LENS.iter().position(|buffer_len| len <= *buffer_len);
        let Some(class) = class else { return Vec::with_capacity(len) };
        let (Some(buffers), Some(buffer_len)) =
            (self.buffers.get_mut(class), BUFFER_LENS.get(class))
        else {
            return Vec::new();
        };
        let Some(buffer) = buffers.pop() else { return Vec::with_capacity(*buffer_len) };
        self.len -= buffer.capacity();
        buffer
    }

    fn put(&mut self, mut buffer: Vec<u8>) {
        let class = BUFFER_LENS.iter().position(|len| buffer.capacity() == *len);
        let Some(buffers) = class.and_then(|class| self.buffers.get_mut(class)) else { return };
        if self.len + buffer.capacity() <= MAX_SPARE_LEN {
            self.len += buffer.capacity();
            buffer.clear();
            buffers.push(buffer);
        }
    }
}
