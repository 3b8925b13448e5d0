//! Destinations that do not read: the link that leads to them serves everybody else.

use std::time::{Duration, Instant};

use dosp_proto::federation::Forwarding;
use dosp_proto::frame::FrameType;
use dosp_proto::member::{Control, Join};
use dosp_proto::vip::Vip;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::liar::{Liar, Linked};
use crate::client::{Client, PATIENCE, vip};
use crate::member::{Introduced, identity};

/// How long another's frame may take while a slow one's are on the same link. Far above what it takes,
/// and far below the ten seconds after which a client that reads nothing is cut off.
const SOON: Duration = Duration::from_secs(2);
const DATA_LEN: usize = 32 * 1024;
/// Two rounds fill every buffer of a connection on the loopback interface.
const FRAMES_A_ROUND: usize = 256;

/// DATA of version 2, of a flow or of none.
fn sealed(flow: u16, number: usize) -> Vec<u8> {
    let mut data = vec![0; DATA_LEN];
    data[0] = 0xD2;
    data[1..3].copy_from_slice(&flow.to_be_bytes());
    data[15..23].copy_from_slice(&number.to_be_bytes());
    data
}

/// Sends a round to the slow one and a frame to the other; how long that one took.
async fn round(liar: &mut Liar, slow: Vip, bob: &mut Client, flow: u16, first: usize) -> Duration {
    let member = Forwarding::begin(liar.id, true);
    for number in first..first + FRAMES_A_ROUND {
        liar.forward_as(member, slow, vip("7.11.0.5"), &sealed(flow, number)).await;
    }
    let sent_at = Instant::now();
    liar.forward(bob.vip, vip("7.11.0.5"), b"for bob").await;
    assert_eq!(bob.recv_s2c().await.2, b"for bob");
    sent_at.elapsed()
}

/// What the queues of all clients and links have dropped.
fn dropped_of_flows(linked: &Linked) -> u64 {
    linked.hub.handle.status().dropped.values().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_dropped_is_and_who_does_not_read_stays() {
    let linked = Linked::start(&[("7.11.0.0/24", &[])]);
    let mut liar = linked.link(0).await;
    let (mut slow, mut bob) = (linked.join().await, linked.join().await);
    for number in 0..8 {
        let took = round(&mut liar, slow.vip, &mut bob, 1, number * FRAMES_A_ROUND).await;
        assert!(took < SOON, "bob waited {took:?} in round {number}");
    }
    let dropped = dropped_of_flows(&linked);
    assert!(dropped > FRAMES_A_ROUND as u64, "{dropped}");

    // What comes is whole, in order, and all that is not dropped.
    let (mut num_received, mut next) = (0, 0);
    while num_received + dropped_of_flows(&linked) < 8 * FRAMES_A_ROUND as u64 {
        let (frame_type, body) = slow.recv().await;
        assert_eq!(frame_type, FrameType::S2C);
        let number = usize::from_be_bytes(body[23..31].try_into().unwrap());
        assert!(number >= next && body.len() == 8 + DATA_LEN);
        (num_received, next) = (num_received + 1, number + 1);
    }
    slow.send(FrameType::PING, b"").await;
    assert_eq!(slow.recv().await.0, FrameType::PING, "and nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_misses_what_must_not_be_dropped_is_cut_off() {
    let linked = Linked::start(&[("7.11.0.0/24", &[])]);
    let mut liar = linked.link(0).await;
    let (slow, mut bob) = (linked.join().await, linked.join().await);
    for number in 0..4 {
        let took = round(&mut liar, slow.vip, &mut bob, 0, number * FRAMES_A_ROUND).await;
        assert!(took < SOON, "bob waited {took:?} in round {number}");
    }
    linked
        .until("the slow one is cut off", |linked| linked.hub.handle.status().sessions.len() == 1)
        .await;
    assert!(linked.is_up(0));
    drop(slow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn member_loses_what_has_no_room_and_stays() {
    let linked = Linked::start(&[("7.11.0.0/24", &[])]);
    let mut liar = linked.link(0).await;
    let socket = TcpStream::connect(linked.hub.addr).await.unwrap();
    let slow = Introduced::over(socket, &identity()).await.join(Join::default()).await.unwrap();
    let mut bob = linked.join().await;
    for number in 0..4 {
        let took = round(&mut liar, slow.vip(), &mut bob, 0, number * FRAMES_A_ROUND).await;
        assert!(took < SOON, "bob waited {took:?} in round {number}");
    }
    assert!(linked.status(0).dropped_frames > 0);
    assert_eq!(linked.hub.handle.status().sessions.len(), 2, "nobody can have it cut off");
}

/// As over a slow line: what stands behind a long frame, the signs of life among it, waits.
#[tokio::test]
async fn long_frame_that_trickles_in_is_a_sign_of_life() {
    let linked = Linked::start(&[("7.11.0.0/24", &[])]);
    let mut liar = linked.link(0).await;
    let mut bob = linked.join().await;
    let data = vec![7; DATA_LEN];
    let header = Forwarding::begin(liar.id, false).header(bob.vip, vip("7.11.0.5"), data.len());
    let frame = [&header, &*data].concat();
    for part in frame.chunks(frame.len() / 12) {
        liar.client.send_bytes(part).await;
        sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(bob.recv_s2c().await.2, data);
    assert!(linked.is_up(0), "it was taken for dead after 2 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn link_that_is_not_read_holds_up_no_client() {
    let linked = Linked::start(&[("7.11.0.0/24", &[]), ("7.20.0.0/24", &[])]);
    let (mut liar, deaf) = (linked.link(0).await, linked.link(1).await);
    let mut bob = linked.join().await;
    for number in 0..8 {
        // It says nothing more, so that it is given up within 2 s, too.
        let took = round(&mut liar, vip("7.20.0.5"), &mut bob, 1, number * FRAMES_A_ROUND).await;
        assert!(took < SOON, "bob waited {took:?} in round {number}");
    }
    assert!(dropped_of_flows(&linked) > 0);
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn link_that_lives_and_takes_nothing_is_ended_and_can_come_again() {
    let linked = Linked::start(&[("7.11.0.0/24", &[])]);
    let (mut deaf, mut sender) = (linked.link(0).await, linked.join().await);
    let flooding = tokio::spawn(async move {
        let data = vec![0; DATA_LEN];
        for _ in 0..8 * FRAMES_A_ROUND {
            sender.send_to(vip("7.11.0.5"), &data).await;
        }
    });
    while linked.is_up(0) {
        deaf.say(&Control::Ping).await;
        sleep(Duration::from_millis(200)).await;
    }
    let why = linked.status(0).last_error;
    assert_eq!(why.as_deref(), Some("others waited too long for what goes over it"));
    timeout(PATIENCE, flooding).await.unwrap().unwrap();
    let _again = linked.link(0).await;
    assert!(linked.is_up(0));
}
