//! The header's bytes, and what of super-packets somebody takes.

use serde::{Deserialize, Serialize};

/// Length of the header in bytes, as a TUN has it unless told otherwise (`TUNSETVNETHDRSZ`).
pub const VNET_HEADER_LEN: usize = 10;

/// `flags`: the transport checksum is to be completed. Its field holds the sum of the
/// pseudo-header.
pub(super) const NEEDS_CSUM: u8 = 1;
/// `gso_type`: one packet.
pub(super) const GSO_NONE: u8 = 0;
/// `gso_type`: segments of TCP over IPv4.
pub(super) const GSO_TCPV4: u8 = 1;
/// `gso_type`: datagrams of UDP.
pub(super) const GSO_UDP_L4: u8 = 5;
/// `gso_type`, beside the type: the first segment says that the congestion window was reduced.
pub(super) const GSO_ECN: u8 = 0x80;

/// The header of virtio-net in front of a packet, not checked yet (OASIS virtio 1.3, section
/// 5.1.6; `linux/virtio_net.h`).
///
/// ```text
/// [flags u8] [gso_type u8] [hdr_len u16] [gso_size u16] [csum_start u16] [csum_offset u16]
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VnetHeader {
    /// What is to be done, bit by bit; 1: the checksum is to be completed.
    pub flags: u8,
    /// What the packet is to become.
    pub gso_type: u8,
    /// Length of all headers in bytes. A hint that kernels get wrong.
    pub hdr_len: u16,
    /// Length of a segment's payload in bytes.
    pub gso_size: u16,
    /// Where what is summed begins, in bytes from the packet's begin.
    pub csum_start: u16,
    /// Where the checksum is, in bytes from there.
    pub csum_offset: u16,
}

impl VnetHeader {
    /// Reads it as the kernel of this host writes it.
    #[must_use]
    pub fn from_native(bytes: [u8; VNET_HEADER_LEN]) -> Self {
        Self::read(bytes, u16::from_ne_bytes)
    }

    /// As the kernel of this host reads it.
    #[must_use]
    pub fn to_native(self) -> [u8; VNET_HEADER_LEN] {
        self.write(u16::to_ne_bytes)
    }

    /// Reads it as it stands in a frame, little-endian.
    #[must_use]
    pub fn from_wire(bytes: [u8; VNET_HEADER_LEN]) -> Self {
        Self::read(bytes, u16::from_le_bytes)
    }

    /// As it stands in a frame, little-endian.
    #[must_use]
    pub fn to_wire(self) -> [u8; VNET_HEADER_LEN] {
        self.write(u16::to_le_bytes)
    }

    fn read(bytes: [u8; VNET_HEADER_LEN], number: fn([u8; 2]) -> u16) -> Self {
        let [flags, gso_type, len_1, len_2, size_1, size_2, start_1, start_2, offset_1, offset_2] =
            bytes;
        Self {
            flags,
            gso_type,
            hdr_len: number([len_1, len_2]),
            gso_size: number([size_1, size_2]),
            csum_start: number([start_1, start_2]),
            csum_offset: number([offset_1, offset_2]),
        }
    }

    fn write(self, bytes: fn(u16) -> [u8; 2]) -> [u8; VNET_HEADER_LEN] {
        let [len_1, len_2] = bytes(self.hdr_len);
        let [size_1, size_2] = bytes(self.gso_size);
        let [start_1, start_2] = bytes(self.csum_start);
        let [offset_1, offset_2] = bytes(self.csum_offset);
        let (flags, gso_type) = (self.flags, self.gso_type);
        [flags, gso_type, len_1, len_2, size_1, size_2, start_1, start_2, offset_1, offset_2]
    }
}

/// Which super-packets somebody takes, and partial checksums of the same protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Offloads {
    /// TCP over IPv4.
    #[serde(default)]
    pub tcp: bool,
    /// UDP over IPv4.
    #[serde(default)]
    pub udp: bool,
}

impl Offloads {
    /// Both.
    pub const ALL: Self = Self { tcp: true, udp: true };
    /// Neither.
    pub const NONE: Self = Self { tcp: false, udp: false };

    /// Whether it is neither.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Whether `other` takes all of this.
    #[must_use]
    pub fn is_within(&self, other: Self) -> bool {
        (!self.tcp || other.tcp) && (!self.udp || other.udp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_more_than_all_or_less_than_nothing() {
        let tcp = Offloads { tcp: true, udp: false };
        let udp = Offloads { tcp: false, udp: true };
        for some in [Offloads::NONE, tcp, udp, Offloads::ALL] {
            assert!(some.is_within(Offloads::ALL) && some.is_within(some));
            assert!(Offloads::NONE.is_within(some));
            assert_eq!(some.is_within(Offloads::NONE), some.is_none());
        }
        assert!(!tcp.is_within(udp) && !udp.is_within(tcp) && !Offloads::ALL.is_within(tcp));
    }

    #[test]
    fn header_has_the_documented_places() {
        let header = VnetHeader {
            flags: 1,
            gso_type: 2,
            hdr_len: 0x0304,
            gso_size: 0x0506,
            csum_start: 0x0708,
            csum_offset: 0x090A,
        };
        assert_eq!(header.to_wire(), [1, 2, 4, 3, 6, 5, 8, 7, 10, 9]);
        assert_eq!(VnetHeader::from_wire(header.to_wire()), header);
        assert_eq!(header.to_native()[2..4], 0x0304u16.to_ne_bytes());
        assert_eq!(VnetHeader::from_native(header.to_native()), header);
    }
}
