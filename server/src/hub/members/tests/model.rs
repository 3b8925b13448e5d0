//! Sessions that join, leave and end while their rows are being stored, in any order, and what
//! administrators do meanwhile: hub, ledger and vIPs never disagree.

use std::collections::BTreeSet;

use dosp_proto::frame::HEADER_LEN;
use dosp_proto::identity::IdentityKey;
use dosp_proto::member::{Answerer, Dialler, Purpose};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

const NOW: u64 = 1_795_791_600;
const NUM_KEYS: u8 = 4;
const GREETING: &[u8] = b"greeting";

#[derive(Debug, Clone)]
enum Step {
    Connect { key: u8 },
    Join { session: usize, vip: Option<u8>, is_guest: bool },
    Leave { session: usize },
    End { session: usize },
    SetVip { key: u8, vip: u8 },
    Remove { key: u8 },
    Block { vip: u8, is_blocked: bool },
    Stored { which: usize, is_ok: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..NUM_KEYS;
    let vip = 1..8_u8;
    prop_oneof![
        3 => key.clone().prop_map(|key| Step::Connect { key }),
        6 => (any::<usize>(), proptest::option::of(vip.clone()), any::<bool>())
            .prop_map(|(session, vip, is_guest)| Step::Join { session, vip, is_guest }),
        1 => any::<usize>().prop_map(|session| Step::Leave { session }),
        2 => any::<usize>().prop_map(|session| Step::End { session }),
        2 => (key.clone(), vip.clone()).prop_map(|(key, vip)| Step::SetVip { key, vip }),
        1 => key.prop_map(|key| Step::Remove { key }),
        1 => (vip, any::<bool>()).prop_map(|(vip, is_blocked)| Step::Block { vip, is_blocked }),
        6 => (any::<usize>(), any::<bool>())
            .prop_map(|(which, is_ok)| Step::Stored { which, is_ok }),
    ]
}

/// What is being stored.
enum Pending {
    Join(SessionId, Box<Entering>),
    Leave(SessionId, Leaving),
    Move(PublicKey, Undo),
    Remove(PublicKey, Undo),
}

struct Bench {
    hub: Hub,
    identities: Vec<IdentityKey>,
    sessions: Vec<SessionId>,
    pending: Vec<Pending>,
    has_failed: bool,
    rng: StdRng,
}

impl Bench {
    fn new(is_open: bool) -> Self {
        let network = "10.1.2.0/29".parse().unwrap();
        let ledger = Ledger::new(network, is_open, Vec::new()).unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        let identities = (0..=NUM_KEYS).map(|_| IdentityKey::generate(&mut rng)).collect();
        let hub = Hub::new(network, 1000).with_members(ledger);
        let (sessions, pending) = (Vec::new(), Vec::new());
        Self { hub, identities, sessions, pending, has_failed: false, rng }
    }

    fn key(&self, number: u8) -> PublicKey {
        *self.identities[usize::from(number)].public()
    }

    /// What the hub seals with, for the node of this number.
    fn sealer(&mut self, number: u8) -> Sealer {
        let (node, hub) = (&self.identities[usize::from(number)], &self.identities[4]);
        let (dialler, first) =
            Dialler::start(Purpose::Join, node, GREETING, &mut self.rng).unwrap();
        let body = &first[HEADER_LEN..];
        let (answerer, second) = Answerer::answer(hub, GREETING, body, &mut self.rng).unwrap();
        let introduced = dialler.read_answer(node, &second[HEADER_LEN..]).unwrap();
        let (third, _) = introduced.finish().unwrap();
        answerer.finish(&third[HEADER_LEN..]).unwrap().1.sealer
    }

    fn session(&self, number: usize) -> Option<SessionId> {
        let last = self.sessions.len().checked_sub(1)?;
        self.sessions.get(number % (last + 1)).copied()
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Connect { key } => self.connect(key),
            Step::Join { session, vip, is_guest } => {
                let Some(id) = self.session(session) else { return };
                let vip = vip.map(|x| Vip::from([10, 1, 2, x]));
                let join = Join { vip, is_guest, ..Join::default() };
                if let Some(JoinStep::Store(entering)) = self.hub.begin_join(id, &join, NOW) {
                    self.pending.push(Pending::Join(id, entering));
                }
            }
            Step::Leave { session } => {
                let Some(id) = self.session(session) else { return };
                let left = self.hub.begin_leave(id, NOW);
                self.pending.extend(left.map(|left| Pending::Leave(id, left)));
            }
            Step::End { session } => {
                if let Some(id) = self.session(session) {
                    self.end(id);
                }
            }
            Step::SetVip { key, vip } => {
                let (key, vip) = (self.key(key), Vip::from([10, 1, 2, vip]));
                let (ledger, vips) = self.hub.ledger_mut().unwrap();
                let moved = ledger.set_vip(&key, vip, vips, NOW).ok();
                self.pending.extend(moved.map(|moved| Pending::Move(key, moved.undo)));
            }
            Step::Remove { key } => {
                let key = self.key(key);
                let removed = self.hub.ledger_mut().unwrap().0.remove(&key, NOW).ok();
                self.pending.extend(removed.map(|removed| Pending::Remove(key, removed.undo)));
            }
            Step::Block { vip, is_blocked } => {
                let command = if is_blocked { "block" } else { "unblock" };
                self.hub.administer(&format!("{command} 10.1.2.{vip}"), Instant::now());
            }
            Step::Stored { which, is_ok } => self.stored(which, is_ok),
        }
    }

    fn connect(&mut self, key: u8) {
        let addr = "192.0.2.1:5000".parse().unwrap();
        let Ok(admitted) = self.hub.admit(addr, Instant::now()) else { return };
        let sealer = self.sealer(key);
        self.hub.introduce(admitted.id, self.key(key), sealer);
        self.sessions.push(admitted.id);
    }

    fn end(&mut self, id: SessionId) {
        let _ = self.hub.remove(id, NOW);
        self.sessions.retain(|other| *other != id);
    }

    fn stored(&mut self, which: usize, is_ok: bool) {
        if self.pending.is_empty() {
            return;
        }
        let pending = self.pending.remove(which % self.pending.len());
        self.has_failed |= !is_ok;
        match pending {
            Pending::Join(id, entering) if is_ok => {
                if self.hub.finish_join(id, entering, NOW).is_none() {
                    self.end(id);
                }
            }
            Pending::Join(id, entering) => {
                let _ = self.hub.undo_join(id, entering, NOW);
                self.end(id);
            }
            Pending::Leave(id, left) => {
                if is_ok {
                    let _ = self.hub.finish_leave(id, left.undo);
                } else {
                    self.hub.undo_leave(left.key, left.undo);
                }
                self.end(id);
            }
            Pending::Move(key, undo) => {
                if is_ok {
                    self.hub.settle(undo)
                } else {
                    self.hub.undo(undo)
                }
                let _ = self.hub.welcome_again(&key, NOW);
            }
            Pending::Remove(key, undo) if is_ok => {
                self.hub.settle(undo);
                self.hub.note_changed(key);
                if let Some(id) = self.hub.session_of(&key) {
                    self.end(id);
                }
            }
            Pending::Remove(key, undo) => {
                self.hub.undo(undo);
                let _ = self.hub.welcome_again(&key, NOW);
            }
        }
    }

    /// What holds at any time.
    fn check(&self) {
        let mut seen = BTreeSet::new();
        for (id, session) in &self.hub.sessions {
            let vip = session.vip.get();
            if vip != Vip::NONE && self.hub.by_vip.get(&vip) == Some(id) {
                assert!(seen.insert(vip), "{vip} twice");
            }
            let of_member = session.shown.as_ref().filter(|shown| shown.is_member);
            if let Some(shown) = of_member {
                let members = self.hub.members.as_ref().unwrap();
                assert_eq!(members.session_of(&shown.key), Some(*id));
            }
        }
        assert_eq!(seen, self.hub.by_vip.keys().copied().collect(), "a vIP of nobody");
    }

    /// What holds when nothing is being stored: every vIP is somebody's, or free, or blocked.
    fn check_settled(mut self) {
        let members = self.hub.members.as_ref().unwrap();
        for (key, id) in &members.online {
            let session = self.hub.sessions.get(id);
            let session = session.unwrap_or_else(|| panic!("{id} is gone and still online"));
            assert_eq!(
                members.ledger.by_key(key).map(|member| member.vip),
                Some(session.vip.get())
            );
            assert_eq!(self.hub.by_vip.get(&session.vip.get()), Some(id));
        }
        let is_taken = |vip: &Vip| {
            self.hub.by_vip.contains_key(vip)
                || self.hub.blocked.contains(vip)
                || members.ledger.is_held(*vip)
        };
        let all = (2..7).map(|x| Vip::from([10, 1, 2, x]));
        let expected: Vec<_> = all.filter(|vip| !is_taken(vip)).collect();
        let free: Vec<_> = std::iter::from_fn(|| self.hub.vips.take_lowest()).collect();
        // Where something could not be stored, and something else came after it, a vIP may rest until
        // the hub starts anew: the disk may say that somebody has it.
        assert!(free.iter().all(|vip| expected.contains(vip)), "{free:?} {expected:?}");
        assert!(self.has_failed || free == expected, "{free:?} {expected:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn hub_ledger_and_vips_never_disagree(
        is_open in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..60),
        rest in any::<usize>(),
    ) {
        let mut bench = Bench::new(is_open);
        if !is_open {
            // Whoever is a member already needs no key.
            bench = bench.with_everybody();
        }
        for step in steps {
            bench.take(step);
            bench.check();
        }
        while !bench.pending.is_empty() {
            let is_ok = rest >> (bench.pending.len() % 32) & 1 == 0;
            bench.stored(rest, is_ok);
            bench.check();
        }
        bench.check_settled();
    }
}

impl Bench {
    fn with_everybody(mut self) -> Self {
        let rows = (0..NUM_KEYS).map(|number| {
            let (key, vip) = (self.key(number), Vip::from([10, 1, 2, number + 2]));
            let member = Member {
                key,
                vip,
                name: None,
                joined_at: NOW,
                last_seen_at: NOW,
                invite: None,
                is_guest: false,
            };
            Row::Member(key, Some(member))
        });
        let network = self.hub.network();
        let ledger = Ledger::new(network, false, rows.collect()).unwrap();
        self.hub = Hub::new(network, 1000).with_members(ledger);
        self
    }
}
