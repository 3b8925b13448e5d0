//! The checksum of IPv4, TCP and UDP: RFC 1071.

/// A ones' complement sum that is not folded yet.
///
/// Words are added as the host has them: the sum is the same in any byte order (RFC 1071, section
/// 2 B), and 32 bits at a time into 64, so that no carry is to be looked after and the compiler can
/// add several at once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds `bytes`. Only the last ones of all may be odd in number, and 16 GiB are too many.
    pub(crate) fn add(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        if let Some(place) = last.get_mut(..rest.len()) {
            place.copy_from_slice(rest);
        }
        let halves = |word: &[u8; 8]| {
            let word = u64::from_ne_bytes(*word);
            (word & 0xFFFF_FFFF) + (word >> 32)
        };
        let sum: u64 = words.iter().map(halves).sum();
        Self(self.0 + sum + halves(&last))
    }

    /// The sum as its two bytes stand in a packet; its complement is the checksum.
    pub(crate) fn folded(self) -> [u8; 2] {
        // 64 bits become 33, 18, 17 and 16: each fold adds what is above to what is below.
        let sum = (self.0 & 0xFFFF_FFFF) + (self.0 >> 32);
        let sum = (sum & 0xFFFF) + (sum >> 16 & 0xFFFF) + (sum >> 32);
        let sum = (sum & 0xFFFF) + (sum >> 16);
        let [low, high, ..] = ((sum & 0xFFFF) + (sum >> 16)).to_le_bytes();
        u16::from_le_bytes([low, high]).to_ne_bytes()
    }

    /// The checksum as its two bytes stand in a packet.
    pub(crate) fn checksum(self) -> [u8; 2] {
        self.folded().map(|byte| !byte)
    }

    /// Whether what was added has its own right checksum in it.
    pub(crate) fn is_right(self) -> bool {
        self.folded() == [0xFF; 2]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Section 1 of RFC 1071, a word at a time.
    fn slow(bytes: &[u8]) -> [u8; 2] {
        let mut sum = 0u32;
        for word in bytes.chunks(2) {
            sum += u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low));
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        u16::try_from(sum).unwrap().to_be_bytes()
    }

    #[test]
    fn example_of_the_rfc_gives_its_sum() {
        let sum = Sum::default().add(&[0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7]);
        assert_eq!((sum.folded(), sum.checksum()), ([0xDD, 0xF2], [0x22, 0x0D]));
    }

    #[test]
    fn largest_sum_is_folded() {
        let sum = Sum::default().add(&[0xFF; 65_536]);
        assert!(sum.is_right());
        assert!(Sum(u64::MAX).is_right());
    }

    proptest! {
        #[test]
        fn sum_is_that_of_a_word_at_a_time(bytes in prop::collection::vec(any::<u8>(), 0..3000), cut in any::<u16>()) {
            let (first, second) = bytes.split_at(usize::from(cut) % (bytes.len() + 1) / 2 * 2);
            prop_assert_eq!(Sum::default().add(first).add(second).folded(), slow(&bytes));
        }
    }
}
