//! Whether the hub at the other end lives, and how far away it is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How often a hub of ours is asked: a dead link is known soon enough that its traffic is on another way
/// within 3 s.
pub(super) const PING_INTERVAL: Duration = Duration::from_millis(500);
/// A hub of ours that says nothing for so long is gone. It also asks by itself, so that what is queued
/// for it does not count against it.
const SILENCE: Duration = Duration::from_secs(2);
/// More than are asked before the silence is too long.
const MAX_PINGS: usize = 8;

/// What was heard of the other end.
#[derive(Debug)]
pub(super) struct Pulse {
    heard_at: Instant,
    /// When questions without an answer yet were asked.
    asked_at: VecDeque<Instant>,
    rtt: Option<Duration>,
}

impl Pulse {
    pub(super) const fn new(now: Instant) -> Self {
        Self { heard_at: now, asked_at: VecDeque::new(), rtt: None }
    }

    /// Something came.
    pub(super) const fn hear(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// A question is sent.
    pub(super) fn ask(&mut self, now: Instant) {
        if self.asked_at.len() < MAX_PINGS {
            self.asked_at.push_back(now);
        }
    }

    /// An answer came. They come in order.
    pub(super) fn answer(&mut self, now: Instant) {
        if let Some(asked_at) = self.asked_at.pop_front() {
            self.rtt = Some(now.saturating_duration_since(asked_at));
        }
    }

    pub(super) const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Whether the silence is too long.
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard_at) >= SILENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_belong_to_the_oldest_question() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pulse = Pulse::new(start);
        pulse.ask(at(0));
        pulse.ask(at(500));
        pulse.answer(at(600));
        assert_eq!(pulse.rtt(), Some(Duration::from_millis(600)));
        pulse.answer(at(601));
        assert_eq!(pulse.rtt(), Some(Duration::from_millis(101)));
        pulse.answer(at(700));
        assert_eq!(pulse.rtt(), Some(Duration::from_millis(101)), "nobody asked");
    }

    #[test]
    fn silence_is_death_and_anything_heard_is_life() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        assert!(!pulse.is_dead(start + SILENCE - Duration::from_millis(1)));
        assert!(pulse.is_dead(start + SILENCE));
        pulse.hear(start + SILENCE);
        assert!(!pulse.is_dead(start + SILENCE + PING_INTERVAL));
    }

    #[test]
    fn questions_without_answers_do_not_pile_up() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        (0..1000).for_each(|_| pulse.ask(start));
        assert_eq!(pulse.asked_at.len(), MAX_PINGS);
    }
}
