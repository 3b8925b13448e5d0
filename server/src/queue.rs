//! What waits to be written to one session.
//!
//! [`OutQueue`] is pure; `Outbox` is the shell around it that readers and the writer share.
//!
//! Nothing is ever dropped from a queue of a connected session: one lost frame ends a version 1
//! tunnel. A queue that has reached its limit makes its senders wait instead. It takes a whole
//! frame as long as it is below the limit, so it holds at most the limit and one frame, and the
//! writer holds as much again.

mod outbox;

pub(crate) use outbox::{Batch, Outbox};

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

/// What the writer got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// How many frames.
    pub num_frames: u64,
    /// Whether senders found the queue full since the last time, and want to be woken.
    pub wake_senders: bool,
}

/// Frames for one session, back to back, bounded in bytes.
#[derive(Debug)]
pub struct OutQueue {
    pending: Vec<u8>,
    num_frames: u64,
    max_len: usize,
    wake_senders: bool,
    /// Somebody has waited in vain, and nothing was taken out since.
    is_stuck: bool,
    is_open: bool,
}

impl OutQueue {
    /// An open queue that refuses frames once `max_len` bytes are in it.
    #[must_use]
    pub fn new(max_len: usize) -> Self {
        Self {
            pending: Vec::new(),
            num_frames: 0,
            max_len: max_len.max(1),
            wake_senders: false,
            is_stuck: false,
            is_open: true,
        }
    }

    /// Appends one whole frame. Returns whether the queue was empty, so that the writer must be
    /// woken.
    ///
    /// # Errors
    /// Where the queue is full or closed; the frame is not in it then.
    #[inline]
    pub fn push(&mut self, frame: Parts<'_>) -> Result<bool, PushError> {
        if self.is_full() && self.is_open {
            self.wake_senders = true;
            return Err(PushError::Full);
        }
        self.append(frame)
    }

    /// As above, even to a full queue as long as it holds less than `max_len` bytes.
    ///
    /// # Errors
    /// As above.
    pub fn push_within(&mut self, frame: Parts<'_>, max_len: usize) -> Result<bool, PushError> {
        if self.pending.len() >= max_len && self.is_open {
            return Err(PushError::Full);
        }
        self.append(frame)
    }

    #[inline]
    fn append(&mut self, [head, data]: Parts<'_>) -> Result<bool, PushError> {
        let was_empty = self.push_over_limit(head, 1)?;
        self.pending.extend_from_slice(data);
        Ok(was_empty)
    }

    /// Appends the hub's own frames even to a full queue. Whoever calls this waits for room before,
    /// and so does it once a turn at most.
    ///
    /// # Errors
    /// [`PushError::Closed`]
    #[inline]
    pub fn push_over_limit(&mut self, frames: &[u8], num_frames: u64) -> Result<bool, PushError> {
        if !self.is_open {
            return Err(PushError::Closed);
        }
        let was_empty = self.pending.is_empty();
        self.pending.extend_from_slice(frames);
        self.num_frames += num_frames;
        Ok(was_empty)
    }

    /// Whether a sender must wait now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.pending.len() >= self.max_len
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

    /// Swaps everything queued into `spent`, whose memory the queue goes on with; `None` where
    /// nothing is queued.
    pub fn take(&mut self, spent: &mut Vec<u8>) -> Option<Taken> {
        if self.pending.is_empty() {
            return None;
        }
        spent.clear();
        self.is_stuck = false;
        std::mem::swap(&mut self.pending, spent);
        Some(Taken {
            num_frames: std::mem::take(&mut self.num_frames),
            wake_senders: std::mem::take(&mut self.wake_senders),
        })
    }

    /// Takes nothing more in; what is queued can still be taken out.
    pub fn finish(&mut self) {
        self.is_open = false;
    }

    /// Takes nothing more in and forgets what is queued.
    pub fn close(&mut self) {
        self.is_open = false;
        self.pending = Vec::new();
        self.num_frames = 0;
    }

    /// Whether frames are taken in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Bytes queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether it owns no memory for frames and [`Self::provide`] would save an allocation.
    #[must_use]
    pub fn needs_buffer(&self) -> bool {
        self.pending.capacity() == 0
    }

    /// Gives it memory.
    pub fn provide(&mut self, mut buffer: Vec<u8>) {
        if self.needs_buffer() {
            buffer.clear();
            self.pending = buffer;
        }
    }

    /// Takes the memory of an empty queue away.
    pub fn release(&mut self) -> Option<Vec<u8>> {
        let is_idle = self.is_empty() && !self.needs_buffer();
        is_idle.then(|| std::mem::take(&mut self.pending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_come_out_in_order_and_are_counted() {
        let mut queue = OutQueue::new(100);
        assert_eq!(queue.push([b"on", b"e"]), Ok(true));
        assert_eq!(queue.push([b"two", b""]), Ok(false));
        let mut batch = b"spent".to_vec();
        assert_eq!(queue.take(&mut batch), Some(Taken { num_frames: 2, wake_senders: false }));
        assert_eq!(batch, b"onetwo");
        assert_eq!(queue.take(&mut batch), None);
        assert_eq!(batch, b"onetwo", "nothing to take leaves the buffer alone");
    }

    #[test]
    fn queue_below_its_limit_takes_a_frame_of_any_length() {
        let mut queue = OutQueue::new(4);
        queue.push([b"on", b"e"]).unwrap();
        assert_eq!(queue.push([&[0; 1000], b""]), Ok(false));
        assert_eq!(queue.push([b"x", b""]), Err(PushError::Full));
        assert_eq!(queue.len(), 1003);
    }

    #[test]
    fn some_frames_may_go_beyond_the_limit_and_not_beyond_theirs() {
        let mut queue = OutQueue::new(1);
        queue.push([b"abc", b""]).unwrap();
        assert_eq!(queue.push_within([b"d", b"e"], 4), Ok(false));
        assert_eq!(queue.push_within([b"f", b""], 4), Err(PushError::Full));
        let mut batch = Vec::new();
        assert!(!queue.take(&mut batch).unwrap().wake_senders, "nobody waits");
        assert_eq!(batch, b"abcde");
    }

    #[test]
    fn queue_is_stuck_until_something_is_taken_out() {
        let mut queue = OutQueue::new(1);
        queue.set_stuck();
        assert!(!queue.is_stuck(), "there is room");
        queue.push([b"a", b""]).unwrap();
        queue.set_stuck();
        assert!(queue.is_stuck());
        queue.take(&mut Vec::new()).unwrap();
        assert!(!queue.is_stuck());
    }

    #[test]
    fn refused_sender_is_woken_once() {
        let mut queue = OutQueue::new(1);
        queue.push([b"a", b""]).unwrap();
        assert_eq!(queue.push([b"b", b""]), Err(PushError::Full));
        let mut batch = Vec::new();
        assert!(queue.take(&mut batch).unwrap().wake_senders);
        queue.push([b"b", b""]).unwrap();
        assert!(!queue.take(&mut batch).unwrap().wake_senders);
    }

    #[test]
    fn own_frames_pass_the_limit_but_not_the_end() {
        let mut queue = OutQueue::new(1);
        queue.push([b"a", b""]).unwrap();
        assert_eq!(queue.push_over_limit(b"bc", 2), Ok(false));
        queue.finish();
        assert_eq!(queue.push_over_limit(b"d", 1), Err(PushError::Closed));
        assert_eq!(queue.push([b"d", b""]), Err(PushError::Closed));
        let mut batch = Vec::new();
        assert_eq!(queue.take(&mut batch).unwrap().num_frames, 3);
        assert_eq!(batch, b"abc");
    }

    #[test]
    fn closed_queue_forgets() {
        let mut queue = OutQueue::new(10);
        queue.push([b"a", b""]).unwrap();
        queue.close();
        assert!(queue.is_empty() && !queue.is_open() && queue.needs_buffer());
        assert_eq!(queue.push([b"a", b""]), Err(PushError::Closed));
    }

    #[test]
    fn idle_queue_owns_no_memory() {
        let mut queue = OutQueue::new(10);
        queue.provide(Vec::with_capacity(64));
        queue.push([b"a", b""]).unwrap();
        assert!(queue.release().is_none());
        let mut batch = Vec::with_capacity(64);
        queue.take(&mut batch).unwrap();
        assert!(queue.release().is_some());
        assert!(queue.needs_buffer() && queue.release().is_none());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_doubled_or_reordered(
            steps in proptest::collection::vec(
                proptest::option::of(proptest::collection::vec(any::<u8>(), 1..20)), 0..100)
        ) {
            let mut queue = OutQueue::new(50);
            let (mut sent, mut received, mut batch) = (Vec::new(), Vec::new(), Vec::new());
            for step in steps.into_iter().chain([None]) {
                match step {
                    Some(frame) => if queue.push([&frame, b""]).is_ok() {
                        sent.extend_from_slice(&frame);
                    },
                    None => if queue.take(&mut batch).is_some() {
                        received.extend_from_slice(&batch);
                    },
                }
                prop_assert!(queue.len() < 50 + 20);
            }
            prop_assert_eq!(sent, received);
        }
    }
}
