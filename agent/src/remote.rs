//! The networks of other hubs, as the own hub tells of them. Pure.
//!
//! A hub may lie: nothing in here lets it take addresses that are no host's, or the own network's, and
//! nothing here is a route of this host until whoever looks after those says so.

use std::collections::BTreeMap;

use dosp_proto::federation::RemoteNetwork;
use dosp_proto::label::Label;
use dosp_proto::vip::{Network, Vip};

/// The shortest prefix of another hub's network: one of fewer bits would lead large parts of the Internet
/// into the tunnel.
const MIN_PREFIX_LEN: u8 = 12;
/// More than anybody federates, and a bound on what a hub can make us keep.
pub const MAX_NETWORKS: usize = 256;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// What the hub says of it.
    pub told: RemoteNetwork,
    /// What the names of its members end with: its hub's name, unless several hubs call themselves so. The
    /// hub of one network is not to answer for the members of another.
    pub name: Option<Label>,
    /// Whether this host sends its addresses into the TUN, and takes IP from there.
    pub is_routed: bool,
}

/// How far away a peer is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Way {
    /// What its hub is called, where that is not ours.
    pub hub: Option<Label>,
    /// The links between our hub and its own; none where that is not known, or no way leads there.
    pub num_hops: Option<u8>,
}

/// All of them, by their first address. No two overlap, and none overlaps the own network.
#[derive(Debug, Clone, Default)]
pub struct RemoteNetworks(BTreeMap<Vip, Remote>);

impl RemoteNetworks {
    /// Takes the whole list, for a node of the network `own`, and returns how many were not taken.
    /// Those that were there before stay routed, also where they are not told of any more: their packets
    /// are not to leave this host by another way, in the open.
    pub fn take(&mut self, own: Network, list: Vec<RemoteNetwork>) -> usize {
        let before = std::mem::take(&mut self.0);
        // Also those that are not taken have their names: which of two is taken must not say whose a name is.
        let names = owners(&list);
        let mut num_ignored = 0;
        for told in list {
            let network = told.network;
            let is_free = !own.overlaps(network)
                && !self.iter().any(|other| other.told.network.overlaps(network));
            let is_fit = holds_hosts(network) && is_small_enough(network);
            if self.0.len() >= MAX_NETWORKS || !is_fit || !is_free {
                num_ignored += 1;
                continue;
            }
            let known = before.get(&network.address());
            let is_routed =
                known.is_some_and(|known| known.is_routed && known.told.network == network);
            let is_alone = |hub: &Label| names.get(hub) == Some(&Some(network));
            let name = told.hub.clone().filter(is_alone);
            self.0.insert(network.address(), Remote { told, name, is_routed });
        }
        for remote in before.into_values().filter(|remote| remote.is_routed) {
            self.keep_lost(own, remote, &names);
        }
        num_ignored
    }

    /// Keeps a network to which no way leads now, unless another one has its addresses.
    fn keep_lost(
        &mut self,
        own: Network,
        mut lost: Remote,
        names: &BTreeMap<Label, Option<Network>>,
    ) {
        let network = lost.told.network;
        let is_free = !own.overlaps(network)
            && !self.iter().any(|other| other.told.network.overlaps(network));
        if is_free && self.0.len() < MAX_NETWORKS {
            lost.told.num_hops = None;
            lost.name = lost.name.filter(|hub| !names.contains_key(hub));
            self.0.insert(network.address(), lost);
        }
    }

    /// The host routes these, and no others.
    pub fn set_routed(&mut self, is_routed: impl Fn(Network) -> bool) {
        for remote in self.0.values_mut() {
            remote.is_routed = is_routed(remote.told.network);
        }
    }

    /// The one that `vip` lies in.
    #[must_use]
    pub fn of(&self, vip: Vip) -> Option<&Remote> {
        let (_, remote) = self.0.range(..=vip).next_back()?;
        Some(remote).filter(|remote| remote.told.network.contains(vip))
    }

    /// Whether it is one of them.
    #[must_use]
    pub fn has(&self, network: Network) -> bool {
        self.0.get(&network.address()).is_some_and(|remote| remote.told.network == network)
    }

    /// The one whose members' names end with `hub`.
    #[must_use]
    pub fn by_name(&self, hub: &Label) -> Option<&Remote> {
        self.iter().find(|remote| remote.name.as_ref() == Some(hub))
    }

    /// How far away `vip` is from a node of the network `own`.
    #[must_use]
    pub fn way_to(&self, own: Option<Network>, vip: Vip) -> Way {
        if own.is_some_and(|own| own.contains(vip)) {
            return Way { hub: None, num_hops: Some(0) };
        }
        let told = self.of(vip).map(|remote| &remote.told);
        told.map(|told| Way { hub: told.hub.clone(), num_hops: told.num_hops }).unwrap_or_default()
    }

    /// All of them, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Remote> {
        self.0.values()
    }
}

/// Which network each name of a hub belongs to; none where several have it. The own network counts like
/// any other, where the hub lists it.
fn owners(list: &[RemoteNetwork]) -> BTreeMap<Label, Option<Network>> {
    let mut owners: BTreeMap<Label, Option<Network>> = BTreeMap::new();
    for RemoteNetwork { network, hub, .. } in list {
        let Some(hub) = hub else { continue };
        let owner = owners.entry(hub.clone()).or_insert(Some(*network));
        *owner = owner.filter(|owner| owner == network);
    }
    owners
}

/// Whether it leaves the Internet to this host. 10.0.0.0/8 is nobody's there, and may be one network.
fn is_small_enough(network: Network) -> bool {
    let [first, ..] = network.address().octets();
    network.prefix_len() >= MIN_PREFIX_LEN || first == 10
}

/// Whether all of its addresses may be hosts': not "this network", loopback, link-local, multicast or
/// reserved ones.
fn holds_hosts(network: Network) -> bool {
    let [first, ..] = network.address().octets();
    let link_local = Vip::from([169, 254, 0, 0]);
    let is_link_local = network.contains(link_local)
        || (network.prefix_len() > 16 && network.address().octets().starts_with(&[169, 254]));
    !matches!(first, 0 | 127 | 224..) && !is_link_local
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn told(text: &str, hub: Option<&str>) -> RemoteNetwork {
        let hub = hub.map(|hub| hub.parse().unwrap());
        RemoteNetwork { network: network(text), hub, num_hops: Some(1) }
    }

    fn taken(list: &[&str]) -> Vec<String> {
        let mut networks = RemoteNetworks::default();
        let list: Vec<_> = list.iter().map(|text| told(text, None)).collect();
        let len = list.len();
        let num_ignored = networks.take(network("10.7.0.0/16"), list);
        let taken: Vec<_> = networks.iter().map(|remote| remote.told.network.to_string()).collect();
        assert_eq!(taken.len() + num_ignored, len);
        taken
    }

    #[test]
    fn networks_that_overlap_or_hold_no_hosts_are_ignored() {
        assert_eq!(
            taken(&["10.7.3.0/24", "10.0.0.0/8", "7.11.0.0/24", "7.11.0.128/25", "7.0.0.0/8"]),
            ["7.11.0.0/24"]
        );
        let no_hosts = [
            "0.1.2.0/24",
            "127.0.0.0/8",
            "127.3.0.0/16",
            "169.254.0.0/16",
            "169.254.9.0/24",
            "169.0.0.0/8",
            "224.0.0.0/8",
            "239.1.0.0/16",
            "255.255.255.0/24",
        ];
        assert_eq!(taken(&no_hosts), [""; 0]);
        let beside = ["169.253.0.0/16", "169.255.0.0/24", "126.0.0.0/12", "223.0.0.0/12"];
        assert_eq!(taken(&beside).len(), beside.len());
    }

    #[test]
    fn lost_network_stays_routed_until_another_has_its_addresses() {
        let own = network("10.7.0.0/16");
        let mut networks = RemoteNetworks::default();
        networks.take(own, vec![told("7.11.0.0/24", Some("berlin")), told("7.12.0.0/24", None)]);
        networks.set_routed(|network| network.to_string() == "7.11.0.0/24");
        networks.take(own, Vec::new());
        let [lost] = &networks.iter().collect::<Vec<_>>()[..] else { panic!("{networks:?}") };
        assert!(lost.is_routed && lost.told.num_hops.is_none() && lost.name.is_some());
        networks.take(own, vec![told("7.13.0.0/24", Some("berlin"))]);
        assert_eq!(networks.of([7, 11, 0, 2].into()).and_then(|lost| lost.name.clone()), None);
        assert_eq!(networks.take(own, vec![told("7.11.0.0/16", None)]), 0);
        assert!(!networks.has(network("7.11.0.0/24")));
    }

    #[test]
    fn networks_that_take_much_of_the_internet_are_ignored() {
        let large = ["8.0.0.0/8", "11.0.0.0/8", "100.64.0.0/10", "172.0.0.0/11", "9.0.0.0/9"];
        assert_eq!(taken(&large), [""; 0]);
        // What is ignored is not in the way of others either.
        let both = ["8.0.0.0/8", "8.16.0.0/12", "172.16.0.0/12"];
        assert_eq!(taken(&both), both[1..]);
        let mut networks = RemoteNetworks::default();
        let private = ["10.0.0.0/8", "11.0.0.0/8"].map(|text| told(text, None));
        assert_eq!(networks.take(Network::DEFAULT, private.to_vec()), 1);
        assert!(networks.has(network("10.0.0.0/8")));
    }

    #[test]
    fn no_more_are_kept_than_the_bound() {
        let list: Vec<_> = (0..300u32)
            .map(|i| {
                let network = Network::containing(Vip::from(0x0800_0000 + (i << 8)), 24).unwrap();
                RemoteNetwork { network, hub: None, num_hops: None }
            })
            .collect();
        let mut networks = RemoteNetworks::default();
        assert_eq!(networks.take(Network::DEFAULT, list), 300 - MAX_NETWORKS);
        assert_eq!(networks.iter().count(), MAX_NETWORKS);
    }

    #[test]
    fn routes_stay_with_a_network_until_it_is_another_one() {
        let mut networks = RemoteNetworks::default();
        let list = || vec![told("7.11.0.0/24", None), told("7.12.0.0/24", None)];
        networks.take(Network::DEFAULT, list());
        assert!(networks.iter().all(|remote| !remote.is_routed), "not before the host says so");
        networks.set_routed(|network| network != self::network("7.12.0.0/24"));
        networks.take(Network::DEFAULT, list());
        let routed =
            |networks: &RemoteNetworks, vip: [u8; 4]| networks.of(vip.into()).unwrap().is_routed;
        assert!(routed(&networks, [7, 11, 0, 9]) && !routed(&networks, [7, 12, 0, 9]));
        networks.take(Network::DEFAULT, vec![told("7.11.0.0/16", None)]);
        assert!(!routed(&networks, [7, 11, 0, 9]));
    }

    #[test]
    fn name_of_two_hubs_is_nobodys() {
        let mut networks = RemoteNetworks::default();
        let berlin = "berlin".parse().unwrap();
        networks.take(Network::DEFAULT, vec![told("7.11.0.0/24", Some("berlin"))]);
        assert_eq!(networks.by_name(&berlin).unwrap().told.network, network("7.11.0.0/24"));
        let two = vec![told("7.11.0.0/24", Some("berlin")), told("7.9.0.0/24", Some("berlin"))];
        networks.take(Network::DEFAULT, two);
        assert_eq!(networks.by_name(&berlin), None);
        assert!(networks.iter().all(|remote| remote.name.is_none()));
    }

    #[test]
    fn name_is_nobodys_also_where_one_of_the_two_networks_is_not_taken() {
        let mut networks = RemoteNetworks::default();
        let berlin = "berlin".parse().unwrap();
        let ours = Network::DEFAULT.to_string();
        for ignored in ["7.11.0.0/25", "8.0.0.0/8", "127.0.0.0/24", &ours] {
            let one = told("7.11.0.0/24", Some("berlin"));
            let two = vec![one.clone(), told(ignored, Some("berlin"))];
            assert_eq!(networks.take(Network::DEFAULT, two), 1);
            assert_eq!(networks.by_name(&berlin), None, "{ignored}");
            networks.take(Network::DEFAULT, vec![one.clone(), one]);
            assert!(networks.by_name(&berlin).is_some(), "one network, though told twice");
        }
    }

    proptest! {
        /// However a hub lies, every address has one network at most.
        #[test]
        fn no_two_overlap(list in proptest::collection::vec((any::<u32>(), 8u8..=30), 0..40), vip in any::<u32>()) {
            let list = list.into_iter().map(|(bits, prefix_len)| RemoteNetwork {
                network: Network::containing(Vip::from(bits), prefix_len).unwrap(),
                hub: None,
                num_hops: None,
            });
            let mut networks = RemoteNetworks::default();
            networks.take(Network::DEFAULT, list.collect());
            let vip = Vip::from(vip);
            let found: Vec<_> =
                networks.iter().filter(|remote| remote.told.network.contains(vip)).collect();
            prop_assert!(found.len() <= 1);
            prop_assert_eq!(networks.of(vip), found.first().copied());
            prop_assert!(networks.iter().all(|remote| !remote.told.network.overlaps(Network::DEFAULT)));
        }
    }
}
