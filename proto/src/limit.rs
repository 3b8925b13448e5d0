//! A token bucket over a clock that the caller holds.

use std::time::{Duration, Instant};

/// Lets `burst` events pass at once and `per_second` in the long run.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    /// Time for which one event pays.
    interval: Duration,
    burst: u32,
    /// When the bucket would be full again; in the past for a full one.
    full_at: Option<Instant>,
}

impl TokenBucket {
    /// A full bucket. A `per_second` or `burst` of 0 is taken as 1.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_second.max(1),
            burst: burst.max(1),
            full_at: None,
        }
    }

    /// Takes one token; `false` where there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        self.take_beyond(0, now)
    }

    /// Takes one token where `kept` others remain; `false` where it would be one of these.
    pub fn take_beyond(&mut self, kept: u32, now: Instant) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + self.interval;
        if full_at.duration_since(now) > self.interval * self.burst.saturating_sub(kept) {
            return false;
        }
        self.full_at = Some(full_at);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_passes_then_the_rate_holds() {
        let mut bucket = TokenBucket::new(10, 5);
        let start = Instant::now();
        assert_eq!((0..20).filter(|_| bucket.take(start)).count(), 5);
        let passed = (0..1000).filter(|ms| bucket.take(start + Duration::from_millis(*ms)));
        assert_eq!(passed.count(), 9, "one token every 100 ms, the first after 100 ms");
    }

    #[test]
    fn tokens_that_are_kept_are_there_for_who_may_take_them() {
        let mut bucket = TokenBucket::new(10, 5);
        let start = Instant::now();
        assert_eq!((0..20).filter(|_| bucket.take_beyond(3, start)).count(), 2);
        assert_eq!((0..20).filter(|_| bucket.take(start)).count(), 3);
        let later = start + Duration::from_millis(300);
        assert!(!bucket.take_beyond(3, later));
        assert!(bucket.take_beyond(3, later + Duration::from_millis(100)));
        assert!(!bucket.take_beyond(5, start + Duration::from_secs(60)), "all are kept");
    }

    #[test]
    fn idle_bucket_holds_no_more_than_its_burst() {
        let mut bucket = TokenBucket::new(10, 5);
        let start = Instant::now();
        assert!(bucket.take(start));
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..20).filter(|_| bucket.take(later)).count(), 5);
    }
}
