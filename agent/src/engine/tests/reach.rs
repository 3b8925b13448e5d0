//! Peers that are offline, silent or refuse.

use super::hub::undeliverable;
use super::net::Net;
use super::{icmp_kind, s2c, udp, vip};
use crate::engine::{DropReason, Event, Refusal, TunnelState};

#[test]
fn offline_peer_is_reported_and_reached_when_it_comes() {
    let mut net = Net::new(2);
    net.link_down(1);
    let packet = net.packet(0, 1, b"anybody there?");
    net.send(0, &packet);
    net.run_ms(25);
    assert_eq!(net.nodes[0].answers.len(), 1, "after one round trip to the hub");
    assert_eq!(icmp_kind(&net.nodes[0].answers[0]), (3, 1));
    assert_eq!(net.nodes[0].answers[0][28..], packet[..]);
    assert_eq!(net.drops(0, DropReason::Unreachable), 1);
    net.run_ms(20_000);
    net.link_up(1, vip(1));
    net.run_ms(6_500);
    assert_eq!(net.peer(0, 1).tunnel, TunnelState::Open, "the opening went on");
    net.send(0, &packet);
    net.run_ms(50);
    assert_eq!(net.nodes[1].packets, [packet]);
}

#[test]
fn opening_to_an_offline_peer_is_given_up_and_made_anew() {
    let mut net = Net::new(2);
    net.link_down(1);
    let packet = net.packet(0, 1, b"");
    net.send(0, &packet);
    net.run_ms(100_000);
    assert_eq!(net.peer(0, 1).tunnel, TunnelState::None);
    assert_eq!(net.nodes[0].engine.poll_timeout(), None);
    net.send(0, &packet);
    net.run_ms(50);
    assert_eq!(net.nodes[0].answers.len(), 2);
    assert_eq!(net.peer(0, 1).tunnel, TunnelState::Opening);
}

#[test]
fn unreachable_is_said_ten_times_a_second_at_most() {
    let mut net = Net::new(1);
    for millis in 0..10_000u32 {
        net.send(0, &udp(vip(0), vip(100 + millis % 50), b""));
        net.run_ms(1);
    }
    net.run_ms(1000);
    let said = net.nodes[0].answers.len();
    assert!((50..=120).contains(&said), "{said}");
    let lost = net.drops(0, DropReason::Unreachable) + net.drops(0, DropReason::StagedTooMany);
    assert_eq!(lost, 10_000, "each is counted all the same");
}

#[test]
fn silent_peer_is_reported_after_five_seconds_and_again() {
    let mut net = Net::new(2);
    net.hub.faults.lose = 1000;
    let packet = net.packet(0, 1, b"");
    net.send(0, &packet);
    net.run_ms(4_990);
    assert!(net.nodes[0].answers.is_empty());
    net.run_ms(20);
    assert_eq!(net.nodes[0].answers.len(), 1);
    net.send(0, &packet);
    net.run_ms(1_010);
    assert_eq!(net.nodes[0].answers.len(), 2);
    net.hub.faults.lose = 0;
    net.send(0, &packet);
    net.run_ms(6_500);
    net.send(0, &packet);
    net.run_ms(100);
    assert!(net.nodes[1].packets.contains(&packet), "the opening went on");
}

#[test]
fn refusal_is_said_once_and_changes_nothing() {
    let mut net = Net::new(2);
    net.hub.faults.lose = 1000;
    let packet = net.packet(0, 1, b"");
    for _ in 0..3 {
        net.send(0, &packet);
        net.give(0, &s2c(vip(0), vip(1), b"\x15\xFFno\x1b[31m"));
    }
    let refusal = Refusal::Other("no\\u{1b}[31m".to_owned());
    let refused = Event::Refused(vip(1), refusal.clone());
    assert_eq!(net.nodes[0].events, [refused], "once, and safe to print");
    assert_eq!(net.nodes[0].answers.len(), 3);
    assert_eq!(net.peer(0, 1).refusal, Some(refusal));
    net.hub.faults.lose = 0;
    net.run_ms(7_000);
    net.send(0, &packet);
    net.run_ms(100);
    assert_eq!(net.nodes[1].packets, [packet], "nobody vouches for a refusal");
}

#[test]
fn hub_cannot_talk_an_open_tunnel_down() {
    let mut net = Net::new(2);
    net.open(0, 1);
    let packets: Vec<_> = (0..50u8).map(|number| net.packet(0, 1, &[number])).collect();
    for packet in &packets {
        net.queue(0, packet);
        net.give(0, &undeliverable(vip(1)));
        net.give(0, &s2c(vip(0), vip(1), b"\x15\xFFgo away"));
        net.run_ms(20);
    }
    net.run_ms(100);
    assert_eq!(net.nodes[1].packets, packets);
    assert!(net.nodes[0].answers.is_empty());
}
