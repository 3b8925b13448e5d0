//! What a hub tells of the hubs that it is linked with.

use dosp_proto::label::Label;
use dosp_proto::vip::Network;
use serde::{Deserialize, Serialize};

/// `dosp.hub-peers/1`: which hubs this one is linked with, and where they lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// Always `dosp.hub-peers/1`.
    pub schema: String,
    /// What this hub is called.
    pub name: Option<Label>,
    /// Its own network.
    pub network: Network,
    /// Its key in base64, which operators of peers write down; a hub that keeps nothing has none.
    pub key: Option<String>,
    /// The peers, in the order of the configuration.
    pub peers: Vec<PeerStatus>,
    /// Which networks they lead to, by network, the best way first.
    pub routes: Vec<RouteStatus>,
}

impl Peers {
    /// The name of this form.
    pub const SCHEMA: &'static str = "dosp.hub-peers/1";
}

/// One peer, and the link with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// What it is called; unknown before it has said so.
    pub hub: Option<Label>,
    /// Where it is dialled, or where its link comes from; none where only it dials and has not yet.
    pub addr: Option<String>,
    /// Its own network.
    pub network: Network,
    /// Whether there is a link.
    pub state: LinkState,
    /// Who began the link that is there, or is being made.
    pub dialled_by: Option<DialledBy>,
    /// Whether it is known by its key, rather than by its address alone.
    pub authenticated: bool,
    /// The fingerprint of its key.
    pub fingerprint: Option<String>,
    /// How long the link has been there.
    pub up_for_ns: Option<u64>,
    /// How long the last echo took.
    pub rtt_ns: Option<u64>,
    /// Frames from the peer since this hub began.
    pub rx_frames: u64,
    /// Frames to it.
    pub tx_frames: u64,
    /// Bytes of the frames from it.
    #[serde(default)]
    pub rx_bytes: u64,
    /// Bytes of those to it.
    #[serde(default)]
    pub tx_bytes: u64,
    /// Frames from it or for it that did not pass.
    pub dropped_frames: u64,
    /// Bytes that wait for it.
    #[serde(default)]
    pub queued_bytes: u64,
    /// The congestion control of the link's connection, by its name in the kernel.
    #[serde(default)]
    pub congestion: Option<String>,
    /// What arrived there when something was last written to it, in bytes per second.
    #[serde(default)]
    pub delivery_rate: Option<u64>,
    /// Why the last link ended, or could not be made.
    pub last_error: Option<String>,
}

/// Whether there is a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// There is one, and frames pass.
    Up,
    /// It is being made.
    Dialling,
    /// There is none: the next try is later, or the peer's to make.
    Waiting,
}

/// Who began a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialledBy {
    /// This hub.
    Us,
    /// The peer.
    Them,
}

/// One way to a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// The network.
    pub network: Network,
    /// What the hub is called whose network it is.
    pub hub: Option<Label>,
    /// The peer that leads there: its name, or its network.
    pub via: String,
    /// How many links lie between this hub and that one.
    pub num_hops: u8,
    /// Whether frames take this way.
    pub is_best: bool,
}
