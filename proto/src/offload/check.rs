//! Whether a header fits its packet, and the header that says the same and nothing else.

use super::header::{GSO_ECN, GSO_NONE, NEEDS_CSUM, Offloads, VnetHeader};
use super::transport::{IPV4_HEADER_LEN, TRANSPORT_START, Transport};
use crate::packet::{Ipv4Packet, PacketError};

/// The smallest `gso_size` of a super-packet of TCP between peers, in bytes. One packet that becomes
/// 256 is enough; at a `gso_size` of 1 it would be 65,000. Flows with smaller segments are split by
/// whoever sends them.
pub const MIN_GSO_SIZE: u16 = 256;
/// So many datagrams are in a super-packet of UDP between peers: Linux takes no more
/// (`UDP_MAX_SEGMENTS`; 64 before 6.10).
const MAX_UDP_SEGMENTS: usize = 128;
/// So many segments are in a super-packet of our own host: Linux makes none whose segments are below
/// 8 bytes (`TCP_MIN_GSO_SIZE`).
const MAX_SEGMENTS: usize = 65_535 / 8;

/// Why a header does not fit its packet, or a peer's is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OffloadError {
    /// The packet itself is none.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// A flag that is none of a peer's business, or unknown.
    #[error("unknown flags")]
    Flags,
    /// Neither one packet nor TCP or UDP over IPv4.
    #[error("unknown kind of super-packet")]
    GsoType,
    /// The bit for ECN, and no TCP.
    #[error("ECN without TCP")]
    Ecn,
    /// Segments whose checksum is not to be completed.
    #[error("super-packet with a complete checksum")]
    CompleteChecksum,
    /// The packet is of another protocol.
    #[error("protocol does not match")]
    Protocol,
    /// A piece of a larger packet has no checksum of its own.
    #[error("fragment")]
    Fragment,
    /// The checksum is not where its protocol has it.
    #[error("checksum at the wrong place")]
    ChecksumPlace,
    /// The transport header is cut off, or a length in it is wrong.
    #[error("transport header does not fit")]
    TransportHeader,
    /// Segments without content.
    #[error("segments of length zero")]
    NoGsoSize,
    /// Segments of TCP shorter than [`MIN_GSO_SIZE`].
    #[error("segments are too short")]
    ShortSegments,
    /// More segments than a kernel takes or makes.
    #[error("too many segments")]
    TooManySegments,
}

/// What is left to do to a packet: a header that was checked against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offload {
    /// Nothing.
    Plain,
    /// Its transport checksum is to be completed.
    PartialChecksum(Transport),
    /// It is to become several.
    SuperPacket(SuperPacket),
}

/// How a packet becomes several. There are always at least two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuperPacket {
    pub(super) transport: Transport,
    /// In bytes, of IP and TCP or UDP.
    pub(super) headers_len: u16,
    /// In bytes, of headers and payload.
    pub(super) total_len: u16,
    pub(super) gso_size: u16,
    pub(super) ecn: bool,
}

impl Offload {
    /// Checks what our own kernel says of a packet.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn from_tun(header: VnetHeader, packet: &[u8]) -> Result<Self, OffloadError> {
        // What other flags say of a packet that came (that its checksum was seen to be right, that
        // it is several which were put together) asks for nothing.
        let packet = Ipv4Packet::parse(packet)?;
        let transport = gso_transport(header.gso_type)?;
        if header.flags & NEEDS_CSUM == 0 {
            return match transport {
                None => Ok(Self::Plain),
                Some(_) => Err(OffloadError::CompleteChecksum),
            };
        }
        let (of_packet, headers_len) = checksummed(header, &packet)?;
        if transport.is_some_and(|transport| transport != of_packet) {
            return Err(OffloadError::Protocol);
        }
        if transport.is_some() && header.gso_size == 0 {
            return Err(OffloadError::NoGsoSize);
        }
        let total_len = packet.bytes().len();
        let is_one = total_len - headers_len <= header.gso_size.into();
        if transport.is_none() || is_one {
            return Ok(Self::PartialChecksum(of_packet));
        }
        let len = |len: usize| u16::try_from(len).map_err(|_| PacketError::TotalLength);
        let super_packet = SuperPacket {
            transport: of_packet,
            headers_len: len(headers_len)?,
            total_len: len(total_len)?,
            gso_size: header.gso_size,
            ecn: header.gso_type & GSO_ECN != 0,
        };
        if super_packet.num_segments() > MAX_SEGMENTS {
            return Err(OffloadError::TooManySegments);
        }
        Ok(Self::SuperPacket(super_packet))
    }

    /// Checks what a peer says of a packet: it may say less than our own kernel. How long a segment
    /// may be is for whoever writes it to know.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn from_peer(header: VnetHeader, packet: &[u8]) -> Result<Self, OffloadError> {
        if header.flags & !NEEDS_CSUM != 0 {
            return Err(OffloadError::Flags);
        }
        let offload = Self::from_tun(header, packet)?;
        if let Self::SuperPacket(super_packet) = offload {
            super_packet.check_limits()?;
        }
        Ok(offload)
    }

    /// The header that says this and nothing else: for a peer, and for the kernel.
    #[must_use]
    pub fn header(&self) -> VnetHeader {
        match self {
            Self::Plain => VnetHeader::default(),
            Self::PartialChecksum(transport) => partial_checksum(*transport),
            Self::SuperPacket(super_packet) => super_packet.header(),
        }
    }

    /// Whether it is to go as it is, with its header, to a peer that takes `offloads`. Otherwise it
    /// is to be completed or split first; a plain packet needs no header.
    #[must_use]
    pub fn may_cross(&self, offloads: Offloads) -> bool {
        let takes = |transport: Transport| match transport {
            Transport::Tcp => offloads.tcp,
            Transport::Udp => offloads.udp,
        };
        match self {
            Self::Plain => false,
            Self::PartialChecksum(transport) => takes(*transport),
            Self::SuperPacket(super_packet) => {
                takes(super_packet.transport) && super_packet.check_limits().is_ok()
            }
        }
    }

    /// Completes the transport checksum of `packet`, the one that was checked, where it is partial.
    /// Nothing is left to do then. A super-packet is left as it is: its segments get theirs in
    /// [`Segments`](super::Segments).
    pub fn complete_checksum(&self, packet: &mut [u8]) {
        if let Self::PartialChecksum(transport) = self {
            transport.write_checksum(packet);
        }
    }
}

impl SuperPacket {
    /// What it is made of.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// How many packets it becomes.
    #[must_use]
    pub fn num_segments(&self) -> usize {
        usize::from(self.total_len - self.headers_len).div_ceil(self.gso_size.into())
    }

    /// Length of the longest of them in bytes, headers included.
    #[must_use]
    pub fn segment_len(&self) -> usize {
        usize::from(self.headers_len) + usize::from(self.gso_size)
    }

    /// What peers ask of each other, whatever the MTU is.
    fn check_limits(&self) -> Result<(), OffloadError> {
        match self.transport {
            Transport::Tcp if self.gso_size < MIN_GSO_SIZE => Err(OffloadError::ShortSegments),
            Transport::Udp if self.num_segments() > MAX_UDP_SEGMENTS => {
                Err(OffloadError::TooManySegments)
            }
            Transport::Tcp | Transport::Udp => Ok(()),
        }
    }

    pub(super) fn header(&self) -> VnetHeader {
        VnetHeader {
            gso_type: self.transport.gso_type() | if self.ecn { GSO_ECN } else { 0 },
            hdr_len: self.headers_len,
            gso_size: self.gso_size,
            ..partial_checksum(self.transport)
        }
    }
}

fn partial_checksum(transport: Transport) -> VnetHeader {
    VnetHeader {
        flags: NEEDS_CSUM,
        csum_start: TRANSPORT_START,
        csum_offset: transport.checksum_offset(),
        ..VnetHeader::default()
    }
}

/// `None` for one packet.
fn gso_transport(gso_type: u8) -> Result<Option<Transport>, OffloadError> {
    let (without_ecn, is_ecn) = (gso_type & !GSO_ECN, gso_type & GSO_ECN != 0);
    let transport = Transport::of_gso_type(without_ecn);
    if transport.is_none() && without_ecn != GSO_NONE {
        return Err(OffloadError::GsoType);
    }
    if is_ecn && transport != Some(Transport::Tcp) {
        return Err(OffloadError::Ecn);
    }
    Ok(transport)
}

/// Protocol and length of all headers in bytes, of a packet whose checksum is to be completed.
fn checksummed(
    header: VnetHeader,
    packet: &Ipv4Packet<'_>,
) -> Result<(Transport, usize), OffloadError> {
    let transport = Transport::of_protocol(packet.protocol()).ok_or(OffloadError::Protocol)?;
    if packet.is_fragment() {
        return Err(OffloadError::Fragment);
    }
    let place = (header.csum_start, header.csum_offset);
    if place != (TRANSPORT_START, transport.checksum_offset()) {
        return Err(OffloadError::ChecksumPlace);
    }
    let len = transport.header_len(packet.payload()).ok_or(OffloadError::TransportHeader)?;
    Ok((transport, IPV4_HEADER_LEN + len))
}
