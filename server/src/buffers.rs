//! Buffers that sessions borrow while they are busy, so that an idle session owns none.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What one turn of a reader reads at most, and what a queue starts with.
pub(crate) const BUFFER_LEN: usize = 64 * 1024;
/// A buffer that grew beyond this goes back to the allocator.
const MAX_KEPT_LEN: usize = 8 * BUFFER_LEN;
/// Enough for every busy core to have a few; with grown ones 16 MiB at most.
const MAX_KEPT: usize = 32;
/// Buffers that nobody needed for so long go back to the allocator: those of a burst that is over.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// A few spare buffers.
#[derive(Debug)]
pub(crate) struct BufferPool {
    spare: Mutex<Spare>,
    make: fn() -> Vec<u8>,
}

#[derive(Debug)]
struct Spare {
    /// What came back last is taken first: it is warm, and at the beginning are those that rest.
    buffers: Vec<Vec<u8>>,
    /// The fewest that there were since `trimmed_at`: so many nobody needed.
    least: usize,
    trimmed_at: Instant,
}

impl BufferPool {
    /// Buffers to read into: their length is the room.
    pub(crate) fn for_reading() -> Self {
        Self::new(|| vec![0; BUFFER_LEN])
    }

    /// Buffers to append to: their capacity is the room.
    pub(crate) fn for_writing() -> Self {
        Self::new(|| Vec::with_capacity(BUFFER_LEN))
    }

    fn new(make: fn() -> Vec<u8>) -> Self {
        let spare = Spare { buffers: Vec::new(), least: 0, trimmed_at: Instant::now() };
        Self { spare: Mutex::new(spare), make }
    }

    /// A spare buffer or a new one.
    pub(crate) fn take(&self) -> Vec<u8> {
        let spare = self.lock().take();
        spare.unwrap_or_else(self.make)
    }

    /// Gives a buffer back.
    pub(crate) fn put(&self, buffer: Vec<u8>) {
        if (BUFFER_LEN..=MAX_KEPT_LEN).contains(&buffer.capacity()) {
            let unneeded = self.lock().put(buffer, Instant::now());
            // Without the lock: the allocator may give it back to the system.
            drop(unneeded);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spare {
    fn take(&mut self) -> Option<Vec<u8>> {
        let buffer = self.buffers.pop();
        self.least = self.least.min(self.buffers.len());
        buffer
    }

    /// Returns what is to be freed.
    fn put(&mut self, buffer: Vec<u8>, now: Instant) -> Vec<Vec<u8>> {
        if self.buffers.len() == MAX_KEPT {
            return vec![buffer];
        }
        self.buffers.push(buffer);
        if now.saturating_duration_since(self.trimmed_at) < KEPT_FOR {
            return Vec::new();
        }
        self.trimmed_at = now;
        let rest = self.buffers.split_off(self.least);
        self.least = rest.len();
        mem::replace(&mut self.buffers, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_with_their_room() {
        let pool = BufferPool::for_reading();
        pool.put(pool.take());
        assert_eq!(pool.take().len(), BUFFER_LEN);
    }

    #[test]
    fn only_useful_buffers_are_kept() {
        let pool = BufferPool::for_writing();
        pool.put(Vec::new());
        pool.put(Vec::with_capacity(MAX_KEPT_LEN + 1));
        assert_eq!(pool.lock().buffers.len(), 0);
        for _ in 0..2 * MAX_KEPT {
            pool.put(Vec::with_capacity(BUFFER_LEN));
        }
        assert_eq!(pool.lock().buffers.len(), MAX_KEPT);
    }
    #[test]
    fn those_of_a_burst_go_when_nobody_needs_them() {
        let start = Instant::now();
        let mut spare = Spare { buffers: Vec::new(), least: 0, trimmed_at: start };
        for _ in 0..8 {
            assert_eq!(spare.put(Vec::new(), start), Vec::<Vec<u8>>::new());
        }
        let mut freed = Vec::new();
        for second in 1..=25 {
            let taken = [spare.take().unwrap(), spare.take().unwrap()];
            let now = start + Duration::from_secs(second);
            freed.push(taken.into_iter().map(|buffer| spare.put(buffer, now).len()).sum::<usize>());
        }
        let mut wanted = [0; 25];
        // In the first 10 s they had come; in the next, two of eight were enough.
        wanted[19] = 6;
        assert_eq!(freed, wanted);
    }
}
