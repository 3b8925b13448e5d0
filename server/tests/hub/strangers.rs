//! Crowds at the door of a closed hub, and its members meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dosp_proto::frame::FrameType;
use dosp_proto::join_string::JoinKey;
use dosp_proto::member::{Dialler, Purpose};
use rand::rngs::StdRng;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::client::{Client, PATIENCE};
use crate::crowds::MAX_ROUND_TRIP;
use crate::member::{Introduced, Member, identity, read_greeting, with_key};
use crate::process::HubProcess;

/// So many connections that have not joined the hub keeps, in all and of one source.
const MAX_STRANGERS: u32 = 4096;
const MAX_STRANGERS_OF_SOURCE: usize = 1024;
/// What each of them may cost the hub, in KiB.
const MAX_STRANGER_MEMORY: i64 = 16;
/// What a crowd may leave behind, in KiB, after one that was as large: the allocator keeps what the
/// largest so far made it take. That is some 200 bytes a connection, less than the smallest that one holds.
const MAX_LEFT_BEHIND: i64 = 1024;

async fn member(hub: &HubProcess, number: u32, key: &JoinKey) -> Member {
    let introduced = Introduced::over(hub.connect(number).await, &identity()).await;
    introduced.join(with_key(key)).await.unwrap_or_else(|refused| panic!("{refused:?}"))
}

async fn slowest_round_trip(alice: &mut Member, bob: &mut Member, num_rounds: u32) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..num_rounds {
        let sent_at = Instant::now();
        alice.link.client.send_to(bob.vip(), b"ping").await;
        assert_eq!(bob.recv_data().await, b"ping");
        bob.link.client.send_to(alice.vip(), b"pong").await;
        assert_eq!(alice.recv_data().await, b"pong");
        slowest = slowest.max(sent_at.elapsed());
    }
    slowest
}

async fn until_no_stranger_is_left(hub: &HubProcess) {
    let gone = async {
        while hub.hub_status().strangers > 0 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
}

/// What each connection left behind, every crowd would leave again. What the allocator keeps for
/// later levels off, sooner or later.
async fn assert_crowds_leave_nothing(hub: &HubProcess, (alice, bob): (&mut Member, &mut Member)) {
    const MAX_CROWDS: u32 = 30;
    let mut left = Vec::new();
    let mut before = memory_without_strangers(hub).await;
    for _ in 0..MAX_CROWDS {
        drop(crowd(hub, 5000, |number| number, (alice, bob)).await);
        let after = memory_without_strangers(hub).await;
        if after - before <= MAX_LEFT_BEHIND {
            return;
        }
        left.push(after - before);
        before = after;
    }
    panic!("{left:?} KiB, crowd by crowd");
}

async fn memory_without_strangers(hub: &HubProcess) -> i64 {
    until_no_stranger_is_left(hub).await;
    // What is written and read for the last time takes a moment.
    sleep(Duration::from_secs(1)).await;
    hub.memory()
}

/// Connects as `source_of` says, and lets the members talk now and then.
async fn crowd(
    hub: &HubProcess,
    num_strangers: u32,
    source_of: impl Fn(u32) -> u32,
    (alice, bob): (&mut Member, &mut Member),
) -> Vec<TcpStream> {
    let mut strangers = Vec::new();
    for number in 0..num_strangers {
        strangers.push(hub.connect(source_of(number)).await);
        if number % 100 == 0 {
            assert!(slowest_round_trip(alice, bob, 1).await < MAX_ROUND_TRIP);
        }
    }
    strangers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_crowd_costs_little_and_does_not_touch_members() {
    let hub = HubProcess::start_closed("10.7.0.0/16");
    let key = hub.invite(4);
    let (mut alice, mut bob) = (member(&hub, 1, &key).await, member(&hub, 2, &key).await);
    let before = hub.memory();
    let strangers = crowd(&hub, 5000, |number| number, (&mut alice, &mut bob)).await;
    let grown = hub.memory() - before;
    assert!(grown <= i64::from(MAX_STRANGERS) * MAX_STRANGER_MEMORY, "{grown} KiB");
    let num_strangers = hub.hub_status().strangers;
    assert!(num_strangers <= MAX_STRANGERS as usize, "{num_strangers}");
    let joining_since = Instant::now();
    member(&hub, 3, &key).await;
    assert!(joining_since.elapsed() < MAX_ROUND_TRIP, "{:?}", joining_since.elapsed());
    drop(strangers);
    assert_crowds_leave_nothing(&hub, (&mut alice, &mut bob)).await;

    let strangers = crowd(&hub, 1500, |_| 7, (&mut alice, &mut bob)).await;
    let num_strangers = hub.hub_status().strangers;
    assert!(num_strangers <= MAX_STRANGERS_OF_SOURCE, "{num_strangers}");
    member(&hub, 7, &key).await;
    assert!(slowest_round_trip(&mut alice, &mut bob, 50).await < MAX_ROUND_TRIP);
    // They hold on; the hub does not.
    until_no_stranger_is_left(&hub).await;
    drop(strangers);
    assert_eq!(hub.hub_status().members, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_handshakes_does_not_touch_members() {
    const NUM_TICKS: u32 = 300;
    const NUM_PER_TICK: u32 = 20;
    let hub = Arc::new(HubProcess::start_closed("10.7.0.0/16"));
    let key = hub.invite(3);
    let (mut alice, mut bob) = (member(&hub, 1, &key).await, member(&hub, 2, &key).await);
    // What the hub says first is the same for everybody, so one first message is good for all.
    let greeting = read_greeting(&mut Client::speechless(hub.connect(0).await)).await;
    let (_, first) =
        Dialler::start(Purpose::Join, &identity(), &greeting, &mut rand::make_rng::<StdRng>())
            .unwrap();
    let first: Arc<[u8]> = first.into();
    let flooding = {
        let hub = Arc::clone(&hub);
        tokio::spawn(async move {
            let (mut ticks, mut all) = (interval(Duration::from_millis(10)), JoinSet::new());
            for number in 0..NUM_TICKS * NUM_PER_TICK {
                if number % NUM_PER_TICK == 0 {
                    ticks.tick().await;
                }
                all.spawn(is_answered(Arc::clone(&hub), number, Arc::clone(&first)));
            }
            all.join_all().await.into_iter().filter(|is_answered| *is_answered).count()
        })
    };
    let mut slowest = Duration::ZERO;
    while !flooding.is_finished() {
        slowest = slowest.max(slowest_round_trip(&mut alice, &mut bob, 10).await);
    }
    let num_answered = flooding.await.unwrap();
    assert!(num_answered > 1000, "{num_answered}");
    assert!(slowest < MAX_ROUND_TRIP, "{slowest:?}");
    member(&hub, 3, &key).await;
}

/// Whether the hub takes the first message of a handshake; otherwise it says EXIT.
async fn is_answered(hub: Arc<HubProcess>, number: u32, first: Arc<[u8]>) -> bool {
    let mut client = Client::speechless(hub.connect(number).await);
    read_greeting(&mut client).await;
    client.send_bytes(&first).await;
    client.recv().await.0 == FrameType::XHS
}
