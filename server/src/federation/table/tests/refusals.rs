//! What a hub that lies, or is mistaken, does not get into the table.

use dosp_proto::federation::Claim;
use dosp_proto::vip::{Network, Vip};

use super::super::{MAX_LEARNED, MAX_REFUSALS, PeerId, PeerRule, Refusal, RefusedClaim};
use super::{claim, hop, id, net, network, own, rule, table, table_of, tell, vip, way};
use crate::federation::table::{RouteTable, RuleError};

/// The reason where one claim of peer 0 is refused.
fn refusal(table: &mut RouteTable, claim: Claim) -> Option<Refusal> {
    assert_eq!(table.hear(PeerId(0), Vec::new()), []);
    let refused = table.hear(PeerId(0), vec![claim.clone()]);
    assert!(refused.iter().all(|refused| refused.network == claim.network), "{refused:?}");
    refused.first().map(|refused| refused.reason)
}

fn many(range: std::ops::Range<u16>, hub: u8) -> Vec<Claim> {
    let networks = range.map(|number| {
        let [high, low] = number.to_be_bytes();
        Network::containing(Vip::from([7, 100 + high, low, 0]), 24).unwrap()
    });
    networks.map(|network| claim(network, &[hub, 77])).collect()
}

#[test]
fn path_has_one_to_eight_hubs_and_begins_with_the_peer() {
    let mut table = table(1);
    assert_eq!(refusal(&mut table, claim(net(9), &[])), Some(Refusal::PathLen));
    assert_eq!(refusal(&mut table, way(&[1, 2, 3, 4, 5, 6, 7, 8, 9])), Some(Refusal::PathLen));
    assert_eq!(refusal(&mut table, way(&[1, 2, 3, 4, 5, 6, 7, 9])), None);
    assert_eq!(refusal(&mut table, way(&[2, 9])), Some(Refusal::NotFromPeer));
}

#[test]
fn way_over_ourselves_is_ignored_and_no_lie() {
    let mut table = table(1);
    assert_eq!(refusal(&mut table, way(&[1, 0, 9])), None);
    assert_eq!(refusal(&mut table, way(&[1, 0])), None);
    assert_eq!(table.candidates(), []);
}

#[test]
fn no_hub_is_passed_twice() {
    let mut table = table(1);
    assert_eq!(refusal(&mut table, way(&[1, 2, 3, 2, 9])), Some(Refusal::RepeatedHub));
    assert_eq!(refusal(&mut table, way(&[1, 2, 1])), Some(Refusal::RepeatedHub));
}

#[test]
fn nobody_takes_our_network_nor_a_part_nor_all_around_it() {
    let mut table = table(1);
    for text in ["7.10.0.0/24", "7.10.0.0/30", "7.10.0.128/25", "7.10.0.0/16", "7.0.0.0/8"] {
        let lie = claim(network(text), &[1]);
        assert_eq!(refusal(&mut table, lie), Some(Refusal::OwnNetwork), "{text}");
    }
    assert_eq!(table.candidates(), []);
}

#[test]
fn peer_leads_only_where_it_may() {
    let may_speak_for = vec![network("10.0.0.0/16"), network("9.1.0.0/24")];
    let mut table = table_of(vec![PeerRule { may_speak_for, ..rule(1) }]);
    for text in ["8.0.0.0/8", "10.0.0.0/8", "10.1.0.0/24", "9.1.0.0/23", "7.10.9.0/24"] {
        let lie = claim(network(text), &[1]);
        assert_eq!(refusal(&mut table, lie), Some(Refusal::NotAllowed), "{text}");
    }
    for text in ["7.10.1.0/24", "10.0.0.0/16", "10.0.3.0/24", "9.1.0.4/30"] {
        assert_eq!(refusal(&mut table, claim(network(text), &[1])), None, "{text}");
    }
}

#[test]
fn known_networks_are_neither_cut_out_nor_swallowed() {
    let mut table = table(2);
    tell(&mut table, 1, &[claim(network("7.30.0.0/16"), &[2, 9])]);
    for (text, known) in [
        ("7.10.2.0/25", "7.10.2.0/24"),
        ("7.10.1.0/25", "7.10.1.0/24"),
        ("7.10.2.0/23", "7.10.2.0/24"),
        ("7.30.5.0/24", "7.30.0.0/16"),
        ("7.30.0.0/15", "7.30.0.0/16"),
    ] {
        let lie = claim(network(text), &[1]);
        assert_eq!(refusal(&mut table, lie), Some(Refusal::Overlaps(network(known))), "{text}");
    }
    table.link_down(PeerId(1));
    assert_eq!(refusal(&mut table, claim(network("7.30.5.0/24"), &[1])), None);
}

#[test]
fn claims_of_one_message_do_not_overlap_either() {
    let mut table = table(1);
    let (large, small) = (claim(network("7.30.0.0/16"), &[1]), claim(network("7.30.1.0/24"), &[1]));
    let refused = table.hear(PeerId(0), vec![small.clone(), large.clone()]);
    let reason = Refusal::Overlaps(small.network);
    assert_eq!(refused, [RefusedClaim { network: large.network, reason }]);
    // What stays is not displaced by what is new, wherever it stands in the message.
    assert_eq!(table.hear(PeerId(0), vec![large.clone(), small.clone()]), []);
    assert!(table.best(small.network).is_some() && table.best(large.network).is_none());
    assert_eq!(table.hear(PeerId(0), vec![large.clone()]), []);
    assert!(table.best(large.network).is_some());
}

#[test]
fn configured_network_belongs_to_its_hub() {
    let mut table = table(2);
    assert_eq!(refusal(&mut table, claim(net(2), &[1])), Some(Refusal::NotItsHub));
    assert_eq!(refusal(&mut table, claim(net(2), &[1, 3])), Some(Refusal::NotItsHub));
    assert_eq!(refusal(&mut table, claim(net(1), &[1, 3])), Some(Refusal::NotItsHub));
    assert_eq!(refusal(&mut table, claim(net(2), &[1, 3, 2])), None);
}

#[test]
fn once_the_key_is_known_what_leads_elsewhere_is_forgotten() {
    let mut table = table_of(vec![rule(1), PeerRule { hub: None, ..rule(2) }]);
    tell(&mut table, 0, &[way(&[1]), claim(net(2), &[1, 3])]);
    assert_eq!(hop(&table, 2), Some((0, 2)));
    assert_eq!(table.hear(PeerId(1), vec![way(&[2])]), [], "nothing is heard without an id");
    assert_eq!(hop(&table, 2), Some((0, 2)));
    table.learn_id(PeerId(1), id(2));
    assert_eq!(hop(&table, 2), None);
    tell(&mut table, 1, &[way(&[2])]);
    assert_eq!(hop(&table, 2), Some((1, 1)));
    table.learn_id(PeerId(1), id(4));
    assert_eq!(hop(&table, 2), None, "another hub now, which has said nothing");
}

#[test]
fn of_two_hubs_with_one_network_the_first_wins_while_it_lives() {
    let mut table = table(2);
    let (first, second) = (claim(net(9), &[1, 9]), claim(net(9), &[2, 8]));
    tell(&mut table, 0, std::slice::from_ref(&first));
    let refused = [RefusedClaim { network: net(9), reason: Refusal::Conflict }];
    assert_eq!(table.hear(PeerId(1), vec![second.clone()]), refused);
    assert_eq!(hop(&table, 9), Some((0, 2)));
    tell(&mut table, 0, &[claim(net(9), &[1, 7])]);
    assert_eq!(table.hear(PeerId(1), vec![second.clone()]), [], "said before");
    tell(&mut table, 0, &[]);
    assert_eq!(table.hear(PeerId(1), vec![second]), []);
    assert_eq!(hop(&table, 9), Some((1, 2)));
    assert_eq!(table.hear(PeerId(0), vec![first]), refused);
}

#[test]
fn thousand_routes_fill_no_table_and_push_nobody_out() {
    let mut table = table(2);
    tell(&mut table, 1, &[vec![way(&[2])], many(0..10, 2)].concat());
    let refused = table.hear(PeerId(0), many(100..1100, 1));
    assert_eq!(refused.len(), MAX_REFUSALS);
    assert!(refused.iter().all(|refused| refused.reason == Refusal::TooMany));
    assert_eq!(table.candidates().len(), 1 + MAX_LEARNED);
    assert_eq!(table.hear(PeerId(0), many(100..1100, 1)), [], "each is told once");
    // Incumbents stay, even where newcomers stand before them.
    table.hear(PeerId(0), [many(200..1100, 1), many(100..154, 1)].concat());
    assert!(many(100..154, 1).iter().all(|claim| table.best(claim.network).is_some()));
    // What another peer leads to already takes no new place, nor does what is configured.
    let known = [many(100..154, 1), many(0..10, 1), vec![way(&[1]), way(&[1, 2])]].concat();
    tell(&mut table, 0, &known);
    table.link_down(PeerId(0));
    tell(&mut table, 1, &many(0..64, 2));
}

#[test]
fn network_that_is_there_twice_counts_once() {
    let mut table = table(1);
    let refused = table.hear(PeerId(0), vec![way(&[1, 9]), way(&[1, 2, 9])]);
    assert_eq!(refused, [RefusedClaim { network: net(9), reason: Refusal::Twice }]);
    assert_eq!(hop(&table, 9), Some((0, 2)));
}

#[test]
fn refusal_is_told_again_only_after_a_message_without_it() {
    let mut table = table(1);
    let lie = vec![claim(net(0), &[1])];
    assert_eq!(table.hear(PeerId(0), lie.clone()).len(), 1);
    assert_eq!(table.hear(PeerId(0), lie.clone()).len(), 0);
    let other = vec![claim(net(0), &[2])];
    assert_eq!(table.hear(PeerId(0), other).len(), 1, "another reason");
    tell(&mut table, 0, &[]);
    assert_eq!(table.hear(PeerId(0), lie.clone()).len(), 1);
    table.link_down(PeerId(0));
    table.link_up(PeerId(0));
    assert_eq!(table.hear(PeerId(0), lie).len(), 1, "another link");
}

#[test]
fn nobody_speaks_for_our_clients_nor_outside_what_it_may() {
    let may_speak_for = vec![network("7.10.0.0/16")];
    let table = table_of(vec![PeerRule { may_speak_for, ..rule(1) }]);
    for (text, may) in [
        ("7.10.1.2", true),
        ("7.10.99.2", true),
        ("7.10.0.2", false),
        ("7.11.0.2", false),
        ("0.0.0.0", false),
    ] {
        assert_eq!(table.sources(PeerId(0)).hold(vip(text)), may, "{text}");
    }
    assert!(!table.sources(PeerId(1)).hold(vip("7.10.1.2")), "no such peer");
}

#[test]
fn rules_without_a_table() {
    let new = |rules| RouteTable::new(own(), rules).unwrap_err();
    let nested = PeerRule { network: network("7.10.1.64/26"), ..rule(2) };
    assert_eq!(
        new(vec![nested.clone(), rule(3), rule(1)]),
        RuleError::Overlap(net(1), nested.network)
    );
    let around = PeerRule { network: network("7.10.0.0/16"), ..rule(1) };
    assert_eq!(new(vec![around.clone()]), RuleError::Overlap(around.network, net(0)));
    assert_eq!(new(vec![rule(1), rule(1)]), RuleError::Overlap(net(1), net(1)));
    assert_eq!(new((1..=129).map(rule).collect()), RuleError::TooManyPeers(129));
    assert!(RouteTable::new(own(), (1..=128).map(rule).collect()).is_ok());
}
