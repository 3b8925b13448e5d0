//! Input that no client sends, and clients that come and go.

use std::time::Duration;

use dosp_proto::frame::FrameType;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{PATIENCE, TestHub};

async fn assert_alive(hub: &TestHub) {
    let (mut alice, mut bob) = (hub.join().await, hub.join().await);
    alice.send_to(bob.vip, b"alive").await;
    assert_eq!(bob.recv_s2c().await.2, b"alive");
    alice.leave().await;
    bob.leave().await;
}

/// Sends, closes its half, and reads until the hub has closed the other.
async fn talk_at(hub: &TestHub, bytes: &[u8]) {
    let mut socket = TcpStream::connect(hub.addr).await.unwrap();
    // The hub may close at the first byte that makes no sense.
    socket.write_all(bytes).await.unwrap_or_default();
    socket.shutdown().await.unwrap_or_default();
    let mut answers = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut answers)).await.unwrap().unwrap_or_default();
}

#[tokio::test]
async fn garbage_harms_nobody() {
    let hubs = [false, true].map(|compression| {
        TestHub::start_with(|config| {
            config.compression = compression;
            config.builtin_functions = true;
        })
    });
    let any_bytes = prop::collection::vec(any::<u8>(), 0..3000);
    // Small numbers are types, and lengths that are kept.
    let nearly_frames = prop::collection::vec(0u8..0x22, 0..3000);
    let mut runner = TestRunner::deterministic();
    for _ in 0..150 {
        for hub in &hubs {
            let bytes = any_bytes.new_tree(&mut runner).unwrap().current();
            talk_at(hub, &bytes).await;
            let mut bytes = nearly_frames.new_tree(&mut runner).unwrap().current();
            for header in bytes.chunks_mut(11) {
                header.iter_mut().skip(1).take(3).for_each(|byte| *byte = 0);
            }
            talk_at(hub, &bytes).await;
        }
    }
    assert_alive(&hubs[0]).await;
}

#[tokio::test]
async fn frame_that_comes_byte_by_byte_is_a_frame() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    for byte in b"\x02\0\0\0\x03abc" {
        alice.send_bytes(&[*byte]).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(alice.recv().await, (FrameType::PING, vec![]));
}

#[tokio::test]
async fn message_of_a_mebibyte_is_one_line_at_most() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    for _ in 0..20 {
        alice.send(FrameType::MSG, &vec![0x1B; 1 << 20]).await;
    }
    alice.sync().await;
}
