//! What commands ask about one peer, as JSON.

use dosp_proto::vip::Vip;
use serde::{Deserialize, Serialize};

use super::{FailureKind, Reply, nanos, number};
use crate::engine::{Echo, ResolveError, TrustError, TunnelReport, Version};
use crate::known_peers::{AcceptError, KnownPeer, NameError};

/// The tunnel with a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// The peer's vIP.
    pub vip: Vip,
    /// The tunnel's version.
    pub version: u8,
    /// Whether the peer proved who it is. In version 1 it cannot.
    pub authenticated: bool,
    /// Its key, for people.
    pub fingerprint: Option<String>,
    /// The name that this host knows it by, or else the one that it claims.
    pub name: Option<String>,
    /// What its hub is called; `null` for this host's own, and for one without a name.
    #[serde(default)]
    pub via: Option<String>,
    /// The links between this host's hub and its own; `null` where that is not known.
    #[serde(default)]
    pub hops: Option<u8>,
}

impl From<TunnelReport> for Tunnel {
    fn from(report: TunnelReport) -> Self {
        let TunnelReport { vip, version, proven, way } = report;
        Self {
            vip,
            version: number(version),
            authenticated: version == Version::Two,
            fingerprint: proven.as_ref().map(|proven| proven.fingerprint.to_string()),
            name: proven.and_then(|proven| proven.name.or(proven.claimed_name)),
            via: way.hub.map(String::from),
            hops: way.num_hops,
        }
    }
}

/// What came of an echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EchoResult {
    /// From here to the peer and back.
    pub rtt_ns: u64,
    /// From here to the hub and back, at about the same time.
    pub hub_rtt_ns: Option<u64>,
    /// Bytes that came back.
    pub bytes: usize,
}

impl From<Echo> for EchoResult {
    fn from(echo: Echo) -> Self {
        Self { rtt_ns: nanos(echo.rtt), hub_rtt_ns: echo.hub_rtt.map(nanos), bytes: echo.len }
    }
}

/// A key that is known, in `dosp.trust/1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trusted {
    /// Where it is.
    pub vip: Vip,
    /// What the user here calls it.
    pub name: Option<String>,
    /// The key, for people.
    pub fingerprint: String,
    /// The key, in base64.
    pub key: String,
    /// Whether it is kept: something was sent to it from here, or it was accepted.
    pub pinned: bool,
}

impl From<&KnownPeer> for Trusted {
    fn from(known: &KnownPeer) -> Self {
        Self {
            vip: known.vip,
            name: known.name.clone(),
            fingerprint: known.key.fingerprint().to_string(),
            key: known.key.to_string(),
            pinned: known.addressed,
        }
    }
}

impl From<TrustError> for Reply {
    fn from(error: TrustError) -> Self {
        let (kind, hint) = match &error {
            TrustError::Unknown(_) => (FailureKind::UnknownPeer, "'dosp-agent trust' lists them"),
            TrustError::Accept(AcceptError::NoneRefused { .. }) => (
                FailureKind::UnknownPeer,
                "send it something first, so that it shows its key: dosp-agent ping PEER",
            ),
            TrustError::Accept(AcceptError::OtherKey { .. }) => {
                (FailureKind::Refused, "ask its owner for the fingerprint again")
            }
            TrustError::Accept(AcceptError::OwnKey) => {
                (FailureKind::Refused, "give one of the two hosts a key of its own")
            }
        };
        Self::Failed { kind, why: error.to_string(), hint: Some(hint.to_owned()) }
    }
}

impl From<ResolveError> for Reply {
    fn from(error: ResolveError) -> Self {
        let (kind, hint) = match &error {
            ResolveError::Invalid(_) => {
                (FailureKind::Usage, "write a vIP, or a name that 'dosp-agent peers' shows")
            }
            ResolveError::Unknown(_) => (
                FailureKind::UnknownPeer,
                "a name is known once there was a tunnel: begin with the vIP; 'dosp-agent peers' \
                 shows names",
            ),
            ResolveError::Ambiguous { .. } | ResolveError::Name(NameError::Taken { .. }) => {
                (FailureKind::UnknownPeer, "use the vIP")
            }
            ResolveError::Relisted { vip, .. } => {
                let hint = format!(
                    "if whoever runs the hub says that this is right: dosp-agent trust forget {vip}"
                );
                return Self::Failed {
                    kind: FailureKind::Refused,
                    why: error.to_string(),
                    hint: Some(hint),
                };
            }
            ResolveError::Name(_) => (FailureKind::Failed, "use the vIP"),
        };
        Self::Failed { kind, why: error.to_string(), hint: Some(hint.to_owned()) }
    }
}
