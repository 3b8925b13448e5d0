//! Random traffic over a hub that loses, changes, invents and confuses: whatever it does, nobody gets
//! what was not sent to him, nothing is readable on the way, and a calm hub heals everything.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use dosp_proto::frame::S2C_HEADER_LEN;
use dosp_proto::packet::Ipv4Packet;
use dosp_proto::vip::Vip;

use super::hub::{Faults, below, chance};
use super::net::{Net, OPEN, VERSION_1};
use super::{MARKER, vip};
use crate::engine::{DropReason, EngineConfig};

/// One turn of a scenario, in virtual milliseconds.
const TURN_MS: u64 = 250;
const TURNS_A_MINUTE: usize = 240;
/// UDP and IP header, then [`MARKER`].
const PACKET_ID_AT: usize = 28 + MARKER.len();

/// What happens to whole agents, in a thousand turns.
#[derive(Debug, Clone, Copy, Default)]
struct Upsets {
    restart_agent: u32,
    restart_hub: u32,
    /// Two agents come back under each other's vIPs. In version 2 that is what a lying hub does, and
    /// is refused.
    swap_vips: u32,
    /// An agent comes back under a vIP that nobody had.
    move_agent: u32,
    /// Both sides of a pair have something to send at the same moment, to peers that they forgot.
    forget_all: u32,
}

struct Scenario {
    net: Net,
    seed: u64,
    upsets: Upsets,
    num_moves: u32,
    next_id: u64,
    /// Everything that was ever sent: who sent it, and its bytes.
    sent: BTreeMap<u64, (usize, Vec<u8>)>,
    delivered: BTreeSet<u64>,
}

#[test]
fn honest_hub_delivers_everything() {
    for seed in 0..20 {
        let faults = Faults { delay: 100, ..Faults::default() };
        let scenario = run(seed, faults, Upsets::default());
        assert_eq!(scenario.delivered.len(), scenario.sent.len(), "seed {seed}");
    }
}

#[test]
fn honest_hub_with_agents_that_come_and_go() {
    let faults = Faults { delay: 100, ..Faults::default() };
    run_all(
        100..160,
        faults,
        Upsets { restart_agent: 10, restart_hub: 10, swap_vips: 10, ..Upsets::default() },
    );
}

#[test]
fn hub_that_loses_and_reorders() {
    let faults = Faults { lose: 200, double: 100, delay: 50, reorder: 100, ..Faults::default() };
    run_all(1000..1060, faults, Upsets::default());
}

#[test]
fn hub_that_forges_and_replays() {
    let faults =
        Faults { flip: 50, reflect: 100, replay: 100, forge: 50, lie: 50, ..Faults::default() };
    let met = run_all(2000..2080, faults, Upsets::default());
    for reason in [DropReason::FrameNumber, DropReason::Forged, DropReason::Reflected] {
        assert!(met.contains(&reason), "{reason:?} never happened");
    }
}

#[test]
fn hub_that_does_everything_at_once() {
    let faults = Faults {
        lose: 100,
        double: 50,
        delay: 20,
        reorder: 50,
        flip: 30,
        reflect: 50,
        replay: 100,
        forge: 30,
        lie: 50,
        ..Faults::default()
    };
    run_all(
        3000..3100,
        faults,
        Upsets { restart_agent: 5, restart_hub: 5, swap_vips: 5, ..Upsets::default() },
    );
}

/// Returns the reasons for which anything was dropped.
fn run_all(seeds: Range<u64>, faults: Faults, upsets: Upsets) -> BTreeSet<DropReason> {
    let mut met = BTreeSet::new();
    for seed in seeds {
        met.extend(run(seed, faults, upsets).drops());
    }
    met
}

/// The same with tunnels of version 2, whose peers know each other's keys before the trouble begins.
fn run_all_version_2(seeds: Range<u64>, faults: Faults, upsets: Upsets) -> BTreeSet<DropReason> {
    let many = if std::env::var_os("DOSP_LONG").is_some() { 10 } else { 1 };
    let end = seeds.start + (seeds.end - seeds.start) * many;
    let mut met = BTreeSet::new();
    for seed in seeds.start..end {
        let mut scenario = Scenario::new(seed, Faults::default(), upsets, OPEN);
        scenario.acquaint();
        scenario.net.hub.faults = faults;
        let scenario = scenario.live();
        scenario.check_counters();
        met.extend(scenario.drops());
    }
    met
}

#[test]
fn version_2_over_a_hub_that_loses_doubles_and_reorders() {
    let faults = Faults { lose: 200, double: 100, delay: 50, reorder: 100, ..Faults::default() };
    let met = run_all_version_2(10_000..10_400, faults, Upsets::default());
    assert!(met.contains(&DropReason::Replayed));
}

#[test]
fn version_2_over_a_hub_that_forges_strips_and_replays() {
    let faults = Faults {
        flip: 50,
        reflect: 100,
        replay: 100,
        forge: 50,
        lie: 50,
        strip: 300,
        swap_keys: 200,
        ..Faults::default()
    };
    let upsets = Upsets { restart_agent: 20, ..Upsets::default() };
    let met = run_all_version_2(20_000..20_400, faults, upsets);
    for reason in [DropReason::Forged, DropReason::Handshake, DropReason::Version1] {
        assert!(met.contains(&reason), "{reason:?} never happened");
    }
}

#[test]
fn version_2_with_agents_that_come_go_and_move() {
    let faults = Faults { delay: 100, ..Faults::default() };
    let upsets = Upsets {
        restart_agent: 10,
        restart_hub: 10,
        move_agent: 10,
        forget_all: 10,
        ..Upsets::default()
    };
    run_all_version_2(30_000..30_400, faults, upsets);
}

#[test]
fn version_2_with_everything_at_once() {
    let faults = Faults {
        lose: 100,
        double: 50,
        delay: 20,
        reorder: 50,
        flip: 30,
        reflect: 50,
        replay: 100,
        forge: 30,
        lie: 50,
        strip: 50,
        swap_keys: 50,
    };
    let upsets = Upsets {
        restart_agent: 5,
        restart_hub: 5,
        move_agent: 5,
        forget_all: 5,
        ..Upsets::default()
    };
    run_all_version_2(40_000..40_800, faults, upsets);
}

/// A minute of trouble and the calm after it.
fn run(seed: u64, faults: Faults, upsets: Upsets) -> Scenario {
    Scenario::new(seed, faults, upsets, VERSION_1).live()
}

impl Scenario {
    fn live(mut self) -> Self {
        for _ in 0..TURNS_A_MINUTE {
            self.trouble();
        }
        self.heal();
        self
    }

    /// Lets everybody speak to everybody once.
    fn acquaint(&mut self) {
        let num_nodes = self.net.nodes.len();
        for i in 0..num_nodes {
            for j in (0..num_nodes).filter(|j| *j != i) {
                self.send_packet(i, j);
                self.net.run_ms(1_000);
            }
        }
        self.check();
    }

    fn drops(&self) -> BTreeSet<DropReason> {
        let drops = self.net.nodes.iter().flat_map(|node| node.engine.drops().iter());
        drops.map(|(reason, _)| reason).collect()
    }

    /// No key seals two frames with the same counter: a receiver's index stands for a key.
    fn check_counters(&self) {
        let sealed = self.net.hub.recorded.iter().filter(|frame| frame[S2C_HEADER_LEN] == 0xD2);
        let mut seen = BTreeSet::new();
        for frame in sealed {
            let nonce = [&frame[5..S2C_HEADER_LEN], &frame[S2C_HEADER_LEN + 3..][..12]].concat();
            assert!(seen.insert(nonce), "seed {}: a counter was used twice", self.seed);
        }
    }
}

impl Scenario {
    fn new(seed: u64, faults: Faults, upsets: Upsets, config: EngineConfig) -> Self {
        let num_nodes = 2 + usize::from(seed % 2 == 1);
        let mut net = Net::with_configs(seed, &vec![config; num_nodes]);
        net.hub.faults = faults;
        for (number, node) in (0..).zip(&mut net.nodes) {
            let delay = Duration::from_millis((seed + number) * 7 % 97);
            node.delays = [delay, delay * 2];
            // An opening is repeated for 90 s with the time of its first try, and 300 s are taken.
            node.unix_time += number * (seed * 13 % 100);
        }
        let (sent, delivered) = (BTreeMap::new(), BTreeSet::new());
        Self { net, seed, upsets, num_moves: 0, next_id: 0, sent, delivered }
    }

    /// One turn of traffic and of upsets.
    fn trouble(&mut self) {
        let num_nodes = self.net.nodes.len();
        for i in 0..num_nodes {
            let j = (i + 1 + below(num_nodes - 1, &mut self.net.rng)) % num_nodes;
            for _ in 0..below(3, &mut self.net.rng) {
                self.send_packet(i, j);
            }
            if chance(120, &mut self.net.rng) {
                self.send_message(i, j);
            }
        }
        let (upsets, i) = (self.upsets, below(num_nodes, &mut self.net.rng));
        if chance(upsets.restart_agent, &mut self.net.rng) {
            self.net.restart(i);
        }
        if chance(upsets.restart_hub, &mut self.net.rng) {
            (0..num_nodes).for_each(|i| self.net.link_down(i));
            (0..num_nodes).for_each(|i| self.net.link_up(i, self.net.nodes[i].vip));
        }
        if chance(upsets.move_agent, &mut self.net.rng) {
            self.num_moves += 1;
            self.net.link_down(i);
            self.net.link_up(i, vip(1_000 + self.num_moves));
        }
        if chance(upsets.forget_all, &mut self.net.rng) {
            (0..num_nodes).for_each(|i| self.net.restart(i));
            for i in 0..num_nodes {
                self.send_packet(i, (i + 1) % num_nodes);
            }
        }
        if chance(upsets.swap_vips, &mut self.net.rng) {
            self.net.swap_vips(i, (i + 1) % num_nodes);
        }
        self.net.run_ms(TURN_MS);
        self.check();
    }

    /// The hub keeps to the protocol from now on: within 10 s everybody reaches everybody.
    fn heal(&mut self) {
        self.net.hub.faults = Faults::default();
        let num_nodes = self.net.nodes.len();
        let pairs = (0..num_nodes).flat_map(|i| (0..num_nodes).map(move |j| (i, j)));
        let mut unreached: Vec<_> =
            pairs.filter(|(i, j)| i != j).map(|pair| (pair, Vec::new())).collect();
        for _ in 0..10 {
            for ((i, j), ids) in &mut unreached {
                ids.push(self.send_packet(*i, *j));
            }
            self.net.run_ms(1_000);
            self.check();
            unreached.retain(|(_, ids)| !ids.iter().any(|id| self.delivered.contains(id)));
        }
        assert!(unreached.is_empty(), "seed {}: {unreached:?} after 10 s", self.seed);
        self.net.run_ms(5_000);
        self.check();
    }

    fn send_packet(&mut self, i: usize, j: usize) -> u64 {
        let content = self.content(600);
        let packet = self.net.packet(i, j, &content);
        self.net.send(i, &packet);
        self.log(i, packet)
    }

    fn send_message(&mut self, i: usize, j: usize) {
        let message = [MARKER, &self.content(2000)].concat();
        self.net.message(i, self.next_id, self.net.nodes[j].vip, &message).unwrap();
        self.log(i, message);
    }

    /// The next number, then anything.
    fn content(&mut self, max_len: usize) -> Vec<u8> {
        let len = below(max_len, &mut self.net.rng);
        [&self.next_id.to_be_bytes()[..], &vec![0xA5; len]].concat()
    }

    fn log(&mut self, i: usize, bytes: Vec<u8>) -> u64 {
        let id = self.next_id;
        self.sent.insert(id, (i, bytes));
        self.next_id += 1;
        id
    }

    fn check(&mut self) {
        for i in 0..self.net.nodes.len() {
            let packets = std::mem::take(&mut self.net.nodes[i].packets);
            let messages = std::mem::take(&mut self.net.nodes[i].messages);
            for packet in packets {
                let parsed = Ipv4Packet::parse(&packet).unwrap();
                self.check_delivery(i, parsed.src(), &packet, PACKET_ID_AT);
            }
            for (from, version, message) in messages {
                if version.is_some() {
                    self.check_delivery(i, from, &message, MARKER.len());
                } else {
                    // By nobody's word: frames that an agent without a tunnel cannot open.
                    assert!(!message.windows(MARKER.len()).any(|part| part == MARKER));
                }
            }
            let peers = self.net.nodes[i].engine.peers(self.net.instant);
            let queued_len: usize = peers.map(|peer| peer.queued_len).sum();
            assert!(queued_len < 2 * (64 * 1000 + 64 * 2100), "seed {}: {queued_len}", self.seed);
        }
        assert_eq!(self.net.hub.leaks, 0, "seed {}: the hub can read", self.seed);
    }

    /// It is what another agent sent, and comes for the first time.
    fn check_delivery(&mut self, i: usize, from: Vip, bytes: &[u8], id_at: usize) {
        let seed = self.seed;
        let id = u64::from_be_bytes(bytes[id_at..id_at + 8].try_into().unwrap());
        let (sender, sent) = &self.sent[&id];
        assert!(*sender != i, "seed {seed}: {id} came back to its sender");
        assert!(sent == bytes, "seed {seed}: {id} was changed");
        let swaps = self.upsets.swap_vips + self.upsets.move_agent > 0;
        assert!(swaps || self.net.nodes[*sender].vip == from, "seed {seed}: {id} came as {from}");
        assert!(self.delivered.insert(id), "seed {seed}: {id} came twice");
    }
}
