//! Entering a network that has members, whose hub is the other half of the handshake.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dosp_proto::frame::{FrameDecoder, FrameType};
use dosp_proto::identity::{IdentityKey, PublicKey};
use dosp_proto::join_string::JoinKey;
use dosp_proto::member::{self, Answerer, Channel, Control, Refusal, Refused, Welcome};
use dosp_proto::message::{Hsk, encode_greeting};
use dosp_proto::vip::Vip;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::net::{WANTED, stranger, vip};
use crate::link::join::{Credentials, JOIN_TIMEOUT, Join, JoinConfig, JoinError};

const REFUSALS: [Refusal; 14] = [
    Refusal::MembersOnly,
    Refusal::WrongKey,
    Refusal::UsedKey,
    Refusal::ExpiredKey,
    Refusal::RevokedKey,
    Refusal::Removed,
    Refusal::NameTaken,
    Refusal::VipTaken,
    Refusal::VipUnusable,
    Refusal::Full,
    Refusal::KeyInUse,
    Refusal::Store,
    Refusal::Kicked,
    Refusal::Other,
];

/// A join that has the greeting of a hub with members, in virtual time.
struct Visit {
    hub: IdentityKey,
    greeting: Vec<u8>,
    join: Join,
    answerer: Option<Answerer>,
    /// The hub's end.
    channel: Option<Channel>,
    rng: StdRng,
    now: Instant,
}

impl Visit {
    fn new(config: JoinConfig, credentials: Credentials) -> Self {
        let now = Instant::now();
        let hsk = Hsk { token: Hsk::DOSP_NET, ..Hsk::OURS };
        let mut visit = Self {
            hub: hub(),
            greeting: encode_greeting(Vip::NONE, hsk),
            join: Join::new(config, Arc::new(credentials), now),
            answerer: None,
            channel: None,
            rng: StdRng::seed_from_u64(11),
            now,
        };
        for (frame_type, body) in frames(&visit.greeting) {
            visit.give(frame_type, &body).unwrap();
        }
        visit
    }

    fn give(&mut self, frame_type: FrameType, body: &[u8]) -> Result<(), JoinError> {
        self.join.handle_frame(frame_type, body, self.now, &mut self.rng)
    }

    fn sent(&mut self) -> Vec<(FrameType, Vec<u8>)> {
        let mut sent = Vec::new();
        self.join.poll_transmit(&mut sent);
        frames(&sent)
    }

    /// The hub's answer to message 1, which is all that it has by now.
    fn message_2(&mut self) -> Vec<u8> {
        let [(FrameType::XHS, message_1)] = &*self.sent() else { panic!("no message 1 alone") };
        let answered = Answerer::answer(&self.hub, &self.greeting, message_1, &mut self.rng);
        let (answerer, message_2) = answered.unwrap();
        self.answerer = Some(answerer);
        frames(&message_2).remove(0).1
    }

    fn introduce(&mut self) -> Result<(), JoinError> {
        let message_2 = self.message_2();
        self.give(FrameType::XHS, &message_2)
    }

    /// Who the hub sees, and what that one wants.
    fn knock(&mut self) -> (PublicKey, member::Join) {
        self.introduce().unwrap();
        let sent = self.sent();
        let [(FrameType::XHS, message_3), (FrameType::XCTL, _)] = &*sent else {
            panic!("{sent:?}")
        };
        let (key, mut channel) = self.answerer.take().unwrap().finish(message_3).unwrap();
        let Control::Join(wishes) = channel.opener.open(&sent[1].1).unwrap() else {
            panic!("no join")
        };
        self.channel = Some(channel);
        (key, *wishes)
    }

    fn say(&mut self, word: &Control) -> Result<(), JoinError> {
        let mut frame = Vec::new();
        self.channel.as_mut().unwrap().sealer.seal(word, &mut frame);
        let (frame_type, body) = frames(&frame).remove(0);
        self.give(frame_type, &body)
    }

    fn pass(&mut self, duration: Duration) -> Result<(), JoinError> {
        self.now += duration;
        self.join.handle_timeout(self.now)
    }
}

#[test]
fn welcome_gives_vip_network_and_name() {
    let mut visit = Visit::new(JoinConfig::default(), credentials());
    let (key, _) = visit.knock();
    assert_eq!(key, *stranger().identity.public());
    visit.say(&Control::Welcome(Box::new(welcome(WANTED)))).unwrap();
    let joined = visit.join.poll_joined().unwrap();
    assert_eq!((joined.vip, joined.moved), (vip(WANTED), false));
    assert_eq!((joined.network, joined.hub.token), (welcome(WANTED).network, Hsk::DOSP_NET));
    let mut membership = visit.join.take_membership().unwrap();
    assert_eq!(membership.welcome, welcome(WANTED));
    assert_eq!(membership.hub_key, *hub().public());
    assert!(visit.join.take_membership().is_none() && visit.join.poll_timeout().is_none());
    assert!(visit.sent().is_empty());
    // The channel goes on where the join left it.
    let mut frame = Vec::new();
    membership.channel.sealer.seal(&Control::Leave, &mut frame);
    let opener = &mut visit.channel.as_mut().unwrap().opener;
    assert_eq!(opener.open(&frames(&frame)[0].1), Ok(Control::Leave));
    visit.channel.as_mut().unwrap().sealer.seal(&Control::Ping, &mut frame);
    assert_eq!(membership.channel.opener.open(&frames(&frame)[1].1), Ok(Control::Ping));
}

#[test]
fn other_vip_than_the_wanted_one_is_a_move_and_an_unusable_one_an_error() {
    let config = JoinConfig { wanted: Some(vip(WANTED)), ..JoinConfig::default() };
    let mut visit = Visit::new(config, credentials());
    visit.knock();
    visit.say(&Control::Welcome(Box::new(welcome([7, 10, 0, 5])))).unwrap();
    assert!(visit.join.poll_joined().unwrap().moved);
    for octets in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1]] {
        let mut visit = Visit::new(config, credentials());
        visit.knock();
        let error = visit.say(&Control::Welcome(Box::new(welcome(octets)))).unwrap_err();
        assert_eq!(error, JoinError::UnusableVip { vip: vip(octets) });
        assert!(visit.join.poll_joined().is_none() && visit.join.take_membership().is_none());
    }
}

#[test]
fn join_key_is_shown_only_to_a_hub_whose_key_was_known_before() {
    let mut known = Visit::new(JoinConfig::default(), credentials());
    assert_eq!(known.knock().1.join_key, credentials().join_key);
    let unknown = Credentials { hub_key: None, ..credentials() };
    let mut unknown = Visit::new(JoinConfig::default(), unknown);
    assert_eq!(unknown.knock().1.join_key, None);
}

#[test]
fn other_hub_sees_neither_our_key_nor_the_join_key() {
    let other = *stranger().identity.public();
    let credentials = Credentials { hub_key: Some(other), ..credentials() };
    let mut visit = Visit::new(JoinConfig::default(), credentials);
    let (known, offered) = (other.fingerprint(), hub().public().fingerprint());
    assert_eq!(visit.introduce(), Err(JoinError::HubKey { known, offered }));
    assert_eq!(visit.sent(), [], "nothing after message 1");
    visit.give(FrameType::XCTL, &[0; 40]).unwrap();
    assert_eq!((visit.sent(), visit.join.poll_joined()), (vec![], None));
}

#[test]
fn known_hub_that_greets_plainly_is_refused() {
    let now = Instant::now();
    for hsk in [&b" [2, 0]"[..], b"[2, 7]", b"\x01[2, 0]"] {
        let mut join = Join::new(JoinConfig::default(), Arc::new(credentials()), now);
        let mut rng = StdRng::seed_from_u64(11);
        join.handle_frame(FrameType::AIP, &WANTED, now, &mut rng).unwrap();
        let error = join.handle_frame(FrameType::HSK, hsk, now, &mut rng).unwrap_err();
        let known = hub().public().fingerprint();
        assert_eq!(error, JoinError::NoHubKey { known });
        assert!(!join.poll_transmit(&mut Vec::new()) && join.poll_joined().is_none());
    }
}

#[test]
fn refusal_keeps_its_reason_and_its_words_are_tamed() {
    let long = "x".repeat(5_000);
    for reason in REFUSALS {
        for (text, tamed) in [
            ("", "no reason given"),
            ("\x1b[2Jit's\n", "\\u{1b}[2Jit's\\n"),
            (&long, &long[..super::MAX_REASON_CHARS]),
        ] {
            let mut visit = Visit::new(JoinConfig::default(), credentials());
            visit.knock();
            let refused = Refused { reason, text: text.to_owned(), time: 7 };
            let error = visit.say(&Control::Refused(refused)).unwrap_err();
            assert_eq!(error.to_string(), format!("the hub refused: {tamed}"));
            let refused = Refused { reason, text: tamed.to_owned(), time: 7 };
            assert_eq!(error, JoinError::NotAdmitted(refused));
            assert!(visit.join.poll_joined().is_none() && visit.sent().is_empty());
        }
    }
}

#[test]
fn ping_is_answered_while_waiting_and_gains_no_time() {
    let mut visit = Visit::new(JoinConfig::default(), credentials());
    visit.knock();
    let waits_until = visit.join.poll_timeout();
    for _ in 0..3 {
        visit.pass(Duration::from_secs(1)).unwrap();
        visit.say(&Control::Ping).unwrap();
        let [(FrameType::XCTL, body)] = &*visit.sent() else { panic!("no pong alone") };
        let opener = &mut visit.channel.as_mut().unwrap().opener;
        assert_eq!(opener.open(body), Ok(Control::Pong));
    }
    assert_eq!(visit.join.poll_timeout(), waits_until);
    visit.say(&Control::Welcome(Box::new(welcome(WANTED)))).unwrap();
    assert!(visit.join.poll_joined().is_some());
}

#[test]
fn words_and_frames_that_are_no_answer_are_ignored() {
    let mut visit = Visit::new(JoinConfig::default(), credentials());
    let others = [FrameType::AIP, FrameType::S2C, FrameType::ERR, FrameType::GSI, FrameType::XCTL];
    let waits_until = visit.join.poll_timeout();
    for frame_type in others {
        visit.give(frame_type, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    }
    assert_eq!(visit.join.poll_timeout(), waits_until);
    visit.knock();
    let waits_until = visit.join.poll_timeout();
    for frame_type in others.into_iter().filter(|other| *other != FrameType::XCTL) {
        visit.give(frame_type, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    }
    visit.give(FrameType::XHS, &[0; 96]).unwrap();
    for word in [Control::Pong, Control::Restarting, Control::Unknown(200)] {
        visit.say(&word).unwrap();
    }
    assert_eq!((visit.join.poll_timeout(), visit.sent()), (waits_until, vec![]));
    visit.say(&Control::Welcome(Box::new(welcome(WANTED)))).unwrap();
    assert!(visit.join.poll_joined().is_some());
}

#[test]
fn garbage_ends_the_handshake_before_our_key_is_shown() {
    let mut visit = Visit::new(JoinConfig::default(), credentials());
    let mut changed = visit.message_2();
    *changed.last_mut().unwrap() ^= 1;
    for body in [&b""[..], &[7; 32], &[7; 200], &changed] {
        let mut visit = Visit::new(JoinConfig::default(), credentials());
        visit.message_2();
        let error = visit.give(FrameType::XHS, body).unwrap_err();
        assert!(matches!(error, JoinError::Handshake(_)), "{error}");
        assert!(visit.sent().is_empty());
    }
}

#[test]
fn words_that_are_forged_or_make_no_sense_are_errors() {
    for body in [&b""[..], &[7; 15], &[7; 60]] {
        let mut visit = Visit::new(JoinConfig::default(), credentials());
        visit.knock();
        let error = visit.give(FrameType::XCTL, body).unwrap_err();
        assert_eq!(error, JoinError::Control(member::OpenError::Forged));
        assert!(visit.join.poll_joined().is_none());
    }
    let mut visit = Visit::new(JoinConfig::default(), credentials());
    visit.knock();
    let mut frame = Vec::new();
    visit.channel.as_mut().unwrap().sealer.seal_encoded(b"\x02{}", &mut frame);
    let error = visit.give(FrameType::XCTL, &frames(&frame)[0].1).unwrap_err();
    assert_eq!(error, JoinError::Control(member::OpenError::Malformed { kind: 2 }));
}

#[test]
fn silence_is_borne_for_ten_seconds_at_each_step() {
    let almost = JOIN_TIMEOUT - Duration::from_millis(1);
    let mut visit = Visit::new(JoinConfig::default(), credentials());
    visit.pass(almost).unwrap();
    visit.knock();
    visit.pass(almost).unwrap();
    let error = visit.pass(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.to_string(), "the hub sent no XCTL within 10 s");
    let mut visit = Visit::new(JoinConfig::default(), credentials());
    let error = visit.pass(JOIN_TIMEOUT).unwrap_err();
    assert_eq!(error.to_string(), "the hub sent no XHS within 10 s");
}

#[test]
fn what_a_person_said_is_insisted_on_at_the_first_join_only() {
    for (first, explicit) in [(true, true), (true, false), (false, true), (false, false)] {
        let config = JoinConfig { wanted: Some(vip(WANTED)), explicit, first };
        let wishes = Visit::new(config, credentials()).knock().1;
        assert_eq!(wishes.vip, Some(vip(WANTED)).filter(|_| first && explicit));
        assert_eq!((wishes.name, wishes.insists_on_name), (credentials().name, first));
        assert!(!wishes.is_guest);
    }
    let guest = Credentials { is_guest: true, insists_on_name: false, ..credentials() };
    let config = JoinConfig { first: true, ..JoinConfig::default() };
    let wishes = Visit::new(config, guest).knock().1;
    assert!(wishes.is_guest && !wishes.insists_on_name);
}

proptest! {
    #[test]
    fn any_frames_while_entering_show_nothing_and_let_nobody_in(
        steps in prop::collection::vec(
            (any::<u8>(), prop::collection::vec(any::<u8>(), 0..120)), 0..40,
        ),
        knocks in any::<bool>(),
    ) {
        let mut visit = Visit::new(JoinConfig::default(), credentials());
        if knocks {
            visit.knock();
        } else {
            visit.message_2();
        }
        for (frame_type, body) in steps {
            drop(visit.give(FrameType(frame_type), &body));
            prop_assert_eq!(visit.sent(), []);
        }
        prop_assert!(visit.join.poll_joined().is_none());
    }
}

/// A node with a join string of [`hub`].
fn credentials() -> Credentials {
    Credentials {
        hub_key: Some(*hub().public()),
        join_key: Some(JoinKey::generate(&mut StdRng::seed_from_u64(5))),
        name: "bob".parse().ok(),
        insists_on_name: true,
        ..stranger()
    }
}

fn hub() -> IdentityKey {
    IdentityKey::generate(&mut StdRng::seed_from_u64(9))
}

fn welcome(octets: [u8; 4]) -> Welcome {
    Welcome {
        vip: vip(octets),
        network: "7.10.0.0/16".parse().unwrap(),
        name: "bob".parse().ok(),
        is_closed: true,
        time: 1_800_000_000,
        networks: Vec::new(),
    }
}

fn frames(bytes: &[u8]) -> Vec<(FrameType, Vec<u8>)> {
    let mut decoder = FrameDecoder::new(64 * 1024);
    decoder.extend(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next_frame().unwrap() {
        frames.push((frame.frame_type(), frame.body().to_vec()));
    }
    frames
}
