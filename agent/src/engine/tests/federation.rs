//! Engines whose hub leads to other hubs. Node 0 is at home, node 1 in the network of the hub `berlin`.

use dosp_proto::federation::RemoteNetwork;
use dosp_proto::member::{Channel, Control, Gone, GoneReason, Node as Listed, Nodes, Welcome};
use dosp_proto::tunnel::v2::Kind;
use dosp_proto::vip::{Network, Vip};

use super::members::stranger;
use super::net::{Net, OPEN, VERSION_1};
use super::{echo_request, icmp_kind, network, udp, vip};
use crate::engine::{DropReason, Event, MessageFailure, Refusal, SendError, TunnelState, Version};
use crate::known_peers::Distrust;

const BERLIN: &str = "10.8.0.0/24";

fn berlin() -> Network {
    BERLIN.parse().unwrap()
}

fn in_berlin(number: u8) -> Vip {
    [10, 8, 0, number].into()
}

fn remote(network: &str, hub: &str, num_hops: Option<u8>) -> RemoteNetwork {
    RemoteNetwork { network: network.parse().unwrap(), hub: hub.parse().ok(), num_hops }
}

fn welcome(vip: Vip, network: Network, networks: Vec<RemoteNetwork>) -> Control {
    let welcome = Welcome { vip, network, name: None, is_closed: true, time: 0, networks };
    Control::Welcome(Box::new(welcome))
}

/// Two members, each of a hub of its own.
fn federated() -> (Net, Vec<Channel>) {
    let mut net = Net::new(2);
    let mut channels = net.become_members(true);
    net.hub.clients.remove(&vip(1));
    net.hub.clients.insert(in_berlin(5), 1);
    net.nodes[1].vip = in_berlin(5);
    let to_berlin = vec![remote(BERLIN, "berlin", Some(1))];
    net.say(0, &mut channels[0], &welcome(vip(0), network(), to_berlin));
    let home = vec![remote("10.7.0.0/16", "home", Some(1))];
    net.say(1, &mut channels[1], &welcome(in_berlin(5), berlin(), home));
    (net, channels)
}

fn gone(vip: Vip, why: GoneReason) -> Control {
    Control::Gone(Gone::new(vip, why))
}

/// The members of Berlin, as node 0 is told of them.
fn listing(nodes: Vec<Listed>) -> Control {
    let network = Some(berlin());
    Control::Nodes(Nodes { network, is_snapshot: true, nodes, is_done: true, ..Nodes::default() })
}

fn listed(net: &Net, vip: Vip, name: &str) -> Listed {
    let key = *net.nodes[1].identity.public();
    Listed { key, vip, name: name.parse().ok(), is_online: true }
}

/// What a hub that lies says to a member, and what is made of it.
pub(super) fn lies(net: &mut Net, channel: &mut Channel) {
    let networks = vec![remote(BERLIN, "berlin", Some(1)), remote("10.0.0.0/8", "all", Some(1))];
    net.say(0, channel, &Control::Networks(networks));
    let ours = listed(net, vip(1), "bob");
    net.say(0, channel, &listing(vec![ours]));
    net.nodes[0].unrouted = Some(berlin());
    net.say(0, channel, &Control::Networks(vec![remote(BERLIN, "berlin", Some(1))]));
    // A peer that is nobody's neighbour any more says something from there.
    net.hub.clients.remove(&vip(1));
    net.hub.clients.insert(in_berlin(5), 1);
    net.link_up(1, in_berlin(5));
    net.message(0, 1, in_berlin(5), b"opens").unwrap();
    net.run_ms(1_000);
    let sealed = super::seal(net, 1, 0, Kind::Packet, &udp(in_berlin(5), vip(0), b"from afar"));
    net.give(0, &sealed);
}

#[test]
fn hub_that_lies_gets_no_addresses() {
    let mut net = Net::new(2);
    let mut channels = net.become_members(false);
    lies(&mut net, &mut channels[0]);
    assert_eq!(net.drops(0, DropReason::BadNetwork), 1);
    assert_eq!(net.drops(0, DropReason::Misplaced), 1);
    assert_eq!(net.drops(0, DropReason::Unrouted), 1);
    assert!(net.nodes[0].packets.is_empty());
    assert_eq!(net.nodes[0].engine.networks().unwrap().iter().count(), 1);
    assert_eq!(net.nodes[0].engine.directory().unwrap().iter().count(), 0);
}

#[test]
fn packets_and_messages_pass_between_the_networks_of_two_hubs() {
    let (mut net, _channels) = federated();
    net.open(0, 1);
    net.message(0, 7, in_berlin(5), b"hello").unwrap();
    net.run_ms(1_000);
    assert_eq!(net.nodes[1].messages, [(vip(0), Some(Version::Two), b"hello".to_vec())]);
    let way = net.peer(0, 1).way;
    assert_eq!((way.hub.unwrap().as_str(), way.num_hops), ("berlin", Some(1)));
    let foreign = super::seal(&mut net, 1, 0, Kind::Packet, &udp(in_berlin(6), vip(0), b"not me"));
    net.give(0, &foreign);
    assert_eq!(net.drops(0, DropReason::InnerPacket), 1);
}

#[test]
fn addresses_that_are_nobodys_get_no_tunnel() {
    let (mut net, _channels) = federated();
    net.send(0, &udp(vip(0), berlin().hub(), b"to the hub"));
    net.send(0, &echo_request(vip(0), berlin().hub(), (1, 1), b"ping"));
    assert_eq!(net.drops(0, DropReason::HubProhibited), 2);
    let kinds: Vec<_> = net.nodes[0].answers.iter().map(|answer| icmp_kind(answer)).collect();
    assert_eq!(kinds, [(3, 13); 2]);
    net.send(0, &udp(vip(0), berlin().broadcast(), b"to all"));
    assert_eq!(net.drops(0, DropReason::Multicast), 1);
    net.send(0, &udp(vip(0), berlin().address(), b"to none"));
    net.send(0, &udp(vip(0), [10, 9, 0, 5].into(), b"to nowhere"));
    assert_eq!(net.drops(0, DropReason::NoRoute), 2);
    for to in [berlin().hub(), berlin().address(), berlin().broadcast(), [10, 9, 0, 5].into()] {
        assert_eq!(net.message(0, 1, to, b"x"), Err(SendError::NoPeer(to)));
        net.give(0, &super::s2c(vip(0), to, b"plain"));
    }
    assert_eq!(net.drops(0, DropReason::Misrouted), 4);
    assert_eq!(net.nodes[0].engine.peers(net.instant).count(), 0);
}

#[test]
fn where_no_way_leads_the_host_and_people_are_told_so() {
    let (mut net, mut channels) = federated();
    let lost = vec![remote(BERLIN, "berlin", None)];
    net.say(0, &mut channels[0], &Control::Networks(lost));
    net.send(0, &udp(vip(0), in_berlin(9), b"anybody there?"));
    net.message(0, 7, in_berlin(9), b"hello?").unwrap();
    assert!(net.nodes[0].answers.is_empty(), "the hub is asked");
    net.say(0, &mut channels[0], &gone(in_berlin(9), GoneReason::Unreachable));
    let kinds: Vec<_> = net.nodes[0].answers.iter().map(|answer| icmp_kind(answer)).collect();
    assert_eq!(kinds, [(3, 0)]);
    let why = MessageFailure::NoWay { network: berlin(), hub: "berlin".parse().ok() };
    assert_eq!(why.to_string(), "no way leads to the hub of 10.8.0.0/24 (berlin) now");
    assert_eq!(net.nodes[0].events.last(), Some(&Event::MessageFailed(7, why)));
}

#[test]
fn message_that_is_too_long_for_a_hub_fails_alone() {
    let (mut net, mut channels) = federated();
    net.open(0, 1);
    net.nodes[0].events.clear();
    net.message(0, 7, in_berlin(5), b"long").unwrap();
    net.message(0, 8, in_berlin(5), b"short").unwrap();
    net.say(0, &mut channels[0], &gone(in_berlin(5), GoneReason::TooLong));
    net.run_ms(1_000);
    let failed = Event::MessageFailed(7, MessageFailure::TooLong);
    assert_eq!(net.nodes[0].events, [failed, Event::MessageSent(8)]);
    assert_eq!(net.peer(0, 1).tunnel, TunnelState::Open);
}

#[test]
fn network_that_the_host_does_not_route_has_messages_only() {
    let (mut net, mut channels) = federated();
    net.open(0, 1);
    net.nodes[0].unrouted = Some(berlin());
    let networks = Control::Networks(vec![remote(BERLIN, "berlin", Some(1))]);
    net.say(0, &mut channels[0], &networks);
    let (to, from) = (net.packet(0, 1, b"out"), net.packet(1, 0, b"in"));
    net.send(0, &to);
    net.send(1, &from);
    net.message(0, 7, in_berlin(5), b"hello").unwrap();
    net.run_ms(1_000);
    assert_eq!(net.drops(0, DropReason::NoRoute), 1);
    assert_eq!(net.drops(0, DropReason::Unrouted), 1);
    assert!(net.nodes[0].packets.is_empty() && net.nodes[1].packets.is_empty());
    assert_eq!(net.nodes[1].messages.len(), 1);
}

#[test]
fn members_of_other_networks_go_by_the_name_of_their_hub() {
    let (mut net, mut channels) = federated();
    let bob = listed(&net, in_berlin(5), "bob");
    net.say(0, &mut channels[0], &listing(vec![bob]));
    let engine = &mut net.nodes[0].engine;
    assert!(engine.take_directory_changed());
    assert_eq!(engine.resolve("Bob.Berlin"), Ok(in_berlin(5)));
    assert!(engine.resolve("bob").is_err() && engine.resolve("bob.oslo").is_err());
    let names: Vec<_> = engine.names().map(|(vip, name)| format!("{vip} {name}")).collect();
    assert_eq!(names, ["10.8.0.5 bob.berlin"]);
    net.open(0, 1);
    let known = net.nodes[0].engine.known_peers().by_name("bob.berlin");
    assert_eq!(known.map(|known| known.vip), Some(in_berlin(5)), "bound once the key is proved");
    net.restart(0);
    assert_eq!(net.nodes[0].engine.resolve("bob.berlin"), Ok(in_berlin(5)), "and kept");
}

#[test]
fn members_of_two_hubs_with_one_name_have_no_names() {
    let (mut net, mut channels) = federated();
    let bob = listed(&net, in_berlin(5), "bob");
    net.say(0, &mut channels[0], &listing(vec![bob]));
    assert_eq!(net.nodes[0].engine.resolve("bob.berlin"), Ok(in_berlin(5)));
    // The own hub is called so as well, where it lists its own network.
    for other in ["10.9.0.0/24", &network().to_string()] {
        let both = vec![remote(BERLIN, "berlin", Some(1)), remote(other, "berlin", Some(1))];
        net.say(0, &mut channels[0], &Control::Networks(both));
        let engine = &mut net.nodes[0].engine;
        assert!(engine.resolve("bob.berlin").is_err(), "{other}");
        assert_eq!(engine.names().count(), 0, "{other}");
        assert_eq!(engine.directory().unwrap().iter().count(), 1, "by vIP it is there");
    }
    net.say(0, &mut channels[0], &Control::Networks(vec![remote(BERLIN, "berlin", Some(1))]));
    assert_eq!(net.nodes[0].engine.resolve("bob.berlin"), Ok(in_berlin(5)));
}

#[test]
fn claim_of_a_peer_elsewhere_is_no_name_of_this_network() {
    let (mut net, _channels) = federated();
    net.nodes[1].name = Some("bob".to_owned());
    let known = net.nodes[1].engine.known_peers().clone();
    net.nodes[1].start(known, &mut net.rng);
    net.link_up(1, in_berlin(5));
    net.message(0, 7, in_berlin(5), b"opens").unwrap();
    net.run_ms(1_000);
    let claimed = net.peer(0, 1).proven.unwrap().claimed_name;
    assert_eq!(claimed.as_deref(), Some("bob.berlin"));
    assert!(net.nodes[0].engine.resolve("bob").is_err());
    assert_eq!(net.nodes[0].engine.resolve("bob.berlin"), Ok(in_berlin(5)));
}

#[test]
fn key_that_the_list_of_another_network_does_not_name_is_refused() {
    let (mut net, mut channels) = federated();
    let other = Listed { key: stranger(), ..listed(&net, in_berlin(5), "bob") };
    net.say(0, &mut channels[0], &listing(vec![other]));
    net.open_unanswered(0, 1);
    let refusal = net.peer(0, 1).refusal;
    let is_expected =
        |refusal: &Refusal| matches!(refusal, Refusal::Untrusted(Distrust::NotListed { .. }));
    assert!(refusal.as_ref().is_some_and(is_expected), "{refusal:?}");
}

#[test]
fn list_of_another_network_does_not_replace_a_pin() {
    let (mut net, mut channels) = federated();
    net.open(0, 1);
    let other = Listed { key: stranger(), ..listed(&net, in_berlin(5), "bob") };
    net.say(0, &mut channels[0], &listing(vec![other]));
    let known = net.nodes[0].engine.known_peers().key_of(in_berlin(5)).unwrap();
    assert_eq!(known.key, *net.nodes[1].identity.public());
}

#[test]
fn network_that_is_not_listed_any_more_stays_in_the_tunnel() {
    let (mut net, mut channels) = federated();
    let bob = listed(&net, in_berlin(5), "bob");
    net.say(0, &mut channels[0], &listing(vec![bob]));
    net.open(0, 1);
    net.say(0, &mut channels[0], &Control::Networks(Vec::new()));
    let lost = net.nodes[0].engine.networks().unwrap().of(in_berlin(5)).unwrap();
    assert!(lost.is_routed && lost.told.num_hops.is_none());
    let packet = net.packet(0, 1, b"there again");
    net.say(0, &mut channels[0], &Control::Networks(vec![remote(BERLIN, "berlin", Some(2))]));
    net.send(0, &packet);
    net.run_ms(100);
    assert_eq!(net.nodes[1].packets, [packet], "the tunnel has outlived it");
}

#[test]
fn networks_of_the_last_welcome_count_after_a_new_join() {
    let (mut net, _channels) = federated();
    net.link_down(0);
    // It says nothing of Berlin.
    let _channel = net.become_member(0, true);
    let networks: Vec<_> = net.nodes[0].engine.networks().unwrap().iter().collect();
    assert_eq!(networks.len(), 1);
    assert!(networks[0].is_routed && networks[0].told.num_hops.is_none());
}

#[test]
fn at_a_plain_hub_messages_go_to_clients_of_any_other_hub() {
    for (config, version) in [(OPEN, Version::Two), (VERSION_1, Version::One)] {
        let mut net = Net::with_configs(1, &[OPEN, config]);
        net.link_down(1);
        net.link_up(1, in_berlin(5));
        net.message(0, 7, in_berlin(5), b"hello").unwrap();
        net.message(1, 8, vip(0), b"hi").unwrap();
        net.run_ms(10_000);
        assert_eq!(net.nodes[1].messages, [(vip(0), Some(version), b"hello".to_vec())]);
        assert_eq!(net.nodes[0].messages, [(in_berlin(5), Some(version), b"hi".to_vec())]);
        net.send(0, &udp(vip(0), in_berlin(5), b"IP"));
        assert_eq!(net.drops(0, DropReason::NoRoute), 1, "nobody told this host of that network");
        assert_eq!(net.peer(0, 1).way.num_hops, None);
    }
}
