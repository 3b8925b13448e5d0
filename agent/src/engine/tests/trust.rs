//! Whose keys are trusted: the first one, and no other without a word of the operator.

use dosp_proto::vip::Vip;

use super::MARKER;
use super::net::Net;
use super::vip;
use crate::engine::{
    DropReason, Event, MessageFailure, Refusal, ResolveError, SendError, Trust, TrustError,
};
use crate::known_peers::{AcceptError, Distrust, KnownPeers, TrustPolicy};

fn distrusts(event: &Event) -> Option<&Distrust> {
    match event {
        Event::Refused(_, Refusal::Untrusted(distrust)) => Some(distrust),
        _ => None,
    }
}

#[test]
fn changed_key_is_refused_loudly_until_it_is_accepted() {
    let mut net = Net::new(2);
    net.open(0, 1);
    let known = net.nodes[1].engine.public_key().fingerprint();
    net.replace(1);
    let offered = net.nodes[1].engine.public_key().fingerprint();
    for _ in 0..30 {
        net.message(0, 1, vip(1), MARKER).ok();
        net.run_ms(1_000);
    }
    assert!(net.nodes[1].sealed_messages().next().is_none(), "our key was not even shown");
    let changed = Distrust::Changed { vip: vip(1), known, offered };
    let said: Vec<_> = net.nodes[0].events.iter().filter_map(distrusts).collect();
    assert_eq!(said, [&changed], "said once");
    assert!(changed.hint().ends_with(&format!("dosp-agent trust accept {} {offered}", vip(1))));
    let refused = MessageFailure::Refused(Refusal::Untrusted(changed));
    assert!(net.nodes[0].events.contains(&Event::MessageFailed(1, refused)));

    let accept = |net: &mut Net, fingerprint: &str| {
        net.nodes[0].engine.change_trust(Trust::Accept(vip(1), Some(fingerprint.to_owned())))
    };
    let other = TrustError::Accept(AcceptError::OtherKey { vip: vip(1), offered });
    assert_eq!(accept(&mut net, "ABCDE-ABCDE-ABCDE-ABCDE"), Err(other));
    assert!(accept(&mut net, &offered.to_string()).is_ok());
    net.run_ms(30_000);
    net.open(0, 1);
}

#[test]
fn new_key_may_not_come_in_from_the_other_side_either() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.replace(1);
    for _ in 0..30 {
        net.message(1, 1, vip(0), MARKER).ok();
        net.run_ms(1_000);
    }
    assert!(net.nodes[0].sealed_messages().next().is_none());
    assert!(net.drops(0, DropReason::Untrusted) > 0);
    let told = Refusal::Other("your key is not trusted here".to_owned());
    assert!(net.nodes[1].events.contains(&Event::Refused(vip(0), told)));
}

#[test]
fn changed_key_is_noticed_at_once_where_something_is_sent() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.run_ms(30_000);
    net.replace(1);
    // Sealed for the old key: only what comes back shows that it is gone.
    net.message(0, 1, vip(1), MARKER).unwrap();
    net.run_ms(200);
    assert_eq!(net.nodes[0].events.iter().filter_map(distrusts).count(), 1);
    net.message(0, 2, vip(1), MARKER).unwrap();
    net.run_ms(6_000);
    let failed =
        |event: &Event| matches!(event, Event::MessageFailed(2, MessageFailure::Refused(_)));
    assert!(net.nodes[0].events.iter().any(failed));
}

#[test]
fn restarted_peer_is_met_again_at_once() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.restart(1);
    let packet = net.packet(0, 1, b"into the lost session");
    net.send(0, &packet);
    net.run_ms(200);
    net.send(0, &packet);
    net.run_ms(100);
    assert_eq!(net.nodes[1].packets.last(), Some(&packet));
}

#[test]
fn forgotten_key_makes_room_for_the_next_one() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.replace(1);
    assert!(net.nodes[0].engine.change_trust(Trust::Forget(vip(1))).is_ok());
    let unknown = Err(TrustError::Unknown(vip(1)));
    assert_eq!(net.nodes[0].engine.change_trust(Trust::Forget(vip(1))), unknown);
    net.open(0, 1);
}

#[test]
fn stranger_that_was_never_addressed_gives_way_without_alarm() {
    let mut net = Net::new(2);
    let packet = net.packet(1, 0, b"hello, you do not know me");
    net.send(1, &packet);
    net.run_ms(500);
    assert_eq!(net.nodes[0].packets, [packet]);
    let text = net.nodes[0].engine.known_peers().to_text();
    assert!(!text.contains(&vip(1).to_string()), "strangers are not in the file");
    net.replace(1);
    let packet = net.packet(1, 0, b"nor me");
    net.send(1, &packet);
    net.run_ms(500);
    assert_eq!(net.nodes[0].packets.last(), Some(&packet));
}

#[test]
fn hub_that_swaps_two_known_vips_delivers_nothing() {
    let mut net = Net::new(3);
    net.open(0, 1);
    net.open(0, 2);
    net.swap_vips(1, 2);
    for ticket in 0..20 {
        net.message(0, ticket, vip(1), MARKER).ok();
        net.message(0, 100 + ticket, vip(2), MARKER).ok();
        net.run_ms(1_000);
    }
    assert!(net.nodes.iter().all(|node| node.sealed_messages().next().is_none()));
    assert_eq!(net.nodes[0].events.iter().filter_map(distrusts).count(), 2);
}

#[test]
fn only_accepted_keys_are_trusted_where_first_use_is_forbidden() {
    let mut net = Net::new(2);
    let own = *net.nodes[0].engine.public_key();
    net.nodes[0].start(KnownPeers::new(own, TrustPolicy::Pinned), &mut net.rng);
    net.link_up(0, vip(0));
    net.message(0, 1, vip(1), MARKER).unwrap();
    net.run_ms(500);
    let offered = net.nodes[1].engine.public_key().fingerprint();
    let unknown = Distrust::Unknown { vip: vip(1), offered };
    assert!(net.nodes[0].events.iter().filter_map(distrusts).eq([&unknown]));
    assert!(net.nodes[0].engine.change_trust(Trust::Accept(vip(1), None)).is_ok());
    net.run_ms(6_000);
    net.open(0, 1);
}

#[test]
fn copied_key_is_noticed_by_its_owner_and_by_others() {
    let mut net = Net::new(3);
    net.open(0, 1);
    net.nodes[2].identity = net.nodes[1].identity.clone();
    net.restart_as(2);
    net.message(2, 1, vip(1), MARKER).unwrap();
    net.run_ms(500);
    assert!(net.nodes[2].events.iter().filter_map(distrusts).eq([&Distrust::OwnKey]));
    // A third one sees the key jump to and fro.
    for _ in 0..4 {
        for i in [1, 2] {
            let packet = net.packet(i, 0, b"it is me");
            net.send(i, &packet);
            net.run_ms(9_000);
        }
    }
    let copied = |event: &Event| matches!(event, Event::KeyMoved { is_copied: true, .. });
    assert!(net.nodes[0].events.iter().any(copied));
}

#[test]
fn name_is_whose_it_was_when_it_was_first_addressed() {
    let mut net = Net::named(&["a", "bob", "bob"]);
    let resolve = |net: &mut Net, name: &str| net.nodes[0].engine.resolve(name);
    assert_eq!(resolve(&mut net, "bob"), Err(ResolveError::Unknown("bob".to_owned())));
    net.open(0, 1);
    assert_eq!(resolve(&mut net, "Bob"), Ok(vip(1)));
    // Another one that calls itself bob is not even shown as bob.
    net.open(0, 2);
    assert_eq!(resolve(&mut net, "bob"), Ok(vip(1)));
    let proven = |net: &Net, j| net.peer(0, j).proven.unwrap();
    assert_eq!(proven(&net, 1).name.as_deref(), Some("bob"));
    assert_eq!((proven(&net, 2).name, proven(&net, 2).claimed_name), (None, None));
    // It goes with the key, not with the vIP.
    net.link_down(1);
    net.link_up(1, vip(9));
    let packet = net.packet(1, 0, b"moved");
    net.send(1, &packet);
    net.run_ms(500);
    assert_eq!(resolve(&mut net, "bob"), Ok(vip(9)));
    net.restart(0);
    assert_eq!(resolve(&mut net, "bob"), Ok(vip(9)), "it is stored");
    let invalid = resolve(&mut net, "not a name");
    assert_eq!(invalid, Err(ResolveError::Invalid("not a name".to_owned())));
}

#[test]
fn name_that_two_claim_is_nobodys() {
    let mut net = Net::named(&["a", "bob", "bob"]);
    net.open(0, 1);
    net.open(0, 2);
    let vips = format!("{}, {}", vip(1), vip(2));
    let ambiguous = ResolveError::Ambiguous { name: "bob".to_owned(), vips };
    assert_eq!(net.nodes[0].engine.resolve("bob"), Err(ambiguous));
}

#[test]
fn nothing_is_pinned_before_all_is_proved() {
    let mut net = Net::new(2);
    net.hub.faults.lose = 1000;
    net.message(0, 1, vip(1), MARKER).unwrap();
    net.run_ms(100);
    let opening = net.hub.recorded[0].clone();
    net.give(1, &opening);
    net.run_ms(100);
    // The answer came, and shows a key: a frame of the session must verify first.
    let answer = net.hub.recorded.last().unwrap().clone();
    net.give(0, &answer);
    net.run_ms(100);
    let none = |i: usize, at: Vip| net.nodes[i].engine.known_peers().key_of(at).is_none();
    assert!(none(0, vip(1)) && none(1, vip(0)));
    assert_eq!(net.message(0, 2, vip(0), b"x"), Err(SendError::NoPeer(vip(0))));
}
