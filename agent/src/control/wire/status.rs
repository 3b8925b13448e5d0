//! What an agent is doing, as JSON.

use std::collections::BTreeMap;

use dosp_proto::member;
use dosp_proto::vip::{Network, Vip};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::{Link, Offload, Queue, nanos, number};
use crate::engine::{Drops, PeerReport, TunnelState, Version};
use crate::node::{LinkState, NodeReport};
use crate::remote::{Remote, Way};

/// `dosp.status/1`: what an agent is doing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Always `dosp.status/1`.
    pub schema: String,
    /// The agent's version.
    pub version: String,
    /// How far the link is.
    pub state: State,
    /// The agent's vIP, or its last one.
    pub vip: Option<Vip>,
    /// The name that it claims.
    pub name: Option<String>,
    /// Its key, for people.
    pub fingerprint: String,
    /// The hub's network.
    pub network: Option<Network>,
    /// The hub, as it was given.
    pub hub: String,
    /// Round trip of the last PING to the hub.
    pub hub_rtt_ns: Option<u64>,
    /// Age of the link.
    pub up_for_ns: Option<u64>,
    /// How often a link was lost since the start.
    pub reconnects: u64,
    /// Why there is no link, or why the last one ended.
    pub last_error: Option<String>,
    /// The TUN interface; `null` for a command that works by itself.
    pub tun: Option<String>,
    /// Its MTU in bytes.
    pub mtu: Option<u16>,
    /// Whether peers reach this host only when it has spoken to them.
    pub shields_up: bool,
    /// Dropped packets and frames, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// All peers that were spoken to, by vIP.
    pub peers: Vec<Peer>,
    /// The hub's key, for people; `null` where it has no members.
    pub hub_fingerprint: Option<String>,
    /// All members of the networks, by vIP; `null` where the hub has none.
    pub nodes: Option<Vec<Node>>,
    /// The networks of other hubs, by address.
    #[serde(default)]
    pub networks: Vec<OtherNetwork>,
    /// What waits for the link, and for tunnels.
    #[serde(default)]
    pub queue: Option<Queue>,
    /// Which super-packets the interface has; `null` for a command that works by itself.
    #[serde(default)]
    pub offload: Option<Offload>,
    /// How the connection with the hub fares; `null` while there is none.
    #[serde(default)]
    pub link: Option<Link>,
    /// Tasks that the program has, those of open requests included: flat, however long it runs.
    #[serde(default)]
    pub tasks: usize,
    /// Unix seconds by the hub's clock; `null` where it has not told.
    #[serde(default)]
    pub hub_time: Option<u64>,
}

/// The network of another hub.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OtherNetwork {
    /// The network.
    pub network: Network,
    /// What its hub is called.
    pub hub: Option<String>,
    /// The links between this host's hub and that one; `null` where no way leads there now.
    pub hops: Option<u8>,
    /// Whether this host sends packets for it into the interface.
    pub routed: bool,
    /// Why it does not.
    pub why: Option<String>,
}

/// A member of the network, by the hub's word.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Node {
    /// Its vIP.
    pub vip: Vip,
    /// Its name, with that of its hub where that is another one.
    pub name: Option<String>,
    /// Its key, for people.
    pub fingerprint: String,
    /// Whether it is connected to its hub.
    pub online: bool,
    /// What its hub is called; `null` for this host's own, and for one without a name.
    #[serde(default)]
    pub via: Option<String>,
    /// The links between this host's hub and its own; `null` where no way leads there now.
    #[serde(default)]
    pub hops: Option<u8>,
}

impl Node {
    fn new(node: member::Node, way: Way) -> Self {
        let via = way.hub.map(String::from);
        let name = node.name.map(String::from);
        Self {
            vip: node.vip,
            name: name.map(|name| via.iter().fold(name, |name, hub| format!("{name}.{hub}"))),
            fingerprint: node.key.fingerprint().to_string(),
            online: node.is_online,
            via,
            hops: way.num_hops,
        }
    }
}

/// How far the link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Dialling, or waiting for the next try.
    Connecting,
    /// Connected, not yet let in.
    Joining,
    /// Let in.
    Up,
}

impl State {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Joining => "joining",
            Self::Up => "up",
        }
    }
}

/// One peer in a [`Status`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Peer {
    /// Its vIP.
    pub vip: Vip,
    /// `none`, `opening` or `open`.
    pub tunnel: String,
    /// The tunnel's version; `null` where there is none.
    pub tunnel_version: Option<u8>,
    /// Whether the peer at the other end of the tunnel proved who it is. In version 1 it cannot.
    pub authenticated: bool,
    /// The key that the peer proved, now or before, for people.
    pub fingerprint: Option<String>,
    /// The name that this host knows its key by.
    pub name: Option<String>,
    /// The name that it claims, where it has none here.
    pub claimed_name: Option<String>,
    /// Age of the session that is sent in.
    pub session_age_ns: Option<u64>,
    /// Time since a frame of it last verified.
    pub verified_ago_ns: Option<u64>,
    /// Frames from it.
    pub rx_frames: u64,
    /// Bytes from it.
    pub rx_bytes: u64,
    /// Frames to it.
    pub tx_frames: u64,
    /// Bytes to it.
    pub tx_bytes: u64,
    /// Bytes that wait to be sealed for it.
    pub queued_bytes: u64,
    /// How long the last `ping` of it took; `null` where there was none.
    #[serde(default)]
    pub rtt_ns: Option<u64>,
    /// What was dropped of it and for it, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Why it takes no tunnel, while that is so.
    pub refusal: Option<String>,
    /// What its hub is called; `null` for this host's own, and for one without a name.
    #[serde(default)]
    pub via: Option<String>,
    /// The links between this host's hub and its own; `null` where that is not known.
    #[serde(default)]
    pub hops: Option<u8>,
}

/// What the node itself does not know.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The hub, as it was given.
    pub hub: String,
    /// The TUN interface.
    pub tun: Option<String>,
    /// Its MTU in bytes.
    pub mtu: Option<u16>,
}

impl Status {
    /// Puts together what the node and its surroundings say.
    #[must_use]
    pub fn new(report: NodeReport, surroundings: &Surroundings) -> Self {
        let own = report.overlay.map(|overlay| overlay.network);
        let networks = report.networks;
        let node = |node: member::Node| {
            let way = networks.way_to(own, node.vip);
            Node::new(node, way)
        };
        Self {
            schema: "dosp.status/1".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: match report.link {
                LinkState::Connecting => State::Connecting,
                LinkState::Joining => State::Joining,
                LinkState::Up(_) => State::Up,
            },
            vip: report.overlay.map(|overlay| overlay.vip),
            name: report.name,
            fingerprint: report.fingerprint.to_string(),
            network: report.overlay.map(|overlay| overlay.network),
            hub: surroundings.hub.clone(),
            hub_rtt_ns: report.hub_rtt.map(nanos),
            up_for_ns: report.up_for.map(nanos),
            reconnects: report.num_link_losses,
            last_error: report.last_error,
            tun: surroundings.tun.clone(),
            mtu: surroundings.mtu,
            shields_up: report.shields_up,
            dropped: by_name(&report.drops),
            peers: report.peers.into_iter().map(Peer::from).collect(),
            hub_fingerprint: report.hub_key.map(|key| key.fingerprint().to_string()),
            nodes: report.nodes.map(|nodes| nodes.into_iter().map(node).collect()),
            networks: networks.iter().map(|remote| other(remote, &report.unrouted)).collect(),
            queue: Some(report.queue.into()),
            offload: report.offload.map(Offload::from),
            link: report.path.map(Link::from),
            tasks: Handle::try_current().map_or(0, |own| own.metrics().num_alive_tasks()),
            hub_time: report.hub_time,
        }
    }
}

fn other(remote: &Remote, unrouted: &BTreeMap<Vip, String>) -> OtherNetwork {
    let told = &remote.told;
    OtherNetwork {
        network: told.network,
        hub: told.hub.as_ref().map(ToString::to_string),
        hops: told.num_hops,
        routed: remote.is_routed,
        why: unrouted.get(&told.network.address()).cloned(),
    }
}

impl From<PeerReport> for Peer {
    fn from(report: PeerReport) -> Self {
        let tunnel = match report.tunnel {
            TunnelState::None => "none",
            TunnelState::Opening => "opening",
            TunnelState::Open => "open",
        };
        let fingerprint = report.proven.as_ref().map(|proven| proven.fingerprint.to_string());
        let (name, claimed_name) =
            report.proven.map(|proven| (proven.name, proven.claimed_name)).unwrap_or_default();
        Self {
            vip: report.vip,
            tunnel: tunnel.to_owned(),
            tunnel_version: report.version.map(number),
            authenticated: report.version == Some(Version::Two),
            fingerprint,
            name,
            claimed_name,
            session_age_ns: report.session_age.map(nanos),
            verified_ago_ns: report.verified_ago.map(nanos),
            rx_frames: report.rx_frames,
            rx_bytes: report.rx_bytes,
            tx_frames: report.tx_frames,
            tx_bytes: report.tx_bytes,
            queued_bytes: report.queued_len as u64,
            rtt_ns: report.rtt.map(nanos),
            dropped: by_name(&report.drops),
            refusal: report.refusal.map(|refusal| refusal.to_string()),
            via: report.way.hub.map(String::from),
            hops: report.way.num_hops,
        }
    }
}

fn by_name(drops: &Drops) -> BTreeMap<String, u64> {
    drops.iter().map(|(reason, count)| (reason.name().to_owned(), count)).collect()
}
