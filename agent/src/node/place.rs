//! What a node does when its place in the network changes, and whom it tells.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use dosp_proto::label::Label;
use dosp_proto::member::Refusal;
use dosp_proto::vip::{Network, Vip};

use super::{Link, LinkError, LinkState, Node, NodeError, chain};
use crate::clock;
use crate::engine::{Event, Overlay, PlaceChange};
use crate::host::Host;
use crate::link::{Credentials, JoinError, Membership};
use crate::remote::{Remote, RemoteNetworks};
use crate::tun::TunDevice;

/// Wall clocks that differ by more are worth a word: handshakes of version 1 would fail.
const MAX_CLOCK_DIFFERENCE_S: u64 = 300;

/// What this host makes of the networks of other hubs.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// Those that it does not route, by their first address, and why.
    pub(super) unrouted: BTreeMap<Vip, String>,
    /// Those that it routes, and what their hubs are called.
    routed: BTreeMap<Network, Option<Label>>,
}

impl Routes {
    /// Logs which routes are new and which are gone: whoever runs this host did not choose them.
    fn follow<'a>(&mut self, networks: impl Iterator<Item = &'a Remote>) {
        let routed = networks.filter(|remote| remote.is_routed);
        let routed = routed.map(|remote| (remote.told.network, remote.told.hub.clone())).collect();
        let before = std::mem::replace(&mut self.routed, routed);
        for (network, hub) in before.iter().filter(|(of, _)| !self.routed.contains_key(of)) {
            let hub = hub.as_ref().map(ToString::to_string);
            tracing::info!(%network, hub, "another hub's network is routed no more");
        }
        for (network, hub) in self.routed.iter().filter(|(of, _)| !before.contains_key(of)) {
            let hub = hub.as_ref().map(ToString::to_string);
            tracing::info!(%network, hub, "another hub's network is routed");
        }
    }
}

impl<T: TunDevice, H: Host> Node<T, H> {
    /// Does what the events since the last turn call for, and tells what has changed.
    pub(super) async fn settle(&mut self) -> Result<(), NodeError<H::Error>> {
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::Place(change) => self.follow_place(change).await?,
                event => self.handle_event(event),
            }
        }
        self.settle_routes().await;
        if self.engine.take_known_changed() {
            self.known.send_replace(self.engine.known_peers().clone());
        }
        if self.engine.take_directory_changed() {
            self.names.send_replace(self.engine.names().collect());
        }
        Ok(())
    }

    async fn settle_routes(&mut self) {
        // The hub may have moved into a network of which we had not been told that it is there: then the
        // next attempt is not to go through the tunnel that it is to carry.
        let missed = self.missed_hub.take().filter(|hub| self.engine.routes_elsewhere(*hub));
        if let Some(hub) = missed {
            self.route_networks(hub).await;
        } else if self.engine.networks_changed()
            && let Link::Connected(connection) = &self.link
            && let Ok(hub) = connection.hub_ip()
        {
            self.route_networks(hub).await;
        }
    }

    /// Sends the networks of other hubs into the TUN, as far as nothing on this host is in the way.
    pub(super) async fn route_networks(&mut self, hub: IpAddr) {
        let networks = self.engine.networks().into_iter().flat_map(RemoteNetworks::iter);
        let networks: Vec<_> = networks.map(|remote| remote.told.network).collect();
        let mut unrouted = BTreeMap::new();
        for (network, error) in self.host.route(&networks, hub).await {
            let error = chain(&error);
            if !self.routes.unrouted.contains_key(&network.address()) {
                tracing::warn!(%network, error, "another hub's network is not routed");
            }
            unrouted.insert(network.address(), error);
        }
        // This also settles what was told since.
        self.engine.set_routed(|network| !unrouted.contains_key(&network.address()));
        self.routes.unrouted = unrouted;
        // Without a TUN nothing has a route.
        if self.tun.is_some() {
            self.routes.follow(self.engine.networks().into_iter().flat_map(RemoteNetworks::iter));
        }
    }

    /// Handles the events of a link that is gone.
    pub(super) fn finish_events(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            self.handle_event(event);
        }
    }

    /// The hub took this node in: from now on no other hub will do, and the join key has done its work.
    pub(super) fn became_member(&mut self, membership: Membership) {
        let (hub_key, welcome) = (membership.hub_key, &membership.welcome);
        let name = welcome.name.as_ref().map(ToString::to_string);
        tracing::info!(name, hub_key = %hub_key.fingerprint(), "member of the network");
        let (ours, theirs) = (clock::now().unix_time, welcome.time);
        self.hub_time = Some((theirs, clock::instant())).filter(|(time, _)| *time > 0);
        if ours.abs_diff(theirs) > MAX_CLOCK_DIFFERENCE_S {
            let differ_s = ours.abs_diff(theirs);
            tracing::warn!(differ_s, "the clocks of this host and of the hub differ");
        }
        let credentials = Credentials {
            hub_key: Some(hub_key),
            join_key: None,
            ..Credentials::clone(&self.credentials)
        };
        self.credentials = Arc::new(credentials);
        self.engine.become_member(membership);
    }

    async fn follow_place(&mut self, change: PlaceChange) -> Result<(), NodeError<H::Error>> {
        match change {
            PlaceChange::Moved(overlay) => self.moved(overlay).await,
            PlaceChange::Dismissed(refused) => {
                let error = JoinError::NotAdmitted(refused.clone());
                if is_final(&error) {
                    return Err(NodeError::Join(error));
                }
                self.link_lost(LinkError::Dismissed(refused.text))
            }
            PlaceChange::Tampered(error) => self.link_lost(LinkError::Tampered(error)),
            PlaceChange::Left => {
                for leaver in self.leavers.drain(..) {
                    // Who asked may have gone meanwhile.
                    leaver.send(Ok(())).ok();
                }
                Err(NodeError::Left)
            }
        }
    }

    async fn moved(&mut self, overlay: Overlay) -> Result<(), NodeError<H::Error>> {
        let before = match *self.state.borrow() {
            LinkState::Up(before) => Some(before),
            LinkState::Connecting | LinkState::Joining => None,
        };
        let Link::Connected(connection) = &self.link else { return Ok(()) };
        // A connection without an address is about to be found broken.
        let Ok(hub) = connection.hub_ip() else { return Ok(()) };
        self.host.apply(before, overlay, hub).await.map_err(NodeError::Host)?;
        tracing::info!(vip = %overlay.vip, network = %overlay.network, "the hub gave this host another vIP");
        self.state.send_replace(LinkState::Up(overlay));
        Ok(())
    }
}

/// Whether there is no point in trying again.
pub(super) const fn is_final(error: &JoinError) -> bool {
    match error {
        JoinError::NotAdmitted(refused) => matches!(refused.reason, Refusal::Removed),
        _ => false,
    }
}
