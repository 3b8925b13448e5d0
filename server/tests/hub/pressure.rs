//! Clients that do not read, and many that send at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dosp_proto::frame::FrameType;
use dosp_proto::member::Join;
use dosp_proto::vip::Vip;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};

use crate::admin::{TOKEN, admin_hub};
use crate::client::{Client, PATIENCE, TestHub, s2c};
use crate::member::{Introduced, identity};

/// More than all the buffers between two clients hold.
const TOO_MUCH: usize = 64 << 20;
const DATA_LEN: usize = 4096;

async fn assert_others_talk(alice: &mut Client, bob: &mut Client, num_rounds: usize) {
    for _ in 0..num_rounds {
        alice.send_to(bob.vip, b"ping").await;
        assert_eq!(bob.recv_s2c().await.2, b"ping");
        bob.send_to(alice.vip, b"pong").await;
        assert_eq!(alice.recv_s2c().await.2, b"pong");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_reader_holds_back_its_sender_only_and_is_cut() {
    let hub = TestHub::start_with(|config| config.write_timeout = Duration::from_secs(3));
    let (mut alice, mut bob) = (hub.join().await, hub.join().await);
    let (mut sender, mut slow) = (hub.join().await, hub.join().await);
    let slow_vip = slow.vip;
    let sending = tokio::spawn(async move {
        for number in 0..(TOO_MUCH / DATA_LEN) {
            let mut data = vec![0; DATA_LEN];
            data[..8].copy_from_slice(&number.to_be_bytes());
            sender.send_to(slow_vip, &data).await;
        }
        sender
    });
    assert_others_talk(&mut alice, &mut bob, 30).await;
    assert!(!sending.is_finished(), "the sender waits");

    // Only the end of the slow session lets the sender finish.
    let mut sender = timeout(PATIENCE, sending).await.unwrap().unwrap();
    assert_eq!(sender.recv_undeliverable().await.0, slow_vip);

    let mut num_received = 0;
    while let Some((frame_type, body)) = slow.next().await {
        if frame_type == FrameType::EXIT {
            assert_eq!(body, b"too slow for what is sent to it");
            break;
        }
        assert_eq!(frame_type, FrameType::S2C);
        assert_eq!(body[8..16], usize::to_be_bytes(num_received), "nothing is missing");
        num_received += 1;
    }
    assert!(num_received > 50, "{num_received}");
    assert_eq!(hub.join().await.vip, slow_vip, "its place is free");
    assert_eq!(hub.handle.status().sessions_cut, 1);
}

/// A plain client that sends to `dst` as fast as it can, and how long each of its waits took of those
/// that a person would see.
fn flood(mut sender: Client, dst: Vip) -> JoinHandle<Vec<Duration>> {
    tokio::spawn(async move {
        let (data, mut waits) = (vec![0; DATA_LEN], Vec::new());
        for _ in 0..(TOO_MUCH / DATA_LEN) {
            let sent_at = Instant::now();
            sender.send_to(dst, &data).await;
            let took = sent_at.elapsed();
            if took > Duration::from_millis(500) {
                waits.push(took);
            }
        }
        waits
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_reader_costs_its_sender_two_seconds_once() {
    let hub = TestHub::start();
    let (sender, stalled) = (hub.join().await, hub.join().await);
    let waits = timeout(PATIENCE, flood(sender, stalled.vip)).await.unwrap().unwrap();
    // 2.5 s by the rule, and what a busy machine adds; far less than the 10 s of the write timeout.
    assert!(waits.len() == 1 && waits[0] < Duration::from_secs(5), "{waits:?}");
    let cut = async {
        while hub.handle.status().sessions_cut == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, cut).await.unwrap();
    assert_eq!(hub.handle.status().sessions.len(), 0, "the sender is gone, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_reader_that_moves_is_not_cut() {
    const READ_LEN: usize = 10_000;
    let hub = TestHub::start();
    let (sender, mut slow) = (hub.join().await, hub.join().await);
    let sending = flood(sender, slow.vip);
    // 200 kB/s, and long enough for the rule to cut it three times.
    let mut ticks = interval(Duration::from_millis(50));
    let mut bytes = [0; READ_LEN];
    for _ in 0..160 {
        ticks.tick().await;
        timeout(PATIENCE, slow.socket.read_exact(&mut bytes)).await.unwrap().unwrap();
    }
    // Between what was written and what the sender brings next there may be nothing for a moment.
    let queued = async {
        while hub.handle.status().sessions[1].queued_bytes == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, queued).await.unwrap();
    let status = hub.handle.status();
    assert_eq!((status.sessions_cut, status.sessions.len()), (0, 2));
    assert!(status.sessions[1].congestion.is_some());
    assert!(!sending.is_finished(), "the sender waits");
    sending.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sender_of_flows_waits_for_nobody() {
    let state = tempfile::tempdir().unwrap();
    let hub = TestHub::start_with(|config| config.state = Some(state.path().to_owned()));
    let connect = async || TcpStream::connect(hub.addr).await.unwrap();
    let join = async || {
        let introduced = Introduced::over(connect().await, &identity()).await;
        introduced.join(Join::default()).await.unwrap()
    };
    let (mut sender, stalled) = (join().await, join().await);
    // Version 2, of flow 1.
    let mut data = vec![0; 16 * DATA_LEN];
    data[..3].copy_from_slice(b"\xD2\0\x01");
    let started_at = Instant::now();
    for _ in 0..(TOO_MUCH / data.len()) {
        sender.link.client.send_to(stalled.vip(), &data).await;
    }
    sender.link.client.send(FrameType::PING, b"").await;
    while sender.link.client.recv().await.0 != FrameType::PING {}
    // A wait for one that reads nothing would take 2 s at least, and cut it.
    assert!(started_at.elapsed() < Duration::from_secs(8), "{:?}", started_at.elapsed());
    let status = hub.handle.status();
    assert_eq!((status.sessions_cut, status.sessions.len()), (0, 2));
    assert!(status.dropped["queue_full"] > 0, "{:?}", status.dropped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_that_pauses_loses_nothing() {
    let hub = TestHub::start();
    let (mut sender, mut slow) = (hub.join().await, hub.join().await);
    let slow_vip = slow.vip;
    let num_frames = TOO_MUCH / DATA_LEN;
    let sending = tokio::spawn(async move {
        for number in 0..num_frames {
            let mut data = vec![0; DATA_LEN];
            data[..8].copy_from_slice(&number.to_be_bytes());
            sender.send_to(slow_vip, &data).await;
        }
        sender
    });
    let mut other = hub.join().await;
    for number in 0..num_frames {
        if number % 4000 == 0 {
            // A pause of a length that the hub decides: until it has served somebody else.
            other.sync().await;
        }
        assert_eq!(slow.recv_s2c().await.2[..8], number.to_be_bytes());
    }
    timeout(PATIENCE, sending).await.unwrap().unwrap().sync().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_questions_by_a_client_that_does_not_read_stops_nobody_else() {
    let hub = TestHub::start();
    let (mut alice, mut bob) = (hub.join().await, hub.join().await);
    let mut flooder = hub.join().await;
    let flooding = tokio::spawn(async move {
        let questions = b"\x04\0\0\0\0".repeat(10_000);
        for _ in 0..(TOO_MUCH / questions.len()) {
            flooder.send_bytes(&questions).await;
        }
    });
    assert_others_talk(&mut alice, &mut bob, 50).await;
    assert!(!flooding.is_finished(), "the flooder waits for itself");
    flooding.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broadcast_waits_for_nobody_who_does_not_read() {
    let hub = admin_hub();
    let mut admin = hub.join().await;
    admin.send(FrameType::AUTH, TOKEN.as_bytes()).await;
    assert_eq!(admin.recv().await, (FrameType::AUTH, b"OK".to_vec()));
    let (deaf, mut alice) = (hub.join().await, hub.join().await);
    let message = vec![b'x'; 100_000];
    let num_broadcasts = TOO_MUCH / message.len();
    for _ in 0..num_broadcasts {
        admin.send(FrameType::BCST, &message).await;
        assert_eq!(admin.recv().await.0, FrameType::BCST);
        assert_eq!(alice.recv().await, (FrameType::MSG, message.clone()));
    }
    admin.send(FrameType::BCST, b"last").await;
    assert_eq!(admin.recv().await.1, b"Broadcast sent to 1 clients", "the other has no room");
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_to_one_receiver_keep_their_order() {
    const NUM_SENDERS: usize = 64;
    const NUM_FRAMES: u32 = 2000;
    let hub = TestHub::start();
    let mut receiver = hub.join().await;
    let dst = receiver.vip;
    let mut senders = Vec::new();
    for _ in 0..NUM_SENDERS {
        let mut sender = hub.join().await;
        senders.push(tokio::spawn(async move {
            let frame = |number: u32| {
                let mut data = number.to_be_bytes().to_vec();
                data.resize(4 + number as usize % 300, number.to_le_bytes()[0]);
                s2c(dst, Vip::NONE, &data)
            };
            let frames: Vec<u8> = (0..NUM_FRAMES).flat_map(frame).collect();
            // Cut anywhere, so that frames come in pieces.
            for piece in frames.chunks(7001) {
                sender.send_bytes(piece).await;
            }
            sender
        }));
    }
    let mut next = BTreeMap::new();
    for _ in 0..NUM_SENDERS * NUM_FRAMES as usize {
        let (_, src, data) = receiver.recv_s2c().await;
        let expected: &mut u32 = next.entry(src).or_default();
        assert_eq!(data[..4], expected.to_be_bytes(), "order of {src}");
        assert_eq!(data.len(), 4 + *expected as usize % 300);
        *expected += 1;
    }
    assert_eq!(next.len(), NUM_SENDERS);
    assert!(next.values().all(|num_frames| *num_frames == NUM_FRAMES));
    receiver.sync().await;
    for sender in senders {
        sender.await.unwrap();
    }
}
