//! How many lines of a kind are written. Pure: the present is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use dosp_proto::limit::TokenBucket;

/// Of a kind, in the long run: a disk and a reader take that.
const LINES_PER_SECOND: u32 = 10;
/// And at once: enough that all of a small network is logged when it comes back after an outage.
const BURST: u32 = 100;

/// Counts lines by their kind. It grows with the number of kinds, which is that of places in the source.
#[derive(Debug)]
pub(super) struct Limiter<K> {
    kinds: HashMap<K, Kind>,
}

#[derive(Debug)]
struct Kind {
    bucket: TokenBucket,
    num_unlogged: u64,
}

impl<K> Default for Limiter<K> {
    fn default() -> Self {
        Self { kinds: HashMap::new() }
    }
}

impl<K: Eq + Hash> Limiter<K> {
    /// Whether a line of this kind is written now: `None` where it is not, else how many of them were
    /// not since the last one that was.
    pub(super) fn admit(&mut self, kind: K, now: Instant) -> Option<u64> {
        let new = || Kind { bucket: TokenBucket::new(LINES_PER_SECOND, BURST), num_unlogged: 0 };
        let kind = self.kinds.entry(kind).or_insert_with(new);
        if kind.bucket.take(now) {
            Some(std::mem::take(&mut kind.num_unlogged))
        } else {
            kind.num_unlogged += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_kind_has_its_own_limit_and_what_is_left_out_is_told() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        let written = (0..1000).filter(|_| limiter.admit("loud", start).is_some()).count();
        assert_eq!(written, BURST as usize);
        assert_eq!(limiter.admit("quiet", start), Some(0));
        let later = start + Duration::from_secs(1);
        assert_eq!(limiter.admit("loud", later), Some(900));
        assert_eq!(limiter.admit("loud", later), Some(0), "told once");
        let written = (0..1000).filter(|_| limiter.admit("loud", later).is_some()).count();
        assert_eq!(written, LINES_PER_SECOND as usize - 2);
    }
}
