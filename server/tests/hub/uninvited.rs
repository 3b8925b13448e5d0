//! What single connections try at the door of a closed hub, and what members try behind it.

use std::time::{Duration, Instant};

use dosp_proto::frame::{self, FrameType};
use dosp_proto::member::{Control, Dialler, Join, Purpose, Refusal};
use dosp_server::members::command::{MembersReply, MembersRequest};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::client::{Client, PATIENCE, TestHub};
use crate::member::{Introduced, Member, identity, invite, manage, read_greeting, with_key};

const MEMBERS_ONLY: &[u8] = b"members only";

fn closed_hub(state: &tempfile::TempDir) -> TestHub {
    let state = state.path().to_owned();
    TestHub::start_with(|config| {
        config.network = "10.1.2.0/24".parse().unwrap();
        config.builtin_functions = true;
        (config.state, config.closed) = (Some(state), true);
    })
}

async fn connect(hub: &TestHub) -> TcpStream {
    TcpStream::connect(hub.addr).await.unwrap()
}

async fn member(hub: &TestHub) -> Member {
    let key = invite(&hub.handle, 1).await;
    let introduced = Introduced::over(connect(hub).await, &identity()).await;
    introduced.join(with_key(&key)).await.unwrap_or_else(|refused| panic!("{refused:?}"))
}

/// The hub's time for joining, and not much more.
fn assert_cut_in_time(since: Instant) {
    let waited = since.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(16)).contains(&waited), "{waited:?}");
}

#[tokio::test]
async fn who_does_not_join_is_cut_after_ten_seconds_whatever_it_does() {
    let state = tempfile::tempdir().unwrap();
    let hub = closed_hub(&state);
    let since = Instant::now();
    let trickling = async {
        let (mut reader, mut writer) = connect(&hub).await.into_split();
        let bytes = [&[FrameType::XHS.0, 0, 0, 0, 100][..], &[0; 100]].concat();
        let sending = tokio::spawn(async move {
            for byte in bytes {
                if writer.write_all(&[byte]).await.is_err() {
                    return;
                }
                sleep(Duration::from_secs(1)).await;
            }
        });
        let mut heard = Vec::new();
        timeout(PATIENCE, reader.read_to_end(&mut heard)).await.unwrap().unwrap_or_default();
        sending.abort();
        assert!(heard.ends_with(MEMBERS_ONLY), "{}", heard.escape_ascii());
        assert_cut_in_time(since);
    };
    let introduced = async {
        let mut introduced = Introduced::over(connect(&hub).await, &identity()).await;
        assert_eq!(introduced.client.recv().await, (FrameType::EXIT, MEMBERS_ONLY.to_vec()));
        introduced.client.assert_closed().await;
        assert_cut_in_time(since);
    };
    tokio::join!(trickling, introduced);
    assert_eq!(hub.handle.status().strangers, 0);
}

#[tokio::test]
async fn long_frame_of_a_stranger_is_refused_at_its_header() {
    let state = tempfile::tempdir().unwrap();
    let hub = closed_hub(&state);
    let refused = async |client: &mut Client| {
        assert_eq!(client.recv().await.0, FrameType::ERR);
        assert_eq!(client.recv().await.0, FrameType::EXIT);
        client.assert_closed().await;
    };
    let mut silent = Client::speechless(connect(&hub).await);
    read_greeting(&mut silent).await;
    silent.send_bytes(&[FrameType::XHS.0, 0, 0, 0x10, 1]).await;
    refused(&mut silent).await;
    let mut introduced = Introduced::over(connect(&hub).await, &identity()).await;
    introduced.client.send_bytes(&[FrameType::XCTL.0, 0, 0, 0x10, 1]).await;
    refused(&mut introduced.client).await;
}

#[tokio::test]
async fn join_that_is_sent_again_is_worth_nothing() {
    let state = tempfile::tempdir().unwrap();
    let hub = closed_hub(&state);
    let (key, node) = (invite(&hub.handle, 2).await, identity());
    let mut client = Client::speechless(connect(&hub).await);
    let greeting = read_greeting(&mut client).await;
    let mut rng: StdRng = rand::make_rng();
    let (dialler, mut sent) = Dialler::start(Purpose::Join, &node, &greeting, &mut rng).unwrap();
    client.send_bytes(&sent).await;
    let (_, second) = client.recv().await;
    let introduced = dialler.read_answer(&node, &second).unwrap();
    let (mut rest, mut channel) = introduced.finish().unwrap();
    channel.sealer.seal(&Control::Join(Box::new(with_key(&key))), &mut rest);
    client.send_bytes(&rest).await;
    let (_, body) = client.recv().await;
    assert!(matches!(channel.opener.open(&body).unwrap(), Control::Welcome(_)));
    sent.extend(rest);

    for num_sessions in [1, 0] {
        let mut replayed = Client::speechless(connect(&hub).await);
        read_greeting(&mut replayed).await;
        replayed.send_bytes(&sent).await;
        assert_eq!(replayed.recv().await.0, FrameType::XHS, "anybody gets an answer");
        assert_eq!(replayed.recv().await, (FrameType::EXIT, b"protocol error".to_vec()));
        replayed.assert_closed().await;
        assert_eq!(hub.handle.status().sessions.len(), num_sessions);
        let MembersReply::Invites(list) = manage(&hub.handle, MembersRequest::Invites).await else {
            panic!()
        };
        assert_eq!(list.invites[0].num_used, 1);
        client.send(FrameType::EXIT, b"CC").await;
        until_there_are_none(&hub).await;
    }
}

async fn until_there_are_none(hub: &TestHub) {
    let gone = async {
        while !hub.handle.status().sessions.is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
}

fn assert_says_nothing_of_the_network(heard: &[u8]) {
    let tells = |part: &[u8]| heard.windows(part.len()).any(|window| window == part);
    assert!(!tells(&[10, 1, 2]) && !tells(b"10.1.2."), "{}", heard.escape_ascii());
}

#[tokio::test]
async fn stranger_is_told_nothing_of_anybodys_vip() {
    let state = tempfile::tempdir().unwrap();
    let hub = closed_hub(&state);
    let there = member(&hub).await;
    let bodies = [&b""[..], b"clients", &there.vip().octets(), &[0; 12]];
    for frame_type in 0..=u8::MAX {
        let body = bodies[usize::from(frame_type) % bodies.len()];
        let mut socket = connect(&hub).await;
        let mut asked = Vec::new();
        frame::encode(&mut asked, FrameType(frame_type), body);
        socket.write_all(&asked).await.unwrap();
        let mut heard = Vec::new();
        timeout(PATIENCE, socket.read_to_end(&mut heard)).await.unwrap().unwrap_or_default();
        assert_says_nothing_of_the_network(&heard);
    }
    let mut introduced = Introduced::over(connect(&hub).await, &identity()).await;
    for frame_type in (0..=u8::MAX).map(FrameType) {
        introduced.say(&Control::Frame(frame_type, b"clients".to_vec())).await;
    }
    // The first answer is to this.
    let refused = introduced.join(Join::default()).await.err().unwrap();
    assert_eq!(refused.reason, Refusal::MembersOnly);
    assert_says_nothing_of_the_network(refused.text.as_bytes());
}

#[tokio::test]
async fn garbage_of_a_member_harms_nobody() {
    let state = tempfile::tempdir().unwrap();
    let hub = closed_hub(&state);
    let (mut alice, mut bob) = (member(&hub).await, member(&hub).await);
    let mut runner = TestRunner::deterministic();
    for _ in 0..50 {
        let mut mallory = member(&hub).await;
        let bytes = prop::collection::vec(any::<u8>(), 0..3000);
        let mut bytes = bytes.new_tree(&mut runner).unwrap().current();
        for header in bytes.chunks_mut(11) {
            header.iter_mut().skip(1).take(3).for_each(|byte| *byte = 0);
        }
        let socket = &mut mallory.link.client.socket;
        socket.write_all(&bytes).await.unwrap_or_default();
        socket.shutdown().await.unwrap_or_default();
        let mut heard = Vec::new();
        timeout(PATIENCE, socket.read_to_end(&mut heard)).await.unwrap().unwrap_or_default();
    }
    alice.link.client.send_to(bob.vip(), b"alive").await;
    while bob.recv_data().await != b"alive" {}
}
