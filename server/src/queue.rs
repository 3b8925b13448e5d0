//! What waits to be written to one session.
//!
//! [`OutQueue`] is pure; `Outbox` is the shell around it that readers and the writer share.
//!
//! ```text
//!  kept frames ───────────────────────▶ straight ─┐ turns of 16 KiB
//!  frames of flows, while nothing waits ─▲        ├────────▶ batch
//!  frames of flows, else ─▶ fair queues (FQ-CoDel)┘
//! ```
//!
//! A frame that its sender says belongs to a flow may be dropped: where more comes than the session
//! takes, such frames wait in fair queues, by sender and flow, and those that wait too long go. All
//! others are kept: one lost frame ends a version 1 tunnel. Once their part has reached its limit, it
//! makes their senders wait instead. It takes a whole frame as long as it is below the limit, so it
//! holds at most the limit and one frame, and the writer holds as much again. The limit follows the
//! path. A destination for which others wait too long is cut: see [`Patience`].

mod fair;
mod outbox;
mod patience;
mod straight;

use std::time::Instant;

use dosp_transport::fq_codel::{FlowKey, Law};

pub use fair::Drops;
pub(crate) use outbox::{Batch, DropCounters, Outbox};
pub use patience::Patience;

use fair::Fair;
use straight::Straight;

/// What a writer takes at once at most: all that there usually is.
pub const MAX_BATCH_LEN: usize = 512 * 1024;
/// Frames of flows go straight on as long as so many bytes do, where the writer takes more than that.
const MAX_STRAIGHT_LEN: usize = 128 * 1024;
/// Bytes of one part that go into a batch before it is the other one's turn.
const QUANTUM_LEN: usize = 16 * 1024;
/// Bytes of kept frames that may wait for the slowest path: twenty packets, so that a burst of a few
/// senders makes nobody wait.
const MIN_KEPT_LEN: usize = 32 * 1024;

/// Why a frame did not get into a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The limit is reached: try again when the writer has taken what is queued.
    #[error("the queue is full")]
    Full,
    /// The session is ending or gone.
    #[error("the queue is closed")]
    Closed,
}

/// One whole frame, whose header may lie elsewhere than its data.
pub type Parts<'a> = [&'a [u8]; 2];

/// What may become of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It reaches the session, or its sender hears that it does not.
    Kept,
    /// It belongs to a flow of one that can miss it.
    Flow(FlowKey),
}

/// What the writer got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// How many frames.
    pub num_frames: u64,
    /// Whether senders found the queue full since the last time, and want to be woken.
    pub wake_senders: bool,
}

/// How much may wait, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of kept frames beyond which their senders wait, at most: fewer on a slow path.
    pub max_len: usize,
    /// Bytes that the writer takes at once, but for the last frame: what it has taken can neither be
    /// dropped nor overtaken.
    pub batch_len: usize,
    /// How long frames of flows may wait.
    pub law: Law,
}

/// Frames for one session, bounded in bytes.
#[derive(Debug)]
pub struct OutQueue {
    limits: Limits,
    /// Bytes of kept frames beyond which their senders wait now.
    max_kept_len: usize,
    /// Kept frames, and all others while nothing has to wait.
    straight: Straight,
    fair: Fair,
    /// Go out when everything else has gone.
    last_words: Vec<u8>,
    num_last_words: u64,
    wake_senders: bool,
    /// Somebody has waited in vain, and nothing was taken out since.
    is_stuck: bool,
    is_open: bool,
}

impl OutQueue {
    /// An open queue.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { max_len: limits.max_len.max(1), ..limits };
        Self {
            limits,
            max_kept_len: limits.max_len,
            straight: Straight::default(),
            fair: Fair::default(),
            last_words: Vec::new(),
            num_last_words: 0,
            wake_senders: false,
            is_stuck: false,
            is_open: true,
        }
    }

    /// Appends one whole frame. Returns whether the queue was empty, so that the writer must be
    /// woken.
    ///
    /// # Errors
    /// Where the queue is full or closed; the frame is not in it then. One of a flow always gets in.
    #[inline]
    pub fn push(
        &mut self,
        frame: Parts<'_>,
        class: Class,
        now: Instant,
    ) -> Result<bool, PushError> {
        match class {
            Class::Flow(key) if self.must_wait() && self.is_open => {
                self.fair.push(key, frame, self.limits.law, now);
                Ok(false)
            }
            Class::Kept if self.is_full() && self.is_open => {
                self.wake_senders = true;
                Err(PushError::Full)
            }
            Class::Flow(_) => {
                let was_empty = self.append(frame, 1)?;
                self.straight.note_flow();
                Ok(was_empty)
            }
            Class::Kept => self.append(frame, 1),
        }
    }

    /// Whether a frame of a flow has to wait for others.
    fn must_wait(&self) -> bool {
        let max_len = self.limits.batch_len.min(MAX_STRAIGHT_LEN);
        !self.fair.is_empty() || self.straight.len() >= max_len
    }

    /// Appends a kept frame, even to a full queue as long as it holds less than `max_len` bytes.
    ///
    /// # Errors
    /// As above.
    pub fn push_within(&mut self, frame: Parts<'_>, max_len: usize) -> Result<bool, PushError> {
        if self.straight.len() >= max_len && self.is_open {
            return Err(PushError::Full);
        }
        self.append(frame, 1)
    }

    /// Appends the hub's own frames even to a full queue. Whoever calls this waits for room before,
    /// and so does it once a turn at most.
    ///
    /// # Errors
    /// [`PushError::Closed`]
    pub fn push_over_limit(&mut self, frames: &[u8], num_frames: u64) -> Result<bool, PushError> {
        self.append([frames, &[]], num_frames)
    }

    #[inline]
    fn append(&mut self, frames: Parts<'_>, num_frames: u64) -> Result<bool, PushError> {
        if !self.is_open {
            return Err(PushError::Closed);
        }
        let was_empty = self.is_empty();
        self.straight.push(frames, num_frames);
        Ok(was_empty)
    }

    /// Whether a sender of kept frames must wait now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.straight.len() >= self.max_kept_len
    }

    /// Whether waiting for room is of no use until something is taken out.
    #[must_use]
    pub const fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Says that somebody has waited for room in vain.
    pub fn set_stuck(&mut self) {
        self.is_stuck = self.is_full();
    }

    /// Says that somebody waits for room.
    pub fn want_wake(&mut self) {
        self.wake_senders = true;
    }

    /// Puts what is to be written next into `batch`, whose memory the queue goes on with; `None` where
    /// nothing is queued.
    pub fn take(&mut self, batch: &mut Vec<u8>, now: Instant) -> Option<Taken> {
        if self.is_empty() {
            return None;
        }
        batch.clear();
        self.is_stuck = false;
        let mut num_frames = 0;
        if self.fair.is_empty() && self.straight.len() <= self.limits.batch_len {
            num_frames += self.straight.take_all(batch);
        }
        num_frames += self.straight.take_first(batch, self.straight.flows_len());
        while batch.len() < self.limits.batch_len && !self.has_taken_all() {
            num_frames += self.straight.take_first(batch, QUANTUM_LEN);
            num_frames += self.fair.take(batch, QUANTUM_LEN, now);
        }
        if self.has_taken_all() {
            batch.append(&mut self.last_words);
            num_frames += std::mem::take(&mut self.num_last_words);
        }
        Some(Taken { num_frames, wake_senders: std::mem::take(&mut self.wake_senders) })
    }

    /// Takes nothing more in; what is queued can still be taken out, and then the last words.
    pub fn finish(&mut self, last_words: &[u8], num_frames: u64) {
        // A queue that is closed already has had its last words.
        if std::mem::replace(&mut self.is_open, false) {
            self.last_words.extend_from_slice(last_words);
            self.num_last_words = num_frames;
        }
    }

    /// Takes nothing more in and forgets what is queued.
    pub fn close(&mut self) {
        self.is_open = false;
        self.straight = Straight::default();
        self.fair.clear();
        self.last_words = Vec::new();
        self.num_last_words = 0;
    }

    /// Changes how much the writer takes at once, and with that how many bytes of kept frames may wait;
    /// and how long frames of flows may.
    pub fn set_pace(&mut self, batch_len: usize, law: Law) {
        self.limits = Limits { batch_len, law, ..self.limits };
        // Twice, so that the writer finds the next batch when it has written one.
        self.max_kept_len = batch_len.saturating_mul(2).max(MIN_KEPT_LEN).min(self.limits.max_len);
        self.fair.set_law(law);
    }

    /// Whether frames are taken in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Bytes queued, of frames of flows the memory that they wait in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.straight.len() + self.fair.len() + self.last_words.len()
    }

    /// Frames queued.
    #[must_use]
    pub fn num_frames(&self) -> u64 {
        self.straight.num_frames() + self.fair.num_frames() + self.num_last_words
    }

    /// What was dropped since the last time.
    #[inline]
    pub fn take_drops(&mut self) -> Drops {
        self.fair.take_drops()
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.has_taken_all() && self.last_words.is_empty()
    }

    fn has_taken_all(&self) -> bool {
        self.straight.is_empty() && self.fair.is_empty()
    }

    /// Whether it owns no memory for frames and [`Self::provide`] would save an allocation.
    #[must_use]
    pub fn needs_buffer(&self) -> bool {
        self.straight.needs_buffer()
    }

    /// Gives it memory.
    pub fn provide(&mut self, buffer: Vec<u8>) {
        self.straight.provide(buffer);
    }

    /// Takes the memory of an empty queue away.
    pub fn release(&mut self) -> Option<Vec<u8>> {
        if self.fair.is_empty() {
            self.fair.clear();
        }
        self.straight.release()
    }
}

#[cfg(test)]
mod tests;
