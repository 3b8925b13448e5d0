//! How long to wait before the next attempt to reach a hub.
//!
//! Full jitter: every delay is uniform between nothing and a cap, and only the cap grows. Those
//! that lost the same hub at the same moment so do not come back at the same moment.

use std::time::{Duration, Instant};

use rand::{CryptoRng, RngExt};

/// The first cap: a hub that restarts is back within this.
pub const FIRST_CAP: Duration = Duration::from_millis(250);
/// The first cap where the hub has said that it restarts: it needs a moment, and all come at once. A
/// hub answers 2,000 handshakes a second, so that many members are let in at their first attempt.
pub const RESTART_CAP: Duration = Duration::from_secs(1);
/// The largest cap while the outage is young: a hub that comes back is found within seconds.
pub const SHORT_CAP: Duration = Duration::from_secs(4);
/// The largest cap of a long outage.
pub const LONG_CAP: Duration = Duration::from_secs(30);
/// After this the outage counts as long: nobody sits and waits for it any more.
pub const LONG_OUTAGE: Duration = Duration::from_secs(600);

/// The delays of one outage.
#[derive(Debug, Clone)]
pub struct Backoff {
    cap: Duration,
    outage_started_at: Option<Instant>,
}

impl Backoff {
    /// No outage yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { cap: FIRST_CAP, outage_started_at: None }
    }

    /// How long to wait from `now` on. The first call starts the outage.
    pub fn next_delay(&mut self, now: Instant, rng: &mut impl CryptoRng) -> Duration {
        let started_at = *self.outage_started_at.get_or_insert(now);
        let young = now.saturating_duration_since(started_at) < LONG_OUTAGE;
        let delay = rng.random_range(Duration::ZERO..=self.cap);
        let largest = if young { SHORT_CAP } else { LONG_CAP };
        self.cap = (self.cap * 2).min(largest);
        delay
    }

    /// The hub has said that it restarts.
    pub fn announce(&mut self) {
        self.cap = self.cap.max(RESTART_CAP);
    }

    /// Ends the outage.
    pub fn reset(&mut self) {
        *self = Self::new();
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    /// The largest delay that any of many agents gets at each attempt.
    fn largest_delays(backoff: &Backoff, now: Instant, num: usize) -> Vec<Duration> {
        let mut largest = vec![Duration::ZERO; num];
        for seed in 0..500 {
            let mut backoff = backoff.clone();
            let mut rng = StdRng::seed_from_u64(seed);
            for slot in &mut largest {
                *slot = backoff.next_delay(now, &mut rng).max(*slot);
            }
        }
        largest
    }

    fn assert_close_below(delay: Duration, cap: Duration) {
        assert!(delay <= cap && delay > cap.mul_f64(0.97), "{delay:?} is not just below {cap:?}");
    }

    #[test]
    fn cap_doubles_to_four_seconds_in_a_young_outage() {
        let delays = largest_delays(&Backoff::new(), Instant::now(), 7);
        let caps = [250, 500, 1000, 2000, 4000, 4000, 4000];
        for (delay, cap) in delays.into_iter().zip(caps) {
            assert_close_below(delay, Duration::from_millis(cap));
        }
    }

    #[test]
    fn cap_doubles_on_to_thirty_seconds_after_ten_minutes() {
        let start = Instant::now();
        let mut backoff = Backoff::new();
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..200 {
            backoff.next_delay(start + LONG_OUTAGE - Duration::from_secs(1), &mut rng);
        }
        backoff.outage_started_at = Some(start);
        let delays = largest_delays(&backoff, start + LONG_OUTAGE, 5);
        for (delay, cap) in delays.into_iter().zip([4, 8, 16, 30, 30]) {
            assert_close_below(delay, Duration::from_secs(cap));
        }
    }

    #[test]
    fn agents_that_lose_the_hub_together_spread_out() {
        let now = Instant::now();
        let delays: Vec<_> = (0..1000)
            .map(|seed| Backoff::new().next_delay(now, &mut StdRng::seed_from_u64(seed)))
            .collect();
        for quarter in 0..4 {
            let low = FIRST_CAP / 4 * quarter;
            let num = delays.iter().filter(|delay| (low..low + FIRST_CAP / 4).contains(delay));
            let num = num.count();
            assert!((200..300).contains(&num), "{num} of 1000 in quarter {quarter}");
        }
    }

    #[test]
    fn those_that_were_told_of_a_restart_spread_over_a_second() {
        let mut backoff = Backoff::new();
        backoff.announce();
        let delays = largest_delays(&backoff, Instant::now(), 4);
        for (delay, cap) in delays.into_iter().zip([1000, 2000, 4000, 4000]) {
            assert_close_below(delay, Duration::from_millis(cap));
        }
    }

    #[test]
    fn reset_begins_anew() {
        let start = Instant::now();
        let mut backoff = Backoff::new();
        let mut rng = StdRng::seed_from_u64(1);
        for minute in 0..20 {
            backoff.next_delay(start + Duration::from_secs(60 * minute), &mut rng);
        }
        backoff.reset();
        let delays = largest_delays(&backoff, start + LONG_OUTAGE * 3, 2);
        assert_close_below(delays[0], FIRST_CAP);
        assert_close_below(delays[1], FIRST_CAP * 2);
    }
}
