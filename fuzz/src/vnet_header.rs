//! `Offload::from_peer`: whatever is taken of a peer is sound, and splits into packets.

use dosp_proto::buffer::PacketBuf;
use dosp_proto::offload::{
    MIN_GSO_SIZE, Offload, Segments, Transport, VNET_HEADER_LEN, VnetHeader,
};
use dosp_proto::packet::Ipv4Packet;

use crate::packet::repaired;

const MAX_SEGMENTS: usize = 256;

pub fn run(bytes: &[u8]) {
    let Some((header, packet)) = bytes.split_first_chunk::<VNET_HEADER_LEN>() else { return };
    check(VnetHeader::from_wire(*header), packet);
    check(VnetHeader::from_wire(*header), &repaired(packet));
}

fn check(header: VnetHeader, packet: &[u8]) {
    assert_eq!(VnetHeader::from_native(header.to_native()), header);
    let Ok(offload) = Offload::from_peer(header, packet) else { return };
    // A peer may say no more than our own kernel, and what is handed on says the same again.
    assert_eq!(Offload::from_tun(header, packet), Ok(offload));
    assert_eq!(Offload::from_peer(offload.header(), packet), Ok(offload));
    let mut buffer = PacketBuf::default();
    match offload {
        Offload::Plain => assert_eq!(offload.header(), VnetHeader::default()),
        Offload::PartialChecksum(_) => {
            let mut packet = packet.to_vec();
            offload.complete_checksum(&mut packet);
            Ipv4Packet::parse(&packet).unwrap();
        }
        Offload::SuperPacket(super_packet) => {
            let is_udp = super_packet.transport() == Transport::Udp;
            assert!(is_udp || offload.header().gso_size >= MIN_GSO_SIZE);
            let mut segments = Segments::new(super_packet, packet);
            let mut num_segments = 0;
            while segments.next_into(&mut buffer) {
                num_segments += 1;
                assert!(buffer.len() <= super_packet.segment_len());
                Ipv4Packet::parse(buffer.content()).unwrap();
            }
            assert_eq!(num_segments, super_packet.num_segments());
            assert!((2..=MAX_SEGMENTS).contains(&num_segments));
        }
    }
}
