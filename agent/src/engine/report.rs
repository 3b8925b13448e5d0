//! What the engine tells about itself.

use std::time::{Duration, Instant};

use dosp_proto::identity::{Fingerprint, PublicKey};
use dosp_proto::vip::Vip;

use super::peer::Peer;
use super::{Drops, Engine, Overlay, Refusal, Traffic, Version};
use crate::known_peers::KnownPeers;
use crate::remote::Way;

/// How far the tunnel with a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelState {
    /// There is none, and nobody asked for one.
    None,
    /// Our opening has no answer yet.
    Opening,
    /// Keys are agreed.
    Open,
}

/// Who a peer has proved to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Its key, for people.
    pub fingerprint: Fingerprint,
    /// The name that this host knows it by.
    pub name: Option<String>,
    /// The name that it claims, where nobody here calls it otherwise.
    pub claimed_name: Option<String>,
}

/// The tunnel with a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelReport {
    /// The peer's vIP.
    pub vip: Vip,
    /// The tunnel's version.
    pub version: Version,
    /// Who the peer is; `None` in version 1, which does not know.
    pub proven: Option<Proven>,
    /// How far away it is.
    pub way: Way,
}

/// One peer, as status shows it.
#[derive(Debug, Clone)]
pub struct PeerReport {
    /// Its vIP.
    pub vip: Vip,
    /// How far its tunnel is.
    pub tunnel: TunnelState,
    /// The version of its tunnel.
    pub version: Option<Version>,
    /// Who it has proved to be, now or before.
    pub proven: Option<Proven>,
    /// Age of the session that is sent in.
    pub session_age: Option<Duration>,
    /// Time since a frame of it last verified.
    pub verified_ago: Option<Duration>,
    /// Frames from it.
    pub rx_frames: u64,
    /// Bytes of DATA from it.
    pub rx_bytes: u64,
    /// Frames to it.
    pub tx_frames: u64,
    /// Bytes of DATA to it.
    pub tx_bytes: u64,
    /// Bytes that wait to be sealed.
    pub queued_len: usize,
    /// How long the last echo took; nobody sends any but people.
    pub rtt: Option<Duration>,
    /// What was dropped of it and for it, by reason.
    pub drops: Drops,
    /// Its last refusal, until a tunnel is open.
    pub refusal: Option<Refusal>,
    /// How far away it is.
    pub way: Way,
}

/// Packets of the local host that are not sent yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueReport {
    /// How many wait for their turn on the link.
    pub num_queued: usize,
    /// The memory that they wait in, in bytes.
    pub queued_len: usize,
    /// Flows that they belong to, and those that have just had their turn.
    pub num_flows: usize,
    /// The most memory that they may wait in, in bytes.
    pub max_len: usize,
    /// How long they may wait in the long run.
    pub target: Duration,
    /// How many wait for a tunnel.
    pub num_staged: usize,
    /// The memory that they wait in, in bytes.
    pub staged_len: usize,
}

impl QueueReport {
    /// How many packets wait.
    #[must_use]
    pub const fn num_packets(&self) -> usize {
        self.num_queued + self.num_staged
    }
}

impl Engine {
    /// What waits to be sealed of what the local host sent. All that it sent and that is not here was
    /// sealed, or is among [`Self::drops`].
    #[must_use]
    pub fn queue_report(&self) -> QueueReport {
        self.packets.report(self.peers.values().map(Peer::num_staged).sum())
    }

    /// Where this agent is, or last was.
    #[must_use]
    pub fn overlay(&self) -> Option<Overlay> {
        self.overlay
    }

    /// This agent's key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.endpoint.public_key()
    }

    /// The name that this agent claims.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.endpoint.name()
    }

    /// Whose keys are known.
    #[must_use]
    pub fn known_peers(&self) -> &KnownPeers {
        &self.known
    }

    /// Round trip of the last PING to the hub.
    #[must_use]
    pub fn hub_rtt(&self) -> Option<Duration> {
        self.hub_rtt
    }

    /// Frames of all peers, also of those that are forgotten.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.peers.values().map(|peer| peer.traffic).fold(self.past_traffic, Traffic::plus)
    }

    /// How often a peer has proved its key: handshakes of version 2 that were done, renewals too.
    #[must_use]
    pub fn num_handshakes(&self) -> u64 {
        self.num_handshakes
    }

    /// What was dropped, by reason.
    #[must_use]
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// All peers, by vIP.
    pub fn peers(&self, now: Instant) -> impl Iterator<Item = PeerReport> + '_ {
        let ago = move |at: Instant| now.duration_since(at);
        self.peers.iter().map(move |(vip, peer)| PeerReport {
            vip: *vip,
            tunnel: match (peer.version(), peer.is_opening()) {
                (Some(_), _) => TunnelState::Open,
                (None, true) => TunnelState::Opening,
                (None, false) => TunnelState::None,
            },
            version: peer.version(),
            proven: self.proven(*vip, peer),
            session_age: peer.v2.session_since().map(ago),
            verified_ago: peer.verified_at().map(ago),
            rx_frames: peer.traffic.rx_frames,
            rx_bytes: peer.traffic.rx_bytes,
            tx_frames: peer.traffic.tx_frames,
            tx_bytes: peer.traffic.tx_bytes,
            queued_len: peer.waiting_len(),
            rtt: peer.rtt,
            drops: peer.drops.clone(),
            refusal: peer.refusal.clone(),
            way: self.way_to(*vip),
        })
    }

    pub(super) fn tunnel_report(&self, vip: Vip) -> Option<TunnelReport> {
        let peer = self.peers.get(&vip)?;
        let version = peer.version()?;
        let proven = self.proven(vip, peer).filter(|_| version == Version::Two);
        Some(TunnelReport { vip, version, proven, way: self.way_to(vip) })
    }

    fn proven(&self, vip: Vip, peer: &Peer) -> Option<Proven> {
        let known = self.known.key_of(vip);
        let key = peer.v2.key().or(known.map(|known| &known.key))?;
        let name = known.filter(|known| known.key == *key).and_then(|known| known.name.clone());
        let name = name.or_else(|| self.listed_name(vip, key).map(|name| name.to_string()));
        let claim = peer.v2.introduction().and_then(|introduction| introduction.name.as_ref());
        let claim = claim.and_then(|claim| self.full_name(vip, &claim.parse().ok()?));
        // A name that belongs to another key is not even shown as a claim.
        let is_free =
            |claim: &String| self.known.by_name(claim).is_none_or(|owner| owner.key == *key);
        let claimed_name = claim.map(|claim| claim.to_string()).filter(is_free);
        Some(Proven { fingerprint: key.fingerprint(), name, claimed_name })
    }
}
