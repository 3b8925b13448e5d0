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

fn since_boot() -> Duration {
    // Linux has had this clock since 2.6.39.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}
