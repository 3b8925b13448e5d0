//! An [`OutQueue`] shared by the readers that fill it and the writer that empties it.

use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use dosp_transport::governor::{Change, Governor, Report};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Class, Drops, Limits, MAX_BATCH_LEN, OutQueue, Parts, Patience, PushError};
use crate::buffers::BufferPool;
use crate::hub::exit_frame;

/// EXIT of a destination that others cannot wait for any longer.
const EXIT_TOO_SLOW: &str = "too slow for what is sent to it";

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
    /// Looks after the connection; what it knows of the path is what the queue goes by.
    governor: Mutex<Governor>,
    /// None while nobody has waited.
    patience: Mutex<Option<Box<Patience>>>,
    is_cut: AtomicBool,
    buffers: Arc<BufferPool>,
    drops: Arc<DropCounters>,
}

/// How many frames of flows all queues of the hub have dropped, by reason.
#[derive(Debug, Default)]
pub(crate) struct DropCounters {
    delay: AtomicU64,
    overflow: AtomicU64,
}

impl DropCounters {
    #[inline]
    fn add(&self, drops: Drops) {
        if drops != Drops::default() {
            self.delay.fetch_add(drops.delay, Ordering::Relaxed);
            self.overflow.fetch_add(drops.overflow, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> Drops {
        Drops {
            delay: self.delay.load(Ordering::Relaxed),
            overflow: self.overflow.load(Ordering::Relaxed),
        }
    }
}

impl Outbox {
    pub(crate) fn new(
        limits: Limits,
        governor: Governor,
        buffers: Arc<BufferPool>,
        drops: Arc<DropCounters>,
    ) -> Self {
        Self {
            queue: Mutex::new(OutQueue::new(limits)),
            drops,
            filled: Notify::new(),
            emptied: Notify::new(),
            finished: Notify::new(),
            governor: Mutex::new(governor),
            patience: Mutex::default(),
            is_cut: AtomicBool::new(false),
            buffers,
        }
    }

    /// Queues one whole frame if there is room.
    #[inline]
    pub(crate) fn try_push(
        &self,
        frame: Parts<'_>,
        class: Class,
        now: Instant,
    ) -> Result<(), PushError> {
        self.push_by(|queue| queue.push(frame, class, now))
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
        let drops = queue.take_drops();
        drop(queue);
        self.drops.add(drops);
        self.wake_writer(was_empty);
        Ok(())
    }

    /// Queues one whole frame, which is kept, as soon as there is room. Cuts a destination that makes
    /// its senders wait too long.
    pub(crate) async fn push(&self, frame: Parts<'_>) -> Result<(), Closed> {
        let mut wait = None;
        loop {
            // Made before the attempt, so that room made in between is not missed.
            let emptied = self.emptied.notified();
            match self.try_push(frame, Class::Kept, Instant::now()) {
                Ok(()) => return Ok(()),
                Err(PushError::Closed) => return Err(Closed),
                Err(PushError::Full) => {
                    let wait = wait.get_or_insert_with(|| Wait::begin(self));
                    // In a box, so that a reader that never waits has no room for it.
                    Box::pin(wait.until(emptied)).await;
                }
            }
        }
    }

    /// Returns once whoever asks for something and has to read the answer need not wait: nobody else
    /// waits with it.
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
        self.lock().finish(last_words, num_frames);
        self.filled.notify_one();
        self.emptied.notify_waiters();
        self.finished.notify_one();
    }

    /// Ends it because others cannot wait for it any longer.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
        self.finish(&exit_frame(EXIT_TOO_SLOW), 1);
    }

    /// Whether [`Self::cut`] has been called.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
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
        let Some(taken) = queue.take(spent, Instant::now()) else {
            let idle = queue.release();
            drop(queue);
            self.buffers.put(idle.unwrap_or_default());
            return (None, is_open);
        };
        let drops = queue.take_drops();
        drop(queue);
        self.drops.add(drops);
        if taken.wake_senders {
            self.emptied.notify_waiters();
        }
        (Some(taken.num_frames), is_open)
    }

    /// Follows the path of the connection, when that is due: how much waits where nothing can be
    /// dropped, and how long elsewhere.
    pub(crate) fn govern(&self, socket: &impl AsFd) -> Option<Change> {
        let change = self.governor().tick(socket, Instant::now())?;
        if let Some(bounds) = change.bounds {
            self.lock().set_pace(bounds.chunk_len().unwrap_or(MAX_BATCH_LEN), bounds.law);
        }
        Some(change)
    }

    /// How the connection fared lately.
    pub(crate) fn path(&self) -> Report {
        self.governor().report()
    }

    fn governor(&self) -> MutexGuard<'_, Governor> {
        self.governor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that wait for the writer.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
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

/// One sender that waits for room; to be dropped when it does so no more.
struct Wait<'a> {
    outbox: &'a Outbox,
}

impl<'a> Wait<'a> {
    fn begin(outbox: &'a Outbox) -> Self {
        let wait = Self { outbox };
        wait.patience(|patience| patience.begin(Instant::now()));
        wait
    }

    /// Returns when there may be room, or the destination is cut.
    async fn until(&self, emptied: impl Future<Output = ()>) {
        let mut emptied = pin!(emptied);
        loop {
            let now = Instant::now();
            let due_at = self.patience(|patience| patience.poll_timeout()).unwrap_or(now);
            if timeout(due_at.saturating_duration_since(now), &mut emptied).await.is_ok() {
                return;
            }
            let taken_len = self.outbox.path().acked_len;
            if self.patience(|patience| patience.handle_timeout(taken_len, Instant::now())) {
                return self.outbox.cut();
            }
        }
    }

    fn patience<R>(&self, ask: impl FnOnce(&mut Patience) -> R) -> R {
        let mut patience = self.outbox.patience.lock().unwrap_or_else(PoisonError::into_inner);
        ask(patience.get_or_insert_default())
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.patience(|patience| patience.end(Instant::now()));
    }
}
