//! How many bytes wait in the kernel, how fast it sends, and how long they may wait before it: by the
//! rate at which the path delivers. No I/O.

use std::time::{Duration, Instant};

use crate::congestion::{Algorithm, PathSample};
use crate::fq_codel::Law;

/// The most that waits unsent in the kernel, in bytes: two of the longest frames, so that a fast
/// connection never runs dry while its writer sleeps. Also while the rate is unknown.
pub const MAX_UNSENT_LIMIT: u32 = 128 * 1024;
/// The least, in bytes: some packets, or the writer would be woken for each of them.
const MIN_UNSENT_LIMIT: u32 = 8 * 1024;
/// What waits in the kernel is to be sent within this: a writer that sleeps is awake by then.
const UNSENT_TIME: Duration = Duration::from_millis(2);
/// What CoDel accepts at least (RFC 8289), and at most.
const MIN_TARGET: Duration = Duration::from_millis(5);
const MAX_TARGET: Duration = Duration::from_millis(100);
/// For how long BBR may keep things waiting: it sends next to nothing for 200 ms and a round trip every
/// 10 s, and flows that lose packets for that lose a third of their rate.
const BBR_INTERVAL: Duration = Duration::from_millis(400);
/// A change by so little is none: a quarter.
const TOLERANCE_DENOM: u128 = 4;
/// The kernel sends no faster than so much of the rate, in percent: as fast as BBR does where it looks
/// for more. Without that, buffers for the next millisecond would be those of a rate that the path
/// never had, since the window is seldom full and so grows far beyond it; and BBR would send at 2.9
/// times the rate for as long as there is now and then nothing to send, which is how its start ends.
const PACING_PERCENT: u64 = 125;
/// Below this, in bytes per second, nothing is held down: it is no rate of a path, but what a connection
/// shows that waits for its retransmissions, and two packets would wait for seconds.
const MIN_PACED_RATE: u64 = 64_000;
/// Rates from here on, in bytes per second, are not held down: 1 Gbit/s. Timers would cost more than
/// the queues that they keep short.
const MAX_PACED_RATE: u64 = 125_000_000;
/// Nor is one that has grown by more than a tenth within this: the path may have more.
const GROWING_FOR: Duration = Duration::from_millis(300);
const GROWTH_DENOM: u64 = 10;
/// A lower rate counts after so long without a higher one: BBR sends next to nothing for 200 ms
/// every 10 s, and the path has not changed by that.
const LOWER_AFTER: Duration = Duration::from_secs(1);

/// The bounds of what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes that may wait unsent in the kernel: `TCP_NOTSENT_LOWAT`.
    pub unsent_limit: u32,
    /// How long what waits before it may wait.
    pub law: Law,
    /// Bytes per second that the kernel sends at most.
    pub max_pacing_rate: Option<u64>,
}

impl Bounds {
    /// While the rate is unknown.
    pub const UNKNOWN: Self =
        Self { unsent_limit: MAX_UNSENT_LIMIT, law: Law::DEFAULT, max_pacing_rate: None };

    /// Bytes that one write gives the kernel at most, as a [chunk](crate::socket::send_chunk); `None`
    /// on a path so fast that the kernel may join what it likes.
    #[must_use]
    pub const fn chunk_len(&self) -> Option<usize> {
        if self.unsent_limit < MAX_UNSENT_LIMIT { Some(self.unsent_limit as usize) } else { None }
    }

    /// For a path that delivers `rate` bytes per second. The target is the time to send twice what
    /// may wait in the kernel, since the queue cannot see that and would take it for its own fault.
    fn of(rate: u64, is_growing: bool, interval: Duration) -> Self {
        let limit = u128::from(rate) * UNSENT_TIME.as_millis() / 1000;
        let unsent_limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let unsent_limit = unsent_limit.clamp(MIN_UNSENT_LIMIT, MAX_UNSENT_LIMIT);
        let micros = 2 * u64::from(unsent_limit) * 1_000_000 / rate.max(1);
        let target = Duration::from_micros(micros).clamp(MIN_TARGET, MAX_TARGET);
        let is_paced = !is_growing && (MIN_PACED_RATE..MAX_PACED_RATE).contains(&rate);
        let max_pacing_rate = is_paced.then(|| rate.saturating_mul(PACING_PERCENT) / 100);
        Self { unsent_limit, law: Law { target, interval }, max_pacing_rate }
    }

    fn differs(&self, other: &Self) -> bool {
        is_far(self.unsent_limit.into(), other.unsent_limit.into())
            || is_far(self.law.target.as_micros(), other.law.target.as_micros())
            || self.law.interval != other.law.interval
            || match (self.max_pacing_rate, other.max_pacing_rate) {
                // What the kernel sends at most is what can be seen of the rate later.
                (Some(new), Some(old)) => new.abs_diff(old) * GROWTH_DENOM > old,
                (new, old) => new != old,
            }
    }
}

/// How long a wait may be above the target.
fn interval_under(algorithm: Option<Algorithm>) -> Duration {
    match algorithm {
        Some(Algorithm::Bbr) => BBR_INTERVAL,
        Some(Algorithm::Cubic) | None => Law::DEFAULT.interval,
    }
}

fn is_far(new: u128, old: u128) -> bool {
    new.abs_diff(old) * TOLERANCE_DENOM > old
}

/// Follows the rate of one connection.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    rate: Option<u64>,
    /// When it last grew, and from what.
    grown: Option<(Instant, u64)>,
    /// Since when the rate has been lower, and the highest since.
    lower: Option<(Instant, u64)>,
    bounds: Option<Bounds>,
}

impl Pace {
    /// The bounds that hold.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.bounds.unwrap_or(Bounds::UNKNOWN)
    }

    /// Takes a sample, of a connection under `algorithm` where that is known; says what the bounds are
    /// now, when they have changed by more than a quarter.
    pub fn feed(
        &mut self,
        sample: &PathSample,
        algorithm: Option<Algorithm>,
        now: Instant,
    ) -> Option<Bounds> {
        self.follow(sample, now);
        let rate = self.rate?;
        let bounds = Bounds::of(rate, self.is_growing(rate, now), interval_under(algorithm));
        if !bounds.differs(&self.bounds()) {
            return None;
        }
        self.bounds = Some(bounds);
        Some(bounds)
    }

    fn is_growing(&mut self, rate: u64, now: Instant) -> bool {
        let (since, from) = *self.grown.get_or_insert((now, rate));
        if rate > from.saturating_add(from / GROWTH_DENOM) || rate < from {
            self.grown = Some((now, rate));
            return rate > from;
        }
        now.saturating_duration_since(since) < GROWING_FOR
    }

    fn follow(&mut self, sample: &PathSample, now: Instant) {
        let Some(rate) = sample.delivery_rate else { return };
        let is_lower = self.rate.is_none_or(|known| rate < known);
        if sample.is_app_limited && is_lower {
            // That there was nothing to send says nothing of the path.
            self.lower = None;
            return;
        }
        let (since, highest) = self.lower.unwrap_or((now, rate));
        let highest = highest.max(rate);
        let is_settled = now.saturating_duration_since(since) >= LOWER_AFTER;
        if self.rate.is_some() && is_lower && !is_settled {
            self.lower = Some((since, highest));
            return;
        }
        self.lower = None;
        self.rate = Some(if is_lower { highest } else { rate });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(rate: u64) -> PathSample {
        PathSample { delivery_rate: Some(rate), ..PathSample::default() }
    }

    #[test]
    fn bounds_follow_the_rate_between_their_ends() {
        let ms = Duration::from_millis;
        for (rate, unsent_limit, target) in [
            (1, 8192, ms(100)),
            (100_000, 8192, ms(100)),
            (1_000_000, 8192, Duration::from_micros(16_384)),
            (12_500_000, 25_000, ms(5)),
            (1_250_000_000, 131_072, ms(5)),
            (u64::MAX, 131_072, ms(5)),
        ] {
            let bounds = Bounds::of(rate, true, Law::DEFAULT.interval);
            let law = Law { target, ..Law::DEFAULT };
            let expected = Bounds { unsent_limit, law, max_pacing_rate: None };
            assert_eq!(bounds, expected, "{rate} B/s");
        }
    }

    #[test]
    fn unknown_rate_leaves_the_kernel_the_most() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.feed(&PathSample::default(), None, now), None);
        assert_eq!(pace.bounds(), Bounds::UNKNOWN);
        let idle = PathSample { is_app_limited: true, ..at(1000) };
        assert_eq!(pace.feed(&idle, None, now), None, "little was sent, not much was lost");
        assert_eq!(pace.feed(&at(12_500_000), None, now).unwrap().unsent_limit, 25_000);
    }

    #[test]
    fn rate_that_grows_no_more_is_not_exceeded_by_much() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut feed = |tenth: u32, rate| {
            let changed = pace.feed(&at(rate), None, start + Duration::from_millis(100) * tenth);
            (changed.is_some(), pace.bounds().max_pacing_rate)
        };
        for (tenth, rate) in (0..5).zip([1_000_000, 2_000_000, 4_000_000, 8_000_000, 10_000_000]) {
            assert_eq!(feed(tenth, rate).1, None, "it grows");
        }
        assert_eq!(feed(5, 10_500_000).1, None);
        assert_eq!(feed(6, 10_500_000), (false, None));
        assert_eq!(feed(7, 10_500_000), (true, Some(13_125_000)));
        assert_eq!(feed(8, 10_600_000), (false, Some(13_125_000)));
        // The path has more: nothing holds it back.
        assert_eq!(feed(9, 13_000_000), (true, None));
        assert_eq!(feed(13, 13_000_000), (true, Some(16_250_000)));
        assert_eq!(feed(14, MAX_PACED_RATE).1, None);
        assert_eq!(feed(30, MAX_PACED_RATE).1, None, "too fast to be held down");
    }

    #[test]
    fn bbr_may_rest_without_a_drop() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.feed(&at(10_000_000), Some(Algorithm::Cubic), now).unwrap();
        assert_eq!(pace.bounds().law.interval, Law::DEFAULT.interval);
        let bounds = pace.feed(&at(10_000_000), Some(Algorithm::Bbr), now).unwrap();
        assert_eq!(bounds.law.interval, Duration::from_millis(400));
    }

    #[test]
    fn small_changes_are_none() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.feed(&at(10_000_000), None, now).unwrap();
        assert_eq!(pace.feed(&at(12_500_000), None, now), None);
        assert_eq!(pace.feed(&at(12_600_000), None, now).unwrap().unsent_limit, 25_200);
    }

    #[test]
    fn lower_rate_counts_after_a_second_and_a_short_dip_never() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.feed(&at(20_000_000), None, start).unwrap();
        let tenth = |num: u32| start + Duration::from_millis(100) * num;
        for num in 1..3 {
            assert_eq!(pace.feed(&at(1_000_000), None, tenth(num)), None);
        }
        pace.feed(&at(20_000_000), None, tenth(3));
        for num in 4..14 {
            pace.feed(&at(9_000_000 + u64::from(num)), None, tenth(num));
            assert_eq!(pace.bounds().unsent_limit, 40_000);
        }
        let bounds = pace.feed(&at(5_000_000), None, tenth(14)).unwrap();
        assert_eq!(bounds.unsent_limit, 18_000, "the highest of the second");
    }
}
