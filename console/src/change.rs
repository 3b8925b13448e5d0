//! What has happened between two looks at the same counters.

use std::collections::{BTreeMap, BTreeSet};
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

    /// What came in a second by each of several counters, of those by which something came, the busiest
    /// first; one that is not there has counted nothing. `None` where that is not known of all.
    #[must_use]
    pub fn rates(&self, counters: fn(&S) -> &BTreeMap<String, u64>) -> Option<Vec<(&'a str, f64)>> {
        let (before, _) = self.before?;
        let names = counters(before).keys().chain(counters(self.now).keys());
        let names: BTreeSet<&str> = names.map(String::as_str).collect();
        let rate = |name: &'a str| {
            let count = |look: &S| Some(counters(look).get(name).copied().unwrap_or(0));
            Some((name, self.rate(count)?))
        };
        let mut rates = names.into_iter().map(rate).collect::<Option<Vec<_>>>()?;
        rates.retain(|(_, rate)| *rate > 0.0);
        rates.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        Some(rates)
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

    #[test]
    fn counters_of_which_one_went_back_have_no_rates() {
        let counters = |of: &[(&str, u64)]| -> BTreeMap<String, u64> {
            of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        let rates = |before: &[(&str, u64)], now: &[(&str, u64)]| {
            let (before, now) = (counters(before), counters(now));
            let before = Some((&before, Duration::from_millis(500)));
            let rates = Change { now: &now, before }.rates(|counters| counters)?;
            Some(rates.iter().map(|(name, rate)| format!("{name} {rate}")).collect::<Vec<_>>())
        };
        let busy = Some(vec!["c 20".to_owned(), "a 2".to_owned()]);
        assert_eq!(rates(&[("a", 1), ("b", 5)], &[("a", 2), ("b", 5), ("c", 10)]), busy);
        assert_eq!(rates(&[("a", 1), ("b", 0)], &[("a", 1)]), Some(Vec::new()));
        assert_eq!(rates(&[("a", 1), ("b", 5)], &[("a", 2), ("b", 4)]), None);
        assert_eq!(rates(&[("a", 1), ("b", 5)], &[("a", 2)]), None, "it has begun anew");
        assert_eq!(Change::first(&counters(&[("a", 1)])).rates(|counters| counters), None);
    }
}
