//! What a packet costs between a TUN and the hub's socket, without either:
//! `cargo bench -p dosp-agent --bench engine`.
//!
//! `out` is `handle_packet` and `poll_transmit` on one side, `both` that and `handle_frame` on the other.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails is to panic")]

use std::hint::black_box;
use std::io::IoSlice;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dosp_agent::engine::{Batch, Engine, EngineConfig, Inbound, Overlay};
use dosp_agent::known_peers::{KnownPeers, TrustPolicy};
use dosp_proto::Now;
use dosp_proto::frame::{DEFAULT_MAX_BODY_LEN, FrameDecoder};
use dosp_proto::identity::IdentityKey;
use dosp_proto::message::Hsk;
use dosp_proto::offload::{Offloads, VnetHeader};
use dosp_proto::tunnel::v2::Endpoint;
use dosp_proto::vip::{Network, Vip};
use etherparse::PacketBuilder;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// As many as fit into the queue for the link when they are super-packets.
const NUM_PACKETS: usize = 32;
/// As the node asks for it.
const BATCH_LEN: usize = 128 * 1024;
const SUPER_PAYLOAD_LEN: usize = 65_000;

criterion_group!(benches, packets);
criterion_main!(benches);

fn packets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(NUM_PACKETS as u64));
    for (name, packet) in [("small", udp(36)), ("full", udp(1372)), ("super", super_packet())] {
        let mut pair = Pair::open();
        group.bench_function(BenchmarkId::new("out", name), |bencher| {
            bencher.iter(|| {
                pair.take(&packet);
                pair.sender.transmit(|_| {}, pair.now, &mut pair.rng);
            });
        });
        group.bench_function(BenchmarkId::new("both", name), |bencher| {
            bencher.iter(|| {
                pair.take(&packet);
                assert_eq!(black_box(pair.carry()), NUM_PACKETS);
            });
        });
    }
    group.finish();
}

/// A packet, and what the kernel says of it.
type FromTun = (VnetHeader, Vec<u8>);

const VIPS: [[u8; 4]; 2] = [[10, 7, 0, 2], [10, 7, 0, 3]];

fn udp(payload_len: usize) -> FromTun {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(VIPS[0], VIPS[1], 64).udp(4000, 53);
    builder.write(&mut packet, &vec![0x5A; payload_len]).unwrap();
    (VnetHeader::default(), packet)
}

fn super_packet() -> FromTun {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(VIPS[0], VIPS[1], 64).tcp(4000, 80, 1, 1000);
    builder.write(&mut packet, &vec![0x5A; SUPER_PAYLOAD_LEN]).unwrap();
    let (flags, gso_type, gso_size) = (1, 1, 1380);
    let header =
        VnetHeader { flags, gso_type, hdr_len: 40, gso_size, csum_start: 20, csum_offset: 16 };
    (header, packet)
}

/// An engine, what it has to say, and what came for it.
struct Agent {
    engine: Engine,
    batch: Batch,
    decoder: FrameDecoder,
}

impl Agent {
    fn new(vip: Vip, now: Now, rng: &mut StdRng) -> Self {
        let network: Network = "10.7.0.0/24".parse().unwrap();
        let key = IdentityKey::generate(rng);
        let known = KnownPeers::new(*key.public(), TrustPolicy::FirstUse);
        let config = EngineConfig { carries_ip: true, ..EngineConfig::default() };
        let endpoint = Endpoint::new(key, &[], None, rng)
            .with_super_packets(Offloads { tcp: true, udp: true });
        let mut engine = Engine::new(config, endpoint, known);
        engine.link_up(Overlay { vip, network }, Hsk::OURS, now, rng);
        let decoder = FrameDecoder::new(DEFAULT_MAX_BODY_LEN);
        Self { engine, batch: Batch::default(), decoder }
    }

    /// Sends all that waits; `write` is the socket.
    fn transmit(&mut self, mut write: impl FnMut(&[u8]), now: Now, rng: &mut StdRng) {
        while self.engine.wants_transmit() {
            self.engine.poll_transmit(&mut self.batch, BATCH_LEN, now, rng);
            while !self.batch.is_empty() {
                let mut slices = [IoSlice::new(&[]); 64];
                let filled = self.batch.slices(&mut slices, usize::MAX);
                let written = slices.iter().take(filled).map(|slice| {
                    write(slice);
                    slice.len()
                });
                let written = written.sum();
                self.batch.advance(written);
            }
        }
    }

    /// Takes all that came. How many packets that were.
    fn receive(&mut self, now: Now, rng: &mut StdRng) -> usize {
        let mut num_packets = 0;
        while let Some(frame) = self.decoder.next_frame().unwrap() {
            let inbound = self.engine.handle_frame(frame, now, rng);
            num_packets += usize::from(matches!(inbound, Inbound::Packet(..)));
        }
        num_packets
    }
}

/// Two agents with a tunnel; packets go one way.
struct Pair {
    sender: Agent,
    receiver: Agent,
    now: Now,
    rng: StdRng,
}

impl Pair {
    fn open() -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let now = Now { instant: Instant::now(), unix_time: 1_700_000_000 };
        let [sender, receiver] = VIPS.map(|vip| Agent::new(vip.into(), now, &mut rng));
        let mut pair = Self { sender, receiver, now, rng };
        pair.take(&udp(36));
        // The handshake, and the packets that wait for it.
        let num_packets: usize = (0..4).map(|_| pair.carry()).sum();
        assert_eq!(num_packets, NUM_PACKETS);
        pair
    }

    /// As often as one turn has it, what the sender's host has to send.
    fn take(&mut self, (header, packet): &FromTun) {
        for _ in 0..NUM_PACKETS {
            let mut buffer = self.sender.engine.buffer();
            buffer.space(packet.len()).copy_from_slice(packet);
            self.sender.engine.handle_packet(*header, buffer, self.now, &mut self.rng);
        }
    }

    /// Carries what both have to say. How many packets came to the receiver.
    fn carry(&mut self) -> usize {
        let Self { sender, receiver, now, rng } = self;
        sender.transmit(|bytes| receiver.decoder.extend(bytes), *now, rng);
        let num_packets = receiver.receive(*now, rng);
        receiver.transmit(|bytes| sender.decoder.extend(bytes), *now, rng);
        sender.receive(*now, rng);
        num_packets
    }
}
