//! What can be wrong with peers, in words for whoever wrote them down.

use dosp_proto::identity::{Fingerprint, KeyError};
use dosp_proto::vip::{Network, NetworkError};

use super::MAX_PEERS;

/// What is said of a peer means nothing, or cannot be so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// No peer as on the command line.
    #[error("'{}' is no peer: it names no network", text.escape_default())]
    Syntax {
        /// What was given.
        text: String,
    },
    /// Something unknown behind a peer on the command line.
    #[error("'{}' means nothing behind a peer", text.escape_default())]
    Option {
        /// What was given.
        text: String,
    },
    /// Something that can be said once.
    #[error("'{}' is said twice of one peer", option.escape_default())]
    Twice {
        /// What was said.
        option: String,
    },
    /// No peer as DoSP 0.2 has it.
    #[error("'{}' is no peer, which is written like 192.0.2.7:7744:7.11.0.x here", text.escape_default())]
    Published {
        /// What was given.
        text: String,
    },
    /// No address.
    #[error("'{}' is no host or host:port", text.escape_default())]
    Address {
        /// What was given.
        text: String,
    },
    /// No network.
    #[error(transparent)]
    Network(NetworkError),
    /// No key.
    #[error("'{}' is {source}", text.escape_default())]
    Key {
        /// What was given.
        text: String,
        /// Why.
        source: KeyError,
    },
    /// Two ways to know it.
    #[error("a peer has a key or is unauthenticated, not both")]
    KeyUnused,
    /// Known by an address that is not given.
    #[error("an unauthenticated peer is known by its address, and there is none")]
    NoAddress,
    /// Neither address nor key.
    #[error("a peer without address and key: how would the hub know it?")]
    Nobody,
}

impl PeerError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "write it like hub.example:7744=7.11.0.{x},key=KEY",
            Self::Option { .. } => {
                "what can follow is key=KEY, networks=NETWORK+NETWORK and unauthenticated"
            }
            Self::Twice { .. } => {
                "say it once; several networks are written like networks=7.12.0.{x}+7.13.0.{x}"
            }
            Self::Published { .. } => {
                "only published DoSP hubs go here; --peer and [[peer]] take those with a key"
            }
            Self::Address { .. } => {
                "write it like hub.example, 192.0.2.1:7744 or [2001:db8::1]:7744"
            }
            Self::Network(_) => {
                "write it like 7.11.0.{x} or 10.8.0.0/16, as the peer's operator does"
            }
            Self::Key { .. } => {
                "'dosp-server peers' at the peer prints its key; a fingerprint is too short"
            }
            Self::KeyUnused => {
                "keep the key: only a published DoSP hub, which has none, is unauthenticated"
            }
            Self::NoAddress => "give its address",
            Self::Nobody => {
                "give the key that 'dosp-server peers' prints at the peer; \
                 a published DoSP hub has none: give its address and say that it is unauthenticated"
            }
        }
    }
}

/// Peers that one hub cannot have at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeersError {
    /// More than a hub links with.
    #[error("{num_peers} peers are more than {MAX_PEERS}")]
    TooMany {
        /// How many there are.
        num_peers: usize,
    },
    /// A peer would have vIPs that this hub gives out.
    #[error("the network {network} of a peer overlaps this hub's own, {ours}")]
    Ours {
        /// The peer's.
        network: Network,
        /// This hub's.
        ours: Network,
    },
    /// Two peers would have the same vIPs.
    #[error("the networks {} and {} of two peers overlap", networks[0], networks[1])]
    Overlap {
        /// Of the two.
        networks: [Network; 2],
    },
    /// One address for two hubs.
    #[error("the peers {} and {} have the same address, {addr}", networks[0], networks[1])]
    SameAddress {
        /// Of the two.
        networks: [Network; 2],
        /// Their address.
        addr: String,
    },
    /// One key for two hubs.
    #[error("the peers {} and {} have the same key, {fingerprint}", networks[0], networks[1])]
    SameKey {
        /// Of the two.
        networks: [Network; 2],
        /// That of their key.
        fingerprint: Fingerprint,
    },
    /// No key of our own.
    #[error("the peer {network} needs 'state': this hub proves itself by the key in that folder")]
    NoState {
        /// The peer's.
        network: Network,
    },
}

impl PeersError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooMany { .. } => {
                "link with fewer: a hub also reaches the peers of its peers, over up to 8 hubs"
            }
            Self::Ours { .. } | Self::Overlap { .. } => {
                "hubs that are linked need networks apart: 'network' moves this one, its operator the peer"
            }
            Self::SameAddress { .. } | Self::SameKey { .. } => {
                "a hub has one network: more that lie behind it go into its 'networks'"
            }
            Self::NoState { .. } => "'dosp-server init' makes one, or give --state",
        }
    }
}
