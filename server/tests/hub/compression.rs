//! Compressed bodies, and what does not inflate.

use std::io::Write;

use dosp_proto::frame::{FrameType, HEADER_LEN};
use dosp_proto::zlib::{Deflater, Inflater};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use tokio::net::TcpStream;

use crate::client::{Client, TestHub, vip};

fn hub() -> TestHub {
    TestHub::start_with(|config| config.compression = true)
}

async fn join(hub: &TestHub) -> Client {
    let mut client = Client::speechless(TcpStream::connect(hub.addr).await.unwrap());
    assert_eq!(client.recv().await.0, FrameType::AIP, "the greeting is plain");
    assert_eq!(client.recv().await, (FrameType::HSK, b"\x01[2, 0]".to_vec()));
    client
}

async fn send(client: &mut Client, frame_type: FrameType, body: &[u8]) {
    let mut wire = Vec::new();
    Deflater::default().encode(&mut wire, frame_type, body).unwrap();
    client.send_bytes(&wire).await;
}

async fn recv(client: &mut Client) -> (FrameType, Vec<u8>) {
    let (frame_type, body) = client.recv().await;
    let mut inflated = Vec::new();
    Inflater::new(1 << 20).inflate(&body, &mut inflated).unwrap();
    (frame_type, inflated)
}

async fn assert_ended(client: &mut Client, words: &str) {
    let (frame_type, body) = recv(client).await;
    let text = String::from_utf8(body).unwrap();
    assert!(frame_type == FrameType::ERR && text.contains(words), "{text}");
    assert_eq!(recv(client).await, (FrameType::EXIT, b"protocol error".to_vec()));
    client.assert_closed().await;
}

#[tokio::test]
async fn every_body_after_the_greeting_is_compressed() {
    let hub = hub();
    let (mut alice, mut bob) = (join(&hub).await, join(&hub).await);
    alice.send_bytes(b"\x02\0\0\0\x08\x78\x9c\x03\0\0\0\0\x01").await;
    assert_eq!(recv(&mut alice).await, (FrameType::PING, vec![]));
    for len in [0, 1, 1000, 100_000] {
        let data = vec![7; len];
        send(&mut alice, FrameType::S2C, &[&[7, 10, 0, 3, 0, 0, 0, 0][..], &data].concat()).await;
        let expected = [&[7, 10, 0, 3, 7, 10, 0, 2][..], &data].concat();
        assert_eq!(recv(&mut bob).await, (FrameType::S2C, expected));
    }
    send(&mut alice, FrameType::RQIP, &vip("7.10.0.9").octets()).await;
    assert_eq!(recv(&mut alice).await, (FrameType::RQIP, b"D:".to_vec()));
    assert_eq!(recv(&mut alice).await, (FrameType::AIP, vec![7, 10, 0, 9]));
}

#[tokio::test]
async fn sub_frames_are_plain_inside_the_compressed_body() {
    let hub = hub();
    let mut alice = join(&hub).await;
    send(&mut alice, FrameType::MPAK, b"\x02\0\0\0\0\x04\0\0\0\0").await;
    assert_eq!(recv(&mut alice).await.0, FrameType::PING);
    assert_eq!(recv(&mut alice).await, (FrameType::GCL, vec![7, 10, 0, 2]));
}

#[tokio::test]
async fn body_that_does_not_inflate_ends_the_session() {
    let hub = hub();
    for body in [&b""[..], b"hello", b"\x78\x9c\x03\0"] {
        let mut alice = join(&hub).await;
        alice.send(FrameType::MSG, body).await;
        assert_ended(&mut alice, "zlib stream").await;
    }
}

/// A MiB that inflates to a GiB.
fn bomb() -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(6));
    for _ in 0..1024 {
        encoder.write_all(&[0; 1 << 20]).unwrap();
    }
    encoder.finish().unwrap()
}

#[tokio::test]
async fn bomb_ends_its_session_and_nobody_elses() {
    let hub = hub();
    let (mut alice, mut bob) = (join(&hub).await, join(&hub).await);
    let bomb = bomb();
    assert!(bomb.len() <= 1 << 20 && bomb.len() > HEADER_LEN);
    let before = peak_memory();
    alice.send(FrameType::MSG, &bomb).await;
    assert_ended(&mut alice, "inflates to more than 1048576 bytes").await;
    let grown = peak_memory() - before;
    assert!(grown < 256 << 20, "{grown} bytes of {} in the bomb", 1 << 30);
    send(&mut bob, FrameType::PING, b"").await;
    assert_eq!(recv(&mut bob).await.0, FrameType::PING);
}

/// The most memory that this process has had, in bytes; other tests run in it as well.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}
