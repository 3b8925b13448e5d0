//! TCP and UDP behind an IPv4 header without options: where things are, and the checksum.

use super::header::{GSO_TCPV4, GSO_UDP_L4};
use crate::checksum::Sum;
use crate::packet::{TCP, UDP};

/// Length in bytes of the only IPv4 header that crosses a tunnel: there are no options.
pub(super) const IPV4_HEADER_LEN: usize = 20;
/// Where TCP and UDP begin, as headers of virtio-net have it.
pub(super) const TRANSPORT_START: u16 = 20;
const _: () = assert!(TRANSPORT_START as usize == IPV4_HEADER_LEN);
/// Length of a UDP header in bytes.
pub(super) const UDP_HEADER_LEN: usize = 8;
/// Length of a TCP header without options in bytes.
const MIN_TCP_HEADER_LEN: usize = 20;

/// What a super-packet is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Segments of TCP.
    Tcp,
    /// Datagrams of UDP.
    Udp,
}

impl Transport {
    pub(super) const fn of_protocol(protocol: u8) -> Option<Self> {
        match protocol {
            TCP => Some(Self::Tcp),
            UDP => Some(Self::Udp),
            _ => None,
        }
    }

    pub(super) const fn of_gso_type(gso_type: u8) -> Option<Self> {
        match gso_type {
            GSO_TCPV4 => Some(Self::Tcp),
            GSO_UDP_L4 => Some(Self::Udp),
            _ => None,
        }
    }

    pub(super) const fn protocol(self) -> u8 {
        match self {
            Self::Tcp => TCP,
            Self::Udp => UDP,
        }
    }

    pub(super) const fn gso_type(self) -> u8 {
        match self {
            Self::Tcp => GSO_TCPV4,
            Self::Udp => GSO_UDP_L4,
        }
    }

    /// Where the checksum is, in bytes from the header's begin.
    pub(super) const fn checksum_offset(self) -> u16 {
        match self {
            Self::Tcp => 16,
            Self::Udp => 6,
        }
    }

    /// Length in bytes of the header in front of `segment`, a header and its payload; `None` where
    /// it is cut off, or a length in it is wrong.
    pub(super) fn header_len(self, segment: &[u8]) -> Option<usize> {
        match self {
            Self::Tcp => {
                let len = usize::from(*segment.get(12)? >> 4) * 4;
                (MIN_TCP_HEADER_LEN..=segment.len()).contains(&len).then_some(len)
            }
            Self::Udp => {
                let (header, _) = segment.split_first_chunk::<UDP_HEADER_LEN>()?;
                let [_, _, _, _, len_1, len_2, ..] = *header;
                let len = usize::from(u16::from_be_bytes([len_1, len_2]));
                (len == segment.len()).then_some(UDP_HEADER_LEN)
            }
        }
    }

    /// The pseudo-header's sum: addresses, protocol and length of what follows `header`.
    pub(super) fn pseudo_sum(self, header: &[u8; IPV4_HEADER_LEN], segment_len: u16) -> Sum {
        let (_, addresses) = header.split_at(12);
        let [len_1, len_2] = segment_len.to_be_bytes();
        Sum::default().add(addresses).add(&[0, self.protocol(), len_1, len_2])
    }

    /// Writes the checksum of a whole packet. Does nothing to what is too short for one.
    pub(super) fn write_checksum(self, packet: &mut [u8]) {
        let Some((header, segment)) = packet.split_first_chunk_mut::<IPV4_HEADER_LEN>() else {
            return;
        };
        // A packet's length is below 2^16, as `Ipv4Packet` says.
        let Ok(len) = u16::try_from(segment.len()) else { return };
        self.set_checksum(segment, [0; 2]);
        let checksum = self.pseudo_sum(header, len).add(segment).checksum();
        // To UDP, 0 means that there is no checksum (RFC 768), and 0xFFFF is the same number.
        let is_none = self == Self::Udp && checksum == [0; 2];
        self.set_checksum(segment, if is_none { [0xFF; 2] } else { checksum });
    }

    pub(super) fn set_checksum(self, segment: &mut [u8], checksum: [u8; 2]) {
        let place = segment.get_mut(usize::from(self.checksum_offset())..);
        if let Some(place) = place.and_then(|place| place.first_chunk_mut()) {
            *place = checksum;
        }
    }
}

/// Writes the length of a datagram that fills a packet of this length.
pub(super) fn write_udp_len(header: &mut [u8; UDP_HEADER_LEN], total_len: u16) {
    [header[4], header[5]] = total_len.saturating_sub(TRANSPORT_START).to_be_bytes();
}

/// Writes total length, identification and checksum of an IPv4 header.
pub(super) fn write_ipv4(header: &mut [u8; IPV4_HEADER_LEN], total_len: u16, id: u16) {
    [header[2], header[3]] = total_len.to_be_bytes();
    [header[4], header[5]] = id.to_be_bytes();
    [header[10], header[11]] = [0; 2];
    [header[10], header[11]] = Sum::default().add(header).checksum();
}
