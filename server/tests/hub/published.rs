//! Published hubs, which are known by their address: what they are told, and who is none of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dosp_proto::frame::{self, FrameType};
use dosp_proto::sd::{Advertisement, Route};
use dosp_proto::vip::Vip;
use dosp_server::config::parse_peer;
use dosp_server::control::wire::LinkState;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::timeout;

use crate::client::{Client, PATIENCE, TestHub, s2c};

/// Nobody listens on port 9 there: it dials, and nobody dials it.
const PEER: &str = "127.0.0.2:9=7.11.0.x,networks=7.12.0.0/15,unauthenticated";
/// So many links of one published hub are kept.
const MAX_LINKS: usize = 16;

/// A client of that hub.
fn there() -> Vip {
    Vip::from([7, 11, 0, 5])
}

fn empty_sd() -> Vec<u8> {
    let mut sd = Vec::new();
    Advertisement::default().encode_to(&mut sd).unwrap();
    sd
}

fn hub_with(peers: &[&str]) -> TestHub {
    let peers = peers.iter().map(|peer| parse_peer(peer).unwrap()).collect();
    TestHub::start_with(|config| config.peers = peers)
}

/// A connection from another host.
async fn connect_from(hub: &TestHub, host: &str) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(host.parse().unwrap(), 0)).unwrap();
    let mut client = Client::speechless(socket.connect(hub.addr).await.unwrap());
    let (frame_type, body) = client.recv().await;
    assert_eq!(frame_type, FrameType::AIP);
    client.vip = Vip::from(<[u8; 4]>::try_from(body).unwrap());
    assert_eq!(client.recv().await.0, FrameType::HSK);
    client
}

/// The next frame that is no PING, of which there may be any number.
async fn next_but_ping(client: &mut Client) -> (FrameType, Vec<u8>) {
    loop {
        let frame = client.recv().await;
        if frame.0 != FrameType::PING {
            return frame;
        }
    }
}

/// As a published hub does it, which is told of nothing.
async fn dial(hub: &TestHub) -> Client {
    let mut dialler = connect_from(hub, "127.0.0.2").await;
    dialler.send_bytes(&empty_sd()).await;
    assert_eq!(next_but_ping(&mut dialler).await, (FrameType::SD, vec![1, 0]));
    dialler
}

#[tokio::test]
async fn published_hub_that_dials_is_told_of_nothing_and_kept_awake() {
    let hub = hub_with(&[PEER]);
    let mut here = hub.join().await;
    let mut dialler = connect_from(&hub, "127.0.0.2").await;
    let frames = [empty_sd(), s2c(here.vip, there(), b"hello")].concat();
    dialler.send_bytes(&frames).await;
    assert_eq!(here.recv_s2c().await, (here.vip, there(), b"hello".to_vec()));
    here.send_to(there(), b"answer").await;
    // SD before all else.
    assert_eq!(dialler.recv().await, (FrameType::SD, vec![1, 0]));
    let (frame_type, body) = next_but_ping(&mut dialler).await;
    assert_eq!((frame_type, &body[8..]), (FrameType::S2C, &b"answer"[..]));
    // It would leave after 5 s.
    for _ in 0..2 {
        let since = Instant::now();
        while dialler.recv().await.0 != FrameType::PING {}
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    }
}

#[tokio::test]
async fn published_hub_is_told_of_routes_where_it_is_said_how_to_get_here() {
    let hub = TestHub::start_with(|config| {
        config.peers = vec![parse_peer(PEER).unwrap()];
        config.advertise = vec!["hub.example:7744".to_owned(), "other.example:1".to_owned()];
    });
    let mut dialler = connect_from(&hub, "127.0.0.2").await;
    dialler.send_bytes(&empty_sd()).await;
    let (host, template) = ("hub.example".to_owned(), "7.10.0.{x}".to_owned());
    let expected = Advertisement(vec![Route { host, port: 7744, template, num_hops: 0 }]);
    let (frame_type, body) = dialler.recv().await;
    assert_eq!((frame_type, Advertisement::decode(&body)), (FrameType::SD, Ok(expected)));
}

/// It has one for each network that it is configured to find here.
#[tokio::test]
async fn published_hub_has_several_links_and_not_any_number() {
    let hub = hub_with(&[PEER]);
    let mut here = hub.join().await;
    let mut links = Vec::new();
    for _ in 0..MAX_LINKS {
        links.push(dial(&hub).await);
    }
    for link in &mut links {
        link.send_bytes(&s2c(here.vip, there(), b"by this one")).await;
        assert_eq!(here.recv_s2c().await.1, there());
    }
    links.push(dial(&hub).await);
    let (frame_type, _) = next_but_ping(&mut links[0]).await;
    assert_eq!(frame_type, FrameType::EXIT);
    links[0].assert_closed().await;
    here.send_to(there(), b"by the youngest").await;
    let (frame_type, _) = next_but_ping(links.last_mut().unwrap()).await;
    assert_eq!(frame_type, FrameType::S2C);
}

#[tokio::test]
async fn published_hub_speaks_for_its_networks_alone() {
    let hub = hub_with(&[PEER]);
    let mut here = hub.join().await;
    let mut dialler = dial(&hub).await;
    for src in [[7, 10, 0, 9], [7, 10, 0, 1], [7, 14, 0, 2], [8, 8, 8, 8], [0, 0, 0, 0]] {
        dialler.send_bytes(&s2c(here.vip, src.into(), b"a lie")).await;
    }
    for src in [[7, 13, 0, 2], [7, 11, 0, 5]] {
        dialler.send_bytes(&s2c(here.vip, src.into(), b"the truth")).await;
        assert_eq!(here.recv_s2c().await, (here.vip, src.into(), b"the truth".to_vec()));
    }
    assert_eq!(hub.handle.peers().peers[0].dropped_frames, 5);
}

/// Sends SD with routes, and S2C with a SRC of its own choice.
async fn assert_is_a_client(hub: &TestHub, mut client: Client) {
    let mut here = hub.join().await;
    let (host, template) = ("x".to_owned(), "7.12.0.{x}".to_owned());
    let mut frames = Vec::new();
    let routes = vec![Route { host, port: 1, template, num_hops: 0 }];
    Advertisement(routes).encode_to(&mut frames).unwrap();
    frames.extend(s2c(here.vip, there(), b"from whom?"));
    client.send_bytes(&frames).await;
    assert_eq!(here.recv_s2c().await, (here.vip, client.vip, b"from whom?".to_vec()));
    assert!(hub.handle.peers().peers.iter().all(|peer| peer.state != LinkState::Up));
    assert_eq!(hub.handle.peers().routes, []);
    // Nobody has told it anything.
    client.sync().await;
}

#[tokio::test]
async fn sd_from_another_address_or_later_makes_no_peer() {
    let hub = hub_with(&[PEER]);
    assert_is_a_client(&hub, connect_from(&hub, "127.0.0.3").await).await;
    let mut late = connect_from(&hub, "127.0.0.2").await;
    late.sync().await;
    assert_is_a_client(&hub, late).await;
}

#[tokio::test]
async fn sd_of_a_peer_that_is_to_show_a_key_makes_no_peer() {
    let state = tempfile::tempdir().unwrap();
    let hub = TestHub::start_with(|config| {
        config.peers = vec![parse_peer("127.0.0.2:9=7.11.0.x").unwrap()];
        config.state = Some(state.path().to_owned());
    });
    let mut client = connect_from(&hub, "127.0.0.2").await;
    let mut other = connect_from(&hub, "127.0.0.1").await;
    let frames = [empty_sd(), s2c(other.vip, there(), b"from whom?")].concat();
    client.send_bytes(&frames).await;
    assert_eq!(other.recv_s2c().await, (other.vip, client.vip, b"from whom?".to_vec()));
    assert_ne!(hub.handle.peers().peers[0].state, LinkState::Up);
}

#[tokio::test]
async fn closed_hub_takes_a_published_one_where_that_is_switched_on_alone() {
    let state = tempfile::tempdir().unwrap();
    let hub = TestHub::start_with(|config| {
        config.peers = vec![parse_peer(PEER).unwrap()];
        (config.state, config.closed) = (Some(state.path().to_owned()), true);
    });
    for (host, is_peer) in [("127.0.0.2", true), ("127.0.0.3", false)] {
        let mut dialler = connect_from(&hub, host).await;
        dialler.send_bytes(&empty_sd()).await;
        let expected = if is_peer { FrameType::SD } else { FrameType::EXIT };
        assert_eq!(dialler.recv().await.0, expected, "{host}");
    }
}

/// What a published hub gets from us first, whatever else there is to send; and what it hears of us when
/// it stops.
#[tokio::test]
async fn dialled_published_hub_gets_sd_before_frames() {
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let peer = format!("{}=7.11.0.x,unauthenticated", listener.local_addr().unwrap());
    let hub = hub_with(&[&peer]);
    let mut here = hub.join().await;
    let (socket, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut dialled = Client::speechless(socket);
    let mut greeting = Vec::new();
    frame::encode(&mut greeting, FrameType::AIP, &[7, 11, 0, 2]);
    frame::encode(&mut greeting, FrameType::HSK, b"[1, 0]");
    dialled.send_bytes(&greeting).await;
    assert_eq!(dialled.recv().await, (FrameType::SD, vec![1, 0]));
    here.send_to(there(), b"hello").await;
    let (frame_type, body) = next_but_ping(&mut dialled).await;
    assert_eq!((frame_type, &body[8..]), (FrameType::S2C, &b"hello"[..]));

    dialled.send(FrameType::EXIT, b"").await;
    let mut rest = Vec::new();
    timeout(PATIENCE, dialled.socket.read_to_end(&mut rest)).await.unwrap().ok();
    let status = &hub.handle.peers().peers[0];
    assert_ne!(status.state, LinkState::Up);
    assert!(status.last_error.as_deref().is_some_and(|error| error.contains("ended it")));
}
