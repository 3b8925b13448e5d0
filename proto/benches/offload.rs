//! What super-packets cost where a peer does not take them: `cargo bench -p dosp-proto`.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails is to panic")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dosp_proto::buffer::PacketBuf;
use dosp_proto::offload::{Offload, Pushed, Segments, Transport, UdpGro, VnetHeader};
use etherparse::PacketBuilder;

/// The payload of a segment at an MTU of 1420, with TCP's time stamps.
const GSO_SIZE: u16 = 1368;
/// The payload of the largest super-packet, about.
const MAX_PAYLOAD_LEN: usize = 65_000;

criterion_group!(benches, complete_checksum, split, coalesce);
criterion_main!(benches);

fn tcp(len: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4([10, 7, 0, 2], [10, 7, 0, 3], 64).tcp(4000, 80, 1, 1024);
    let builder = builder.ack(7).options_raw(&[1; 12]).unwrap();
    builder.write(&mut packet, &vec![0x5A; len]).unwrap();
    packet
}

fn udp(len: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4([10, 7, 0, 2], [10, 7, 0, 3], 64).udp(4000, 53);
    builder.write(&mut packet, &vec![0x5A; len]).unwrap();
    // Without fragments the identification may be the same in all.
    (packet[6], packet[10], packet[11]) = (0x40, 0, 0);
    let words = packet[..20].chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum: u32 = words.sum();
    let checksum = !u16::try_from((sum & 0xFFFF) + (sum >> 16)).unwrap();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// Of a packet that our own host gave with a partial one.
fn complete_checksum(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("complete_checksum");
    for len in [0, GSO_SIZE.into(), MAX_PAYLOAD_LEN] {
        let mut packet = tcp(len);
        group.throughput(Throughput::Bytes(packet.len() as u64));
        let offload = Offload::PartialChecksum(Transport::Tcp);
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| offload.complete_checksum(black_box(&mut packet)));
        });
    }
    group.finish();
}

/// From header and super-packet to the last of the packets, one at a time in the same buffer.
fn split(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("split");
    let packet = tcp(MAX_PAYLOAD_LEN);
    let (flags, gso_type, gso_size) = (1, 1, GSO_SIZE);
    let header =
        VnetHeader { flags, gso_type, hdr_len: 0, gso_size, csum_start: 20, csum_offset: 16 };
    group.throughput(Throughput::Bytes(packet.len() as u64));
    let mut buffer = PacketBuf::default();
    group.bench_function("tcp", |bencher| {
        bencher.iter(|| {
            let Ok(Offload::SuperPacket(checked)) = Offload::from_tun(header, black_box(&packet))
            else {
                panic!("a super-packet")
            };
            let mut segments = Segments::new(checked, &packet);
            while segments.next_into(&mut buffer) {
                black_box(buffer.content());
            }
        });
    });
    group.finish();
}

/// 64 datagrams into one super-packet, or as many as fit.
fn coalesce(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("coalesce");
    for len in [36, 1000] {
        let packet = udp(len);
        group.throughput(Throughput::Elements(64));
        let mut spare = Some(PacketBuf::default());
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| {
                let mut gro = UdpGro::new(spare.take().unwrap());
                for _ in 0..64 {
                    assert_eq!(gro.push(black_box(&packet), Offload::Plain), Pushed::Merged);
                }
                let (offload, buffer) = gro.finish().unwrap();
                spare = Some(buffer);
                offload
            });
        });
    }
    group.finish();
}
