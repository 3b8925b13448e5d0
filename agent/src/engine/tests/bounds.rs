//! Bounds on memory, and that every reason for a drop can happen.

use std::collections::BTreeSet;
use std::time::Duration;

use dosp_proto::frame::{DEFAULT_MAX_BODY_LEN, FrameDecoder, FrameType};
use dosp_proto::offload::VnetHeader;
use dosp_proto::secret::NetworkSecret;
use dosp_proto::tunnel::v2::Kind;

use super::net::{Net, OPEN, VERSION_1};
use super::{plain_frame, s2c, seal, udp, vip, with_options};
use crate::engine::{DropReason, EngineConfig, Event, TunnelState};

#[test]
fn peer_table_is_bounded_and_keeps_whoever_has_something_queued() {
    let mut net = Net::new(1);
    net.hub.faults.lose = 1000;
    net.queue(0, &udp(vip(0), vip(9_000), b"staged"));
    net.run_ms(10);
    for source in 1..=5_000 {
        net.give(0, &s2c(vip(0), vip(source), b"hello"));
        assert!(net.nodes[0].engine.peers(net.instant).count() <= 4_096);
    }
    assert_eq!(net.nodes[0].messages.len(), 5_000);
    let traffic = net.nodes[0].engine.traffic();
    assert_eq!(traffic.rx_frames, 5_000, "also of those that gave way");
    let waiting = net.nodes[0].engine.peers(net.instant).find(|peer| peer.queued_len > 0);
    assert_eq!(waiting.unwrap().vip, vip(9_000));
}

#[test]
fn full_peer_table_takes_nobody_new_and_recovers() {
    let mut net = Net::new(1);
    for peer in 1..=4_096 {
        net.queue(0, &udp(vip(0), vip(peer), b"staged"));
    }
    net.queue(0, &udp(vip(0), vip(5_000), b"one too many"));
    net.give(0, &s2c(vip(0), vip(5_001), b"one too many"));
    let refused = net.message(0, 1, vip(5_000), b"x");
    assert_eq!(refused, Err(crate::engine::SendError::Busy(vip(5_000))));
    assert_eq!(net.drops(0, DropReason::TooManyPeers), 2);
    net.run_ms(100);
    net.message(0, 2, vip(5_000), b"x").unwrap();
    net.run_ms(100);
    assert!(net.nodes[0].events.iter().any(|event| matches!(event, Event::MessageFailed(2, _))));
}

#[test]
fn evicted_tunnel_is_opened_again() {
    let mut net = Net::version_1(2);
    net.open(0, 1);
    net.run_ms(10);
    for source in 2..=4_200 {
        net.give(0, &s2c(vip(0), vip(source), b"hello"));
    }
    let known = net.nodes[0].engine.peers(net.instant).any(|peer| peer.vip == vip(1));
    assert!(!known);
    let packet = net.packet(1, 0, b"remember me?");
    for _ in 0..5 {
        net.send(1, &packet);
        net.run_ms(1_000);
    }
    assert!(net.nodes[0].packets.contains(&packet));
    assert_eq!(net.peer(0, 1).tunnel, TunnelState::Open);
}

#[test]
fn answers_to_the_hub_wait_within_bounds_though_it_reads_nothing() {
    let mut net = Net::new(1);
    let (now, legacy) = (net.now(0), [0x15; 17]);
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_BODY_LEN);
    for _ in 0..300_000 {
        decoder.extend(&s2c(vip(0), vip(1), &legacy));
        let frame = decoder.next_frame().unwrap().unwrap();
        net.nodes[0].engine.handle_frame(frame, now, &mut net.rng);
    }
    let out = net.transmit(0, 1);
    assert!(out.len() <= 4 * 1024 * 1024 + 1024, "{}", out.len());
}

/// All but [`DropReason::TunWrite`], which only the TUN itself knows.
#[test]
fn every_drop_reason_happens() {
    let shielded = EngineConfig { shields_up: true, ..VERSION_1 };
    let mut net = Net::with_configs(1, &[VERSION_1, VERSION_1, shielded]);
    bad_packets(&mut net);
    bad_frames(&mut net);
    full_queues(&mut net);
    let mut sealed = Net::with_configs(2, &[OPEN, OPEN, VERSION_1]);
    bad_sealed(&mut sealed);
    let mut handshakes = Net::with_configs(3, &[OPEN, OPEN, VERSION_1]);
    bad_handshakes(&mut handshakes);
    let mut member = Net::new(2);
    let mut channels = member.become_members(true);
    member.give(0, &plain_frame(FrameType::MSG, b"not sealed"));
    super::federation::lies(&mut member, &mut channels[0]);
    let nodes = [net, sealed, handshakes, member].into_iter().flat_map(|net| net.nodes);
    let drops = nodes.flat_map(|node| node.engine.drops().iter().collect::<Vec<_>>());
    let seen: BTreeSet<_> = drops.map(|(why, _)| why).collect();
    let missing: Vec<_> = DropReason::ALL.iter().filter(|why| !seen.contains(why)).collect();
    assert_eq!(missing, [&DropReason::TunWrite]);
    let names: BTreeSet<_> = DropReason::ALL.iter().map(|why| why.name()).collect();
    assert_eq!(names.len(), DropReason::ALL.len());
}

fn bad_packets(net: &mut Net) {
    let good = net.packet(0, 1, b"");
    net.queue_offloaded(0, VnetHeader { gso_type: 0x7F, ..VnetHeader::default() }, &good);
    net.send(0, b"not ipv4");
    net.send(0, &with_options(good));
    net.send(0, &udp(vip(0), [224, 0, 0, 1].into(), b""));
    net.send(0, &udp(vip(1), vip(2), b""));
    net.send(0, &udp(vip(0), [8, 8, 8, 8].into(), b""));
    net.send(0, &udp(vip(0), super::network().hub(), b""));
    net.send(0, &udp(vip(0), vip(9), b"unreachable"));
    let shielded = net.packet(0, 2, b"");
    net.send(0, &shielded);
    net.run_ms(100);
}

fn bad_frames(net: &mut Net) {
    net.open(0, 1);
    let packet = net.packet(1, 0, b"");
    // One frame more than from the other side: a number that node 1 still waits for.
    net.send(1, &packet);
    net.run_ms(100);
    let is_of_1 = |frame: &&Vec<u8>| frame[9..13] == vip(1).octets();
    let last = net.hub.recorded.iter().rfind(is_of_1).unwrap().clone();
    net.give(0, &last);
    net.give(1, &s2c(vip(1), vip(0), &last[13..]));
    net.give(0, &plain_frame(FrameType::GCL, b""));
    net.give(0, &s2c(vip(1), vip(0), b"misrouted"));
    net.give(0, &s2c(vip(0), vip(1), b"plain"));
    net.give(0, &s2c(vip(0), vip(1), &[0x15; 17]));
    net.hub.faults.flip = 1000;
    // A bit of the number makes it another number; any other one makes the frame a forgery.
    (0..50).for_each(|_| net.send(1, &packet));
    net.run_ms(100);
    net.hub.faults.flip = 0;
}

fn bad_sealed(net: &mut Net) {
    net.open(0, 1);
    let early = seal(net, 0, 1, Kind::Message, b"early");
    let frame = seal(net, 0, 1, Kind::Message, b"twice");
    (0..2).for_each(|_| net.give(1, &frame));
    for _ in 0..70_000 {
        seal(net, 0, 1, Kind::Keepalive, b"");
    }
    let late = seal(net, 0, 1, Kind::Message, b"far ahead");
    net.give(1, &late);
    net.give(1, &early);
    let mut beyond = late;
    beyond[13 + 7] = 0x80;
    net.give(1, &beyond);
    let unknown = seal(net, 0, 1, Kind::Control, b"?");
    net.give(1, &unknown);
    let foreign = seal(net, 0, 1, Kind::Packet, &udp(vip(7), vip(1), b"in another's name"));
    net.give(1, &foreign);
    net.run_ms(200_000);
    net.give(1, &early);
}

fn bad_handshakes(net: &mut Net) {
    let packet = net.packet(0, 2, b"no IP in version 1");
    net.send(0, &packet);
    net.run_ms(5_000);
    net.open(0, 1);
    net.replace(1);
    net.open_unanswered(0, 1);
    net.nodes[1].secrets = vec![NetworkSecret::generate(&mut net.rng)];
    net.restart(1);
    net.open_unanswered(0, 1);
}

fn full_queues(net: &mut Net) {
    net.run_ms(10_000);
    net.open(2, 1);
    let packet = net.packet(1, 2, &[0; 1000]);
    (0..5_000).for_each(|_| net.queue(1, &packet));
    // The link takes a packet now and then, and the others have waited for too long.
    for _ in 0..2 {
        net.instant += Duration::from_millis(150);
        net.transmit(1, 1);
    }
    net.link_down(1);
    net.link_up(1, vip(7));
    for peer in 10..=4_200 {
        net.queue(0, &udp(vip(0), vip(peer), b"staged"));
    }
}
