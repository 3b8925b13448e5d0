//! The largest segment that TCP announces, held down to what the path through a tunnel takes.
//!
//! A host clamps by itself what its own sockets announce. What is behind it – containers, a network
//! behind NAT – has links with a larger MTU, announces what they take, and depends on ICMP to learn
//! better, which firewalls like to drop.

use super::check::Offload;
use super::transport::{IPV4_HEADER_LEN, Transport};
use crate::checksum::Sum;
use crate::packet::TCP;

const TCP_FLAGS: usize = IPV4_HEADER_LEN + 13;
const SYN: u8 = 0x02;
const CHECKSUM: usize = IPV4_HEADER_LEN + 16;
const OPTIONS: usize = IPV4_HEADER_LEN + 20;
/// Kinds of options with only one byte (RFC 9293, § 3.1), and of the one that is clamped.
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAX_SEGMENT_SIZE: u8 = 2;

impl Offload {
    /// Lowers the largest segment that a SYN of TCP announces to `max_len` bytes of payload, and
    /// the checksum with it. `packet` is the one that was checked; any other than a SYN stays as it
    /// is, and so does one that announces less, or nothing.
    pub fn clamp_mss(&self, packet: &mut [u8], max_len: u16) {
        if !is_syn(packet) {
            return;
        }
        let Some(at) = mss_at(packet) else { return };
        let Some(value) = packet.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) else {
            return;
        };
        let before = *value;
        if u16::from_be_bytes(before) <= max_len {
            return;
        }
        *value = max_len.to_be_bytes();
        // A partial checksum is the sum of the pseudo header alone.
        if *self == Self::Plain {
            let in_words =
                |[high, low]: [u8; 2]| if at % 2 == 0 { [high, low] } else { [low, high] };
            update_checksum(packet, in_words(before), in_words(max_len.to_be_bytes()));
        }
    }
}

/// RFC 1624, equation 3: what was wrong before stays wrong.
fn update_checksum(packet: &mut [u8], before: [u8; 2], now: [u8; 2]) {
    let Some(checksum) = packet.get_mut(CHECKSUM..).and_then(|rest| rest.first_chunk_mut()) else {
        return;
    };
    let inverse = |word: [u8; 2]| word.map(|byte| !byte);
    let sum = Sum::default().add(&inverse(*checksum)).add(&inverse(before)).add(&now);
    *checksum = sum.checksum();
}

fn is_syn(packet: &[u8]) -> bool {
    let is_fragment = packet.get(6..8).is_none_or(|bytes| bytes[0] & 0x3F != 0 || bytes[1] != 0);
    packet.get(9) == Some(&TCP)
        && !is_fragment
        && packet.get(TCP_FLAGS).is_some_and(|flags| flags & SYN != 0)
}

/// Where in the packet the two bytes of the option are.
fn mss_at(packet: &[u8]) -> Option<usize> {
    let header_len = Transport::Tcp.header_len(packet.get(IPV4_HEADER_LEN..)?)?;
    let options = packet.get(..IPV4_HEADER_LEN + header_len)?;
    let mut at = OPTIONS;
    loop {
        match *options.get(at)? {
            END => return None,
            NO_OPERATION => at += 1,
            kind => {
                let len = usize::from(*options.get(at + 1)?);
                if kind == MAX_SEGMENT_SIZE {
                    return (len == 4 && at + 4 <= options.len()).then_some(at + 2);
                }
                // A shorter one than itself would never end.
                at += if len >= 2 { len } else { return None };
            }
        }
    }
}
