//! The same numbers for the same seed, always (SplitMix64).

pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.millis(end as u64)).unwrap()
    }

    pub(super) fn millis(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    pub(super) fn one_in(&mut self, end: usize) -> bool {
        self.below(end) == 0
    }
}
