//! The present, from the system's clocks.
//!
//! Timers count the time that the host was suspended: a session's keys are as old after a night in a
//! bag as after a night on the desk. `Instant` does not count it, so it is moved by what it missed.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use dosp_proto::Now;
use nix::time::{ClockId, clock_gettime};

/// When the process first asked, by both clocks.
static START: LazyLock<(Instant, Duration)> = LazyLock::new(|| (Instant::now(), since_boot()));

/// Monotonic time that goes on while the host is suspended.
pub(crate) fn instant() -> Instant {
    let (instant, boot) = *START;
    instant + since_boot().saturating_sub(boot)
}

/// The present, for the engine.
pub(crate) fn now() -> Now {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970 is as wrong as any other that peers refuse.
    Now { instant: instant(), unix_time: since_epoch.unwrap_or_default().as_secs() }
}

/// Two clocks at one moment: one counts suspend, the other does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    boot: Duration,
    running: Duration,
}

impl Clocks {
    /// Now.
    pub(crate) fn read() -> Self {
        let running = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        Self { boot: since_boot(), running: running.unwrap_or_default() }
    }

    /// How long the host was suspended since `before`.
    pub(crate) fn slept_since(self, before: Self) -> Duration {
        let (all, running) =
            (self.boot.saturating_sub(before.boot), self.running.saturating_sub(before.running));
        all.saturating_sub(running)
    }
}

fn since_boot() -> Duration {
    // Linux has had this clock since 2.6.39.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_one_clock_alone_counts_is_sleep() {
        let at = |boot, running| Clocks {
            boot: Duration::from_secs(boot),
            running: Duration::from_secs(running),
        };
        assert_eq!(at(3700, 120).slept_since(at(100, 20)), Duration::from_secs(3500));
        assert_eq!(at(200, 120).slept_since(at(100, 20)), Duration::ZERO);
        let (before, now) = (Clocks::read(), Clocks::read());
        assert!(now.slept_since(before) < Duration::from_secs(1), "{before:?} {now:?}");
    }
}
