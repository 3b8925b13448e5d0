//! Two nodes with tunnels of version 2, two strangers, the time, and somebody between them who sees,
//! changes and makes up DATA.
//!
//! The rules that hold at every step: a frame opens only if the peer sealed these very bytes, as the
//! content that it sealed, and only once; no key seals two frames with one counter; a proved key is
//! that of a node, and a confirmed session is one with the peer; what fails changes nothing.

mod side;

use std::collections::{BTreeMap, HashMap};
use std::iter;
use std::time::{Duration, Instant};

use dosp_proto::buffer::PacketBuf;
use dosp_proto::identity::PublicKey;
use dosp_proto::label::is_name;
use dosp_proto::tunnel::v1::HELLO_LEN;
use dosp_proto::tunnel::v2::{Kind, Message, OVERHEAD_LEN};
use rand::SeedableRng;
use rand::rngs::StdRng;

use self::side::Side;
use crate::Input;

/// The node that insists where both open at once, and its peer.
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;

const HELLO: [u8; HELLO_LEN] = [0x15; HELLO_LEN];
/// The first byte of a frame.
const FRAME_MARK: u8 = 0xD2;
/// More answers to answers, with no time between them, are a loop.
const MAX_ROUNDS: usize = 20;
const MAX_HALF_OPEN_OF_VIP: usize = 4;
/// Whatever was done to them, the two have a session so long after it ended.
const RECOVERY: Duration = Duration::from_secs(10);
/// While time passes, the timers are looked at so often.
const TICK: Duration = Duration::from_millis(250);

/// What came of DATA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Opened,
    Handshake,
    Failed,
}

/// DATA that somebody sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) from: usize,
    pub(crate) data: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct PairV2 {
    /// `A`, `B`, somebody who says to `A` that he is `B`, and one who says to `B` that he is `A`.
    sides: Vec<Side>,
    now: Instant,
    rng: StdRng,
    /// Everything that was ever sent, in order.
    pub(crate) sent: Vec<Sent>,
    /// Sealed frames that have not opened, by sender and bytes, with what is in them as far as that
    /// is known.
    unopened: BTreeMap<(usize, Vec<u8>), Option<Content>>,
    /// What was sealed by a sender, for an index, with a counter: the beginnings of text and frame.
    sealed: HashMap<Nonce, (Vec<u8>, Vec<u8>)>,
    num_sealed: u32,
}

/// What is in a frame.
type Content = (Kind, Vec<u8>);
/// A sender, and the index and the counter that it put into a frame.
type Nonce = (usize, [u8; 12]);

/// To whom a side talks.
fn peer(number: usize) -> usize {
    [B, A, A, B][number]
}

impl PairV2 {
    pub(crate) fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(2);
        Self {
            sides: (0..4).map(|number| Side::new(number, &mut rng)).collect(),
            now: Instant::now(),
            rng,
            sent: Vec::new(),
            unopened: BTreeMap::new(),
            sealed: HashMap::new(),
            num_sealed: 0,
        }
    }

    /// A pair with a confirmed session that one of the two opened.
    pub(crate) fn open_by(number: usize) -> Self {
        let mut pair = Self::new();
        pair.open(number);
        pair.settle();
        assert!(pair.is_confirmed());
        pair
    }

    fn is_confirmed(&self) -> bool {
        [A, B].iter().all(|&number| self.sides[number].tunnel.is_confirmed())
    }

    /// Lets time pass. What the two want to send is carried, or stays with them.
    pub(crate) fn pass(&mut self, duration: Duration, carried: bool) {
        let end = self.now + duration;
        loop {
            self.now = (self.now + TICK).min(end);
            for number in [A, B] {
                let tunnel = &mut self.sides[number].tunnel;
                if tunnel.poll_timeout().is_some_and(|at| at <= self.now) {
                    tunnel.handle_timeout(self.now, &mut self.rng);
                    let next = tunnel.poll_timeout();
                    assert!(next.is_none_or(|at| at > self.now), "a timer that never rests");
                }
                if tunnel.needs_opening() {
                    self.open(number);
                }
            }
            if carried {
                self.settle();
            }
            if self.now == end {
                return;
            }
        }
    }

    pub(crate) fn open(&mut self, number: usize) {
        let Side { endpoint, tunnel, ends } = &mut self.sides[number];
        tunnel.open(endpoint, *ends, &HELLO, self.now, &mut self.rng);
        assert!(tunnel.is_opening());
    }

    /// As when the peer answers in version 1.
    pub(crate) fn give_up_opening(&mut self, number: usize) {
        let tunnel = &mut self.sides[number].tunnel;
        tunnel.give_up_opening();
        assert_eq!(tunnel.opening_since(), None);
    }

    /// As after a reconnect.
    pub(crate) fn discard(&mut self, number: usize) {
        let tunnel = &mut self.sides[number].tunnel;
        tunnel.discard();
        assert!(!tunnel.is_open() && !tunnel.is_opening() && tunnel.poll_data().is_none());
    }

    /// The key stays, and nothing else.
    pub(crate) fn restart(&mut self, number: usize) {
        self.sides[number] = Side::new(number, &mut self.rng);
    }

    /// Seals a message or packet that no other is equal to; `false` where there is no session.
    pub(crate) fn seal(&mut self, from: usize, kind: Kind, padding: usize) -> bool {
        self.num_sealed += 1;
        let mut content = self.num_sealed.to_be_bytes().to_vec();
        content.resize(content.len() + padding, 0x5A);
        self.seal_content(from, kind, content)
    }

    /// Seals anything: what the peer makes of it is not this harness's.
    pub(crate) fn seal_content(&mut self, from: usize, kind: Kind, content: Vec<u8>) -> bool {
        let tunnel = &mut self.sides[from].tunnel;
        let was_open = tunnel.is_open();
        let mut buffer = PacketBuf::from(&*content);
        let sealed = tunnel.seal(kind, None, &mut buffer, self.now);
        assert!(was_open || !sealed);
        if !sealed {
            assert_eq!(buffer.content(), content, "nothing is done");
            return false;
        }
        let data = buffer.content().to_vec();
        assert_eq!(data.len(), content.len() + OVERHEAD_LEN);
        self.record_frame(from, &data, &[&[kind.byte()], &*content].concat());
        self.unopened.insert((from, data.clone()), Some((kind, content)));
        self.sent.push(Sent { from, data });
        true
    }

    /// Two frames with one index and counter may be of two sessions, where somebody changed the
    /// indices on their way; under one key they would differ as their texts do.
    fn record_frame(&mut self, from: usize, data: &[u8], text_start: &[u8]) {
        let text_start = &text_start[..text_start.len().min(16)];
        let number = (from, data[3..15].try_into().unwrap());
        let new = (text_start.to_vec(), data[15..][..text_start.len()].to_vec());
        if let Some((text, sealed)) = self.sealed.insert(number, new.clone()) {
            let differs = |(i, byte): (usize, &u8)| byte ^ new.1[i] != text[i] ^ new.0[i];
            let len = text.len().min(new.0.len());
            let differ = sealed[..len].iter().enumerate().any(differs);
            assert!(differ, "a counter is used twice: {number:?}");
        }
    }

    /// Takes what a side has to send, without carrying it anywhere.
    pub(crate) fn poll(&mut self, from: usize) -> Option<Vec<u8>> {
        let data = self.sides[from].tunnel.poll_data()?;
        if data.first() == Some(&FRAME_MARK) {
            // Nothing, or an introduction.
            let is_empty = data.len() == OVERHEAD_LEN;
            self.record_frame(from, &data, if is_empty { b"\0" } else { b"\0{\"name\":\"" });
            self.unopened.insert((from, data.clone()), None);
        }
        self.sent.push(Sent { from, data: data.clone() });
        Some(data)
    }

    /// Gives DATA to a side and checks what comes of it.
    pub(crate) fn give(&mut self, to: usize, data: &[u8]) -> Outcome {
        let before = self.sides[to].state();
        let outcome = match Message::parse(data) {
            Some(Message::Frame { receiver }) => self.give_frame(to, receiver, data),
            Some(message) => self.give_handshake(to, message),
            None => Outcome::Failed,
        };
        let side = &self.sides[to];
        let state = side.state();
        if outcome == Outcome::Failed {
            assert_eq!(state, before, "what fails changes nothing");
        }
        if to == A || to == B {
            let peer = self.sides[1 - to].endpoint.public_key();
            assert!(state.key.is_none_or(|key| key == *peer), "somebody else's session");
            assert!(!state.is_confirmed || state.key.is_some());
            assert!(side.num_half_open() <= MAX_HALF_OPEN_OF_VIP, "{side:?}");
        } else {
            assert!(!state.is_confirmed, "nobody trusts a stranger");
        }
        assert!(state.name.is_none_or(|name| is_name(&name)));
        outcome
    }

    fn give_frame(&mut self, to: usize, receiver: u32, data: &[u8]) -> Outcome {
        let (from, mut room) = (peer(to), data.to_vec());
        let tunnel = &mut self.sides[to].tunnel;
        let has_session = tunnel.has_session(receiver);
        let Ok(opened) = tunnel.handle_frame(receiver, &mut room, self.now) else {
            return Outcome::Failed;
        };
        assert!(has_session && (to == A || to == B));
        let genuine = self.unopened.remove(&(from, data.to_vec()));
        match genuine.expect("forged, replayed or reflected") {
            Some((kind, content)) => assert_eq!((opened.kind, &*opened.content), (kind, &*content)),
            None => assert_eq!(opened.kind, Kind::Keepalive),
        }
        assert_eq!(tunnel.verified_at(), Some(self.now));
        assert!(tunnel.is_confirmed());
        Outcome::Opened
    }

    fn give_handshake(&mut self, to: usize, message: Message<'_>) -> Outcome {
        let keys: Vec<_> = self.sides.iter().map(|side| *side.endpoint.public_key()).collect();
        let trusts = |key: &PublicKey| {
            assert!(keys.contains(key), "a key that nobody has");
            assert_ne!(*key, keys[to], "our own key");
            to != A && to != B || *key == keys[1 - to]
        };
        let Side { endpoint, tunnel, ends } = &mut self.sides[to];
        let (now, rng) = (self.now, &mut self.rng);
        let taken = match message {
            Message::Opening(opening) => {
                tunnel.handle_opening(&opening, endpoint, *ends, &HELLO, now, rng).is_ok()
            }
            Message::Answer(reply) => match tunnel.handle_answer(&reply, endpoint, now) {
                Ok(Some(answer)) if trusts(&answer.key) => {
                    tunnel.prove(answer, endpoint, now, rng).expect("the opening is under way");
                    true
                }
                Ok(None) => true,
                _ => false,
            },
            Message::Proof(proof) => match tunnel.handle_proof(&proof, endpoint, *ends, now, rng) {
                Ok(Some(proved)) if trusts(&proved.key) => {
                    tunnel.install(proved, endpoint, now);
                    true
                }
                Ok(None) => true,
                _ => false,
            },
            Message::Frame { .. } => unreachable!("a frame is no handshake"),
        };
        if taken { Outcome::Handshake } else { Outcome::Failed }
    }

    /// DATA that the next bytes of an input choose and change, by a code of 1 to 5: as it was sent,
    /// one byte changed, cut, longer, or from an offset on like another one.
    pub(crate) fn record(&self, code: u8, input: &mut Input<'_>) -> Vec<u8> {
        let mut data = self.sent_before(input);
        match code {
            2 => {
                let (at, mask) = (usize::from(input.number()), input.byte());
                let len = data.len().max(1);
                if let Some(byte) = data.get_mut(at % len) {
                    *byte ^= mask;
                }
            }
            3 => data.truncate(input.byte().into()),
            4 => data.extend_from_slice(input.counted_bytes()),
            5 => {
                let other = self.sent_before(input);
                let at = usize::from(input.number()) % data.len().min(other.len()).max(1);
                data.splice(at.min(data.len()).., other.iter().skip(at).copied());
            }
            _ => {}
        }
        data
    }

    /// The number counts from the end: what was sent last is what matters most.
    fn sent_before(&self, input: &mut Input<'_>) -> Vec<u8> {
        let number = usize::from(input.byte()) % self.sent.len().max(1);
        self.sent.iter().rev().nth(number).map(|sent| sent.data.clone()).unwrap_or_default()
    }

    /// Carries what a side has to send, or loses it.
    pub(crate) fn carry(&mut self, from: usize, delivered: bool) {
        for _ in 0..MAX_ROUNDS {
            let Some(data) = self.poll(from) else { return };
            if delivered {
                self.give(peer(from), &data);
            }
        }
    }

    /// Carries what the two have to send until there is nothing; it comes to an end.
    fn settle(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let queued =
                [A, B].map(|from| -> Vec<_> { iter::from_fn(|| self.poll(from)).collect() });
            if queued.iter().all(Vec::is_empty) {
                return;
            }
            for (from, queued) in queued.iter().enumerate() {
                for data in queued {
                    self.give(1 - from, data);
                }
            }
        }
        panic!("the handshake never ends");
    }

    /// Whether a message passes at once.
    pub(crate) fn message_passes(&mut self, from: usize) -> bool {
        let sealed = self.seal(from, Kind::Message, 0);
        let sent = self.sent.last().filter(|_| sealed).cloned();
        sent.is_some_and(|sent| self.give(1 - from, &sent.data) == Outcome::Opened)
    }

    /// Whatever was done to them: once nobody interferes, messages pass both ways.
    pub(crate) fn recover(&mut self) {
        let end = self.now + RECOVERY;
        loop {
            self.settle();
            let passed = [A, B].map(|from| {
                if !self.sides[from].tunnel.is_open() {
                    self.open(from);
                    self.settle();
                }
                self.message_passes(from)
            });
            if passed == [true; 2] {
                assert!(self.is_confirmed());
                return;
            }
            assert!(self.now < end, "the tunnel does not recover: {:?}", &self.sides[..2]);
            self.pass(TICK, true);
        }
    }
}
