//! Which numbered frames were seen: the sliding window of RFC 6479, so that frames may come in any
//! order and none counts twice.

/// How far behind the highest number a frame may come.
const WINDOW_LEN: u64 = 65_536;
const BLOCK_BITS: u64 = u64::BITS as u64;
/// One block more than the window: the block that the window's end falls into is still whole.
const NUM_BLOCKS: u64 = WINDOW_LEN / BLOCK_BITS + 1;

/// Why a number does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stale {
    /// It is further behind than the window reaches.
    TooOld,
    /// It was seen.
    Repeated,
}

/// The numbers that were seen; 8 KiB.
#[derive(Debug, Clone)]
pub(crate) struct ReplayWindow {
    blocks: Box<[u64]>,
    /// One more than the highest number seen.
    next: u64,
}

impl ReplayWindow {
    pub(crate) fn new() -> Self {
        Self { blocks: (0..NUM_BLOCKS).map(|_| 0).collect(), next: 0 }
    }

    /// Whether `number` would count; changes nothing, for frames that have not verified yet.
    pub(crate) fn check(&self, number: u64) -> Result<(), Stale> {
        if number >= self.next {
            return Ok(());
        }
        if self.next - number > WINDOW_LEN {
            return Err(Stale::TooOld);
        }
        let (block, mask) = place(number);
        match self.blocks.get(block) {
            Some(bits) if bits & mask == 0 => Ok(()),
            _ => Err(Stale::Repeated),
        }
    }

    /// Marks `number`, which passed [`Self::check`] and whose frame verified.
    pub(crate) fn mark(&mut self, number: u64) {
        if number >= self.next {
            let first_new = self.next.div_ceil(BLOCK_BITS);
            let last_new = number / BLOCK_BITS;
            // What the window slides over was not seen; a long jump empties it all.
            for block in first_new.max(last_new.saturating_sub(NUM_BLOCKS - 1))..=last_new {
                let (at, _) = place(block * BLOCK_BITS);
                if let Some(bits) = self.blocks.get_mut(at) {
                    *bits = 0;
                }
            }
            self.next = number + 1;
        }
        let (block, mask) = place(number);
        if let Some(bits) = self.blocks.get_mut(block) {
            *bits |= mask;
        }
    }
}

/// The block of a number, and its bit there.
fn place(number: u64) -> (usize, u64) {
    // Below NUM_BLOCKS, so it fits.
    let block = usize::try_from(number / BLOCK_BITS % NUM_BLOCKS).unwrap_or_default();
    (block, 1 << (number % BLOCK_BITS))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The slow obvious model.
    #[derive(Default)]
    struct Model {
        seen: BTreeSet<u64>,
    }

    impl Model {
        fn take(&mut self, number: u64) -> Result<(), Stale> {
            let next = self.seen.last().map_or(0, |last| last + 1);
            if number + WINDOW_LEN < next {
                return Err(Stale::TooOld);
            }
            if self.seen.insert(number) { Ok(()) } else { Err(Stale::Repeated) }
        }
    }

    fn take(window: &mut ReplayWindow, number: u64) -> Result<(), Stale> {
        window.check(number)?;
        window.mark(number);
        Ok(())
    }

    #[test]
    fn edges_of_the_window() {
        let mut window = ReplayWindow::new();
        assert_eq!(take(&mut window, 0), Ok(()));
        assert_eq!(take(&mut window, WINDOW_LEN), Ok(()));
        assert_eq!(take(&mut window, 0), Err(Stale::TooOld));
        assert_eq!(take(&mut window, 1), Ok(()));
        assert_eq!(take(&mut window, 1), Err(Stale::Repeated));
        let far = (1 << 63) + 5;
        assert_eq!(take(&mut window, far), Ok(()));
        assert_eq!(take(&mut window, far), Err(Stale::Repeated));
        assert_eq!(take(&mut window, far - WINDOW_LEN), Err(Stale::TooOld));
        assert_eq!(take(&mut window, far - WINDOW_LEN + 1), Ok(()));
    }

    #[test]
    fn checking_alone_changes_nothing() {
        let mut window = ReplayWindow::new();
        window.check(1 << 63).unwrap();
        assert_eq!(take(&mut window, 0), Ok(()));
    }

    proptest! {
        #[test]
        fn window_is_like_the_model(
            steps in prop::collection::vec((any::<bool>(), 0u64..140_000), 1..400)
        ) {
            let (mut window, mut model, mut highest) = (ReplayWindow::new(), Model::default(), 0u64);
            for (ahead, distance) in steps {
                let number = match ahead {
                    true => highest + distance % 300 * (distance % 500),
                    false => highest.saturating_sub(distance),
                };
                highest = highest.max(number);
                prop_assert_eq!(take(&mut window, number), model.take(number));
            }
        }
    }
}
