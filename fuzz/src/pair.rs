//! Two tunnels, the time, and somebody between them who sees, changes and makes up DATA.
//!
//! The rule that holds at every step: DATA opens only if the other side sealed these very bytes, as
//! the message that it sealed, and only once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dosp_proto::Now;
use dosp_proto::buffer::PacketBuf;
use dosp_proto::tunnel::v1::{HELLO_LEN, OVERHEAD_LEN, ReceiveError, Received, Tunnel};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// By the clock of both sides.
pub(crate) const UNIX_TIME: u64 = 1_700_000_000;
/// The first byte of every handshake.
pub(crate) const MARK: u8 = 0x15;
/// More answers to answers, with no time between them, are a loop.
const MAX_ROUNDS: usize = 10;
/// Longer than a tunnel waits before it opens anew, and than it waits before it repeats.
const RECOVERY_STEP: Duration = Duration::from_millis(6300);
/// An opening that nobody answers is given up after 90 s; twice that, and some more.
const RECOVERY_STEPS: usize = 40;

/// What DATA was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Opened,
    Handshake,
    Refused,
    Plain,
    Error(ReceiveError),
}

/// DATA that a side sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) from: usize,
    pub(crate) data: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) sides: [Tunnel; 2],
    pub(crate) now: Now,
    pub(crate) rng: StdRng,
    /// Everything that was ever sent, in order.
    pub(crate) sent: Vec<Sent>,
    /// Sealed frames that have not opened, by sender and bytes, with their messages.
    unopened: BTreeMap<(usize, Vec<u8>), Vec<u8>>,
    /// Whether a side had a handshake, and so takes no plain DATA any more.
    known: [bool; 2],
    num_sealed: u32,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self {
            sides: Default::default(),
            now: Now { instant: Instant::now(), unix_time: UNIX_TIME },
            rng: StdRng::seed_from_u64(1),
            sent: Vec::new(),
            unopened: BTreeMap::new(),
            known: [false; 2],
            num_sealed: 0,
        }
    }

    pub(crate) fn pass(&mut self, duration: Duration) {
        self.now.instant += duration;
        self.now.unix_time += duration.as_secs();
        for side in &mut self.sides {
            side.handle_timeout(self.now.instant, &mut self.rng);
        }
    }

    pub(crate) fn open(&mut self, side: usize) {
        self.sides[side].open(self.now, &mut self.rng);
    }

    /// The opening of somebody else.
    pub(crate) fn strangers_hello(&mut self) -> Vec<u8> {
        let mut stranger = Tunnel::default();
        stranger.open(self.now, &mut self.rng);
        stranger.poll_data().expect("an opening")
    }

    /// Seals a message that no other is equal to; `false` where there is no tunnel.
    pub(crate) fn seal(&mut self, from: usize, padding: usize) -> bool {
        let was_open = self.sides[from].is_open();
        self.num_sealed += 1;
        let mut message = self.num_sealed.to_be_bytes().to_vec();
        message.resize(message.len() + padding, 0x5A);
        let mut buffer = PacketBuf::from(&*message);
        let sealed = self.sides[from].seal(&mut buffer).expect("far from the last number");
        assert_eq!(sealed, was_open);
        let data = buffer.content().to_vec();
        if !sealed {
            assert_eq!(data, message);
        } else {
            assert_eq!(data.len(), message.len() + OVERHEAD_LEN);
            self.unopened.insert((from, data.clone()), message);
            self.sent.push(Sent { from, data });
        }
        sealed
    }

    /// Takes what a side has to send, without carrying it anywhere.
    pub(crate) fn poll(&mut self, from: usize) -> Option<Vec<u8>> {
        let data = self.sides[from].poll_data()?;
        if data.first() != Some(&MARK) && data.len() == OVERHEAD_LEN {
            self.unopened.insert((from, data.clone()), Vec::new());
        }
        self.sent.push(Sent { from, data: data.clone() });
        Some(data)
    }

    fn poll_all(&mut self, from: usize) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.poll(from)).collect()
    }

    /// Gives DATA to a side and checks what comes of it.
    pub(crate) fn give(&mut self, to: usize, data: &[u8]) -> Outcome {
        let genuine = self.unopened.get(&(1 - to, data.to_vec())).cloned();
        let side = &mut self.sides[to];
        let before = (side.is_open(), side.verified_at());
        let opening_since = side.opening_since();
        let mut room = data.to_vec();
        let outcome = match side.handle_data(&mut room, self.now, &mut self.rng) {
            Ok(Received::Message(message)) => {
                assert!(!message.is_empty());
                assert_eq!(Some(&*message), genuine.as_deref(), "forged, replayed or reflected");
                Outcome::Opened
            }
            Ok(Received::Empty) => {
                assert_eq!(genuine.as_deref(), Some(&[][..]), "forged, replayed or reflected");
                Outcome::Opened
            }
            Ok(Received::Plain(plain)) => {
                assert_eq!((&*plain, self.known[to]), (data, false), "plain DATA into a tunnel");
                Outcome::Plain
            }
            Ok(Received::Refused(reason)) => {
                assert_eq!(Some(reason.as_bytes()), data.strip_prefix(&[MARK, 0xFF]));
                Outcome::Refused
            }
            Ok(Received::Handshake) => {
                assert!(data.len() >= HELLO_LEN && data[0] == MARK);
                Outcome::Handshake
            }
            Err(error) => Outcome::Error(error),
        };
        self.check(to, outcome, before);
        match outcome {
            Outcome::Opened => drop(self.unopened.remove(&(1 - to, data.to_vec()))),
            Outcome::Handshake => self.known[to] = true,
            // Frames that do not open made it open anew.
            Outcome::Error(_) if opening_since != self.sides[to].opening_since() => {
                assert_eq!(opening_since, None, "an error ended an opening");
                self.known[to] = true;
            }
            Outcome::Refused | Outcome::Plain | Outcome::Error(_) => {}
        }
        outcome
    }

    fn check(&self, to: usize, outcome: Outcome, before: (bool, Option<Instant>)) {
        let side = &self.sides[to];
        let verified_at =
            if outcome == Outcome::Opened { Some(self.now.instant) } else { before.1 };
        assert_eq!(side.verified_at(), verified_at);
        let is_open = before.0 || outcome == Outcome::Handshake;
        assert_eq!(side.is_open(), is_open, "only a handshake opens and nothing closes");
        assert_eq!(side.opening_since().is_some(), side.poll_timeout().is_some());
    }

    /// Carries what both sides have to send until there is nothing; it comes to an end.
    pub(crate) fn settle(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let queued = [0, 1].map(|from| self.poll_all(from));
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
        self.seal(from, 0)
            && self
                .sent
                .last()
                .cloned()
                .is_some_and(|sent| self.give(1 - from, &sent.data) == Outcome::Opened)
    }

    /// Whatever was done to them: once nobody interferes, messages pass both ways.
    pub(crate) fn recover(&mut self) {
        for _ in 0..RECOVERY_STEPS {
            self.pass(RECOVERY_STEP);
            self.settle();
            let passed = [0, 1].map(|from| {
                if !self.sides[from].is_open() {
                    self.open(from);
                }
                let passed = self.message_passes(from);
                self.settle();
                passed
            });
            if passed == [true; 2] {
                return;
            }
        }
        panic!("the tunnel does not recover: {:?}", self.sides);
    }
}
