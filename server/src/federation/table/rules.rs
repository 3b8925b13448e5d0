//! What the configuration says: who we are, who our peers are, and what each may speak for.

use dosp_proto::federation::HubId;
use dosp_proto::label::Label;
use dosp_proto::vip::{Network, Vip};

use crate::config::MAX_PEERS;

/// Number of a configured peer: one other hub, however many TCP links there are to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub usize);

/// This hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Its network.
    pub network: Network,
    /// What other hubs know it by.
    pub id: HubId,
    /// What it is called.
    pub name: Option<Label>,
}

/// What is configured of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRule {
    /// Its own network.
    pub network: Network,
    /// What else it may lead to and send from: prefixes, its own network not among them.
    pub may_speak_for: Vec<Network>,
    /// Its id; none until its key is known. That of a published hub follows from its network.
    pub hub: Option<HubId>,
    /// Whether it is a published hub, which has no key and knows neither FWD nor XCTL.
    pub is_published: bool,
}

/// Where the frames of one peer may come from, for who looks at every frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    pub(super) own: Network,
    pub(super) prefixes: Vec<Network>,
}

impl Sources {
    /// Whether a frame may come from `src`: never from our own network.
    #[must_use]
    pub fn hold(&self, src: Vip) -> bool {
        self.prefixes.iter().any(|prefix| prefix.contains(src)) && !self.own.contains(src)
    }
}

/// Rules of which no table can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// More than [`MAX_PEERS`].
    #[error("a hub can have {MAX_PEERS} peers, not {0}")]
    TooManyPeers(usize),
    /// Two hubs, ours among them, with the same addresses.
    #[error("the networks {0} and {1} overlap")]
    Overlap(Network, Network),
}

impl PeerRule {
    /// Whether the peer may lead to all of `network`.
    pub(super) fn may_claim(&self, network: Network) -> bool {
        self.prefixes().any(|prefix| prefix.holds(network))
    }

    pub(super) fn prefixes(&self) -> impl Iterator<Item = Network> {
        std::iter::once(self.network).chain(self.may_speak_for.iter().copied())
    }
}

/// Looks for what the table relies on: no address is configured twice.
pub(super) fn check(own: &Own, rules: &[PeerRule]) -> Result<(), RuleError> {
    if rules.len() > MAX_PEERS {
        return Err(RuleError::TooManyPeers(rules.len()));
    }
    let mut networks: Vec<_> = rules.iter().map(|rule| rule.network).collect();
    networks.push(own.network);
    networks.sort_unstable();
    // Sorted, a network stands right before those that lie in it.
    let overlap = networks.iter().zip(networks.iter().skip(1)).find(|(a, b)| a.overlaps(**b));
    overlap.map_or(Ok(()), |(a, b)| Err(RuleError::Overlap(*a, *b)))
}
