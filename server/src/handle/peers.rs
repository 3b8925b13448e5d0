//! What a hub tells of its peers.

use super::HubHandle;
use crate::config::PeerConfig;
use crate::control::wire::{LinkState, PeerStatus, Peers};

impl HubHandle {
    /// Which hubs this one is linked with, and where they lead.
    #[must_use]
    pub fn peers(&self) -> Peers {
        let identity = self.shared.membership.as_ref().map(|membership| &membership.identity);
        Peers {
            schema: Peers::SCHEMA.to_owned(),
            name: self.shared.name.clone(),
            network: self.shared.network,
            key: identity.map(|identity| identity.public().to_string()),
            peers: self.shared.peers.iter().map(without_link).collect(),
            routes: Vec::new(),
        }
    }
}

/// A peer as the configuration has it.
fn without_link(peer: &PeerConfig) -> PeerStatus {
    PeerStatus {
        hub: None,
        addr: peer.addr.clone(),
        network: peer.network,
        state: LinkState::Waiting,
        dialled_by: None,
        authenticated: !peer.unauthenticated,
        fingerprint: peer.key.map(|key| key.fingerprint().to_string()),
        up_for_ns: None,
        rtt_ns: None,
        rx_frames: 0,
        tx_frames: 0,
        dropped_frames: 0,
        last_error: None,
    }
}
