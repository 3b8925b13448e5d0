//! Which claims of a peer are believed.

use std::collections::BTreeMap;

use dosp_proto::federation::{Claim, HubId, MAX_PATH_LEN};
use dosp_proto::vip::Network;

use super::Peer;
use super::rules::Own;

/// How many networks that are not configured are known at a time, whoever tells of them: one peer
/// cannot fill the table of the hub, nor those of its agents.
pub const MAX_LEARNED: usize = 64;

/// A claim that is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusedClaim {
    /// The network that it was about.
    pub network: Network,
    /// Why.
    pub reason: Refusal,
}

/// Why a claim is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// Nothing, or more than [`MAX_PATH_LEN`] hubs.
    #[error("a path has 1 to {MAX_PATH_LEN} hubs")]
    PathLen,
    /// It begins with another hub than the one that sent it.
    #[error("the path does not begin with the peer")]
    NotFromPeer,
    /// It passes a hub twice.
    #[error("the path passes a hub twice")]
    RepeatedHub,
    /// What is ours is nowhere else.
    #[error("it overlaps our own network")]
    OwnNetwork,
    /// Outside what the peer may speak for.
    #[error("the peer may not speak for it")]
    NotAllowed,
    /// Part of a known network, or the other way round.
    #[error("it overlaps {0}")]
    Overlaps(Network),
    /// The network is configured, and belongs to another hub.
    #[error("the path does not end at the hub that the network is configured for")]
    NotItsHub,
    /// Another peer says that the network belongs to another hub.
    #[error("another peer leads to another hub with this network")]
    Conflict,
    /// There are [`MAX_LEARNED`] already.
    #[error("{MAX_LEARNED} networks are known that are not configured")]
    TooMany,
    /// The same message had it before.
    #[error("the network is there twice")]
    Twice,
}

/// One message of one peer while it is read, what that peer said before being forgotten.
pub(super) struct Hearing<'a> {
    own: &'a Own,
    peer: &'a Peer,
    peer_id: HubId,
    /// The networks of the rules and the hubs that they belong to, as far as known.
    configured: BTreeMap<Network, Option<HubId>>,
    /// All others that are known, and the hubs that they belong to.
    learned: BTreeMap<Network, HubId>,
    believed: BTreeMap<Network, Claim>,
}

impl<'a> Hearing<'a> {
    /// `others` may hold `peer` itself, with no claims left.
    pub(super) fn begin(own: &'a Own, peer: &'a Peer, peer_id: HubId, others: &'a [Peer]) -> Self {
        let rules = others.iter().map(|other| (other.rule.network, other.rule.hub));
        let configured: BTreeMap<_, _> = rules.collect();
        let claims = others.iter().flat_map(|other| other.claims.values());
        let learned = claims.filter(|claim| !configured.contains_key(&claim.network));
        let learned = learned.filter_map(|claim| Some((claim.network, *claim.path.last()?)));
        let learned = learned.collect();
        Self { own, peer, peer_id, configured, learned, believed: BTreeMap::new() }
    }

    /// `before` is what was believed of the peer's last message: a newcomer in this one never
    /// displaces what stays.
    pub(super) fn hear(
        mut self,
        mut claims: Vec<Claim>,
        before: &BTreeMap<Network, Claim>,
    ) -> (BTreeMap<Network, Claim>, Vec<RefusedClaim>) {
        claims.sort_by_key(|claim| !before.contains_key(&claim.network));
        let mut refused = Vec::new();
        for claim in claims {
            let network = claim.network;
            match self.judge(&claim) {
                Ok(Some(hub)) => self.believe(claim, hub),
                Ok(None) => {}
                Err(reason) => refused.push(RefusedClaim { network, reason }),
            }
        }
        (self.believed, refused)
    }

    fn believe(&mut self, claim: Claim, hub: HubId) {
        if !self.configured.contains_key(&claim.network) {
            self.learned.insert(claim.network, hub);
        }
        self.believed.insert(claim.network, claim);
    }

    /// Whose network it is; none for a way back to ourselves, which is no lie where hubs form a ring.
    fn judge(&self, claim: &Claim) -> Result<Option<HubId>, Refusal> {
        let hub = self.check_path(&claim.path)?;
        if claim.path.contains(&self.own.id) {
            return Ok(None);
        }
        if has_repeats(&claim.path) {
            return Err(Refusal::RepeatedHub);
        }
        self.check_network(claim.network)?;
        self.check_owner(claim.network, hub)?;
        Ok(Some(hub))
    }

    fn check_path(&self, path: &[HubId]) -> Result<HubId, Refusal> {
        let (Some(first), Some(last)) = (path.first(), path.last()) else {
            return Err(Refusal::PathLen);
        };
        if path.len() > MAX_PATH_LEN {
            return Err(Refusal::PathLen);
        }
        if *first == self.peer_id { Ok(*last) } else { Err(Refusal::NotFromPeer) }
    }

    fn check_network(&self, network: Network) -> Result<(), Refusal> {
        if network.overlaps(self.own.network) {
            return Err(Refusal::OwnNetwork);
        }
        if !self.peer.rule.may_claim(network) {
            return Err(Refusal::NotAllowed);
        }
        let mut known = self.configured.keys().chain(self.learned.keys());
        let overlap = known.find(|known| known.overlaps(network) && **known != network);
        overlap.map_or(Ok(()), |known| Err(Refusal::Overlaps(*known)))
    }

    fn check_owner(&self, network: Network, hub: HubId) -> Result<(), Refusal> {
        if self.believed.contains_key(&network) {
            return Err(Refusal::Twice);
        }
        if let Some(owner) = self.configured.get(&network) {
            let is_owner = owner.is_none_or(|owner| owner == hub);
            return if is_owner { Ok(()) } else { Err(Refusal::NotItsHub) };
        }
        match self.learned.get(&network) {
            Some(owner) if *owner != hub => Err(Refusal::Conflict),
            Some(_) => Ok(()),
            None if self.learned.len() >= MAX_LEARNED => Err(Refusal::TooMany),
            None => Ok(()),
        }
    }
}

fn has_repeats(path: &[HubId]) -> bool {
    path.iter().enumerate().any(|(index, hub)| path.iter().take(index).any(|other| other == hub))
}
