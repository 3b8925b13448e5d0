//! What all tests of the table share.

mod model;
mod refusals;
mod routes;
mod sd;
mod simulation;

use dosp_proto::federation::{Claim, HubId};
use dosp_proto::vip::{Network, Vip};

use super::{Own, PeerId, PeerRule, RouteTable};

/// The hub `number`: ours is 0.
fn id(number: u8) -> HubId {
    HubId::from([0xA0, 0, 0, number])
}

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

fn vip(text: &str) -> Vip {
    text.parse().unwrap()
}

/// The network of the hub `number`.
fn net(number: u8) -> Network {
    Network::containing(Vip::from([7, 10, number, 0]), 24).unwrap()
}

fn own() -> Own {
    Own { network: net(0), id: id(0), name: Some("ours".parse().unwrap()) }
}

/// A peer of ours with a known key that may lead to all of 7.0.0.0/8.
fn rule(number: u8) -> PeerRule {
    let may_speak_for = vec![network("7.0.0.0/8")];
    PeerRule { network: net(number), may_speak_for, hub: Some(id(number)), is_published: false }
}

fn published(number: u8) -> PeerRule {
    PeerRule { hub: None, is_published: true, ..rule(number) }
}

fn claim(network: Network, path: &[u8]) -> Claim {
    Claim { network, hub: None, path: path.iter().map(|number| id(*number)).collect() }
}

/// The network of the last hub on the way.
fn way(path: &[u8]) -> Claim {
    claim(net(*path.last().unwrap()), path)
}

/// The peers 1, 2, … as [`PeerId`] 0, 1, … with their links up.
fn table(num_peers: u8) -> RouteTable {
    table_of((1..=num_peers).map(rule).collect())
}

fn table_of(rules: Vec<PeerRule>) -> RouteTable {
    let num_peers = rules.len();
    let mut table = RouteTable::new(own(), rules).unwrap();
    for peer in (0..num_peers).map(PeerId) {
        table.link_up(peer);
    }
    table
}

/// Hears what must be believed.
fn tell(table: &mut RouteTable, peer: usize, claims: &[Claim]) {
    assert_eq!(table.hear(PeerId(peer), claims.to_vec()), []);
}

/// The next hub and the length of the way.
fn hop(table: &RouteTable, number: u8) -> Option<(usize, usize)> {
    table.best(net(number)).map(|route| (route.peer.0, route.claim.path.len()))
}
