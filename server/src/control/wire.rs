//! The lines on the local socket; status and peers are also what `--json` prints.
//!
//! Within one schema number fields are added, never renamed. Times are nanoseconds.

mod peers;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dosp_proto::identity::PublicKey;
use dosp_proto::label::Label;
use dosp_proto::vip::{Network, Vip};
use serde::{Deserialize, Serialize};

use crate::members::command::{MembersReply, MembersRequest};
use crate::members::snapshot::Snapshot;
pub use peers::{DialledBy, LinkState, PeerStatus, Peers, RouteStatus};

/// The longest request in bytes.
pub const MAX_REQUEST_LEN: u64 = 64 * 1024;

/// What a command asks of the hub.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// What the hub is doing.
    Status,
    /// What an administrator would send as ADMIN.
    Admin {
        /// The command line.
        command: String,
    },
    /// Something about members.
    Members(MembersRequest),
    /// Which hubs this one is linked with, and where they lead.
    Peers,
    /// All that is stored of the members, for a backup.
    Snapshot,
}

/// What the hub answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// To `Status`.
    Status(Box<Status>),
    /// To `Admin`: the text that ADMIN would carry.
    Said {
        /// The text; it begins with `ERR:` where the command was not done.
        text: String,
    },
    /// To `Members`.
    Members(MembersReply),
    /// To `Peers`.
    Peers(Box<Peers>),
    /// To `Snapshot`.
    Snapshot {
        /// Whose members they are.
        hub: PublicKey,
        /// What is stored.
        stored: Box<Snapshot>,
    },
    /// The request makes no sense, or cannot be met.
    Failed {
        /// Why, in words.
        why: String,
    },
}

/// `dosp.hub-status/1`: what a hub is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Always `dosp.hub-status/1`.
    pub schema: String,
    /// Version of the hub.
    pub version: String,
    /// What the hub is called.
    pub name: Option<Label>,
    /// Where vIPs come from.
    pub network: Network,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// How long it has been running.
    pub up_for_ns: u64,
    /// Whether bodies are compressed.
    pub compression: bool,
    /// Frames from all sessions that there have been.
    pub rx_frames: u64,
    /// Frames to them.
    pub tx_frames: u64,
    /// Bytes of the frames from them, before compression.
    #[serde(default)]
    pub rx_bytes: u64,
    /// Bytes of the frames to them.
    #[serde(default)]
    pub tx_bytes: u64,
    /// Sessions cut because they read nothing, or too little for those who waited for them.
    pub sessions_cut: u64,
    /// Frames of flows that were dropped, by reason.
    #[serde(default)]
    pub dropped: BTreeMap<String, u64>,
    /// The fingerprint of the hub's key; a hub that keeps no members has none.
    pub fingerprint: Option<String>,
    /// Whether only members can be in the network.
    pub closed: bool,
    /// How many members there are, connected or not.
    pub members: usize,
    /// How many connections have not joined a closed hub yet.
    pub strangers: usize,
    /// Tasks that the hub has: so many for each session, and some of its own.
    #[serde(default)]
    pub tasks: usize,
    /// The sessions, by vIP.
    pub sessions: Vec<SessionStatus>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Its vIP.
    pub vip: Vip,
    /// What the member is called whose session it is.
    pub name: Option<Label>,
    /// Where it connected from.
    pub addr: SocketAddr,
    /// Whether it administers the hub.
    pub admin: bool,
    /// The hash that it says is its own.
    pub hash: Option<String>,
    /// How long it has been there.
    pub up_for_ns: u64,
    /// Frames from it.
    pub rx_frames: u64,
    /// Frames to it.
    pub tx_frames: u64,
    /// Bytes of the frames from it, before compression.
    #[serde(default)]
    pub rx_bytes: u64,
    /// Bytes of the frames to it.
    #[serde(default)]
    pub tx_bytes: u64,
    /// Bytes that wait for it.
    #[serde(default)]
    pub queued_bytes: u64,
    /// The congestion control of its connection, by its name in the kernel.
    #[serde(default)]
    pub congestion: Option<String>,
    /// The smoothed round trip of its connection, when something was last written to it.
    #[serde(default)]
    pub rtt_ns: Option<u64>,
    /// What arrived there then, in bytes per second.
    #[serde(default)]
    pub delivery_rate: Option<u64>,
}
