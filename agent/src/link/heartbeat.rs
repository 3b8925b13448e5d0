//! Whether the hub is still there.
//!
//! A PING goes out every [`PING_INTERVAL`], whatever else is sent: hubs exist that cut off whoever
//! says nothing for 30 s. Any byte from the hub is a sign of life; [`DEAD_AFTER`] without one is
//! the end of the link, unless it was this process that did not run.

use std::time::{Duration, Instant};

/// How often a PING is sent: twice may be lost before [`DEAD_AFTER`].
pub const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long the hub may say nothing: two PINGs and a slow round trip.
pub const DEAD_AFTER: Duration = Duration::from_secs(22);
/// A timer this late means that the process was stopped, not that the system is busy.
pub const STOPPED_AFTER: Duration = Duration::from_secs(2);
/// What the hub is given to answer once the process runs again.
pub const GRACE: Duration = Duration::from_secs(5);

/// What is to be done when the timer fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum HeartbeatAction {
    /// Nothing yet.
    None,
    /// A PING is to be sent.
    SendPing,
    /// The hub is gone: the connection is to be closed.
    Dead,
}

/// The timers of one connection.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    next_ping_at: Instant,
    dead_at: Instant,
}

impl Heartbeat {
    /// Of a connection that was made `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { next_ping_at: now + PING_INTERVAL, dead_at: now + DEAD_AFTER }
    }

    /// The hub said something, whatever it was.
    pub fn on_receive(&mut self, now: Instant) {
        self.dead_at = now + DEAD_AFTER;
    }

    /// When to call [`Self::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.next_ping_at.min(self.dead_at)
    }

    /// What the passing of time calls for; harmless when called too early.
    pub fn handle_timeout(&mut self, now: Instant) -> HeartbeatAction {
        let due_at = self.poll_timeout();
        if now < due_at {
            return HeartbeatAction::None;
        }
        if now.duration_since(due_at) >= STOPPED_AFTER {
            // What the hub said meanwhile is still in the socket, or it had no PING to answer.
            self.dead_at = self.dead_at.max(now + GRACE);
            self.next_ping_at = now + PING_INTERVAL;
            return HeartbeatAction::SendPing;
        }
        if now >= self.dead_at {
            return HeartbeatAction::Dead;
        }
        self.next_ping_at = now + PING_INTERVAL;
        HeartbeatAction::SendPing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn silent_hub_is_dead_after_two_pings_and_within_25_s() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(start);
        let mut seen = Vec::new();
        loop {
            let at = heartbeat.poll_timeout();
            let action = heartbeat.handle_timeout(at);
            seen.push((at.duration_since(start).as_secs(), action));
            if action == HeartbeatAction::Dead {
                break;
            }
        }
        let ping = HeartbeatAction::SendPing;
        assert_eq!(seen, [(10, ping), (20, ping), (22, HeartbeatAction::Dead)]);
    }

    #[test]
    fn talking_hub_is_pinged_every_ten_seconds_and_lives() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(start);
        let mut num_pings = 0;
        for second in 0..=100 {
            let now = start + seconds(f64::from(second));
            heartbeat.on_receive(now);
            match heartbeat.handle_timeout(now) {
                HeartbeatAction::None => {}
                HeartbeatAction::SendPing => num_pings += 1,
                HeartbeatAction::Dead => panic!("dead at {second} s"),
            }
        }
        assert_eq!(num_pings, 10);
    }

    #[test]
    fn timer_that_fires_too_early_does_nothing() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(start);
        assert_eq!(heartbeat.handle_timeout(start + seconds(9.9)), HeartbeatAction::None);
    }

    #[test]
    fn stopped_process_pings_and_waits_before_it_gives_up() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(start);
        let resumed = start + seconds(3600.0);
        assert_eq!(heartbeat.handle_timeout(resumed), HeartbeatAction::SendPing);
        assert_eq!(heartbeat.poll_timeout(), resumed + GRACE);
        assert_eq!(heartbeat.handle_timeout(resumed + GRACE), HeartbeatAction::Dead);
    }

    #[test]
    fn answer_within_the_grace_period_saves_the_link() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(start);
        let resumed = start + seconds(3600.0);
        assert_eq!(heartbeat.handle_timeout(resumed), HeartbeatAction::SendPing);
        heartbeat.on_receive(resumed + seconds(1.0));
        let next = heartbeat.poll_timeout();
        assert_eq!(next, resumed + PING_INTERVAL);
        assert_eq!(heartbeat.handle_timeout(next), HeartbeatAction::SendPing);
    }

    #[test]
    fn late_ping_never_shortens_the_wait() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(start);
        assert_eq!(heartbeat.handle_timeout(start + seconds(12.5)), HeartbeatAction::SendPing);
        assert_eq!(heartbeat.poll_timeout(), start + DEAD_AFTER);
    }

    #[test]
    fn busy_system_is_no_excuse_for_a_dead_hub() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(start);
        assert_eq!(heartbeat.handle_timeout(start + seconds(10.5)), HeartbeatAction::SendPing);
        assert_eq!(heartbeat.handle_timeout(start + seconds(21.0)), HeartbeatAction::SendPing);
        assert_eq!(heartbeat.handle_timeout(start + seconds(23.0)), HeartbeatAction::Dead);
    }
}
