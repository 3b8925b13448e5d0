//! Engines joined by a hub, in virtual time.

mod node;

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use dosp_proto::Now;
use dosp_proto::buffer::PacketBuf;
use dosp_proto::frame::{DEFAULT_MAX_BODY_LEN, FrameDecoder};
use dosp_proto::identity::IdentityKey;
use dosp_proto::offload::{Offload, Offloads, Segments, VnetHeader};
use dosp_proto::vip::Vip;
use rand::SeedableRng;
use rand::rngs::StdRng;

pub(super) use self::node::Node;
use super::hub::{Forwarded, Hub};
use super::{network, udp, vip};
use crate::engine::{
    Batch, C2c, DropReason, EngineConfig, Event, Inbound, Overlay, PeerReport, SendError, Version1,
};
use crate::known_peers::{KnownPeers, TrustPolicy};

/// What a connection takes at once.
const BATCH_LEN: usize = 64 * 1024;

/// As agents are unless told otherwise.
pub(super) const OPEN: EngineConfig = EngineConfig {
    carries_ip: true,
    shields_up: false,
    c2c: C2c::V2,
    version1: Version1::Messages,
    max_segment_len: None,
};
/// An agent that knows no other tunnels than those of version 1, and uses them for everything.
pub(super) const VERSION_1: EngineConfig =
    EngineConfig { c2c: C2c::V1, version1: Version1::All, ..OPEN };

/// Bytes under way.
struct Flight {
    node: usize,
    connection: u32,
    to_hub: bool,
    bytes: Vec<u8>,
}

/// Agents, a hub, and what is under way between them.
pub(super) struct Net {
    pub(super) nodes: Vec<Node>,
    pub(super) hub: Hub,
    pub(super) rng: StdRng,
    pub(super) start: Instant,
    pub(super) instant: Instant,
    flights: BTreeMap<(Instant, u64), Flight>,
    num_flights: u64,
}

impl Net {
    /// So many agents that carry IP, all linked.
    pub(super) fn new(num_nodes: usize) -> Self {
        Self::with_configs(1, &vec![OPEN; num_nodes])
    }

    /// The same, where nobody knows version 2.
    pub(super) fn version_1(num_nodes: usize) -> Self {
        Self::with_configs(1, &vec![VERSION_1; num_nodes])
    }

    /// Agents with names.
    pub(super) fn named(names: &[&str]) -> Self {
        let mut net = Self::new(names.len());
        for (i, name) in names.iter().enumerate() {
            net.nodes[i].name = Some((*name).to_owned());
            net.restart_as(i);
        }
        net
    }

    pub(super) fn with_configs(seed: u64, configs: &[EngineConfig]) -> Self {
        let start = Instant::now();
        let mut net = Self {
            nodes: Vec::new(),
            hub: Hub::default(),
            rng: StdRng::seed_from_u64(seed),
            start,
            instant: start,
            flights: BTreeMap::new(),
            num_flights: 0,
        };
        for (number, config) in (0..).zip(configs) {
            let node = Node::new(vip(number), *config, start, &mut net.rng);
            net.nodes.push(node);
            net.link_up(number as usize, vip(number));
        }
        net
    }

    /// What node `i` takes for the present.
    pub(super) fn now(&self, i: usize) -> Now {
        let passed = self.instant.duration_since(self.start).as_secs();
        Now { instant: self.instant, unix_time: self.nodes[i].unix_time + passed }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.instant + duration;
        let mut at_this_instant = 0;
        loop {
            let flight_at = self.flights.keys().next().map(|(at, _)| *at);
            let timers = self.nodes.iter().filter_map(|node| node.engine.poll_timeout()).min();
            let next = flight_at.into_iter().chain(timers).min().filter(|at| *at <= end);
            let Some(next) = next.map(|at| at.max(self.instant)) else { break };
            at_this_instant = if next == self.instant { at_this_instant + 1 } else { 0 };
            assert!(at_this_instant < 10_000, "a timer that never goes away, or frames for ever");
            self.instant = next;
            self.fire_timers();
            self.land_flights();
        }
        self.instant = end;
    }

    pub(super) fn run_ms(&mut self, ms: u64) {
        self.run(Duration::from_millis(ms));
    }

    /// A UDP packet from node `i` to node `j`.
    pub(super) fn packet(&self, i: usize, j: usize, content: &[u8]) -> Vec<u8> {
        udp(self.nodes[i].vip, self.nodes[j].vip, content)
    }

    /// Gives node `i` a packet of its host, for its engine to send at once.
    pub(super) fn send(&mut self, i: usize, packet: &[u8]) {
        self.queue(i, packet);
        self.pump(i);
    }

    /// Gives node `i` a packet while its connection takes nothing.
    pub(super) fn queue(&mut self, i: usize, packet: &[u8]) {
        self.queue_offloaded(i, VnetHeader::default(), packet);
    }

    /// The same for a packet that the host has left something to be done to.
    pub(super) fn queue_offloaded(&mut self, i: usize, header: VnetHeader, packet: &[u8]) {
        let now = self.now(i);
        self.nodes[i].engine.handle_packet(header, packet.into(), now, &mut self.rng);
    }

    pub(super) fn message(
        &mut self,
        i: usize,
        ticket: u64,
        to: Vip,
        message: &[u8],
    ) -> Result<(), SendError> {
        let now = self.now(i);
        let engine = &mut self.nodes[i].engine;
        let outcome = engine.send_message(ticket, to, message, now, &mut self.rng);
        self.pump(i);
        outcome
    }

    /// Opens the tunnel between two nodes; their packets so far are forgotten.
    pub(super) fn open(&mut self, i: usize, j: usize) {
        for (from, to) in [(i, j), (j, i)] {
            let packet = self.packet(from, to, b"opens");
            self.send(from, &packet);
            self.run_ms(500);
            assert_eq!(self.nodes[to].packets.pop(), Some(packet));
        }
        assert!(self.peer(i, j).tunnel == crate::engine::TunnelState::Open);
    }

    /// Sends a packet that is not delivered.
    pub(super) fn open_unanswered(&mut self, i: usize, j: usize) {
        let packet = self.packet(i, j, b"into the void");
        self.send(i, &packet);
        self.run_ms(20_000);
        assert!(!self.nodes[j].packets.contains(&packet));
    }

    /// What node `i` tells about node `j`.
    pub(super) fn peer(&self, i: usize, j: usize) -> PeerReport {
        let vip = self.nodes[j].vip;
        self.nodes[i].engine.peers(self.instant).find(|peer| peer.vip == vip).unwrap()
    }

    pub(super) fn drops(&self, i: usize, reason: DropReason) -> u64 {
        self.nodes[i].engine.drops().count(reason)
    }

    pub(super) fn link_down(&mut self, i: usize) {
        let node = &mut self.nodes[i];
        self.hub.clients.remove(&node.vip);
        node.linked = false;
        node.connection += 1;
        node.decoder = FrameDecoder::new(DEFAULT_MAX_BODY_LEN);
        node.hub_decoder = FrameDecoder::new(DEFAULT_MAX_BODY_LEN);
        node.engine.link_down();
        self.pump(i);
    }

    pub(super) fn link_up(&mut self, i: usize, vip: Vip) {
        let now = self.now(i);
        let node = &mut self.nodes[i];
        self.hub.clients.insert(vip, i);
        (node.vip, node.linked) = (vip, true);
        let overlay = Overlay { vip, network: network() };
        node.engine.link_up(overlay, self.hub.hsk, now, &mut self.rng);
        self.pump(i);
    }

    /// The agent's process ends and starts again, and has only what it stored: its key, and what it
    /// knows of its peers.
    pub(super) fn restart(&mut self, i: usize) {
        self.link_down(i);
        let node = &mut self.nodes[i];
        let own = *node.engine.public_key();
        let stored = node.engine.known_peers().to_text();
        let known = KnownPeers::parse(&stored, own, TrustPolicy::FirstUse).unwrap();
        node.start(known, &mut self.rng);
        self.link_up(i, self.nodes[i].vip);
    }

    /// All agents start again, and have TUNs that give and take super-packets.
    pub(super) fn with_super_packets(mut self) -> Self {
        for i in 0..self.nodes.len() {
            self.nodes[i].super_packets = Offloads { tcp: true, udp: true };
            self.restart(i);
        }
        self
    }

    /// The agent starts again with the key that it has now, and knows nobody.
    pub(super) fn restart_as(&mut self, i: usize) {
        self.link_down(i);
        let known = KnownPeers::new(*self.nodes[i].identity.public(), TrustPolicy::FirstUse);
        self.nodes[i].start(known, &mut self.rng);
        self.link_up(i, self.nodes[i].vip);
    }

    /// Another agent takes the place of this one, at the same vIP and with a key of its own.
    pub(super) fn replace(&mut self, i: usize) {
        self.link_down(i);
        self.nodes[i].identity = IdentityKey::generate(&mut self.rng);
        self.restart_as(i);
    }

    /// Two agents come back from a lost link, each under the other's vIP.
    pub(super) fn swap_vips(&mut self, i: usize, j: usize) {
        self.link_down(i);
        self.link_down(j);
        let (vip_i, vip_j) = (self.nodes[i].vip, self.nodes[j].vip);
        self.link_up(i, vip_j);
        self.link_up(j, vip_i);
    }

    /// Hands node `i` a frame of the hub, now.
    pub(super) fn give(&mut self, i: usize, bytes: &[u8]) {
        let now = self.now(i);
        let node = &mut self.nodes[i];
        // Frames come in pieces.
        let (head, tail) = bytes.split_at(bytes.len() / 2);
        for part in [head, tail] {
            node.decoder.extend(part);
            while let Some(frame) = node.decoder.next_frame().unwrap() {
                match node.engine.handle_frame(frame, now, &mut self.rng) {
                    Inbound::Nothing => {}
                    Inbound::Packet(offload, packet) => {
                        node.offloads.push(offload);
                        node.packets.extend(as_on_a_wire(offload, packet));
                    }
                    Inbound::Packets(packets) => {
                        node.packets.extend(packets.map(<[u8]>::to_vec));
                    }
                    Inbound::Message { from, version, data } => {
                        node.messages.push((from, version, data.to_vec()));
                    }
                }
            }
        }
        self.pump(i);
    }

    /// Takes from node `i` all that it has to say.
    pub(super) fn pump(&mut self, i: usize) {
        let node = &mut self.nodes[i];
        if node.engine.networks_changed() {
            let unrouted = node.unrouted;
            node.engine.set_routed(|network| Some(network) != unrouted);
        }
        node.answers.extend(std::iter::from_fn(|| node.engine.poll_tun()));
        while self.nodes[i].linked && self.nodes[i].engine.wants_transmit() {
            let batch = self.transmit(i, BATCH_LEN);
            self.depart(i, true, batch, Duration::ZERO, false);
        }
        let node = &mut self.nodes[i];
        while let Some(event) = node.engine.poll_event() {
            match event {
                Event::Broadcast(data) => node.broadcasts.push(data),
                event => node.events.push(event),
            }
        }
    }

    /// From now on the connection of node `i` takes only what is asked for with [`Self::transmit`].
    pub(super) fn stall(&mut self, i: usize) {
        self.nodes[i].linked = false;
    }

    /// What the connection of node `i` takes at once.
    pub(super) fn transmit(&mut self, i: usize, max_len: usize) -> Vec<u8> {
        let (mut batch, now) = (Batch::default(), self.now(i));
        self.nodes[i].engine.poll_transmit(&mut batch, max_len, now, &mut self.rng);
        let mut bytes = Vec::new();
        while !batch.is_empty() {
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = batch.slices(&mut slices, usize::MAX);
            bytes.extend(slices[..filled].iter().flat_map(|slice| slice.iter()));
            let written = slices[..filled].iter().map(|slice| slice.len()).sum();
            batch.advance(written);
        }
        bytes
    }

    fn depart(&mut self, i: usize, to_hub: bool, bytes: Vec<u8>, extra: Duration, alone: bool) {
        let node = &mut self.nodes[i];
        let direction = usize::from(!to_hub);
        let mut at = self.instant + node.delays[direction] + extra;
        if !alone {
            at = at.max(node.last_arrivals[direction]);
            node.last_arrivals[direction] = at;
        }
        self.num_flights += 1;
        let flight = Flight { node: i, connection: node.connection, to_hub, bytes };
        self.flights.insert((at, self.num_flights), flight);
    }

    fn fire_timers(&mut self) {
        for i in 0..self.nodes.len() {
            let now = self.now(i);
            let engine = &mut self.nodes[i].engine;
            if engine.poll_timeout().is_some_and(|at| at <= now.instant) {
                engine.handle_timeout(now, &mut self.rng);
                self.pump(i);
            }
        }
    }

    fn land_flights(&mut self) {
        while let Some(entry) = self.flights.first_entry().filter(|e| e.key().0 <= self.instant) {
            let flight = entry.remove();
            let node = &mut self.nodes[flight.node];
            if flight.connection != node.connection {
                continue;
            }
            if !flight.to_hub {
                self.give(flight.node, &flight.bytes);
                continue;
            }
            let (from, decoder) = ((flight.node, node.vip), &mut node.hub_decoder);
            let forwarded = self.hub.handle_bytes(from, decoder, &flight.bytes, &mut self.rng);
            for Forwarded { to, frame, held_back, alone } in forwarded {
                self.depart(to, false, frame, held_back, alone);
            }
        }
    }
}

/// The packets that a kernel would make of one.
fn as_on_a_wire(offload: Offload, packet: &mut [u8]) -> Vec<Vec<u8>> {
    let Offload::SuperPacket(super_packet) = offload else {
        offload.complete_checksum(packet);
        return vec![packet.to_vec()];
    };
    let (mut segments, mut buffer) = (Segments::new(super_packet, packet), PacketBuf::default());
    let next = || segments.next_into(&mut buffer).then(|| buffer.content().to_vec());
    std::iter::from_fn(next).collect()
}
