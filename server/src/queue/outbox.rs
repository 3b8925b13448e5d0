//! An [`OutQueue`] shared by the readers that fill it and the writer that empties it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{OutQueue, Parts, PushError};
use crate::buffers::BufferPool;

/// The session is ending or gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session is ending")]
pub(crate) struct Closed;

/// What the writer writes next.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) num_frames: u64,
}

/// The way to one session.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<OutQueue>,
    /// For the writer: there is something to write, or never will be again.
    filled: Notify,
    /// For senders: there is room, or never will be again.
    emptied: Notify,
    /// For the session: the hub has said its last words.
    finished: Notify,
    buffers: Arc<BufferPool>,
}

impl Outbox {
    pub(crate) fn new(max_len: usize, buffers: Arc<BufferPool>) -> Self {
        Self {
            queue: Mutex::new(OutQueue::new(max_len)),
            filled: Notify::new(),
            emptied: Notify::new(),
            finished: Notify::new(),
            buffers,
        }
    }

    /// Queues one whole frame if there is room.
    #[inline]
    pub(crate) fn try_push(&self, frame: Parts<'_>) -> Result<(), PushError> {
        self.push_by(|queue| queue.push(frame))
    }

    /// As above, also beyond the limit of a queue, as long as `max_len` bytes are not in it.
    pub(crate) fn push_within(&self, frame: Parts<'_>, max_len: usize) -> Result<(), PushError> {
        self.push_by(|queue| queue.push_within(frame, max_len))
    }

    #[inline]
    fn push_by(
        &self,
        push: impl FnOnce(&mut OutQueue) -> Result<bool, PushError>,
    ) -> Result<(), PushError> {
        let mut queue = self.lock();
        self.equip(&mut queue);
        let was_empty = push(&mut queue)?;
        drop(queue);
        self.wake_writer(was_empty);
        Ok(())
    }

    /// Queues one whole frame as soon as there is room.
    pub(crate) async fn push(&self, frame: Parts<'_>) -> Result<(), Closed> {
        loop {
            // Made before the attempt, so that room made in between is not missed.
            let emptied = self.emptied.notified();
            match self.try_push(frame) {
                Ok(()) => return Ok(()),
                Err(PushError::Closed) => return Err(Closed),
                Err(PushError::Full) => emptied.await,
            }
        }
    }

    /// Returns once a sender need not wait.
    pub(crate) async fn wait_for_room(&self) {
        loop {
            let emptied = self.emptied.notified();
            if !self.wants_room() {
                return;
            }
            emptied.await;
        }
    }

    /// Queues the hub's own frames, room or not, and calls `on_queued` before any other frame can
    /// follow them. An ending session gets nothing, but the call is made.
    pub(crate) fn reply(&self, frames: &[u8], num_frames: u64, on_queued: impl FnOnce()) {
        let mut queue = self.lock();
        self.equip(&mut queue);
        let was_empty = queue.push_over_limit(frames, num_frames).unwrap_or(false);
        on_queued();
        drop(queue);
        self.wake_writer(was_empty);
    }

    /// Queues `last_words` and lets the writer end when all is written.
    pub(crate) fn finish(&self, last_words: &[u8], num_frames: u64) {
        {
            let mut queue = self.lock();
            // A queue that is closed already has had its last words.
            if queue.is_open() {
                queue.push_over_limit(last_words, num_frames).unwrap_or(false);
            }
            queue.finish();
        }
        self.filled.notify_one();
        self.emptied.notify_waiters();
        self.finished.notify_one();
    }

    /// Returns when [`Self::finish`] has been called.
    pub(crate) async fn finished(&self) {
        self.finished.notified().await;
    }

    /// Forgets what is queued and lets writer and senders go.
    pub(crate) fn close(&self) {
        self.lock().close();
        self.filled.notify_one();
        self.emptied.notify_waiters();
    }

    /// What to write next, in exchange for the buffer of the batch before; `None` at the end.
    pub(crate) async fn next_batch(&self, mut spent: Vec<u8>) -> Option<Batch> {
        loop {
            let (taken, is_open) = self.take(&mut spent);
            if let Some(num_frames) = taken {
                return Some(Batch { bytes: spent, num_frames });
            }
            self.buffers.put(std::mem::take(&mut spent));
            if !is_open {
                return None;
            }
            self.filled.notified().await;
        }
    }

    fn take(&self, spent: &mut Vec<u8>) -> (Option<u64>, bool) {
        let mut queue = self.lock();
        let is_open = queue.is_open();
        let Some(taken) = queue.take(spent) else {
            let idle = queue.release();
            drop(queue);
            self.buffers.put(idle.unwrap_or_default());
            return (None, is_open);
        };
        drop(queue);
        if taken.wake_senders {
            self.emptied.notify_waiters();
        }
        (Some(taken.num_frames), is_open)
    }

    /// Whether waiting for room is of no use now.
    pub(crate) fn is_stuck(&self) -> bool {
        self.lock().is_stuck()
    }

    /// Says that somebody has waited for room in vain.
    pub(crate) fn set_stuck(&self) {
        self.lock().set_stuck();
    }

    /// Whether the hub may queue something that nobody asked for.
    pub(crate) fn has_room(&self) -> bool {
        let queue = self.lock();
        queue.is_open() && !queue.is_full()
    }

    fn wants_room(&self) -> bool {
        let mut queue = self.lock();
        let must_wait = queue.is_full() && queue.is_open();
        if must_wait {
            queue.want_wake();
        }
        must_wait
    }

    fn equip(&self, queue: &mut OutQueue) {
        if queue.needs_buffer() && queue.is_open() {
            queue.provide(self.buffers.take());
        }
    }

    fn wake_writer(&self, was_empty: bool) {
        if was_empty {
            self.filled.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, OutQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
