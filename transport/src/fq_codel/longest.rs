//! Which of several has the most bytes, known only while a queue is full.
//!
//! A heap with an entry for each that is never too small: growing adds an entry, shrinking leaves
//! the old one, and what comes out on top is compared with the truth.

use std::collections::BinaryHeap;

use super::table::Slot;

/// So many entries more than twice the candidates, and the heap is built anew.
const SLACK: usize = 64;

/// The candidates; none while the queue was not full.
#[derive(Debug)]
pub(super) struct Longest {
    heap: BinaryHeap<(usize, Slot)>,
}

impl Longest {
    pub(super) const NONE: Self = Self { heap: BinaryHeap::new() };

    pub(super) fn is_known(&self) -> bool {
        !self.heap.is_empty()
    }

    /// One has grown to `len` bytes.
    pub(super) fn note_growth(&mut self, slot: Slot, len: usize) {
        if !self.heap.is_empty() {
            self.heap.push((len, slot));
        }
    }

    /// The longest of `all`, of which there are `num`; `len_of` says how long one is now.
    pub(super) fn find(
        &mut self,
        num: usize,
        all: impl Iterator<Item = (usize, Slot)>,
        len_of: impl Fn(Slot) -> usize,
    ) -> Option<Slot> {
        if self.heap.is_empty() || self.heap.len() > 2 * num + SLACK {
            self.heap.clear();
            self.heap.extend(all);
        }
        loop {
            let (len, slot) = *self.heap.peek()?;
            let true_len = len_of(slot);
            if true_len == len && len > 0 {
                return Some(slot);
            }
            self.heap.pop();
            if true_len > 0 {
                self.heap.push((true_len, slot));
            }
        }
    }

    /// The queue is no longer full. The memory stays, for it will be full again in a moment.
    pub(super) fn forget(&mut self) {
        self.heap.clear();
    }
}
