//! One hub of the simulation: what it decides, without links or time.

use dosp_proto::federation::{Claim, Forwarding, HubId};
use dosp_proto::sd::{self, Advertisement};
use dosp_proto::vip::{Network, Vip};

use super::super::{id, net, network};
use crate::federation::table::{NoWay, Own, PeerId, PeerRule, RouteTable};

/// No network beside these: nobody lies.
const ALL: &str = "7.10.0.0/16";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ours,
    /// It has its configured peers and no more: it passes on nothing that it hears.
    Published,
    /// A published one that does: it counts hops, and knows no paths.
    Relaying,
}

impl Kind {
    pub(super) fn is_published(self) -> bool {
        self != Self::Ours
    }
}

/// What travels between hubs.
#[derive(Debug, Clone)]
pub(super) enum Message {
    Routes(Vec<Claim>),
    Sd(Advertisement),
    Frame(Frame),
}

#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) number: u64,
    pub(super) src: Vip,
    pub(super) dst: Vip,
    /// None where a published hub sent it.
    pub(super) forwarding: Option<Forwarding>,
    /// Links since it last entered a hub of ours, and in all.
    pub(super) num_links: (usize, usize),
}

pub(super) struct Hub {
    pub(super) number: usize,
    pub(super) kind: Kind,
    pub(super) is_alive: bool,
    /// Of each peer: its hub, whether there is a link, and since which cut of the cable.
    pub(super) neighbours: Vec<(usize, Kind)>,
    pub(super) up: Vec<bool>,
    pub(super) epochs: Vec<u32>,
    pub(super) table: RouteTable,
    /// What a relaying hub heard of each peer.
    heard: Vec<Vec<sd::Route>>,
    pub(super) told_revision: u64,
    pub(super) is_telling: bool,
}

pub(super) fn network_of(hub: usize) -> Network {
    net(u8::try_from(hub).unwrap())
}

fn id_of(hub: usize, kind: Kind) -> HubId {
    match kind {
        Kind::Ours => id(u8::try_from(hub).unwrap()),
        Kind::Published | Kind::Relaying => HubId::of_published(network_of(hub)),
    }
}

impl Hub {
    pub(super) fn new(number: usize, kind: Kind, neighbours: Vec<(usize, Kind)>) -> Self {
        let num_peers = neighbours.len();
        Self {
            number,
            kind,
            is_alive: true,
            table: empty_table(number, kind, &neighbours),
            neighbours,
            heard: vec![Vec::new(); num_peers],
            up: vec![false; num_peers],
            epochs: vec![0; num_peers],
            told_revision: 0,
            is_telling: false,
        }
    }

    pub(super) fn id(&self) -> HubId {
        id_of(self.number, self.kind)
    }

    /// Starts anew, with nothing known.
    pub(super) fn restart(&mut self) {
        let neighbours = std::mem::take(&mut self.neighbours);
        *self = Self::new(self.number, self.kind, neighbours);
    }

    pub(super) fn network(&self) -> Network {
        network_of(self.number)
    }

    pub(super) fn link_up(&mut self, peer: usize) {
        self.up[peer] = true;
        self.table.link_up(PeerId(peer));
    }

    pub(super) fn link_down(&mut self, peer: usize) {
        self.up[peer] = false;
        self.heard[peer].clear();
        self.table.link_down(PeerId(peer));
        assert!(self.table.routes().all(|route| route.peer != PeerId(peer)));
        assert!(self.table.candidates().iter().all(|(from, _)| *from != PeerId(peer)));
    }

    pub(super) fn hear(&mut self, peer: usize, claims: Vec<Claim>) {
        let peer_id = PeerId(peer);
        let refused = self.table.hear(peer_id, claims);
        // Where all are ours, whoever is refused is refused wrongly. A published hub cannot say whose
        // network it leads to.
        let has_published = self.neighbours.iter().any(|(_, kind)| kind.is_published());
        let is_plain = self.neighbours[peer].1 == Kind::Ours && !has_published;
        assert!(refused.is_empty() || !is_plain || self.in_mixed_company(), "{refused:?}");
        assert!(self.table.routes().all(|route| self.up[route.peer.0]));
    }

    /// Some path in the table has a hub that is not ours.
    fn in_mixed_company(&self) -> bool {
        let mut ids = self.table.candidates().into_iter().flat_map(|(_, claim)| claim.path.clone());
        ids.any(|hub| (0..32).all(|number| id(number) != hub))
    }

    pub(super) fn tell(&self, peer: usize) -> Message {
        match (self.kind, self.neighbours[peer].1) {
            (Kind::Ours, Kind::Ours) => Message::Routes(self.table.advertisement(PeerId(peer))),
            (Kind::Ours, _) => Message::Sd(self.table.sd_advertisement(PeerId(peer), "hub", 1)),
            (Kind::Published | Kind::Relaying, _) => Message::Sd(self.tell_peers(peer)),
        }
    }

    pub(super) fn hear_sd(&mut self, peer: usize, said: Advertisement) {
        match self.kind {
            Kind::Ours => self.hear(peer, self.table.claims_of(PeerId(peer), &said)),
            Kind::Published => {}
            Kind::Relaying => self.heard[peer] = said.0,
        }
    }

    /// A published hub tells of itself and of those that it has links to, and a relaying one of all
    /// that others than `to` have told it.
    fn tell_peers(&self, to: usize) -> Advertisement {
        let peers = self.neighbours.iter().zip(&self.up).filter(|(_, is_up)| **is_up);
        let peers = peers.map(|((hub, _), _)| (*hub, 1));
        let routes = std::iter::once((self.number, 0)).chain(peers).map(|(hub, num_hops)| {
            let template = format!("7.10.{hub}.{{x}}");
            sd::Route { host: "hub".into(), port: 1, template, num_hops }
        });
        let heard = self.heard.iter().enumerate().filter(|(from, _)| *from != to);
        let heard = heard.flat_map(|(_, routes)| routes);
        let heard = heard.filter_map(|route| {
            let num_hops = route.num_hops.checked_add(1).filter(|num_hops| *num_hops < 16)?;
            Some(sd::Route { num_hops, ..route.clone() })
        });
        let mut routes: Vec<_> = routes.chain(heard).collect();
        routes.sort_by_key(|route| (route.template.clone(), route.num_hops));
        routes.dedup_by_key(|route| route.template.clone());
        Advertisement(routes)
    }

    /// Where a frame goes: to a peer, or `Err` with what becomes of it here.
    pub(super) fn route(&self, frame: &mut Frame, from: Option<usize>) -> Result<usize, NoWay> {
        if self.kind.is_published() {
            return self.route_published(frame, from);
        }
        let may_speak = |peer| self.table.sources(PeerId(peer)).hold(frame.src);
        if !from.is_none_or(may_speak) {
            return Err(NoWay::Back);
        }
        let peer = self.table.next_hop(frame.dst, from.map(PeerId))?.peer.0;
        frame.forwarding = match frame.forwarding {
            Some(forwarding) => Some(forwarding.next().ok_or(NoWay::Unreachable)?),
            None => {
                frame.num_links.0 = 0;
                Some(Forwarding::begin(self.id(), true))
            }
        };
        if self.neighbours[peer].1.is_published() {
            frame.forwarding = None;
        }
        Ok(peer)
    }

    fn route_published(&self, frame: &mut Frame, from: Option<usize>) -> Result<usize, NoWay> {
        frame.forwarding = None;
        if self.network().contains(frame.dst) {
            return Err(NoWay::Own);
        }
        let leads = |(hub, _): &(usize, Kind)| network_of(*hub).contains(frame.dst);
        let direct = self.neighbours.iter().position(leads);
        let peer = direct.or_else(|| self.heard_of(frame.dst)).ok_or(NoWay::Unknown)?;
        if from == Some(peer) {
            return Err(NoWay::Back);
        }
        if self.up[peer] { Ok(peer) } else { Err(NoWay::Unreachable) }
    }

    fn heard_of(&self, dst: Vip) -> Option<usize> {
        let heard = self.heard.iter().enumerate();
        let heard = heard.flat_map(|(peer, routes)| routes.iter().map(move |route| (peer, route)));
        let holding = heard.filter(|(_, route)| network(&route.template).contains(dst));
        holding.min_by_key(|(peer, route)| (route.num_hops, *peer)).map(|(peer, _)| peer)
    }
}

fn empty_table(number: usize, kind: Kind, neighbours: &[(usize, Kind)]) -> RouteTable {
    let own = Own { network: network_of(number), id: id_of(number, kind), name: None };
    let rules = neighbours.iter().map(|(hub, kind)| PeerRule {
        network: network_of(*hub),
        may_speak_for: vec![network(ALL)],
        hub: (*kind == Kind::Ours).then(|| id_of(*hub, *kind)),
        is_published: kind.is_published(),
    });
    RouteTable::new(own, rules.collect()).unwrap()
}
