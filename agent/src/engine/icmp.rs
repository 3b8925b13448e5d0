//! ICMP that the agent itself says to the local host, in the name of the hub's vIP.

use dosp_proto::packet::Ipv4Packet;
use dosp_proto::vip::Vip;
use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{IcmpEchoHeader, Icmpv4Slice, Icmpv4Type, PacketBuilder};

const ICMP: u8 = 1;
const TTL: u8 = 64;
/// RFC 1812, § 4.3.2.3: as much of the offending packet as fits into 576 bytes.
const MAX_QUOTE_LEN: usize = 576 - 20 - 8;

/// Why a packet comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreachable {
    /// The peer is offline or does not answer.
    Host,
    /// No way leads to the peer's network.
    Net,
    /// What was asked for is not offered.
    Prohibited,
}

/// "Destination unreachable" about `packet`; `None` where RFC 1122, § 3.2.2, forbids one.
pub(super) fn unreachable(packet: &Ipv4Packet<'_>, from: Vip, why: Unreachable) -> Option<Vec<u8>> {
    let about_an_error = packet.protocol() == ICMP && echo_request(packet).is_none();
    if about_an_error || packet.is_fragment() {
        return None;
    }
    let header = match why {
        Unreachable::Host => DestUnreachableHeader::Host,
        Unreachable::Net => DestUnreachableHeader::Network,
        Unreachable::Prohibited => DestUnreachableHeader::FilterProhibited,
    };
    let bytes = packet.bytes();
    let quote = bytes.get(..MAX_QUOTE_LEN.min(bytes.len())).unwrap_or_default();
    write(from, packet.src(), Icmpv4Type::DestinationUnreachable(header), quote)
}

/// The identifier, number and content of an echo request.
pub(super) fn echo_request<'a>(packet: &Ipv4Packet<'a>) -> Option<(IcmpEchoHeader, &'a [u8])> {
    if packet.protocol() != ICMP || packet.is_fragment() {
        return None;
    }
    let icmp = Icmpv4Slice::from_slice(packet.payload()).ok()?;
    match icmp.icmp_type() {
        Icmpv4Type::EchoRequest(header) => Some((header, icmp.payload())),
        _ => None,
    }
}

/// The answer to an echo request.
pub(super) fn echo_reply(
    from: Vip,
    to: Vip,
    header: IcmpEchoHeader,
    content: &[u8],
) -> Option<Vec<u8>> {
    write(from, to, Icmpv4Type::EchoReply(header), content)
}

fn write(from: Vip, to: Vip, icmp: Icmpv4Type, content: &[u8]) -> Option<Vec<u8>> {
    let builder = PacketBuilder::ipv4(from.octets(), to.octets(), TTL).icmpv4(icmp);
    let mut out = Vec::with_capacity(builder.size(content.len()));
    builder.write(&mut out, content).ok().map(|()| out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: [u8; 4] = [7, 10, 0, 1];
    const OURS: [u8; 4] = [7, 10, 0, 2];
    const PEER: [u8; 4] = [7, 10, 0, 3];

    fn udp_packet(len: usize) -> Vec<u8> {
        let mut packet = Vec::new();
        PacketBuilder::ipv4(OURS, PEER, 64).udp(1, 2).write(&mut packet, &vec![7; len]).unwrap();
        packet
    }

    #[test]
    fn unreachable_quotes_the_packet_and_goes_back_to_its_sender() {
        for (len, quote_len) in [(10, 38), (1000, MAX_QUOTE_LEN)] {
            let bytes = udp_packet(len);
            let packet = Ipv4Packet::parse(&bytes).unwrap();
            let answer = unreachable(&packet, HUB.into(), Unreachable::Host).unwrap();
            let answer = Ipv4Packet::parse(&answer).unwrap();
            assert_eq!((answer.src(), answer.dst()), (HUB.into(), OURS.into()));
            // Type 3, code 1, and the quote behind eight bytes of ICMP header.
            assert_eq!(answer.payload()[..2], [3, 1]);
            assert_eq!(answer.payload()[8..], bytes[..quote_len]);
        }
    }

    #[test]
    fn no_error_is_answered_with_an_error() {
        let bytes = udp_packet(10);
        let packet = Ipv4Packet::parse(&bytes).unwrap();
        let error = unreachable(&packet, HUB.into(), Unreachable::Prohibited).unwrap();
        let error = Ipv4Packet::parse(&error).unwrap();
        assert_eq!(error.payload()[..2], [3, 13]);
        assert_eq!(unreachable(&error, HUB.into(), Unreachable::Host), None);
    }

    #[test]
    fn echo_request_is_answered_with_its_own_content() {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(OURS, HUB, 64)
            .icmpv4_echo_request(5, 6)
            .write(&mut bytes, b"content")
            .unwrap();
        let packet = Ipv4Packet::parse(&bytes).unwrap();
        let (header, content) = echo_request(&packet).unwrap();
        let reply = echo_reply(HUB.into(), OURS.into(), header, content).unwrap();
        let reply = Ipv4Packet::parse(&reply).unwrap();
        let icmp = Icmpv4Slice::from_slice(reply.payload()).unwrap();
        assert_eq!(icmp.icmp_type(), Icmpv4Type::EchoReply(IcmpEchoHeader { id: 5, seq: 6 }));
        assert_eq!(icmp.payload(), b"content");
        assert!(echo_request(&reply).is_none());
    }
}
