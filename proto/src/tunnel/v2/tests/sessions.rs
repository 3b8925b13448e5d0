//! What frames go through: loss, copies, disorder, age.

use std::collections::BTreeSet;

use super::*;
use crate::packet::Ipv4Packet;
use etherparse::PacketBuilder;

#[test]
fn frames_are_delivered_once_in_any_order_and_never_to_their_sender() {
    let mut pair = Pair::open();
    let frames: Vec<_> =
        (0..200u32).map(|number| pair.seal(A, &number.to_be_bytes()).unwrap()).collect();
    for number in (0..200).rev() {
        pair.give(B, &frames[number]).unwrap();
        assert_eq!(pair.give(B, &frames[number]), Err(OpenError::Repeated.to_string()));
        assert!(pair.give(A, &frames[number]).is_err(), "reflected");
    }
    let received: BTreeSet<_> = pair.sides[B].received.iter().map(|(_, bytes)| bytes).collect();
    assert_eq!((pair.sides[B].received.len(), received.len()), (200, 200));
    assert!(pair.sides[A].received.is_empty());
}

#[test]
fn frame_that_fails_leaves_everything_as_it_was() {
    let mut pair = Pair::open();
    let frame = pair.seal(A, b"0123456789").unwrap();
    for at in 0..frame.len() {
        let mut forged = frame.clone();
        forged[at] ^= 1;
        assert!(pair.give(B, &forged).is_err(), "{at}");
    }
    // A counter of 2^63 would empty the window, were it looked at before the tag.
    let mut ahead = frame.clone();
    ahead[7] = 0x80;
    assert_eq!(pair.give(B, &ahead), Err(OpenError::Ended.to_string()));
    for len in 0..frame.len() {
        assert!(pair.give(B, &frame[..len]).is_err(), "{len}");
    }
    pair.give(B, &frame).unwrap();
    assert!(pair.passes(A, b"a") && pair.passes(B, b"b"));
}

#[test]
fn too_late_and_seen_before_are_told_apart() {
    let mut pair = Pair::open();
    let late = pair.seal(A, b"late").unwrap();
    let session = pair.sides[A].tunnel.current_session();
    session.skip_to(70_000);
    assert!(pair.passes(A, b"far ahead"));
    assert_eq!(pair.give(B, &late), Err(OpenError::TooOld.to_string()));
}

#[test]
fn initiator_rekeys_every_two_minutes_while_something_is_sent() {
    let mut pair = Pair::open();
    let (mut since, mut num_sessions) = (pair.sides[A].tunnel.session_since(), 0);
    for second in 0..3600 {
        assert!(pair.passes(A, b"a") && pair.passes(B, b"b"), "in second {second}");
        pair.pass(Duration::from_secs(1));
        let now = pair.sides[A].tunnel.session_since();
        num_sessions += usize::from(now != since);
        since = now;
    }
    assert!((28..=30).contains(&num_sessions), "{num_sessions} in an hour");
    assert_eq!(pair.sides[B].num_installed, num_sessions + 1, "A opened them all");
}

#[test]
fn traffic_one_way_only_still_rekeys_without_a_gap() {
    for from in [A, B] {
        let mut pair = Pair::open();
        for second in 0..900 {
            assert!(pair.passes(from, b"one way"), "from {from} in second {second}");
            pair.pass(Duration::from_secs(1));
        }
    }
}

#[test]
fn idle_sessions_end_and_their_keys_are_erased() {
    let mut pair = Pair::open();
    let frame = pair.seal(A, b"recorded").unwrap();
    assert!(pair.passes(B, b"A hears that B is there"));
    pair.pass(Duration::from_secs(179));
    assert!(pair.sides[B].tunnel.is_open());
    pair.pass_quietly(Duration::from_secs(2), false);
    assert!(pair.sides.iter().all(|side| side.tunnel.sessions_len() == 0));
    assert_eq!(pair.give(B, &frame), Err(OpenError::NoSession.to_string()));
    assert_eq!(pair.seal(B, b"x"), None);
}

#[test]
fn frames_of_the_session_before_are_taken_for_a_minute() {
    let mut pair = Pair::open();
    let early = [(); 2].map(|()| pair.seal(B, b"early").unwrap());
    assert!(pair.passes(A, b"B hears that A is there"));
    pair.pass(Duration::from_secs(100));
    // B opens anew, as after it was restarted and A was not.
    pair.start(A);
    pair.settle();
    pair.give(A, &early[0]).unwrap();
    pair.pass(Duration::from_secs(61));
    assert_eq!(pair.give(A, &early[1]), Err(OpenError::NoSession.to_string()));
}

#[test]
fn peer_that_lost_its_state_is_found_out_and_met_again() {
    let mut pair = Pair::open();
    pair.sides[B].tunnel = Tunnel::default();
    let frame = pair.seal(A, b"into the void").unwrap();
    assert_eq!(pair.give(B, &frame), Err(OpenError::NoSession.to_string()));
    pair.pass(Duration::from_secs(9));
    assert!(pair.passes(A, b"a") && pair.passes(B, b"b"));
}

#[test]
fn nothing_more_is_sent_to_a_peer_that_is_silent_and_its_return_is_heard() {
    let mut pair = Pair::open();
    let returns = pair.seal(B, b"still here").unwrap();
    pair.pass_quietly(Duration::from_secs(1), false);
    pair.seal(A, b"anybody there?").unwrap();
    pair.pass_quietly(Duration::from_secs(24), false);
    assert!(pair.sides[A].tunnel.is_open());
    pair.pass_quietly(Duration::from_secs(2), false);
    assert!(!pair.sides[A].tunnel.is_open());
    assert_eq!(pair.seal(A, b"into the void"), None);
    pair.give(A, &returns).unwrap();
    assert!(pair.sides[A].tunnel.is_open());
}

#[test]
fn silent_receiver_is_not_taken_for_dead() {
    let mut pair = Pair::open();
    for _ in 0..60 {
        assert!(pair.passes(A, b"one way"));
        pair.pass(Duration::from_secs(1));
    }
    assert_eq!(pair.sides[B].num_installed, 1, "no handshake but the first");
}

#[test]
fn worn_session_is_replaced_and_none_goes_on_beyond_its_end() {
    let mut pair = Pair::open();
    pair.sides[A].tunnel.current_session().skip_to((1 << 30) - 1);
    assert!(pair.passes(A, b"the last of the young ones"));
    pair.pass(Duration::from_millis(50));
    assert_eq!(pair.sides[B].num_installed, 2);
    pair.sides[A].tunnel.current_session().skip_to((1 << 31) - 1);
    assert!(pair.seal(A, b"the last one").is_some());
    assert_eq!(pair.seal(A, b"one too many"), None);
    assert!(!pair.sides[A].tunnel.is_open());
    pair.start(A);
    pair.settle();
    assert!(pair.passes(A, b"a") && pair.passes(B, b"b"));
}

#[test]
fn flow_labels_tell_conversations_apart_and_nothing_else() {
    let packet = |port| {
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4([10, 7, 0, 2], [10, 7, 0, 3], 64).udp(port, 53);
        builder.write(&mut packet, b"query").unwrap();
        packet
    };
    let mut labels = Vec::new();
    for _ in 0..2 {
        let mut pair = Pair::open();
        for port in [1000, 1000, 1001] {
            let packet = packet(port);
            let flow = Ipv4Packet::parse(&packet).unwrap().flow();
            let mut buffer = PacketBuf::from(&*packet);
            let tunnel = &mut pair.sides[A].tunnel;
            assert!(tunnel.seal(Kind::Packet, Some(flow), &mut buffer, pair.now));
            labels.push(buffer.content()[1..3].to_vec());
            pair.give(B, buffer.content()).unwrap();
            assert_eq!(pair.sides[B].received.pop(), Some((Kind::Packet, packet)));
        }
        pair.rng = StdRng::seed_from_u64(77);
        let message = pair.seal(A, b"raw").unwrap();
        assert_eq!(message[1..3], [0, 0]);
    }
    assert!(labels.iter().all(|label| *label != [0, 0]));
    assert_eq!(labels[0], labels[1]);
    assert_ne!(labels[0], labels[2]);
}

#[test]
fn unknown_kinds_are_dropped_after_they_verified() {
    let mut pair = Pair::open();
    let frame = pair.sides[A].tunnel.seal_byte(6, pair.now);
    assert_eq!(pair.give(B, &frame), Err(OpenError::UnknownKind.to_string()));
    assert_eq!(pair.give(B, &frame), Err(OpenError::Repeated.to_string()));
}

#[test]
fn super_packets_are_taken_by_who_said_so() {
    let of_b = Offloads { tcp: true, udp: false };
    let mut pair = Pair::begin_with([Offloads::NONE, of_b]);
    assert_eq!(pair.sides[A].tunnel.takes(), Offloads::NONE);
    let opening = pair.poll(A).unwrap();
    pair.give(B, &opening).unwrap();
    let answer = pair.poll(B).unwrap();
    pair.give(A, &answer).unwrap();
    // Message 2 has said it, and nothing has confirmed the session yet.
    assert!(!pair.sides[A].tunnel.is_confirmed());
    assert_eq!(pair.sides[A].tunnel.takes(), of_b);
    pair.settle();
    assert_eq!([A, B].map(|side| pair.sides[side].tunnel.takes()), [of_b, Offloads::NONE]);

    let super_packet = Kind::SuperPacket.byte();
    let frame = pair.sides[A].tunnel.seal_byte(super_packet, pair.now);
    pair.give(B, &frame).unwrap();
    assert_eq!(pair.sides[B].received, [(Kind::SuperPacket, Vec::new())]);
    let frame = pair.sides[B].tunnel.seal_byte(super_packet, pair.now);
    assert_eq!(pair.give(A, &frame), Err(OpenError::UnknownKind.to_string()));
    pair.sides[A].tunnel.discard();
    assert_eq!(pair.sides[A].tunnel.takes(), Offloads::NONE);
}
