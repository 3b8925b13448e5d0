//! `Ipv4Packet::parse`: takes exactly the packets that a plain reading of RFC 791 takes.

use dosp_proto::packet::{Ipv4Packet, PacketError};

const HEADER_LEN: usize = 20;
/// Don't-fragment and the reserved bit say nothing about being a fragment.
const FRAGMENT_MASK: u16 = 0x3FFF;

pub fn run(bytes: &[u8]) {
    check(bytes);
    check(&repaired(bytes));
}

fn check(bytes: &[u8]) {
    let parsed = Ipv4Packet::parse(bytes);
    assert_eq!(parsed.map(|_| ()).err(), defect(bytes));
    let Ok(packet) = parsed else { return };
    assert_eq!(packet.bytes(), bytes);
    assert_eq!(packet.payload(), &bytes[HEADER_LEN..]);
    assert_eq!([packet.src().octets(), packet.dst().octets()].concat(), bytes[12..20]);
    assert_eq!(packet.protocol(), bytes[9]);
    assert_eq!(packet.is_fragment(), word(bytes, 6) & FRAGMENT_MASK != 0);
}

fn defect(bytes: &[u8]) -> Option<PacketError> {
    let header_len = bytes.first().map_or(0, |first| usize::from(first & 0x0F) * 4);
    if bytes.first().is_none_or(|first| first >> 4 != 4)
        || header_len < HEADER_LEN
        || bytes.len() < header_len
        || bytes.len() < HEADER_LEN
    {
        return Some(PacketError::NotIpv4);
    }
    if usize::from(word(bytes, 2)) != bytes.len() {
        return Some(PacketError::TotalLength);
    }
    if sum(&bytes[..header_len]) != 0xFFFF {
        return Some(PacketError::Checksum);
    }
    (header_len != HEADER_LEN).then_some(PacketError::Options)
}

/// The same with length and checksum put right, or no change would ever get past them.
pub(crate) fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let header_len = bytes.first().map_or(0, |first| usize::from(first & 0x0F) * 4);
    let Ok(total_len) = u16::try_from(bytes.len()) else { return bytes };
    if bytes.len() < header_len.max(HEADER_LEN) {
        return bytes;
    }
    bytes[2..4].copy_from_slice(&total_len.to_be_bytes());
    bytes[10..12].fill(0);
    let checksum = !sum(&bytes[..header_len.max(HEADER_LEN)]);
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The sum of RFC 1071 with the carry added at every step.
fn sum(bytes: &[u8]) -> u16 {
    (0..bytes.len()).step_by(2).fold(0, |sum: u16, at| {
        let (sum, carry) = sum.overflowing_add(word(bytes, at));
        sum + u16::from(carry)
    })
}
