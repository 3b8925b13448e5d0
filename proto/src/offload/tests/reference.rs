//! The splitter as a textbook has it: etherparse takes the packet apart, and makes each segment.

use etherparse::{Ipv4Header, TcpHeader, UdpHeader};

fn with_ipv4(mut ip: Ipv4Header, index: u16, content: &[u8], headers: &[u8]) -> Vec<u8> {
    ip.identification = ip.identification.wrapping_add(index);
    ip.set_payload_len(headers.len() + content.len()).unwrap();
    ip.header_checksum = ip.calc_header_checksum();
    [&ip.to_bytes()[..], headers, content].concat()
}

pub(super) fn split_tcp(packet: &[u8], gso_size: usize) -> Vec<Vec<u8>> {
    let (ip, rest) = Ipv4Header::from_slice(packet).unwrap();
    let (tcp, content) = TcpHeader::from_slice(rest).unwrap();
    let num = content.len().div_ceil(gso_size);
    let mut packets = Vec::new();
    for (index, content) in content.chunks(gso_size).enumerate() {
        let mut tcp = tcp.clone();
        tcp.sequence_number =
            tcp.sequence_number.wrapping_add(u32::try_from(index * gso_size).unwrap());
        tcp.cwr &= index == 0;
        tcp.fin &= index == num - 1;
        tcp.psh &= index == num - 1;
        tcp.checksum = tcp.calc_checksum_ipv4(&ip, content).unwrap();
        packets.push(with_ipv4(
            ip.clone(),
            u16::try_from(index).unwrap(),
            content,
            &tcp.to_bytes(),
        ));
    }
    packets
}

pub(super) fn split_udp(packet: &[u8], gso_size: usize) -> Vec<Vec<u8>> {
    let (ip, rest) = Ipv4Header::from_slice(packet).unwrap();
    let (udp, content) = UdpHeader::from_slice(rest).unwrap();
    let mut packets = Vec::new();
    for (index, content) in content.chunks(gso_size).enumerate() {
        let (from, to) = (udp.source_port, udp.destination_port);
        let udp = UdpHeader::with_ipv4_checksum(from, to, &ip, content).unwrap();
        packets.push(with_ipv4(
            ip.clone(),
            u16::try_from(index).unwrap(),
            content,
            &udp.to_bytes(),
        ));
    }
    packets
}
