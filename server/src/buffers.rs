//! Buffers that sessions borrow while they are busy, so that an idle session owns none.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What one turn of a reader reads at most, and what a queue starts with.
pub(crate) const BUFFER_LEN: usize = 64 * 1024;
/// A buffer that grew beyond this goes back to the allocator.
const MAX_KEPT_LEN: usize = 8 * BUFFER_LEN;
/// Enough for every busy core to have a few; with grown ones 16 MiB at most.
const MAX_KEPT: usize = 32;

/// A few spare buffers.
#[derive(Debug)]
pub(crate) struct BufferPool {
    spare: Mutex<Vec<Vec<u8>>>,
    make: fn() -> Vec<u8>,
}

impl BufferPool {
    /// Buffers to read into: their length is the room.
    pub(crate) fn for_reading() -> Self {
        Self { spare: Mutex::default(), make: || vec![0; BUFFER_LEN] }
    }

    /// Buffers to append to: their capacity is the room.
    pub(crate) fn for_writing() -> Self {
        Self { spare: Mutex::default(), make: || Vec::with_capacity(BUFFER_LEN) }
    }

    /// A spare buffer or a new one.
    pub(crate) fn take(&self) -> Vec<u8> {
        let spare = self.lock().pop();
        spare.unwrap_or_else(self.make)
    }

    /// Gives a buffer back.
    pub(crate) fn put(&self, buffer: Vec<u8>) {
        if !(BUFFER_LEN..=MAX_KEPT_LEN).contains(&buffer.capacity()) {
            return;
        }
        let mut spare = self.lock();
        if spare.len() < MAX_KEPT {
            spare.push(buffer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(pool.lock().len(), 0);
        for _ in 0..2 * MAX_KEPT {
            pool.put(Vec::with_capacity(BUFFER_LEN));
        }
        assert_eq!(pool.lock().len(), MAX_KEPT);
    }
}
