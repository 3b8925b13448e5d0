//! Clients that do not read, and many that send at once.

use std::collections::BTreeMap;
use std::time::Duration;

use dosp_proto::frame::FrameType;
use dosp_proto::vip::Vip;
use tokio::time::timeout;

use crate::admin::{TOKEN, admin_hub};
use crate::client::{Client, PATIENCE, TestHub, s2c};

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
        assert_eq!(frame_type, FrameType::S2C);
        assert_eq!(body[8..16], usize::to_be_bytes(num_received), "nothing is missing");
        num_received += 1;
    }
    assert!(num_received > 50, "{num_received}");
    assert_eq!(hub.join().await.vip, slow_vip, "its place is free");
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
