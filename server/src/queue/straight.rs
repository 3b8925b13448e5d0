//! Frames back to back, first in, first out.

use dosp_proto::frame;

use super::Parts;

/// The frames, and how many.
#[derive(Debug, Default)]
pub(super) struct Straight {
    /// From `head` on.
    bytes: Vec<u8>,
    head: usize,
    num_frames: u64,
    /// Bytes up to the end of the last frame of a flow.
    flows_len: usize,
}

impl Straight {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.head
    }

    /// Bytes that go before whatever else of flows is queued, so that each flow stays in order.
    pub(super) fn flows_len(&self) -> usize {
        self.flows_len
    }

    /// Says that the last frame is one of a flow.
    #[inline]
    pub(super) fn note_flow(&mut self) {
        self.flows_len = self.len();
    }

    pub(super) fn num_frames(&self) -> u64 {
        self.num_frames
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(super) fn push(&mut self, [head, data]: Parts<'_>, num_frames: u64) {
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(data);
        self.num_frames += num_frames;
    }

    /// Swaps all frames into `batch`, which is empty, without a copy; returns how many there were.
    pub(super) fn take_all(&mut self, batch: &mut Vec<u8>) -> u64 {
        if self.head > 0 {
            return self.take_first(batch, usize::MAX);
        }
        self.flows_len = 0;
        std::mem::swap(&mut self.bytes, batch);
        std::mem::take(&mut self.num_frames)
    }

    /// Appends the first frames to `batch`, until that has grown by `len` bytes; returns how many.
    pub(super) fn take_first(&mut self, batch: &mut Vec<u8>, len: usize) -> u64 {
        if len == 0 {
            return 0;
        }
        let (begin, mut taken) = (self.head, 0);
        while self.head - begin < len
            && let Some((frame, _)) =
                self.bytes.get_mut(self.head..).and_then(|rest| frame::split_first(rest))
        {
            self.head += frame::HEADER_LEN + frame.body().len();
            taken += 1;
        }
        if taken == 0 {
            // Nothing but whole frames is put in; if it were, it must not stay here for ever.
            (self.head, taken) = (self.bytes.len(), self.num_frames);
        }
        self.flows_len = self.flows_len.saturating_sub(self.head - begin);
        batch.extend_from_slice(self.bytes.get(begin..self.head).unwrap_or_default());
        self.num_frames = self.num_frames.saturating_sub(taken);
        self.close_up();
        taken
    }

    /// Memory in front of the first frame is used again before it is as much as the frames'.
    fn close_up(&mut self) {
        if self.head >= self.len() {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
    }

    /// Whether it owns no memory.
    pub(super) fn needs_buffer(&self) -> bool {
        self.bytes.capacity() == 0
    }

    pub(super) fn provide(&mut self, mut buffer: Vec<u8>) {
        if self.needs_buffer() {
            buffer.clear();
            self.bytes = buffer;
        }
    }

    /// Takes the memory of an empty one away.
    pub(super) fn release(&mut self) -> Option<Vec<u8>> {
        let is_idle = self.is_empty() && !self.needs_buffer();
        is_idle.then(|| {
            self.head = 0;
            std::mem::take(&mut self.bytes)
        })
    }
}
