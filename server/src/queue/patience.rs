//! How long others wait for a destination that takes too little. No I/O.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is judged at once.
const QUARTER: Duration = Duration::from_millis(250);
/// What a destination takes of it at least, in bytes: 0.5 Mbit/s, less than any path that is worth
/// waiting for.
const LEAST_LEN: u64 = 16 * 1024;
/// What it has taken in excess of that counts for one quarter more: many take a segment of 32 KiB
/// and more at once, and then nothing for a while.
const MAX_CREDIT_LEN: u64 = 2 * LEAST_LEN;
/// So many quarters, 2 s, are too many
const MAX_COUNTED: usize = 8;
/// within so long.
const WINDOW: Duration = Duration::from_secs(60);

/// Judges one destination. Only time in which somebody waits for it counts, be they one or many; the
/// backpressure of a path that is merely slower than its senders is none of its business.
#[derive(Debug, Default)]
pub struct Patience {
    num_waiting: usize,
    /// Since when somebody has been waiting, as far as it is not in `waited`.
    since: Option<Instant>,
    /// What has been waited of the quarter before.
    waited: Duration,
    /// Bytes that had been taken when it was last judged.
    taken_len: u64,
    credit_len: u64,
    /// When the quarters of the last minute ended in which it took too little.
    counted: VecDeque<Instant>,
}

impl Patience {
    /// One more waits.
    pub fn begin(&mut self, now: Instant) {
        self.num_waiting += 1;
        self.since.get_or_insert(now);
    }

    /// One waits no more.
    pub fn end(&mut self, now: Instant) {
        self.num_waiting = self.num_waiting.saturating_sub(1);
        if self.num_waiting == 0
            && let Some(since) = self.since.take()
        {
            self.waited += now.saturating_duration_since(since);
        }
    }

    /// When [`Self::handle_timeout`] has something to judge; `None` while nobody waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.since.map(|since| since + QUARTER.saturating_sub(self.waited))
    }

    /// Judges the quarter that is over, if one is; whether the destination is too slow. `taken_len` is
    /// how many bytes it has taken since it came; where that is unknown, it is not judged.
    pub fn handle_timeout(&mut self, taken_len: Option<u64>, now: Instant) -> bool {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return false;
        }
        (self.since, self.waited) = (Some(now), Duration::ZERO);
        let Some(taken_len) = taken_len else { return false };
        let newly_taken =
            taken_len.saturating_sub(std::mem::replace(&mut self.taken_len, taken_len));
        let credit_len = self.credit_len.saturating_add(newly_taken).min(MAX_CREDIT_LEN);
        let rest = credit_len.checked_sub(LEAST_LEN);
        self.credit_len = rest.unwrap_or(credit_len);
        if rest.is_none() {
            self.counted.push_back(now);
        }
        self.counted.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        self.counted.len() >= MAX_COUNTED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(10);

    /// One sender after another waits, each for `wait` and then not for `pause`, until the destination
    /// is too slow or `limit` is over; how long all waited.
    fn waited(
        taken_len: impl Fn(Duration) -> u64,
        (wait, pause): (Duration, Duration),
        limit: Duration,
    ) -> Option<Duration> {
        let start = Instant::now();
        let (mut patience, mut waited) = (Patience::default(), Duration::ZERO);
        let mut now = start;
        while now - start < limit {
            patience.begin(now);
            let until = now + wait;
            while now < until {
                now += TICK;
                waited += TICK;
                if patience.handle_timeout(Some(taken_len(now - start)), now) {
                    return Some(waited);
                }
            }
            patience.end(now);
            now += pause;
        }
        None
    }

    fn millis(time: Duration) -> u64 {
        time.as_millis().try_into().unwrap()
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn destination_that_takes_nothing_costs_two_seconds() {
        let cost = waited(|_| 0, (HOUR, Duration::ZERO), HOUR);
        assert_eq!(cost, Some(Duration::from_secs(2)));
        // What it had taken before is worth two quarters more, however much it was.
        let cost = waited(|_| 1 << 30, (HOUR, Duration::ZERO), HOUR);
        assert_eq!(cost, Some(Duration::from_millis(2500)));
    }

    #[test]
    fn short_waits_count_together() {
        let ms = Duration::from_millis;
        let cost = waited(|_| 0, (ms(50), ms(200)), HOUR);
        assert_eq!(cost, Some(Duration::from_secs(2)));
    }

    #[test]
    fn slow_destination_that_moves_is_waited_for() {
        let at = |rate: u64| move |time: Duration| millis(time) * rate / 1000;
        let segments = |time: Duration| millis(time) * 200 / 65_536 * 65_536;
        for wait in [HOUR, Duration::from_millis(90)] {
            let waits = (wait, TICK);
            assert_eq!(waited(at(66_000), waits, HOUR), None);
            assert_eq!(waited(segments, waits, HOUR), None, "200 kB/s in long segments");
            assert!(waited(at(50_000), waits, HOUR).is_some());
        }
    }

    #[test]
    fn what_was_a_minute_ago_is_forgotten() {
        let second = Duration::from_secs(1);
        assert_eq!(waited(|_| 0, (second, 59 * second), HOUR), None);
        assert_eq!(waited(|_| 0, (second, 58 * second), HOUR), Some(2 * second));
    }

    #[test]
    fn many_that_wait_at_once_count_once() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        for _ in 0..100 {
            patience.begin(start);
        }
        for number in 1..=7 {
            let now = start + QUARTER * number;
            for _ in 0..100 {
                assert!(!patience.handle_timeout(Some(0), now));
            }
        }
        for _ in 0..99 {
            patience.end(start + QUARTER * 7);
        }
        assert_eq!(patience.poll_timeout(), Some(start + QUARTER * 8), "one is left");
        assert!(patience.handle_timeout(Some(0), start + QUARTER * 8));
    }

    #[test]
    fn destination_of_which_nothing_is_known_is_not_judged() {
        let (mut patience, mut now) = (Patience::default(), Instant::now());
        patience.begin(now);
        for _ in 0..100 {
            now += QUARTER;
            assert!(!patience.handle_timeout(None, now));
            assert_eq!(patience.poll_timeout(), Some(now + QUARTER));
        }
    }

    #[test]
    fn nothing_is_judged_while_nobody_waits() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        assert_eq!(patience.poll_timeout(), None);
        patience.begin(start);
        patience.end(start + QUARTER / 2);
        assert_eq!(patience.poll_timeout(), None);
        assert!(!patience.handle_timeout(Some(0), start + HOUR));
        patience.begin(start + HOUR);
        assert_eq!(patience.poll_timeout(), Some(start + HOUR + QUARTER / 2));
    }
}
