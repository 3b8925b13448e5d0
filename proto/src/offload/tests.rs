mod check;
mod golden;
mod gro;
mod mss;
mod reference;
mod segments;

use etherparse::PacketBuilder;

use super::header::{GSO_TCPV4, GSO_UDP_L4, NEEDS_CSUM};
use super::*;
use crate::buffer::PacketBuf;

/// `len` bytes, all of them different from their neighbours.
fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at * 7 + at / 251) % 256).unwrap()).collect()
}

fn tcp(options: &[u8], payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4([10, 7, 0, 2], [10, 7, 0, 3], 64);
    let builder = builder.tcp(4000, 80, 0xFFFF_FF00, 1024).ack(7).psh().fin();
    let mut packet = Vec::new();
    builder.options_raw(options).unwrap().write(&mut packet, payload).unwrap();
    packet
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4([10, 7, 0, 2], [10, 7, 0, 3], 64).udp(4000, 53);
    builder.write(&mut packet, payload).unwrap();
    packet
}

fn tcp_header(gso_size: u16) -> VnetHeader {
    let (flags, gso_type) = (NEEDS_CSUM, GSO_TCPV4);
    VnetHeader { flags, gso_type, hdr_len: 40, gso_size, csum_start: 20, csum_offset: 16 }
}

fn udp_header(gso_size: u16) -> VnetHeader {
    let (flags, gso_type) = (NEEDS_CSUM, GSO_UDP_L4);
    VnetHeader { flags, gso_type, hdr_len: 28, gso_size, csum_start: 20, csum_offset: 6 }
}

/// Writes the checksum of a changed IPv4 header.
fn fix_ipv4(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let checksum = crate::checksum::Sum::default().add(&packet[..20]).checksum();
    packet[10..12].copy_from_slice(&checksum);
}

/// All packets that a super-packet becomes.
fn split(header: VnetHeader, packet: &[u8]) -> Vec<Vec<u8>> {
    let Ok(Offload::SuperPacket(super_packet)) = Offload::from_tun(header, packet) else {
        panic!("{:?}", Offload::from_tun(header, packet))
    };
    let (mut segments, mut buffer) = (Segments::new(super_packet, packet), PacketBuf::default());
    let mut packets = Vec::new();
    while segments.next_into(&mut buffer) {
        packets.push(buffer.content().to_vec());
    }
    assert_eq!(packets.len(), super_packet.num_segments());
    packets
}
