use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use net::{FakeHub, Gsi, Net, WANTED, vip};

mod enter;
mod net;

#[test]
fn vip_is_taken_as_it_comes_where_none_is_wanted() {
    let joined = Net::new(FakeHub::default(), config(None)).run().unwrap();
    assert_eq!(joined.vip, vip([7, 10, 0, 2]));
    assert_eq!(joined.network, Network::DEFAULT);
    assert_eq!(joined.hub, Hsk::OURS);
    assert!(!joined.moved);
}

#[test]
fn network_is_what_the_hub_says() {
    let network: Network = "10.7.0.0/16".parse().unwrap();
    let hub = FakeHub { network, ..FakeHub::default() };
    let joined = Net::new(hub, config(None)).run().unwrap();
    assert_eq!((joined.vip, joined.network), (vip([10, 7, 0, 2]), network));
}

#[test]
fn hub_that_does_not_know_gsi_has_24_bits() {
    let network = "10.7.0.0/16".parse().unwrap();
    for gsi in [Gsi::Unknown, Gsi::Garbage, Gsi::OtherNetwork, Gsi::Silent] {
        let hub = FakeHub { network, gsi, ..FakeHub::default() };
        let joined = Net::new(hub, config(None)).run().unwrap();
        assert_eq!(joined.network.to_string(), "10.7.0.0/24", "{gsi:?}");
    }
}

#[test]
fn wanted_vip_is_asked_for_and_granted() {
    for dotted_aip in [false, true] {
        let hub = FakeHub { dotted_aip, ..FakeHub::default() };
        let mut net = Net::new(hub, config(Some(WANTED)));
        let joined = net.run().unwrap();
        assert_eq!((joined.vip, joined.moved), (vip(WANTED), false));
        assert_eq!(net.hub.asked, [vip(WANTED)]);
    }
}

#[test]
fn wanted_vip_that_came_by_itself_is_not_asked_for() {
    let mut net = Net::new(FakeHub::default(), config(Some([7, 10, 0, 2])));
    assert!(!net.run().unwrap().moved);
    assert!(net.hub.asked.is_empty());
}

#[test]
fn vip_that_nobody_can_have_is_refused_to_a_person_and_given_up_otherwise() {
    let wanted = [9, 9, 9, 9];
    for (explicit, first) in [(false, true), (false, false), (true, false)] {
        let config = JoinConfig { explicit, first, ..config(Some(wanted)) };
        let joined = Net::new(FakeHub::default(), config).run().unwrap();
        assert_eq!((joined.vip, joined.moved), (vip([7, 10, 0, 2]), true));
    }
    let config = JoinConfig { explicit: true, first: true, ..config(Some(wanted)) };
    let error = Net::new(FakeHub::default(), config).run().unwrap_err();
    assert_eq!(error.to_string(), "the hub did not give 9.9.9.9: IP can't be used");
}

#[test]
fn vip_in_use_is_refused_to_a_person_at_the_first_join() {
    let config = JoinConfig { explicit: true, first: true, ..config(Some(WANTED)) };
    let error = Net::new(hub_with_wanted_taken(), config).run().unwrap_err();
    assert_eq!(error.to_string(), "the hub did not give 7.10.0.9: IP already in use");
}

#[test]
fn coming_back_steps_aside_and_asks_until_the_vip_is_free() {
    let mut net = Net::new(hub_with_wanted_taken(), config(Some(WANTED)));
    net.hub.free_at = Some(net.start + Duration::from_secs(20));
    let joined = net.run().unwrap();
    assert_eq!((joined.vip, joined.moved), (vip(WANTED), false));
    assert_eq!(net.hub.asked[0], vip(WANTED));
    assert!(net.hub.asked[1].octets()[3] >= 128, "aside is the upper half: {:?}", net.hub.asked);
    assert!(net.hub.asked[2..].iter().all(|asked| *asked == vip(WANTED)));
    let elapsed = net.now.duration_since(net.start);
    assert!((20.0..=21.5).contains(&elapsed.as_secs_f64()), "{elapsed:?}");
    let gaps: Vec<_> = net.asked_at[1..].windows(2).map(|at| at[1] - at[0]).collect();
    assert!(gaps.iter().all(|gap| (MIN_ASK_INTERVAL..=MAX_ASK_INTERVAL).contains(gap)));
    assert!(gaps.iter().max().unwrap().abs_diff(*gaps.iter().min().unwrap()).as_millis() > 300);
}

#[test]
fn coming_back_gives_up_after_a_minute() {
    let mut net = Net::new(hub_with_wanted_taken(), config(Some(WANTED)));
    let joined = net.run().unwrap();
    assert!(joined.moved);
    assert_eq!(joined.vip, net.hub.client, "the hub and we agree on the vIP");
    assert_eq!(net.now.duration_since(net.start), COMING_BACK_TIMEOUT);
}

#[test]
fn vip_of_a_person_is_asked_for_without_end() {
    let config = JoinConfig { explicit: true, ..config(Some(WANTED)) };
    let mut net = Net::new(hub_with_wanted_taken(), config);
    net.hub.free_at = Some(net.start + Duration::from_secs(3600));
    assert_eq!(net.run().unwrap().vip, vip(WANTED));
}

#[test]
fn full_upper_half_ends_stepping_aside_after_eight_tries() {
    let mut hub = hub_with_wanted_taken();
    hub.taken.extend((128..=254).map(|host| vip([7, 10, 0, host])));
    let mut net = Net::new(hub, config(Some(WANTED)));
    let joined = net.run().unwrap();
    assert_eq!((joined.vip, joined.moved), (vip([7, 10, 0, 2]), true));
    let num_aside = net.hub.asked.iter().filter(|asked| **asked != vip(WANTED)).count();
    assert_eq!(num_aside, MAX_ASIDE_TRIES as usize);
}

#[test]
fn hub_that_does_not_know_rqip_keeps_us_where_we_are() {
    let hub = FakeHub { knows_rqip: false, ..FakeHub::default() };
    assert!(Net::new(hub, config(Some(WANTED))).run().unwrap().moved);
}

#[test]
fn published_hub_is_asked_nothing() {
    for flag in ["\0", ""] {
        let hub = FakeHub { hsk: format!("{flag}[2, 7]"), ..FakeHub::default() };
        let mut net = Net::new(hub, config(Some(WANTED)));
        let joined = net.run().unwrap();
        assert_eq!((joined.vip, joined.moved), (vip([7, 10, 0, 2]), true));
        assert_eq!(joined.hub.token, 7);
        assert_eq!(net.num_sent, 0);
    }
    let hub = FakeHub { hsk: "[1, 0]".to_owned(), ..FakeHub::default() };
    let config = JoinConfig { explicit: true, first: true, ..config(Some(WANTED)) };
    let error = Net::new(hub, config).run().unwrap_err();
    assert!(matches!(error, JoinError::VipRefused { .. }), "{error}");
}

#[test]
fn compressing_hub_is_refused() {
    let hub = FakeHub { hsk: "\u{1}[2, 0]".to_owned(), ..FakeHub::default() };
    assert_eq!(Net::new(hub, config(None)).run(), Err(JoinError::Compression));
}

#[test]
fn exit_is_a_refusal_at_any_time_and_its_words_are_tamed() {
    let mut net = Net::new(FakeHub::default(), config(None));
    let error = net.give(FrameType::EXIT, b"Server full").unwrap_err();
    assert_eq!(error.to_string(), "the hub refused: Server full");
    net.give(FrameType::AIP, &WANTED).unwrap();
    let error = net.give(FrameType::EXIT, b"").unwrap_err();
    assert_eq!(error.to_string(), "the hub refused: no reason given");
    net.give(FrameType::HSK, b" [2, 0]").unwrap();
    let error = net.give(FrameType::EXIT, b"\x1b[2Jit's\n\xff").unwrap_err();
    assert_eq!(error.to_string(), "the hub refused: \\u{1b}[2Jit's\\n\u{fffd}");
    let error = net.give(FrameType::EXIT, &[b'x'; 5000]).unwrap_err();
    assert!(error.to_string().len() < 300);
}

#[test]
fn other_frames_in_place_of_the_greeting_are_no_dosp() {
    let mut net = Net::new(FakeHub::default(), config(None));
    let not_aip = net.give(FrameType::HSK, b" [2, 0]").unwrap_err();
    assert_eq!(not_aip.to_string(), "expected AIP, got HSK: this is no DoSP hub");
    net.give(FrameType::AIP, &WANTED).unwrap();
    net.give(FrameType::S2C, b"early").unwrap();
    let not_hsk = net.give(FrameType::AIP, &WANTED).unwrap_err();
    assert!(matches!(not_hsk, JoinError::NotDosp { expected: FrameType::HSK, .. }));
    net.give(FrameType::HSK, b" [2, 0]").unwrap();
}

#[test]
fn addresses_that_no_host_can_have_are_refused() {
    for octets in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255]] {
        let mut net = Net::new(FakeHub::default(), config(None));
        assert!(matches!(net.give(FrameType::AIP, b"bob"), Err(JoinError::Malformed(_))));
        // A hub with members gives no vIP in its greeting: only HSK tells what it is.
        net.give(FrameType::AIP, &octets).unwrap();
        let error = net.give(FrameType::HSK, b" [2, 0]").unwrap_err();
        assert_eq!(error, JoinError::UnusableVip { vip: vip(octets) });
    }
}

#[test]
fn silent_hub_is_given_ten_seconds() {
    let mut net = Net::new(FakeHub::default(), config(None));
    assert_eq!(net.join.poll_timeout(), Some(net.start + JOIN_TIMEOUT));
    net.now += JOIN_TIMEOUT - Duration::from_millis(1);
    net.join.handle_timeout(net.now).unwrap();
    net.give(FrameType::AIP, &WANTED).unwrap();
    assert_eq!(net.join.poll_timeout(), Some(net.start + JOIN_TIMEOUT), "for both together");
    net.now = net.start + JOIN_TIMEOUT;
    let error = net.join.handle_timeout(net.now).unwrap_err();
    assert_eq!(error.to_string(), "the hub sent no HSK within 10 s");
}

#[test]
fn frames_that_are_no_answer_are_ignored() {
    let mut net = Net::new(FakeHub::default(), config(Some(WANTED)));
    net.give(FrameType::AIP, &[7, 10, 0, 2]).unwrap();
    net.give(FrameType::HSK, b" [2, 0]").unwrap();
    for _ in ["GSI", "RQIP"] {
        let waits_until = net.join.poll_timeout();
        for frame_type in [FrameType::PING, FrameType::MSG, FrameType::S2C, FrameType::AIP] {
            net.give(frame_type, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        }
        net.give(FrameType::ERR, &[3, 7, 10, 0, 5, b'x']).unwrap();
        assert_eq!(net.join.poll_timeout(), waits_until);
        net.now += Duration::from_secs(1);
        net.give(FrameType::ERR, &[9, 8]).unwrap();
    }
    net.give(FrameType::RQIP, b"D:").unwrap();
    net.give(FrameType::PING, b"").unwrap();
    net.give(FrameType::AIP, b"7.10.0.9").unwrap();
    assert_eq!(net.join.poll_joined().unwrap().vip, vip(WANTED));
    assert_eq!((net.join.poll_joined(), net.join.poll_timeout()), (None, None));
}

proptest! {
    #[test]
    fn any_sequence_of_frames_never_panics(
        wanted in any::<Option<[u8; 4]>>(),
        explicit in any::<bool>(),
        first in any::<bool>(),
        steps in prop::collection::vec(
            (prop_oneof![
                (any::<u8>(), prop::collection::vec(any::<u8>(), 0..12)),
                Just((0x13, vec![7, 10, 0, 2])),
                Just((0x14, b" [2, 0]".to_vec())),
                Just((0x12, vec![9, 8])),
                Just((0x07, b"D:".to_vec())),
                Just((0x07, b"E:IP already in use".to_vec())),
            ], 0u64..12),
            0..60,
        ),
    ) {
        let config = JoinConfig { wanted: wanted.map(vip), explicit, first };
        let mut net = Net::new(FakeHub::default(), config);
        for ((frame_type, body), seconds) in steps {
            let before = format!("{:?}", net.join);
            if net.give(FrameType(frame_type), &body).is_err() {
                prop_assert_eq!(before, format!("{:?}", net.join), "an error changes nothing");
            }
            net.now += Duration::from_secs(seconds);
            if net.join.handle_timeout(net.now).is_ok() {
                prop_assert!(net.join.poll_timeout().is_none_or(|at| at > net.now));
            }
        }
    }
}

fn config(wanted: Option<[u8; 4]>) -> JoinConfig {
    JoinConfig { wanted: wanted.map(vip), explicit: false, first: false }
}

fn hub_with_wanted_taken() -> FakeHub {
    FakeHub { taken: BTreeSet::from([vip(WANTED)]), ..FakeHub::default() }
}
