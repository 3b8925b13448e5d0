//! `Segments` and `UdpGro`: what is split has all that it was made of, and nothing else; datagrams
//! that are put together again are the super-packet that they came from.

use dosp_proto::buffer::PacketBuf;
use dosp_proto::offload::{Offload, Pushed, Segments, SuperPacket, Transport, UdpGro, VnetHeader};
use dosp_proto::packet::Ipv4Packet;

use crate::input::Input;
use crate::packet::repaired;

const IPV4_HEADER_LEN: usize = 20;
const UDP_HEADER_LEN: usize = 8;
/// So many datagrams are put together at most.
const MAX_MERGED: usize = 64;

/// Which transport, the size of a segment, how often the rest is repeated; headers and payload.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let is_udp = input.byte() & 1 == 1;
    let (gso_size, repetitions) = (input.number(), usize::from(input.byte()));
    let rest = input.rest();
    let Some((headers, payload)) = rest.split_at_checked(rest.len().min(60)) else { return };
    let mut packet = [headers, &payload.repeat(repetitions)].concat();
    packet.truncate(65_535);
    if packet.len() < IPV4_HEADER_LEN + UDP_HEADER_LEN {
        return;
    }
    let (protocol, gso_type, csum_offset) = if is_udp { (17, 5, 6) } else { (6, 1, 16) };
    (packet[0], packet[9]) = (0x45, protocol);
    // No fragment; DF is the input's.
    (packet[6], packet[7]) = (packet[6] & 0xC0, 0);
    if is_udp {
        let len = u16::try_from(packet.len() - IPV4_HEADER_LEN).unwrap();
        packet[24..26].copy_from_slice(&len.to_be_bytes());
    }
    let packet = repaired(&packet);
    let header =
        VnetHeader { flags: 1, gso_type, hdr_len: 0, gso_size, csum_start: 20, csum_offset };
    let Ok(Offload::SuperPacket(super_packet)) = Offload::from_tun(header, &packet) else { return };
    check(super_packet, &packet);
}

fn check(super_packet: SuperPacket, packet: &[u8]) {
    let headers_len = usize::from(Offload::SuperPacket(super_packet).header().hdr_len);
    let (mut segments, mut buffer) = (Segments::new(super_packet, packet), PacketBuf::default());
    let (mut payload, mut packets) = (Vec::new(), Vec::new());
    while segments.next_into(&mut buffer) {
        let segment = buffer.content();
        assert!(segment.len() > headers_len && segment.len() <= super_packet.segment_len());
        Ipv4Packet::parse(segment).unwrap();
        assert!(has_checksum(segment, super_packet.transport()));
        payload.extend_from_slice(&segment[headers_len..]);
        packets.push(segment.to_vec());
    }
    assert_eq!(packets.len(), super_packet.num_segments());
    assert_eq!(payload, packet[headers_len..]);
    if super_packet.transport() == Transport::Udp && packets.len() <= MAX_MERGED {
        let mut gro = UdpGro::new(PacketBuf::default());
        let mut push = |packet: &Vec<u8>| gro.push(packet, Offload::Plain) == Pushed::Merged;
        assert!(packets.iter().all(&mut push));
        let (offload, merged) = gro.finish().unwrap();
        assert_eq!(offload, Offload::SuperPacket(super_packet));
        let mut merged = merged.content().to_vec();
        // The checksum of the input is anything.
        merged[26..28].copy_from_slice(&packet[26..28]);
        assert_eq!(merged, packet);
    }
}

/// The sum of RFC 1071 over pseudo-header and segment, with the carry added at every step.
fn has_checksum(packet: &[u8], transport: Transport) -> bool {
    let (header, segment) = packet.split_at(IPV4_HEADER_LEN);
    let len = u16::try_from(segment.len()).unwrap().to_be_bytes();
    let sum = [&header[12..], &[0, header[9]], &len, segment].concat().chunks(2).fold(
        0u16,
        |sum, word| {
            let low = word.get(1).copied().unwrap_or(0);
            let (sum, carry) = sum.overflowing_add(u16::from_be_bytes([word[0], low]));
            sum + u16::from(carry)
        },
    );
    sum == 0xFFFF && (transport == Transport::Tcp || segment[6..8] != [0, 0])
}
