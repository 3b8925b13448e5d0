//! Compressed bodies, and what does not inflate.

use dosp_proto::frame::FrameType;
use dosp_proto::zlib::{Deflater, Inflater};
use tokio::net::TcpStream;

use crate::client::{Client, TestHub, vip};

fn hub() -> TestHub {
    TestHub::start_with(|config| config.compression = true)
}

async fn join_at(hub: &TestHub) -> Client {
    join(TcpStream::connect(hub.addr).await.unwrap()).await
}

pub(crate) async fn join(socket: TcpStream) -> Client {
    let mut client = Client::speechless(socket);
    assert_eq!(client.recv().await.0, FrameType::AIP, "the greeting is plain");
    assert_eq!(client.recv().await, (FrameType::HSK, b"\x01[2, 0]".to_vec()));
    client
}

pub(crate) async fn send(client: &mut Client, frame_type: FrameType, body: &[u8]) {
    let mut wire = Vec::new();
    Deflater::default().encode(&mut wire, frame_type, body).unwrap();
    client.send_bytes(&wire).await;
}

pub(crate) async fn recv(client: &mut Client) -> (FrameType, Vec<u8>) {
    let (frame_type, body) = client.recv().await;
    let mut inflated = Vec::new();
    Inflater::new(1 << 20).inflate(&body, &mut inflated).unwrap();
    (frame_type, inflated)
}

pub(crate) async fn assert_ended(client: &mut Client, words: &str) {
    let (frame_type, body) = recv(client).await;
    let text = String::from_utf8(body).unwrap();
    assert!(frame_type == FrameType::ERR && text.contains(words), "{text}");
    assert_eq!(recv(client).await, (FrameType::EXIT, b"protocol error".to_vec()));
    client.assert_closed().await;
}

#[tokio::test]
async fn every_body_after_the_greeting_is_compressed() {
    let hub = hub();
    let (mut alice, mut bob) = (join_at(&hub).await, join_at(&hub).await);
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
    let mut alice = join_at(&hub).await;
    send(&mut alice, FrameType::MPAK, b"\x02\0\0\0\0\x04\0\0\0\0").await;
    assert_eq!(recv(&mut alice).await.0, FrameType::PING);
    assert_eq!(recv(&mut alice).await, (FrameType::GCL, vec![7, 10, 0, 2]));
}

#[tokio::test]
async fn body_that_does_not_inflate_ends_the_session() {
    let hub = hub();
    for body in [&b""[..], b"hello", b"\x78\x9c\x03\0"] {
        let mut alice = join_at(&hub).await;
        alice.send(FrameType::MSG, body).await;
        assert_ended(&mut alice, "zlib stream").await;
    }
}
