//! Hub and agents in one process, over loopback, with a TUN in memory. Nothing here waits for time
//! to pass: every wait is for something to happen.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails is to panic")]

use std::net::SocketAddr;
use std::time::Duration;

use dosp_agent::engine::{EngineConfig, MessageFailure, Version};
use dosp_agent::host::NoHost;
use dosp_agent::link::JoinError;
use dosp_agent::node::{
    Destination, LinkState, Message, Node, NodeConfig, NodeError, NodeHandle, SendFailure,
};
use dosp_agent::tun::{ChannelTun, ChannelTunPeer, channel};
use dosp_proto::offload::VnetHeader;
use dosp_proto::vip::Vip;
use dosp_server::config::ListenAddr;
use dosp_server::{Config, Server};
use etherparse::{Icmpv4Slice, Icmpv4Type, Ipv4HeaderSlice, PacketBuilder};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Hub {
    addr: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Hub {
    fn start(addr: &str, network: &str) -> Self {
        let listen = ListenAddr { addr: addr.parse().unwrap(), is_required: true };
        let network = network.parse().unwrap();
        let config = Config { listen: vec![listen], network, ..Config::default() };
        let server = Server::bind(&config).unwrap();
        let addr = server.local_addrs()[0];
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone()));
        Self { addr, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        soon("the hub stops", self.task).await.unwrap();
    }
}

/// Everything here happens within moments; a test that waits longer has failed.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(30), future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

type NodeResult = Result<(), NodeError<std::convert::Infallible>>;

struct Agent {
    vip: Vip,
    tun: ChannelTunPeer,
    handle: NodeHandle,
    stop: CancellationToken,
    task: JoinHandle<NodeResult>,
}

fn node_config(hub: SocketAddr, vip: Option<&str>) -> NodeConfig {
    let engine = EngineConfig { carries_ip: true, ..EngineConfig::default() };
    NodeConfig {
        vip: vip.map(|vip| vip.parse().unwrap()),
        reconnect: true,
        ..NodeConfig::new(hub.to_string().parse().unwrap(), engine)
    }
}

async fn refused(hub: SocketAddr, vip: Option<&str>) -> JoinError {
    let (tun, _host) = channel::channel();
    let (node, _handle) = Node::new(node_config(hub, vip), Some(tun), NoHost);
    match node.run(CancellationToken::new()).await {
        Err(NodeError::Join(error)) => error,
        other => panic!("{other:?}"),
    }
}

impl Agent {
    async fn up(hub: SocketAddr, vip: Option<&str>) -> Self {
        Self::up_with(hub, vip, channel::channel()).await
    }

    async fn up_with(
        hub: SocketAddr,
        vip: Option<&str>,
        (tun_end, tun): (ChannelTun, ChannelTunPeer),
    ) -> Self {
        let (node, handle) = Node::new(node_config(hub, vip), Some(tun_end), NoHost);
        let stop = CancellationToken::new();
        let task = tokio::spawn(node.run(stop.clone()));
        let overlay = soon("the node is up", handle.up()).await.expect("a node that runs");
        Self { vip: overlay.vip, tun, handle, stop, task }
    }

    /// Sends `content` in a UDP packet to `to`.
    fn send(&self, to: Vip, content: &[u8]) {
        self.tun.send(&udp(self.vip, to, content)).unwrap();
    }

    async fn leave(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn udp(from: Vip, to: Vip, content: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(from.octets(), to.octets(), 64)
        .udp(1000, 2000)
        .write(&mut packet, content)
        .unwrap();
    packet
}

/// What a host gives that is to become segments with 1,000 bytes of content.
fn tcp_super_packet(from: Vip, to: Vip, content: &[u8]) -> (VnetHeader, Vec<u8>) {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(from.octets(), to.octets(), 64).tcp(1000, 2000, 1, 1000);
    builder.write(&mut packet, content).unwrap();
    let (flags, gso_type, hdr_len, gso_size) = (1, 1, 40, 1000);
    (VnetHeader { flags, gso_type, hdr_len, gso_size, csum_start: 20, csum_offset: 16 }, packet)
}

#[tokio::test]
async fn packets_pass_between_three_agents_all_ways() {
    let hub = Hub::start("127.0.0.1:0", "7.10.0.{x}");
    let mut agents = Vec::new();
    for vip in ["7.10.0.2", "7.10.0.3", "7.10.0.4"] {
        agents.push(Agent::up(hub.addr, None).await);
        assert_eq!(agents.last().unwrap().vip.to_string(), vip, "the lowest free one");
    }
    for round in 0..50u8 {
        for from in &agents {
            for to in agents.iter().filter(|to| to.vip != from.vip) {
                let content = vec![round; 20 * usize::from(round) + 1];
                from.send(to.vip, &content);
                assert_eq!(soon("a packet", to.tun.recv()).await, udp(from.vip, to.vip, &content));
            }
        }
    }
    for agent in agents {
        agent.leave().await;
    }
    hub.stop().await;
}

#[tokio::test]
async fn many_packets_arrive_in_order_while_both_sides_send() {
    let hub = Hub::start("127.0.0.1:0", "7.10.0.{x}");
    let (a, b) = (Agent::up(hub.addr, None).await, Agent::up(hub.addr, None).await);
    for number in 0..2000u32 {
        let content = [number.to_be_bytes().as_slice(), &[7; 1000]].concat();
        a.send(b.vip, &content);
        b.send(a.vip, &content);
        assert_eq!(soon("a packet", b.tun.recv()).await, udp(a.vip, b.vip, &content));
        assert_eq!(soon("a packet", a.tun.recv()).await, udp(b.vip, a.vip, &content));
    }
}

#[tokio::test]
async fn kernel_that_refuses_super_packets_gets_every_byte_in_segments() {
    let hub = Hub::start("127.0.0.1:0", "7.10.0.{x}");
    let (tun_end, tun) = channel::channel();
    let refusing = (tun_end.refusing_super_packets(), tun);
    let a = Agent::up(hub.addr, None).await;
    let b = Agent::up_with(hub.addr, None, refusing).await;
    for number in 0..20 {
        let content: Vec<u8> =
            (0..40_000u32).map(|at| (at / 7 + number).to_le_bytes()[0]).collect();
        let (header, packet) = tcp_super_packet(a.vip, b.vip, &content);
        a.tun.send_offloaded(header, &packet).unwrap();
        let mut received = Vec::new();
        for _ in 0..40 {
            let (header, segment) = soon("a segment", b.tun.recv_offloaded()).await;
            assert_eq!(header, VnetHeader::default(), "nothing is left to be done");
            assert_eq!(segment.len(), 1040);
            received.extend_from_slice(&segment[40..]);
        }
        assert!(received == content, "packet {number} is another one");
    }
    assert_eq!(b.tun.try_recv(), None);
    // The other way the kernel takes them.
    let (header, packet) = tcp_super_packet(b.vip, a.vip, &[7; 5000]);
    b.tun.send_offloaded(header, &packet).unwrap();
    assert_eq!(soon("a packet", a.tun.recv_offloaded()).await, (header, packet));
    for agent in [&a, &b] {
        let drops = agent.handle.report().await.unwrap().drops;
        assert_eq!(drops.iter().next(), None);
    }
}

#[tokio::test]
async fn raw_messages_arrive_sealed_or_plain_and_missing_peers_are_said() {
    let hub = Hub::start("127.0.0.1:0", "7.10.0.{x}");
    let (a, b) = (Agent::up(hub.addr, None).await, Agent::up(hub.addr, None).await);
    let mut messages = b.handle.listen().await.unwrap();
    a.handle.send(Destination::Plain(b.vip), b"plain".to_vec()).await.unwrap();
    a.handle.send(Destination::Peer(b.vip), b"sealed".to_vec()).await.unwrap();
    let large = vec![7; 1_000_000];
    a.handle.send(Destination::Peer(b.vip), large.clone()).await.unwrap();
    let sealed = Some(Version::Two);
    for (version, data) in
        [(None, b"plain".to_vec()), (sealed, b"sealed".to_vec()), (sealed, large)]
    {
        assert_eq!(
            soon("a message", messages.recv()).await,
            Some(Message { from: Some(a.vip), version, data })
        );
    }
    a.handle.send(Destination::Hub, b"to the hub".to_vec()).await.unwrap();
    let nobody = "7.10.0.77".parse().unwrap();
    for destination in [Destination::Peer(nobody), Destination::Plain(nobody)] {
        let failure = a.handle.send(destination, b"x".to_vec()).await;
        assert_eq!(failure, Err(SendFailure::Failed(MessageFailure::Offline)));
    }
}

#[tokio::test]
async fn burst_of_messages_is_heard_to_the_last_one() {
    let hub = Hub::start("127.0.0.1:0", "7.10.0.{x}");
    let (a, b) = (Agent::up(hub.addr, None).await, Agent::up(hub.addr, None).await);
    let mut messages = b.handle.listen().await.unwrap();
    let mut sends = tokio::task::JoinSet::new();
    for number in 0..5000u32 {
        let (handle, to) = (a.handle.clone(), Destination::Peer(b.vip));
        sends.spawn(async move { handle.send(to, number.to_be_bytes().to_vec()).await });
    }
    for sent in sends.join_all().await {
        sent.unwrap();
    }
    let mut heard = Vec::new();
    for _ in 0..5000 {
        heard.push(soon("a message", messages.recv()).await.unwrap().data);
    }
    heard.sort();
    assert!(
        heard.iter().eq((0..5000u32)
            .map(|number| number.to_be_bytes().to_vec())
            .collect::<Vec<_>>()
            .iter())
    );
}

#[tokio::test]
async fn packet_to_an_offline_peer_comes_back_as_host_unreachable() {
    let hub = Hub::start("127.0.0.1:0", "7.10.0.{x}");
    let a = Agent::up(hub.addr, None).await;
    a.send("7.10.0.77".parse().unwrap(), b"anybody there?");
    let answer = soon("a packet", a.tun.recv()).await;
    let header = Ipv4HeaderSlice::from_slice(&answer).unwrap();
    assert_eq!((header.source(), header.destination()), ([7, 10, 0, 1], a.vip.octets()));
    let icmp = Icmpv4Slice::from_slice(&answer[header.slice().len()..]).unwrap();
    assert!(matches!(icmp.icmp_type(), Icmpv4Type::DestinationUnreachable(_)));
}

#[tokio::test]
async fn restarted_hub_gets_its_agents_back_under_their_vips() {
    let hub = Hub::start("127.0.0.1:0", "7.10.0.{x}");
    let (a, b) = (Agent::up(hub.addr, None).await, Agent::up(hub.addr, None).await);
    a.send(b.vip, b"before");
    soon("a packet", b.tun.recv()).await;
    b.send(a.vip, b"before");
    soon("a packet", a.tun.recv()).await;

    let addr = hub.addr.to_string();
    hub.stop().await;
    for agent in [&a, &b] {
        let lost = agent.handle.wait_for(|state| !matches!(state, LinkState::Up(_)));
        soon("the link is lost", lost).await.unwrap();
    }
    let hub = Hub::start(&addr, "7.10.0.{x}");
    for agent in [&a, &b] {
        assert_eq!(soon("the link is back", agent.handle.up()).await.unwrap().vip, agent.vip);
    }
    // The session is the same as before: nothing has to be agreed on first.
    a.send(b.vip, b"after");
    assert_eq!(soon("a packet", b.tun.recv()).await, udp(a.vip, b.vip, b"after"));
    b.send(a.vip, b"after");
    assert_eq!(soon("a packet", a.tun.recv()).await, udp(b.vip, a.vip, b"after"));
    assert_eq!(a.handle.report().await.unwrap().num_link_losses, 1);
    hub.stop().await;
}

#[tokio::test]
async fn full_network_and_taken_vips_are_refused_with_the_reason() {
    let hub = Hub::start("127.0.0.1:0", "10.9.0.0/29");
    let named = Agent::up(hub.addr, Some("10.9.0.5")).await;
    assert_eq!(named.vip.to_string(), "10.9.0.5");
    for (vip, reason) in [
        ("10.9.0.5", "IP already in use"),
        ("10.9.0.1", "IP can't be used"),
        ("10.8.0.2", "IP can't be used"),
    ] {
        let JoinError::VipRefused { reason: said, .. } = refused(hub.addr, Some(vip)).await else {
            panic!("{vip} was not refused");
        };
        assert!(said.contains("IP"), "{said}");
        assert_eq!(said.replace("\\'", "'"), reason);
    }
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(Agent::up(hub.addr, None).await);
    }
    let error = refused(hub.addr, None).await;
    assert_eq!(error, JoinError::Refused { reason: "Server full".to_owned() });
}
