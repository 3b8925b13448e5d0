use dosp_proto::federation::RemoteNetwork;
use proptest::prelude::*;

use super::*;

const OWN: &str = "10.0.0.0/24";
const BERLIN: &str = "10.0.1.0/24";
const OSLO: &str = "10.0.2.0/24";

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

fn remotes(list: &[(&str, &str)]) -> RemoteNetworks {
    let list = list.iter().map(|(of, hub)| RemoteNetwork {
        network: network(of),
        hub: hub.parse().ok(),
        num_hops: Some(1),
    });
    let mut remotes = RemoteNetworks::default();
    assert_eq!(remotes.take(network(OWN), list.collect()), 0);
    remotes
}

fn both() -> RemoteNetworks {
    remotes(&[(BERLIN, "berlin"), (OSLO, "oslo")])
}

/// The node with this key at `10.0.X.Y`.
fn node_in(net: u8, key: u8, y: u8, name: Option<&str>) -> Node {
    let name = name.map(|name| name.parse().unwrap());
    Node { key: [key; 32].into(), vip: Vip::from([10, 0, net, y]), name, is_online: true }
}

fn node(key: u8, y: u8, name: Option<&str>) -> Node {
    node_in(0, key, y, name)
}

fn page(of: Option<&str>, nodes: Vec<Node>) -> Nodes {
    Nodes { network: of.map(network), nodes, is_done: true, ..Nodes::default() }
}

fn name(text: &str) -> PeerName {
    text.parse().unwrap()
}

fn taken(directory: &mut Directory, page: Nodes) -> usize {
    directory.take(page, network(OWN), &both())
}

fn vips(directory: &Directory) -> Vec<String> {
    directory.iter().map(|node| node.vip.to_string()).collect()
}

#[test]
fn pages_add_change_and_remove() {
    let mut directory = Directory::default();
    taken(&mut directory, page(None, vec![node(1, 2, Some("a")), node(2, 3, Some("b"))]));
    assert_eq!(directory.by_name(&name("B"), &both()).unwrap().vip, Vip::from([10, 0, 0, 3]));
    // The two change places and names.
    taken(&mut directory, page(None, vec![node(1, 3, Some("b")), node(2, 2, Some("a"))]));
    assert_eq!(directory.by_name(&name("b"), &both()).unwrap().key, [1; 32].into());
    assert_eq!(directory.at(Vip::from([10, 0, 0, 2])).unwrap().key, [2; 32].into());
    taken(&mut directory, Nodes { removed: vec![[1; 32].into()], ..Nodes::default() });
    assert!(directory.by_name(&name("b"), &both()).is_none());
    assert!(directory.at(Vip::from([10, 0, 0, 3])).is_none());
    taken(&mut directory, Nodes { is_snapshot: true, ..page(None, vec![node(3, 9, None)]) });
    assert_eq!(vips(&directory), ["10.0.0.9"]);
}

#[test]
fn page_of_one_network_says_nothing_of_another() {
    let mut directory = Directory::default();
    taken(&mut directory, page(None, vec![node(1, 2, Some("a"))]));
    taken(&mut directory, page(Some(OSLO), vec![node_in(2, 3, 2, Some("a"))]));
    let mut lies = page(
        Some(BERLIN),
        vec![
            node_in(1, 2, 2, Some("a")),
            node(4, 2, Some("a")),
            node_in(2, 4, 2, Some("a")),
            node_in(1, 4, 1, None),
            node_in(1, 4, 255, None),
            // The key of a member of ours may be somebody's there, and stays ours here.
            node_in(1, 1, 9, Some("x")),
        ],
    );
    lies.is_snapshot = true;
    lies.removed = vec![[1; 32].into(), [3; 32].into()];
    assert_eq!(taken(&mut directory, lies), 4);
    assert_eq!(vips(&directory), ["10.0.0.2", "10.0.1.2", "10.0.1.9", "10.0.2.2"]);
    for (text, key) in [("a", 1), ("a.berlin", 2), ("a.oslo", 3), ("x.berlin", 1)] {
        assert_eq!(
            directory.by_name(&name(text), &both()).unwrap().key,
            [key; 32].into(),
            "{text}"
        );
    }
    assert_eq!(directory.by_key(&[1; 32].into()).unwrap().vip, Vip::from([10, 0, 0, 2]));
    taken(&mut directory, Nodes { is_snapshot: true, ..page(Some(OSLO), Vec::new()) });
    assert_eq!(vips(&directory), ["10.0.0.2", "10.0.1.2", "10.0.1.9"]);
}

#[test]
fn network_that_is_listed_no_more_has_no_members_and_takes_none() {
    let mut directory = Directory::default();
    taken(&mut directory, page(Some(BERLIN), vec![node_in(1, 2, 2, None)]));
    taken(&mut directory, page(Some(OSLO), vec![node_in(2, 3, 2, None)]));
    // The network of the hub `berlin` is another one now, though it begins with the same address.
    let rest = remotes(&[("10.0.1.0/25", "berlin"), (OSLO, "oslo")]);
    directory.retain(&rest);
    assert_eq!(vips(&directory), ["10.0.2.2"]);
    let late = page(Some(BERLIN), vec![node_in(1, 2, 2, None)]);
    assert_eq!(directory.take(late, network(OWN), &rest), 1);
    assert_eq!(vips(&directory), ["10.0.2.2"]);
}

/// Networks of other hubs with `10.X.0.0` as their address, as many as `count`.
fn crowd(count: u8) -> RemoteNetworks {
    let told =
        (1..=count).map(|net| RemoteNetwork { network: crowded(net), hub: None, num_hops: None });
    let mut others = RemoteNetworks::default();
    assert_eq!(others.take(network(OWN), told.collect()), 0);
    others
}

fn crowded(net: u8) -> Network {
    Network::containing(Vip::from([10, net, 0, 0]), 16).unwrap()
}

/// So many members of one of these networks.
fn flood(net: u8, count: u16) -> Nodes {
    let nodes = (2..count + 2).map(|i| {
        let [high, low] = i.to_be_bytes();
        let mut key = [0xFF; 32];
        key[..3].copy_from_slice(&[net, high, low]);
        let vip = Vip::from([10, net, high, low]);
        Node { key: key.into(), vip, name: None, is_online: true }
    });
    Nodes { network: Some(crowded(net)), nodes: nodes.collect(), ..Nodes::default() }
}

fn count_in(directory: &Directory, net: u8) -> usize {
    directory.iter().filter(|node| crowded(net).contains(node.vip)).count()
}

#[test]
fn no_other_network_has_more_than_its_share() {
    let (mut directory, others) = (Directory::default(), crowd(2));
    assert_eq!(directory.take(flood(1, 4_099), network(OWN), &others), 3);
    assert_eq!(directory.take(flood(1, 4_096), network(OWN), &others), 0, "who is there stays");
    assert_eq!(directory.take(flood(2, 10), network(OWN), &others), 0);
    assert_eq!((count_in(&directory, 1), count_in(&directory, 2)), (4_096, 10));
}

#[test]
fn members_of_the_own_network_and_of_small_ones_are_kept_however_many_others_there_are() {
    let (mut directory, others) = (Directory::default(), crowd(18));
    for net in 1..=16 {
        assert_eq!(directory.take(flood(net, 4_096), network(OWN), &others), 0);
    }
    assert_eq!(directory.iter().count(), MAX_NODES);
    let ours = page(None, vec![node(1, 2, None), node(2, 3, None)]);
    assert_eq!(directory.take(ours, network(OWN), &others), 0);
    assert!(directory.at(Vip::from([10, 0, 0, 3])).is_some());
    assert_eq!(directory.take(flood(17, 1_000), network(OWN), &others), 0);
    assert_eq!(count_in(&directory, 17), 1_000);
    // Nobody's share grows at the cost of one that is not larger.
    assert!(directory.take(flood(18, 4_096), network(OWN), &others) > 0);
    assert_eq!(count_in(&directory, 17), 1_000);
    let shares: Vec<_> = (1..=16).map(|net| count_in(&directory, net)).collect();
    assert!(shares.iter().all(|share| *share > 3_700), "{shares:?}");
    assert_eq!(directory.iter().count(), MAX_NODES);
}

proptest! {
    /// However a hub lies, the maps never contradict each other, and every node is where its network is.
    #[test]
    fn look_ups_agree(
        pages in proptest::collection::vec((0u8..4, 0u8..4, 0u8..5, 0u8..6, 0u8..5, 0u8..6), 0..80),
    ) {
        let names = [None, Some("a"), Some("b"), Some("c"), Some("d")];
        let networks = [None, Some(BERLIN), Some(OSLO), Some("10.0.3.0/24")];
        let mut directory = Directory::default();
        for (of, net, key, y, name, what) in pages {
            let mut page =
                page(networks[usize::from(of)], vec![node_in(net, key, y, names[usize::from(name)])]);
            match what {
                0 => page.nodes.clear(),
                1 => page.is_snapshot = true,
                2 => directory.retain(&remotes(&[(OSLO, "oslo")])),
                _ => {}
            }
            if what < 2 {
                page.removed = vec![[key; 32].into()];
            }
            let others_before = of_others(&directory, of);
            taken(&mut directory, page);
            prop_assert_eq!(of_others(&directory, of), others_before, "it is about one network only");
            let lists = directory.others.values().map(|(network, list)| (*network, list));
            for (network, list) in lists.chain([(network(OWN), &directory.own)]) {
                prop_assert_eq!(list.by_vip.len(), list.nodes.len());
                for node in list.nodes.values() {
                    prop_assert!(network.is_assignable(node.vip));
                    prop_assert_eq!(directory.at(node.vip), Some(node));
                }
                for (name, key) in &list.by_name {
                    prop_assert_eq!(list.nodes[key].name.as_ref(), Some(name));
                }
            }
        }
    }
}

/// What is known of all networks but the one with this number.
fn of_others(directory: &Directory, number: u8) -> Vec<Node> {
    let others = directory.iter().filter(|node| node.vip.octets()[2] != number);
    others.cloned().collect()
}
