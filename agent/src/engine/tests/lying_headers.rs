//! A peer that is who it is, and lies about its super-packets.

use dosp_proto::frame::{DEFAULT_MAX_BODY_LEN, FrameDecoder};
use dosp_proto::offload::{Offload, Offloads, VNET_HEADER_LEN, VnetHeader};
use dosp_proto::packet::Ipv4Packet;
use dosp_proto::tunnel::v2::Kind;
use dosp_proto::vip::Vip;
use rand::RngExt;

use super::net::Net;
use super::{network, seal, tcp_super_packet, udp_super_packet, vip, with_header_checksum};
use crate::engine::{DropReason, Inbound, TunnelState};

/// Where fields of the packet are, behind the header.
const PROTOCOL_AT: usize = 9;
const FRAGMENT_AT: usize = 6;
const TRANSPORT_AT: usize = 20;

/// A good header with its packet, of which lies are made.
type Truth = (VnetHeader, Vec<u8>);

#[test]
fn five_hundred_lies_about_super_packets_are_counted_and_reach_nobody() {
    let mut net = connected();
    let mut lies = lies_of_headers(&truths());
    lies.extend(lies_of_packets(&truths()));
    lies.sort();
    lies.dedup();
    assert!(lies.len() >= 500, "{}", lies.len());
    for lie in &lies {
        let before = num_drops(&net);
        assert_eq!(tell(&mut net, lie), None, "{:?}", &lie[..lie.len().min(60)]);
        assert_eq!(num_drops(&net), before + 1);
    }
    let [offload, inner] = [DropReason::Offload, DropReason::InnerPacket];
    let by_reason = net.drops(1, offload) + net.drops(1, inner);
    assert_eq!(by_reason, lies.len() as u64, "{:?}", net.nodes[1].engine.drops());
    assert!(net.drops(1, offload) >= 500, "it is not the packets alone that are wrong");
    assert_works(&mut net);
}

#[test]
fn super_packet_of_a_kind_that_was_not_announced_is_refused() {
    let mut net = connected_taking(Offloads { tcp: true, udp: false });
    let [tcp, udp] = truths().try_into().unwrap();
    let contents = [tcp, udp].map(|(header, packet)| [&header.to_wire()[..], &packet].concat());
    assert!(tell(&mut net, &contents[0]).is_some());
    assert_eq!((tell(&mut net, &contents[1]), net.drops(1, DropReason::Offload)), (None, 1));
    assert!(tell(&mut net, &contents[0]).is_some(), "the tunnel is as it was");
}

#[test]
fn whatever_is_taken_of_a_liar_fits_its_packet() {
    let mut net = connected();
    let (mut num_taken, mut num_refused) = (0, 0);
    for round in 0..4_000 {
        let (header, packet) = truths().swap_remove(round % 2);
        let mut content = [&header.to_wire()[..], &packet].concat();
        for _ in 0..net.rng.random_range(1..4) {
            let at = net.rng.random_range(0..VNET_HEADER_LEN + 44);
            content[at] ^= net.rng.random::<u8>();
        }
        let packet = with_header_checksum(content.split_off(VNET_HEADER_LEN));
        content.extend(packet);
        let before = num_drops(&net);
        let Some((offload, packet)) = tell(&mut net, &content) else {
            num_refused += 1;
            assert_eq!(num_drops(&net), before + 1);
            continue;
        };
        num_taken += 1;
        // The header that the kernel gets is made anew, and says nothing that was not checked.
        assert_eq!(Offload::from_peer(offload.header(), &packet), Ok(offload));
        let packet = Ipv4Packet::parse(&packet).unwrap();
        assert_eq!((packet.src(), packet.dst()), (vip(0), vip(1)));
    }
    assert!(num_taken > 100 && num_refused > 1_000, "{num_taken} taken, {num_refused} not");
    assert_works(&mut net);
}

/// Two agents with a tunnel; node 1 takes super-packets.
fn connected() -> Net {
    connected_taking(Offloads::ALL)
}

fn connected_taking(super_packets: Offloads) -> Net {
    let mut net = Net::new(2);
    net.nodes[1].super_packets = super_packets;
    net.restart_as(1);
    net.open(0, 1);
    net
}

fn truths() -> Vec<Truth> {
    vec![
        tcp_super_packet(vip(0), vip(1), &[7; 3000], 1000),
        udp_super_packet(vip(0), vip(1), &[7; 3000], 1000),
    ]
}

fn lies_of_headers(truths: &[Truth]) -> Vec<Vec<u8>> {
    let mut lies = Vec::new();
    for (truth, packet) in truths {
        let bytes = (0..=u8::MAX).filter(|byte| *byte != 1);
        let flags = bytes.map(|flags| VnetHeader { flags, ..*truth });
        let is_known =
            |gso_type: &u8| [0, truth.gso_type, truth.gso_type | 0x80].contains(gso_type);
        let gso_types = (0..=u8::MAX).filter(|gso_type| !is_known(gso_type));
        let gso_types = gso_types.map(|gso_type| VnetHeader { gso_type, ..*truth });
        let starts = (0..=80).chain([u16::MAX]).filter(|start| *start != 20);
        let starts = starts.map(|csum_start| VnetHeader { csum_start, ..*truth });
        let offsets = (0..=40).chain([u16::MAX]).filter(|offset| *offset != truth.csum_offset);
        let offsets = offsets.map(|csum_offset| VnetHeader { csum_offset, ..*truth });
        let gso_sizes = (0..21).map(|gso_size| VnetHeader { gso_size, ..*truth });
        let headers = flags.chain(gso_types).chain(starts).chain(offsets).chain(gso_sizes);
        lies.extend(headers.map(|header| [&header.to_wire()[..], packet].concat()));
    }
    lies
}

fn lies_of_packets(truths: &[Truth]) -> Vec<Vec<u8>> {
    let mut lies = Vec::new();
    for (header, packet) in truths {
        let whole = [&header.to_wire()[..], packet].concat();
        let cuts = (0..60).chain((60..whole.len()).step_by(97));
        lies.extend(cuts.map(|len| whole[..len].to_vec()));
        let of =
            |changed: Vec<u8>| [&header.to_wire()[..], &with_header_checksum(changed)].concat();
        let changed = |at: usize, value: &[u8]| {
            let mut changed = packet.clone();
            changed[at..at + value.len()].copy_from_slice(value);
            of(changed)
        };
        let protocols = (0..=u8::MAX).filter(|protocol| *protocol != packet[PROTOCOL_AT]);
        lies.extend(protocols.map(|protocol| changed(PROTOCOL_AT, &[protocol])));
        lies.extend([[0x20, 0], [0, 1], [0x3F, 0xFF]].map(|it| changed(FRAGMENT_AT, &it)));
        let others =
            [vip(1), vip(2), network().hub(), network().broadcast(), [127, 0, 0, 1].into()];
        lies.extend(others.map(|src| changed(12, &src.octets())));
        let others =
            [vip(0), vip(2), network().hub(), [224, 0, 0, 1].into(), [127, 0, 0, 1].into()];
        lies.extend(others.map(|dst| changed(16, &dst.octets())));
        // Too short a TCP header, or a length of UDP that is not the packet's.
        if packet[PROTOCOL_AT] == 6 {
            lies.extend((0..5).map(|words| changed(TRANSPORT_AT + 12, &[words << 4])));
        } else {
            lies.extend((0..8).map(|len| changed(TRANSPORT_AT + 4, &[0, len])));
        }
    }
    lies
}

/// What node 1 makes of a super-packet of node 0.
fn tell(net: &mut Net, content: &[u8]) -> Option<(Offload, Vec<u8>)> {
    let frame = seal(net, 0, 1, Kind::SuperPacket, content);
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_BODY_LEN);
    decoder.extend(&frame);
    let (frame, now) = (decoder.next_frame().unwrap().unwrap(), net.now(1));
    match net.nodes[1].engine.handle_frame(frame, now, &mut net.rng) {
        Inbound::Nothing => None,
        Inbound::Packet(offload, packet) => Some((offload, packet.to_vec())),
        other => panic!("{other:?}"),
    }
}

fn num_drops(net: &Net) -> u64 {
    net.nodes[1].engine.drops().iter().map(|(_, count)| count).sum()
}

/// The tunnel is the same as before, and carries what is true.
fn assert_works(net: &mut Net) {
    assert_eq!(net.peer(1, 0).tunnel, TunnelState::Open);
    for (header, packet) in truths() {
        let (offload, taken) =
            tell(net, &[&header.to_wire()[..], &packet].concat()).expect("a good super-packet");
        assert_eq!((offload.header(), taken), (header, packet));
    }
    let back: Vec<u8> = net.packet(1, 0, b"still there");
    net.send(1, &back);
    net.run_ms(100);
    let from: Vip = Ipv4Packet::parse(&net.nodes[0].packets[0]).unwrap().src();
    assert_eq!((from, &net.nodes[0].packets), (vip(1), &vec![back]));
}
