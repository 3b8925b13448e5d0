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
    tokio::join!(tell_state(&handle, &hub), service::keep_alive(|| answers(&handle)));
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

/// A node that does not answer is not alive, nor is one that has ended.
async fn answers(handle: &NodeHandle) -> bool {
    handle.report().await.is_some()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio::task::yield_now;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::engine::EngineConfig;
    use crate::host::NoHost;
    use crate::node::{Node, NodeConfig};
    use crate::tun::ChannelTun;

    #[tokio::test]
    async fn watchdog_gets_nothing_of_a_node_that_does_not_answer() {
        let hub = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = hub.local_addr().unwrap().to_string().parse().unwrap();
        let config = NodeConfig::new(addr, EngineConfig::default());
        let (node, handle) = Node::<ChannelTun, _>::new(config, None, NoHost);
        let (feed_one, mut fed) = mpsc::unbounded_channel();
        let count = || async { feed_one.send(()).unwrap() };
        let feed = service::feed(Duration::ZERO, || answers(&handle), count);
        let turns = async {
            let some_time = || async {
                for _ in 0..100 {
                    yield_now().await;
                }
            };
            // Its task is there, and does not come to a turn.
            some_time().await;
            assert!(fed.is_empty());
            let stop = CancellationToken::new();
            let running = tokio::spawn(node.run(stop.clone()));
            for _ in 0..3 {
                fed.recv().await.unwrap();
            }
            stop.cancel();
            running.await.unwrap().unwrap();
            some_time().await;
            let num_before = fed.len();
            some_time().await;
            assert_eq!(fed.len(), num_before, "it has ended");
        };
        tokio::select! {
            () = feed => {}
            () = turns => {}
        }
    }
}
