//! What a queue counts.

use std::ops::AddAssign;

/// Why an item will not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// It waited too long, in a flow that has waited too long for a while: CoDel's word to its
    /// sender.
    Delay,
    /// The queue was full, and it was the oldest item of the longest flow of the host with the
    /// most bytes; or it is longer than the whole queue may be.
    Overflow,
}

/// Items, and the bytes that they counted as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub items: u64,
    /// How long together.
    pub bytes: u64,
}

impl Amount {
    pub(super) const fn one(len: usize) -> Self {
        Self { items: 1, bytes: len as u64 }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.items += other.items;
        self.bytes += other.bytes;
    }
}

/// What has passed a queue since it began: `pushed` is `popped`, what was dropped, and what waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// What came.
    pub pushed: Amount,
    /// What was sent, or drained.
    pub popped: Amount,
    /// Dropped as [`Dropped::Delay`].
    pub delay: Amount,
    /// Dropped as [`Dropped::Overflow`].
    pub overflow: Amount,
}
