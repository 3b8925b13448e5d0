//! Any sequence of operations, against lists that are searched from end to end.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Join { node: u8, name: Option<u8>, insists: bool, vip: Option<u8>, invite: Option<u8> },
    Rename(u8, u8),
    SetVip(u8, u8),
    Remove(u8),
    Leave(u8),
    Seen(u8),
    Invite { name: Option<u8>, vip: Option<u8>, max_uses: u32, ttl: Option<u64> },
    Revoke(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let (node, name, vip) = (0u8..9, 0u8..5, 0u8..17);
    let maybe = proptest::option::of::<std::ops::Range<u8>>;
    prop_oneof![
        6 => (node.clone(), maybe(0..5), any::<bool>(), proptest::option::weighted(0.3, 0u8..17), maybe(0..6))
            .prop_map(|(node, name, insists, vip, invite)| Step::Join { node, name, insists, vip, invite }),
        1 => (node.clone(), name).prop_map(|(node, name)| Step::Rename(node, name)),
        1 => (node.clone(), vip).prop_map(|(node, vip)| Step::SetVip(node, vip)),
        1 => node.clone().prop_map(Step::Remove),
        1 => node.clone().prop_map(Step::Leave),
        1 => node.prop_map(Step::Seen),
        2 => (maybe(0..5), maybe(0..17), 1u32..3, proptest::option::of(0u64..9))
            .prop_map(|(name, vip, max_uses, ttl)| Step::Invite { name, vip, max_uses, ttl }),
        1 => (0u8..6).prop_map(Step::Revoke),
    ]
}

/// What becomes of the rows: stored at once or later, or never.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Stored,
    /// Another node comes while they are on their way.
    StoredLater(u8),
    Lost,
    LostLater(u8),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Stored),
        1 => (0u8..10).prop_map(Fate::StoredLater),
        1 => Just(Fate::Lost),
        1 => (0u8..10).prop_map(Fate::LostLater),
    ]
}

impl Step {
    fn is_of(&self, other: u8) -> bool {
        match self {
            Self::Join { node, .. } => *node == other,
            Self::Rename(node, _) | Self::SetVip(node, _) | Self::Remove(node) => *node == other,
            Self::Leave(node) | Self::Seen(node) => *node == other,
            Self::Invite { .. } | Self::Revoke(_) => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    Member(PublicKey),
    Invite(JoinKeyHash),
    Removed(PublicKey),
}

fn nth(number: u8) -> Vip {
    Vip::from(u32::from(vip("10.1.2.0")) + u32::from(number))
}

fn name(number: u8) -> Label {
    // Two of them collide with what a third becomes when it is numbered.
    label(["a", "a-2", "b", "hub", "c"][usize::from(number)])
}

struct World {
    hub: Hub,
    join_keys: Vec<JoinKey>,
    disk: BTreeMap<Id, Row>,
    now: u64,
    /// Whether the rows of an operation are on their way, so that it still has what it gave up.
    is_under_way: bool,
}

impl World {
    fn do_step(&mut self, step: &Step) -> Result<(Vec<Row>, Undo), Denied> {
        let Hub { ledger, vips, rng } = &mut self.hub;
        let changed = match step.clone() {
            Step::Join { node, name: wish, insists, vip, invite } => {
                let join_key = invite.and_then(|at| self.join_keys.get(usize::from(at)).cloned());
                let join = Join {
                    join_key,
                    name: wish.map(name),
                    insists_on_name: insists,
                    vip: vip.map(nth),
                    is_guest: false,
                };
                let expected = lowest_free(ledger, self.now);
                let was_known = ledger.by_key(&key(node)).is_some();
                let had_rested = ledger.removed().any(|removed| removed.key == key(node));
                let invite = join.join_key.as_ref().and_then(|key| ledger.invites.get(&key.hash()));
                let is_promised = invite.is_some_and(|invite| invite.vip.is_some());
                let joined = ledger.join(key(node), &join, vips, self.now)?;
                if !self.is_under_way
                    && !was_known
                    && !had_rested
                    && join.vip.is_none()
                    && !is_promised
                {
                    assert!(expected.is_none_or(|vip| vip == joined.member.vip));
                }
                return Ok((joined.rows, joined.undo.unwrap_or_default()));
            }
            Step::Rename(node, to) => ledger.rename(&key(node), name(to), self.now)?,
            Step::SetVip(node, to) => ledger.set_vip(&key(node), nth(to), vips, self.now)?,
            Step::Remove(node) => ledger.remove(&key(node), self.now)?,
            Step::Leave(node) => ledger.leave(&key(node), vips, self.now)?,
            Step::Seen(node) => return Ok((ledger.seen(&key(node), self.now), Undo::default())),
            Step::Invite { name: wish, vip, max_uses, ttl } => {
                let (name, ttl) = (wish.map(name), ttl.map(Duration::from_secs));
                let request = InviteRequest { name, vip: vip.map(nth), max_uses, ttl };
                let (join_key, _, changed) = ledger.invite(&request, rng, self.now)?;
                self.join_keys.push(join_key);
                changed
            }
            Step::Revoke(at) => {
                let join_key = self.join_keys.get(usize::from(at));
                let id = join_key.map(|key| key.hash().id()).unwrap_or_default();
                ledger.revoke(&id, self.now)?
            }
        };
        Ok((changed.rows, changed.undo))
    }

    /// A node comes while the rows of an operation are on their way. If they are lost, it shows no
    /// join key, of which the disk may then count one use too many.
    fn come(&mut self, node: u8, has_join_key: bool) -> (Vec<Row>, Undo) {
        let invite = has_join_key.then_some(0);
        let join = Step::Join { node, name: Some(0), insists: false, vip: None, invite };
        self.is_under_way = true;
        let came = self.do_step(&join);
        self.is_under_way = false;
        check_uniqueness(&self.hub.ledger);
        came.unwrap_or_default()
    }

    fn store(&mut self, rows: Vec<Row>) {
        for row in rows {
            let (id, is_there) = match &row {
                Row::Member(key, member) => (Id::Member(*key), member.is_some()),
                Row::Invite(hash, invite) => (Id::Invite(*hash), invite.is_some()),
                Row::Removed(key, removed) => (Id::Removed(*key), removed.is_some()),
            };
            self.disk.remove(&id);
            if is_there {
                self.disk.insert(id, row);
            }
        }
    }

    /// What is on the disk is always possible, and where nothing is under way it is what we know.
    fn check(&self, is_settled: bool) {
        let Hub { ledger, .. } = &self.hub;
        let rows = self.disk.values().cloned().collect();
        let loaded = Ledger::new(ledger.network, ledger.is_open, rows).unwrap();
        if !is_settled {
            return;
        }
        assert_eq!(loaded.members, ledger.members);
        assert_eq!(loaded.removed, ledger.removed);
        assert_eq!(loaded.invites, ledger.invites);
        assert_eq!((&loaded.by_vip, &loaded.by_name), (&ledger.by_vip, &ledger.by_name));
        assert_eq!(loaded.removed_by_age, ledger.removed_by_age);
        assert!(ledger.held_names.is_empty());
        let taken: BTreeSet<_> =
            ledger.network.assignable().filter(|vip| ledger.is_held(*vip)).collect();
        let mut vips = VipAllocator::new(ledger.network);
        loaded.reserve(&mut vips);
        let free: BTreeSet<_> = std::iter::from_fn(|| vips.take_lowest()).collect();
        assert!(
            free.is_disjoint(&taken)
                && free.len() + taken.len() == ledger.network.assignable().len()
        );
    }

    fn check_allocator(&mut self) {
        let Hub { ledger, vips, .. } = &mut self.hub;
        let free: Vec<_> = std::iter::from_fn(|| vips.take_lowest()).collect();
        let expected: Vec<_> =
            ledger.network.assignable().filter(|vip| !ledger.is_held(*vip)).collect();
        assert_eq!(free, expected);
    }
}

/// What nobody has, nobody had and nobody was promised.
fn lowest_free(ledger: &Ledger, now: u64) -> Option<Vip> {
    let has = |vip: Vip| ledger.members().any(|member| member.vip == vip);
    let had = |vip: Vip| ledger.removed().any(|removed| removed.vip == vip);
    let is_promised = |vip: Vip| {
        let mut open = ledger.invites().filter(|invite| invite.state(now) == InviteState::Open);
        open.any(|invite| invite.vip == Some(vip))
    };
    ledger.network.assignable().find(|vip| !has(*vip) && !had(*vip) && !is_promised(*vip))
}

/// All but what expired invites once promised.
fn shown(ledger: &Ledger) -> String {
    let (promised_vips, promised_names) = (BTreeMap::new(), BTreeMap::new());
    format!("{:?}", Ledger { promised_vips, promised_names, ..ledger.clone() })
}

fn check_uniqueness(ledger: &Ledger) {
    let vips: Vec<_> = ledger.members().map(|member| member.vip).collect();
    let names: Vec<_> = ledger.members().filter_map(|member| member.name.clone()).collect();
    assert_eq!(vips.iter().collect::<BTreeSet<_>>().len(), vips.len());
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert!(vips.iter().all(|vip| ledger.network.is_assignable(*vip)));
    assert!(names.iter().all(|name| name.as_str() != "hub"));
    assert_eq!((vips.len(), names.len()), (ledger.by_vip.len(), ledger.by_name.len()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn ledger_and_disk_agree_whatever_is_done(
        is_open in any::<bool>(),
        network in prop_oneof![Just("10.1.2.0/28"), Just("10.1.2.0/29")],
        steps in proptest::collection::vec((step(), fate()), 0..60),
    ) {
        let hub = hub(network, is_open);
        let mut world = World { hub, join_keys: Vec::new(), disk: BTreeMap::new(), now: NOW, is_under_way: false };
        for (step, fate) in steps {
            world.now += 1;
            let before = shown(&world.hub.ledger);
            let Ok((rows, undo)) = world.do_step(&step) else {
                prop_assert_eq!(before, shown(&world.hub.ledger), "{:?}", step);
                continue;
            };
            check_uniqueness(&world.hub.ledger);
            let is_later = matches!(fate, Fate::StoredLater(_) | Fate::LostLater(_));
            let (others_rows, others_undo) = match fate {
                Fate::StoredLater(node) | Fate::LostLater(node) if !step.is_of(node) => {
                    world.come(node, matches!(fate, Fate::StoredLater(_)))
                }
                _ => Default::default(),
            };
            let is_lost = matches!(fate, Fate::Lost | Fate::LostLater(_));
            if is_lost && !matches!(step, Step::Seen(_)) {
                world.store(others_rows);
                world.check(false);
                world.hub.ledger.undo(undo, &mut world.hub.vips);
                prop_assert!(is_later || before == shown(&world.hub.ledger), "{:?}", step);
            } else {
                world.store(rows);
                world.store(others_rows);
                world.hub.ledger.settle(undo, &mut world.hub.vips);
            }
            world.hub.ledger.settle(others_undo, &mut world.hub.vips);
            world.check(true);
            check_uniqueness(&world.hub.ledger);
        }
        world.check_allocator();
    }

    #[test]
    fn undoing_is_exact_although_others_came_meanwhile(
        before in proptest::collection::vec(step(), 0..20),
        step in step(),
        network in prop_oneof![Just("10.1.2.0/28"), Just("10.1.2.0/29")],
        is_open in any::<bool>(),
        invite in proptest::option::of(0u8..3),
        name in proptest::option::of(0u8..5),
    ) {
        let mut world = World { hub: hub(network, is_open), join_keys: Vec::new(), disk: BTreeMap::new(), now: NOW, is_under_way: false };
        for step in before {
            if let Ok((_, undo)) = world.do_step(&step) {
                world.hub.ledger.settle(undo, &mut world.hub.vips);
            }
        }
        let seen = matches!(step, Step::Seen(_));
        let expected = world.hub.ledger.clone();
        // Nobody is told a join key before that is stored.
        let invite = invite.filter(|at| usize::from(*at) < world.join_keys.len());
        let Ok((_, first)) = world.do_step(&step) else { return Ok(()) };
        let other = Step::Join { node: 20, name, insists: false, vip: None, invite };
        world.is_under_way = true;
        if let Ok((_, second)) = world.do_step(&other) {
            world.hub.ledger.undo(first, &mut world.hub.vips);
            check_uniqueness(&world.hub.ledger);
            world.hub.ledger.undo(second, &mut world.hub.vips);
        } else {
            world.hub.ledger.undo(first, &mut world.hub.vips);
        }
        if !seen {
            prop_assert_eq!(shown(&world.hub.ledger), shown(&expected));
        }
        world.check_allocator();
    }
}
