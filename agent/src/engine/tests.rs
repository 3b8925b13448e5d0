//! The engine in virtual time: [`net::Net`] joins engines through [`hub::Hub`], which may lie.

mod bounds;
mod conservation;
mod federation;
mod hub;
mod inbound;
mod links;
mod lying_headers;
mod members;
mod messages;
mod mss;
mod net;
mod outbound;
mod published;
mod random;
mod reach;
mod requests;
mod trust;
mod tunnels;

use dosp_proto::buffer::PacketBuf;
use dosp_proto::frame::{self, FrameType};
use dosp_proto::offload::VnetHeader;
use dosp_proto::packet::Ipv4Packet;
use dosp_proto::tunnel::v2::Kind;
use dosp_proto::vip::{Network, Vip};
use etherparse::PacketBuilder;

/// In every payload that travels sealed: the hub must never see it.
const MARKER: &[u8] = b"in the clear";

fn network() -> Network {
    "10.7.0.0/16".parse().unwrap()
}

/// The vIP of the client with this number; the first is 0.
fn vip(number: u32) -> Vip {
    Vip::from(u32::from(network().hub()) + 1 + number)
}

fn udp(src: Vip, dst: Vip, content: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(src.octets(), dst.octets(), 64).udp(1000, 2000);
    builder.write(&mut packet, &[MARKER, content].concat()).unwrap();
    packet
}

/// A packet of TCP that is to become segments with `gso_size` bytes of payload, as a host gives it.
fn tcp_super_packet(src: Vip, dst: Vip, payload: &[u8], gso_size: u16) -> (VnetHeader, Vec<u8>) {
    let builder = PacketBuilder::ipv4(src.octets(), dst.octets(), 64).tcp(1000, 2000, 1, 1000);
    let mut packet = Vec::new();
    builder.write(&mut packet, payload).unwrap();
    let (flags, gso_type, hdr_len) = (1, 1, 40);
    (VnetHeader { flags, gso_type, hdr_len, gso_size, csum_start: 20, csum_offset: 16 }, packet)
}

/// The same of UDP.
fn udp_super_packet(src: Vip, dst: Vip, payload: &[u8], gso_size: u16) -> (VnetHeader, Vec<u8>) {
    let builder = PacketBuilder::ipv4(src.octets(), dst.octets(), 64).udp(1000, 2000);
    let mut packet = Vec::new();
    builder.write(&mut packet, payload).unwrap();
    let (flags, gso_type, hdr_len) = (1, 5, 28);
    (VnetHeader { flags, gso_type, hdr_len, gso_size, csum_start: 20, csum_offset: 6 }, packet)
}

fn echo_request(src: Vip, dst: Vip, (id, seq): (u16, u16), content: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(src.octets(), dst.octets(), 64).icmpv4_echo_request(id, seq);
    builder.write(&mut packet, content).unwrap();
    packet
}

/// Type and code of an ICMP packet.
fn icmp_kind(packet: &[u8]) -> (u8, u8) {
    let packet = Ipv4Packet::parse(packet).unwrap();
    assert_eq!(packet.protocol(), 1);
    (packet.payload()[0], packet.payload()[1])
}

/// The packet with a right checksum over its header, as somebody who means harm would send it.
fn with_header_checksum(mut packet: Vec<u8>) -> Vec<u8> {
    let header_len = usize::from(packet[0] & 0xF) * 4;
    packet[10..12].fill(0);
    let words = packet[..header_len].chunks(2);
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    let checksum = !u16::try_from((folded & 0xFFFF) + (folded >> 16)).unwrap();
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// The packet with an option (four times "no operation") in its header.
fn with_options(mut packet: Vec<u8>) -> Vec<u8> {
    packet.splice(20..20, [1; 4]);
    packet[0] = 0x46;
    let len = u16::try_from(packet.len()).unwrap();
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    with_header_checksum(packet)
}

/// A frame of node `i` for node `j` of any content, as somebody who means harm would send it.
fn seal(net: &mut net::Net, i: usize, j: usize, kind: Kind, content: &[u8]) -> Vec<u8> {
    let ends = (net.nodes[j].vip, net.nodes[i].vip);
    let mut buffer = PacketBuf::from(content);
    let peer = net.nodes[i].engine.peers.get_mut(&ends.0).unwrap();
    assert!(peer.seal(kind, None, &mut buffer, ends, net.instant));
    buffer.content().to_vec()
}

fn s2c(dst: Vip, src: Vip, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode_s2c(&mut out, dst, src, data);
    out
}

fn plain_frame(frame_type: FrameType, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(&mut out, frame_type, body);
    out
}
