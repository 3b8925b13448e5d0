//! What other hubs and our agents are told.

use dosp_proto::federation::{Claim, HubId, MAX_PATH_LEN, RemoteNetwork};
use dosp_proto::label::Label;
use dosp_proto::vip::Network;

use super::{Peer, PeerId, Route, RouteTable};

impl RouteTable {
    /// What to tell a peer of ours: our network, and the best route to each other one that does not
    /// pass that peer.
    #[must_use]
    pub fn advertisement(&self, to: PeerId) -> Vec<Claim> {
        let own = Claim {
            network: self.own.network,
            hub: self.own.name.clone(),
            path: vec![self.own.id],
        };
        let others = self.routes_for(to).filter(|route| route.claim.path.len() < MAX_PATH_LEN);
        let others = others.map(|Route { claim, .. }| {
            let path = std::iter::once(self.own.id).chain(claim.path.iter().copied());
            Claim { path: path.collect(), ..claim.clone() }
        });
        std::iter::once(own).chain(others).collect()
    }

    /// The best routes that do not pass `to`: split horizon per hub, not per link.
    pub(super) fn routes_for(&self, to: PeerId) -> impl Iterator<Item = &Route> {
        self.routes().filter(move |route| !self.leads_over(route, to))
    }

    /// What to tell agents: all configured networks, and learned ones while a way leads there. By
    /// network. A configured network has the name that its own hub gave itself; nobody is told of a hub
    /// that calls itself as this one does. A name that two hubs have is told twice: agents give it to
    /// neither.
    #[must_use]
    pub fn remote_networks(&self) -> Vec<RemoteNetwork> {
        let networks = self.best.iter().map(|(network, route)| {
            let claim = route.as_ref().map(|route| &route.claim);
            let hub = match self.configured(*network) {
                Some(peer) => peer.name.as_ref(),
                None => claim.and_then(|claim| claim.hub.as_ref()),
            };
            let hub = hub.filter(|hub| self.own.name.as_ref() != Some(hub)).cloned();
            let num_hops = claim.and_then(|claim| u8::try_from(claim.path.len()).ok());
            RemoteNetwork { network: *network, hub, num_hops }
        });
        networks.collect()
    }

    fn configured(&self, network: Network) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.rule.network == network)
    }

    /// What this peer's hub is called, or was when there was a link.
    #[must_use]
    pub fn name_of(&self, peer: PeerId) -> Option<&Label> {
        self.peers.get(peer.0)?.name.as_ref()
    }

    /// The hub of this peer, where it is known.
    #[must_use]
    pub fn id_of(&self, peer: PeerId) -> Option<HubId> {
        self.peers.get(peer.0)?.rule.hub
    }
}
