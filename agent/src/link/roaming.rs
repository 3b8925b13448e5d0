//! What becomes of the link when the host moves: into another network, to another address, out of a
//! night's sleep.
//!
//! ```text
//! change ── SETTLE ──▶ look ┬ no link: dial now
//!                           ├ the connection's own address is gone: dial now
//!                           └ PING, and count what the hub's host acknowledges
//!                                 ├ something, PROBE_TIMEOUT later: the link is good
//!                                 └ nothing: dial beside it, until one of the two works
//! ```
//!
//! The old connection is kept as long as it may live: where the path only pauses it goes on by itself,
//! and where a new one works it is ended over that path, so that the hub need not wait for it.

use std::time::{Duration, Instant};

/// A new network comes as a handful of changes: address, routes, a name server. They are one.
pub const SETTLE: Duration = Duration::from_millis(200);
/// Looks are that far apart at least, also on hosts whose interfaces come and go all the time: each
/// costs a PING or a dial, and a dial needs a round trip.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a PING may stay without acknowledgement: TCP repeats it once or twice within that. With
/// the dial, and the second that a hub gives a member's former session, this is below 3 s.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a link in doubt is looked at, and dialled beside where the dial before has failed.
pub const DOUBT_INTERVAL: Duration = Duration::from_secs(1);

/// What is to be done when the timer fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum RoamingAction {
    /// Nothing yet.
    None,
    /// See whether the link can still work, and dial or [`Roaming::probe`].
    Look,
    /// Count again, and [`Roaming::judge`].
    Judge,
}

/// What a count says of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The hub's host has acknowledged something since the probe began, or there is no probe.
    Good,
    /// Nothing: a second connection is to be tried.
    Doubtful,
}

/// The timers of one node.
#[derive(Debug, Clone, Default)]
pub struct Roaming {
    look_at: Option<Instant>,
    looked_at: Option<Instant>,
    probe: Option<Probe>,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    /// Bytes that were acknowledged when it began; `None` where the kernel does not tell.
    acked_len: Option<u64>,
    judge_at: Instant,
    is_doubtful: bool,
}

impl Roaming {
    /// An address, a route or an interface of the host has changed.
    pub fn on_change(&mut self, now: Instant) {
        self.look_by(now + SETTLE, now);
    }

    /// The host was suspended: what it knows of the path is old.
    pub fn on_resume(&mut self, now: Instant) {
        self.look_by(now, now);
    }

    fn look_by(&mut self, at: Instant, now: Instant) {
        let soonest = self.looked_at.map_or(now, |looked_at| looked_at + LOOK_INTERVAL);
        let at = at.max(soonest);
        self.look_at = Some(self.look_at.map_or(at, |before| before.min(at)));
    }

    /// When to call [`Self::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.look_at.into_iter().chain(self.probe.map(|probe| probe.judge_at)).min()
    }

    /// What the passing of time calls for; harmless when called too early.
    pub fn handle_timeout(&mut self, now: Instant) -> RoamingAction {
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            self.looked_at = Some(now);
            return RoamingAction::Look;
        }
        if self.probe.is_some_and(|probe| probe.judge_at <= now) {
            return RoamingAction::Judge;
        }
        RoamingAction::None
    }

    /// A PING goes out now; `acked_len` bytes of this connection were acknowledged until here. A
    /// probe that is going on goes on, unless something was acknowledged since it began: that says nothing
    /// of the path as it is now.
    pub fn probe(&mut self, now: Instant, acked_len: Option<u64>) {
        if self.probe.is_none_or(|probe| probe.acked_len != acked_len) {
            let judge_at = now + PROBE_TIMEOUT;
            self.probe = Some(Probe { acked_len, judge_at, is_doubtful: false });
        }
    }

    /// `acked_len` bytes of the connection are acknowledged by now.
    pub fn judge(&mut self, now: Instant, acked_len: Option<u64>) -> Verdict {
        let Some(probe) = &mut self.probe else { return Verdict::Good };
        // Without numbers the heartbeat alone decides.
        let is_stuck = probe.acked_len.zip(acked_len).is_some_and(|(before, now)| before == now);
        if !is_stuck {
            self.probe = None;
            return Verdict::Good;
        }
        probe.is_doubtful = true;
        probe.judge_at = now + DOUBT_INTERVAL;
        Verdict::Doubtful
    }

    /// Whether the link was found not to answer, and nothing has come of that yet.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.probe.is_some_and(|probe| probe.is_doubtful)
    }

    /// The connection is not there any more.
    pub fn end_probe(&mut self) {
        self.probe = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_was_acknowledged_before_the_second_change_is_no_answer_to_the_second_ping() {
        let start = Instant::now();
        let mut roaming = Roaming::default();
        roaming.probe(start, Some(100));
        roaming.probe(start + ms(900), Some(105));
        assert_eq!(roaming.poll_timeout(), Some(start + ms(900) + PROBE_TIMEOUT));
        let verdict = roaming.judge(start + ms(900) + PROBE_TIMEOUT, Some(105));
        assert_eq!(verdict, Verdict::Doubtful);
    }

    /// When the machine wants to look, counted from `start`, while changes come at these times.
    fn looks(start: Instant, changes: &[u64]) -> Vec<u128> {
        let mut roaming = Roaming::default();
        let mut looks = Vec::new();
        for at in 0..6_000 {
            let now = start + ms(at);
            if changes.contains(&at) {
                roaming.on_change(now);
            }
            if roaming.handle_timeout(now) == RoamingAction::Look {
                looks.push(now.duration_since(start).as_millis());
            }
        }
        looks
    }

    #[test]
    fn changes_that_come_together_are_looked_at_once() {
        assert_eq!(looks(Instant::now(), &[0, 1, 50, 199]), [200]);
    }

    #[test]
    fn restless_host_looks_once_a_second() {
        let changes: Vec<_> = (0..4_000).step_by(10).collect();
        assert_eq!(looks(Instant::now(), &changes), [200, 1200, 2200, 3200, 4200]);
    }

    #[test]
    fn change_after_a_quiet_time_is_looked_at_soon() {
        assert_eq!(looks(Instant::now(), &[0, 300, 5_000]), [200, 1200, 5200]);
    }

    #[test]
    fn host_that_slept_looks_at_once() {
        let now = Instant::now();
        let mut roaming = Roaming::default();
        roaming.on_change(now);
        roaming.on_resume(now);
        assert_eq!(roaming.poll_timeout(), Some(now));
        assert_eq!(roaming.handle_timeout(now), RoamingAction::Look);
        assert_eq!(roaming.poll_timeout(), None);
    }

    #[test]
    fn link_that_acknowledges_is_good() {
        let now = Instant::now();
        let mut roaming = Roaming::default();
        roaming.probe(now, Some(100));
        assert_eq!(roaming.poll_timeout(), Some(now + PROBE_TIMEOUT));
        assert_eq!(roaming.handle_timeout(now + ms(999)), RoamingAction::None);
        assert_eq!(roaming.handle_timeout(now + ms(1000)), RoamingAction::Judge);
        assert_eq!(roaming.judge(now + ms(1000), Some(105)), Verdict::Good);
        assert_eq!(roaming.poll_timeout(), None);
    }

    #[test]
    fn link_that_does_not_is_in_doubt_until_it_does() {
        let now = Instant::now();
        let mut roaming = Roaming::default();
        roaming.probe(now, Some(100));
        for second in 1..5 {
            let now = now + ms(1000 * second);
            assert_eq!(roaming.handle_timeout(now), RoamingAction::Judge);
            assert_eq!(roaming.judge(now, Some(100)), Verdict::Doubtful);
            assert!(roaming.is_doubtful());
            assert_eq!(roaming.poll_timeout(), Some(now + DOUBT_INTERVAL));
        }
        assert_eq!(roaming.judge(now + ms(4500), Some(101)), Verdict::Good);
        assert!(!roaming.is_doubtful());
    }

    #[test]
    fn second_change_does_not_give_the_link_more_time() {
        let now = Instant::now();
        let mut roaming = Roaming::default();
        roaming.probe(now, Some(100));
        roaming.probe(now + ms(900), Some(100));
        assert_eq!(roaming.poll_timeout(), Some(now + PROBE_TIMEOUT));
    }

    #[test]
    fn without_numbers_nothing_is_in_doubt() {
        let now = Instant::now();
        let mut roaming = Roaming::default();
        roaming.probe(now, None);
        assert_eq!(roaming.judge(now + PROBE_TIMEOUT, Some(1)), Verdict::Good);
        roaming.probe(now, Some(1));
        assert_eq!(roaming.judge(now + PROBE_TIMEOUT, None), Verdict::Good);
    }

    #[test]
    fn probe_ends_with_its_connection() {
        let now = Instant::now();
        let mut roaming = Roaming::default();
        roaming.probe(now, Some(1));
        roaming.end_probe();
        assert_eq!(roaming.poll_timeout(), None);
        assert_eq!(roaming.judge(now, Some(1)), Verdict::Good);
    }
}
