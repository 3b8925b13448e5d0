//! What an agent and its hub, or two hubs, say to each other in XCTL.
//!
//! ```text
//! [kind u8] [JSON object, UTF-8]          unknown fields are ignored, kinds of later revisions too
//! [9]       [TYPE u8] [BODY]              a DoSP control frame, sealed
//! ```

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::OpenError;
use crate::federation::{RemoteNetwork, Routes};
use crate::frame::FrameType;
use crate::identity::PublicKey;
use crate::join_string::JoinKey;
use crate::label::Label;
use crate::vip::{Network, Vip};

/// A page of the directory has at most so many bytes.
pub const MAX_PAGE_LEN: usize = 32 * 1024;

const JOIN: u8 = 1;
const WELCOME: u8 = 2;
const REFUSED: u8 = 3;
const NODES: u8 = 4;
const GONE: u8 = 5;
const PING: u8 = 6;
const PONG: u8 = 7;
const LEAVE: u8 = 8;
const FRAME: u8 = 9;
const RESTARTING: u8 = 10;
const ROUTES: u8 = 11;
const NETWORKS: u8 = 12;
const LIST: u8 = 13;

/// One sealed word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Agent: let me in.
    Join(Box<Join>),
    /// Hub: you are in, or are now somebody else.
    Welcome(Box<Welcome>),
    /// Hub: you are not, or no longer, in.
    Refused(Refused),
    /// Hub: who is in the network.
    Nodes(Nodes),
    /// Hub: what you sent went nowhere.
    Gone(Gone),
    /// Hub: do you live?
    Ping,
    /// Agent, or another hub: I do.
    Pong,
    /// Agent: forget me. Hub: done.
    Leave,
    /// Either: a DoSP control frame that must not travel in the open.
    Frame(FrameType, Vec<u8>),
    /// Hub: I end now and am back in a moment.
    Restarting,
    /// Hub to hub: where I lead.
    Routes(Routes),
    /// Hub to agent: the networks of other hubs, all of them.
    Networks(Vec<RemoteNetwork>),
    /// Hub to hub: tell me who is in this network, and what changes there.
    List(Network),
    /// Something of a later revision, to be ignored.
    Unknown(u8),
}

/// What a node wants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Join {
    /// The right to join; not needed by who is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_key: Option<JoinKey>,
    /// What it wants to be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Label>,
    /// Whether it must be called so: a person said it.
    #[serde(default)]
    pub insists_on_name: bool,
    /// The vIP that it wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<Vip>,
    /// Whether it goes away for good with this connection: no vIP and no name are kept for it.
    #[serde(default)]
    pub is_guest: bool,
}

/// Who a node is now. What came in the greeting is void.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Its vIP.
    pub vip: Vip,
    /// The network.
    pub network: Network,
    /// Its name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Label>,
    /// Whether only members are in the network: then no client speaks version 1.
    #[serde(default)]
    pub is_closed: bool,
    /// Unix seconds by the hub's clock.
    #[serde(default)]
    pub time: u64,
    /// The networks of other hubs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<RemoteNetwork>,
}

/// Why a node is not let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The kind of reason.
    pub reason: Refusal,
    /// In words.
    #[serde(default)]
    pub text: String,
    /// Unix seconds by the hub's clock.
    #[serde(default)]
    pub time: u64,
}

/// The kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No join key, and not known.
    MembersOnly,
    /// The hub never made this join key.
    WrongKey,
    /// The join key was used as often as it may be.
    UsedKey,
    /// The join key's time is over.
    ExpiredKey,
    /// The join key was revoked.
    RevokedKey,
    /// The node was removed from the network.
    Removed,
    /// Another node has the name.
    NameTaken,
    /// Somebody has the vIP.
    VipTaken,
    /// Nobody can have the vIP.
    VipUnusable,
    /// Every vIP is taken.
    Full,
    /// The key is in use by another connection that lives.
    KeyInUse,
    /// The hub cannot keep what it has to keep.
    Store,
    /// An administrator ended the connection.
    Kicked,
    /// Of a later revision.
    #[serde(other)]
    Other,
}

/// A part of the directory of one network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Nodes {
    /// Which one, unless it is the network of the hub that says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Whether everything that was told before is void.
    #[serde(default)]
    pub is_snapshot: bool,
    /// Nodes that are new or have changed.
    #[serde(default)]
    pub nodes: Vec<Node>,
    /// Keys that are no members any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<PublicKey>,
    /// Whether this page is the last one for now.
    #[serde(default)]
    pub is_done: bool,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its key.
    pub key: PublicKey,
    /// Its vIP.
    pub vip: Vip,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Label>,
    /// Whether it is connected.
    #[serde(default)]
    pub is_online: bool,
}

/// A frame that went nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Where it was to go.
    pub vip: Vip,
    /// Why it did not.
    pub why: GoneReason,
    /// Who sent it, between hubs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Vip>,
    /// How many links this may still pass, between hubs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ttl: u8,
}

impl Gone {
    /// As a hub tells it to its own client.
    #[must_use]
    pub const fn new(vip: Vip, why: GoneReason) -> Self {
        Self { vip, why, to: None, ttl: 0 }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// Why a frame went nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoneReason {
    /// A member that is not connected.
    Offline,
    /// No way leads to the hub whose network it is in.
    Unreachable,
    /// The frame is longer than a hub on the way takes.
    TooLong,
    /// Nobody has this vIP.
    #[serde(other)]
    Unknown,
}

/// The JSON object of [`Control::Networks`].
#[derive(Serialize, Deserialize)]
struct Networks<'a> {
    networks: Cow<'a, [RemoteNetwork]>,
}

impl<'a> From<&'a Vec<RemoteNetwork>> for Networks<'a> {
    fn from(networks: &'a Vec<RemoteNetwork>) -> Self {
        Self { networks: networks.into() }
    }
}

/// The JSON object of [`Control::List`].
#[derive(Serialize, Deserialize)]
struct List {
    network: Network,
}

impl Control {
    /// The plaintext of an XCTL body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Join(join) => json(JOIN, join),
            Self::Welcome(welcome) => json(WELCOME, welcome),
            Self::Refused(refused) => json(REFUSED, refused),
            Self::Nodes(nodes) => json(NODES, nodes),
            Self::Gone(gone) => json(GONE, gone),
            Self::Ping => empty(PING),
            Self::Pong => empty(PONG),
            Self::Leave => empty(LEAVE),
            Self::Frame(frame_type, body) => [&[FRAME, frame_type.0], &**body].concat(),
            Self::Restarting => empty(RESTARTING),
            Self::Routes(routes) => json(ROUTES, routes),
            Self::Networks(networks) => json(NETWORKS, &Networks::from(networks)),
            Self::List(network) => json(LIST, &List { network: *network }),
            Self::Unknown(kind) => empty(*kind),
        }
    }

    /// Reads a plaintext.
    ///
    /// # Errors
    /// [`OpenError::Malformed`] where a known kind does not hold what it should.
    pub fn decode(text: &[u8]) -> Result<Self, OpenError> {
        let (&kind, content) = text.split_first().ok_or(OpenError::Malformed { kind: 0 })?;
        let malformed = |_| OpenError::Malformed { kind };
        Ok(match kind {
            JOIN => Self::Join(serde_json::from_slice(content).map_err(malformed)?),
            WELCOME => Self::Welcome(serde_json::from_slice(content).map_err(malformed)?),
            REFUSED => Self::Refused(serde_json::from_slice(content).map_err(malformed)?),
            NODES => Self::Nodes(serde_json::from_slice(content).map_err(malformed)?),
            GONE => Self::Gone(serde_json::from_slice(content).map_err(malformed)?),
            PING => Self::Ping,
            PONG => Self::Pong,
            LEAVE => Self::Leave,
            FRAME => {
                let (&frame_type, body) =
                    content.split_first().ok_or(OpenError::Malformed { kind })?;
                Self::Frame(FrameType(frame_type), body.to_vec())
            }
            RESTARTING => Self::Restarting,
            ROUTES => Self::Routes(serde_json::from_slice(content).map_err(malformed)?),
            NETWORKS => {
                let networks: Networks<'_> = serde_json::from_slice(content).map_err(malformed)?;
                Self::Networks(networks.networks.into_owned())
            }
            LIST => {
                let List { network } = serde_json::from_slice(content).map_err(malformed)?;
                Self::List(network)
            }
            other => Self::Unknown(other),
        })
    }
}

fn json(kind: u8, content: &impl Serialize) -> Vec<u8> {
    let mut out = vec![kind];
    // Strings, numbers and addresses always are JSON, and a vector takes everything.
    serde_json::to_writer(&mut out, content).unwrap_or_default();
    out
}

fn empty(kind: u8) -> Vec<u8> {
    vec![kind, b'{', b'}']
}
