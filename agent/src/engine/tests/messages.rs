//! Raw messages and their fate.

use super::hub::undeliverable;
use super::net::Net;
use super::{MARKER, network, s2c, vip};
use crate::engine::{DropReason, Event, MessageFailure, Refusal, SendError, TunnelState, Version};

fn failed(ticket: u64, why: MessageFailure) -> Event {
    Event::MessageFailed(ticket, why)
}

#[test]
fn message_is_delivered_once_and_reported() {
    let mut net = Net::new(2);
    net.message(0, 7, vip(1), MARKER).unwrap();
    net.run_ms(1_000);
    assert_eq!(net.nodes[1].messages, [(vip(0), Some(Version::Two), MARKER.to_vec())]);
    // The message follows the proof at once, and so is there before the tunnel is confirmed.
    let events = &net.nodes[0].events;
    assert!(matches!(events[..], [Event::MessageSent(7), Event::TunnelOpen(_)]), "{events:?}");
    assert_eq!(net.hub.leaks, 0);
}

#[test]
fn message_to_an_offline_peer_fails() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.message(0, 1, vip(9), b"never there").unwrap();
    net.link_down(1);
    net.message(0, 2, vip(1), b"there a moment ago").unwrap();
    net.nodes[0].events.clear();
    net.run_ms(100);
    let offline = [failed(1, MessageFailure::Offline), failed(2, MessageFailure::Offline)];
    assert_eq!(net.nodes[0].events, offline);
}

#[test]
fn offline_says_nothing_of_messages_to_others() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.nodes[0].events.clear();
    net.message(0, 1, vip(1), b"x").unwrap();
    net.give(0, &undeliverable(vip(2)));
    net.run_ms(100);
    assert_eq!(net.nodes[0].events, [Event::MessageSent(1)]);
}

#[test]
fn message_without_an_answer_or_with_a_refusal_fails() {
    let mut net = Net::new(3);
    net.hub.faults.lose = 1000;
    net.message(0, 1, vip(1), b"x").unwrap();
    net.give(0, &s2c(vip(0), vip(1), b"\x15\xFFnot today"));
    net.message(0, 2, vip(1), b"x").unwrap();
    net.message(0, 3, vip(2), b"x").unwrap();
    net.run_ms(5_010);
    let why = MessageFailure::Refused(Refusal::Other("not today".to_owned()));
    let no_answer = failed(3, MessageFailure::NoAnswer);
    assert_eq!(net.nodes[0].events[1..], [failed(1, why.clone()), failed(2, why), no_answer]);
}

#[test]
fn message_fails_in_time_though_the_tunnel_opened_anew_by_itself() {
    let mut net = Net::new(2);
    net.hub.faults.lose = 1000;
    // As of a tunnel from before a restart.
    (0..3).for_each(|_| net.give(0, &s2c(vip(0), vip(1), &[0xF7; 100])));
    assert_eq!(net.peer(0, 1).tunnel, TunnelState::Opening);
    net.run_ms(500);
    net.message(0, 1, vip(1), b"x").unwrap();
    net.run_ms(5_010);
    assert_eq!(net.nodes[0].events, [failed(1, MessageFailure::NoAnswer)]);
}

#[test]
fn lost_link_fails_what_waits_and_what_is_under_way() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.message(0, 1, vip(1), b"under way").unwrap();
    net.message(0, 2, vip(9), b"staged").unwrap();
    net.nodes[0].events.clear();
    net.link_down(0);
    let lost = [failed(1, MessageFailure::LinkLost), failed(2, MessageFailure::LinkLost)];
    assert_eq!(net.nodes[0].events, lost);
    let refused = net.message(0, 3, vip(1), b"too late");
    assert_eq!(refused, Err(SendError::NotConnected));
}

#[test]
fn messages_for_nobody_are_not_taken() {
    let mut net = Net::new(1);
    for to in [vip(0), network().hub(), network().broadcast(), [127, 9, 9, 9].into()] {
        assert_eq!(net.message(0, 1, to, b"x"), Err(SendError::NoPeer(to)));
    }
}

#[test]
fn more_messages_than_fit_are_not_taken_and_the_rest_are_never_dropped() {
    let mut net = Net::new(2);
    let mib = vec![7; 1 << 20];
    let taken = |net: &mut Net, ticket| net.message(0, ticket, vip(1), &mib[..(1 << 20) - 200]);
    for ticket in 0..4 {
        taken(&mut net, ticket).unwrap();
        for _ in 0..40 {
            let packet = net.packet(0, 1, b"");
            net.send(0, &packet);
        }
    }
    assert_eq!(taken(&mut net, 5), Err(SendError::Busy(vip(1))));
    assert_eq!(net.drops(0, DropReason::StagedTooMany), 160 - 64);
    net.run_ms(1_000);
    assert_eq!((net.nodes[1].messages.len(), net.nodes[1].packets.len()), (4, 64));
    let sent = |event: &&Event| matches!(event, Event::MessageSent(_));
    let sent: Vec<_> = net.nodes[0].events.iter().filter(sent).cloned().collect();
    assert_eq!(sent, [0, 1, 2, 3].map(Event::MessageSent));
    taken(&mut net, 6).unwrap();
}

#[test]
fn plain_message_is_readable_and_taken_only_without_a_tunnel() {
    let mut net = Net::new(2);
    let now = net.instant;
    net.nodes[0].engine.send_plain(1, vip(1), MARKER, now).unwrap();
    net.pump(0);
    net.run_ms(100);
    assert_eq!(net.nodes[1].messages, [(vip(0), None, MARKER.to_vec())]);
    assert_eq!(net.nodes[0].events, [Event::MessageSent(1)]);
    assert_eq!(net.hub.leaks, 1);
    net.open(0, 1);
    net.nodes[0].engine.send_plain(2, vip(1), MARKER, now).unwrap();
    net.nodes[0].engine.send_plain(3, vip(9), MARKER, now).unwrap();
    net.pump(0);
    net.nodes[0].events.clear();
    net.run_ms(100);
    assert_eq!(net.nodes[1].messages.len(), 1);
    assert_eq!(net.drops(1, DropReason::PlainInTunnel), 1);
    let fates = [Event::MessageSent(2), failed(3, MessageFailure::Offline)];
    assert_eq!(net.nodes[0].events, fates);
}

#[test]
fn message_for_the_hub_goes_to_the_hub() {
    let mut net = Net::new(1);
    let now = net.instant;
    net.nodes[0].engine.send_to_hub(1, b"hello, hub", now).unwrap();
    net.pump(0);
    net.run_ms(100);
    assert_eq!(net.hub.messages, [b"hello, hub"]);
    assert_eq!(net.nodes[0].events, [Event::MessageSent(1)]);
    net.link_down(0);
    let refused = net.nodes[0].engine.send_to_hub(2, b"", now);
    assert_eq!(refused, Err(SendError::NotConnected));
}

#[test]
fn plain_messages_wait_within_bounds_too() {
    let mut net = Net::new(1);
    let (now, message) = (net.instant, vec![7; 64 * 1024]);
    let engine = &mut net.nodes[0].engine;
    let plain = (0..1000).filter(|n| engine.send_plain(*n, vip(1), &message, now).is_ok()).count();
    assert!((60..=70).contains(&plain), "{plain}");
    let busy = engine.send_to_hub(1000, &message, now);
    assert_eq!(busy, Err(SendError::Busy(network().hub())));
    net.pump(0);
    net.nodes[0].engine.send_to_hub(1001, &message, now).unwrap();
}
