//! Packets from TUN to TUN cost no memory in the steady state: buffers are used again.

#![allow(clippy::unwrap_used, reason = "a test that fails is to panic")]
#![expect(unsafe_code, reason = "an allocator cannot be written without; it only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::IoSlice;
use std::time::Instant;

use dosp_agent::engine::{Batch, Engine, EngineConfig, Inbound, Overlay};
use dosp_agent::known_peers::{KnownPeers, TrustPolicy};
use dosp_proto::Now;
use dosp_proto::frame::{DEFAULT_MAX_BODY_LEN, FrameDecoder};
use dosp_proto::identity::IdentityKey;
use dosp_proto::message::Hsk;
use dosp_proto::offload::VnetHeader;
use dosp_proto::tunnel::v2::Endpoint;
use dosp_proto::vip::{Network, Vip};
use etherparse::PacketBuilder;
use rand::SeedableRng;
use rand::rngs::StdRng;

thread_local! {
    static NUM_ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        NUM_ALLOCATIONS.set(NUM_ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the same promise to us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: it came from `alloc` above, which had it from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// An engine, and the bytes that came for it.
struct Agent {
    engine: Engine,
    vip: Vip,
    decoder: FrameDecoder,
    num_packets: usize,
}

impl Agent {
    fn new(number: u32, now: Now, rng: &mut StdRng) -> Self {
        let network: Network = "10.7.0.0/24".parse().unwrap();
        let vip = Vip::from(u32::from(network.hub()) + number);
        let key = IdentityKey::generate(rng);
        let known = KnownPeers::new(*key.public(), TrustPolicy::FirstUse);
        let config = EngineConfig { carries_ip: true, ..EngineConfig::default() };
        let mut engine = Engine::new(config, Endpoint::new(key, &[], None, rng), known);
        engine.link_up(Overlay { vip, network }, Hsk::OURS, now, rng);
        Self { engine, vip, decoder: FrameDecoder::new(DEFAULT_MAX_BODY_LEN), num_packets: 0 }
    }

    fn take_packet(&mut self, packet: &[u8], now: Now, rng: &mut StdRng) {
        let mut buffer = self.engine.buffer();
        buffer.space(1420)[..packet.len()].copy_from_slice(packet);
        buffer.truncate(packet.len());
        self.engine.handle_packet(VnetHeader::default(), buffer, now, rng);
    }

    fn take_frames(&mut self, now: Now, rng: &mut StdRng) {
        while let Some(frame) = self.decoder.next_frame().unwrap() {
            let inbound = self.engine.handle_frame(frame, now, rng);
            self.num_packets += usize::from(matches!(inbound, Inbound::Packet(..)));
        }
    }
}

/// Carries what `from` has to say, in the place of two sockets and a hub.
fn carry(from: &mut Agent, to: &mut Agent, batch: &mut Batch, now: Now, rng: &mut StdRng) -> bool {
    from.engine.poll_transmit(batch, 128 * 1024, now, rng);
    let len = batch.len();
    while !batch.is_empty() {
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = batch.slices(&mut slices, usize::MAX);
        let mut written = 0;
        for slice in slices.iter().take(filled) {
            to.decoder.extend(slice);
            written += slice.len();
        }
        batch.advance(written);
    }
    to.take_frames(now, rng);
    while to.engine.poll_event().is_some() {}
    len > 0
}

#[test]
fn packet_from_tun_to_tun_costs_no_allocation() {
    let mut rng = StdRng::seed_from_u64(1);
    let now = Now { instant: Instant::now(), unix_time: 1_700_000_000 };
    let (mut a, mut b) = (Agent::new(1, now, &mut rng), Agent::new(2, now, &mut rng));
    let (mut to_b, mut to_a) = (Batch::default(), Batch::default());
    let packet = |from: Vip, to: Vip| {
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4(from.octets(), to.octets(), 64).udp(1000, 2000);
        builder.write(&mut packet, &[7; 1300]).unwrap();
        packet
    };
    let (there, back) = (packet(a.vip, b.vip), packet(b.vip, a.vip));
    let mut round = |a: &mut Agent, b: &mut Agent| {
        for _ in 0..32 {
            a.take_packet(&there, now, &mut rng);
            b.take_packet(&back, now, &mut rng);
        }
        while carry(a, b, &mut to_b, now, &mut rng) | carry(b, a, &mut to_a, now, &mut rng) {}
    };
    (0..10).for_each(|_| round(&mut a, &mut b));
    let (packets, allocations) = (a.num_packets + b.num_packets, NUM_ALLOCATIONS.get());
    assert!(allocations > 100, "the first packets do allocate");
    (0..100).for_each(|_| round(&mut a, &mut b));
    assert_eq!(a.num_packets + b.num_packets - packets, 6_400);
    assert_eq!(NUM_ALLOCATIONS.get() - allocations, 0);
}
