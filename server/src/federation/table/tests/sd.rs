//! What goes to and comes from published hubs.

use dosp_proto::federation::HubId;
use dosp_proto::sd::{self, Advertisement};

use super::super::{PeerId, Refusal, RefusedClaim};
use super::{claim, net, network, published, rule, table_of, tell, way};

fn route(template: &str, num_hops: u8) -> sd::Route {
    sd::Route { host: "hub.example".into(), port: 4242, template: template.into(), num_hops }
}

#[test]
fn hops_become_a_path_with_the_right_ends() {
    let mut table = table_of(vec![published(1), rule(2)]);
    let said = Advertisement(vec![
        route("7.10.1.{x}", 0),
        route("nonsense", 0),
        route("7.10.8.{x}", 1),
        route("7.10.9.x", 7),
        route("7.10.0.{x}", 2),
    ]);
    let claims = table.claims_of(PeerId(0), &said);
    let lens: Vec<_> = claims.iter().map(|claim| (claim.network, claim.path.len())).collect();
    assert_eq!(lens, [(net(1), 1), (net(8), 2), (net(9), 8), (net(0), 3)]);
    let published_id = HubId::of_published(net(1));
    assert!(claims.iter().all(|claim| claim.path[0] == published_id));
    assert_eq!(claims[2].path[7], HubId::of_published(net(9)));
    tell(&mut table, 0, &claims);
    let known: Vec<_> = table.routes().map(|route| route.claim.network).collect();
    assert_eq!(known, [net(1), net(8), net(9)], "not the way back to ourselves");
    assert_eq!(table.claims_of(PeerId(7), &said), []);
}

#[test]
fn networks_behind_a_published_hub_need_no_words_of_its_own() {
    let mut behind = published(1);
    behind.may_speak_for = vec![net(8), network("7.64.0.0/16"), net(9), net(2)];
    let mut table = table_of(vec![behind, rule(2)]);
    for said in [Advertisement::default(), Advertisement(vec![route("7.10.9.{x}", 3)])] {
        let claims = table.claims_of(PeerId(0), &said);
        let refused = table.hear(PeerId(0), claims);
        let lens: Vec<_> = table.candidates();
        let lens: Vec<_> = lens.iter().map(|(_, way)| (way.network, way.path.len())).collect();
        let num_hubs = if said.0.is_empty() { 2 } else { 4 };
        assert_eq!(lens, [(net(1), 1), (net(8), 2), (net(9), num_hubs)], "{refused:?}");
    }
}

#[test]
fn what_is_too_far_or_a_lie_is_refused() {
    let mut table = table_of(vec![published(1), rule(2)]);
    let said = Advertisement(vec![
        route("7.10.9.{x}", 8),
        route("7.10.8.{x}", 255),
        route("7.10.0.{x}", 0),
        route("8.0.0.{x}", 1),
        route("7.10.2.{x}", 1),
    ]);
    let claims = table.claims_of(PeerId(0), &said);
    assert!(claims.iter().all(|claim| claim.path.len() <= 9));
    let refused = table.hear(PeerId(0), claims);
    let expected = [
        (net(9), Refusal::PathLen),
        (net(8), Refusal::PathLen),
        (net(0), Refusal::OwnNetwork),
        (network("8.0.0.0/24"), Refusal::NotAllowed),
        (net(2), Refusal::NotItsHub),
    ];
    assert_eq!(refused, expected.map(|(network, reason)| RefusedClaim { network, reason }));
}

#[test]
fn published_hubs_are_told_what_a_template_can_say() {
    let mut table = table_of(vec![published(1), rule(2), published(3)]);
    let wide = claim(network("7.64.0.0/16"), &[2, 9]);
    tell(&mut table, 1, &[way(&[2]), way(&[2, 8]), wide]);
    let told = table.sd_advertisement(PeerId(0), "hub.example", 4242);
    let expected = [
        route("7.10.0.{x}", 0),
        route("7.10.2.{x}", 1),
        route("7.10.3.{x}", 1),
        route("7.10.8.{x}", 2),
    ];
    assert_eq!(told, Advertisement(expected.to_vec()));
    told.encode_to(&mut Vec::new()).unwrap();
}

#[test]
fn fullest_table_fits_an_advertisement() {
    let rules = (1..=128).map(|number| if number < 128 { published(number) } else { rule(number) });
    let mut table = table_of(rules.collect());
    let learned = (129..=192).map(|number| way(&[128, number]));
    let claims: Vec<_> = std::iter::once(way(&[128])).chain(learned).collect();
    tell(&mut table, 127, &claims);
    let told = table.sd_advertisement(PeerId(0), &"h".repeat(255), 1);
    assert_eq!(told.0.len(), 1 + 127 + 64);
    told.encode_to(&mut Vec::new()).unwrap();
}
