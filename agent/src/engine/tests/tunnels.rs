//! Tunnels of version 2 between engines: what passes, what is renewed, which version a peer gets.

use std::collections::BTreeSet;
use std::time::Duration;

use dosp_proto::secret::NetworkSecret;
use dosp_proto::tunnel::v1;
use dosp_proto::tunnel::v2::Kind;

use super::net::{Net, OPEN, VERSION_1};
use super::{MARKER, icmp_kind, s2c, seal, udp, vip};
use crate::engine::{
    DropReason, EngineConfig, Event, MessageFailure, Refusal, TunnelState, Version, Version1,
};

#[test]
fn two_agents_always_speak_version_2() {
    let mut net = Net::new(2);
    net.open(0, 1);
    for (i, j) in [(0, 1), (1, 0)] {
        let peer = net.peer(i, j);
        let fingerprint = peer.proven.unwrap().fingerprint;
        assert_eq!(peer.version, Some(Version::Two));
        assert_eq!(fingerprint, net.nodes[j].engine.public_key().fingerprint());
        assert!(peer.session_age.is_some());
    }
    assert_eq!(net.hub.leaks, 0);
}

#[test]
fn agent_of_version_1_gets_messages_and_no_ip() {
    let mut net = Net::with_configs(1, &[OPEN, VERSION_1]);
    net.message(0, 1, vip(1), MARKER).unwrap();
    let packet = net.packet(0, 1, b"no");
    net.send(0, &packet);
    net.run_ms(3_000);
    assert_eq!(net.nodes[1].messages, [(vip(0), Some(Version::One), MARKER.to_vec())]);
    assert!(net.nodes[1].packets.is_empty());
    assert_eq!(icmp_kind(&net.nodes[0].answers[0]), (3, 13));
    let refused = Event::Refused(vip(1), Refusal::Version1Only);
    assert!(net.nodes[0].events.contains(&refused));
    assert_eq!(net.drops(0, DropReason::Version1), 1);
    // The other way: what the older agent sends as IP is not let in.
    net.message(1, 2, vip(0), MARKER).unwrap();
    let packet = net.packet(1, 0, b"no");
    net.send(1, &packet);
    net.run_ms(500);
    assert_eq!(net.nodes[0].messages, [(vip(1), Some(Version::One), MARKER.to_vec())]);
    assert!(net.nodes[0].packets.is_empty());
    assert_eq!(net.peer(0, 1).version, Some(Version::One));
}

#[test]
fn policy_all_lets_ip_pass_in_version_1_and_off_nothing() {
    let all = EngineConfig { version1: Version1::All, ..OPEN };
    let mut net = Net::with_configs(1, &[all, VERSION_1]);
    let packet = net.packet(0, 1, b"all");
    net.send(0, &packet);
    net.run_ms(3_000);
    assert_eq!(net.nodes[1].packets, [packet]);

    let off = EngineConfig { version1: Version1::Off, ..OPEN };
    let mut net = Net::with_configs(1, &[off, VERSION_1]);
    net.message(0, 1, vip(1), MARKER).unwrap();
    net.run_ms(100);
    let refused = MessageFailure::Refused(Refusal::Version1Only);
    let failed = Event::MessageFailed(1, refused);
    assert_eq!(net.nodes[0].events, [Event::Refused(vip(1), Refusal::Version1Only), failed]);
    assert_eq!(net.peer(0, 1).tunnel, TunnelState::Opening);
    let mut net = Net::with_configs(1, &[off, VERSION_1]);
    net.message(1, 2, vip(0), MARKER).unwrap();
    net.run_ms(100);
    let words = Refusal::Other("version 1 is off here".to_owned());
    assert!(net.nodes[1].events.contains(&Event::Refused(vip(0), words)));
    assert_eq!(net.peer(0, 1).tunnel, TunnelState::None);
}

#[test]
fn forged_answer_of_version_1_loses_to_the_true_one() {
    let mut net = Net::new(2);
    net.message(0, 1, vip(1), MARKER).unwrap();
    net.run_ms(20);
    let now = net.now(0);
    let forged = v1::throwaway_hello(now.unix_time, &mut net.rng);
    net.give(0, &s2c(vip(0), vip(1), &forged));
    net.run_ms(1_900);
    assert_eq!(net.nodes[1].messages, [(vip(0), Some(Version::Two), MARKER.to_vec())]);
    assert_eq!(net.peer(0, 1).version, Some(Version::Two));
}

#[test]
fn stripped_handshake_never_brings_down_a_peer_that_is_known() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.hub.faults.strip = 1000;
    for i in [0, 1] {
        net.restart(i);
    }
    for _ in 0..30 {
        net.message(0, 1, vip(1), MARKER).unwrap();
        net.run_ms(1_000);
    }
    assert!(net.nodes[1].messages.is_empty());
    assert!(net.drops(1, DropReason::Version1) > 0, "it does not answer in version 1");
    // Nor is an answer believed that the hub makes.
    for _ in 0..3 {
        let forged = v1::throwaway_hello(net.now(0).unix_time, &mut net.rng);
        net.give(0, &s2c(vip(0), vip(1), &forged));
    }
    net.run_ms(5_000);
    let downgrades = |event: &&Event| matches!(event, Event::Refused(_, Refusal::Downgrade));
    assert_eq!(net.nodes[0].events.iter().filter(downgrades).count(), 1, "said once");
    assert_eq!((net.hub.leaks, net.nodes[1].messages.len()), (0, 0));
    net.hub.faults.strip = 0;
    net.run_ms(6_000);
    net.open(0, 1);
}

#[test]
fn other_network_secret_is_said_and_plain_agents_stay_out() {
    let mut net = Net::with_configs(1, &[OPEN, OPEN, VERSION_1]);
    net.nodes[0].secrets = vec![NetworkSecret::generate(&mut net.rng)];
    net.restart(0);
    net.message(1, 1, vip(0), MARKER).unwrap();
    net.run_ms(100);
    let differs = Refusal::SecretDiffers;
    let failed = Event::MessageFailed(1, MessageFailure::Refused(differs.clone()));
    assert_eq!(net.nodes[1].events, [Event::Refused(vip(0), differs), failed]);
    assert_eq!(net.drops(0, DropReason::SecretDiffers), 1);
    // Version 1 would go around the secret.
    net.message(2, 2, vip(0), MARKER).unwrap();
    net.message(0, 3, vip(2), MARKER).unwrap();
    net.run_ms(10_000);
    assert!(net.nodes.iter().all(|node| node.messages.is_empty()));
    net.nodes[1].secrets = net.nodes[0].secrets.clone();
    net.restart(1);
    net.open(1, 0);
}

#[test]
fn session_outlives_the_link_and_an_ordinary_restart_of_the_hub() {
    let mut net = Net::new(2);
    net.open(0, 1);
    let handshakes = net.hub.recorded.len();
    for i in [0, 1] {
        net.link_down(i);
    }
    net.run_ms(3_000);
    for (i, number) in [(0, 0), (1, 1)] {
        net.link_up(i, vip(number));
    }
    let packet = net.packet(0, 1, b"as if nothing had happened");
    net.send(0, &packet);
    net.run_ms(50);
    assert_eq!(net.nodes[1].packets, [packet]);
    assert_eq!(net.hub.recorded.len(), handshakes + 1, "no handshake");
}

#[test]
fn agent_that_comes_back_elsewhere_is_the_same_peer() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.link_down(0);
    net.link_up(0, vip(5));
    net.run_ms(500);
    let packet = net.packet(1, 0, b"to the new place");
    net.send(1, &packet);
    net.run_ms(500);
    assert_eq!(net.nodes[0].packets, [packet]);
    let moved = |event: &Event| {
        matches!(event, Event::KeyMoved { from, to, is_copied: false, .. }
            if (*from, *to) == (vip(0), vip(5)))
    };
    assert!(net.nodes[1].events.iter().any(moved));
    assert_eq!(net.nodes[1].engine.known_peers().key_of(vip(0)), None);
}

#[test]
fn hours_of_traffic_rekey_and_lose_nothing() {
    let mut net = Net::new(2);
    net.open(0, 1);
    let before = net.hub.recorded.len();
    for second in 0..3 * 3_600u32 {
        let packet = net.packet(0, 1, &second.to_be_bytes());
        net.send(0, &packet);
        net.run_ms(1_000);
        assert_eq!(net.nodes[1].packets.pop(), Some(packet), "second {second}");
    }
    // Three messages and a keepalive every 120 s, a keepalive of the listener every 5 s.
    let others = net.hub.recorded.len() - before - 3 * 3_600;
    assert!((2_000..3_200).contains(&others), "{others}");
    assert_eq!(net.hub.recorded.iter().map(|frame| nonce(frame)).collect::<BTreeSet<_>>().len(), {
        net.hub.recorded.iter().filter(|frame| frame[13] == 0xD2).count() + 1
    });
}

/// Receiver and counter of a frame: no two frames of a session have the same. `None` of others.
fn nonce(frame: &[u8]) -> Option<Vec<u8>> {
    (frame[13] == 0xD2).then(|| [&frame[5..13], &frame[16..28]].concat())
}

#[test]
fn wall_clock_does_not_matter() {
    let mut net = Net::new(2);
    net.nodes[1].unix_time = 0;
    net.open(0, 1);
    net.nodes[0].unix_time += 365 * 24 * 3_600;
    net.run(Duration::from_secs(400));
    net.open(0, 1);
}

#[test]
fn several_packets_in_a_frame_are_delivered_all_or_none() {
    let mut net = Net::new(2);
    net.open(0, 1);
    let packets = [b"one", b"two"].map(|content| udp(vip(0), vip(1), content));
    let content = |packets: &[Vec<u8>]| {
        let with_len = |packet: &Vec<u8>| {
            [&u16::try_from(packet.len()).unwrap().to_be_bytes(), &**packet].concat()
        };
        packets.iter().flat_map(with_len).collect::<Vec<u8>>()
    };
    let good = seal(&mut net, 0, 1, Kind::Packets, &content(&packets));
    net.give(1, &good);
    assert_eq!(net.nodes[1].packets, packets);
    let forged = [packets[0].clone(), udp(vip(7), vip(1), b"in another's name")];
    let bad = seal(&mut net, 0, 1, Kind::Packets, &content(&forged));
    net.give(1, &bad);
    assert_eq!((net.nodes[1].packets.len(), net.drops(1, DropReason::InnerPacket)), (2, 1));
}

#[test]
fn false_sources_inside_a_tunnel_are_never_delivered() {
    let mut net = Net::new(2);
    net.open(0, 1);
    for number in 0..100_000u32 {
        let src = vip(2 + number % 1_000);
        let frame = seal(&mut net, 0, 1, Kind::Packet, &udp(src, vip(1), &number.to_be_bytes()));
        net.give(1, &frame);
    }
    assert_eq!(net.drops(1, DropReason::InnerPacket), 100_000);
    assert!(net.nodes[1].packets.is_empty() && net.nodes[1].messages.is_empty());
}

#[test]
fn plain_data_of_a_peer_with_a_key_is_never_delivered() {
    let mut net = Net::new(2);
    net.open(0, 1);
    let plain = [&b"plain"[..], &[0xD2; 64], &udp(vip(1), vip(0), b"")];
    for data in plain {
        net.give(0, &s2c(vip(0), vip(1), data));
    }
    net.run(Duration::from_secs(300));
    for data in plain {
        net.give(0, &s2c(vip(0), vip(1), data));
    }
    assert!(net.nodes[0].messages.is_empty() && net.nodes[0].packets.is_empty());
}

#[test]
fn echo_shows_the_whole_way_and_the_part_to_the_hub() {
    let mut net = Net::new(2);
    let now = net.now(0);
    net.nodes[0].engine.echo(7, vip(1), &[0; 56], now, &mut net.rng).unwrap();
    net.pump(0);
    net.run_ms(1_000);
    let echo = net.nodes[0].events.iter().find_map(|event| match event {
        Event::Echoed(7, echo) => Some(*echo),
        _ => None,
    });
    let echo = echo.unwrap();
    assert_eq!((echo.rtt, echo.len), (Duration::from_millis(40), 56));
    assert_eq!(echo.hub_rtt, Some(Duration::from_millis(20)));
    // To a peer of version 1 there is none.
    let mut net = Net::with_configs(1, &[OPEN, VERSION_1]);
    let now = net.now(0);
    net.nodes[0].engine.echo(8, vip(1), &[], now, &mut net.rng).unwrap();
    net.pump(0);
    net.run_ms(3_000);
    let failed = Event::MessageFailed(8, MessageFailure::NoEcho);
    assert!(net.nodes[0].events.contains(&failed));
}
