//! Where a frame for a vIP goes: the table, and each reader's memory of it.
//!
//! Pure, and generic over what a route leads to, so that tests can route to session numbers.

use std::collections::{BTreeMap, HashMap};

use dosp_proto::vip::{Network, Vip};

/// From vIP to session, and from the networks of other hubs to what leads there.
#[derive(Debug)]
pub struct Routes<T> {
    by_vip: HashMap<Vip, T>,
    /// By their addresses; no two of them overlap.
    networks: BTreeMap<Vip, (Network, T)>,
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self { by_vip: HashMap::new(), networks: BTreeMap::new() }
    }
}

impl<T> Routes<T> {
    /// Frames for `vip` go to `target` from now on. Returns where they went before.
    pub fn insert(&mut self, vip: Vip, target: T) -> Option<T> {
        self.by_vip.insert(vip, target)
    }

    /// Frames for `vip` go nowhere from now on. Returns where they went before.
    pub fn remove(&mut self, vip: Vip) -> Option<T> {
        self.by_vip.remove(&vip)
    }

    /// Frames for other hubs' networks go so from now on, and no way else.
    pub fn set_networks(&mut self, networks: impl IntoIterator<Item = (Network, T)>) {
        let networks = networks.into_iter();
        self.networks = networks.map(|(network, to)| (network.address(), (network, to))).collect();
    }

    /// Where frames for `vip` go.
    #[must_use]
    pub fn lookup(&self, vip: Vip) -> Option<&T> {
        self.by_vip.get(&vip).or_else(|| {
            let (_, (network, target)) = self.networks.range(..=vip).next_back()?;
            network.contains(vip).then_some(target)
        })
    }
}

/// Large enough for a session that talks to a handful of others in turn, and 512 bytes at most.
const CACHE_LEN: usize = 32;

/// The routes that one reader used last, so that the shared table is not locked for every frame.
///
/// It forgets everything when the table's version changes, hence never gives a stale route.
#[derive(Debug)]
pub struct RouteCache<T> {
    version: u64,
    entries: [Option<(Vip, T)>; CACHE_LEN],
}

impl<T> Default for RouteCache<T> {
    fn default() -> Self {
        Self { version: 0, entries: [const { None }; CACHE_LEN] }
    }
}

impl<T> RouteCache<T> {
    /// The route to `vip` in the table of this `version`, which `fetch` asks where it is not known.
    pub fn lookup(
        &mut self,
        vip: Vip,
        version: u64,
        fetch: impl FnOnce() -> Option<T>,
    ) -> Option<&T> {
        if self.version != version {
            *self = Self { version, ..Self::default() };
        }
        // Neighbours in a network differ in their lowest bits.
        let entry = self.entries.get_mut(u32::from(vip) as usize % CACHE_LEN)?;
        if !matches!(entry, Some((known, _)) if *known == vip) {
            *entry = fetch().map(|target| (vip, target));
        }
        entry.as_ref().map(|(_, target)| target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn removed_route_leads_nowhere() {
        let vip = Vip::from(7);
        let mut routes = Routes::default();
        assert_eq!(routes.insert(vip, 'a'), None);
        assert_eq!(routes.insert(vip, 'b'), Some('a'));
        assert_eq!(routes.lookup(vip), Some(&'b'));
        assert_eq!(routes.remove(vip), Some('b'));
        assert_eq!(routes.lookup(vip), None);
    }

    #[test]
    fn network_leads_where_no_client_does() {
        let mut routes = Routes::default();
        let network = |text: &str| text.parse::<Network>().unwrap();
        routes.set_networks([(network("7.11.0.0/24"), 'b'), (network("7.12.0.0/16"), 'c')]);
        let lookup = |routes: &Routes<char>, vip: [u8; 4]| routes.lookup(vip.into()).copied();
        assert_eq!(lookup(&routes, [7, 11, 0, 255]), Some('b'));
        assert_eq!(lookup(&routes, [7, 12, 200, 1]), Some('c'));
        assert_eq!(lookup(&routes, [7, 11, 1, 0]), None);
        assert_eq!(lookup(&routes, [7, 10, 255, 255]), None);
        routes.insert([7, 11, 0, 2].into(), 'a');
        assert_eq!(lookup(&routes, [7, 11, 0, 2]), Some('a'));
        routes.set_networks([]);
        assert_eq!(lookup(&routes, [7, 12, 0, 1]), None);
        assert_eq!(lookup(&routes, [7, 11, 0, 2]), Some('a'));
    }

    #[test]
    fn known_route_is_not_fetched_again() {
        let mut cache = RouteCache::default();
        assert_eq!(cache.lookup(Vip::from(7), 1, || Some('a')), Some(&'a'));
        assert_eq!(cache.lookup(Vip::from(7), 1, || unreachable!()), Some(&'a'));
        assert_eq!(cache.lookup(Vip::from(7), 2, || None), None);
    }

    proptest! {
        #[test]
        fn cache_answers_as_the_table_does(
            steps in proptest::collection::vec((0u32..80, any::<bool>(), any::<u16>()), 0..300)
        ) {
            let mut routes = Routes::default();
            let mut cache = RouteCache::default();
            let mut version = 0;
            for (vip, change, target) in steps {
                let vip = Vip::from(vip);
                if change {
                    version += 1;
                    if routes.remove(vip).is_none() {
                        routes.insert(vip, target);
                    }
                }
                let cached = cache.lookup(vip, version, || routes.lookup(vip).copied()).copied();
                prop_assert_eq!(cached, routes.lookup(vip).copied());
            }
        }
    }
}
