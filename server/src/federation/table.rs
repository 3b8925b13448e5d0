//! Which way leads to the networks of other hubs: a path vector per network, **no I/O**.
//!
//! Links go up and down, peers say what they lead to ([`RouteTable::hear`]); of what is believed the
//! shortest path to each network wins, then the lowest peer. What the table knows beside its rules
//! lives as long as the link that it came by. Invariant: no two known networks overlap, so a vIP
//! lies in one at most.

mod hearing;
mod published;
mod rules;
mod telling;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use dosp_proto::federation::{Claim, HubId};
use dosp_proto::label::Label;
use dosp_proto::vip::{Network, Vip};

use hearing::Hearing;
pub use hearing::{MAX_LEARNED, Refusal, RefusedClaim};
pub use rules::{Own, PeerId, PeerRule, RuleError, Sources};

/// How many refusals are remembered and told of one message.
pub const MAX_REFUSALS: usize = 64;
/// No network is smaller.
const MAX_PREFIX_LEN: u8 = 30;

/// A way to a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The next hub.
    pub peer: PeerId,
    /// What it said.
    pub claim: Claim,
}

/// Why a frame goes to no other hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoWay {
    /// It is for a client of ours.
    #[error("it is in our own network")]
    Own,
    /// No configured and no learned network holds it.
    #[error("no known network holds it")]
    Unknown,
    /// Its network is known, and no way leads there now.
    #[error("no way leads to its network now")]
    Unreachable,
    /// The way leads over the hub that the frame came from.
    #[error("the way leads back to where it came from")]
    Back,
}

/// The networks of other hubs, and the ways there.
#[derive(Debug)]
pub struct RouteTable {
    own: Own,
    peers: Vec<Peer>,
    /// All known networks with their best routes: none where a configured one cannot be reached.
    best: BTreeMap<Network, Option<Route>>,
    revision: u64,
}

#[derive(Debug)]
struct Peer {
    rule: PeerRule,
    is_up: bool,
    /// What it was called last; names last longer than links.
    name: Option<Label>,
    claims: BTreeMap<Network, Claim>,
    /// What was refused of its last message.
    refused: BTreeSet<RefusedClaim>,
}

impl RouteTable {
    /// No link is up.
    ///
    /// # Errors
    /// Too many peers, or networks that overlap.
    pub fn new(own: Own, rules: Vec<PeerRule>) -> Result<Self, RuleError> {
        rules::check(&own, &rules)?;
        let peers = rules.into_iter().map(Peer::new).collect();
        let mut table = Self { own, peers, best: BTreeMap::new(), revision: 0 };
        table.choose_best();
        Ok(table)
    }

    /// Rises whenever a best route or an [`advertisement`](Self::advertisement) changes.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The key of a peer of ours has become known, or is another one now: what it said as another
    /// hub is forgotten, and what others said of its network if they lead elsewhere.
    pub fn learn_id(&mut self, peer: PeerId, id: HubId) {
        let Some(learned) = self.peers.get_mut(peer.0) else { return };
        if learned.rule.is_published || learned.rule.hub == Some(id) {
            return;
        }
        learned.rule.hub = Some(id);
        learned.forget();
        let network = learned.rule.network;
        for other in &mut self.peers {
            let leads_elsewhere = |claim: &Claim| claim.path.last() != Some(&id);
            if other.claims.get(&network).is_some_and(leads_elsewhere) {
                other.claims.remove(&network);
            }
        }
        self.choose_best();
        // What is told to a peer depends on its id.
        self.revision += 1;
    }

    /// A link to this peer is there. A published hub leads to its network from now on, one of ours
    /// nowhere until it is [heard](Self::hear).
    pub fn link_up(&mut self, peer: PeerId) {
        let Some(up) = self.peers.get_mut(peer.0) else { return };
        up.is_up = true;
        up.claim_published();
        self.choose_best();
    }

    /// The last link to this peer is gone, and with it everything that the peer said.
    pub fn link_down(&mut self, peer: PeerId) {
        let Some(down) = self.peers.get_mut(peer.0) else { return };
        down.is_up = false;
        down.forget();
        self.choose_best();
    }

    /// What a peer says replaces all that it said before. Nothing is heard of a peer without a link,
    /// or whose id is not known.
    ///
    /// Returns what is not believed, without what was refused of its last message as well, and no
    /// more than [`MAX_REFUSALS`].
    pub fn hear(&mut self, peer: PeerId, claims: Vec<Claim>) -> Vec<RefusedClaim> {
        let Some(speaker) = self.peers.get_mut(peer.0).filter(|speaker| speaker.is_up) else {
            return Vec::new();
        };
        let Some(id) = speaker.rule.hub else { return Vec::new() };
        // A peer's own last message is no reason to refuse this one.
        let before = std::mem::take(&mut speaker.claims);
        let Some(speaker) = self.peers.get(peer.0) else { return Vec::new() };
        let hearing = Hearing::begin(&self.own, speaker, id, &self.peers);
        let (believed, mut refused) = hearing.hear(claims, &before);
        refused.truncate(MAX_REFUSALS);
        let Some(speaker) = self.peers.get_mut(peer.0) else { return Vec::new() };
        speaker.claims = believed;
        speaker.claim_published();
        if let Some(own) = speaker.claims.get(&speaker.rule.network)
            && speaker.name != own.hub
        {
            speaker.name.clone_from(&own.hub);
            // What is told of it changes, also where its routes do not.
            self.revision += 1;
        }
        let now_refused = refused.iter().copied().collect();
        let before_refused = std::mem::replace(&mut speaker.refused, now_refused);
        self.choose_best();
        refused.retain(|refusal| !before_refused.contains(refusal));
        refused
    }

    fn choose_best(&mut self) {
        let configured = self.peers.iter().map(|peer| (peer.rule.network, None));
        let mut best: BTreeMap<Network, Option<Route>> = configured.collect();
        for (peer, claim) in self.claims() {
            let chosen = best.entry(claim.network).or_default();
            let is_beaten =
                |chosen: &Route| (claim.path.len(), peer) < (chosen.claim.path.len(), chosen.peer);
            if chosen.as_ref().is_none_or(is_beaten) {
                *chosen = Some(Route { peer, claim: claim.clone() });
            }
        }
        if best != self.best {
            self.best = best;
            self.revision += 1;
        }
    }

    fn claims(&self) -> impl Iterator<Item = (PeerId, &Claim)> {
        let peers = self.peers.iter().enumerate();
        peers.flat_map(|(id, peer)| peer.claims.values().map(move |claim| (PeerId(id), claim)))
    }

    /// The way to a network; none where it is not known or cannot be reached.
    #[must_use]
    pub fn best(&self, network: Network) -> Option<&Route> {
        self.best.get(&network)?.as_ref()
    }

    /// The best routes, by network.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.best.values().flatten()
    }

    /// All that is believed, by network, the best first.
    #[must_use]
    pub fn candidates(&self) -> Vec<(PeerId, &Claim)> {
        let mut candidates: Vec<_> = self.claims().collect();
        candidates.sort_by_key(|(peer, claim)| (claim.network, claim.path.len(), *peer));
        candidates
    }

    /// Where a frame for `dst` goes that came from the peer `from`, or from a client. Never back,
    /// nor by a detour over other hubs.
    ///
    /// # Errors
    /// [`NoWay`].
    pub fn next_hop(&self, dst: Vip, from: Option<PeerId>) -> Result<&Route, NoWay> {
        if self.own.network.contains(dst) {
            return Err(NoWay::Own);
        }
        let route = self.holding(dst).ok_or(NoWay::Unknown)?.ok_or(NoWay::Unreachable)?;
        let is_back = from.is_some_and(|from| self.leads_over(route, from));
        if is_back { Err(NoWay::Back) } else { Ok(route) }
    }

    /// The known network that holds `dst`, and the best route there.
    fn holding(&self, dst: Vip) -> Option<Option<&Route>> {
        // As no two overlap, only the last one that begins at or before `dst` can hold it.
        let smallest = Network::containing(dst, MAX_PREFIX_LEN).ok()?;
        let (network, route) = self.best.range(..=smallest).next_back()?;
        network.contains(dst).then_some(route.as_ref())
    }

    /// Whether a way passes this peer, as the next hub or later.
    fn leads_over(&self, route: &Route, peer: PeerId) -> bool {
        let id = self.peers.get(peer.0).and_then(|peer| peer.rule.hub);
        route.peer == peer || id.is_some_and(|id| route.claim.path.contains(&id))
    }

    /// Where frames of this peer may come from; nowhere, where there is no such peer.
    #[must_use]
    pub fn sources(&self, peer: PeerId) -> Sources {
        let rule = self.peers.get(peer.0).map(|peer| &peer.rule);
        let prefixes = rule.into_iter().flat_map(PeerRule::prefixes).collect();
        Sources { own: self.own.network, prefixes }
    }
}

impl Peer {
    fn new(rule: PeerRule) -> Self {
        let published = rule.is_published.then(|| HubId::of_published(rule.network));
        let rule = PeerRule { hub: published.or(rule.hub), ..rule };
        Self { rule, is_up: false, name: None, claims: BTreeMap::new(), refused: BTreeSet::new() }
    }

    fn forget(&mut self) {
        self.claims.clear();
        self.refused.clear();
    }

    /// A published hub leads to its network as long as it has a link, whatever it says.
    fn claim_published(&mut self) {
        let Some(id) = self.rule.hub.filter(|_| self.rule.is_published) else { return };
        let network = self.rule.network;
        self.claims.entry(network).or_insert(Claim { network, hub: None, path: vec![id] });
    }
}
