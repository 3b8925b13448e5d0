//! Hubs, cables that can be cut, and what is on its way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dosp_proto::federation::MAX_PATH_LEN;
use dosp_proto::vip::Vip;

use super::dice::Dice;
use super::hub::{Frame, Hub, Kind, Message, network_of};
use crate::federation::table::NoWay;

/// All in milliseconds.
const MAX_DELAY: u64 = 150;
/// How long an end may take to find out.
const MAX_UP_DELAY: u64 = 500;
const MAX_DOWN_DELAY: u64 = 4_000;
/// Changes within this time are told at once.
const MAX_TELL_DELAY: u64 = 250;
const TELL_INTERVAL: u64 = 30_000;

pub(super) struct World {
    now: u64,
    dice: Dice,
    hubs: Vec<Hub>,
    cables: Vec<Cable>,
    /// By time, then in the order in which they were planned.
    events: BTreeMap<(u64, u64), Event>,
    num_planned: u64,
    num_frames: u64,
    delivered: BTreeSet<u64>,
    /// Links that a frame may pass in all.
    pub(super) max_links: usize,
}

struct Cable {
    ends: [usize; 2],
    is_cut: bool,
    /// Whether it carried something when last looked at: not cut, and both hubs alive.
    is_usable: bool,
    /// How often that has changed: what was sent before is lost.
    epoch: u32,
    /// What was sent later arrives later, in each direction.
    last_arrivals: [u64; 2],
}

enum Event {
    /// An end finds out about its cable.
    Notice {
        hub: usize,
        peer: usize,
        epoch: u32,
        is_up: bool,
    },
    Arrive {
        hub: usize,
        peer: usize,
        epoch: u32,
        message: Message,
    },
    Tell {
        hub: usize,
    },
    TellAgain {
        hub: usize,
    },
}

impl World {
    pub(super) fn new(kinds: &[Kind], cables: &[(usize, usize)], seed: u64) -> Self {
        let hubs = kinds.iter().enumerate().map(|(number, kind)| {
            let ends = cables.iter().filter_map(|&(a, b)| match (a == number, b == number) {
                (true, _) => Some(b),
                (_, true) => Some(a),
                _ => None,
            });
            Hub::new(number, *kind, ends.map(|end| (end, kinds[end])).collect())
        });
        let cables = cables.iter().map(|&(a, b)| Cable {
            ends: [a, b],
            is_cut: false,
            is_usable: false,
            epoch: 0,
            last_arrivals: [0; 2],
        });
        let mut world = Self {
            now: 0,
            dice: Dice::new(seed),
            hubs: hubs.collect(),
            cables: cables.collect(),
            events: BTreeMap::new(),
            num_planned: 0,
            num_frames: 0,
            delivered: BTreeSet::new(),
            max_links: 4 * MAX_PATH_LEN,
        };
        for hub in 0..world.hubs.len() {
            let first = world.dice.millis(TELL_INTERVAL);
            world.plan(first, Event::TellAgain { hub });
        }
        world.look_at_cables();
        world
    }

    fn plan(&mut self, delay: u64, event: Event) {
        self.num_planned += 1;
        self.events.insert((self.now + delay, self.num_planned), event);
    }

    pub(super) fn cut(&mut self, cable: usize) {
        self.cables[cable].is_cut = true;
        self.look_at_cables();
    }

    pub(super) fn heal(&mut self, cable: usize) {
        self.cables[cable].is_cut = false;
        self.look_at_cables();
    }

    pub(super) fn kill(&mut self, hub: usize) {
        self.hubs[hub].is_alive = false;
        self.look_at_cables();
    }

    pub(super) fn revive(&mut self, hub: usize) {
        if !self.hubs[hub].is_alive {
            self.hubs[hub].restart();
            self.look_at_cables();
        }
    }

    fn look_at_cables(&mut self) {
        for index in 0..self.cables.len() {
            let cable = &mut self.cables[index];
            let [a, b] = cable.ends;
            let is_up = !cable.is_cut && self.hubs[a].is_alive && self.hubs[b].is_alive;
            if is_up == std::mem::replace(&mut cable.is_usable, is_up) {
                continue;
            }
            cable.epoch += 1;
            let epoch = cable.epoch;
            for (hub, other) in [(a, b), (b, a)] {
                let max_delay = if is_up { MAX_UP_DELAY } else { MAX_DOWN_DELAY };
                let delay = self.dice.millis(max_delay);
                let peer = self.peer(hub, other);
                self.plan(delay, Event::Notice { hub, peer, epoch, is_up });
            }
        }
    }

    fn peer(&self, hub: usize, other: usize) -> usize {
        self.hubs[hub].neighbours.iter().position(|(end, _)| *end == other).unwrap()
    }

    fn cable(&self, a: usize, b: usize) -> Option<usize> {
        self.cables.iter().position(|cable| cable.ends == [a, b] || cable.ends == [b, a])
    }

    /// Cuts, heals, kills, revives, while clients send.
    pub(super) fn make_trouble(&mut self, duration: u64) {
        let end = self.now + duration;
        while self.now < end {
            if self.dice.one_in(20) {
                let (cable, hub) =
                    (self.dice.below(self.cables.len()), self.dice.below(self.hubs.len()));
                match self.dice.below(8) {
                    0..3 => self.cut(cable),
                    3..6 => self.heal(cable),
                    6 => self.kill(hub),
                    _ => self.revive(hub),
                }
            }
            for _ in 0..4 {
                self.send_any_frame();
            }
            let pause = self.dice.millis(100);
            self.run(pause);
        }
    }

    fn send_any_frame(&mut self) {
        let (src, dst) = (self.dice.below(self.hubs.len()), self.dice.below(self.hubs.len()));
        self.send_frame(src, dst);
    }

    fn send_frame(&mut self, src: usize, dst: usize) -> u64 {
        self.num_frames += 1;
        let vip = |hub| Vip::from(u32::from(network_of(hub).address()) + 2);
        let (number, src_vip, dst_vip) = (self.num_frames, vip(src), vip(dst));
        let frame =
            Frame { number, src: src_vip, dst: dst_vip, forwarding: None, num_links: (0, 0) };
        if self.hubs[src].is_alive {
            self.handle_frame(src, frame, None);
        }
        number
    }

    pub(super) fn run(&mut self, duration: u64) {
        let end = self.now + duration;
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.handle(event);
        }
        self.now = end;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Notice { hub, peer, epoch, is_up } => {
                if self.hubs[hub].is_alive {
                    self.notice(hub, peer, epoch, is_up);
                }
            }
            Event::Arrive { hub, peer, epoch, message } => {
                let other = self.hubs[hub].neighbours[peer].0;
                let cable = &self.cables[self.cable(hub, other).unwrap()];
                if cable.is_usable && cable.epoch == epoch {
                    self.notice(hub, peer, epoch, true);
                    self.handle_message(hub, peer, message);
                }
            }
            Event::Tell { hub } => {
                self.hubs[hub].is_telling = false;
                self.tell_all(hub);
            }
            Event::TellAgain { hub } => {
                self.tell_all(hub);
                self.plan(TELL_INTERVAL, Event::TellAgain { hub });
            }
        }
    }

    fn notice(&mut self, number: usize, peer: usize, epoch: u32, is_up: bool) {
        let hub = &mut self.hubs[number];
        if epoch <= hub.epochs[peer] {
            return;
        }
        hub.epochs[peer] = epoch;
        // A new link may be there before the old one is known to be gone.
        if hub.up[peer] && (!is_up || self.dice.one_in(2)) {
            hub.link_down(peer);
        }
        if is_up {
            hub.link_up(peer);
            self.tell(number, peer);
        }
        self.tell_changes(number);
    }

    fn handle_message(&mut self, number: usize, peer: usize, message: Message) {
        let hub = &mut self.hubs[number];
        match message {
            Message::Routes(claims) => hub.hear(peer, claims),
            Message::Sd(said) => hub.hear_sd(peer, said),
            Message::Frame(frame) => self.handle_frame(number, frame, Some(peer)),
        }
        self.tell_changes(number);
    }

    fn handle_frame(&mut self, number: usize, mut frame: Frame, from: Option<usize>) {
        let hub = &self.hubs[number];
        match hub.route(&mut frame, from) {
            Err(NoWay::Own) => {
                assert!(hub.network().contains(frame.dst), "{frame:?} at the wrong hub");
                assert!(self.delivered.insert(frame.number), "{frame:?} twice");
            }
            Err(_) => {}
            Ok(peer) => {
                let (since, in_all) = frame.num_links;
                frame.num_links = (since + 1, in_all + 1);
                let has_ttl = frame.forwarding.is_some();
                assert!(!has_ttl || since < MAX_PATH_LEN, "{frame:?} goes on and on");
                assert!(in_all < self.max_links, "{frame:?} never ends");
                self.send(number, peer, Message::Frame(frame));
            }
        }
    }

    fn send(&mut self, number: usize, peer: usize, message: Message) {
        let epoch = self.hubs[number].epochs[peer];
        let other = self.hubs[number].neighbours[peer].0;
        let cable = self.cable(number, other).unwrap();
        let cable = &mut self.cables[cable];
        let arrival = &mut cable.last_arrivals[usize::from(cable.ends[0] == number)];
        let soonest = self.now + self.dice.millis(MAX_DELAY);
        *arrival = soonest.max(*arrival);
        let delay = *arrival - self.now;
        let back = self.peer(other, number);
        self.plan(delay, Event::Arrive { hub: other, peer: back, epoch, message });
    }

    fn tell_changes(&mut self, number: usize) {
        let hub = &mut self.hubs[number];
        let is_news = hub.table.revision() != hub.told_revision;
        if is_news && !std::mem::replace(&mut hub.is_telling, true) {
            let delay = self.dice.millis(MAX_TELL_DELAY);
            self.plan(delay, Event::Tell { hub: number });
        }
    }

    fn tell_all(&mut self, number: usize) {
        let hub = &mut self.hubs[number];
        hub.told_revision = hub.table.revision();
        for peer in 0..hub.up.len() {
            if self.hubs[number].is_alive && self.hubs[number].up[peer] {
                self.tell(number, peer);
            }
        }
    }

    fn tell(&mut self, number: usize, peer: usize) {
        let message = self.hubs[number].tell(peer);
        self.send(number, peer, message);
    }

    pub(super) fn num_hops(&self, from: usize, to: usize) -> Option<usize> {
        self.hubs[from].table.best(network_of(to)).map(|route| route.claim.path.len())
    }

    /// Links from `from` to each hub, over hubs of ours only.
    fn distances(&self, from: usize) -> Vec<Option<usize>> {
        let mut distances = vec![None; self.hubs.len()];
        distances[from] = Some(0);
        let mut queue = VecDeque::from([from]);
        while let Some(hub) = queue.pop_front() {
            let passes_on = self.hubs[hub].kind == Kind::Ours;
            for cable in self.cables.iter().filter(|cable| cable.is_usable && passes_on) {
                let other = match cable.ends {
                    [a, b] if a == hub => b,
                    [a, b] if b == hub => a,
                    _ => continue,
                };
                if distances[other].is_none() {
                    distances[other] = distances[hub].map(|distance| distance + 1);
                    queue.push_back(other);
                }
            }
        }
        distances
    }

    /// Hubs of ours that run, with the distances of all hubs from each.
    fn alive(&self) -> Vec<(usize, Vec<Option<usize>>)> {
        let alive = self.hubs.iter().filter(|hub| hub.is_alive && hub.kind == Kind::Ours);
        alive.map(|hub| (hub.number, self.distances(hub.number))).collect()
    }

    /// All are ours: exactly the shortest ways are known, and they carry.
    pub(super) fn assert_converged(&mut self) {
        for (from, distances) in self.alive() {
            self.assert_no_path_is_broken(from);
            for (to, distance) in distances.into_iter().enumerate().filter(|(to, _)| *to != from) {
                let expected = distance.filter(|distance| *distance <= MAX_PATH_LEN);
                assert_eq!(self.num_hops(from, to), expected, "from {from} to {to}");
                let frame = self.send_frame(from, to);
                self.run(MAX_DELAY * 8);
                assert_eq!(self.delivered.contains(&frame), expected.is_some());
            }
        }
    }

    fn assert_no_path_is_broken(&self, from: usize) {
        for (_, claim) in self.hubs[from].table.candidates() {
            let ids = claim.path.iter();
            let hubs = ids.map(|id| self.hubs.iter().position(|hub| hub.id() == *id).unwrap());
            let hubs: Vec<_> = std::iter::once(from).chain(hubs).collect();
            let is_whole = |ends: &[usize]| {
                self.cable(ends[0], ends[1]).is_some_and(|cable| self.cables[cable].is_usable)
            };
            assert!(hubs.windows(2).all(is_whole), "{hubs:?} is broken");
        }
    }

    /// Published hubs are found by a way over hubs of ours, or a shorter one.
    pub(super) fn assert_published_are_reached(&mut self) {
        for (from, distances) in self.alive() {
            for (to, distance) in distances.into_iter().enumerate().filter(|(to, _)| *to != from) {
                let frame = self.send_frame(from, to);
                self.run(MAX_DELAY * 32);
                let expected = distance.filter(|distance| *distance <= MAX_PATH_LEN);
                let Some(expected) = expected.filter(|_| self.hubs[to].kind.is_published()) else {
                    continue;
                };
                let found = self.num_hops(from, to);
                assert!(found.is_some_and(|found| found <= expected), "from {from} to {to}");
                assert!(self.delivered.contains(&frame), "from {from} to {to}");
            }
        }
        self.assert_no_frame_is_on_its_way();
    }

    pub(super) fn assert_no_frame_is_on_its_way(&self) {
        let is_frame =
            |event: &Event| matches!(event, Event::Arrive { message: Message::Frame(_), .. });
        assert!(!self.events.values().any(is_frame));
    }
}
