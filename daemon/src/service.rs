//! What a service manager is told, as `sd_notify(3)` says. Without `NOTIFY_SOCKET` it is told nothing.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// One thing to tell.
#[derive(Debug)]
pub enum Word {
    /// The program serves.
    Ready,
    /// What it is doing, for people.
    Status(String),
    /// It has just shown that it gets on.
    Alive,
    /// The configuration is being read again, until the next [`Word::Ready`].
    Reloading,
    /// It ends.
    Stopping,
}

/// Whether there is a service manager that wants to be told.
#[must_use]
pub fn is_supervised() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// How often [`Word::Alive`] is due: half of what the watchdog allows, as `sd_watchdog_enabled(3)` advises.
/// `None` without a watchdog.
#[must_use]
pub fn alive_interval() -> Option<Duration> {
    let allowed = sd_notify::watchdog_enabled().filter(|allowed| !allowed.is_zero())?;
    Some((allowed / 2).max(Duration::from_millis(1)))
}

/// Tells it. Nothing else waits for a service manager that reads nothing.
pub async fn say(word: Word) {
    if !is_supervised() {
        return;
    }
    match tokio::task::spawn_blocking(move || send(&word)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "the service manager was not told"),
        Err(error) => debug!(%error, "the service manager was not told"),
    }
}

fn send(word: &Word) -> io::Result<()> {
    match word {
        Word::Ready => sd_notify::notify(&[NotifyState::Ready]),
        Word::Status(words) => sd_notify::notify(&[NotifyState::Status(words)]),
        Word::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
        Word::Reloading => {
            sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
        }
        Word::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
    }
}
