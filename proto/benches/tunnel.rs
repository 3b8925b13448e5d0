//! What tunnels cost beside the ciphers that they cannot do without: `cargo bench -p dosp-proto`.
//! `aead` is the bare cipher of version 2, `aes-gcm` the one of version 1, without its MAC.
//!
//! `scripts/bench crypto` compares the figures and knows the goal.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails is to panic")]

use std::hint::black_box;
use std::time::Instant;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use dosp_proto::Now;
use dosp_proto::buffer::PacketBuf;
use dosp_proto::identity::IdentityKey;
use dosp_proto::packet::{FlowId, Ipv4Packet};
use dosp_proto::secret::NetworkSecret;
use dosp_proto::tunnel::v1::{self, HELLO_LEN};
use dosp_proto::tunnel::v2::{self, Endpoint, Ends, Kind, Message};
use dosp_proto::vip::Vip;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// A word, a packet, and the largest super-packet.
const CONTENT_LENS: [usize; 3] = [64, 1400, 65_536];
/// So many frames are sealed before they are opened: few enough to stay in a cache.
const BATCH: BatchSize = BatchSize::NumIterations(32);
const KEY: [u8; 32] = [7; 32];
/// As long as what is authenticated in front of a frame of version 2.
const AAD: [u8; 15] = [9; 15];
const TAG_LEN: usize = 16;
const HELLO: [u8; HELLO_LEN] = [0x15; HELLO_LEN];

type Group<'c> = BenchmarkGroup<'c, WallTime>;

criterion_group!(benches, seal, open, handshake, pieces);
criterion_main!(benches);

fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal");
    for len in CONTENT_LENS {
        group.throughput(Throughput::Bytes(len as u64));
        let (key, mut number, mut tag) = (bare_key(), 0, [0; TAG_LEN]);
        let mut content = vec![0x5A; len];
        group.bench_function(BenchmarkId::new("aead", len), |bencher| {
            bencher.iter(|| {
                number += 1;
                let (nonce, aad) = (bare_nonce(number), Aad::from(AAD));
                key.seal_in_place_scatter(nonce, aad, &mut content, &[], &mut tag).unwrap();
                black_box(tag)
            });
        });
        let gcm = Aes256Gcm::new(&KEY.into());
        group.bench_function(BenchmarkId::new("aes-gcm", len), |bencher| {
            bencher.iter(|| {
                number += 1;
                let nonce = nonce(number).into();
                let text = (&mut content[..]).into();
                black_box(gcm.encrypt_inout_detached(&nonce, &AAD, text).unwrap())
            });
        });
        // One buffer for all frames, so that nothing is allocated and nothing copied.
        let (mut pair, mut buffer) = (Pair::open(), PacketBuf::default());
        group.bench_function(BenchmarkId::new("v2", len), |bencher| {
            bencher.iter(|| {
                buffer.space(len);
                pair.seal(None, &mut buffer);
                black_box(buffer.len())
            });
        });
        let mut pair = Pair1::open();
        group.bench_function(BenchmarkId::new("v1", len), |bencher| {
            bencher.iter(|| {
                buffer.space(len);
                pair.seal(&mut buffer);
                black_box(buffer.len())
            });
        });
    }
    group.finish();
}

/// What is opened was sealed before, and is opened once.
fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    for len in CONTENT_LENS {
        group.throughput(Throughput::Bytes(len as u64));
        open_bare(&mut group, len);
        open_v2(&mut group, len);
        open_v1(&mut group, len);
    }
    group.finish();
}

/// The ciphers alone.
fn open_bare(group: &mut Group<'_>, len: usize) {
    let (key, mut number) = (bare_key(), 0);
    let mut sealed = || {
        number += 1;
        let (mut content, mut tag) = (vec![0x5A; len], [0; TAG_LEN]);
        let (nonce, aad) = (bare_nonce(number), Aad::from(AAD));
        key.seal_in_place_scatter(nonce, aad, &mut content, &[], &mut tag).unwrap();
        (number, content, tag)
    };
    group.bench_function(BenchmarkId::new("aead", len), |bencher| {
        bencher.iter_batched_ref(
            &mut sealed,
            |(number, content, tag)| {
                let (nonce, aad) = (bare_nonce(*number), Aad::from(AAD));
                key.open_in_place_separate_tag(nonce, aad, tag, content).unwrap();
            },
            BATCH,
        );
    });
    let gcm = Aes256Gcm::new(&KEY.into());
    group.bench_function(BenchmarkId::new("aes-gcm", len), |bencher| {
        bencher.iter_batched_ref(
            &mut sealed,
            |(number, content, tag)| {
                let (nonce, text) = (nonce(*number).into(), (&mut content[..]).into());
                gcm.decrypt_inout_detached(&nonce, &AAD, text, &(*tag).into()).unwrap();
            },
            BATCH,
        );
    });
}

fn open_v2(group: &mut Group<'_>, len: usize) {
    let Pair { mut sealer, mut opener, now, .. } = Pair::open();
    group.bench_function(BenchmarkId::new("v2", len), |bencher| {
        let sealed = || {
            let mut buffer = PacketBuf::from(&*vec![0x5A; len]);
            assert!(sealer.seal(Kind::Packet, None, &mut buffer, now));
            buffer.content().to_vec()
        };
        bencher.iter_batched_ref(
            sealed,
            |data| {
                let Some(Message::Frame { receiver }) = Message::parse(data) else {
                    panic!("it is a frame")
                };
                black_box(opener.handle_frame(receiver, data, now).unwrap().content.len())
            },
            BATCH,
        );
    });
}

fn open_v1(group: &mut Group<'_>, len: usize) {
    let Pair1 { mut sealer, mut opener, now, mut rng } = Pair1::open();
    group.bench_function(BenchmarkId::new("v1", len), |bencher| {
        let sealed = || {
            let mut buffer = PacketBuf::from(&*vec![0x5A; len]);
            assert_eq!(sealer.seal(&mut buffer), Ok(true));
            buffer.content().to_vec()
        };
        bencher.iter_batched_ref(
            sealed,
            |data| match opener.handle_data(data, now, &mut rng) {
                Ok(v1::Received::Message(message)) => black_box(message.len()),
                other => panic!("{other:?}"),
            },
            BATCH,
        );
    });
}

/// All of it, on both sides: what two nodes do until both have a confirmed session.
fn handshake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handshake");
    group.throughput(Throughput::Elements(1));
    let mut rng = StdRng::seed_from_u64(1);
    let mut nodes = Nodes::new(&mut rng);
    // Ten milliseconds between them: nobody counts that as a flood.
    let mut now = Instant::now();
    group.bench_function("v2", |bencher| {
        bencher.iter(|| {
            now += std::time::Duration::from_millis(10);
            black_box(nodes.shake_hands(now, &mut rng))
        });
    });
    group.bench_function("v1", |bencher| bencher.iter(|| black_box(Pair1::open().now)));
    group.finish();
}

/// What is between a packet and its cipher.
fn pieces(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pieces");
    let packet = udp_packet();
    group.bench_function("flow_of_packet", |bencher| {
        bencher.iter(|| Ipv4Packet::parse(black_box(&packet)).unwrap().flow());
    });
    let flow = Ipv4Packet::parse(&packet).unwrap().flow();
    let (mut pair, mut buffer) = (Pair::open(), PacketBuf::default());
    for (name, flow) in [("seal_without_flow", None), ("seal_with_flow", Some(flow))] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                buffer.space(packet.len());
                pair.seal(black_box(flow), &mut buffer);
                black_box(buffer.len())
            });
        });
    }
    group.finish();
}

fn bare_key() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).unwrap())
}

fn bare_nonce(number: u64) -> Nonce {
    Nonce::assume_unique_for_key(nonce(number))
}

fn nonce(number: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    nonce
}

fn udp_packet() -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = etherparse::PacketBuilder::ipv4([10, 7, 0, 2], [10, 7, 0, 3], 64).udp(4000, 53);
    builder.write(&mut packet, &[0x5A; 36]).unwrap();
    packet
}

/// Two nodes without tunnels.
struct Nodes {
    endpoints: [Endpoint; 2],
    ends: [Ends; 2],
}

impl Nodes {
    fn new(rng: &mut StdRng) -> Self {
        let secrets = [NetworkSecret::generate(rng)];
        let (a, b) = (Vip::from([10, 7, 0, 2]), Vip::from([10, 7, 0, 3]));
        let mut endpoint = |name: &str| {
            let identity = IdentityKey::generate(rng);
            Endpoint::new(identity, &secrets, Some(name.to_owned()), rng)
        };
        Self {
            endpoints: [endpoint("a"), endpoint("b")],
            ends: [Ends { ours: a, theirs: b }, Ends { ours: b, theirs: a }],
        }
    }

    /// Three messages and the sign of life that confirms them.
    fn shake_hands(&mut self, now: Instant, rng: &mut StdRng) -> [v2::Tunnel; 2] {
        let [ours, theirs] = &mut self.endpoints;
        let [mut a, mut b] = [v2::Tunnel::default(), v2::Tunnel::default()];
        a.open(ours, self.ends[0], &HELLO, now, rng);
        let data = a.poll_data().unwrap();
        let Some(Message::Opening(opening)) = Message::parse(&data) else { panic!("message 1") };
        b.handle_opening(&opening, theirs, self.ends[1], &HELLO, now, rng).unwrap();
        let data = b.poll_data().unwrap();
        let Some(Message::Answer(reply)) = Message::parse(&data) else { panic!("message 2") };
        let answer = a.handle_answer(&reply, ours, now).unwrap().unwrap();
        a.prove(answer, ours, now, rng).unwrap();
        let data = a.poll_data().unwrap();
        let Some(Message::Proof(proof)) = Message::parse(&data) else { panic!("message 3") };
        let proved = b.handle_proof(&proof, theirs, self.ends[1], now, rng).unwrap().unwrap();
        b.install(proved, theirs, now);
        let mut data = b.poll_data().unwrap();
        let Some(Message::Frame { receiver }) = Message::parse(&data) else { panic!("a frame") };
        assert!(a.handle_frame(receiver, &mut data, now).unwrap().confirms);
        [a, b]
    }
}

/// An open tunnel of version 2.
struct Pair {
    sealer: v2::Tunnel,
    opener: v2::Tunnel,
    now: Instant,
}

impl Pair {
    fn open() -> Self {
        let (mut rng, now) = (StdRng::seed_from_u64(2), Instant::now());
        let [sealer, opener] = Nodes::new(&mut rng).shake_hands(now, &mut rng);
        Self { sealer, opener, now }
    }

    fn seal(&mut self, flow: Option<FlowId>, buffer: &mut PacketBuf) {
        assert!(self.sealer.seal(Kind::Packet, flow, buffer, self.now));
    }
}

/// An open tunnel of version 1.
struct Pair1 {
    sealer: v1::Tunnel,
    opener: v1::Tunnel,
    now: Now,
    rng: StdRng,
}

impl Pair1 {
    fn open() -> Self {
        let now = Now { instant: Instant::now(), unix_time: 1_700_000_000 };
        let mut rng = StdRng::seed_from_u64(3);
        let [mut sealer, mut opener] = [v1::Tunnel::default(), v1::Tunnel::default()];
        sealer.open(now, &mut rng);
        while let Some(mut data) = sealer.poll_data() {
            opener.handle_data(&mut data, now, &mut rng).unwrap();
            while let Some(mut data) = opener.poll_data() {
                sealer.handle_data(&mut data, now, &mut rng).unwrap();
            }
        }
        assert!(sealer.is_open() && opener.is_open());
        Self { sealer, opener, now, rng }
    }

    fn seal(&mut self, buffer: &mut PacketBuf) {
        assert_eq!(self.sealer.seal(buffer), Ok(true));
    }
}
