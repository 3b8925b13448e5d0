//! Why a raw message, an echo or a packet did not get through.

use dosp_proto::label::Label;
use dosp_proto::vip::Network;

use super::{NO_ANSWER_AFTER, Refusal};

/// Why a raw message did not get through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageFailure {
    /// The hub knows no such client.
    #[error("the hub says that it is offline")]
    Offline,
    /// It is in the network of another hub, and none of the hubs on the way knows one further.
    #[error("no way leads to the hub of {network}{} now", in_brackets(.hub.as_ref()))]
    NoWay {
        /// That network.
        network: Network,
        /// What its hub is called.
        hub: Option<Label>,
    },
    /// A hub on the way takes nothing of this length.
    #[error("it is longer than a hub on the way takes")]
    TooLong,
    /// The peer is there and does not answer the handshake.
    #[error("no answer to the tunnel handshake within {} s", NO_ANSWER_AFTER.as_secs())]
    NoAnswer,
    /// The peer refuses the handshake.
    #[error("it takes no tunnel: {0}")]
    Refused(Refusal),
    /// The peer speaks only version 1, which knows no echo.
    #[error("its tunnel is of version 1, which has no echo")]
    NoEcho,
    /// The connection to the hub ended first.
    #[error("the connection to the hub was lost")]
    LinkLost,
}

fn in_brackets(hub: Option<&Label>) -> String {
    hub.map(|hub| format!(" ({hub})")).unwrap_or_default()
}
