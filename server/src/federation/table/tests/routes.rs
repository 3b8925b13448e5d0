//! Which way is taken, and what others are told of it.

use dosp_proto::federation::{Claim, HubId, RemoteNetwork};

use super::super::{NoWay, PeerId};
use super::{claim, hop, id, net, network, own, published, rule, table, table_of, tell, vip, way};
use crate::federation::table::RouteTable;

fn next_hop(table: &RouteTable, dst: &str, from: Option<usize>) -> Result<usize, NoWay> {
    table.next_hop(vip(dst), from.map(PeerId)).map(|route| route.peer.0)
}

#[test]
fn shortest_path_wins_then_the_lowest_peer() {
    let mut table = table(3);
    tell(&mut table, 0, &[way(&[1, 4, 5, 9])]);
    tell(&mut table, 2, &[way(&[3, 9])]);
    assert_eq!(hop(&table, 9), Some((2, 2)));
    tell(&mut table, 1, &[way(&[2, 9])]);
    assert_eq!(hop(&table, 9), Some((1, 2)));
    let order: Vec<_> = table.candidates().into_iter().map(|(peer, _)| peer.0).collect();
    assert_eq!(order, [1, 2, 0]);
    table.link_down(PeerId(1));
    assert_eq!(hop(&table, 9), Some((2, 2)));
    tell(&mut table, 2, &[]);
    assert_eq!(hop(&table, 9), Some((0, 4)));
}

#[test]
fn peer_without_a_link_says_nothing_and_leads_nowhere() {
    let mut table = RouteTable::new(own(), vec![rule(1)]).unwrap();
    tell(&mut table, 0, &[way(&[1])]);
    assert_eq!(hop(&table, 1), None);
    table.link_up(PeerId(0));
    assert_eq!(hop(&table, 1), None, "one of ours has to say so");
    tell(&mut table, 0, &[way(&[1])]);
    table.link_up(PeerId(0));
    assert_eq!(hop(&table, 1), Some((0, 1)), "one more link changes nothing");
    table.link_down(PeerId(0));
    assert_eq!(hop(&table, 1), None);
    // No such peer.
    table.link_up(PeerId(1));
    table.link_down(PeerId(1));
    table.learn_id(PeerId(1), id(7));
    tell(&mut table, 1, &[way(&[1])]);
}

#[test]
fn published_hub_leads_to_its_network_whatever_it_says() {
    let mut table = table_of(vec![published(1)]);
    assert_eq!(hop(&table, 1), Some((0, 1)));
    tell(&mut table, 0, &[]);
    assert_eq!(hop(&table, 1), Some((0, 1)));
    table.learn_id(PeerId(0), id(1));
    assert_eq!(table.id_of(PeerId(0)), Some(HubId::of_published(net(1))));
    table.link_down(PeerId(0));
    assert_eq!(hop(&table, 1), None);
}

#[test]
fn every_frame_without_a_way_has_its_reason() {
    let mut table = table(2);
    tell(&mut table, 0, &[way(&[1]), claim(network("7.20.0.0/16"), &[1, 2, 9])]);
    assert_eq!(next_hop(&table, "7.10.0.77", None), Err(NoWay::Own));
    assert_eq!(next_hop(&table, "7.10.2.2", None), Err(NoWay::Unreachable));
    for unknown in ["7.10.3.2", "7.21.0.0", "7.19.255.255", "0.0.0.0", "255.255.255.255"] {
        assert_eq!(next_hop(&table, unknown, None), Err(NoWay::Unknown), "{unknown}");
    }
    for inside in ["7.20.0.0", "7.20.255.255", "7.20.3.4"] {
        assert_eq!(next_hop(&table, inside, None), Ok(0), "{inside}");
        assert_eq!(next_hop(&table, inside, Some(0)), Err(NoWay::Back));
        assert_eq!(next_hop(&table, inside, Some(1)), Err(NoWay::Back), "a detour");
    }
    assert_eq!(next_hop(&table, "7.10.1.2", Some(1)), Ok(0));
}

#[test]
fn frame_goes_back_by_no_other_way_either() {
    let mut table = table(2);
    tell(&mut table, 0, &[way(&[1, 9])]);
    tell(&mut table, 1, &[way(&[2, 3, 9])]);
    assert_eq!(next_hop(&table, "7.10.9.2", Some(0)), Err(NoWay::Back));
    assert_eq!(next_hop(&table, "7.10.9.2", Some(1)), Ok(0));
}

#[test]
fn peers_are_told_of_ways_that_do_not_pass_them() {
    let mut table = table(3);
    tell(&mut table, 0, &[way(&[1]), way(&[1, 2, 9])]);
    tell(&mut table, 1, &[way(&[2, 4, 5, 6, 7, 8, 3, 10])]);
    let ours = Claim { hub: own().name, ..way(&[0]) };
    assert_eq!(table.advertisement(PeerId(0)), std::slice::from_ref(&ours));
    // 9 is reached over 2, and the way to 10 is too long to be passed on.
    assert_eq!(table.advertisement(PeerId(1)), [ours.clone(), way(&[0, 1])]);
    assert_eq!(table.advertisement(PeerId(2)), [ours.clone(), way(&[0, 1]), way(&[0, 1, 2, 9])]);
    table.link_down(PeerId(0));
    assert_eq!(table.advertisement(PeerId(2)), [ours]);
}

#[test]
fn revision_rises_with_every_change_and_no_repetition() {
    let mut table = table(1);
    let mut last = table.revision();
    let mut has_risen = |table: &RouteTable| {
        let before = std::mem::replace(&mut last, table.revision());
        before < last
    };
    tell(&mut table, 0, &[way(&[1])]);
    assert!(has_risen(&table));
    tell(&mut table, 0, &[way(&[1])]);
    assert!(!has_risen(&table));
    let named = Claim { hub: Some("one".parse().unwrap()), ..way(&[1]) };
    tell(&mut table, 0, std::slice::from_ref(&named));
    assert!(has_risen(&table), "a name");
    table.learn_id(PeerId(0), id(1));
    assert!(!has_risen(&table));
    table.link_down(PeerId(0));
    assert!(has_risen(&table));
    table.learn_id(PeerId(0), id(5));
    assert!(has_risen(&table), "the horizon");
}

#[test]
fn agents_are_told_what_is_configured_and_what_is_reached() {
    let named = |claim: Claim, hub: &str| Claim { hub: hub.parse().ok(), ..claim };
    let mut table = table_of(vec![rule(5), rule(2), published(3)]);
    tell(
        &mut table,
        0,
        &[
            named(way(&[5]), "berlin"),
            named(claim(network("7.9.0.0/24"), &[5, 8, 9]), "Berlin"),
            named(claim(network("7.9.1.0/24"), &[5, 8]), "rome"),
            named(claim(network("7.9.2.0/24"), &[5, 7]), "rome"),
            named(claim(network("7.9.3.0/24"), &[5, 6]), "ours"),
        ],
    );
    let remote =
        |network, hub: &str, num_hops| RemoteNetwork { network, hub: hub.parse().ok(), num_hops };
    let expected = [
        remote(network("7.9.0.0/24"), "berlin", Some(3)),
        remote(network("7.9.1.0/24"), "rome", Some(2)),
        remote(network("7.9.2.0/24"), "rome", Some(2)),
        remote(network("7.9.3.0/24"), "", Some(2)),
        remote(net(2), "", None),
        remote(net(3), "", Some(1)),
        remote(net(5), "berlin", Some(1)),
    ];
    assert_eq!(table.remote_networks(), expected);
    table.link_down(PeerId(0));
    assert_eq!(
        table.remote_networks(),
        [remote(net(2), "", None), remote(net(3), "", Some(1)), remote(net(5), "berlin", None)]
    );
}
