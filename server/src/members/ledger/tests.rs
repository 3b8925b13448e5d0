mod model;

use std::time::Duration;

use dosp_proto::join_string::JoinKey;
use dosp_proto::member::{Join, Refusal};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::members::record::Denied;

/// 2026-11-27T15:00:00Z.
const NOW: u64 = 1_795_791_600;

struct Hub {
    ledger: Ledger,
    vips: VipAllocator,
    rng: StdRng,
}

fn hub(network: &str, is_open: bool) -> Hub {
    let network: Network = network.parse().unwrap();
    Hub {
        ledger: Ledger::new(network, is_open, Vec::new()).unwrap(),
        vips: VipAllocator::new(network),
        rng: StdRng::seed_from_u64(1),
    }
}

fn key(number: u8) -> PublicKey {
    PublicKey::from([number; 32])
}

fn vip(text: &str) -> Vip {
    text.parse().unwrap()
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn named(name: &str) -> Join {
    Join { name: Some(label(name)), ..Join::default() }
}

fn insisting(name: &str) -> Join {
    Join { insists_on_name: true, ..named(name) }
}

fn wishing(address: &str) -> Join {
    Join { vip: Some(vip(address)), ..Join::default() }
}

fn request() -> InviteRequest {
    InviteRequest { name: None, vip: None, max_uses: 1, ttl: None }
}

impl Hub {
    fn join(&mut self, number: u8, join: &Join) -> Result<Member, Denied> {
        let joined = self.ledger.join(key(number), join, &mut self.vips, NOW)?;
        if let Some(undo) = joined.undo {
            self.ledger.settle(undo, &mut self.vips);
        }
        Ok(joined.member)
    }

    fn invite(&mut self, request: &InviteRequest) -> Result<JoinKey, Denied> {
        let (join_key, _, changed) = self.ledger.invite(request, &mut self.rng, NOW)?;
        self.settle(changed);
        Ok(join_key)
    }

    fn settle(&mut self, changed: Changed) {
        self.ledger.settle(changed.undo, &mut self.vips);
    }

    fn remove(&mut self, number: u8, now: u64) {
        let changed = self.ledger.remove(&key(number), now).unwrap();
        self.settle(changed);
    }

    fn refusal(&mut self, number: u8, join: &Join) -> (Refusal, String) {
        let denied = self.join(number, join).unwrap_err();
        (denied.reason, denied.text)
    }
}

fn with(join_key: &JoinKey) -> Join {
    Join { join_key: Some(join_key.clone()), ..Join::default() }
}

#[test]
fn closed_hub_wants_a_join_key_that_is_good() {
    let mut hub = hub("10.1.2.0/24", false);
    let closed = "this network is closed: joining it needs a join string";
    assert_eq!(hub.refusal(1, &Join::default()), (Refusal::MembersOnly, closed.to_owned()));
    let strange = with(&JoinKey::generate(&mut hub.rng));
    assert_eq!(hub.refusal(1, &strange).0, Refusal::WrongKey);

    let once = with(&hub.invite(&request()).unwrap());
    let member = hub.join(1, &once).unwrap();
    assert_eq!(member.vip, vip("10.1.2.2"));
    assert_eq!(hub.join(1, &strange).unwrap(), member, "a member needs no join key");
    let used = "the join key was used already";
    assert_eq!(hub.refusal(2, &once), (Refusal::UsedKey, used.to_owned()));

    let ttl = Some(Duration::from_secs(0));
    let late = with(&hub.invite(&InviteRequest { ttl, ..request() }).unwrap());
    let expired = "the join key expired at 2026-11-27T15:00:00Z";
    assert_eq!(hub.refusal(2, &late), (Refusal::ExpiredKey, expired.to_owned()));

    let revoked = hub.invite(&request()).unwrap();
    let changed = hub.ledger.revoke(&revoked.hash().id(), NOW).unwrap();
    hub.settle(changed);
    assert_eq!(hub.refusal(2, &with(&revoked)).0, Refusal::RevokedKey);
    assert!(hub.ledger.revoke("00000000", NOW).is_err());
}

#[test]
fn names_are_unique_and_numbered_unless_insisted_on() {
    let mut hub = hub("10.1.2.0/24", true);
    assert_eq!(hub.join(1, &named("bob")).unwrap().name, Some(label("bob")));
    assert_eq!(hub.join(2, &named("bob")).unwrap().name, Some(label("bob-2")));
    assert_eq!(hub.join(3, &named("bob")).unwrap().name, Some(label("bob-3")));
    let taken = "the name 'bob' belongs to another node (10.1.2.2)";
    assert_eq!(hub.refusal(4, &insisting("bob")), (Refusal::NameTaken, taken.to_owned()));
    assert_eq!(hub.refusal(2, &insisting("bob")).0, Refusal::NameTaken);
    assert_eq!(hub.join(2, &named("eve")).unwrap().name, Some(label("bob-2")), "it has one");
    assert_eq!(hub.join(2, &insisting("eve")).unwrap().name, Some(label("eve")));
    assert_eq!(hub.refusal(4, &insisting("hub")).0, Refusal::NameTaken);
    assert_eq!(hub.join(4, &named("localhost")).unwrap().name, Some(label("localhost-2")));
    let long = "x".repeat(63);
    hub.join(5, &named(&long)).unwrap();
    let numbered = hub.join(6, &named(&long)).unwrap().name.unwrap();
    assert_eq!(numbered.as_str(), format!("{}-2", "x".repeat(61)));
}

#[test]
fn vip_that_is_wished_for_is_given_or_refused() {
    let mut hub = hub("10.1.2.0/24", true);
    assert_eq!(hub.join(1, &wishing("10.1.2.9")).unwrap().vip, vip("10.1.2.9"));
    let taken = "10.1.2.9 belongs to another node";
    assert_eq!(hub.refusal(2, &wishing("10.1.2.9")), (Refusal::VipTaken, taken.to_owned()));
    for (wish, why) in [
        ("10.1.2.1", "it is the hub's own"),
        ("10.1.2.255", "it is an address of the network 10.1.2.0/24 itself"),
        ("10.1.3.4", "it is not in 10.1.2.0/24"),
    ] {
        let words = format!("{wish} cannot be given: {why}");
        assert_eq!(hub.refusal(2, &wishing(wish)), (Refusal::VipUnusable, words));
    }
    assert_eq!(hub.join(1, &wishing("10.1.2.3")).unwrap().vip, vip("10.1.2.3"));
    assert_eq!(hub.join(2, &wishing("10.1.2.9")).unwrap().vip, vip("10.1.2.9"));
    hub.vips.take(vip("10.1.2.7")).unwrap();
    let used = "10.1.2.7 is in use".to_owned();
    assert_eq!(hub.refusal(3, &wishing("10.1.2.7")), (Refusal::VipTaken, used));
}

#[test]
fn invite_promises_its_name_and_vip() {
    let mut hub = hub("10.1.2.0/24", true);
    let promise = InviteRequest {
        name: Some(label("bob")),
        vip: Some(vip("10.1.2.2")),
        ttl: Some(Duration::from_secs(60)),
        ..request()
    };
    let join_key = hub.invite(&promise).unwrap();
    assert!(hub.invite(&InviteRequest { vip: None, ..promise.clone() }).is_err());
    assert!(hub.invite(&InviteRequest { name: None, ..promise.clone() }).is_err());
    assert!(hub.invite(&InviteRequest { max_uses: 2, ..promise.clone() }).is_err());
    assert!(hub.invite(&InviteRequest { max_uses: 0, ..request() }).is_err());
    assert_eq!(hub.join(1, &named("bob")).unwrap().name, Some(label("bob-2")));
    assert_eq!(hub.ledger.by_key(&key(1)).unwrap().vip, vip("10.1.2.3"));
    assert_eq!(hub.refusal(2, &wishing("10.1.2.2")).0, Refusal::VipTaken);
    let join = Join { vip: Some(vip("10.1.2.9")), ..with(&join_key) };
    let member = hub.join(2, &join).unwrap();
    assert_eq!((member.vip, member.name), (vip("10.1.2.2"), Some(label("bob"))));
    assert_eq!(member.invite, Some(join_key.hash().id()));
}

#[test]
fn removed_node_needs_a_join_key_and_gets_its_vip_back() {
    let mut hub = hub("10.1.2.0/24", true);
    hub.join(1, &named("bob")).unwrap();
    hub.remove(1, NOW);
    let words = "this node was removed from the network on 2026-11-27T15:00:00Z";
    assert_eq!(hub.refusal(1, &Join::default()), (Refusal::Removed, words.to_owned()));
    assert_eq!(hub.join(2, &named("bob")).unwrap().name, Some(label("bob")));
    assert_eq!(hub.ledger.by_key(&key(2)).unwrap().vip, vip("10.1.2.3"), "10.1.2.2 rests");
    assert_eq!(hub.refusal(3, &wishing("10.1.2.2")).0, Refusal::VipTaken);
    let join_key = hub.invite(&request()).unwrap();
    assert_eq!(hub.join(1, &with(&join_key)).unwrap().vip, vip("10.1.2.2"));

    let changed = hub.ledger.leave(&key(1), &mut hub.vips, NOW).unwrap();
    hub.settle(changed);
    assert_eq!(hub.join(3, &Join::default()).unwrap().vip, vip("10.1.2.4"), "it rests as well");
    assert_eq!(hub.join(1, &Join::default()).unwrap().vip, vip("10.1.2.2"), "and bars nobody");
}

#[test]
fn oldest_vip_that_rests_is_given_last() {
    let mut hub = hub("10.1.2.0/29", false);
    let many = with(&hub.invite(&InviteRequest { max_uses: 99, ..request() }).unwrap());
    for number in 1..=5 {
        hub.join(number, &many).unwrap();
    }
    let full = "every vIP of 10.1.2.0/29 is taken".to_owned();
    assert_eq!(hub.refusal(6, &many), (Refusal::Full, full));
    hub.remove(4, NOW + 1);
    hub.remove(2, NOW + 2);
    assert_eq!(hub.join(6, &many).unwrap().vip, vip("10.1.2.5"));
    assert_eq!(hub.refusal(4, &Join::default()).0, Refusal::MembersOnly, "it is forgotten");
    assert_eq!(hub.refusal(2, &Join::default()).0, Refusal::Removed);
}

#[test]
fn half_of_an_open_network_is_for_members() {
    let mut hub = hub("10.1.2.0/29", true);
    for number in 1..=3 {
        hub.join(number, &Join::default()).unwrap();
    }
    let (reason, text) = hub.refusal(4, &Join::default());
    assert_eq!(reason, Refusal::Full);
    assert_eq!(text, "3 members are as many as 10.1.2.0/29 has on a hub that is open");
}

#[test]
fn what_is_given_up_waits_until_that_is_stored() {
    let mut hub = hub("10.1.2.0/24", true);
    hub.join(1, &named("bob")).unwrap();
    let wish = Join { vip: Some(vip("10.1.2.9")), ..insisting("eve") };
    let joined = hub.ledger.join(key(1), &wish, &mut hub.vips, NOW).unwrap();
    assert_eq!(hub.refusal(2, &wishing("10.1.2.2")).0, Refusal::VipTaken);
    assert_eq!(hub.refusal(2, &insisting("bob")).0, Refusal::NameTaken);
    assert_eq!(hub.join(2, &Join::default()).unwrap().vip, vip("10.1.2.3"));
    hub.ledger.undo(joined.undo.unwrap(), &mut hub.vips);
    let member = hub.ledger.find("bob").unwrap();
    assert_eq!((member.key, member.vip), (key(1), vip("10.1.2.2")));
    assert_eq!(hub.join(3, &wishing("10.1.2.9")).unwrap().vip, vip("10.1.2.9"));
}

#[test]
fn guest_is_never_stored_and_leaves_nothing_behind() {
    let mut hub = hub("10.1.2.0/24", false);
    let join_key = hub.invite(&request()).unwrap();
    let guest = Join { is_guest: true, ..with(&join_key) };
    let joined = hub.ledger.join(key(1), &guest, &mut hub.vips, NOW).unwrap();
    assert!(matches!(*joined.rows, [Row::Invite(..)]));
    hub.ledger.settle(joined.undo.unwrap(), &mut hub.vips);
    assert!(hub.ledger.seen(&key(1), NOW).is_empty());
    let changed = hub.ledger.leave(&key(1), &mut hub.vips, NOW).unwrap();
    assert!(changed.rows.is_empty());
    hub.settle(changed);
    assert_eq!(hub.vips.take(vip("10.1.2.2")), Ok(()));
}

#[test]
fn stored_rows_that_cannot_be_are_refused() {
    let member = |number, address, name: &str| {
        let member = Member {
            key: key(number),
            vip: vip(address),
            name: Some(label(name)),
            joined_at: NOW,
            last_seen_at: NOW,
            invite: None,
            is_guest: false,
        };
        Row::Member(key(number), Some(member))
    };
    let first = member(1, "10.1.2.2", "bob");
    for (second, words) in [
        (member(2, "10.1.2.2", "eve"), "two nodes are stored with the vIP 10.1.2.2"),
        (member(2, "10.1.2.3", "bob"), "two nodes are stored with the name 'bob'"),
        (
            member(2, "10.9.2.3", "eve"),
            "has the vIP 10.9.2.3, which nobody can have in 10.1.2.0/24",
        ),
    ] {
        let network = "10.1.2.0/24".parse().unwrap();
        let error = Ledger::new(network, true, vec![first.clone(), second]).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn node_is_found_by_what_people_call_it() {
    let mut hub = hub("10.1.2.0/24", true);
    let member = hub.join(1, &named("bob")).unwrap();
    let fingerprint = key(1).fingerprint().to_string();
    for text in ["bob", "BOB", "10.1.2.2", &fingerprint] {
        assert_eq!(hub.ledger.find(text), Some(&member), "{text}");
    }
    assert_eq!(hub.ledger.find("eve"), None);
}
