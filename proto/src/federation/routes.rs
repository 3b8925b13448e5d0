//! The routes that hubs tell each other and their agents, in XCTL.

use serde::{Deserialize, Serialize};

use super::HubId;
use crate::label::Label;
use crate::vip::Network;

/// A frame passes so many hubs at most, the first and the last one included.
pub const MAX_PATH_LEN: usize = 8;

/// All that one hub tells another at a time: it replaces what it told before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Routes {
    /// The longest LENGTH of an S2C frame that the sender takes, in bytes.
    pub max_frame_len: u32,
    /// The networks that it leads to, its own among them.
    pub routes: Vec<Claim>,
}

/// One network, and how the sender leads there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The network.
    pub network: Network,
    /// What the hub is called whose network it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<Label>,
    /// The hubs on the way, from the sender to the network's own.
    pub path: Vec<HubId>,
}

/// Another hub's network, as agents are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteNetwork {
    /// The network.
    pub network: Network,
    /// What its hub is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<Label>,
    /// How many links lie between the agent's own hub and that one; none where no way leads there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_hops: Option<u8>,
}
