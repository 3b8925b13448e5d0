//! Several frames in one.

use dosp_proto::frame::{self, FrameType};
use dosp_proto::mpak;
use dosp_proto::vip::Vip;

use crate::client::{TestHub, s2c};

fn mpak(write_frames: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    mpak::encode(&mut out, write_frames);
    out
}

#[tokio::test]
async fn every_frame_in_it_counts_as_if_sent_alone() {
    let hub = TestHub::start();
    let (mut alice, mut bob) = (hub.join().await, hub.join().await);
    let wire = mpak(|out| {
        frame::encode(out, FrameType::PING, b"");
        frame::encode_s2c(out, bob.vip, bob.vip, b"one");
        frame::encode_s2c(out, bob.vip, Vip::NONE, b"two");
        frame::encode(out, FrameType::GCL, b"");
    });
    alice.send_bytes(&wire).await;
    assert_eq!(alice.recv().await, (FrameType::PING, vec![]));
    let vips = [alice.vip.octets(), bob.vip.octets()].concat();
    assert_eq!(alice.recv().await, (FrameType::GCL, vips));
    assert_eq!(bob.recv_s2c().await, (bob.vip, alice.vip, b"one".to_vec()), "SRC is stamped");
    assert_eq!(bob.recv_s2c().await, (bob.vip, alice.vip, b"two".to_vec()));
}

#[tokio::test]
async fn nested_mpak_is_an_unknown_type_and_the_rest_is_taken() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    let inner = mpak(|out| frame::encode(out, FrameType::PING, b""));
    let wire = mpak(|out| {
        out.extend_from_slice(&inner);
        frame::encode(out, FrameType::GCL, b"");
    });
    alice.send_bytes(&wire).await;
    assert_eq!(alice.recv().await, (FrameType::ERR, vec![0x09, 0x1A]));
    assert_eq!(alice.recv().await.0, FrameType::GCL);
    alice.sync().await;
}

#[tokio::test]
async fn lies_cost_their_sender_the_rest_of_the_frame() {
    let hub = TestHub::start();
    let (mut alice, mut bob) = (hub.join().await, hub.join().await);
    for tail in [&b"\x02"[..], b"\x02\xff\xff\xff\xff", b"\x03\0\0\0\x07\0\0\0\0\0\0\0"] {
        let whole = s2c(bob.vip, Vip::NONE, b"whole");
        alice.send(FrameType::MPAK, &[&whole, tail].concat()).await;
        assert_eq!(bob.recv_s2c().await.2, b"whole");
    }
    alice.send(FrameType::MPAK, &b"\x04\0\0\0\0".repeat(300)).await;
    for _ in 0..mpak::MAX_SUB_FRAMES {
        assert_eq!(alice.recv().await.0, FrameType::GCL);
    }
    alice.sync().await;
    bob.sync().await;
}

#[tokio::test]
async fn exit_in_it_ends_the_session() {
    let hub = TestHub::start();
    let mut alice = hub.join().await;
    alice.send_bytes(&mpak(|out| frame::encode(out, FrameType::EXIT, b"CC"))).await;
    alice.assert_closed().await;
}
