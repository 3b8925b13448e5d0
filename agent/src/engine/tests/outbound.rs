//! From the local host to the hub.

use std::time::Duration;

use dosp_proto::frame::{DEFAULT_MAX_BODY_LEN, FrameDecoder};
use dosp_proto::offload::Offload;
use dosp_proto::packet::Ipv4Packet;
use dosp_proto::vip::Vip;
use etherparse::{IcmpEchoHeader, Icmpv4Slice, Icmpv4Type};

use super::net::Net;
use super::{echo_request, icmp_kind, network, udp, vip, with_options};
use crate::engine::{DropReason, Event, TunnelState};

#[test]
fn first_packet_opens_the_tunnel_and_is_delivered() {
    let mut net = Net::new(2);
    let packet = net.packet(0, 1, b"first");
    net.send(0, &packet);
    assert_eq!(net.peer(0, 1).tunnel, TunnelState::Opening);
    net.run_ms(100);
    assert_eq!(net.nodes[1].packets, [packet]);
    for (i, peer) in [(0, vip(1)), (1, vip(0))] {
        assert!(matches!(&net.nodes[i].events[..], [Event::TunnelOpen(open)] if open.vip == peer));
    }
    let report = net.peer(0, 1);
    // Two for the handshake.
    assert_eq!((report.tunnel, report.tx_frames, report.queued_len), (TunnelState::Open, 3, 0));
    let other = net.peer(1, 0);
    assert_eq!((other.rx_frames, other.rx_bytes), (report.tx_frames, report.tx_bytes));
    assert_eq!((report.rx_frames, report.rx_bytes), (other.tx_frames, other.tx_bytes));
    assert_eq!(net.peer(1, 0).verified_ago, Some(Duration::from_millis(40)));
    assert_eq!(net.hub.leaks, 0);
    let largest = net.packet(1, 0, &vec![7; 65_535 - 28 - super::MARKER.len()]);
    net.send(1, &largest);
    net.run_ms(100);
    assert_eq!(net.nodes[0].packets, [largest]);
}

#[test]
fn staged_packets_arrive_in_order_and_the_65th_displaces_the_oldest() {
    let mut net = Net::new(2);
    let packets: Vec<_> = (0..70u8).map(|number| net.packet(0, 1, &[number])).collect();
    packets.iter().for_each(|packet| net.send(0, packet));
    assert_eq!(net.drops(0, DropReason::StagedTooMany), 6);
    net.run_ms(100);
    assert_eq!(net.nodes[1].packets, packets[6..]);
}

#[test]
fn full_queue_drops_the_oldest_and_stays_bounded() {
    let mut net = Net::new(2);
    net.open(0, 1);
    let packets: Vec<_> = (0..5000u32)
        .map(|number| net.packet(0, 1, &[&number.to_be_bytes()[..], &[0; 1000]].concat()))
        .collect();
    packets.iter().for_each(|packet| net.queue(0, packet));
    let fitting = 4 * 1024 * 1024 / packets[0].len();
    assert_eq!(net.peer(0, 1).queued_len, fitting * packets[0].len());
    assert_eq!(net.drops(0, DropReason::QueueFull), 5000 - fitting as u64);
    net.pump(0);
    net.run_ms(100);
    assert!(net.nodes[1].packets == packets[5000 - fitting..]);
}

#[test]
fn small_datagrams_that_wait_go_as_one_frame() {
    let mut net = Net::new(2).with_super_packets();
    net.open(0, 1);
    net.nodes[1].offloads.clear();
    let contents: Vec<_> = (0..100u8).map(|number| [number; 64]).collect();
    for content in &contents {
        let packet = net.packet(0, 1, content);
        net.queue(0, &packet);
    }
    let sent_before = net.peer(0, 1).tx_frames;
    net.pump(0);
    net.run_ms(100);
    assert_eq!(net.peer(0, 1).tx_frames - sent_before, 2, "64 and 36");
    let is_super = |offload: &Offload| matches!(offload, Offload::SuperPacket(_));
    assert!(net.nodes[1].offloads.len() == 2 && net.nodes[1].offloads.iter().all(is_super));
    let came = net.nodes[1].packets.iter().map(|packet| &packet[28 + super::MARKER.len()..]);
    assert!(came.eq(contents.iter().map(|content| &content[..])));
    assert_eq!(net.peer(0, 1).queued_len, 0);
}

#[test]
fn flooding_peer_does_not_starve_another() {
    let mut net = Net::new(3);
    net.open(0, 1);
    net.open(0, 2);
    for to in [1, 2] {
        for _ in 0..200 {
            let packet = net.packet(0, to, &[0; 1000]);
            net.queue(0, &packet);
        }
    }
    let batch = net.transmit(0, 64 * 1024);
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_BODY_LEN);
    decoder.extend(&batch);
    let mut bytes_to = [0; 3];
    while let Some(frame) = decoder.next_frame().unwrap() {
        let s2c = frame.into_s2c().unwrap();
        bytes_to[net.hub.clients[&s2c.dst()]] += s2c.bytes().len();
    }
    assert!(bytes_to[1].abs_diff(bytes_to[2]) < 4 * 1024, "{bytes_to:?}");
    assert!(batch.len() < 64 * 1024 + 1200);
}

#[test]
fn what_is_no_packet_for_a_peer_is_counted_under_its_reason() {
    let mut net = Net::new(2);
    let (ours, peer) = (vip(0), vip(1));
    let addr = |text: &str| text.parse::<Vip>().unwrap();
    let good = udp(ours, peer, b"");
    let mut bad_checksum = good.clone();
    bad_checksum[8] ^= 1;
    let ipv6 = [vec![0x60], vec![0; 60]].concat();
    for (packet, reason) in [
        (vec![], DropReason::NotIpv4),
        (ipv6, DropReason::NotIpv4),
        (good[..19].to_vec(), DropReason::NotIpv4),
        (good[..good.len() - 1].to_vec(), DropReason::Malformed),
        (bad_checksum, DropReason::Malformed),
        (with_options(good), DropReason::Malformed),
        (udp(ours, network().broadcast(), b""), DropReason::Multicast),
        (udp(ours, addr("255.255.255.255"), b""), DropReason::Multicast),
        (udp(ours, addr("224.0.0.251"), b""), DropReason::Multicast),
        (udp(peer, peer, b""), DropReason::ForeignSource),
        (udp(addr("192.168.1.1"), peer, b""), DropReason::ForeignSource),
        (udp(ours, addr("8.8.8.8"), b""), DropReason::NoRoute),
        (udp(ours, network().address(), b""), DropReason::NoRoute),
        (udp(ours, ours, b""), DropReason::NoRoute),
    ] {
        let before = net.drops(0, reason);
        net.send(0, &packet);
        assert_eq!(net.drops(0, reason), before + 1, "{packet:?}");
    }
    assert_eq!(net.nodes[0].engine.peers(net.instant).count(), 0);
    net.run_ms(1000);
    assert!(net.hub.recorded.is_empty() && net.nodes[0].answers.is_empty());
}

#[test]
fn packet_before_the_first_link_has_no_route() {
    let mut net = Net::new(2);
    let known = net.nodes[0].engine.known_peers().clone();
    net.nodes[0].start(known, &mut net.rng);
    let packet = net.packet(0, 1, b"");
    net.send(0, &packet);
    assert_eq!(net.drops(0, DropReason::NoRoute), 1);
}

#[test]
fn echo_to_the_hub_is_answered_out_of_its_ping() {
    let mut net = Net::new(1);
    for seq in 0..50u16 {
        net.send(0, &echo_request(vip(0), network().hub(), (77, seq), &seq.to_be_bytes()));
        net.run_ms(1);
        let now = net.instant;
        net.nodes[0].engine.ping_hub(now);
    }
    assert!(net.nodes[0].answers.len() < 50, "not before the hub has answered");
    net.pump(0);
    net.run_ms(100);
    assert_eq!(net.nodes[0].answers.len(), 50);
    for (seq, answer) in (0..).zip(&net.nodes[0].answers) {
        let answer = Ipv4Packet::parse(answer).unwrap();
        assert_eq!((answer.src(), answer.dst()), (network().hub(), vip(0)));
        let icmp = Icmpv4Slice::from_slice(answer.payload()).unwrap();
        assert_eq!(icmp.icmp_type(), Icmpv4Type::EchoReply(IcmpEchoHeader { id: 77, seq }));
        assert_eq!(icmp.payload(), seq.to_be_bytes());
    }
    assert_eq!(net.nodes[0].engine.hub_rtt(), Some(Duration::from_millis(20)));
}

#[test]
fn echoes_under_way_to_the_hub_are_few() {
    let mut net = Net::new(1);
    let request = echo_request(vip(0), network().hub(), (1, 1), b"");
    (0..100).for_each(|_| net.send(0, &request));
    assert_eq!(net.drops(0, DropReason::HubProhibited), 36);
    net.run_ms(100);
    assert_eq!(net.nodes[0].answers.len(), 64);
    net.link_down(0);
    net.send(0, &request);
    assert_eq!(net.drops(0, DropReason::HubProhibited), 37);
    net.link_up(0, vip(0));
    net.run_ms(100);
    assert_eq!(net.nodes[0].answers.len(), 64, "an echo of an old link is not answered");
}

#[test]
fn anything_else_to_the_hub_is_prohibited() {
    let mut net = Net::new(1);
    (0..100).for_each(|_| net.send(0, &udp(vip(0), network().hub(), b"dns?")));
    assert_eq!(net.drops(0, DropReason::HubProhibited), 100);
    assert_eq!(net.nodes[0].answers.len(), 10, "and that is said ten times a second");
    assert!(net.nodes[0].answers.iter().all(|answer| icmp_kind(answer) == (3, 13)));
    net.run_ms(1000);
    assert!(net.hub.recorded.is_empty());
}
