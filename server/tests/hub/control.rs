//! Frames for the hub itself, and those that end a session.

use std::time::Instant;

use dosp_proto::frame::FrameType;
use dosp_proto::message::{ClientList, ErrorReport, SessionInfo};
use dosp_proto::vip::Network;

use crate::client::{Client, TestHub, vip};

#[tokio::test]
async fn ping_is_answered_empty() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    alice.send(FrameType::PING, b"whatever").await;
    assert_eq!(alice.recv().await, (FrameType::PING, Vec::new()));
}

#[tokio::test]
async fn client_list_is_sorted_and_current() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    let bob = hub.join().await;
    let _carol = hub.join().await;
    bob.leave().await;
    alice.send(FrameType::GCL, b"ignored").await;
    let (frame_type, body) = alice.recv().await;
    assert_eq!(frame_type, FrameType::GCL);
    assert_eq!(ClientList::decode(&body).unwrap().0, [vip("7.10.0.2"), vip("7.10.0.4")]);
}

#[tokio::test]
async fn session_info_counts_frames() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    alice.sync().await;
    alice.send(FrameType::GSI, b"").await;
    let (frame_type, body) = alice.recv().await;
    assert_eq!(frame_type, FrameType::GSI);
    let info = SessionInfo::decode(&body).unwrap();
    assert_eq!((info.vip, info.network, info.admin), (alice.vip, Network::DEFAULT, false));
    assert_eq!((info.rx_frames, info.tx_frames), (2, 3));
}

#[tokio::test]
async fn message_to_the_hub_is_not_answered() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    alice.send(FrameType::MSG, b"\x1b[2Jhello\0").await;
    alice.send_to(vip("7.10.0.1"), b"hello again").await;
    alice.sync().await;
}

#[tokio::test]
async fn unknown_types_are_reported_and_survived() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    for frame_type in [0x00, 0x10, 0x13, 0x1B, 0x1F, 0x20, 0xFF] {
        alice.send(FrameType(frame_type), b"body").await;
        assert_eq!(alice.recv().await, (FrameType::ERR, vec![0x09, frame_type]));
    }
    alice.sync().await;
}

#[tokio::test]
async fn exit_ends_the_session_after_what_was_asked_before() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    alice.send_bytes(b"\x02\0\0\0\0\x11\0\0\0\x02CC\x02\0\0\0\0").await;
    assert_eq!(alice.recv().await.0, FrameType::PING);
    alice.assert_closed().await;
}

#[tokio::test]
async fn half_closed_client_gets_its_answers() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    alice.send(FrameType::PING, b"").await;
    tokio::io::AsyncWriteExt::shutdown(&mut alice.socket).await.unwrap();
    assert_eq!(alice.recv().await.0, FrameType::PING);
    alice.assert_closed().await;
}

async fn assert_protocol_error(alice: &mut Client, words: &str) {
    let (frame_type, body) = alice.recv().await;
    assert_eq!(frame_type, FrameType::ERR);
    let ErrorReport::Text(text) = ErrorReport::decode(&body) else { panic!("{body:?}") };
    assert!(text.contains(words), "{text}");
    assert_eq!(alice.recv().await, (FrameType::EXIT, b"protocol error".to_vec()));
    alice.assert_closed().await;
}

#[tokio::test]
async fn length_bomb_ends_the_session_at_its_header() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    let asked_at = Instant::now();
    alice.send_bytes(&[0x03, 0xFF, 0xFF, 0xFF, 0xFF]).await;
    assert_protocol_error(&mut alice, "announces 4294967295 bytes, the limit is 1048576").await;
    assert!(asked_at.elapsed().as_secs() < 10);
    assert_eq!(hub.join().await.vip, vip("7.10.0.2"), "its place is free");
}

#[tokio::test]
async fn length_bomb_with_its_bytes_behind_it_still_hears_why() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    let mut bomb = vec![0; 300_000];
    bomb[..5].copy_from_slice(&[0x01, 0, 0x10, 0, 1]);
    alice.send_bytes(&bomb).await;
    assert_protocol_error(&mut alice, "announces 1048577 bytes").await;
}

#[tokio::test]
async fn s2c_without_addresses_ends_the_session() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    alice.send(FrameType::S2C, &[7, 10, 0, 2, 0, 0, 0]).await;
    assert_protocol_error(&mut alice, "7 bytes has no room for its addresses").await;
}
