//! Where addresses lie: in the own hub's network, in that of another hub, or nowhere; what those there
//! are called, and what it means that something did not get to them.

use std::net::IpAddr;
use std::time::Instant;

use dosp_proto::identity::PublicKey;
use dosp_proto::label::Label;
use dosp_proto::member::{Gone, GoneReason, Node};
use dosp_proto::vip::{Network, Vip};

use super::{Engine, Event, HubPing, MessageFailure};
use crate::directory::Directory;
use crate::link::join::usable;
use crate::peer_name::PeerName;
use crate::remote::{RemoteNetworks, Way};

/// What an address is to packets of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Another agent may be there.
    Peer,
    /// A hub is there, which carries no IP of its own.
    Hub,
    /// Everybody in a network.
    Broadcast,
    /// Nobody can be there, or this host does not send packets there.
    Nowhere,
}

impl Engine {
    /// The networks of other hubs, where there are members.
    #[must_use]
    pub fn networks(&self) -> Option<&RemoteNetworks> {
        self.member.as_ref().map(|member| &member.networks)
    }

    /// The network that holds `vip`, and whether this host routes it.
    fn network_of(&self, vip: Vip) -> Option<(Network, bool)> {
        let own = self.overlay?.network;
        if own.contains(vip) {
            return Some((own, true));
        }
        self.networks()?.of(vip).map(|remote| (remote.told.network, remote.is_routed))
    }

    pub(super) fn place_of(&self, vip: Vip) -> Place {
        let is_ours = self.overlay.is_some_and(|overlay| overlay.vip == vip);
        match self.network_of(vip) {
            Some((network, true)) if !is_ours => {
                if vip == network.hub() {
                    Place::Hub
                } else if vip == network.broadcast() {
                    Place::Broadcast
                } else if network.is_assignable(vip) {
                    Place::Peer
                } else {
                    Place::Nowhere
                }
            }
            _ => Place::Nowhere,
        }
    }

    /// Whether another agent may be at `vip`. A hub without members does not tell which other hubs it
    /// leads to: there it is every address that can be a host's.
    pub(super) fn is_peer(&self, vip: Vip) -> bool {
        if self.overlay.is_none_or(|overlay| overlay.vip == vip) {
            return false;
        }
        match self.network_of(vip) {
            Some((network, _)) => network.is_assignable(vip),
            None => self.member.is_none() && usable(vip).is_ok(),
        }
    }

    /// Whether this host sends packets for `vip` into the TUN.
    pub(super) fn is_routed(&self, vip: Vip) -> bool {
        self.network_of(vip).is_some_and(|(_, is_routed)| is_routed)
    }

    /// Whether packets for `addr` go into the TUN because of a network of another hub.
    #[must_use]
    pub fn routes_elsewhere(&self, addr: IpAddr) -> bool {
        let IpAddr::V4(addr) = addr.to_canonical() else { return false };
        let remote = self.networks().and_then(|networks| networks.of(addr.into()));
        remote.is_some_and(|remote| remote.is_routed)
    }

    pub(super) fn way_to(&self, vip: Vip) -> Way {
        let own = self.overlay.map(|overlay| overlay.network);
        match self.networks() {
            Some(networks) => networks.way_to(own, vip),
            None => RemoteNetworks::default().way_to(own, vip),
        }
    }

    /// What somebody at `vip` is called here whom its own hub calls `name`; `None` where its hub has no
    /// name, or not alone.
    pub(super) fn full_name(&self, vip: Vip, name: &Label) -> Option<PeerName> {
        let Some(remote) = self.networks().and_then(|networks| networks.of(vip)) else {
            return Some(name.clone().into());
        };
        remote.name.clone().map(|hub| PeerName { name: name.clone(), hub: Some(hub) })
    }

    /// What the hub calls the owner of `key`, who was last at `vip`.
    pub(super) fn listed_name(&self, vip: Vip, key: &PublicKey) -> Option<PeerName> {
        let directory = self.directory()?;
        let node = directory.at(vip).filter(|node| node.key == *key);
        let node = node.or_else(|| directory.by_key(key))?;
        self.full_name(node.vip, node.name.as_ref()?)
    }

    /// Whose name `name` is by the hub's word.
    pub(super) fn listed_as(&self, name: &PeerName) -> Option<&Node> {
        self.directory()?.by_name(name, self.networks()?)
    }

    /// What programs on this host may call the others: what the hub says, but for names that are known
    /// here as another key's.
    pub fn names(&self) -> impl Iterator<Item = (Vip, PeerName)> + '_ {
        let nodes = self.directory().into_iter().flat_map(Directory::iter);
        nodes.filter_map(|node| {
            let name = self.full_name(node.vip, node.name.as_ref()?)?;
            let owner = self.known.by_name(&name.to_string());
            owner.is_none_or(|owner| owner.key == node.key).then_some((node.vip, name))
        })
    }

    /// Something that was sent went nowhere, by the hub's word.
    pub(super) fn handle_gone(&mut self, gone: &Gone, now: Instant) {
        let remote = self.networks().and_then(|networks| networks.of(gone.vip));
        // The hub has forgotten a network that it learned and lost.
        let is_lost = remote.is_some_and(|remote| remote.told.num_hops.is_none());
        match gone.why {
            GoneReason::TooLong => self.handle_too_long(gone.vip),
            GoneReason::Unknown if !is_lost => {
                self.handle_undeliverable(gone.vip, &MessageFailure::Offline, now);
            }
            GoneReason::Unreachable | GoneReason::Unknown => {
                let why = remote.map_or(MessageFailure::Offline, |remote| MessageFailure::NoWay {
                    network: remote.told.network,
                    hub: remote.told.hub.clone(),
                });
                self.handle_undeliverable(gone.vip, &why, now);
            }
            GoneReason::Offline => {
                self.handle_undeliverable(gone.vip, &MessageFailure::Offline, now);
            }
        }
    }

    /// A frame for `dst` went nowhere. Nobody vouches for that but the hub.
    pub(super) fn handle_undeliverable(&mut self, dst: Vip, why: &MessageFailure, now: Instant) {
        self.lose_deliveries(dst, usize::MAX, why);
        self.fail_echoes(dst, why);
        self.give_back(dst, why, now);
    }

    /// A hub on the way to `dst` takes no frame of that length: of what was sent there, it is the first
    /// whose fate is not known, for the hub answers in order. Other frames get through.
    fn handle_too_long(&mut self, dst: Vip) {
        let why = MessageFailure::TooLong;
        if self.lose_deliveries(dst, 1, &why) == 0 {
            self.fail_echoes(dst, &why);
        }
    }

    /// Gives up the first `max` messages to `dst` whose fate is not known; returns how many there were.
    fn lose_deliveries(&mut self, dst: Vip, max: usize, why: &MessageFailure) -> usize {
        let mut num_lost = 0;
        for (_, ping) in &mut self.hub_pings {
            if let HubPing::Delivery(ticket, to) = ping
                && *to == dst
                && num_lost < max
            {
                self.events.push_back(Event::MessageFailed(*ticket, why.clone()));
                // Its PING is still under way.
                *ping = HubPing::Heartbeat;
                num_lost += 1;
            }
        }
        num_lost
    }
}
