//! How many handshakes of strangers a hub answers, and whose: no source uses up what there is for all.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Instant;

use dosp_proto::limit::TokenBucket;

/// Handshakes that the hub answers per second, each of some 200 µs: less than half of one core.
pub(super) const PER_SECOND: u32 = 2000;
/// So many of them are kept for sources that had few: it takes twenty that want all to keep another one out.
const KEPT: u32 = PER_SECOND / 2;
/// What a source gets per second where many want more than there is.
const PER_SECOND_OF_SOURCE: u32 = 100;
/// Sources share buckets, so that these take the same memory whatever happens: one for each value of a byte.
const NUM_BUCKETS: usize = 256;

/// Answers to strangers.
#[derive(Debug)]
pub(super) struct Handshakes {
    all: TokenBucket,
    of_sources: Vec<TokenBucket>,
    /// Which bucket is whose is for nobody to know, or one could choose addresses that share another's.
    hasher: RandomState,
}

impl Handshakes {
    pub(super) fn new() -> Self {
        let of_source = TokenBucket::new(PER_SECOND_OF_SOURCE, PER_SECOND_OF_SOURCE);
        Self {
            all: TokenBucket::new(PER_SECOND, PER_SECOND),
            of_sources: vec![of_source; NUM_BUCKETS],
            hasher: RandomState::new(),
        }
    }

    /// Whether one more of `source` is answered now. While there is enough each gets what it wants: all
    /// agents of an office behind one address come back at once.
    pub(super) fn may_answer(&mut self, source: IpAddr, now: Instant) -> bool {
        if self.all.take_beyond(KEPT, now) {
            return true;
        }
        let [at, ..] = self.hasher.hash_one(source).to_le_bytes();
        let of_source = self.of_sources.get_mut(usize::from(at));
        of_source.is_some_and(|bucket| bucket.take(now)) && self.all.take(now)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;
    use std::time::Duration;

    use super::*;

    /// Those of 10 s, and what there was in the beginning.
    const IN_10_S: RangeInclusive<usize> = 20_000..=22_000;

    fn source(x: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, x])
    }

    /// How many each of `sources` gets within 10 s, where each wants `wanted` every 10 ms, in turn.
    fn answered<const N: usize>(sources: [(IpAddr, u32); N]) -> [usize; N] {
        let (mut handshakes, start) = (Handshakes::new(), Instant::now());
        let mut answered = [0; N];
        for tick in 0..1000 {
            let now = start + Duration::from_millis(10 * tick);
            for (count, (source, wanted)) in answered.iter_mut().zip(sources) {
                *count += (0..wanted).filter(|_| handshakes.may_answer(source, now)).count();
            }
        }
        answered
    }

    #[test]
    fn source_that_is_alone_gets_nearly_all() {
        let [alone] = answered([(source(1), 50)]);
        assert!(IN_10_S.contains(&alone), "{alone}");
    }

    #[test]
    fn flood_of_one_source_keeps_no_other_one_out() {
        // As chance would have it they may share a bucket, once in 256 times: then one of the others does not.
        let best = (2..6).map(|x| answered([(source(1), 1000), (source(x), 1)])[1]).max();
        assert_eq!(best, Some(1000), "all that it wanted");
    }

    #[test]
    fn sources_that_all_want_more_than_there_is_get_no_more_than_that() {
        let sources: [_; 200] = std::array::from_fn(|i| (source(i.try_into().unwrap()), 50));
        let all: usize = answered(sources).into_iter().sum();
        assert!(IN_10_S.contains(&all), "{all}");
    }
}
