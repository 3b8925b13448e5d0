//! TSO and USO in user space: one super-packet becomes packets.

use std::slice::Chunks;

use super::check::SuperPacket;
use super::transport::{IPV4_HEADER_LEN, Transport, write_ipv4, write_udp_len};
use crate::buffer::PacketBuf;

/// Flags of TCP, in byte 13 of its header: no more comes.
const FIN: u8 = 0x01;
/// Hand it to the application now.
const PSH: u8 = 0x08;
/// The congestion window was reduced.
const CWR: u8 = 0x80;
/// Where they are.
const FLAGS: usize = 13;

/// The packets that a super-packet becomes, one after the other, as the kernel would make them:
/// IPv4 identifications and TCP sequence numbers go on; FIN and PSH are on the last one only, CWR on
/// the first.
#[derive(Debug, Clone)]
pub struct Segments<'a> {
    super_packet: SuperPacket,
    headers: &'a [u8],
    payloads: Chunks<'a, u8>,
    /// How many were made.
    num_made: u16,
}

impl<'a> Segments<'a> {
    /// Of `packet`, the one that `super_packet` was checked against; another one may have none.
    #[must_use]
    pub fn new(super_packet: SuperPacket, packet: &'a [u8]) -> Self {
        let (headers, payload) =
            packet.split_at_checked(super_packet.headers_len.into()).unwrap_or_default();
        let gso_size = usize::from(super_packet.gso_size.max(1));
        Self { super_packet, headers, payloads: payload.chunks(gso_size), num_made: 0 }
    }

    /// Makes the next packet the content of `buffer`; `false` where there is none.
    pub fn next_into(&mut self, buffer: &mut PacketBuf) -> bool {
        let Some(payload) = self.payloads.next() else { return false };
        let headers_len = self.headers.len();
        let packet = buffer.space(headers_len + payload.len());
        let Some((headers, content)) = packet.split_at_mut_checked(headers_len) else {
            return false;
        };
        headers.copy_from_slice(self.headers);
        content.copy_from_slice(payload);
        if self.write_headers(headers, payload.len()).is_none() {
            return false;
        }
        self.super_packet.transport.write_checksum(packet);
        self.num_made = self.num_made.wrapping_add(1);
        true
    }

    /// All but the transport checksum. `None` for headers that are too short, of a packet that was
    /// not checked.
    fn write_headers(&self, headers: &mut [u8], payload_len: usize) -> Option<()> {
        let total_len = u16::try_from(headers.len() + payload_len).ok()?;
        let (ip, transport) = headers.split_first_chunk_mut::<IPV4_HEADER_LEN>()?;
        let id = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(self.num_made);
        write_ipv4(ip, total_len, id);
        match self.super_packet.transport {
            Transport::Tcp => self.write_tcp(transport.first_chunk_mut()?),
            Transport::Udp => write_udp_len(transport.first_chunk_mut()?, total_len),
        }
        Some(())
    }

    fn write_tcp(&self, header: &mut [u8; 20]) {
        let [_, _, _, _, sequence @ .., _, _, _, _, _, _, _, _, _, _, _, _] = header;
        let behind = u32::from(self.num_made) * u32::from(self.super_packet.gso_size);
        *sequence = u32::from_be_bytes(*sequence).wrapping_add(behind).to_be_bytes();
        if self.num_made > 0 {
            header[FLAGS] &= !CWR;
        }
        if self.payloads.len() > 0 {
            header[FLAGS] &= !(FIN | PSH);
        }
    }
}
