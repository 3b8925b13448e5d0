//! Thousands of connections, and what they leave behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dosp_proto::frame::{self, FrameType};
use tokio::io::AsyncWriteExt;
use tokio::time::{interval, timeout};

use crate::client::{Client, PATIENCE, vip};
use crate::process::HubProcess;

/// Members may wait so long for each other, whatever strangers do: far more than it takes, for a
/// machine that is busy with other tests.
pub(crate) const MAX_ROUND_TRIP: Duration = Duration::from_secs(2);
/// What a connection that sends nothing whole may cost the hub, in KiB.
const MAX_IDLE_MEMORY: i64 = 8;
/// What a connection that has gone may leave behind, in bytes: less than the smallest allocation.
const MAX_LEFT_BEHIND: i64 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_and_slow_connections_by_the_thousand_do_not_touch_members() {
    const NUM_STRANGERS: u32 = 5000;
    // How much of it a stranger sends, one byte a second: more than a header, half of one, nothing.
    const FRAME: [u8; 10] = *b"\x01\0\0\0\x64hello";
    const SENT_LEN: [usize; 3] = [FRAME.len(), 3, 0];
    // A long frame before it shows whether the hub keeps the buffer that it read that into.
    let mut first = Vec::new();
    frame::encode(&mut first, FrameType::MSG, &[0; 50_000]);
    first.push(FRAME[0]);
    let hub = HubProcess::start(&["--network", "10.7.0.0/16"]);
    let (mut alice, mut bob) = (hub.join().await, hub.join().await);
    let before = hub.memory();
    let mut strangers = Vec::new();
    for number in 0..NUM_STRANGERS {
        let mut stranger = hub.connect(number).await;
        if SENT_LEN[number as usize % SENT_LEN.len()] > 0 {
            stranger.write_all(&first).await.unwrap();
        }
        strangers.push(stranger);
    }
    let mut seconds = interval(Duration::from_secs(1));
    for (at, byte) in FRAME.into_iter().enumerate().skip(1) {
        seconds.tick().await;
        for (stranger, len) in strangers.iter_mut().zip(SENT_LEN.into_iter().cycle()) {
            if at < len {
                stranger.write_all(&[byte]).await.unwrap();
            }
        }
        assert!(slowest_round_trip(&mut alice, &mut bob, 50).await < MAX_ROUND_TRIP);
    }
    let grown = hub.memory() - before;
    assert!(grown <= i64::from(NUM_STRANGERS) * MAX_IDLE_MEMORY, "{grown} KiB");
    assert_eq!(hub.join().await.vip, vip("10.7.19.140"), "all of them are still there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_connects_does_not_touch_members_and_leaves_nothing_behind() {
    assert_survives_flood("10.7.0.0/16").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_connects_at_a_full_hub_does_not_touch_members_and_leaves_nothing_behind() {
    assert_survives_flood("10.7.0.0/29").await;
}

async fn assert_survives_flood(network: &str) {
    let hub = Arc::new(HubProcess::start(&["--network", network]));
    let (mut alice, mut bob) = (hub.join().await, hub.join().await);
    let flood = tokio::spawn(connect_20_000_times_in_10_s(Arc::clone(&hub)));
    let mut slowest = Duration::ZERO;
    while !flood.is_finished() {
        slowest = slowest.max(slowest_round_trip(&mut alice, &mut bob, 10).await);
    }
    flood.await.unwrap();
    assert!(slowest < MAX_ROUND_TRIP, "{slowest:?}");
    assert_floods_leave_nothing(&hub, &mut alice).await;
    assert_eq!(hub.join().await.vip, vip("10.7.0.4"));
}

async fn connect_20_000_times_in_10_s(hub: Arc<HubProcess>) {
    let mut ticks = interval(Duration::from_millis(10));
    for _ in 0..1000 {
        ticks.tick().await;
        connect_and_go(&hub, 20).await;
    }
}

async fn assert_floods_leave_nothing(hub: &HubProcess, member: &mut Client) {
    const NUM_CONNECTS: u32 = 20_000;
    assert_leaves_nothing(NUM_CONNECTS, hub.memory(), async || {
        connect_and_go(hub, NUM_CONNECTS).await;
        until_there_are(2, member).await;
        hub.memory()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_that_come_and_go_leave_nothing_behind() {
    const NUM_CLIENTS: u32 = 10_000;
    const NUM_AT_ONCE: u32 = 100;
    let hub = HubProcess::start(&[]);
    let before = memory_when_empty(&hub).await;
    assert_leaves_nothing(NUM_CLIENTS, before, async || {
        for _ in 0..NUM_CLIENTS / NUM_AT_ONCE {
            let mut clients = Vec::new();
            for _ in 0..NUM_AT_ONCE {
                clients.push(hub.join().await);
            }
            for (number, client) in clients.into_iter().enumerate() {
                end(client, number).await;
            }
        }
        memory_when_empty(&hub).await
    })
    .await;
    assert_eq!(hub.join().await.vip, vip("7.10.0.2"));
}

/// Has crowds of `num_connections` come and go; `crowd` tells the memory after one, in KiB.
///
/// The allocator keeps what the largest crowd so far made it take, and on a busy machine the next one
/// may be larger a few times over. What each connection left behind, every crowd would leave again.
async fn assert_leaves_nothing(
    num_connections: u32,
    mut before: i64,
    mut crowd: impl AsyncFnMut() -> i64,
) {
    const MAX_CROWDS: u32 = 12;
    let mut least_left = i64::MAX;
    for _ in 0..MAX_CROWDS {
        let after = crowd().await;
        least_left = least_left.min(after - before);
        if least_left * 1024 / i64::from(num_connections) <= MAX_LEFT_BEHIND {
            return;
        }
        before = after;
    }
    panic!("every crowd leaves {least_left} KiB and more");
}

async fn connect_and_go(hub: &HubProcess, num_times: u32) {
    for number in 0..num_times {
        drop(hub.connect(number).await);
    }
    // The hub takes them in turn: when it does something with the next, it has taken them all.
    let next = hub.connect(num_times).await;
    timeout(PATIENCE, next.readable()).await.unwrap().unwrap();
}

/// Says goodbye, closes, or breaks off.
async fn end(mut client: Client, number: usize) {
    match number % 3 {
        0 => client.leave().await,
        1 => client.socket.shutdown().await.unwrap(),
        _ => drop(client),
    }
}

/// Waits until the hub has heard that all others are gone: of a broken connection it hears later.
async fn until_there_are(num_members: usize, client: &mut Client) {
    let asked = async {
        loop {
            client.send(FrameType::GCL, b"").await;
            if client.recv().await.1.len() == num_members * 4 {
                return;
            }
        }
    };
    timeout(PATIENCE, asked).await.unwrap();
}

async fn memory_when_empty(hub: &HubProcess) -> i64 {
    let mut last = hub.join().await;
    until_there_are(1, &mut last).await;
    last.leave().await;
    hub.memory()
}

async fn slowest_round_trip(alice: &mut Client, bob: &mut Client, num_rounds: u32) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..num_rounds {
        let sent_at = Instant::now();
        alice.send_to(bob.vip, b"ping").await;
        assert_eq!(bob.recv_s2c().await.2, b"ping");
        bob.send_to(alice.vip, b"pong").await;
        assert_eq!(alice.recv_s2c().await.2, b"pong");
        slowest = slowest.max(sent_at.elapsed());
    }
    slowest
}
