//! What the engine tells about itself.

use std::time::{Duration, Instant};

use dosp_proto::vip::Vip;

use super::{Drops, Engine, Overlay, Refusal};

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

/// One peer, as status shows it.
#[derive(Debug, Clone)]
pub struct PeerReport {
    /// Its vIP.
    pub vip: Vip,
    /// How far its tunnel is.
    pub tunnel: TunnelState,
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
    /// Its last refusal, until a tunnel is open.
    pub refusal: Option<Refusal>,
}

impl Engine {
    /// Where this agent is, or last was.
    #[must_use]
    pub fn overlay(&self) -> Option<Overlay> {
        self.overlay
    }

    /// Round trip of the last PING to the hub.
    #[must_use]
    pub fn hub_rtt(&self) -> Option<Duration> {
        self.hub_rtt
    }

    /// What was dropped, by reason.
    #[must_use]
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// All peers, by vIP.
    pub fn peers(&self, now: Instant) -> impl Iterator<Item = PeerReport> + '_ {
        self.peers.iter().map(move |(vip, peer)| PeerReport {
            vip: *vip,
            tunnel: match (peer.tunnel.is_open(), peer.tunnel.opening_since()) {
                (true, _) => TunnelState::Open,
                (false, Some(_)) => TunnelState::Opening,
                (false, None) => TunnelState::None,
            },
            verified_ago: peer.tunnel.verified_at().map(|at| now.duration_since(at)),
            rx_frames: peer.traffic.rx_frames,
            rx_bytes: peer.traffic.rx_bytes,
            tx_frames: peer.traffic.tx_frames,
            tx_bytes: peer.traffic.tx_bytes,
            queued_len: peer.queued_len(),
            refusal: peer.refusal.clone(),
        })
    }
}
