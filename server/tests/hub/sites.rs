//! Two hubs that are linked: what members of one are told of the other.

use std::time::Duration;

use dosp_proto::frame::{self, FrameType};
use dosp_proto::identity::PublicKey;
use dosp_proto::member::{Control, Gone, GoneReason, Join, Node};
use dosp_proto::vip::{Network, Vip};
use dosp_server::config::PeerConfig;
use dosp_server::hub_key;
use rand::rngs::StdRng;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Client, TestHub};
use crate::member::{Introduced, Member, identity};

const PARIS: &str = "10.77.0.0/24";
const BERLIN: &str = "10.78.0.0/24";

struct Sites {
    paris: TestHub,
    berlin: TestHub,
    _folders: [TempDir; 2],
}

impl Sites {
    /// Two open hubs; paris dials.
    fn start() -> Self {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let keys = folders.each_ref().map(|folder| {
            *hub_key::load(folder.path(), &mut rand::make_rng::<StdRng>()).unwrap().public()
        });
        let berlin = hub(&folders[1], "berlin", BERLIN, peer(None, PARIS, keys[0]));
        let addr = Some(berlin.addr.to_string());
        let paris = hub(&folders[0], "paris", PARIS, peer(addr, BERLIN, keys[1]));
        Self { paris, berlin, _folders: folders }
    }
}

fn peer(addr: Option<String>, network: &str, key: PublicKey) -> PeerConfig {
    let network = network.parse().unwrap();
    PeerConfig { addr, network, key: Some(key), networks: Vec::new(), unauthenticated: false }
}

fn hub(folder: &TempDir, name: &str, network: &str, peer: PeerConfig) -> TestHub {
    TestHub::start_with(|config| {
        config.state = Some(folder.path().to_owned());
        config.name = name.parse().ok();
        config.network = network.parse().unwrap();
        config.peers = vec![peer];
    })
}

async fn member(hub: &TestHub, name: &str) -> Member {
    let socket = TcpStream::connect(hub.addr).await.unwrap();
    let join = Join { name: name.parse().ok(), ..Join::default() };
    Introduced::over(socket, &identity()).await.join(join).await.unwrap()
}

/// Waits until the hub says that berlin is so many hops away.
async fn until_hops(member: &mut Member, hops: Option<u8>) {
    let berlin: Network = BERLIN.parse().unwrap();
    member
        .until(|word| {
            let Control::Networks(networks) = word else { return None };
            let [network] = &networks[..] else { panic!("{networks:?}") };
            assert_eq!(network.network, berlin);
            (network.num_hops == hops).then_some(())
        })
        .await;
}

/// The next entry of berlin's list that `wanted` takes.
async fn until_listed(member: &mut Member, wanted: impl Fn(&Node) -> bool) -> Node {
    let berlin = BERLIN.parse().ok();
    member
        .until(|word| match word {
            Control::Nodes(page) if page.network == berlin => page.nodes.into_iter().find(&wanted),
            _ => None,
        })
        .await
}

async fn until_gone(member: &mut Member) -> Gone {
    member.until(|word| if let Control::Gone(gone) = word { Some(gone) } else { None }).await
}

async fn send(member: &mut Member, to: Vip) {
    let mut sent = Vec::new();
    frame::encode_s2c(&mut sent, to, Vip::NONE, b"hello");
    member.link.client.send_bytes(&sent).await;
}

fn is_bob(node: &Node) -> bool {
    node.name.as_ref().is_some_and(|name| name.as_str() == "bob")
}

#[tokio::test]
async fn members_know_the_other_hubs_members_and_where_they_are() {
    let sites = Sites::start();
    let mut alice = member(&sites.paris, "alice").await;
    if alice.welcome.networks.iter().all(|network| network.num_hops.is_none()) {
        until_hops(&mut alice, Some(1)).await;
    }
    let mut bob = member(&sites.berlin, "bob").await;
    let listed = until_listed(&mut alice, is_bob).await;
    assert_eq!((listed.vip, listed.is_online), (bob.vip(), true));
    send(&mut alice, bob.vip()).await;
    assert_eq!(bob.recv_data().await, b"hello");

    drop(bob);
    let listed = until_listed(&mut alice, |node| is_bob(node) && !node.is_online).await;
    send(&mut alice, listed.vip).await;
    assert_eq!(until_gone(&mut alice).await, Gone::new(listed.vip, GoneReason::Offline));
    let nobody = Vip::from([10, 78, 0, 77]);
    send(&mut alice, nobody).await;
    assert_eq!(until_gone(&mut alice).await, Gone::new(nobody, GoneReason::Unknown));
}

#[tokio::test]
async fn names_outlive_the_link_and_frames_are_returned() {
    let sites = Sites::start();
    let mut alice = member(&sites.paris, "alice").await;
    let bob = member(&sites.berlin, "bob").await;
    let vip = bob.vip();
    until_listed(&mut alice, |node| is_bob(node) && node.is_online).await;
    sites.berlin.ask_to_stop();
    sites.berlin.stopped().await;

    until_hops(&mut alice, None).await;
    send(&mut alice, vip).await;
    assert_eq!(until_gone(&mut alice).await, Gone::new(vip, GoneReason::Unreachable));
    let mut carol = member(&sites.paris, "carol").await;
    let [berlin] = &carol.welcome.networks[..] else { panic!("{:?}", carol.welcome) };
    assert_eq!(berlin.hub.as_ref().map(|hub| hub.as_str()), Some("berlin"));
    assert_eq!(berlin.num_hops, None);
    assert!(!until_listed(&mut carol, is_bob).await.is_online);
}

#[tokio::test]
async fn plain_clients_reach_each_other_too_and_get_err() {
    let sites = Sites::start();
    // It is there once a member knows the way.
    let mut alice = member(&sites.paris, "alice").await;
    if alice.welcome.networks.iter().all(|network| network.num_hops.is_none()) {
        until_hops(&mut alice, Some(1)).await;
    }
    let mut carol = plain(&sites.paris).await;
    let mut dave = plain(&sites.berlin).await;
    let to = dave.vip;
    carol.send_to(to, b"over both hubs").await;
    assert_eq!(dave.recv_s2c().await, (to, carol.vip, b"over both hubs".to_vec()));
    drop(dave);
    // Until its hub has noticed, frames are lost with the connection.
    let undeliverable = loop {
        carol.send_to(to, b"is anybody there?").await;
        let answer = carol.recv_undeliverable();
        if let Ok(answer) = timeout(Duration::from_millis(100), answer).await {
            break answer;
        }
    };
    assert_eq!(undeliverable.0, to);
}

/// A client that knows nothing of members.
async fn plain(hub: &TestHub) -> Client {
    let mut client = Client::speechless(TcpStream::connect(hub.addr).await.unwrap());
    crate::member::read_greeting(&mut client).await;
    client
}

#[tokio::test]
async fn advertisement_of_a_stranger_is_not_answered() {
    let hub = TestHub::start();
    let mut client = hub.join().await;
    client.send(FrameType::SD, b"\x01\0").await;
    client.send(FrameType::SD, b"\x01\0").await;
    client.sync().await;
}
