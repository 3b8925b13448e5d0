//! The table against a slow model: a list of what is believed, from which all is worked out anew.

use std::collections::BTreeSet;

use dosp_proto::federation::{Claim, HubId, MAX_PATH_LEN, RemoteNetwork};
use dosp_proto::label::Label;
use dosp_proto::vip::{Network, Vip};
use proptest::prelude::*;

use super::super::{MAX_LEARNED, MAX_REFUSALS, NoWay, PeerId, PeerRule, Refusal, RefusedClaim};
use super::{claim, id, net, network, own, published, rule};
use crate::federation::table::RouteTable;

const NUM_PEERS: usize = 5;

/// All kinds of peers: what they may speak for, a published one, one whose key is not known.
fn rules() -> Vec<PeerRule> {
    let speaks_for = |text: &str| vec![network(text)];
    vec![
        rule(1),
        PeerRule { may_speak_for: speaks_for("7.10.0.0/16"), ..rule(2) },
        PeerRule { may_speak_for: speaks_for("7.10.6.0/23"), ..rule(3) },
        published(4),
        PeerRule { hub: None, ..rule(5) },
    ]
}

struct Model {
    rules: Vec<PeerRule>,
    up: [bool; NUM_PEERS],
    live: Vec<(usize, Claim)>,
    refused: [BTreeSet<RefusedClaim>; NUM_PEERS],
    /// What each peer called itself last.
    names: [Option<Label>; NUM_PEERS],
}

fn number_of(peer: usize) -> u8 {
    u8::try_from(peer).unwrap() + 1
}

fn range(network: Network) -> (u32, u32) {
    (network.address().into(), network.broadcast().into())
}

fn shares(a: Network, b: Network) -> bool {
    let ((a_first, a_last), (b_first, b_last)) = (range(a), range(b));
    a_first <= b_last && b_first <= a_last
}

fn last(claim: &Claim) -> HubId {
    claim.path[claim.path.len() - 1]
}

impl Model {
    fn new() -> Self {
        let mut rules = rules();
        rules[3].hub = Some(HubId::of_published(rules[3].network));
        Self {
            rules,
            up: [false; NUM_PEERS],
            live: Vec::new(),
            refused: Default::default(),
            names: Default::default(),
        }
    }

    fn forget(&mut self, peer: usize) {
        self.live.retain(|(from, _)| *from != peer);
        self.refused[peer].clear();
    }

    fn claim_published(&mut self, peer: usize) {
        let PeerRule { network, hub, is_published, .. } = self.rules[peer];
        let is_there = |(from, claim): &(usize, Claim)| *from == peer && claim.network == network;
        if is_published && !self.live.iter().any(is_there) {
            self.live.push((peer, Claim { network, hub: None, path: vec![hub.unwrap()] }));
        }
    }

    fn apply(&mut self, action: &Action) -> Vec<RefusedClaim> {
        match action {
            Action::Up(peer) => {
                self.up[*peer] = true;
                self.claim_published(*peer);
            }
            Action::Down(peer) => {
                self.up[*peer] = false;
                self.forget(*peer);
            }
            Action::LearnId(peer, hub) => self.learn_id(*peer, *hub),
            Action::Hear(peer, claims) => return self.hear(*peer, claims),
        }
        Vec::new()
    }

    fn learn_id(&mut self, peer: usize, hub: HubId) {
        if !self.rules[peer].is_published && self.rules[peer].hub != Some(hub) {
            self.rules[peer].hub = Some(hub);
            self.forget(peer);
            let network = self.rules[peer].network;
            self.live.retain(|(_, claim)| claim.network != network || last(claim) == hub);
        }
    }

    fn hear(&mut self, peer: usize, claims: &[Claim]) -> Vec<RefusedClaim> {
        if !self.up[peer] || self.rules[peer].hub.is_none() {
            return Vec::new();
        }
        let ours = self.live.iter().filter(|(from, _)| *from == peer);
        let before: BTreeSet<_> = ours.map(|(_, claim)| claim.network).collect();
        self.live.retain(|(from, _)| *from != peer);
        let stays = |claim: &&Claim| before.contains(&claim.network);
        let (staying, new): (Vec<_>, Vec<_>) = claims.iter().partition(stays);
        let mut refused = Vec::new();
        for claim in staying.into_iter().chain(new) {
            match self.judge(peer, claim) {
                None if claim.path.contains(&own().id) => {}
                None => self.live.push((peer, claim.clone())),
                Some(reason) => refused.push(RefusedClaim { network: claim.network, reason }),
            }
        }
        self.claim_published(peer);
        let network = self.rules[peer].network;
        let is_own = |(from, claim): &&(usize, Claim)| *from == peer && claim.network == network;
        if let Some((_, own)) = self.live.iter().find(is_own) {
            self.names[peer] = own.hub.clone();
        }
        refused.truncate(MAX_REFUSALS);
        let now = refused.iter().copied().collect();
        let last_time = std::mem::replace(&mut self.refused[peer], now);
        refused.retain(|refused| !last_time.contains(refused));
        refused
    }

    fn judge(&self, peer: usize, claim: &Claim) -> Option<Refusal> {
        let Claim { network, path, .. } = claim;
        let rule = &self.rules[peer];
        if path.is_empty() || path.len() > MAX_PATH_LEN {
            return Some(Refusal::PathLen);
        }
        if path[0] != rule.hub.unwrap() {
            return Some(Refusal::NotFromPeer);
        }
        if path.contains(&own().id) {
            return None;
        }
        if path.iter().collect::<BTreeSet<_>>().len() < path.len() {
            return Some(Refusal::RepeatedHub);
        }
        if shares(*network, own().network) {
            return Some(Refusal::OwnNetwork);
        }
        let lies_in = |prefix: &Network| {
            range(*prefix).0 <= range(*network).0 && range(*network).1 <= range(*prefix).1
        };
        if !lies_in(&rule.network) && !rule.may_speak_for.iter().any(lies_in) {
            return Some(Refusal::NotAllowed);
        }
        let overlap = self.configured().into_iter().chain(self.learned());
        let mut overlap = overlap.filter(|known| shares(*known, *network) && known != network);
        if let Some(known) = overlap.next() {
            return Some(Refusal::Overlaps(known));
        }
        self.judge_owner(peer, claim)
    }

    fn judge_owner(&self, peer: usize, claim: &Claim) -> Option<Refusal> {
        let same: Vec<_> =
            self.live.iter().filter(|(_, known)| known.network == claim.network).collect();
        if same.iter().any(|(from, _)| *from == peer) {
            return Some(Refusal::Twice);
        }
        if let Some(rule) = self.rules.iter().find(|rule| rule.network == claim.network) {
            return rule.hub.is_some_and(|hub| hub != last(claim)).then_some(Refusal::NotItsHub);
        }
        if same.iter().any(|(_, known)| last(known) != last(claim)) {
            return Some(Refusal::Conflict);
        }
        (same.is_empty() && self.learned().len() >= MAX_LEARNED).then_some(Refusal::TooMany)
    }

    fn configured(&self) -> BTreeSet<Network> {
        self.rules.iter().map(|rule| rule.network).collect()
    }

    fn learned(&self) -> BTreeSet<Network> {
        let known: BTreeSet<_> = self.live.iter().map(|(_, claim)| claim.network).collect();
        known.difference(&self.configured()).copied().collect()
    }

    fn known(&self) -> BTreeSet<Network> {
        self.configured().union(&self.learned()).copied().collect()
    }

    fn best(&self, network: Network) -> Option<&(usize, Claim)> {
        let candidates = self.live.iter().filter(|(_, claim)| claim.network == network);
        candidates.min_by_key(|(peer, claim)| (claim.path.len(), *peer))
    }

    fn passes(&self, (via, claim): &(usize, Claim), peer: usize) -> bool {
        *via == peer || self.rules[peer].hub.is_some_and(|hub| claim.path.contains(&hub))
    }

    fn next_hop(&self, dst: Vip, from: Option<usize>) -> Result<usize, NoWay> {
        if own().network.contains(dst) {
            return Err(NoWay::Own);
        }
        let holding: Vec<_> =
            self.known().into_iter().filter(|known| known.contains(dst)).collect();
        assert!(holding.len() <= 1, "{holding:?} overlap");
        let network = holding.first().ok_or(NoWay::Unknown)?;
        let best = self.best(*network).ok_or(NoWay::Unreachable)?;
        let is_back = from.is_some_and(|from| self.passes(best, from));
        if is_back { Err(NoWay::Back) } else { Ok(best.0) }
    }

    fn advertisement(&self, to: usize) -> Vec<Claim> {
        let mut told =
            vec![Claim { network: own().network, hub: own().name, path: vec![own().id] }];
        for network in self.known() {
            if let Some(best) = self.best(network).filter(|best| !self.passes(best, to)) {
                let path = [&[own().id], &best.1.path[..]].concat();
                told.push(Claim { path, ..best.1.clone() });
            }
        }
        told.retain(|claim| claim.path.len() <= MAX_PATH_LEN);
        told
    }

    fn remote_networks(&self) -> Vec<RemoteNetwork> {
        let networks = self.known().into_iter().map(|network| {
            let best = self.best(network).map(|(_, claim)| claim);
            let hub = match self.rules.iter().position(|rule| rule.network == network) {
                Some(peer) => self.names[peer].clone(),
                None => best.and_then(|claim| claim.hub.clone()),
            };
            let num_hops = best.map(|claim| claim.path.len().try_into().unwrap());
            RemoteNetwork {
                network,
                hub: hub.filter(|hub| own().name != Some(hub.clone())),
                num_hops,
            }
        });
        networks.collect()
    }
}

#[derive(Debug, Clone)]
enum Action {
    Up(usize),
    Down(usize),
    LearnId(usize, HubId),
    Hear(usize, Vec<Claim>),
}

fn apply(table: &mut RouteTable, action: Action) -> Vec<RefusedClaim> {
    match action {
        Action::Up(peer) => table.link_up(PeerId(peer)),
        Action::Down(peer) => table.link_down(PeerId(peer)),
        Action::LearnId(peer, hub) => table.learn_id(PeerId(peer), hub),
        Action::Hear(peer, claims) => return table.hear(PeerId(peer), claims),
    }
    Vec::new()
}

/// Networks of no hub, most of which overlap others.
const ODD: [&str; 6] =
    ["7.10.6.0/25", "7.10.6.128/25", "7.10.8.0/23", "7.10.0.0/16", "7.10.1.0/25", "9.0.0.0/24"];

/// As the hubs 0 to 9 would be told of: mostly the right owner, sometimes anything.
fn any_claim(peer: usize) -> impl Strategy<Value = Claim> {
    let odd = prop::sample::select(&ODD[..]).prop_map(|text| (network(text), 9));
    let of_hub = (0..10u8).prop_map(|number| (net(number), number));
    let names = prop::option::of(prop::sample::select(&["ours", "a", "b"][..]));
    let first = prop_oneof![19 => Just(number_of(peer)), 1 => 0..10u8];
    let between = prop_oneof![
        19 => prop::collection::vec(6..40u8, 0..4),
        1 => prop::collection::vec(0..10u8, 0..9)
    ];
    let owner = prop_oneof![4 => Just(None), 1 => (0..10u8).prop_map(Some)];
    let networks = prop_oneof![4 => of_hub, 1 => odd];
    (networks, names, first, between, owner).prop_map(
        move |((network, right), name, first, between, owner)| {
            let mut path = [&[first][..], &between, &[owner.unwrap_or(right)]].concat();
            path.dedup();
            let mut claim = claim(network, &path);
            claim.hub = name.map(|name| name.parse().unwrap());
            // The published hub has another id than its number says.
            let published = HubId::of_published(net(4));
            for hub in claim.path.iter_mut().filter(|hub| **hub == id(4)) {
                *hub = published;
            }
            claim
        },
    )
}

fn flood(peer: usize, first: u8, len: u8) -> Vec<Claim> {
    let number = if peer == 3 { HubId::of_published(net(4)) } else { id(number_of(peer)) };
    let networks = (first..first + len).map(net);
    networks.map(|network| Claim { network, hub: None, path: vec![number, id(99)] }).collect()
}

fn any_action() -> impl Strategy<Value = Action> {
    (0..NUM_PEERS).prop_flat_map(|peer| {
        let claims = prop::collection::vec(any_claim(peer), 0..10);
        prop_oneof![
            2 => Just(Action::Up(peer)),
            1 => Just(Action::Down(peer)),
            1 => prop_oneof![3 => Just(number_of(peer)), 1 => 3..7u8]
                .prop_map(move |number| Action::LearnId(peer, id(number))),
            8 => claims.prop_map(move |claims| Action::Hear(peer, claims)),
            1 => (40..140u8, 20..80u8)
                .prop_map(move |(first, len)| Action::Hear(peer, flood(peer, first, len))),
        ]
    })
}

fn assert_same(table: &RouteTable, model: &Model) {
    for network in model.known() {
        let best = table.best(network).map(|route| (route.peer.0, route.claim.clone()));
        assert_eq!(best.as_ref(), model.best(network));
    }
    let mut live: Vec<_> = model.live.iter().map(|(peer, claim)| (PeerId(*peer), claim)).collect();
    live.sort_by_key(|(peer, claim)| (claim.network, claim.path.len(), *peer));
    assert_eq!(table.candidates(), live);
    assert_eq!(table.remote_networks(), model.remote_networks());
    let thirds = (0..11).chain([40, 60, 90, 140, 160, 219]);
    let third: Vec<_> = thirds.map(|third| [7, 10, third, 200].into()).collect();
    for from in [None].into_iter().chain((0..NUM_PEERS).map(Some)) {
        for dst in third.iter().copied().chain([[9, 0, 0, 1].into(), [7, 10, 6, 5].into()]) {
            let next = table.next_hop(dst, from.map(PeerId)).map(|route| route.peer.0);
            assert_eq!(next, model.next_hop(dst, from), "{dst} from {from:?}");
        }
    }
    for peer in 0..NUM_PEERS {
        assert_eq!(table.advertisement(PeerId(peer)), model.advertisement(peer));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn table_does_as_the_model(actions in prop::collection::vec(any_action(), 1..30)) {
        let mut table = RouteTable::new(own(), rules()).unwrap();
        let mut model = Model::new();
        for peer in 0..NUM_PEERS {
            table.link_up(PeerId(peer));
            model.apply(&Action::Up(peer));
        }
        for action in actions {
            let told = |table: &RouteTable| (0..NUM_PEERS).map(|peer| table.advertisement(PeerId(peer))).collect::<Vec<_>>();
            let (revision, before) = (table.revision(), (table.remote_networks(), told(&table)));
            let refused = apply(&mut table, action.clone());
            prop_assert_eq!(refused, model.apply(&action), "{:?}", action);
            assert_same(&table, &model);
            let has_changed = before != (table.remote_networks(), told(&table));
            prop_assert!(!has_changed || table.revision() > revision);
            prop_assert!(table.candidates().len() <= NUM_PEERS * (MAX_LEARNED + NUM_PEERS));
            if let Action::Hear(..) = action {
                let (revision, again) = (table.revision(), apply(&mut table, action.clone()));
                prop_assert_eq!(again, model.apply(&action));
                assert_same(&table, &model);
                prop_assert_eq!(table.revision(), revision, "a repetition changes nothing");
            }
        }
    }
}
