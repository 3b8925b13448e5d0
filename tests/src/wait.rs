//! Waiting: poll a condition until it holds or its time is up.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Often enough that tests do not dawdle, rarely enough that forks do not fill the machine.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Waits until `condition` gives a value; fails with `what` after `within`.
pub fn wait_for<T>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started_at = Instant::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if started_at.elapsed() > within {
            bail!("not within {within:?}: {what}");
        }
        sleep(POLL_INTERVAL);
    }
}

/// Waits until `condition` holds; fails with `what` after `within`.
pub fn wait_until(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    wait_for(what, within, || Ok(condition()?.then_some(())))
}

/// Says how long something took: a figure for people, which no test depends on.
pub fn measured(what: &str, since: Instant) {
    eprintln!("MEASURED {what}: {:.2?}", since.elapsed());
}
