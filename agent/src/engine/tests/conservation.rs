//! Nothing gets lost unseen: at every instant what the host sent is what was sealed, what was dropped by
//! a reason, and what waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dosp_proto::frame::{DEFAULT_MAX_BODY_LEN, FrameDecoder, FrameType};
use dosp_proto::offload::{Offloads, VnetHeader};
use dosp_proto::packet::Ipv4Packet;
use rand::RngExt;

use super::net::{Net, OPEN, VERSION_1};
use super::{MARKER, network, s2c, tcp_super_packet, udp, vip};
use crate::engine::{DropReason, Overlay};

/// Lengths of a segment's payload, in bytes; those of the second one are too short to cross as one.
const GSO_SIZES: [u16; 2] = [1000, 200];
/// So many bytes, at the beginning of each payload and segment, tell packets apart.
const ID_LEN: usize = 8;
/// Turns of one scenario.
const NUM_TURNS: usize = 800;

/// Why packets of this host end here. Others are of frames that come.
const REASONS: [DropReason; 9] = [
    DropReason::NotIpv4,
    DropReason::ForeignSource,
    DropReason::Offload,
    DropReason::NoRoute,
    DropReason::QueueFull,
    DropReason::QueueDelay,
    DropReason::StagedTooMany,
    DropReason::Unreachable,
    DropReason::Version1,
];

/// How much the connection takes in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Down,
    Stalled,
    /// A packet a turn.
    Slow,
    Fast,
}

/// Node 0 sends: to node 1, which takes super-packets, to node 2, which does not, to node 3, which gets
/// no IP, and to nobody.
struct Scenario {
    net: Net,
    link: Link,
    /// The length of each packet's payload in bytes.
    handed: BTreeMap<u64, usize>,
    delivered: BTreeSet<u64>,
    num_drops_before: u64,
}

#[test]
fn every_packet_is_sealed_dropped_by_a_reason_or_waits() {
    let mut met = BTreeSet::new();
    for seed in 0..12 {
        let mut scenario = Scenario::new(seed);
        for _ in 0..NUM_TURNS {
            scenario.turn();
        }
        scenario.change_link(Link::Fast);
        scenario.turn();
        assert!(scenario.delivered.len() > 1_000, "{} delivered", scenario.delivered.len());
        met.extend(scenario.net.nodes[0].engine.drops().iter().map(|(reason, _)| reason));
    }
    for reason in REASONS {
        assert!(met.contains(&reason), "{reason:?} never happened: {met:?}");
    }
}

impl Scenario {
    fn new(seed: u64) -> Self {
        let mut net = Net::with_configs(seed, &[OPEN, OPEN, OPEN, VERSION_1]);
        net.nodes[1].super_packets = Offloads::ALL;
        net.restart_as(1);
        net.open(0, 1);
        net.open(0, 2);
        net.stall(0);
        let num_drops_before = num_drops(&net);
        let (handed, delivered) = (BTreeMap::new(), BTreeSet::new());
        Self { net, link: Link::Fast, handed, delivered, num_drops_before }
    }

    fn turn(&mut self) {
        match self.net.rng.random_range(0..60) {
            0 => self.change_link(Link::Down),
            1..=3 => self.change_link(Link::Stalled),
            4..=6 => self.change_link(Link::Slow),
            7..=9 => self.change_link(Link::Fast),
            // More than all queues hold.
            10 => (0..300).for_each(|_| self.hand_in()),
            _ => (0..self.net.rng.random_range(0..8)).for_each(|_| self.hand_in()),
        }
        let pause = self.net.rng.random_range(0..40);
        self.net.run(Duration::from_millis(pause));
        self.assert_conserved();
        match self.link {
            Link::Down | Link::Stalled => {}
            Link::Slow => self.transmit(1),
            Link::Fast => {
                while self.net.nodes[0].engine.wants_transmit() {
                    self.transmit(64 * 1024);
                }
            }
        }
    }

    fn change_link(&mut self, link: Link) {
        let before = std::mem::replace(&mut self.link, link);
        let (now, net) = (self.net.now(0), &mut self.net);
        let engine = &mut net.nodes[0].engine;
        if link == Link::Down && before != Link::Down {
            engine.link_down();
        } else if before == Link::Down && link != Link::Down {
            let overlay = Overlay { vip: vip(0), network: network() };
            engine.link_up(overlay, net.hub.hsk, now, &mut net.rng);
        }
        self.assert_conserved();
    }

    /// One packet of the host, of whatever kind.
    fn hand_in(&mut self) {
        let id = self.handed.len() as u64;
        let to = [1, 1, 1, 2, 2, 2, 3, 9].map(vip)[self.net.rng.random_range(0..8)];
        let (header, packet, payload_len) = if self.net.rng.random_bool(0.5) {
            let content =
                [&id.to_be_bytes()[..], &vec![7; self.net.rng.random_range(0..1300)]].concat();
            (VnetHeader::default(), udp(vip(0), to, &content), content.len())
        } else {
            let gso_size = GSO_SIZES[self.net.rng.random_range(0..2)];
            let mut segment = vec![7; gso_size.into()];
            segment[..ID_LEN].copy_from_slice(&id.to_be_bytes());
            let payload = segment.repeat(self.net.rng.random_range(2..60));
            let (header, packet) = tcp_super_packet(vip(0), to, &payload, gso_size);
            (header, packet, payload.len())
        };
        let (header, packet) = self.spoil(header, packet);
        self.handed.insert(id, payload_len);
        self.net.queue_offloaded(0, header, &packet);
        self.assert_conserved();
    }

    /// Now and then a packet is none that can be sent.
    fn spoil(&mut self, header: VnetHeader, mut packet: Vec<u8>) -> (VnetHeader, Vec<u8>) {
        match self.net.rng.random_range(0..50) {
            0 => packet[0] = 0x60,
            1 => return (VnetHeader::default(), udp(vip(1), vip(2), b"not from here")),
            2 => return (VnetHeader::default(), udp(vip(0), [8, 8, 8, 8].into(), b"to where?")),
            3 => return (VnetHeader { gso_type: 3, ..header }, packet),
            _ => {}
        }
        (header, packet)
    }

    /// The connection takes what it does, and the hub delivers it.
    fn transmit(&mut self, max_len: usize) {
        let bytes = self.net.transmit(0, max_len);
        let mut decoder = FrameDecoder::new(DEFAULT_MAX_BODY_LEN);
        decoder.extend(&bytes);
        while let Some(frame) = decoder.next_frame().unwrap() {
            if frame.frame_type() != FrameType::S2C {
                continue;
            }
            let frame = frame.into_s2c().unwrap();
            let to = (1..4).find(|to| vip(*to) == frame.dst()).unwrap_or_default() as usize;
            if to > 0 {
                self.net.give(to, &s2c(frame.dst(), frame.src(), frame.data()));
            }
        }
        self.note_delivered();
        self.assert_conserved();
    }

    /// Every packet arrives whole, its pieces at once.
    fn note_delivered(&mut self) {
        let mut arrived: BTreeMap<u64, usize> = BTreeMap::new();
        for (to, node) in self.net.nodes.iter_mut().enumerate().skip(1) {
            for packet in node.packets.drain(..) {
                let packet = Ipv4Packet::parse(&packet).unwrap();
                assert_eq!((packet.src(), packet.dst()), (vip(0), vip(to.try_into().unwrap())));
                let headers_len = if packet.protocol() == 6 { 20 } else { 8 + MARKER.len() };
                let payload = &packet.payload()[headers_len..];
                let id = u64::from_be_bytes(*payload.first_chunk::<ID_LEN>().unwrap());
                *arrived.entry(id).or_default() += payload.len();
            }
        }
        for (id, len) in arrived {
            assert_eq!(self.handed[&id], len, "a part of packet {id}");
            assert!(self.delivered.insert(id), "packet {id} came twice");
        }
    }

    fn assert_conserved(&self) {
        let num_waiting = self.net.nodes[0].engine.queue_report().num_packets();
        let num_dropped = num_drops(&self.net) - self.num_drops_before;
        let num_sealed = self.delivered.len();
        let sum = num_sealed as u64 + num_dropped + num_waiting as u64;
        assert_eq!(
            self.handed.len() as u64,
            sum,
            "{num_sealed} sealed, {num_waiting} wait, dropped: {:?}",
            self.net.nodes[0].engine.drops()
        );
    }
}

fn num_drops(net: &Net) -> u64 {
    REASONS.into_iter().map(|reason| net.drops(0, reason)).sum()
}
