//! What a service manager is told, as `sd_notify(3)` says. Without `NOTIFY_SOCKET` it is told nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

use crate::node::{LinkState, NodeHandle};

/// One thing to tell.
#[derive(Debug)]
pub(super) enum Word {
    /// The agent serves.
    Ready,
    /// What it is doing, for people.
    Status(String),
    /// The node has just answered.
    Alive,
    /// The configuration is being read again, until the next [`Word::Ready`].
    Reloading,
    /// It ends.
    Stopping,
}

/// Tells it. The node does not wait for a service manager that reads nothing.
pub(super) async fn say(word: Word) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    match tokio::task::spawn_blocking(move || send(&word)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the service manager was not told"),
        Err(error) => tracing::debug!(%error, "the service manager was not told"),
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

/// Tells how the agent is, in a task of its own.
#[derive(Debug)]
pub(super) struct Service(JoinHandle<()>);

impl Service {
    /// From now on; `hub` is the hub, for people.
    pub(super) fn start(handle: NodeHandle, hub: String) -> Self {
        Self(tokio::spawn(follow(handle, hub)))
    }

    /// The node has ended.
    pub(super) async fn stop(self) {
        self.0.abort();
        say(Word::Stopping).await;
    }
}

async fn follow(handle: NodeHandle, hub: String) {
    // The local socket is there before; with this answer so is the node.
    if std::env::var_os("NOTIFY_SOCKET").is_none() || handle.report().await.is_none() {
        return;
    }
    say(Word::Ready).await;
    tokio::join!(tell_state(&handle, &hub), keep_alive(&handle));
}

async fn tell_state(handle: &NodeHandle, hub: &str) {
    let mut told = None;
    while let Some(state) = handle.wait_for(|state| told != Some(state)).await {
        let words = match state {
            LinkState::Connecting => format!("connecting to {hub}"),
            LinkState::Joining => format!("joining {hub}"),
            LinkState::Up(overlay) => format!("up as {} through {hub}", overlay.vip),
        };
        say(Word::Status(words)).await;
        told = Some(state);
    }
}

/// Half of what the watchdog allows, as `sd_watchdog_enabled(3)` advises. A node that does not answer
/// is not alive.
async fn keep_alive(handle: &NodeHandle) {
    let Some(allowed) = sd_notify::watchdog_enabled().filter(|allowed| !allowed.is_zero()) else {
        return;
    };
    while handle.report().await.is_some() {
        say(Word::Alive).await;
        tokio::time::sleep((allowed / 2).max(Duration::from_millis(1))).await;
    }
}
