//! What a service manager is told, as `sd_notify(3)` says. Without `NOTIFY_SOCKET` it is told nothing.

use std::time::Duration;

use dosp_server::HubHandle;
use sd_notify::NotifyState;
use tokio::time::{interval, sleep};
use tracing::debug;

/// How many clients there are is looked at so often.
const STATUS_INTERVAL: Duration = Duration::from_secs(2);

/// One thing to tell.
#[derive(Debug)]
pub(super) enum Word {
    /// The hub serves.
    Ready,
    /// What it is doing, for people.
    Status(String),
    /// The hub has just shown that it gets on.
    Alive,
    /// The configuration is being read again, until the next [`Word::Ready`].
    Reloading,
    /// It ends.
    Stopping,
}

/// Tells it. Nothing else waits for a service manager that reads nothing.
pub(super) async fn say(word: Word) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    match tokio::task::spawn_blocking(move || send(&word)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "the service manager was not told"),
        Err(error) => debug!(%error, "the service manager was not told"),
    }
}

fn send(word: &Word) -> std::io::Result<()> {
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

/// Tells how the hub is, which listens by now, for ever.
pub(super) async fn follow(hub: HubHandle) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    say(Word::Ready).await;
    tokio::join!(tell_clients(&hub), keep_alive(&hub));
}

async fn tell_clients(hub: &HubHandle) {
    let mut told = None;
    let mut ticks = interval(STATUS_INTERVAL);
    loop {
        ticks.tick().await;
        let num_clients = hub.num_clients();
        if told.replace(num_clients) != Some(num_clients) {
            let words = if num_clients == 1 { "client" } else { "clients" };
            say(Word::Status(format!("{num_clients} {words}"))).await;
        }
    }
}

/// Half of what the watchdog allows, as `sd_watchdog_enabled(3)` advises. A hub in which a session could do
/// nothing is not alive.
async fn keep_alive(hub: &HubHandle) {
    let Some(allowed) = sd_notify::watchdog_enabled().filter(|allowed| !allowed.is_zero()) else {
        return;
    };
    loop {
        if hub.gets_on().await {
            say(Word::Alive).await;
        }
        sleep((allowed / 2).max(Duration::from_millis(1))).await;
    }
}
