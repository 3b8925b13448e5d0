//! What a peer can make the hub hold in its memory.

use std::time::{Duration, Instant};

use dosp_proto::federation::{Claim, Routes};
use dosp_proto::member::Control;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::liar::{Liar, MAX_FRAME_LEN};
use crate::member::identity;
use crate::process::HubProcess;

/// More than the buffers of a link, and far less than a flood.
const MOST_KIB: i64 = 16 * 1024;
/// Shorter than the time after which a connection that takes nothing is closed.
const FLOOD: Duration = Duration::from_secs(4);

/// Floods the hub with words, reads nothing, and says how much memory it took at most, in KiB.
async fn flood(words: impl Fn(&Liar) -> Vec<Control>) -> i64 {
    let state = tempfile::tempdir().unwrap();
    let key = identity();
    let peer = format!("=7.11.0.0/24,networks=10.0.0.0/8,key={}", key.public());
    let folder = state.path().join("state");
    let hub = HubProcess::start(&["--peer", &peer, "--state", folder.to_str().unwrap()]);
    let mut liar = Liar::dial(TcpStream::connect(hub.addr).await.unwrap(), &key).await;
    let own = liar.claim("7.11.0.0/24".parse().unwrap(), &[]);
    liar.say_routes(vec![own]).await;
    liar.sync().await;
    let words = words(&liar);
    hub.forget_peak();
    let before = hub.peak_memory();
    let started_at = Instant::now();
    while started_at.elapsed() < FLOOD {
        let mut frames = Vec::new();
        for word in words.iter().cycle().take(1000.max(words.len())) {
            liar.channel.sealer.seal(word, &mut frames);
        }
        // A hub that waits for its peer to read is as good.
        let sent = timeout(FLOOD, liar.client.send_bytes(&frames));
        sent.await.unwrap_or_default();
    }
    hub.peak_memory() - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_pings_by_a_peer_that_does_not_read_takes_no_memory() {
    let took = flood(|_| vec![Control::Ping]).await;
    assert!(took < MOST_KIB, "{took} KiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_routes_takes_no_memory() {
    let took = flood(|liar| {
        let claim = |n: u16, round: u8| -> Claim {
            let [high, low] = n.to_be_bytes();
            let network = format!("10.{}.{low}.0/24", round * 4 + high);
            liar.claim(network.parse().unwrap(), &[[9; 4].into()])
        };
        let routes = |round: u8| (0..1000).map(|n| claim(n, round)).collect();
        let word = |round| Routes { max_frame_len: MAX_FRAME_LEN, routes: routes(round) };
        (0..2).map(|round| Control::Routes(word(round))).collect()
    })
    .await;
    assert!(took < MOST_KIB, "{took} KiB");
}
