//! What published clients cannot do, and how that is said.

use super::net::Net;
use super::{MARKER, s2c, vip};
use crate::engine::{DropReason, Event, MessageFailure, Refusal, TunnelState, Version};

const TUNNEL_EXISTS: &[u8] = b"\x15\xFFC2C tunnel already exists";

fn failed(ticket: u64, refusal: Refusal) -> Event {
    Event::MessageFailed(ticket, MessageFailure::Refused(refusal))
}

/// A node whose messages reach nobody, so that the test can answer for the peer.
fn alone() -> Net {
    let mut net = Net::new(2);
    net.hub.faults.lose = 1000;
    net
}

#[test]
fn tunnel_that_exists_is_said_and_there_is_something_to_do() {
    let mut net = alone();
    net.message(0, 1, vip(1), b"x").unwrap();
    net.give(0, &s2c(vip(0), vip(1), TUNNEL_EXISTS));
    let refused = Event::Refused(vip(1), Refusal::TunnelExists);
    assert_eq!(net.nodes[0].events, [refused, failed(1, Refusal::TunnelExists)]);
    assert!(Refusal::TunnelExists.hint().is_some_and(|hint| hint.contains("restart")));
    let words = "it takes no tunnel: it holds an older tunnel with our vIP, and says: \
                 C2C tunnel already exists";
    assert_eq!(MessageFailure::Refused(Refusal::TunnelExists).to_string(), words);
}

#[test]
fn refusal_while_the_peer_was_just_heard_is_the_reason_later() {
    let mut net = Net::version_1(2);
    net.open(0, 1);
    net.link_down(0);
    net.link_up(0, vip(0));
    net.hub.faults.lose = 1000;
    net.nodes[0].events.clear();
    net.message(0, 1, vip(1), b"x").unwrap();
    net.give(0, &s2c(vip(0), vip(1), TUNNEL_EXISTS));
    net.run_ms(20_000);
    let refused = Event::Refused(vip(1), Refusal::TunnelExists);
    assert_eq!(net.nodes[0].events, std::slice::from_ref(&refused), "anybody could have said it");
    net.run_ms(6_000);
    assert_eq!(net.nodes[0].events, [refused, failed(1, Refusal::TunnelExists)]);
}

#[test]
fn refusal_is_forgotten_once_a_tunnel_is_open() {
    let mut net = Net::new(2);
    net.give(0, &s2c(vip(0), vip(1), TUNNEL_EXISTS));
    assert_eq!(net.peer(0, 1).refusal, Some(Refusal::TunnelExists));
    net.open(0, 1);
    assert_eq!(net.peer(0, 1).refusal, None);
}

#[test]
fn peer_that_offers_or_answers_legacy_only_is_said() {
    let legacy: &[u8] = &[0x15; 17];
    for answer in [legacy, b"E:NotSupported"] {
        let mut net = alone();
        net.message(0, 1, vip(1), b"x").unwrap();
        net.give(0, &s2c(vip(0), vip(1), answer));
        let refused = Event::Refused(vip(1), Refusal::LegacyOnly);
        assert_eq!(net.nodes[0].events, [refused, failed(1, Refusal::LegacyOnly)]);
        assert!(net.nodes[0].messages.is_empty());
        assert_eq!(net.peer(0, 1).tunnel, TunnelState::Opening, "a word changes nothing");
    }
    let mut net = alone();
    (0..3).for_each(|_| net.give(0, &s2c(vip(0), vip(1), legacy)));
    net.run_ms(10);
    assert_eq!(net.nodes[0].events, [Event::Refused(vip(1), Refusal::LegacyOnly)]);
    assert_eq!(net.drops(0, DropReason::Handshake), 3);
    assert_eq!(net.hub.recorded, vec![s2c(vip(1), vip(0), b"E:NotSupported"); 3]);
}

#[test]
fn word_for_not_supported_is_a_message_where_nothing_is_opening() {
    let mut net = Net::new(2);
    let words = b"E:NotSupported";
    net.give(0, &s2c(vip(0), vip(1), words));
    assert_eq!(net.nodes[0].messages, [(vip(1), None, words.to_vec())]);
    net.open(0, 1);
    net.message(0, 1, vip(1), MARKER).unwrap();
    net.run_ms(100);
    assert_eq!(net.nodes[1].messages, [(vip(0), Some(Version::Two), MARKER.to_vec())]);
}
