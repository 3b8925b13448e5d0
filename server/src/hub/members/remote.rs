//! Other hubs, as members are told of them: their networks, and who is there.
//!
//! A hub asks the next one on the way to a network for the list of its members, keeps it, and tells it
//! to its own members and to hubs that ask in turn. Nothing of it is stored.

use std::collections::{BTreeMap, BTreeSet};

use dosp_proto::federation::RemoteNetwork;
use dosp_proto::identity::PublicKey;
use dosp_proto::member::{Node, Nodes};
use dosp_proto::vip::{Network, Vip};

use super::news::{News, pages_since};
use crate::hub::Hub;
use crate::hub::directory::Directory;

/// Members of one other network that are kept; others can be reached by their vIPs.
const MAX_LISTED: usize = 4096;
/// Members of all other networks that are kept.
const MAX_LISTED_IN_ALL: usize = 16_384;
/// Bytes of lists that a member is told at a time; what is left follows.
const MAX_TOLD_LEN: usize = 128 * 1024;
/// The list of the own network, which there always is.
const OWN: u64 = 1;

/// The networks of other hubs, and who is in them.
#[derive(Debug, Default)]
pub(super) struct Remote {
    pub(super) networks: Vec<RemoteNetwork>,
    /// How often the networks have changed.
    pub(super) revision: u64,
    lists: BTreeMap<Network, List>,
}

/// Who is in one network.
#[derive(Debug)]
struct List {
    /// Tells it from a list of the same network before it.
    born: u64,
    nodes: BTreeMap<PublicKey, Node>,
    by_vip: BTreeMap<Vip, PublicKey>,
    directory: Directory,
    /// Who was in the list before the snapshot that is coming in, and not in it so far.
    stale: BTreeSet<PublicKey>,
    news: News,
}

/// How much of a list somebody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    born: u64,
    revision: u64,
}

impl List {
    fn new(born: u64) -> Self {
        Self {
            born,
            nodes: BTreeMap::new(),
            by_vip: BTreeMap::new(),
            directory: Directory::default(),
            stale: BTreeSet::new(),
            news: News::default(),
        }
    }

    /// Takes a page, with room for so many more nodes.
    fn take(&mut self, network: Network, page: Nodes, room: usize) {
        let max_listed = MAX_LISTED.min(self.nodes.len() + room);
        if page.is_snapshot {
            self.stale = self.nodes.keys().copied().collect();
        }
        page.removed.iter().for_each(|key| self.remove(key));
        for node in page.nodes.into_iter().filter(|node| network.is_assignable(node.vip)) {
            self.insert(node, max_listed);
        }
        if page.is_done {
            std::mem::take(&mut self.stale).iter().for_each(|key| self.remove(key));
        }
    }

    fn insert(&mut self, node: Node, max_listed: usize) {
        self.stale.remove(&node.key);
        if self.nodes.get(&node.key) == Some(&node) {
            return;
        }
        // A page may say of one node that it has moved before it says so of the other.
        let former = self.by_vip.get(&node.vip).copied();
        former.into_iter().chain([node.key]).for_each(|key| self.remove(&key));
        if self.nodes.len() < max_listed {
            self.directory.note(node.key);
            self.by_vip.insert(node.vip, node.key);
            self.nodes.insert(node.key, node);
        }
    }

    fn remove(&mut self, key: &PublicKey) {
        if let Some(node) = self.nodes.remove(key) {
            self.by_vip.remove(&node.vip);
            self.directory.note(*key);
        }
    }

    /// No way leads there.
    fn lose(&mut self) {
        self.stale.clear();
        for (key, node) in &mut self.nodes {
            if std::mem::take(&mut node.is_online) {
                self.directory.note(*key);
            }
        }
    }

    /// What is known, for who knows `told`; `None` where that is all.
    fn news_since(&mut self, network: Network, told: Told) -> Option<&News> {
        let Self { directory, nodes, news, born, .. } = self;
        let revision = directory.revision();
        let known = if told.born == *born { told.revision } else { 0 };
        if known == revision {
            return None;
        }
        Some(news.between(known, revision, || {
            let by_key = |key: &PublicKey| nodes.get(key).cloned();
            pages_since(directory, known, nodes.values().cloned(), by_key, Some(network))
        }))
    }
}

impl Remote {
    /// Whether somebody who knows `told` lacks something of a list.
    pub(super) fn has_news(&self, told: &BTreeMap<Network, Told>) -> bool {
        self.lists.iter().any(|(network, list)| {
            let revision = list.directory.revision();
            let now = Told { born: list.born, revision };
            revision > 0 && told.get(network) != Some(&now)
        })
    }

    /// Gives `say` the encoded pages of all lists that somebody who knows `told` lacks.
    pub(super) fn tell(&mut self, told: &mut BTreeMap<Network, Told>, mut say: impl FnMut(&[u8])) {
        told.retain(|network, _| self.lists.contains_key(network));
        let mut told_len = 0;
        for (network, list) in &mut self.lists {
            let born = list.born;
            let told = told.entry(*network).or_default();
            if told_len >= MAX_TOLD_LEN {
                return;
            }
            if let Some(news) = list.news_since(*network, *told) {
                news.pages.iter().for_each(|page| say(page));
                told_len += news.pages.iter().map(Vec::len).sum::<usize>();
                *told = Told { born, revision: news.revision };
            }
        }
    }
}

impl Hub {
    /// Other hubs' networks are these now; returns whether they were others before.
    pub fn set_networks(&mut self, networks: Vec<RemoteNetwork>) -> bool {
        let Some(members) = &mut self.members else { return false };
        let remote = &mut members.remote;
        if remote.networks == networks {
            return false;
        }
        remote.revision += 1;
        let reachable = networks.iter().filter(|remote| remote.num_hops.is_some());
        let reachable: BTreeSet<_> = reachable.map(|remote| remote.network).collect();
        let listed: BTreeSet<_> = networks.iter().map(|remote| remote.network).collect();
        remote.lists.retain(|network, _| listed.contains(network));
        for network in listed {
            let born = remote.revision;
            let list = remote.lists.entry(network).or_insert_with(|| List::new(born));
            if !reachable.contains(&network) {
                list.lose();
            }
        }
        remote.networks = networks;
        true
    }

    /// Takes a part of the list of another hub's members, from the hub that was asked for it. Returns
    /// whether that is news.
    pub fn take_nodes(&mut self, network: Network, page: Nodes) -> bool {
        let Some(members) = &mut self.members else { return false };
        let lists = &mut members.remote.lists;
        let num_listed: usize = lists.values().map(|list| list.nodes.len()).sum();
        let Some(list) = lists.get_mut(&network) else { return false };
        let before = list.directory.revision();
        list.take(network, page, MAX_LISTED_IN_ALL.saturating_sub(num_listed));
        list.directory.revision() != before
    }

    /// Gives `say` what another hub, which knows `told`, lacks of the list of a network that it asked
    /// for, as encoded words.
    pub fn tell_list(&mut self, network: Network, told: &mut Told, mut say: impl FnMut(&[u8])) {
        let own = self.network;
        let Some(members) = &mut self.members else { return };
        let news = if network == own {
            // The list as members have it: it is that of the hub that says it.
            let known = if told.born == OWN { told.revision } else { 0 };
            let is_new = told.born != OWN || known < members.directory.revision();
            is_new.then(|| (OWN, members.news_since(known)))
        } else {
            let list = members.remote.lists.get_mut(&network);
            list.and_then(|list| Some((list.born, list.news_since(network, *told)?)))
        };
        if let Some((born, news)) = news {
            news.pages.iter().for_each(|page| say(page));
            *told = Told { born, revision: news.revision };
        }
    }

    pub(super) fn networks(&self) -> &[RemoteNetwork] {
        self.members.as_ref().map_or(&[], |members| &members.remote.networks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network() -> Network {
        "7.11.0.{x}".parse().unwrap()
    }

    fn node(key: u8, x: u8, is_online: bool) -> Node {
        Node { key: [key; 32].into(), vip: [7, 11, 0, x].into(), name: None, is_online }
    }

    /// What somebody holds who takes all that is said.
    fn listen(list: &mut List, told: &mut Told, heard: &mut BTreeMap<PublicKey, Node>) {
        let born = list.born;
        let Some(news) = list.news_since(network(), *told) else { return };
        for page in &news.pages {
            let word = dosp_proto::member::Control::decode(page).unwrap();
            let dosp_proto::member::Control::Nodes(page) = word else { panic!("{word:?}") };
            assert_eq!(page.network, Some(network()));
            if page.is_snapshot {
                heard.clear();
            }
            page.removed.iter().for_each(|key| drop(heard.remove(key)));
            heard.extend(page.nodes.into_iter().map(|node| (node.key, node)));
        }
        *told = Told { born, revision: news.revision };
    }

    proptest! {
        /// Whoever listens now and then knows in the end what the list holds, and the list holds what
        /// was said last.
        #[test]
        fn who_listens_knows_the_list(
            pages in prop::collection::vec((
                any::<bool>(), prop::collection::vec((0u8..6, 2u8..9, any::<bool>()), 0..5),
                prop::collection::vec(0u8..6, 0..2), 0u8..8
            ), 1..40)
        ) {
            let mut list = List::new(1);
            let mut model: BTreeMap<PublicKey, Node> = BTreeMap::new();
            let (mut told, mut heard) = (Told::default(), BTreeMap::new());
            for (is_snapshot, nodes, removed, what) in pages {
                let nodes: Vec<_> = nodes.into_iter().map(|(key, x, on)| node(key, x, on)).collect();
                let removed: Vec<PublicKey> = removed.into_iter().map(|key| [key; 32].into()).collect();
                if is_snapshot {
                    model.clear();
                }
                removed.iter().for_each(|key| drop(model.remove(key)));
                for node in &nodes {
                    model.retain(|_, other| other.vip != node.vip);
                    model.insert(node.key, node.clone());
                }
                list.take(network(), Nodes { is_snapshot, nodes, removed, is_done: true, network: None }, 100);
                if what == 0 {
                    list.lose();
                    model.values_mut().for_each(|node| node.is_online = false);
                }
                prop_assert_eq!(&list.nodes, &model);
                if what < 4 {
                    listen(&mut list, &mut told, &mut heard);
                    prop_assert_eq!(&heard, &model);
                }
            }
        }
    }

    #[test]
    fn nodes_that_are_not_of_the_network_or_too_many_are_left_out() {
        let mut list = List::new(1);
        let take = |list: &mut List, network: Network, node: Node, room| {
            list.take(network, Nodes { nodes: vec![node], ..Nodes::default() }, room);
        };
        take(&mut list, network(), Node { vip: [7, 10, 0, 2].into(), ..node(1, 2, true) }, 9);
        take(&mut list, network(), node(2, 1, true), 9);
        take(&mut list, network(), node(2, 3, true), 0);
        assert!(list.nodes.is_empty());
        let large: Network = "7.16.0.0/16".parse().unwrap();
        for number in 0..=u32::try_from(MAX_LISTED).unwrap() {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            let vip = (u32::from(large.hub()) + 1 + number).into();
            take(&mut list, large, Node { key: key.into(), vip, ..node(0, 2, true) }, MAX_LISTED);
        }
        assert_eq!((list.nodes.len(), list.by_vip.len()), (MAX_LISTED, MAX_LISTED));
    }

    #[test]
    fn who_knows_an_earlier_list_of_the_network_gets_all_of_this_one() {
        let mut list = List::new(1);
        list.take(
            network(),
            Nodes { nodes: vec![node(1, 2, true)], ..Nodes::default() },
            MAX_LISTED,
        );
        let (mut told, mut heard) = (Told::default(), BTreeMap::new());
        listen(&mut list, &mut told, &mut heard);
        let mut list = List::new(2);
        list.take(
            network(),
            Nodes { nodes: vec![node(2, 3, true)], ..Nodes::default() },
            MAX_LISTED,
        );
        listen(&mut list, &mut told, &mut heard);
        assert_eq!(heard.len(), 1);
        assert!(list.news_since(network(), told).is_none());
    }
}
