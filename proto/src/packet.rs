//! IPv4 packets as they cross the TUN: the one place where an IP header is parsed.

use etherparse::Ipv4HeaderSlice;

use crate::checksum::Sum;
use crate::vip::Vip;

/// Why bytes are not a packet that may cross a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Not version 4, or cut off inside the header.
    #[error("not an IPv4 packet")]
    NotIpv4,
    /// The header's total length is not the number of bytes.
    #[error("total length does not match")]
    TotalLength,
    /// The header's checksum is wrong.
    #[error("header checksum is wrong")]
    Checksum,
    /// IP options (source routing and the like) do not cross a tunnel.
    #[error("packet carries IP options")]
    Options,
}

/// A whole IPv4 packet whose header is sound.
#[derive(Debug, Clone, Copy)]
pub struct Ipv4Packet<'a> {
    bytes: &'a [u8],
    header_len: usize,
    src: Vip,
    dst: Vip,
    protocol: u8,
    fragment: bool,
}

/// Which conversation a packet belongs to: addresses, protocol and, where there are some, ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowId([u8; FLOW_ID_LEN]);

const FLOW_ID_LEN: usize = 13;
pub(crate) const TCP: u8 = 6;
/// The protocol number of UDP, as registered by IANA.
pub const UDP: u8 = 17;

impl FlowId {
    /// The protocol number, as registered by IANA.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        self.0[8]
    }

    /// `[source 4][destination 4][protocol][ports 4, or zeros]`
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; FLOW_ID_LEN] {
        &self.0
    }
}

impl<'a> Ipv4Packet<'a> {
    /// Checks version, lengths, header checksum and the absence of options.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let header = Ipv4HeaderSlice::from_slice(bytes).map_err(|_| PacketError::NotIpv4)?;
        if usize::from(header.total_len()) != bytes.len() {
            return Err(PacketError::TotalLength);
        }
        if !Sum::default().add(header.slice()).is_right() {
            return Err(PacketError::Checksum);
        }
        if !header.options().is_empty() {
            return Err(PacketError::Options);
        }
        Ok(Self {
            bytes,
            header_len: header.slice().len(),
            src: Vip::from(header.source()),
            dst: Vip::from(header.destination()),
            protocol: header.protocol().0,
            fragment: header.is_fragmenting_payload(),
        })
    }

    /// The source address.
    #[must_use]
    pub fn src(&self) -> Vip {
        self.src
    }

    /// The destination address.
    #[must_use]
    pub fn dst(&self) -> Vip {
        self.dst
    }

    /// The protocol number of the payload, as registered by IANA (1 ICMP, 6 TCP, 17 UDP).
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Whether it is a piece of a larger packet, the first one included.
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.fragment
    }

    /// The packet's conversation. Pieces of a larger packet have no ports to go by, so none of them
    /// uses any.
    #[must_use]
    pub fn flow(&self) -> FlowId {
        let has_ports = matches!(self.protocol, TCP | UDP) && !self.fragment;
        let ports = self.payload().first_chunk::<4>().filter(|_| has_ports);
        let [a, b, c, d] = self.src.octets();
        let [e, f, g, h] = self.dst.octets();
        let [i, j, k, l] = ports.copied().unwrap_or_default();
        FlowId([a, b, c, d, e, f, g, h, self.protocol, i, j, k, l])
    }

    /// Header and payload.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.header_len..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    fn udp_packet(payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        PacketBuilder::ipv4([7, 10, 0, 2], [7, 10, 0, 3], 64)
            .udp(1, 2)
            .write(&mut packet, payload)
            .unwrap();
        packet
    }

    fn with_checksum(mut packet: Vec<u8>) -> Vec<u8> {
        let header_len = usize::from(packet[0] & 0x0F) * 4;
        packet[10..12].fill(0);
        let checksum = Sum::default().add(&packet[..header_len]).checksum();
        packet[10..12].copy_from_slice(&checksum);
        packet
    }

    #[test]
    fn sound_packet_shows_its_fields() {
        let bytes = udp_packet(b"hello");
        let packet = Ipv4Packet::parse(&bytes).unwrap();
        assert_eq!((packet.src(), packet.dst()), ([7, 10, 0, 2].into(), [7, 10, 0, 3].into()));
        assert_eq!((packet.protocol(), packet.payload().len()), (17, 13));
        assert_eq!(packet.bytes(), bytes);
    }

    #[test]
    fn flow_has_the_ports_but_for_fragments() {
        let mut bytes = udp_packet(b"hello");
        let flow = Ipv4Packet::parse(&bytes).unwrap().flow();
        assert_eq!(flow.as_bytes(), b"\x07\x0A\0\x02\x07\x0A\0\x03\x11\0\x01\0\x02");
        bytes[6] = 0x20;
        let fragment = with_checksum(bytes);
        let flow = Ipv4Packet::parse(&fragment).unwrap().flow();
        assert_eq!(flow.as_bytes()[8..], *b"\x11\0\0\0\0");
    }

    #[test]
    fn every_defect_has_its_error() {
        let sound = udp_packet(b"hello");
        let mut long = sound.clone();
        long.push(0);
        let mut flipped = sound.clone();
        flipped[8] ^= 1;
        let mut version_6 = sound.clone();
        version_6[0] = 0x65;
        let mut options = sound.clone();
        options[0] = 0x46;
        for (bytes, error) in [
            (vec![], PacketError::NotIpv4),
            (sound[..19].to_vec(), PacketError::NotIpv4),
            (version_6, PacketError::NotIpv4),
            (sound[..25].to_vec(), PacketError::TotalLength),
            (long, PacketError::TotalLength),
            (flipped, PacketError::Checksum),
            (with_checksum(options), PacketError::Options),
        ] {
            assert_eq!(Ipv4Packet::parse(&bytes).unwrap_err(), error);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_packet_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            std::hint::black_box(Ipv4Packet::parse(&bytes)).ok();
        }

        #[test]
        fn one_flipped_header_bit_is_always_found(byte in 0usize..20, bit in 0u8..8) {
            let mut bytes = udp_packet(b"payload");
            bytes[byte] ^= 1 << bit;
            prop_assert!(Ipv4Packet::parse(&bytes).is_err());
        }
    }
}
