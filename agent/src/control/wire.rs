//! The lines on the local socket, which are also what `--json` prints.
//!
//! Within one schema number fields are added, never renamed. Times are nanoseconds.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dosp_proto::message::SessionInfo;
use dosp_proto::vip::{Network, Vip};
use serde::{Deserialize, Serialize};

use crate::engine::{HubAnswer, PeerReport, RequestError, SendError, TunnelState};
use crate::node::{self, LinkState, NodeReport, SendFailure};

/// The longest line in bytes: a message of a whole frame, in base64.
pub const MAX_LINE_LEN: u64 = 2 * 1024 * 1024;

/// What a command asks of the agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// What the agent is doing.
    Status,
    /// Send a raw message.
    Send {
        /// To whom.
        to: Target,
        /// What, in base64.
        data: Bytes,
    },
    /// The vIPs of all clients of the hub.
    Clients,
    /// What a function of the hub returns.
    Call {
        /// Its name.
        name: String,
    },
    /// What the hub knows of this agent.
    Info,
    /// Every raw message from now on.
    Listen,
    /// End the agent.
    Down,
}

/// What the agent answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// To `Status`.
    Status(Box<Status>),
    /// To `Send`: the hub has it.
    Sent,
    /// To `Clients`.
    Clients(Clients),
    /// To `Call`.
    Answer(Answer),
    /// To `Info`.
    Info(Info),
    /// To `Listen`: every later message will come.
    Listening,
    /// To `Listen`, as they come.
    Message(Message),
    /// To `Down`; the connection stays open until the agent has ended.
    Ending,
    /// It was not to be.
    Failed {
        /// Which kind of failure.
        kind: FailureKind,
        /// Why, in words.
        why: String,
        /// What to do, where there is more to say than the kind says.
        #[serde(default)]
        hint: Option<String>,
    },
}

/// What a failure means for the one who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The request makes no sense.
    Usage,
    /// There is no link to the hub.
    NotConnected,
    /// The peer is offline or does not answer.
    Offline,
    /// The peer refuses.
    Refused,
    /// The hub does not answer in time.
    TimedOut,
    /// Anything else.
    Failed,
}

/// Where a raw message goes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// The hub.
    Hub,
    /// A peer.
    Peer {
        /// Its vIP.
        vip: Vip,
        /// Whether the hub may read it.
        plain: bool,
    },
}

/// Bytes, in base64 on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// `dosp.message/1`: one raw message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    /// Always `dosp.message/1`.
    pub schema: String,
    /// The sender, by the hub's word; `null` for a broadcast of the hub.
    pub from: Option<Vip>,
    /// Whether it came through a tunnel, unreadable for the hub.
    pub sealed: bool,
    /// Whether the sender proved who it is. Tunnels of version 1 cannot.
    pub authenticated: bool,
    /// The content, where it is UTF-8.
    pub text: Option<String>,
    /// The content.
    pub data: Bytes,
}

impl From<node::Message> for Message {
    fn from(message: node::Message) -> Self {
        Self {
            schema: "dosp.message/1".to_owned(),
            from: message.from,
            sealed: message.sealed,
            authenticated: false,
            text: String::from_utf8(message.data.clone()).ok(),
            data: Bytes(message.data),
        }
    }
}

/// `dosp.clients/1`: who is at the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clients {
    /// Always `dosp.clients/1`.
    pub schema: String,
    /// The vIPs of all clients, this one included, ascending.
    pub clients: Vec<Vip>,
}

/// `dosp.answer/1`: what a function of the hub returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Always `dosp.answer/1`.
    pub schema: String,
    /// What it returned, where that is UTF-8.
    pub text: Option<String>,
    /// What it returned.
    pub data: Bytes,
}

/// `dosp.info/1`: what the hub knows of this agent's session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Always `dosp.info/1`.
    pub schema: String,
    /// In the hub's words.
    #[serde(flatten)]
    pub session: SessionInfo,
}

impl From<HubAnswer> for Reply {
    fn from(answer: HubAnswer) -> Self {
        match answer {
            HubAnswer::Clients(clients) => {
                Self::Clients(Clients { schema: "dosp.clients/1".to_owned(), clients })
            }
            HubAnswer::Returned(data) => Self::Answer(Answer {
                schema: "dosp.answer/1".to_owned(),
                text: String::from_utf8(data.clone()).ok(),
                data: Bytes(data),
            }),
            HubAnswer::Info(session) => {
                Self::Info(Info { schema: "dosp.info/1".to_owned(), session })
            }
        }
    }
}

impl From<RequestError> for Reply {
    fn from(error: RequestError) -> Self {
        let kind = match &error {
            RequestError::NotConnected | RequestError::LinkLost => FailureKind::NotConnected,
            RequestError::TimedOut { .. } => FailureKind::TimedOut,
            RequestError::Busy
            | RequestError::NoInfo
            | RequestError::Refused(_)
            | RequestError::Malformed(_) => FailureKind::Failed,
        };
        Self::Failed { kind, why: error.to_string(), hint: None }
    }
}

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
    /// The tunnel's version.
    pub tunnel_version: u8,
    /// Whether the peer proved who it is. Tunnels of version 1 cannot.
    pub authenticated: bool,
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
    /// Why it takes no tunnel, while that is so.
    pub refusal: Option<String>,
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
    /// Whether shields are up.
    pub shields_up: bool,
}

impl Status {
    /// Puts together what the node and its surroundings say.
    #[must_use]
    pub fn new(report: NodeReport, surroundings: &Surroundings) -> Self {
        let named = report.drops.iter().map(|(reason, count)| (reason.name().to_owned(), count));
        Self {
            schema: "dosp.status/1".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: match report.link {
                LinkState::Connecting => State::Connecting,
                LinkState::Joining => State::Joining,
                LinkState::Up(_) => State::Up,
            },
            vip: report.overlay.map(|overlay| overlay.vip),
            network: report.overlay.map(|overlay| overlay.network),
            hub: surroundings.hub.clone(),
            hub_rtt_ns: report.hub_rtt.map(nanos),
            up_for_ns: report.up_for.map(nanos),
            reconnects: report.num_link_losses,
            last_error: report.last_error,
            tun: surroundings.tun.clone(),
            mtu: surroundings.mtu,
            shields_up: surroundings.shields_up,
            dropped: named.collect(),
            peers: report.peers.into_iter().map(Peer::from).collect(),
        }
    }
}

impl From<PeerReport> for Peer {
    fn from(report: PeerReport) -> Self {
        let tunnel = match report.tunnel {
            TunnelState::None => "none",
            TunnelState::Opening => "opening",
            TunnelState::Open => "open",
        };
        Self {
            vip: report.vip,
            tunnel: tunnel.to_owned(),
            tunnel_version: 1,
            authenticated: false,
            verified_ago_ns: report.verified_ago.map(nanos),
            rx_frames: report.rx_frames,
            rx_bytes: report.rx_bytes,
            tx_frames: report.tx_frames,
            tx_bytes: report.tx_bytes,
            queued_bytes: report.queued_len as u64,
            refusal: report.refusal.map(|refusal| refusal.to_string()),
        }
    }
}

impl From<SendFailure> for Reply {
    fn from(failure: SendFailure) -> Self {
        use crate::engine::MessageFailure as Message;
        let kind = match &failure {
            SendFailure::NotTaken(SendError::NotConnected)
            | SendFailure::Failed(Message::LinkLost) => FailureKind::NotConnected,
            SendFailure::NotTaken(SendError::NoPeer(_)) => FailureKind::Usage,
            SendFailure::Failed(Message::Offline | Message::NoAnswer) => FailureKind::Offline,
            SendFailure::Failed(Message::Refused(_)) => FailureKind::Refused,
            SendFailure::NotTaken(SendError::Busy(_)) | SendFailure::Stopped => FailureKind::Failed,
        };
        let hint = failure.hint().map(str::to_owned);
        Self::Failed { kind, why: failure.to_string(), hint }
    }
}

/// Whole nanoseconds; 584 years at the most.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
