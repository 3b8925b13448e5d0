//! Who may join a closed hub, what its members keep, and what they are told.

use std::path::Path;
use std::time::Duration;

use dosp_proto::frame::FrameType;
use dosp_proto::join_string::JoinKey;
use dosp_proto::member::{Control, Gone, GoneReason, Join, Refusal, Refused};
use dosp_proto::message::{ClientList, VipAnswer};
use dosp_proto::vip::Vip;
use dosp_server::Config;
use dosp_server::members::command::{MembersReply, MembersRequest};
use rand::rngs::StdRng;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::client::{Client, PATIENCE, TestHub, vip};
use crate::member::{Introduced, Member, identity, invite, manage, read_greeting, with_key};

/// What makes a hub closed.
fn closed(state: &Path) -> impl FnOnce(&mut Config) + use<> {
    let state = state.to_owned();
    move |config| {
        config.network = "10.1.2.0/24".parse().unwrap();
        (config.state, config.closed) = (Some(state), true);
    }
}

async fn connect(hub: &TestHub) -> TcpStream {
    TcpStream::connect(hub.addr).await.unwrap()
}

async fn refusal(hub: &TestHub, join: Join) -> Refused {
    let introduced = Introduced::over(connect(hub).await, &identity()).await;
    introduced.join(join).await.err().unwrap()
}

async fn member(hub: &TestHub, join: Join) -> Member {
    Introduced::over(connect(hub).await, &identity())
        .await
        .join(join)
        .await
        .unwrap_or_else(|refused| panic!("{refused:?}"))
}

#[tokio::test]
async fn closed_hub_gives_strangers_nothing() {
    let state = tempfile::tempdir().unwrap();
    let hub = TestHub::start_with(closed(state.path()));
    for (frame_type, body) in [
        (FrameType::GCL, &b""[..]),
        (FrameType::S2C, &[0; 12]),
        (FrameType::MPAK, b"x"),
        (FrameType::MSG, b"hi"),
    ] {
        let mut client = Client::speechless(connect(&hub).await);
        read_greeting(&mut client).await;
        assert_eq!(client.vip, Vip::NONE);
        client.send(frame_type, body).await;
        assert_eq!(client.recv().await, (FrameType::EXIT, b"members only".to_vec()));
        client.assert_closed().await;
    }
    // Before any of it is kept.
    let mut client = Client::speechless(connect(&hub).await);
    read_greeting(&mut client).await;
    client.send_bytes(b"\x20\0\0\x10\x01").await;
    assert_eq!(client.recv().await.0, FrameType::ERR);
    assert_eq!(hub.handle.status().sessions.len(), 0);
}

#[tokio::test]
async fn each_join_key_that_is_no_good_is_told_apart() {
    let state = tempfile::tempdir().unwrap();
    let hub = TestHub::start_with(closed(state.path()));
    assert_eq!(refusal(&hub, Join::default()).await.reason, Refusal::MembersOnly);
    let wrong = JoinKey::generate(&mut rand::make_rng::<StdRng>());
    assert_eq!(refusal(&hub, with_key(&wrong)).await.reason, Refusal::WrongKey);
    let used = invite(&hub.handle, 1).await;
    member(&hub, with_key(&used)).await;
    assert_eq!(refusal(&hub, with_key(&used)).await.reason, Refusal::UsedKey);
    let revoked = invite(&hub.handle, 1).await;
    let revoke = MembersRequest::Revoke { id: revoked.hash().id() };
    assert!(matches!(manage(&hub.handle, revoke).await, MembersReply::Done { .. }));
    assert_eq!(refusal(&hub, with_key(&revoked)).await.reason, Refusal::RevokedKey);
    let request = MembersRequest::Invite { name: None, vip: None, uses: 1, ttl_s: Some(0) };
    let MembersReply::Invited(invited) = manage(&hub.handle, request).await else { panic!() };
    let expired: dosp_proto::join_string::JoinString = invited.join_string.parse().unwrap();
    let refused = refusal(&hub, with_key(&expired.join_key.unwrap())).await;
    assert_eq!(refused.reason, Refusal::ExpiredKey);
    assert!(refused.text.starts_with("the join key expired"), "{}", refused.text);
    assert!(refused.time > 1_700_000_000);
}

#[tokio::test]
async fn lease_outlives_connections_and_the_hub() {
    let state = tempfile::tempdir().unwrap();
    let (alice, bob) = (identity(), identity());
    let named = |name: &str, key: &JoinKey| Join { name: name.parse().ok(), ..with_key(key) };
    let hub = TestHub::start_with(closed(state.path()));
    let key = invite(&hub.handle, 2).await;
    let first = Introduced::over(connect(&hub).await, &alice).await;
    let hub_key = first.hub_key;
    let first = first.join(named("alice", &key)).await.unwrap();
    let second = Introduced::over(connect(&hub).await, &bob).await.join(named("bob", &key)).await;
    let bob_vip = second.unwrap().vip();
    assert_eq!((first.vip(), bob_vip), (vip("10.1.2.2"), vip("10.1.2.3")));
    drop(first);
    hub.ask_to_stop();
    hub.stopped().await;
    let hub = TestHub::start_with(closed(state.path()));
    // In another order, and without a key or a wish.
    let again = Introduced::over(connect(&hub).await, &bob).await;
    assert_eq!(again.hub_key, hub_key);
    let again = again.join(Join::default()).await.unwrap();
    assert_eq!((again.vip(), again.name()), (bob_vip, Some("bob")));
}

#[tokio::test]
async fn members_talk_and_are_told_who_is_there() {
    let state = tempfile::tempdir().unwrap();
    let hub = TestHub::start_with(closed(state.path()));
    let key = invite(&hub.handle, 3).await;
    let mut alice = member(&hub, with_key(&key)).await;
    let mut bob = member(&hub, with_key(&key)).await;
    let at_bob = |word: Control| match word {
        Control::Nodes(page) => page.nodes.into_iter().find(|node| node.vip == vip("10.1.2.3")),
        _ => None,
    };
    assert!(alice.until(at_bob).await.is_online);
    alice.link.client.send_to(bob.vip(), b"hello").await;
    assert_eq!(bob.recv_data().await, b"hello");
    drop(bob);
    assert!(!alice.until(at_bob).await.is_online);
    for (to, why) in [("10.1.2.3", GoneReason::Offline), ("10.1.2.77", GoneReason::Unknown)] {
        alice.link.client.send_to(vip(to), b"anybody?").await;
        let gone = |word: Control| match word {
            Control::Gone(gone) => Some(gone),
            _ => None,
        };
        assert_eq!(alice.until(gone).await, Gone::new(vip(to), why));
    }
}

#[tokio::test]
async fn control_of_members_counts_only_when_it_is_sealed() {
    let state = tempfile::tempdir().unwrap();
    let hub = TestHub::start_with(closed(state.path()));
    let key = invite(&hub.handle, 1).await;
    let mut alice = member(&hub, with_key(&key)).await;
    alice.link.client.send(FrameType::GCL, b"").await;
    alice.link.client.send(FrameType::RQIP, &[10, 1, 2, 9]).await;
    let ask = |frame_type, body: &[u8]| Control::Frame(frame_type, body.to_vec());
    alice.link.say(&ask(FrameType::GCL, b"")).await;
    alice.link.say(&ask(FrameType::RQIP, &[10, 1, 2, 9])).await;
    let answer = |word: Control| match word {
        Control::Frame(frame_type, body) => Some((frame_type, body)),
        _ => None,
    };
    let (frame_type, body) = alice.until(answer).await;
    assert_eq!(frame_type, FrameType::GCL, "the first answer is to what was sealed");
    assert_eq!(ClientList::decode(&body).unwrap().0, [vip("10.1.2.2")]);
    let (_, body) = alice.until(answer).await;
    assert_eq!(VipAnswer::decode(&body), Ok(VipAnswer::UNUSABLE), "a lease is not given away");
}

#[tokio::test]
async fn changed_word_ends_the_connection() {
    let state = tempfile::tempdir().unwrap();
    let hub = TestHub::start_with(closed(state.path()));
    let key = invite(&hub.handle, 1).await;
    let mut alice = member(&hub, with_key(&key)).await;
    let mut frame = Vec::new();
    alice.link.channel.sealer.seal(&Control::Pong, &mut frame);
    *frame.last_mut().unwrap() ^= 1;
    alice.link.client.send_bytes(&frame).await;
    while alice.link.hear().await.is_some() {}
    alice.link.client.assert_closed().await;
}

#[tokio::test]
async fn one_key_has_one_connection() {
    let state = tempfile::tempdir().unwrap();
    let hub = TestHub::start_with(closed(state.path()));
    let (key, alice) = (invite(&hub.handle, 1).await, identity());
    let first = Introduced::over(connect(&hub).await, &alice).await.join(with_key(&key)).await;
    let mut first = first.unwrap();
    // The first one lives: it answers the hub's question.
    let second = Introduced::over(connect(&hub).await, &alice).await;
    let (refused, _) = tokio::join!(second.join(Join::default()), async {
        first.until(|word| matches!(word, Control::Nodes(_)).then_some(())).await;
        let ping = first.link.hear().await;
        assert_eq!(ping, Some(Control::Ping));
        first.link.say(&Control::Pong).await;
    });
    let refused = refused.err().unwrap();
    assert_eq!(refused.reason, Refusal::KeyInUse);
    assert!(refused.text.contains("127.0.0.1:"), "{}", refused.text);
    // Now it does not: the second one takes its place.
    let second = Introduced::over(connect(&hub).await, &alice).await;
    let second = second.join(Join::default()).await.unwrap();
    assert_eq!(second.vip(), first.vip());
    assert_eq!(hub.handle.status().sessions.len(), 1);
}

#[tokio::test]
async fn rename_and_set_vip_reach_whoever_is_there() {
    let state = tempfile::tempdir().unwrap();
    let hub = TestHub::start_with(closed(state.path()));
    let key = invite(&hub.handle, 2).await;
    let mut alice = member(&hub, with_key(&key)).await;
    let mut bob = member(&hub, Join { name: "bob".parse().ok(), ..with_key(&key) }).await;
    let rename = MembersRequest::Rename { node: "bob".into(), name: "robert".parse().unwrap() };
    let MembersReply::Done { .. } = manage(&hub.handle, rename).await else { panic!() };
    let welcome = |word: Control| match word {
        Control::Welcome(welcome) => Some(*welcome),
        _ => None,
    };
    assert_eq!(bob.until(welcome).await.name, "robert".parse().ok());
    let to = vip("10.1.2.99");
    let set_vip = MembersRequest::SetVip { node: "robert".into(), vip: to };
    let MembersReply::Done { .. } = manage(&hub.handle, set_vip).await else { panic!() };
    assert_eq!(bob.until(welcome).await.vip, to);
    let news = |word: Control| match word {
        Control::Nodes(page) => page.nodes.into_iter().find(|node| node.vip == to),
        _ => None,
    };
    assert_eq!(alice.until(news).await.name, "robert".parse().ok());
    alice.link.client.send_to(to, b"at the new place").await;
    assert_eq!(bob.recv_data().await, b"at the new place");
    bob.link.client.send_to(alice.vip(), b"back").await;
    let (_, src, data) = loop {
        match alice.link.client.recv().await {
            (FrameType::S2C, body) => {
                break (0, Vip::from(*body[4..].first_chunk::<4>().unwrap()), body[8..].to_vec());
            }
            (_, body) => drop(alice.link.channel.opener.open(&body).unwrap()),
        }
    };
    assert_eq!((src, &*data), (to, &b"back"[..]), "stamped with the new vIP");
}

#[tokio::test]
async fn removed_node_is_told_and_does_not_come_back() {
    let state = tempfile::tempdir().unwrap();
    let hub = TestHub::start_with(closed(state.path()));
    let (key, bob) = (invite(&hub.handle, 1).await, identity());
    let join = Join { name: "bob".parse().ok(), ..with_key(&key) };
    let mut there = Introduced::over(connect(&hub).await, &bob).await.join(join).await.unwrap();
    let MembersReply::Done { .. } =
        manage(&hub.handle, MembersRequest::Kick { node: "bob".into() }).await
    else {
        panic!()
    };
    let refused = |word: Control| match word {
        Control::Refused(refused) => Some(refused.reason),
        _ => None,
    };
    assert_eq!(there.until(refused).await, Refusal::Kicked);
    let back = Introduced::over(connect(&hub).await, &bob).await.join(Join::default()).await;
    let mut there = back.unwrap();
    let MembersReply::Done { .. } =
        manage(&hub.handle, MembersRequest::Remove { node: "bob".into() }).await
    else {
        panic!()
    };
    assert_eq!(there.until(refused).await, Refusal::Removed);
    for (join, reason) in [(Join::default(), Refusal::Removed), (with_key(&key), Refusal::UsedKey)]
    {
        let again = Introduced::over(connect(&hub).await, &bob).await.join(join).await;
        assert_eq!(again.err().unwrap().reason, reason);
    }
    // A new invite lets it in again.
    let key = invite(&hub.handle, 1).await;
    Introduced::over(connect(&hub).await, &bob).await.join(with_key(&key)).await.unwrap();
}

#[tokio::test]
async fn who_leaves_is_unknown_afterwards() {
    let state = tempfile::tempdir().unwrap();
    let hub = TestHub::start_with(closed(state.path()));
    let (key, bob) = (invite(&hub.handle, 1).await, identity());
    let there = Introduced::over(connect(&hub).await, &bob).await.join(with_key(&key)).await;
    let mut there = there.unwrap();
    there.link.say(&Control::Leave).await;
    there.until(|word| (word == Control::Leave).then_some(())).await;
    let again = Introduced::over(connect(&hub).await, &bob).await.join(Join::default()).await;
    assert_eq!(again.err().unwrap().reason, Refusal::MembersOnly);
}

#[tokio::test]
async fn full_network_says_so() {
    let state = tempfile::tempdir().unwrap();
    let settings = closed(state.path());
    let hub = TestHub::start_with(|config| {
        settings(config);
        config.network = "10.1.2.0/30".parse().unwrap();
    });
    let key = invite(&hub.handle, 2).await;
    member(&hub, with_key(&key)).await;
    let refused = refusal(&hub, with_key(&key)).await;
    assert_eq!(
        (refused.reason, &*refused.text),
        (Refusal::Full, "every vIP of 10.1.2.0/30 is taken")
    );
}

#[tokio::test]
async fn open_hub_has_members_and_plain_clients_and_keeps_leases_for_the_former() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().to_owned();
    let hub = TestHub::start_with(|config| {
        config.network = "10.1.2.0/28".parse().unwrap();
        config.state = Some(path);
    });
    let alice = identity();
    let mut here =
        Introduced::over(connect(&hub).await, &alice).await.join(Join::default()).await.unwrap();
    assert!(!here.welcome.is_closed);
    let mut plain = Client::speechless(connect(&hub).await);
    read_greeting(&mut plain).await;
    plain.send_to(here.vip(), b"from a plain client").await;
    assert_eq!(here.recv_data().await, b"from a plain client");
    let lease = here.vip();
    drop(here);
    // The lease is nobody else's, whoever asks.
    plain.send(FrameType::RQIP, &lease.octets()).await;
    let (_, body) = plain.recv().await;
    assert_eq!(VipAnswer::decode(&body), Ok(VipAnswer::IN_USE));
    let mut others = Vec::new();
    let refused = loop {
        let mut client = Client::speechless(connect(&hub).await);
        match client.recv().await {
            (FrameType::EXIT, reason) => break reason,
            (_, body) => assert_ne!(body, lease.octets()),
        }
        others.push(client);
    };
    assert_eq!(refused, b"Server full", "half of the vIPs are for members");
    assert_eq!(others.len(), 5);
}

#[tokio::test]
async fn guest_leaves_nothing_behind() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().to_owned();
    let hub = TestHub::start_with(|config| config.state = Some(path));
    let guest = member(&hub, Join { is_guest: true, ..Join::default() }).await;
    let nodes = || async {
        match manage(&hub.handle, MembersRequest::Nodes).await {
            MembersReply::Nodes(list) => list.nodes.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(nodes().await, 1);
    drop(guest);
    let gone = async {
        while nodes().await > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn stopping_hub_says_that_it_comes_back() {
    let state = tempfile::tempdir().unwrap();
    let hub = TestHub::start_with(closed(state.path()));
    let key = invite(&hub.handle, 1).await;
    let mut alice = member(&hub, with_key(&key)).await;
    hub.ask_to_stop();
    alice.until(|word| (word == Control::Restarting).then_some(())).await;
    hub.stopped().await;
}
