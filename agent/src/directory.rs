//! Who is in the networks, by the hub's word: names, vIPs and keys of all members. Pure.
//!
//! The members of each network are a list of their own, and a page says something of one list only:
//! who speaks for one network can neither name nor hide anybody of another.

use std::collections::BTreeMap;

use dosp_proto::identity::PublicKey;
use dosp_proto::label::Label;
use dosp_proto::member::{Node, Nodes};
use dosp_proto::vip::{Network, Vip};

use crate::peer_name::PeerName;
use crate::remote::RemoteNetworks;

/// As many as the largest networks have, and a bound on what a hub can make us keep.
const MAX_NODES: usize = 65_536;
/// As many of one other network, however many there are: hubs tell of no more.
const MAX_OTHER_NODES: usize = 4_096;

/// The members of the own network and of those of other hubs.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    own: List,
    /// Of the networks of other hubs, by their first address.
    others: BTreeMap<Vip, (Network, List)>,
}

impl Directory {
    /// Takes a page, for a node of the network `own` that knows of the networks `others`. Returns how
    /// many nodes it does not take: they lie outside of the page's network, or there are too many.
    pub fn take(&mut self, page: Nodes, own: Network, others: &RemoteNetworks) -> usize {
        let named = page.network.filter(|network| *network != own);
        if named.is_some_and(|network| !others.has(network)) {
            return page.nodes.len();
        }
        let network = named.unwrap_or(own);
        if page.is_snapshot {
            *self.list(named) = List::default();
        }
        for key in &page.removed {
            self.list(named).remove(key);
        }
        let mut num_dropped = 0;
        for node in page.nodes {
            if !network.is_assignable(node.vip) {
                // What was said of it before holds no more in any case.
                self.list(named).remove(&node.key);
                num_dropped += 1;
            } else if self.list(named).replaces(&node) || self.make_room(named) {
                self.list(named).insert(node);
            } else {
                num_dropped += 1;
            }
        }
        num_dropped
    }

    /// Forgets who was in networks that are not among `others` any more.
    pub fn retain(&mut self, others: &RemoteNetworks) {
        self.others.retain(|_, (network, _)| others.has(*network));
    }

    fn list(&mut self, network: Option<Network>) -> &mut List {
        let Some(network) = network else { return &mut self.own };
        let (of, list) =
            self.others.entry(network.address()).or_insert_with(|| (network, List::default()));
        if *of != network {
            (*of, *list) = (network, List::default());
        }
        list
    }

    /// Whether one node more of `network` can be kept. Where all places are taken, one of the own network
    /// takes the place of one of another, and one of a small network that of one of the largest.
    fn make_room(&mut self, network: Option<Network>) -> bool {
        let of_others = |(_, list): &(Network, List)| list.nodes.len();
        let len = network.map_or(0, |network| self.list(Some(network)).nodes.len());
        if network.is_some() && len >= MAX_OTHER_NODES {
            return false;
        }
        if self.own.nodes.len() + self.others.values().map(of_others).sum::<usize>() < MAX_NODES {
            return true;
        }
        let largest = self.others.values_mut().max_by_key(|other| of_others(other));
        let gives_way = |list: &List| network.is_none() || list.nodes.len() > len + 1;
        let Some((_, list)) = largest.filter(|(_, list)| gives_way(list)) else { return false };
        let last = list.nodes.keys().next_back().copied();
        last.inspect(|key| list.remove(key)).is_some()
    }

    /// Who is at `vip`.
    #[must_use]
    pub fn at(&self, vip: Vip) -> Option<&Node> {
        self.own.at(vip).or_else(|| self.others_before(vip)?.at(vip))
    }

    /// The list that `vip` would be in, were it in a network of another hub.
    fn others_before(&self, vip: Vip) -> Option<&List> {
        self.others.range(..=vip).next_back().map(|(_, (_, list))| list)
    }

    /// Where and what the member with this key is: in the own network, if it is there.
    #[must_use]
    pub fn by_key(&self, key: &PublicKey) -> Option<&Node> {
        let mut lists =
            std::iter::once(&self.own).chain(self.others.values().map(|(_, list)| list));
        lists.find_map(|list| list.nodes.get(key))
    }

    /// Whose name `name` is, where `others` are the networks of other hubs.
    #[must_use]
    pub fn by_name(&self, name: &PeerName, others: &RemoteNetworks) -> Option<&Node> {
        let Some(hub) = &name.hub else { return self.own.by_name(&name.name) };
        let network = others.by_name(hub)?.told.network;
        self.others.get(&network.address())?.1.by_name(&name.name)
    }

    /// All members, by vIP: first those of the own network.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        let others = self.others.values().flat_map(|(_, list)| list.iter());
        self.own.iter().chain(others)
    }
}

/// The members of one network.
#[derive(Debug, Clone, Default)]
struct List {
    nodes: BTreeMap<PublicKey, Node>,
    by_vip: BTreeMap<Vip, PublicKey>,
    by_name: BTreeMap<Label, PublicKey>,
}

impl List {
    /// Whether there is something of this node in it, or at its vIP.
    fn replaces(&self, node: &Node) -> bool {
        self.nodes.contains_key(&node.key) || self.by_vip.contains_key(&node.vip)
    }

    fn insert(&mut self, node: Node) {
        self.remove(&node.key);
        // A page may say of one node that it has moved before it says so of the other.
        if let Some(former) = self.by_vip.get(&node.vip).copied() {
            self.remove(&former);
        }
        self.by_vip.insert(node.vip, node.key);
        if let Some(name) = &node.name {
            self.by_name.insert(name.clone(), node.key);
        }
        self.nodes.insert(node.key, node);
    }

    fn remove(&mut self, key: &PublicKey) {
        let Some(node) = self.nodes.remove(key) else { return };
        self.by_vip.remove(&node.vip);
        if let Some(name) = node.name
            && self.by_name.get(&name) == Some(key)
        {
            self.by_name.remove(&name);
        }
    }

    fn at(&self, vip: Vip) -> Option<&Node> {
        self.nodes.get(self.by_vip.get(&vip)?)
    }

    fn by_name(&self, name: &Label) -> Option<&Node> {
        self.nodes.get(self.by_name.get(name)?)
    }

    fn iter(&self) -> impl Iterator<Item = &Node> {
        self.by_vip.values().filter_map(|key| self.nodes.get(key))
    }
}

#[cfg(test)]
mod tests;
