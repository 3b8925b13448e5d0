//! Links that come and go, agents that restart, clocks and addresses that change.

use super::net::Net;
use super::{icmp_kind, vip};
use crate::engine::{DropReason, Event, Refusal, TunnelState};

#[test]
fn both_may_open_at_once() {
    let mut net = Net::new(2);
    net.nodes[1].delays[0] *= 7;
    let (there, back) = (net.packet(0, 1, b"there"), net.packet(1, 0, b"back"));
    for _ in 0..3 {
        net.send(0, &there);
        net.send(1, &back);
    }
    net.run_ms(1_000);
    assert_eq!((net.nodes[1].packets.len(), net.nodes[0].packets.len()), (3, 3));
    net.open(0, 1);
}

#[test]
fn restarted_peer_is_reached_again_though_it_sends_nothing() {
    for restarted in [0, 1] {
        let mut net = Net::new(2);
        net.open(0, 1);
        net.restart(restarted);
        let other = 1 - restarted;
        let packet = net.packet(other, restarted, b"are you there?");
        for _ in 0..10 {
            net.send(other, &packet);
            net.run_ms(1_000);
        }
        assert!(net.nodes[restarted].packets.contains(&packet));
        net.open(0, 1);
    }
}

#[test]
fn restarted_agent_that_sends_first_is_heard_at_once() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.restart(0);
    net.open(0, 1);
}

#[test]
fn staged_packets_go_out_as_soon_as_the_link_is_back() {
    let mut net = Net::version_1(2);
    net.open(0, 1);
    net.link_down(0);
    let packets: Vec<_> = (0..70u8).map(|number| net.packet(0, 1, &[number])).collect();
    packets.iter().for_each(|packet| net.send(0, packet));
    net.run_ms(60_000);
    assert!(net.nodes[0].answers.is_empty(), "a lost link says nothing about a peer");
    net.link_up(0, vip(0));
    net.run_ms(100);
    assert_eq!(net.nodes[1].packets, packets[6..]);
}

#[test]
fn queued_packets_of_a_lost_link_stay_in_order_and_few() {
    let mut net = Net::new(2);
    net.open(0, 1);
    let packets: Vec<_> = (0..100u8).map(|number| net.packet(0, 1, &[number])).collect();
    packets.iter().for_each(|packet| net.queue(0, packet));
    net.link_down(0);
    assert_eq!(net.drops(0, DropReason::StagedTooMany), 36);
    net.link_up(0, vip(0));
    net.run_ms(100);
    assert_eq!(net.nodes[1].packets, packets[36..]);
}

#[test]
fn packets_staged_under_an_old_vip_are_dropped() {
    let mut net = Net::new(2);
    net.link_down(0);
    let packet = net.packet(0, 1, b"from where?");
    (0..3).for_each(|_| net.send(0, &packet));
    net.link_up(0, vip(5));
    assert_eq!(net.drops(0, DropReason::Readdressed), 3);
    net.send(0, &packet);
    assert_eq!(net.drops(0, DropReason::ForeignSource), 1);
    net.open(0, 1);
    assert!(net.nodes[1].packets.is_empty());
}

#[test]
fn swapped_vips_deliver_nothing_to_the_wrong_one_and_traffic_goes_on() {
    let mut net = Net::version_1(3);
    for (i, j) in [(0, 1), (0, 2), (1, 2)] {
        net.open(i, j);
    }
    // Under way, sealed for the one that had this vIP.
    let for_old_owner = net.packet(2, 0, b"for the first");
    net.send(2, &for_old_owner);
    net.swap_vips(0, 1);
    net.run_ms(100);
    assert!(net.nodes[1].packets.is_empty() && net.nodes[1].messages.is_empty());
    for _ in 0..10 {
        for (i, j) in [(2, 0), (2, 1), (0, 1), (1, 0)] {
            let packet = net.packet(i, j, &[u8::try_from(i * 10 + j).unwrap()]);
            net.send(i, &packet);
        }
        net.run_ms(1_000);
    }
    for (i, j) in [(2, 0), (2, 1), (0, 1), (1, 0)] {
        let packet = net.packet(i, j, &[u8::try_from(i * 10 + j).unwrap()]);
        assert!(net.nodes[j].packets.contains(&packet), "{i} to {j}");
    }
    assert!(net.nodes.iter().all(|node| !node.packets.contains(&for_old_owner)));
    let sealed =
        |node: &super::net::Node| node.messages.iter().any(|(_, version, _)| version.is_some());
    assert!(!net.nodes.iter().any(sealed));
}

#[test]
fn wrong_clock_is_refused_and_said() {
    let mut net = Net::version_1(2);
    net.nodes[1].unix_time -= 400;
    let packet = net.packet(0, 1, b"what time is it?");
    net.send(0, &packet);
    net.run_ms(100);
    let refusal = Event::Refused(vip(1), Refusal::Other("clock differs by 400 s".to_owned()));
    assert_eq!(net.nodes[0].events, [refusal]);
    assert_eq!(icmp_kind(&net.nodes[0].answers[0]), (3, 1));
    assert_eq!(net.drops(1, DropReason::Handshake), 1);
    assert_eq!(net.peer(1, 0).tunnel, TunnelState::None);
    net.nodes[1].unix_time += 101;
    net.run_ms(7_000);
    net.open(0, 1);
}

#[test]
fn peer_that_left_and_came_back_is_reached_by_both_ends() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.link_down(1);
    let packet = net.packet(0, 1, b"into the void");
    for _ in 0..200 {
        net.send(0, &packet);
    }
    net.run_ms(1_000);
    net.link_up(1, vip(1));
    for _ in 0..4 {
        net.send(0, &packet);
        net.run_ms(1_000);
    }
    assert!(net.nodes[1].packets.contains(&packet));
    net.nodes[1].packets.clear();
    net.open(1, 0);
}
