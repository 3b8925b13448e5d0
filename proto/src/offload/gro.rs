//! GRO in user space: several packets of UDP become one super-packet.

use super::check::{Offload, SuperPacket};
use super::transport::{
    IPV4_HEADER_LEN, TRANSPORT_START, Transport, UDP_HEADER_LEN, write_ipv4, write_udp_len,
};
use crate::buffer::PacketBuf;
use crate::packet::{Ipv4Packet, UDP};

/// So many packets become one: what Linux itself puts together (`UDP_GRO_CNT_MAX`), and what each
/// version of it takes.
const MAX_PACKETS: u16 = 64;
const HEADERS_LEN: usize = IPV4_HEADER_LEN + UDP_HEADER_LEN;
/// Where the payload begins, the same as a header of virtio-net has it.
const HEADERS_END: u16 = TRANSPORT_START + 8;
/// The bit in byte 6 of an IPv4 header that forbids to cut the packet.
const DONT_FRAGMENT: u8 = 0x40;

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is among those that are to be taken.
    Merged,
    /// It does not fit: take what is there and push it again. One that does not fit even then is
    /// to be delivered as it is.
    Flush,
}

/// Packets of one UDP flow, in order, until they are taken as one.
///
/// Only those are put together that the kernel would make of the result again, byte for byte. It
/// counts the identifications of IPv4 up from the first; where DF is set they mean nothing (RFC
/// 6864), and are the only thing that may differ.
#[derive(Debug)]
pub struct UdpGro {
    /// The first packet, and the payloads of the others.
    buffer: PacketBuf,
    /// What is left to be done to the first.
    first: Offload,
    num_packets: u16,
    /// Payload of the first in bytes; no other is longer.
    gso_size: u16,
    /// A shorter one is the last.
    is_closed: bool,
}

impl UdpGro {
    /// With nothing gathered, and memory to gather in.
    #[must_use]
    pub fn new(mut buffer: PacketBuf) -> Self {
        buffer.clear();
        Self { buffer, first: Offload::Plain, num_packets: 0, gso_size: 0, is_closed: false }
    }

    /// Adds `packet`, which was checked to need `offload`, if it is UDP over IPv4, whole, not empty,
    /// and its checksums are right or still to be made; and if it goes on where the last one ended.
    #[inline]
    pub fn push(&mut self, packet: &[u8], offload: Offload) -> Pushed {
        let pushed = match self.num_packets {
            0 => self.begin(packet, offload),
            _ => self.go_on(packet, offload),
        };
        if pushed.is_some() { Pushed::Merged } else { Pushed::Flush }
    }

    /// What has gathered, and what is left to be done to it: a packet that is alone is as it came.
    ///
    /// # Errors
    /// The memory, where there is nothing.
    pub fn finish(mut self) -> Result<(Offload, PacketBuf), PacketBuf> {
        let offload = match self.num_packets {
            0 => None,
            1 => Some(self.first),
            _ => self.merged(),
        };
        match offload {
            Some(offload) => Ok((offload, self.buffer)),
            None => Err(self.buffer),
        }
    }

    /// Bytes that have gathered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing has gathered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.num_packets == 0
    }

    fn begin(&mut self, packet: &[u8], offload: Offload) -> Option<()> {
        let payload = datagram(packet, offload)?;
        self.gso_size = u16::try_from(payload.len()).ok()?;
        self.buffer.append(packet);
        (self.first, self.num_packets) = (offload, 1);
        Some(())
    }

    fn go_on(&mut self, packet: &[u8], offload: Offload) -> Option<()> {
        let headers = packet.first_chunk::<HEADERS_LEN>()?;
        let first = self.buffer.content().first_chunk::<HEADERS_LEN>()?;
        let payload_len = packet.len() - HEADERS_LEN;
        let is_full = self.num_packets == MAX_PACKETS
            || self.buffer.len() + payload_len > u16::MAX.into()
            || payload_len > self.gso_size.into();
        if self.is_closed || is_full || !goes_on(first, headers, self.num_packets) {
            return None;
        }
        let payload = datagram(packet, offload)?;
        self.buffer.append(payload);
        self.num_packets += 1;
        self.is_closed = payload_len < self.gso_size.into();
        Some(())
    }

    /// Lengths, and the sum of the pseudo-header where the checksum is to be.
    fn merged(&mut self) -> Option<Offload> {
        let total_len = u16::try_from(self.buffer.len()).ok()?;
        let (ip, udp) = self.buffer.content_mut().split_first_chunk_mut::<IPV4_HEADER_LEN>()?;
        write_ipv4(ip, total_len, u16::from_be_bytes([ip[4], ip[5]]));
        write_udp_len(udp.first_chunk_mut()?, total_len);
        let sum = Transport::Udp.pseudo_sum(ip, total_len.checked_sub(TRANSPORT_START)?);
        Transport::Udp.set_checksum(udp, sum.folded());
        Some(Offload::SuperPacket(SuperPacket {
            transport: Transport::Udp,
            headers_len: HEADERS_END,
            total_len,
            gso_size: self.gso_size,
            ecn: false,
        }))
    }
}

/// The payload of a packet that may be put together with others.
fn datagram(packet: &[u8], offload: Offload) -> Option<&[u8]> {
    let packet = Ipv4Packet::parse(packet).ok()?;
    if packet.protocol() != UDP || packet.is_fragment() {
        return None;
    }
    let segment = packet.payload();
    Transport::Udp.header_len(segment)?;
    let (header, payload) = segment.split_first_chunk::<UDP_HEADER_LEN>()?;
    let [.., checksum_1, checksum_2] = *header;
    // One without a checksum would get one.
    if payload.is_empty() || [checksum_1, checksum_2] == [0; 2] {
        return None;
    }
    let ip = packet.bytes().first_chunk()?;
    let len = u16::try_from(segment.len()).ok()?;
    // The kernel makes new checksums, so a wrong one must not get in.
    let is_right = || Transport::Udp.pseudo_sum(ip, len).add(segment).is_right();
    match offload {
        Offload::Plain => is_right().then_some(payload),
        Offload::PartialChecksum(_) => Some(payload),
        Offload::SuperPacket(_) => None,
    }
}

/// Whether headers are those of packet number `index` after the one with the headers `first`, but
/// for lengths and checksums.
fn goes_on(first: &[u8; HEADERS_LEN], headers: &[u8; HEADERS_LEN], index: u16) -> bool {
    let same = |at: std::ops::Range<usize>| first.get(at.clone()) == headers.get(at);
    // Version to TOS; flags to protocol; addresses and ports.
    if !(same(0..2) && same(6..10) && same(12..24)) {
        return false;
    }
    let id = |headers: &[u8; HEADERS_LEN]| u16::from_be_bytes([headers[4], headers[5]]);
    first[6] & DONT_FRAGMENT != 0 || id(headers) == id(first).wrapping_add(index)
}
