//! What has happened between two looks at the same counters.

use std::time::Duration;

/// The last look, and the one before it where there was one since the program began.
#[derive(Debug)]
pub struct Change<'a, S> {
    /// The last look.
    pub now: &'a S,
    /// The one before, and how long before.
    pub before: Option<(&'a S, Duration)>,
}

impl<'a, S> Change<'a, S> {
    /// A first look.
    #[must_use]
    pub const fn first(now: &'a S) -> Self {
        Self { now, before: None }
    }

    /// What came in a second, by a counter; `None` where that is not known.
    #[must_use]
    pub fn rate(&self, counter: impl Fn(&S) -> Option<u64>) -> Option<f64> {
        let (before, elapsed) = self.before?;
        per_second(counter(before)?, counter(self.now)?, elapsed)
    }
}

/// What came in a second. A counter that went back is another one: nothing is known of it yet.
#[must_use]
pub fn per_second(before: u64, now: u64, elapsed: Duration) -> Option<f64> {
    let more = now.checked_sub(before)?;
    (!elapsed.is_zero()).then(|| more as f64 / elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_that_went_back_has_no_rate() {
        let elapsed = Duration::from_millis(500);
        assert_eq!(per_second(10, 30, elapsed), Some(40.0));
        assert_eq!(per_second(10, 10, elapsed), Some(0.0));
        assert_eq!(per_second(10, 9, elapsed), None);
        assert_eq!(per_second(10, 30, Duration::ZERO), None);
        assert_eq!(Change::first(&30).rate(|count| Some(*count)), None);
        let change = Change { now: &30, before: Some((&10, elapsed)) };
        assert_eq!(change.rate(|count| Some(*count)), Some(40.0));
    }
}
