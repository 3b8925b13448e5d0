use dosp_proto::member::Join;
use dosp_proto::vip::Network;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

/// 2026-11-27T15:00:00Z.
const NOW: u64 = 1_795_791_600;

struct Hub {
    ledger: Ledger,
    vips: VipAllocator,
    rng: StdRng,
}

impl Hub {
    fn new() -> Self {
        let network: Network = "10.1.2.0/24".parse().unwrap();
        let mut hub = Self {
            ledger: Ledger::new(network, true, Vec::new()).unwrap(),
            vips: VipAllocator::new(network),
            rng: StdRng::seed_from_u64(1),
        };
        let join = Join { name: Some("bob".parse().unwrap()), ..Join::default() };
        let joined = hub.ledger.join(key(), &join, &mut hub.vips, NOW).unwrap();
        hub.ledger.settle(joined.undo.unwrap(), &mut hub.vips);
        hub
    }

    fn ask(&mut self, request: MembersRequest) -> (MembersReply, usize, Option<Change>) {
        let door = Door { hub_key: PublicKey::from([7; 32]), addrs: vec!["hub:7744".to_owned()] };
        let outcome =
            carry_out(&mut self.ledger, &mut self.vips, request, &door, &mut self.rng, NOW);
        self.ledger.settle(outcome.undo, &mut self.vips);
        (outcome.reply, outcome.rows.len(), outcome.change)
    }
}

fn key() -> PublicKey {
    PublicKey::from([1; 32])
}

fn text(reply: MembersReply) -> String {
    match reply {
        MembersReply::Done { text }
        | MembersReply::Unknown { text }
        | MembersReply::Denied { text } => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nodes_are_changed_and_hubs_are_told() {
    let mut hub = Hub::new();
    let node = || "bob".to_owned();
    let from = "10.1.2.2".parse().unwrap();
    let rename =
        MembersRequest::Rename { node: "10.1.2.2".to_owned(), name: "bob".parse().unwrap() };
    assert_eq!(hub.ask(rename).2, None, "it is called so already");
    let vip = "10.1.2.9".parse().unwrap();
    let (reply, num_rows, change) = hub.ask(MembersRequest::SetVip { node: node(), vip });
    assert_eq!(text(reply), "bob has the vIP 10.1.2.9 now");
    assert_eq!((num_rows, change), (1, Some(Change::Moved { key: key(), from })));
    let (reply, num_rows, change) = hub.ask(MembersRequest::Kick { node: node() });
    assert_eq!(text(reply), "bob is disconnected");
    assert_eq!((num_rows, change), (0, Some(Change::Kicked(key()))));
    let hubs_own = MembersRequest::SetVip { node: node(), vip: "10.1.2.1".parse().unwrap() };
    let (reply, ..) = hub.ask(hubs_own);
    assert_eq!(text(reply), "10.1.2.1 cannot be given: it is the hub's own");
    let (_, num_rows, change) = hub.ask(MembersRequest::Remove { node: node() });
    assert_eq!((num_rows, change), (2, Some(Change::Removed(key(), vip))));
    let (reply, ..) = hub.ask(MembersRequest::Remove { node: node() });
    assert_eq!(reply, MembersReply::Unknown { text: "no node is 'bob'".to_owned() });
}

#[test]
fn invite_is_a_join_string() {
    let mut hub = Hub::new();
    let (name, vip) = (Some("eve".parse().unwrap()), None);
    let request = MembersRequest::Invite { name: name.clone(), vip, uses: 1, ttl_s: Some(86_400) };
    let (reply, num_rows, _) = hub.ask(request);
    let MembersReply::Invited(invited) = reply else { panic!("{reply:?}") };
    assert_eq!(num_rows, 1);
    assert_eq!(invited.expires_at.as_deref(), Some("2026-11-28T15:00:00Z"));
    let join: JoinString = invited.join_string.parse().unwrap();
    assert_eq!((join.name, join.addrs), (name, vec!["hub:7744".to_owned()]));
    let (reply, ..) = hub.ask(MembersRequest::Revoke { id: invited.id.clone() });
    assert_eq!(text(reply), format!("{} is of no use any more", invited.id));
    let (reply, ..) = hub.ask(MembersRequest::Invites);
    let MembersReply::Invites(list) = reply else { panic!("{reply:?}") };
    assert_eq!(list.invites[0].state, InviteState::Revoked);
}

#[test]
fn list_of_nodes_is_golden() {
    let (reply, ..) = Hub::new().ask(MembersRequest::Nodes);
    assert_eq!(
        serde_json::to_string(&reply).unwrap(),
        r#"{"answer":"nodes","schema":"dosp.nodes/1","nodes":[{"name":"bob","vip":"10.1.2.2","key":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","fingerprint":"OLGW5-BBCYQ-D7W3I-JQ2IP","joined_at":"2026-11-27T15:00:00Z","last_seen_at":"2026-11-27T15:00:00Z","is_online":false,"addr":null}]}"#
    );
}

#[test]
fn door_is_where_it_is_said_to_be_or_guessed() {
    let (any, one) = ("0.0.0.0:80".parse().unwrap(), "192.0.2.1:81".parse().unwrap());
    let said = ["hub.example:7744".to_owned()];
    for (advertise, listen, expected) in [
        (&said[..], &[one][..], "hub.example:7744"),
        (&[], &[any, one], "192.0.2.1:81"),
        (&[], &[any], "web1:80"),
    ] {
        assert_eq!(Door::new(key(), advertise, listen, Some("web1")).addrs, [expected]);
    }
    assert!(Door::new(key(), &[], &[any], None).addrs.is_empty());
}
