//! What a hub tells of its peers.

use super::{HubHandle, nanos};
use crate::control::wire::{DialledBy, LinkState, PeerStatus, Peers, RouteStatus};
use crate::federation::table::PeerId;
use crate::link::Traffic;
use crate::state::{Peer, PeerView};

impl HubHandle {
    /// Which hubs this one is linked with, and where they lead.
    #[must_use]
    pub fn peers(&self) -> Peers {
        let views = self.shared.federation.views();
        let name_of = |peer: PeerId| {
            let view = views.get(peer.0);
            let name = view.and_then(|(_, view)| view.name.as_ref()).map(ToString::to_string);
            name.or_else(|| view.map(|(peer, _)| peer.config.network.to_string()))
        };
        let routes = self.shared.federation.candidates();
        Peers {
            schema: Peers::SCHEMA.to_owned(),
            name: self.shared.name.clone(),
            network: self.shared.network,
            key: self.shared.identity().map(|identity| identity.public().to_string()),
            peers: views.iter().map(|(peer, view)| status(peer, view)).collect(),
            routes: routes
                .into_iter()
                .map(|(peer, claim, is_best)| RouteStatus {
                    network: claim.network,
                    hub: claim.hub,
                    via: name_of(peer).unwrap_or_default(),
                    num_hops: u8::try_from(claim.path.len()).unwrap_or(u8::MAX),
                    is_best,
                })
                .collect(),
        }
    }
}

fn status(peer: &Peer, view: &PeerView) -> PeerStatus {
    let links = || view.links.iter().filter(|link| link.is_up());
    let first = links().next();
    let path = first.map(|link| link.outbox.path());
    let traffic = links().map(|link| link.traffic()).fold(view.past, Traffic::plus);
    PeerStatus {
        hub: view.name.clone(),
        addr: peer.config.addr.clone().or_else(|| first.map(|link| link.origin.addr.to_string())),
        network: peer.config.network,
        state: match first {
            Some(_) => LinkState::Up,
            None if view.is_dialling => LinkState::Dialling,
            None => LinkState::Waiting,
        },
        dialled_by: first.map(
            |link| {
                if link.origin.is_dialled { DialledBy::Us } else { DialledBy::Them }
            },
        ),
        authenticated: !peer.config.unauthenticated,
        fingerprint: view.key.map(|key| key.fingerprint().to_string()),
        up_for_ns: first.map(|link| nanos(link.up_since.elapsed())),
        rtt_ns: first.and_then(|link| link.rtt()).map(nanos),
        rx_frames: traffic.rx,
        tx_frames: traffic.tx,
        rx_bytes: traffic.rx_bytes,
        tx_bytes: traffic.tx_bytes,
        dropped_frames: traffic.dropped,
        queued_bytes: first.map_or(0, |link| link.outbox.len() as u64),
        congestion: path
            .as_ref()
            .map(|path| path.congestion.clone())
            .filter(|name| !name.is_empty()),
        delivery_rate: path.and_then(|path| path.delivery_rate),
        last_error: view.last_error.clone().filter(|_| first.is_none()),
    }
}
