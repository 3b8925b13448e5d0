//! From client to client.

use dosp_proto::vip::Vip;

use crate::client::{TestHub, s2c, vip};

#[tokio::test]
async fn source_is_stamped_whatever_the_sender_claims() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    let mut bob = hub.join().await;
    for claimed in [Vip::NONE, alice.vip, bob.vip, vip("8.8.8.8")] {
        alice.send_bytes(&s2c(bob.vip, claimed, b"data")).await;
        assert_eq!(bob.recv_s2c().await, (bob.vip, alice.vip, b"data".to_vec()));
    }
}

#[tokio::test]
async fn frames_of_any_length_pass_unchanged() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    let mut bob = hub.join().await;
    for len in [0, 1, 64, 1400, 65_603, (1 << 20) - 8] {
        let data: Vec<u8> = (0..len).map(|i: u32| i.to_le_bytes()[0]).collect();
        let sent = alice.send_to(bob.vip, &data);
        let (received, ()) = tokio::join!(bob.recv_s2c(), sent);
        assert!(received.2 == data, "{len} bytes");
    }
}

#[tokio::test]
async fn frame_may_come_byte_by_byte() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    let mut bob = hub.join().await;
    for byte in s2c(bob.vip, Vip::NONE, b"slow") {
        alice.send_bytes(&[byte]).await;
    }
    assert_eq!(bob.recv_s2c().await.2, b"slow");
}

#[tokio::test]
async fn own_vip_is_an_echo() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    alice.send_to(alice.vip, b"me").await;
    assert_eq!(alice.recv_s2c().await, (alice.vip, alice.vip, b"me".to_vec()));
}

#[tokio::test]
async fn unknown_destination_is_reported() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    for dst in ["7.10.0.9", "7.10.0.0", "7.10.0.255", "0.0.0.0", "8.8.8.8"].map(vip) {
        alice.send_to(dst, b"anybody?").await;
        assert_eq!(alice.recv_undeliverable().await, (dst, "no such client".to_owned()));
    }
}

#[tokio::test]
async fn reports_of_undeliverable_frames_are_limited() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    let flood = s2c(vip("7.10.0.9"), Vip::NONE, b"x").repeat(5000);
    let echo = s2c(alice.vip, Vip::NONE, b"end");
    alice.send_bytes(&[flood, echo].concat()).await;
    let mut num_reports = 0;
    while alice.recv().await.0 == dosp_proto::frame::FrameType::ERR {
        num_reports += 1;
    }
    assert!((20..500).contains(&num_reports), "{num_reports}");
}

#[tokio::test]
async fn client_that_left_is_no_destination() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    let mut bob = hub.join().await;
    let bobs_vip = bob.vip;
    alice.send_to(bobs_vip, b"hi").await;
    bob.recv_s2c().await;
    bob.leave().await;
    alice.send_to(bobs_vip, b"hi?").await;
    assert_eq!(alice.recv_undeliverable().await.0, bobs_vip);
}
