//! From the hub to the local host.

use dosp_proto::frame::{FrameType, S2C_HEADER_LEN};
use dosp_proto::message::{ErrorCode, ErrorReport};
use dosp_proto::tunnel::v2::Kind;

use super::net::{Net, OPEN, VERSION_1};
use super::{network, plain_frame, s2c, udp, vip, with_options};
use crate::engine::{DropReason, EngineConfig, Event, Version};

#[test]
fn ip_that_is_not_from_the_peer_to_us_is_a_raw_message() {
    let mut net = Net::version_1(2);
    let mut bad_checksum = udp(vip(0), vip(1), b"");
    bad_checksum[8] ^= 1;
    let cut = udp(vip(0), vip(1), b"").split_off(1);
    let odd = [
        udp(vip(7), vip(1), b"in another's name"),
        udp(network().hub(), vip(1), b"in the hub's name"),
        udp(vip(0), vip(7), b"for another"),
        udp(vip(0), [127, 0, 0, 1].into(), b"for a local service"),
        with_options(udp(vip(0), vip(1), b"")),
        bad_checksum,
        cut,
    ];
    for message in &odd {
        net.message(0, 1, vip(1), message).unwrap();
    }
    net.run_ms(100);
    assert!(net.nodes[1].packets.is_empty());
    let messages = odd.map(|message| (vip(0), Some(Version::One), message));
    assert_eq!(net.nodes[1].messages, messages);
}

#[test]
fn without_a_tun_ip_is_a_raw_message() {
    let without_tun = EngineConfig { carries_ip: false, ..VERSION_1 };
    let mut net = Net::with_configs(1, &[VERSION_1, without_tun]);
    let packet = net.packet(0, 1, b"");
    net.send(0, &packet);
    net.run_ms(100);
    assert_eq!(net.nodes[1].messages, [(vip(0), Some(Version::One), packet)]);
}

#[test]
fn raised_shields_let_in_only_whom_we_addressed_lately() {
    let mut net = Net::with_configs(1, &[OPEN, EngineConfig { shields_up: true, ..OPEN }]);
    let (there, back) = (net.packet(0, 1, b"there"), net.packet(1, 0, b"back"));
    net.send(0, &there);
    net.run_ms(100);
    assert_eq!((net.nodes[1].packets.len(), net.drops(1, DropReason::ShieldsUp)), (0, 1));
    net.message(0, 1, vip(1), b"a message passes").unwrap();
    net.send(1, &back);
    net.run_ms(100);
    assert_eq!((net.nodes[0].packets.len(), net.nodes[1].messages.len()), (1, 1));
    net.send(0, &there);
    net.run_ms(299_500);
    net.send(0, &there);
    net.run_ms(1_000);
    assert_eq!((net.nodes[1].packets.len(), net.drops(1, DropReason::ShieldsUp)), (2, 1));
    net.send(0, &there);
    net.run_ms(100);
    assert_eq!((net.nodes[1].packets.len(), net.drops(1, DropReason::ShieldsUp)), (2, 2));
}

#[test]
fn frames_that_are_not_for_us_or_from_nobody_are_misrouted() {
    let mut net = Net::new(1);
    let outside = [224, 9, 9, 9].into();
    let frames = [
        s2c(vip(5), vip(1), b"for another"),
        s2c(vip(0), vip(0), b"from ourselves"),
        s2c(vip(0), network().hub(), b"from the hub"),
        s2c(vip(0), network().broadcast(), b"from all"),
        s2c(vip(0), outside, b"from outside"),
        plain_frame(FrameType::S2C, b"short"),
    ];
    frames.iter().for_each(|frame| net.give(0, frame));
    assert_eq!(net.drops(0, DropReason::Misrouted), 6);
    net.link_down(0);
    net.give(0, &s2c(vip(0), vip(1), b"after the link"));
    assert_eq!(net.drops(0, DropReason::Misrouted), 7);
    let known = net.nodes[0].engine.known_peers().clone();
    net.nodes[0].start(known, &mut net.rng);
    net.give(0, &s2c(vip(0), vip(1), b"before any link"));
    assert_eq!(net.drops(0, DropReason::Misrouted), 1);
    assert!(net.nodes[0].messages.is_empty());
    assert_eq!(net.nodes[0].engine.peers(net.instant).count(), 0);
}

#[test]
fn frames_of_the_hub_itself_are_told_apart() {
    let mut net = Net::new(1);
    for frame_type in [0x00, 0x04, 0x13, 0x15, 0x1A, 0x20, 0xFF].map(FrameType) {
        net.give(0, &plain_frame(frame_type, b"what?"));
    }
    assert_eq!(net.drops(0, DropReason::UnexpectedFrame), 7);
    net.give(0, &plain_frame(FrameType::MSG, b"to all"));
    assert_eq!(net.nodes[0].broadcasts, [b"to all"]);
    net.give(0, &plain_frame(FrameType::PING, b"a pong that nobody asked for"));
    let mut errors = Vec::new();
    ErrorReport::Text("Packet\ttoo large").encode_to(&mut errors);
    ErrorReport::Code(ErrorCode::UNKNOWN_TYPE, b"?").encode_to(&mut errors);
    net.give(0, &errors);
    let texts = ["Packet\\ttoo large", "it does not know 0x3F"];
    assert_eq!(net.nodes[0].events, texts.map(|text| Event::HubError(text.to_owned())));
}

#[test]
fn doubled_forged_reflected_and_foreign_frames_are_counted_and_not_delivered() {
    let mut net = Net::version_1(3);
    net.open(0, 1);
    net.open(2, 1);
    let packet = net.packet(0, 1, b"once");
    net.send(0, &packet);
    net.run_ms(100);
    let sealed = net.hub.recorded.pop().unwrap();
    net.give(1, &sealed);
    assert_eq!(net.drops(1, DropReason::FrameNumber), 1);
    let next = seal_next(&mut net, 0, 1);
    let mut forged = next.clone();
    *forged.last_mut().unwrap() ^= 1;
    net.give(1, &forged);
    assert_eq!(net.drops(1, DropReason::Forged), 1);
    net.give(1, &s2c(vip(1), vip(2), &next[13..]));
    let foreign = net.drops(1, DropReason::FrameNumber) + net.drops(1, DropReason::Forged);
    assert_eq!(foreign, 3, "another's frame under this one's name");
    net.give(0, &s2c(vip(0), vip(1), &next[13..]));
    assert_eq!(net.drops(0, DropReason::Reflected), 1);
    net.give(1, &s2c(vip(1), vip(0), b"plain"));
    assert_eq!(net.drops(1, DropReason::PlainInTunnel), 1);
    assert_eq!(net.nodes[1].packets, [packet]);
    net.give(1, &next);
    assert_eq!(net.nodes[1].packets.len(), 2, "what was refused has harmed nothing");
    assert!(net.nodes[0].messages.is_empty() && net.nodes[1].messages.is_empty());
}

#[test]
fn own_opening_that_comes_back_is_no_answer() {
    let mut net = Net::version_1(2);
    net.hub.faults.reflect = 1000;
    let packet = net.packet(0, 1, b"for the peer alone");
    net.send(0, &packet);
    net.run_ms(3_000);
    assert_eq!(net.nodes[1].packets, [packet]);
    assert!(net.nodes[0].messages.is_empty(), "our own packet is no message of the peer");
    assert!(net.drops(0, DropReason::Reflected) >= 1);
}

#[test]
fn old_hello_does_not_make_two_agents_greet_each_other_for_ever() {
    let mut net = Net::version_1(2);
    net.nodes[0].delays = [std::time::Duration::from_millis(40); 2];
    net.open(0, 1);
    let hello = net.hub.recorded[0].clone();
    let after_open = net.hub.recorded.len();
    // Another tunnel, so that the first hello is none of those which are remembered.
    net.restart(0);
    net.run_ms(1_000);
    let packet = net.packet(0, 1, b"again");
    net.send(0, &packet);
    net.run_ms(1_000);
    assert_eq!(net.nodes[1].packets, [packet]);
    let before = net.hub.recorded.len();
    net.give(1, &hello);
    net.run_ms(20_000);
    let greetings = net.hub.recorded.len() - before;
    assert!(greetings <= 4, "{greetings} frames after one old hello, {after_open} to open");
    let packet = net.packet(1, 0, b"still");
    net.send(1, &packet);
    net.run_ms(200);
    assert_eq!(net.nodes[0].packets, [packet]);
}

/// The next frame of node `i` for node `j`, which the hub never sees.
fn seal_next(net: &mut Net, i: usize, j: usize) -> Vec<u8> {
    let packet = net.packet(i, j, b"next");
    net.queue(i, &packet);
    net.transmit(i, 1)
}

#[test]
fn own_frame_that_comes_back_is_no_sign_of_a_lost_session() {
    let mut net = Net::new(2);
    net.open(0, 1);
    let sent = super::seal(&mut net, 0, 1, Kind::Message, b"to the peer");
    let before = net.hub.recorded.len();
    net.give(0, &s2c(vip(0), vip(1), &sent[S2C_HEADER_LEN..]));
    net.run_ms(100);
    assert_eq!(net.drops(0, DropReason::Reflected), 1);
    assert_eq!(net.hub.recorded.len(), before, "no new opening");
}
