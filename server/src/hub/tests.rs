use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use dosp_proto::frame::FrameDecoder;
use proptest::prelude::*;

fn vip(text: &str) -> Vip {
    text.parse().unwrap()
}

fn addr() -> SocketAddr {
    "192.0.2.1:5000".parse().unwrap()
}

fn frames(bytes: &[u8]) -> Vec<(FrameType, Vec<u8>)> {
    let mut decoder = FrameDecoder::new(1 << 20);
    decoder.extend(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next_frame().unwrap() {
        frames.push((frame.frame_type(), frame.body().to_vec()));
    }
    assert_eq!(decoder.buffered_len(), 0);
    frames
}

/// A hub, its clock, and what a client would see.
struct Bench {
    hub: Hub,
    now: Instant,
}

impl Bench {
    fn new(network: &str) -> Self {
        Self { hub: Hub::new(network.parse().unwrap(), 1000), now: Instant::now() }
    }

    fn admit(&mut self) -> Admitted {
        self.hub.admit(addr(), self.now).unwrap()
    }

    fn control(&mut self, id: SessionId, frame_type: FrameType, body: &[u8]) -> Effect {
        self.hub.handle_control(id, frame_type, body, self.now)
    }

    fn answer(&mut self, id: SessionId, frame_type: FrameType, body: &[u8]) -> (FrameType, String) {
        let Effect::Reply(bytes) = self.control(id, frame_type, body) else { panic!("no reply") };
        let [(frame_type, body)] = frames(&bytes).try_into().unwrap();
        (frame_type, body.escape_ascii().to_string())
    }
}

#[test]
fn greeting_is_aip_then_hsk() {
    let admitted = Bench::new("7.10.0.{x}").admit();
    assert_eq!(admitted.vip.get(), vip("7.10.0.2"));
    let expected = [&[0x13, 0, 0, 0, 4, 7, 10, 0, 2][..], b"\x14\0\0\0\x07 [2, 0]"].concat();
    assert_eq!(admitted.greeting, expected);
}

#[test]
fn full_hub_refuses_and_says_why() {
    let mut bench = Bench::new("10.0.0.0/29");
    let ids: Vec<_> = (0..5).map(|_| bench.admit().id).collect();
    let refused = bench.hub.admit(addr(), bench.now).unwrap_err();
    assert_eq!(refused, Refused::NoVipLeft);
    assert_eq!(frames(&refused.exit_frame()), [(FrameType::EXIT, b"Server full".to_vec())]);
    assert_eq!(bench.hub.remove(ids[2], 0).map(|(vip, _)| vip), Some(vip("10.0.0.4")));
    assert_eq!(bench.admit().vip.get(), vip("10.0.0.4"));

    let mut hub = Hub::new(Network::DEFAULT, 1);
    hub.admit(addr(), bench.now).unwrap();
    assert_eq!(hub.admit(addr(), bench.now).unwrap_err(), Refused::TooManyClients);
}

#[test]
fn ping_is_answered_empty() {
    let mut bench = Bench::new("7.10.0.{x}");
    let id = bench.admit().id;
    assert_eq!(bench.answer(id, FrameType::PING, b"anything"), (FrameType::PING, String::new()));
}

#[test]
fn client_list_is_sorted() {
    let mut bench = Bench::new("7.10.0.{x}");
    let first = bench.admit().id;
    bench.admit();
    bench.control(first, FrameType::RQIP, &[7, 10, 0, 200]);
    let Effect::Reply(reply) = bench.control(first, FrameType::GCL, b"") else { panic!() };
    let list = ClientList::decode(&frames(&reply)[0].1).unwrap();
    assert_eq!(list.0, [vip("7.10.0.3"), vip("7.10.0.200")]);
}

#[test]
fn granted_vip_frees_the_old_one() {
    let mut bench = Bench::new("7.10.0.{x}");
    let id = bench.admit().id;
    let effect = bench.control(id, FrameType::RQIP, &[7, 10, 0, 77]);
    let Effect::Readdress { from, to, reply } = effect else { panic!("{effect:?}") };
    assert_eq!((from, to), (vip("7.10.0.2"), vip("7.10.0.77")));
    let expected = [(FrameType::RQIP, b"D:".to_vec()), (FrameType::AIP, [7, 10, 0, 77].to_vec())];
    assert_eq!(frames(&reply), expected);
    assert_eq!(bench.admit().vip.get(), vip("7.10.0.2"));
    assert_eq!(bench.hub.remove(id, 0).map(|(vip, _)| vip), Some(vip("7.10.0.77")));
}

#[test]
fn own_vip_is_granted() {
    let mut bench = Bench::new("7.10.0.{x}");
    let admitted = bench.admit();
    let effect = bench.control(admitted.id, FrameType::RQIP, &admitted.vip.get().octets());
    assert!(matches!(effect, Effect::Readdress { from, to, .. } if from == to));
    assert_eq!(bench.admit().vip.get(), vip("7.10.0.3"));
}

#[test]
fn refused_vip_request_changes_nothing() {
    let mut bench = Bench::new("7.10.0.{x}");
    let id = bench.admit().id;
    bench.admit();
    let unusable = (FrameType::RQIP, "E:IP can\\'t be used".to_owned());
    for body in [
        &[7, 10, 0, 0][..],
        &[7, 10, 0, 1],
        &[7, 10, 0, 255],
        &[7, 10, 1, 2],
        &[0; 4],
        &[127, 0, 0, 1],
        &[],
        &[7, 10, 0],
        &[7, 10, 0, 9, 0],
        b"7.10.0.9",
    ] {
        assert_eq!(bench.answer(id, FrameType::RQIP, body), unusable, "{body:?}");
    }
    let in_use = (FrameType::RQIP, "E:IP already in use".to_owned());
    assert_eq!(bench.answer(id, FrameType::RQIP, &[7, 10, 0, 3]), in_use);
    assert_eq!(bench.hub.remove(id, 0).map(|(vip, _)| vip), Some(vip("7.10.0.2")));
}

#[test]
fn session_info_tells_age_and_frames() {
    let mut bench = Bench::new("7.10.0.{x}");
    let admitted = bench.admit();
    admitted.counters.rx.store(3, Ordering::Relaxed);
    admitted.counters.tx.store(4, Ordering::Relaxed);
    bench.now += Duration::from_millis(12_900);
    let Effect::Reply(reply) = bench.control(admitted.id, FrameType::GSI, b"") else { panic!() };
    let body = frames(&reply).remove(0).1;
    assert_eq!(
        String::from_utf8(body).unwrap(),
        r#"{"vip":"7.10.0.2","network":"7.10.0.0/24","uptime_s":12,"rx_frames":3,"tx_frames":4,"admin":false}"#
    );
}

#[test]
fn totals_have_the_frames_and_bytes_of_sessions_that_are_gone() {
    let mut bench = Bench::new("7.10.0.{x}");
    let sessions = [bench.admit(), bench.admit()];
    for (session, count) in sessions.iter().zip([1, 10]) {
        session.counters.rx.store(count, Ordering::Relaxed);
        session.counters.tx.store(2 * count, Ordering::Relaxed);
        session.counters.rx_bytes.store(300 * count, Ordering::Relaxed);
        session.counters.tx_bytes.store(4000 * count, Ordering::Relaxed);
    }
    let totals = |bench: &Bench| {
        let report = bench.hub.report(bench.now);
        (report.sessions.len(), report.num_frames, report.num_bytes)
    };
    assert_eq!(totals(&bench), (2, (11, 22), (3300, 44_000)));
    bench.hub.remove(sessions[1].id, 0).unwrap();
    assert_eq!(totals(&bench), (1, (11, 22), (3300, 44_000)));
    assert_eq!(bench.hub.remove(sessions[1].id, 0), None);
    assert_eq!(totals(&bench), (1, (11, 22), (3300, 44_000)), "counted once");
}

#[test]
fn unknown_type_is_reported_with_its_byte() {
    let mut bench = Bench::new("7.10.0.{x}");
    let id = bench.admit().id;
    for frame_type in [0x00, 0x13, 0x14, 0x1A, 0x20, 0xFF] {
        let Effect::Reply(reply) = bench.control(id, FrameType(frame_type), b"x") else { panic!() };
        assert_eq!(frames(&reply), [(FrameType::ERR, vec![0x09, frame_type])]);
    }
}

#[test]
fn message_is_cut_and_escaped() {
    let mut bench = Bench::new("7.10.0.{x}");
    let id = bench.admit().id;
    let mut body = b"\x1b[31mred\0\r\n\xff".to_vec();
    body.resize(1 << 20, b'a');
    let Effect::Log { text, message_len, .. } = bench.control(id, FrameType::MSG, &body) else {
        panic!()
    };
    assert!(text.starts_with("\\u{1b}[31mred\\0\\r\\n"), "{text}");
    assert!(!text.chars().any(char::is_control));
    assert!(text.len() < 300);
    assert_eq!(message_len, 1 << 20);
}

#[test]
fn messages_are_logged_ten_a_second_and_the_rest_counted() {
    let mut bench = Bench::new("7.10.0.{x}");
    let id = bench.admit().id;
    let logged =
        (0..25).filter(|_| bench.control(id, FrameType::MSG, b"hi") != Effect::Nothing).count();
    assert_eq!(logged, 10);
    bench.now += Duration::from_secs(1);
    let effect = bench.control(id, FrameType::MSG, b"hi");
    assert!(matches!(effect, Effect::Log { num_suppressed: 15, .. }), "{effect:?}");
}

#[test]
fn exit_closes() {
    let mut bench = Bench::new("7.10.0.{x}");
    let id = bench.admit().id;
    let effect = bench.control(id, FrameType::EXIT, b"CC,\x07");
    assert_eq!(effect, Effect::Close { code: "CC,\\u{7}".to_owned() });
}

#[test]
fn removed_session_causes_nothing() {
    let mut bench = Bench::new("7.10.0.{x}");
    let id = bench.admit().id;
    bench.hub.remove(id, 0).map(|(vip, _)| vip);
    assert_eq!(bench.hub.remove(id, 0).map(|(vip, _)| vip), None);
    assert_eq!(bench.control(id, FrameType::RQIP, &[7, 10, 0, 9]), Effect::Nothing);
    assert_eq!(bench.control(id, FrameType::GSI, b""), Effect::Nothing);
    assert_eq!(bench.hub.num_sessions(), 0);
}

proptest! {
    #[test]
    fn no_vip_ever_has_two_owners(steps in proptest::collection::vec((0u8..3, 0usize..8, 0u8..20), 0..200)) {
        let mut bench = Bench::new("10.0.0.0/28");
        let mut owned: Vec<(SessionId, Vip)> = Vec::new();
        for (what, who, wanted) in steps {
            match (what, owned.get_mut(who)) {
                (0, _) => if let Ok(admitted) = bench.hub.admit(addr(), bench.now) {
                    owned.push((admitted.id, admitted.vip.get()));
                },
                (1, Some((id, _))) => {
                    bench.hub.remove(*id, 0).map(|(vip, _)| vip);
                    owned.remove(who);
                }
                (2, Some((id, vip))) => {
                    let effect = bench.hub.handle_control(*id, FrameType::RQIP, &[10, 0, 0, wanted], bench.now);
                    if let Effect::Readdress { from, to, .. } = effect {
                        prop_assert_eq!(from, *vip);
                        *vip = to;
                    }
                }
                _ => {}
            }
            let mut vips: Vec<_> = owned.iter().map(|(_, vip)| *vip).collect();
            vips.sort();
            prop_assert_eq!(bench.hub.client_list().0, vips.clone());
            vips.dedup();
            prop_assert_eq!(vips.len(), owned.len());
        }
    }
}

#[test]
fn administrators_come_from_this_machine_unless_configured() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0123456789abcdef").unwrap();
    let tokens = crate::tokens::AdminTokens::from_file(file.path()).unwrap();
    for allows_remote in [false, true] {
        let mut bench = Bench::new("7.10.0.{x}");
        bench.hub = bench.hub.with_admin(AdminAccess { tokens: tokens.clone(), allows_remote });
        let id = bench.admit().id;
        let effect = bench.control(id, FrameType::AUTH, b"0123456789abcdef");
        let Effect::Auth { outcome, .. } = effect else { panic!("{effect:?}") };
        let expected = if allows_remote { Ok(()) } else { Err(AuthRefusal::Remote) };
        assert_eq!(outcome, expected);
    }
}

#[test]
fn five_wrong_tokens_a_minute_are_looked_at() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0123456789abcdef").unwrap();
    let tokens = crate::tokens::AdminTokens::from_file(file.path()).unwrap();
    let mut bench = Bench::new("7.10.0.{x}");
    bench.hub = bench.hub.with_admin(AdminAccess { tokens, allows_remote: true });
    let id = bench.admit().id;
    let guess = |bench: &mut Bench, token: &[u8]| {
        let effect = bench.control(id, FrameType::AUTH, token);
        let Effect::Auth { outcome, .. } = effect else { panic!("{effect:?}") };
        outcome
    };
    for _ in 0..4 {
        assert_eq!(guess(&mut bench, b"wrong"), Err(AuthRefusal::Wrong));
    }
    assert_eq!(guess(&mut bench, b"wrong"), Err(AuthRefusal::WrongAndLockedOut));
    assert_eq!(guess(&mut bench, b"0123456789abcdef"), Err(AuthRefusal::LockedOut));
    bench.now += Duration::from_secs(60);
    assert_eq!(guess(&mut bench, b"0123456789abcdef"), Ok(()));
}
