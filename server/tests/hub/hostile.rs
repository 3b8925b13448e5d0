//! Input that no client sends, and clients that come and go.

use std::time::Duration;

use dosp_proto::frame::FrameType;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Client, PATIENCE, TestHub, vip};

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
async fn half_headers_hold_nobody_up() {
    let hub = TestHub::start();
    let mut halves = Vec::new();
    for len in (0..5).cycle().take(200) {
        let mut socket = TcpStream::connect(hub.addr).await.unwrap();
        socket.write_all(&[3, 0, 0, 0][..len.min(4)]).await.unwrap();
        halves.push(socket);
    }
    assert_alive(&hub).await;
    drop(halves);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_that_come_and_go_leave_nothing_behind() {
    const AT_ONCE: usize = 100;
    let hub = TestHub::start();
    let mut memory = 0;
    for round in 0..10_000 / AT_ONCE {
        let mut clients = Vec::with_capacity(AT_ONCE);
        for _ in 0..AT_ONCE {
            clients.push(hub.join().await);
        }
        for (number, client) in clients.into_iter().enumerate() {
            end(client, number).await;
        }
        if round == 10 {
            memory = resident_memory();
        }
    }
    until_empty(&hub).await;
    let grown = resident_memory().saturating_sub(memory);
    // 9,000 sessions that kept a buffer, or 8 KiB, would be above it; other tests share the process.
    assert!(grown < 64 << 20, "{grown} bytes");
    assert_eq!(hub.join().await.vip, vip("7.10.0.2"));
}

/// Says goodbye, closes, or breaks off.
async fn end(mut client: Client, number: usize) {
    match number % 3 {
        0 => client.leave().await,
        1 => client.socket.shutdown().await.unwrap(),
        _ => socket2::SockRef::from(&client.socket).set_linger(Some(Duration::ZERO)).unwrap(),
    }
}

/// The hub hears of a broken connection a little later.
async fn until_empty(hub: &TestHub) {
    let asked = async {
        loop {
            let mut client = hub.join().await;
            client.send(FrameType::GCL, b"").await;
            let is_alone = client.recv().await.1 == [7, 10, 0, 2];
            client.leave().await;
            if is_alone {
                return;
            }
        }
    };
    timeout(PATIENCE, asked).await.unwrap();
}

fn resident_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}
