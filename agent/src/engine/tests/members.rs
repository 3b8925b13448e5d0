//! Engines whose hub has members.

use dosp_proto::frame::FrameType;
use dosp_proto::identity::{IdentityKey, PublicKey};
use dosp_proto::member::{
    Answerer, Channel, Control, Dialler, Gone, GoneReason, Node as Listed, Nodes, Purpose, Refusal,
    Refused, Welcome,
};
use dosp_proto::tunnel::v2::Kind;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::net::{Net, OPEN, VERSION_1};
use super::{network, plain_frame, s2c, vip};
use crate::engine::{DropReason, Event, PlaceChange, SendError, TunnelState};
use crate::known_peers::Distrust;
use crate::link::Membership;

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];

impl Net {
    /// Makes all nodes members; the hub's ends of their channels are returned, by node.
    pub(super) fn become_members(&mut self, is_closed: bool) -> Vec<Channel> {
        (0..self.nodes.len()).map(|i| self.become_member(i, is_closed)).collect()
    }

    pub(super) fn become_member(&mut self, i: usize, is_closed: bool) -> Channel {
        let mut rng = StdRng::seed_from_u64(100);
        let hub = IdentityKey::generate(&mut rng);
        let identity = self.nodes[i].identity.clone();
        let (dialler, first) =
            Dialler::start(Purpose::Join, &identity, b"greeting", &mut rng).unwrap();
        let (answerer, second) =
            Answerer::answer(&hub, b"greeting", &first[5..], &mut rng).unwrap();
        let (third, ours) = dialler.read_answer(&identity, &second[5..]).unwrap().finish().unwrap();
        let (_, theirs) = answerer.finish(&third[5..]).unwrap();
        let name = NAMES[i].parse().ok();
        let welcome = Welcome {
            vip: self.nodes[i].vip,
            network: network(),
            name,
            is_closed,
            time: 0,
            networks: Vec::new(),
        };
        let membership = Membership { channel: ours, hub_key: *hub.public(), welcome };
        self.nodes[i].engine.become_member(membership);
        self.link_up(i, self.nodes[i].vip);
        theirs
    }

    /// The hub says something to node `i`.
    pub(super) fn say(&mut self, i: usize, channel: &mut Channel, word: &Control) {
        let mut frame = Vec::new();
        channel.sealer.seal(word, &mut frame);
        self.give(i, &frame);
    }

    /// The list that the hub should give out.
    pub(super) fn listed(&self) -> Vec<Listed> {
        let listed = |(i, node): (usize, &super::net::Node)| Listed {
            key: *node.identity.public(),
            vip: node.vip,
            name: NAMES[i].parse().ok(),
            is_online: true,
        };
        self.nodes.iter().enumerate().map(listed).collect()
    }

    fn tell_all(&mut self, channels: &mut [Channel], nodes: &[Listed]) {
        for (i, channel) in channels.iter_mut().enumerate() {
            self.say(i, channel, &directory(nodes.to_vec()));
        }
    }
}

fn directory(nodes: Vec<Listed>) -> Control {
    Control::Nodes(Nodes { is_snapshot: true, nodes, is_done: true, ..Nodes::default() })
}

pub(super) fn stranger() -> PublicKey {
    *IdentityKey::generate(&mut StdRng::seed_from_u64(55)).public()
}

#[test]
fn control_counts_only_when_it_is_sealed() {
    let mut net = Net::new(1);
    let mut channels = net.become_members(true);
    for frame_type in [FrameType::MSG, FrameType::GCL, FrameType::SA, FrameType::AIP] {
        net.give(0, &plain_frame(frame_type, b"in the open"));
    }
    assert_eq!(net.drops(0, DropReason::Unsealed), 4);
    assert!(net.nodes[0].broadcasts.is_empty());
    let word = Control::Frame(FrameType::MSG, b"sealed".to_vec());
    net.say(0, &mut channels[0], &word);
    assert_eq!(net.nodes[0].broadcasts, [b"sealed"]);
}

#[test]
fn what_members_ask_of_the_hub_is_sealed() {
    let mut net = Net::new(1);
    let mut channels = net.become_members(true);
    let now = net.now(0);
    net.nodes[0].engine.send_to_hub(1, b"for you alone", now.instant).unwrap();
    let bytes = net.transmit(0, 4096);
    let mut decoder = dosp_proto::frame::FrameDecoder::new(4096);
    decoder.extend(&bytes);
    let frame = decoder.next_frame().unwrap().unwrap();
    assert_eq!(frame.frame_type(), FrameType::XCTL);
    let word = channels[0].opener.open(frame.body());
    assert_eq!(word, Ok(Control::Frame(FrameType::MSG, b"for you alone".to_vec())));
}

#[test]
fn changed_word_ends_the_link() {
    let mut net = Net::new(1);
    let mut channels = net.become_members(true);
    let mut frame = Vec::new();
    channels[0].sealer.seal(&Control::Ping, &mut frame);
    *frame.last_mut().unwrap() ^= 1;
    net.give(0, &frame);
    assert!(matches!(net.nodes[0].events.last(), Some(Event::Place(PlaceChange::Tampered(_)))));
}

#[test]
fn names_of_the_list_are_resolved_and_follow_a_rename() {
    let mut net = Net::new(2);
    let mut channels = net.become_members(true);
    let mut nodes = net.listed();
    net.tell_all(&mut channels, &nodes);
    let engine = &mut net.nodes[0].engine;
    assert_eq!(engine.resolve("bob"), Ok(vip(1)));
    assert!(engine.take_directory_changed() && !engine.take_directory_changed());
    net.open(0, 1);
    let known = net.nodes[0].engine.known_peers().by_name("bob");
    assert_eq!(known.map(|known| known.vip), Some(vip(1)), "bound once the key is proved");
    nodes[1].name = "robert".parse().ok();
    net.tell_all(&mut channels, &nodes);
    assert_eq!(net.nodes[0].engine.resolve("robert"), Ok(vip(1)));
    assert!(net.nodes[0].engine.resolve("bob").is_err());
}

#[test]
fn hub_cannot_give_a_known_name_to_another_key() {
    let mut net = Net::new(3);
    let mut channels = net.become_members(true);
    let mut nodes = net.listed();
    net.tell_all(&mut channels, &nodes);
    net.open(0, 1);
    (nodes[1].name, nodes[2].name) = (None, "bob".parse().ok());
    net.tell_all(&mut channels, &nodes);
    let error = net.nodes[0].engine.resolve("bob").unwrap_err().to_string();
    assert!(error.starts_with("the name 'bob' is the key "), "{error}");
    let names: Vec<_> = net.nodes[0].engine.names().map(|(_, name)| name.to_string()).collect();
    assert_eq!(names, ["alice"], "programs get no disputed name either");
}

#[test]
fn key_that_the_list_does_not_name_is_refused_and_a_pin_is_stronger_than_the_list() {
    let mut net = Net::new(2);
    let mut channels = net.become_members(true);
    let mut nodes = net.listed();
    nodes[1].key = stranger();
    net.tell_all(&mut channels, &nodes);
    net.open_unanswered(0, 1);
    let refused = |refusal: &crate::engine::Refusal| {
        matches!(refusal, crate::engine::Refusal::Untrusted(Distrust::NotListed { .. }))
    };
    assert!(net.peer(0, 1).refusal.as_ref().is_some_and(refused));
    assert_eq!(net.nodes[0].engine.known_peers().iter().count(), 0, "and nothing is pinned");

    let mut net = Net::new(2);
    net.open(0, 1);
    let mut channels = net.become_members(true);
    net.replace(1);
    channels[1] = net.become_member(1, true);
    // The hub lists the new key; the old one was addressed from here.
    let nodes = net.listed();
    net.tell_all(&mut channels, &nodes);
    net.run_ms(200_000);
    net.open_unanswered(0, 1);
    let changed = |refusal: &crate::engine::Refusal| {
        matches!(refusal, crate::engine::Refusal::Untrusted(Distrust::Changed { .. }))
    };
    assert!(net.peer(0, 1).refusal.as_ref().is_some_and(changed));
}

#[test]
fn moved_node_keeps_its_tunnels() {
    let mut net = Net::new(2);
    let mut channels = net.become_members(true);
    net.open(0, 1);
    let to = vip(20);
    net.hub.clients.remove(&vip(1));
    net.hub.clients.insert(to, 1);
    net.nodes[1].vip = to;
    let welcome = Welcome {
        vip: to,
        network: network(),
        name: "bob".parse().ok(),
        is_closed: true,
        time: 0,
        networks: Vec::new(),
    };
    net.say(1, &mut channels[1], &Control::Welcome(Box::new(welcome)));
    let moved =
        |event: &Event| matches!(event, Event::Place(PlaceChange::Moved(place)) if place.vip == to);
    assert!(net.nodes[1].events.iter().any(moved));
    // It opens again by itself, and nothing is sent from here meanwhile.
    net.run_ms(2_000);
    assert_eq!(net.peer(0, 1).tunnel, TunnelState::Open);
    let packet = net.packet(0, 1, b"to the new place");
    net.send(0, &packet);
    net.run_ms(100);
    assert_eq!(net.nodes[1].packets.last(), Some(&packet));
}

#[test]
fn packet_for_who_is_gone_is_answered_at_once() {
    let mut net = Net::new(1);
    let mut channels = net.become_members(true);
    let packet = super::udp(vip(0), vip(9), b"anybody there?");
    net.send(0, &packet);
    assert!(net.nodes[0].answers.is_empty());
    let gone = Gone::new(vip(9), GoneReason::Offline);
    net.say(0, &mut channels[0], &Control::Gone(gone));
    assert_eq!(net.nodes[0].answers.len(), 1, "host unreachable");
    assert_eq!(net.drops(0, DropReason::Unreachable), 1);
}

#[test]
fn nobody_speaks_version_1_in_a_closed_network() {
    let mut net = Net::with_configs(1, &[OPEN, VERSION_1]);
    net.become_members(true);
    net.open_unanswered(0, 1);
    net.open_unanswered(1, 0);
    net.give(0, &s2c(vip(0), vip(1), b"plain words"));
    assert!(net.nodes[0].messages.is_empty());
    assert!(net.drops(0, DropReason::PlainInTunnel) > 0);
    let now = net.now(0).instant;
    assert_eq!(
        net.nodes[0].engine.send_plain(1, vip(1), b"x", now),
        Err(SendError::SealedOnly(vip(1)))
    );
}

#[test]
fn clients_beside_members_are_spoken_to_as_before() {
    let mut net = Net::with_configs(1, &[OPEN, VERSION_1]);
    net.become_member(0, false);
    net.message(0, 7, vip(1), b"hello").unwrap();
    net.run_ms(10_000);
    assert_eq!(net.nodes[1].messages.len(), 1, "version 1, for raw messages");
}

#[test]
fn gone_does_not_end_a_session() {
    let mut net = Net::new(2);
    let mut channels = net.become_members(true);
    net.open(0, 1);
    let gone = Gone::new(vip(1), GoneReason::Offline);
    net.say(0, &mut channels[0], &Control::Gone(gone));
    let sealed = super::seal(&mut net, 1, 0, Kind::Message, b"still here");
    net.give(0, &sealed);
    assert_eq!(net.nodes[0].messages.len(), 1);
}

#[test]
fn hub_can_neither_give_an_impossible_vip_nor_write_into_the_log() {
    let mut net = Net::new(1);
    let mut channels = net.become_members(true);
    for octets in [[127, 0, 0, 1], [0, 0, 0, 0], [8, 8, 8, 8], network().broadcast().octets()] {
        let welcome = Welcome {
            vip: octets.into(),
            network: network(),
            name: None,
            is_closed: false,
            time: 0,
            networks: Vec::new(),
        };
        net.say(0, &mut channels[0], &Control::Welcome(Box::new(welcome)));
    }
    assert!(net.nodes[0].events.is_empty());
    assert_eq!(net.nodes[0].engine.overlay().map(|place| place.vip), Some(vip(0)));
    assert!(net.nodes[0].engine.is_in_closed_network(), "and nothing else of it counts");
    let refused =
        Refused { reason: Refusal::Kicked, text: format!("\x1b[2J{}", "x".repeat(1000)), time: 0 };
    net.say(0, &mut channels[0], &Control::Refused(refused));
    let Some(Event::Place(PlaceChange::Dismissed(said))) = net.nodes[0].events.last() else {
        panic!()
    };
    assert!(said.text.starts_with("\\u{1b}[2Jx") && said.text.len() < 300, "{}", said.text);
}

#[test]
fn peer_that_said_goodbye_is_missed_at_once() {
    let mut net = Net::new(2);
    let mut channels = net.become_members(true);
    net.open(0, 1);
    let now = net.now(1);
    net.nodes[1].engine.say_goodbye(now, &mut StdRng::seed_from_u64(1));
    net.pump(1);
    net.run_ms(100);
    assert_eq!(net.peer(0, 1).tunnel, TunnelState::None);
    net.link_down(1);
    let packet = net.packet(0, 1, b"anybody there?");
    net.send(0, &packet);
    let gone = Gone::new(vip(1), GoneReason::Offline);
    net.say(0, &mut channels[0], &Control::Gone(gone));
    assert_eq!(net.nodes[0].answers.len(), 1, "host unreachable, though it was there just now");
}
