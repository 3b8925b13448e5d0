//! The lines on the local socket, which are also what `--json` prints.
//!
//! Within one schema number fields are added, never renamed. Times are nanoseconds.

mod hub;
mod path;
mod peers;
mod status;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dosp_proto::vip::Vip;
use serde::{Deserialize, Serialize};

pub use self::hub::{Answer, Clients, Info};
pub use self::path::{Link, Offload, Queue};
pub use self::peers::{EchoResult, Trusted, Tunnel};
pub use self::status::{Node, OtherNetwork, Peer, State, Status, Surroundings};
use crate::engine::{SendError, Version};
use crate::node::{self, LeaveError, SendFailure};

/// The longest line in bytes: a message of a whole frame, in base64.
pub const MAX_LINE_LEN: u64 = 2 * 1024 * 1024;

/// What a command asks of the agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// What the agent is doing.
    Status,
    /// Answer once the network is up.
    Wait,
    /// Send a raw message.
    Send {
        /// To whom.
        to: Target,
        /// What, in base64.
        data: Bytes,
    },
    /// The vIP of a peer by its name.
    Resolve {
        /// Its name.
        name: String,
    },
    /// The tunnel with a peer, to be opened where there is none.
    Tunnel {
        /// Its vIP.
        vip: Vip,
    },
    /// Send a peer something that it sends back.
    Echo {
        /// Its vIP.
        vip: Vip,
        /// How many bytes.
        len: usize,
    },
    /// Whose keys are known.
    Trust,
    /// Accept the key that was refused at a vIP.
    Accept {
        /// Where.
        vip: Vip,
        /// The fingerprint of the key that is meant.
        fingerprint: Option<String>,
    },
    /// Forget the key at a vIP.
    Forget {
        /// Where.
        vip: Vip,
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
    /// Give up this host's place in the network, and end the agent.
    Leave,
    /// End the agent.
    Down,
}

/// What the agent answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// To `Status`.
    Status(Box<Status>),
    /// To `Wait`.
    Up {
        /// This host's vIP.
        vip: Vip,
    },
    /// To `Send`: the hub has it.
    Sent,
    /// To `Resolve`.
    Resolved {
        /// The vIP.
        vip: Vip,
    },
    /// To `Tunnel`.
    Tunnel(Tunnel),
    /// To `Echo`, once it came back.
    Echoed(EchoResult),
    /// To `Trust`.
    Trust {
        /// All that are known, by vIP.
        trusted: Vec<Trusted>,
    },
    /// To `Accept` and `Forget`: whose key it is about.
    Trusted(Trusted),
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
    /// To `Leave`: the hub has forgotten this host. The connection stays open until the agent has ended.
    Left,
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
    /// The peer refuses, or is not trusted.
    Refused,
    /// Nobody is known by that name.
    UnknownPeer,
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
    /// Whether it came through a tunnel, unreadable for an honest hub.
    pub sealed: bool,
    /// Whether the sender proved who it is. In a tunnel of version 1 it cannot.
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
            sealed: message.version.is_some(),
            authenticated: message.version == Some(Version::Two),
            text: String::from_utf8(message.data.clone()).ok(),
            data: Bytes(message.data),
        }
    }
}

impl From<SendFailure> for Reply {
    fn from(failure: SendFailure) -> Self {
        use crate::engine::MessageFailure as Message;
        let kind = match &failure {
            SendFailure::NotTaken(SendError::NotConnected)
            | SendFailure::Failed(Message::LinkLost) => FailureKind::NotConnected,
            SendFailure::NotTaken(SendError::NoPeer(_) | SendError::SealedOnly(_)) => {
                FailureKind::Usage
            }
            SendFailure::Failed(Message::Offline | Message::NoWay { .. } | Message::NoAnswer) => {
                FailureKind::Offline
            }
            SendFailure::Failed(Message::Refused(_)) => FailureKind::Refused,
            SendFailure::NotTaken(SendError::Busy(_))
            | SendFailure::Failed(Message::NoEcho | Message::TooLong)
            | SendFailure::Stopped => FailureKind::Failed,
        };
        let hint = failure.hint();
        Self::Failed { kind, why: failure.to_string(), hint }
    }
}

impl From<LeaveError> for Reply {
    fn from(error: LeaveError) -> Self {
        let kind = match error {
            LeaveError::NoMember => FailureKind::Failed,
            LeaveError::NotConnected => FailureKind::NotConnected,
        };
        Self::Failed { kind, why: error.to_string(), hint: None }
    }
}

/// How a version is written.
const fn number(version: Version) -> u8 {
    match version {
        Version::One => 1,
        Version::Two => 2,
    }
}

/// Whole nanoseconds; 584 years at the most.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
