//! Why a join fails.

use dosp_proto::frame::FrameType;
use dosp_proto::identity::Fingerprint;
use dosp_proto::member::{NoiseError, OpenError, Refused};
use dosp_proto::message::MalformedBody;
use dosp_proto::vip::Vip;

use super::JOIN_TIMEOUT;

/// Why there is no place in the network. The connection is to be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The hub sent EXIT.
    #[error("the hub refused: {reason}")]
    Refused {
        /// Its words, bounded and escaped.
        reason: String,
    },
    /// The hub did not give the vIP that a person named.
    #[error("the hub did not give {vip}: {reason}")]
    VipRefused {
        /// What was asked for.
        vip: Vip,
        /// Why not, bounded and escaped.
        reason: String,
    },
    /// The hub compresses every frame, which this agent does not.
    #[error("the hub compresses its frames, which this agent does not support")]
    Compression,
    /// Another hub answers in the place of the one that is known.
    #[error("the hub has the key {offered}, and the one that is known here has {known}")]
    HubKey {
        /// The key that is known.
        known: Fingerprint,
        /// The key that was shown.
        offered: Fingerprint,
    },
    /// A hub that is known to have members says that it has none.
    #[error("the hub shows no key, and the one that is known here has {known}")]
    NoHubKey {
        /// The key that is known.
        known: Fingerprint,
    },
    /// The handshake with the hub fails.
    #[error("the handshake with the hub failed")]
    Handshake(#[from] NoiseError),
    /// What the hub sealed cannot be opened.
    #[error("what the hub says cannot be trusted")]
    Control(#[from] OpenError),
    /// The hub lets us in under no name.
    #[error("the hub refused: {}", .0.text)]
    NotAdmitted(Refused),
    /// Something else than the greeting came first.
    #[error("expected {expected}, got {frame_type}: this is no DoSP hub")]
    NotDosp {
        /// What should have come.
        expected: FrameType,
        /// What came.
        frame_type: FrameType,
    },
    /// The hub gave an address that no host can have.
    #[error("the hub gave the vIP {vip}, which no host can have")]
    UnusableVip {
        /// What it gave.
        vip: Vip,
    },
    /// A frame that does not hold what it should.
    #[error("the hub's answer cannot be read")]
    Malformed(#[from] MalformedBody),
    /// The hub says nothing.
    #[error("the hub sent no {expected} within {} s", JOIN_TIMEOUT.as_secs())]
    TimedOut {
        /// What should have come.
        expected: FrameType,
    },
}
