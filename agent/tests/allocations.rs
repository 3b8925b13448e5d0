//! Packets from TUN to TUN cost no memory in the steady state: buffers are used again.

#![allow(clippy::unwrap_used, reason = "a test that fails is to panic")]
#![expect(unsafe_code, reason = "an allocator cannot be written without; it only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use dosp_agent::engine::{Batch, Engine, EngineConfig, Inbound, Overlay};
use dosp_agent::known_peers::{KnownPeers, TrustPolicy};
use dosp_agent::tun::{MAX_PACKET_LEN, TunDevice, TunWriter};
use dosp_proto::Now;
use dosp_proto::frame::{DEFAULT_MAX_BODY_LEN, FrameDecoder};
use dosp_proto::identity::IdentityKey;
use dosp_proto::message::Hsk;
use dosp_proto::offload::{Offloads, VnetHeader};
use dosp_proto::tunnel::v2::Endpoint;
use dosp_proto::vip::{Network, Vip};
use etherparse::PacketBuilder;
use nix::errno::Errno;
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
    host: Host,
    writer: TunWriter,
}

/// Where packets go; of a kernel that says it takes super-packets, and may refuse them.
#[derive(Default)]
struct Host {
    refuses_super_packets: bool,
    num_packets: AtomicUsize,
    num_bytes: AtomicUsize,
}

impl TunDevice for Host {
    async fn readable(&self) -> io::Result<()> {
        Ok(())
    }

    fn mtu(&self) -> u16 {
        1420
    }

    fn offloads(&self) -> Offloads {
        Offloads::ALL
    }

    fn try_recv(&self, _: &mut [u8]) -> io::Result<(VnetHeader, usize)> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn try_send(&self, header: VnetHeader, packet: &[u8]) -> io::Result<()> {
        if self.refuses_super_packets && header.gso_type != 0 {
            return Err(Errno::EINVAL.into());
        }
        self.num_packets.fetch_add(1, Ordering::Relaxed);
        self.num_bytes.fetch_add(packet.len(), Ordering::Relaxed);
        Ok(())
    }
}

impl Agent {
    fn new(number: u32, takes: Offloads, now: Now, rng: &mut StdRng) -> Self {
        let network: Network = "10.7.0.0/24".parse().unwrap();
        let vip = Vip::from(u32::from(network.hub()) + number);
        let key = IdentityKey::generate(rng);
        let known = KnownPeers::new(*key.public(), TrustPolicy::FirstUse);
        let config = EngineConfig { carries_ip: true, ..EngineConfig::default() };
        let endpoint = Endpoint::new(key, &[], None, rng).with_super_packets(takes);
        let mut engine = Engine::new(config, endpoint, known);
        engine.link_up(Overlay { vip, network }, Hsk::OURS, now, rng);
        let decoder = FrameDecoder::new(DEFAULT_MAX_BODY_LEN);
        Self { engine, vip, decoder, host: Host::default(), writer: TunWriter::default() }
    }

    fn take_packet(&mut self, (header, packet): &Given, now: Now, rng: &mut StdRng) {
        let mut buffer = self.engine.buffer();
        buffer.space(MAX_PACKET_LEN)[..packet.len()].copy_from_slice(packet);
        buffer.truncate(packet.len());
        self.engine.handle_packet(*header, buffer, now, rng);
    }

    fn take_frames(&mut self, now: Now, rng: &mut StdRng) {
        while let Some(frame) = self.decoder.next_frame().unwrap() {
            if let Inbound::Packet(offload, packet) = self.engine.handle_frame(frame, now, rng) {
                assert_eq!(self.writer.write(&self.host, offload, packet), 0);
            }
        }
    }

    /// Packets and bytes that the host got.
    fn received(&self) -> [usize; 2] {
        [&self.host.num_packets, &self.host.num_bytes].map(|count| count.load(Ordering::Relaxed))
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
    let [num_packets, _] = received_without_allocation([Offloads::NONE; 2], false, &udp);
    assert_eq!(num_packets, 6_400);
}

#[test]
fn super_packet_from_tun_to_tun_costs_no_allocation() {
    let [num_packets, _] = received_without_allocation([Offloads::ALL; 2], false, &tcp);
    assert_eq!(num_packets, 6_400, "as they were");
}

#[test]
fn super_packet_that_is_cut_for_its_peer_costs_no_allocation() {
    let [num_packets, _] = received_without_allocation([Offloads::NONE; 2], false, &tcp);
    assert_eq!(num_packets, 6_400 * 40);
}

#[test]
fn super_packet_that_is_cut_for_the_kernel_costs_no_allocation() {
    let [num_packets, num_bytes] = received_without_allocation([Offloads::ALL; 2], true, &tcp);
    assert_eq!(num_packets, 6_400 * 40);
    assert_eq!(num_bytes, 6_400 * 40 * 1040);
}

/// What a host gives.
type Given = (VnetHeader, Vec<u8>);

fn udp(from: Vip, to: Vip) -> Given {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(from.octets(), to.octets(), 64).udp(1000, 2000);
    builder.write(&mut packet, &[7; 1300]).unwrap();
    (VnetHeader::default(), packet)
}

/// A super-packet of 40 segments.
fn tcp(from: Vip, to: Vip) -> Given {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(from.octets(), to.octets(), 64).tcp(1000, 2000, 1, 1000);
    builder.write(&mut packet, &[7; 40_000]).unwrap();
    let (flags, gso_type, hdr_len, gso_size) = (1, 1, 40, 1000);
    (VnetHeader { flags, gso_type, hdr_len, gso_size, csum_start: 20, csum_offset: 16 }, packet)
}

/// Carries 3,200 packets each way, and more before; returns what the hosts got of them.
fn received_without_allocation(
    takes: [Offloads; 2],
    refuses_super_packets: bool,
    given: &dyn Fn(Vip, Vip) -> Given,
) -> [usize; 2] {
    let mut rng = StdRng::seed_from_u64(1);
    let now = Now { instant: Instant::now(), unix_time: 1_700_000_000 };
    let mut agent = |number, takes| Agent::new(number, takes, now, &mut rng);
    let (mut a, mut b) = (agent(1, takes[0]), agent(2, takes[1]));
    for agent in [&mut a, &mut b] {
        agent.host.refuses_super_packets = refuses_super_packets;
    }
    let (mut to_b, mut to_a) = (Batch::default(), Batch::default());
    let (there, back) = (given(a.vip, b.vip), given(b.vip, a.vip));
    let mut round = |a: &mut Agent, b: &mut Agent| {
        for _ in 0..32 {
            a.take_packet(&there, now, &mut rng);
            b.take_packet(&back, now, &mut rng);
        }
        while carry(a, b, &mut to_b, now, &mut rng) | carry(b, a, &mut to_a, now, &mut rng) {}
    };
    (0..10).for_each(|_| round(&mut a, &mut b));
    let received = |a: &Agent, b: &Agent| {
        let [of_a, of_b] = [a.received(), b.received()];
        [of_a[0] + of_b[0], of_a[1] + of_b[1]]
    };
    let (before, allocations) = (received(&a, &b), NUM_ALLOCATIONS.get());
    assert!(allocations > 100, "the first packets do allocate");
    (0..100).for_each(|_| round(&mut a, &mut b));
    assert_eq!(NUM_ALLOCATIONS.get() - allocations, 0);
    let after = received(&a, &b);
    [after[0] - before[0], after[1] - before[1]]
}
