//! What a peer claims and sends that is not its own: nothing of it is believed or delivered, and the hub
//! and its other links go on.

use dosp_proto::federation::{Forwarding, HubId};
use dosp_proto::frame::FrameType;
use dosp_proto::member::{Control, Gone, GoneReason};
use dosp_proto::vip::{Network, Vip};
use tokio::net::TcpStream;

use super::liar::{Liar, Linked, MAX_FRAME_LEN};
use crate::client::{Client, s2c, vip};
use crate::member::identity;

const LIAR: usize = 0;
const HONEST: usize = 1;
/// The liar may lead on to 7.12.0.0/16 and its part of 10.0.0.0/8; the honest one is alone.
const PEERS: [(&str, &[&str]); 2] =
    [("7.11.0.0/24", &["7.12.0.0/16", "10.0.0.0/9"]), ("7.20.0.0/24", &[])];
/// What the liar claims although it may not: other hubs', nobody's, too much, its own in parts.
const NOT_THE_LIARS: [&str; 12] = [
    "7.10.0.0/24",
    "7.10.0.128/25",
    "7.20.0.0/24",
    "7.20.0.0/25",
    "7.13.0.0/24",
    "0.0.0.0/8",
    "7.0.0.0/8",
    "10.0.0.0/8",
    "127.0.0.0/8",
    "224.0.0.0/4",
    "7.11.0.0/25",
    "7.8.0.0/13",
];

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

fn from_liar() -> Vip {
    vip("7.11.0.5")
}

/// The next thing that a client hears is this, from the liar's network.
async fn assert_next(client: &mut Client, data: &[u8]) {
    let (_, src, got) = client.recv_s2c().await;
    assert_eq!((src, &*got), (from_liar(), data));
}

/// Frames pass between a client and the honest hub.
async fn assert_others_talk(client: &mut Client, honest: &mut Liar) {
    let far = vip("7.20.0.5");
    client.send_to(far, b"there").await;
    client.sync().await;
    let heard = honest.sync().await;
    assert!(heard.iter().any(|heard| heard.data() == Some(b"there")), "{heard:?}");
    honest.forward(client.vip, far, b"back").await;
    assert_eq!(client.recv_s2c().await, (client.vip, far, b"back".to_vec()));
}

#[tokio::test]
async fn claims_of_what_is_not_its_own_are_not_believed() {
    let linked = Linked::start(&PEERS);
    let (mut liar, _honest) = (linked.link(LIAR).await, linked.link(HONEST).await);
    let other = HubId::from([9; 4]);
    let mut claims = vec![liar.claim(network("7.11.0.0/24"), &[])];
    claims.extend(
        NOT_THE_LIARS.iter().filter_map(|text| Some(liar.claim(text.parse().ok()?, &[other]))),
    );
    let mut wrong_paths = vec![
        liar.claim(network("7.12.1.0/24"), &[other, other]),
        liar.claim(network("7.12.2.0/24"), &[liar.hub_id, other]),
        liar.claim(network("7.12.3.0/24"), &[other]),
        liar.claim(network("7.12.4.0/24"), &[]),
        liar.claim(network("7.12.5.0/24"), &(1..=9).map(|n| [n; 4].into()).collect::<Vec<_>>()),
    ];
    wrong_paths[2].path.remove(0);
    wrong_paths[3].path.clear();
    claims.extend(wrong_paths);
    claims.push(liar.claim(network("7.12.9.0/24"), &[other]));
    liar.say_routes(claims).await;
    liar.sync().await;

    let routes = linked.routes();
    let networks: Vec<_> = routes.iter().map(|(network, via)| (&**network, &**via)).collect();
    assert_eq!(
        networks,
        [
            ("7.11.0.0/24", "7.11.0.0/24"),
            ("7.12.9.0/24", "7.11.0.0/24"),
            ("7.20.0.0/24", "7.20.0.0/24")
        ]
    );
    let mut client = linked.join().await;
    for dst in ["7.13.0.5", "0.0.0.5", "127.0.0.1", "10.1.1.1", "7.12.1.5", "7.12.4.5"] {
        client.send_to(vip(dst), b"lost").await;
        assert_eq!(client.recv_undeliverable().await.0, vip(dst));
    }
    let heard = liar.sync().await;
    assert!(heard.iter().all(|heard| heard.data().is_none()), "{heard:?}");
}

#[tokio::test]
async fn thousand_routes_are_64_and_all_gone_with_the_link() {
    let linked = Linked::start(&PEERS);
    let (mut liar, mut honest) = (linked.link(LIAR).await, linked.link(HONEST).await);
    let other = HubId::from([9; 4]);
    for round in 0..5u8 {
        let claim = |n: u16| {
            let [high, low] = n.to_be_bytes();
            liar.claim(network(&format!("10.{}.{low}.0/24", round * 4 + high)), &[other])
        };
        let claims = (0..1000).map(claim).collect();
        liar.say_routes(claims).await;
        liar.sync().await;
        assert_eq!(linked.routes().len(), 64 + 1);
    }
    let mut client = linked.join().await;
    assert_others_talk(&mut client, &mut honest).await;
    drop(liar);
    linked.until("no routes are left", |linked| linked.routes().len() == 1).await;
    assert_others_talk(&mut client, &mut honest).await;
}

#[tokio::test]
async fn frames_from_elsewhere_are_dropped_and_counted() {
    let linked = Linked::start(&PEERS);
    let (mut liar, mut honest) = (linked.link(LIAR).await, linked.link(HONEST).await);
    let (mut bob, carol) = (linked.join().await, linked.join().await);
    // Our clients, our hub, another peer's, nobody's, and what must not be an address.
    let forged = ["7.20.0.5", "7.10.0.1", "7.13.0.5", "0.0.0.0", "127.0.0.1", "255.255.255.255"];
    let forged: Vec<_> = forged.map(vip).into_iter().chain([bob.vip, carol.vip]).collect();
    for src in &forged {
        for dst in [bob.vip, vip("7.20.0.9"), vip("7.10.0.200")] {
            liar.forward(dst, *src, b"forged").await;
        }
    }
    liar.forward(bob.vip, from_liar(), b"honest").await;
    let heard = liar.sync().await;

    // Who is not allowed to send is told nothing either.
    assert!(heard.iter().all(|heard| heard.gone().is_none()), "{heard:?}");
    assert_next(&mut bob, b"honest").await;
    assert_eq!(linked.status(LIAR).dropped_frames, 3 * forged.len() as u64);
    let heard = honest.sync().await;
    assert!(heard.iter().all(|heard| heard.data().is_none()), "{heard:?}");
    assert_others_talk(&mut bob, &mut honest).await;
}

#[tokio::test]
async fn frames_that_travel_too_far_or_back_are_dropped() {
    let linked = Linked::start(&PEERS);
    let (mut liar, mut honest) = (linked.link(LIAR).await, linked.link(HONEST).await);
    let mut bob = linked.join().await;
    let far = vip("7.20.0.5");
    let usual = Forwarding::begin(liar.id, false);
    let ours = Forwarding::begin(liar.hub_id, false);
    for (forwarding, dst) in [
        (Forwarding { ttl: 0, ..usual }, bob.vip),
        (Forwarding { ttl: 0, ..usual }, far),
        (Forwarding { ttl: 1, ..usual }, far),
        (ours, far),
        (usual, vip("7.11.0.9")),
        (usual, vip("7.12.0.9")),
        (usual, vip("7.10.0.200")),
        (usual, vip("9.9.9.9")),
    ] {
        liar.forward_as(forwarding, dst, from_liar(), b"lost").await;
    }
    let heard = liar.sync().await;
    let gone: Vec<_> = heard.iter().filter_map(|heard| heard.gone()).collect();
    assert_eq!(gone, ["7.12.0.9", "7.10.0.200", "9.9.9.9"].map(vip));
    assert_eq!(linked.status(LIAR).dropped_frames, 8);

    liar.forward_as(Forwarding { ttl: 1, ..usual }, bob.vip, from_liar(), b"last link").await;
    liar.forward_as(Forwarding { ttl: 255, ..usual }, far, from_liar(), b"far").await;
    liar.sync().await;
    assert_next(&mut bob, b"last link").await;
    let heard = honest.sync().await;
    let frames: Vec<_> = heard.iter().filter(|heard| heard.data().is_some()).collect();
    let [super::liar::Heard::Fwd { ttl: 7, data }] = frames[..] else { panic!("{frames:?}") };
    assert_eq!(data, b"far");
}

#[tokio::test]
async fn frame_of_the_longest_length_passes_and_a_longer_one_ends_the_link() {
    let linked = Linked::start(&PEERS);
    let (mut liar, mut honest) = (linked.link(LIAR).await, linked.link(HONEST).await);
    let mut bob = linked.join().await;
    let longest = vec![7; MAX_FRAME_LEN as usize - 8];
    liar.forward(bob.vip, from_liar(), &longest).await;
    assert_next(&mut bob, &longest).await;

    let header = usual_header(&liar, bob.vip, longest.len() + 1);
    liar.client.send_bytes(&header).await;
    liar.assert_ended().await;
    linked.until("the link is down", |linked| !linked.is_up(LIAR)).await;
    let error = linked.status(LIAR).last_error.unwrap();
    assert!(error.contains("the limit is"), "{error}");
    assert_others_talk(&mut bob, &mut honest).await;
}

fn usual_header(liar: &Liar, dst: Vip, len: usize) -> Vec<u8> {
    Forwarding::begin(liar.id, false).header(dst, from_liar(), len).to_vec()
}

#[tokio::test]
async fn what_does_not_open_or_is_cut_short_ends_the_link_alone() {
    let linked = Linked::start(&PEERS);
    let mut honest = linked.link(HONEST).await;
    let mut bob = linked.join().await;
    for (frame_type, body) in [
        (FrameType::XCTL, vec![0; 40]),
        (FrameType::XCTL, Vec::new()),
        (FrameType::FWD, vec![8; 10]),
    ] {
        let mut liar = linked.link(LIAR).await;
        assert!(linked.is_up(LIAR));
        liar.client.send(frame_type, &body).await;
        liar.assert_ended().await;
        linked.until("the link is down", |linked| !linked.is_up(LIAR)).await;
        assert_eq!(linked.routes().len(), 1, "its routes go with it");
        assert_others_talk(&mut bob, &mut honest).await;
    }
}

#[tokio::test]
async fn frames_of_clients_mean_nothing_on_a_link() {
    let linked = Linked::start(&PEERS);
    let mut liar = linked.link(LIAR).await;
    let mut bob = linked.join().await;
    let before = linked.status(LIAR).dropped_frames;
    liar.client.send_bytes(&s2c(bob.vip, from_liar(), b"S2C")).await;
    let mut packed = Vec::new();
    packed.extend(s2c(bob.vip, from_liar(), b"MPAK"));
    liar.client.send(FrameType::MPAK, &packed).await;
    for frame_type in (0..=u8::MAX).map(FrameType) {
        let known = [FrameType::XCTL, FrameType::FWD, FrameType::EXIT, FrameType::S2C];
        if !known.contains(&frame_type) {
            liar.client.send(frame_type, &bob.vip.octets()).await;
        }
    }
    liar.say(&Control::Leave).await;
    liar.say(&Control::Frame(FrameType::GCL, Vec::new())).await;
    liar.say(&Control::Join(Box::default())).await;
    liar.forward(bob.vip, from_liar(), b"FWD").await;
    liar.sync().await;

    assert_next(&mut bob, b"FWD").await;
    assert!(linked.status(LIAR).dropped_frames > before + 200);
    assert_eq!(linked.hub.handle.status().sessions.len(), 1);
}

#[tokio::test]
async fn second_link_takes_the_place_of_the_first() {
    let linked = Linked::start(&PEERS);
    let mut first = linked.link(LIAR).await;
    let mut bob = linked.join().await;
    let mut second = linked.link(LIAR).await;
    first.assert_ended().await;
    second.forward(bob.vip, from_liar(), b"by the second").await;
    assert_next(&mut bob, b"by the second").await;
    bob.send_to(from_liar(), b"answer").await;
    bob.sync().await;
    let heard = second.sync().await;
    assert!(heard.iter().any(|heard| heard.data() == Some(b"answer")), "{heard:?}");
}

#[tokio::test]
async fn hub_that_is_no_peer_gets_nothing_through() {
    let linked = Linked::start(&PEERS);
    let mut bob = linked.join().await;
    let socket = TcpStream::connect(linked.hub.addr).await.unwrap();
    let mut stranger = Liar::dial(socket, &identity()).await;
    let own = stranger.claim(network("7.11.0.0/24"), &[]);
    stranger.say_routes(vec![own]).await;
    stranger.forward(bob.vip, from_liar(), b"lost").await;
    assert!(stranger.hear().await.is_none());
    bob.sync().await;
    assert!(linked.routes().is_empty());
    bob.send_to(from_liar(), b"lost").await;
    assert_eq!(bob.recv_undeliverable().await.0, from_liar());
}

fn gone(vip: Vip, to: Vip) -> Control {
    Control::Gone(Gone { to: Some(to), ttl: 8, ..Gone::new(vip, GoneReason::Offline) })
}

#[tokio::test]
async fn gone_is_believed_of_what_the_peer_may_speak_for_only() {
    let linked = Linked::start(&PEERS);
    let (mut liar, mut honest) = (linked.link(LIAR).await, linked.link(HONEST).await);
    let (mut bob, carol) = (linked.join().await, linked.join().await);
    for lie in [vip("7.20.0.5"), vip("7.10.0.1"), vip("7.13.0.5"), carol.vip, bob.vip] {
        for to in [bob.vip, vip("7.20.0.5"), from_liar(), vip("9.9.9.9"), vip("7.10.0.1")] {
            liar.say(&gone(lie, to)).await;
        }
    }
    liar.say(&gone(from_liar(), bob.vip)).await;
    liar.say(&gone(from_liar(), vip("7.20.0.5"))).await;
    liar.sync().await;
    assert_eq!(bob.recv_undeliverable().await.0, from_liar());
    bob.sync().await;
    let heard = honest.sync().await;
    let told: Vec<_> = heard.iter().filter_map(|heard| heard.gone()).collect();
    assert_eq!(told, [from_liar()]);
}

#[tokio::test]
async fn flood_of_gone_is_a_trickle_to_clients_and_to_other_hubs() {
    let linked = Linked::start(&PEERS);
    let (mut liar, mut honest) = (linked.link(LIAR).await, linked.link(HONEST).await);
    let mut bob = linked.join().await;
    let started_at = std::time::Instant::now();
    for _ in 0..20_000 {
        liar.say(&gone(from_liar(), bob.vip)).await;
    }
    for _ in 0..20_000 {
        liar.say(&gone(from_liar(), vip("7.20.0.5"))).await;
    }
    liar.sync().await;
    let most = 200 * (started_at.elapsed().as_secs() + 2);
    bob.send(FrameType::PING, b"").await;
    let mut num_told = 0;
    while bob.recv().await.0 == FrameType::ERR {
        num_told += 1;
    }
    let heard = honest.sync().await;
    let num_passed = heard.iter().filter(|heard| heard.gone().is_some()).count() as u64;
    assert!((1..=most).contains(&(num_told + num_passed)), "{num_told} and {num_passed}, {most}");
    assert_others_talk(&mut bob, &mut honest).await;
}
