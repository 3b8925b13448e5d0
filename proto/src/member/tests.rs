use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::federation::{Claim, RemoteNetwork, Routes};
use crate::label::Label;
use crate::message::{Hsk, encode_greeting};
use crate::vip::{Network, Vip};

struct Ends {
    agent: IdentityKey,
    hub: IdentityKey,
    greeting: Vec<u8>,
    rng: StdRng,
}

impl Ends {
    fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(3);
        let (agent, hub) = (IdentityKey::generate(&mut rng), IdentityKey::generate(&mut rng));
        let hsk = Hsk { token: Hsk::DOSP_NET, ..Hsk::OURS };
        Self { agent, hub, greeting: encode_greeting(Vip::NONE, hsk), rng }
    }

    fn channels(&mut self) -> (Channel, Channel) {
        let (dialler, first) =
            Dialler::start(Purpose::Join, &self.agent, &self.greeting, &mut self.rng).unwrap();
        let (answerer, second) =
            Answerer::answer(&self.hub, &self.greeting, body(&first), &mut self.rng).unwrap();
        let introduced = dialler.read_answer(&self.agent, body(&second)).unwrap();
        assert_eq!(introduced.hub_key(), self.hub.public());
        let (third, ours) = introduced.finish().unwrap();
        let (key, theirs) = answerer.finish(body(&third)).unwrap();
        assert_eq!(key, *self.agent.public());
        (ours, theirs)
    }
}

/// The body of a whole XHS or XCTL frame.
fn body(frame: &[u8]) -> &[u8] {
    assert!(matches!(FrameType(frame[0]), FrameType::XHS | FrameType::XCTL));
    &frame[5..]
}

fn node(x: u8) -> Node {
    let vip = Vip::from([10, 1, 2, x]);
    Node { key: [x; 32].into(), vip, name: "bob".parse().ok(), is_online: true }
}

fn words() -> Vec<(Control, &'static [u8])> {
    let join = Join { name: "bob".parse().ok(), vip: "10.1.2.3".parse().ok(), ..Join::default() };
    let welcome = Welcome {
        vip: Vip::from([10, 1, 2, 3]),
        network: "10.1.2.0/24".parse().unwrap(),
        name: "bob".parse::<Label>().ok(),
        is_closed: true,
        time: 1_800_000_000,
        networks: Vec::new(),
    };
    let refused = Refused { reason: Refusal::NameTaken, text: "no".to_owned(), time: 7 };
    vec![
        (
            Control::Join(Box::new(join)),
            br#"{"name":"bob","insists_on_name":false,"vip":"10.1.2.3","is_guest":false}"#,
        ),
        (
            Control::Welcome(Box::new(welcome)),
            br#"{"vip":"10.1.2.3","network":"10.1.2.0/24","name":"bob","is_closed":true,"time":1800000000}"#,
        ),
        (Control::Refused(refused), br#"{"reason":"name_taken","text":"no","time":7}"#),
        (
            Control::Nodes(Nodes { nodes: vec![node(3)], is_done: true, ..Nodes::default() }),
            br#"{"is_snapshot":false,"nodes":[{"key":"AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=","vip":"10.1.2.3","name":"bob","is_online":true}],"is_done":true}"#,
        ),
        (
            Control::Gone(gone()),
            br#"{"vip":"10.1.2.3","why":"offline"}"#,
        ),
        (Control::Ping, b"{}"),
        (Control::Pong, b"{}"),
        (Control::Leave, b"{}"),
        (Control::Frame(FrameType::FN, b"time".to_vec()), b"\x05time"),
        (Control::Restarting, b"{}"),
        (
            Control::Routes(routes()),
            br#"{"max_frame_len":1048576,"routes":[{"network":"7.11.0.0/24","hub":"berlin","path":["01020304"]}]}"#,
        ),
        (
            Control::Networks(vec![remote()]),
            br#"{"networks":[{"network":"7.11.0.0/24","hub":"berlin","num_hops":1}]}"#,
        ),
        (Control::List("7.11.0.{x}".parse().unwrap()), br#"{"network":"7.11.0.0/24"}"#),
    ]
}

fn gone() -> Gone {
    Gone { vip: Vip::from([10, 1, 2, 3]), why: GoneReason::Offline, to: None, ttl: 0 }
}

fn routes() -> Routes {
    let network = "7.11.0.{x}".parse().unwrap();
    let claim = Claim { network, hub: "berlin".parse().ok(), path: vec![[1, 2, 3, 4].into()] };
    Routes { max_frame_len: 1 << 20, routes: vec![claim] }
}

fn remote() -> RemoteNetwork {
    let network = "7.11.0.{x}".parse().unwrap();
    RemoteNetwork { network, hub: "berlin".parse().ok(), num_hops: Some(1) }
}

#[test]
fn fields_of_hubs_and_of_other_networks_are_golden() {
    let gone = Gone { to: "7.11.0.3".parse().ok(), ttl: 7, why: GoneReason::Unreachable, ..gone() };
    let page = Nodes { network: "7.11.0.{x}".parse().ok(), is_done: true, ..Nodes::default() };
    let words = [
        (Control::Gone(gone), r#"{"vip":"10.1.2.3","why":"unreachable","to":"7.11.0.3","ttl":7}"#),
        (
            Control::Nodes(page),
            r#"{"network":"7.11.0.0/24","is_snapshot":false,"nodes":[],"is_done":true}"#,
        ),
    ];
    for (word, content) in words {
        assert_eq!(
            word.encode()[1..].escape_ascii().to_string(),
            content.escape_default().to_string()
        );
        assert_eq!(Control::decode(&word.encode()), Ok(word));
    }
}

#[test]
fn words_are_golden_and_read_back() {
    for (kind, (word, content)) in (1..).zip(words()) {
        let encoded = word.encode();
        assert_eq!(encoded[0], kind, "{word:?}");
        assert_eq!(encoded[1..].escape_ascii().to_string(), content.escape_ascii().to_string());
        assert_eq!(Control::decode(&encoded), Ok(word));
    }
}

#[test]
fn what_a_later_revision_says_is_passed_over() {
    assert_eq!(Control::decode(b"\xC8{\"a\":1}"), Ok(Control::Unknown(0xC8)));
    let refused = Control::decode(b"\x03{\"reason\":\"too_tall\",\"height\":3}").unwrap();
    let Control::Refused(refused) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.reason, Refusal::Other);
    for (text, kind) in [(&b""[..], 0), (b"\x02{}", 2), (b"\x09", 9), (b"\x01[", 1)] {
        assert_eq!(Control::decode(text), Err(OpenError::Malformed { kind }));
    }
}

#[test]
fn both_ends_learn_keys_and_hear_each_other_in_order() {
    let (mut agent, mut hub) = Ends::new().channels();
    for (word, _) in words() {
        let mut frame = Vec::new();
        agent.sealer.seal(&word, &mut frame);
        assert_eq!(hub.opener.open(body(&frame)), Ok(word.clone()));
        frame.clear();
        hub.sealer.seal(&word, &mut frame);
        assert_eq!(agent.opener.open(body(&frame)), Ok(word));
    }
}

#[test]
fn replayed_reordered_reflected_and_changed_words_do_not_open() {
    let (mut agent, mut hub) = Ends::new().channels();
    let mut frames = [Vec::new(), Vec::new()];
    frames.iter_mut().for_each(|frame| agent.sealer.seal(&Control::Ping, frame));
    assert_eq!(hub.opener.open(body(&frames[1])), Err(OpenError::Forged), "before the first");
    assert_eq!(agent.opener.open(body(&frames[0])), Err(OpenError::Forged), "our own");
    for at in 0..body(&frames[0]).len() {
        let mut changed = body(&frames[0]).to_vec();
        changed[at] ^= 1;
        assert_eq!(hub.opener.open(&changed), Err(OpenError::Forged), "{at}");
    }
    assert_eq!(hub.opener.open(&[0; 15]), Err(OpenError::Forged), "shorter than a tag");
    assert_eq!(hub.opener.open(body(&frames[0])), Ok(Control::Ping));
    assert_eq!(hub.opener.open(body(&frames[0])), Err(OpenError::Forged), "again");
    assert_eq!(hub.opener.open(body(&frames[1])), Ok(Control::Ping));
}

#[test]
fn handshake_is_bound_to_the_greeting() {
    let mut ends = Ends::new();
    let (dialler, first) =
        Dialler::start(Purpose::Join, &ends.agent, &ends.greeting, &mut ends.rng).unwrap();
    let other = encode_greeting(Vip::NONE, Hsk::OURS);
    let (_, second) = Answerer::answer(&ends.hub, &other, body(&first), &mut ends.rng).unwrap();
    assert!(dialler.read_answer(&ends.agent, body(&second)).is_err());
}

#[test]
fn replayed_handshake_makes_no_channel() {
    let mut ends = Ends::new();
    let (dialler, first) =
        Dialler::start(Purpose::Join, &ends.agent, &ends.greeting, &mut ends.rng).unwrap();
    let answer = |ends: &mut Ends| {
        Answerer::answer(&ends.hub, &ends.greeting, body(&first), &mut ends.rng).unwrap()
    };
    let (_, second) = answer(&mut ends);
    let (third, _) = dialler.read_answer(&ends.agent, body(&second)).unwrap().finish().unwrap();
    let (again, _) = answer(&mut ends);
    assert!(again.finish(body(&third)).is_err());
    for len in [0, 31, 33, 200] {
        let wrong = vec![9; len];
        let refused = Answerer::answer(&ends.hub, &ends.greeting, &wrong, &mut ends.rng);
        assert_eq!(refused.map(|_| ()), Err(NoiseError::Length));
    }
}

#[test]
fn network_is_told_in_either_form() {
    for text in ["10.1.2.0/24", "10.0.0.0/16"] {
        let network: Network = text.parse().unwrap();
        let welcome = Welcome {
            vip: Vip::NONE,
            network,
            name: None,
            is_closed: false,
            time: 0,
            networks: Vec::new(),
        };
        let word = Control::Welcome(Box::new(welcome));
        assert_eq!(Control::decode(&word.encode()), Ok(word));
    }
}

proptest! {
    #[test]
    fn any_plaintext_is_survived(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(Control::decode(&text));
    }
}

#[test]
fn hub_that_dials_is_told_from_an_agent_and_neither_passes_for_the_other() {
    let mut ends = Ends::new();
    for (purpose, len) in [(Purpose::Join, 32), (Purpose::Peer, 33)] {
        let (dialler, first) =
            Dialler::start(purpose, &ends.agent, &ends.greeting, &mut ends.rng).unwrap();
        assert_eq!(body(&first).len(), len);
        let (answerer, _) =
            Answerer::answer(&ends.hub, &ends.greeting, body(&first), &mut ends.rng).unwrap();
        assert_eq!(answerer.purpose(), purpose);
        // Somebody on the way says that it is the other one.
        let mut other = body(&first)[..32].to_vec();
        if purpose == Purpose::Join {
            other.push(0x01);
        }
        let (_, second) =
            Answerer::answer(&ends.hub, &ends.greeting, &other, &mut ends.rng).unwrap();
        assert!(dialler.read_answer(&ends.agent, body(&second)).is_err());
    }
}
