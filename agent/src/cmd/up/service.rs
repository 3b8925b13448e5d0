//! How the agent is, for a service manager.

use dosp_daemon::service::{self, Word, say};
use tokio::task::JoinHandle;

use crate::node::{LinkState, NodeHandle};

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
    if !service::is_supervised() || handle.report().await.is_none() {
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

/// A node that does not answer is not alive.
async fn keep_alive(handle: &NodeHandle) {
    let Some(interval) = service::alive_interval() else { return };
    while handle.report().await.is_some() {
        say(Word::Alive).await;
        tokio::time::sleep(interval).await;
    }
}
