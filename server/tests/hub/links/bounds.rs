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

/// Sealed in far less than the time after which a silent hub is given up.
const BATCH_LEN: usize = 64 * 1024;

/// Lines in the log of a hub that is flooded: all that is refused of one message, and one a second.
const MOST_LINES: u64 = 64 + 16;

/// Floods the hub with words and reads nothing.
async fn assert_flood_is_harmless(words: impl Fn(&Liar) -> Vec<Control>) {
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
        for word in words.iter().cycle() {
            liar.channel.sealer.seal(word, &mut frames);
            if frames.len() > BATCH_LEN {
                break;
            }
        }
        // A hub that waits for its peer to read is as good.
        let sent = timeout(FLOOD, liar.client.send_bytes(&frames));
        sent.await.unwrap_or_default();
    }
    let took = hub.peak_memory() - before;
    assert!(took < MOST_KIB, "{took} KiB");
    assert!(hub.num_logged() < MOST_LINES, "{} lines", hub.num_logged());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_pings_by_a_peer_that_does_not_read_takes_no_memory() {
    assert_flood_is_harmless(|_| vec![Control::Ping]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_routes_takes_no_memory_and_fills_no_log() {
    assert_flood_is_harmless(|liar| {
        let claim = |n: u16, round: u8| -> Claim {
            let [high, low] = n.to_be_bytes();
            let network = format!("10.{}.{low}.0/24", round * 4 + high);
            liar.claim(network.parse().unwrap(), &[[9; 4].into()])
        };
        let routes = |round: u8| (0..1000).map(|n| claim(n, round)).collect();
        let max_frame_len = |round: u8| u32::from(round) * MAX_FRAME_LEN;
        let word = |round| Routes { max_frame_len: max_frame_len(round), routes: routes(round) };
        (0..2).map(|round| Control::Routes(word(round))).collect()
    })
    .await;
}
