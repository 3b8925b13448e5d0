use proptest::prelude::*;

use super::*;

#[test]
fn what_a_host_sends_is_known() {
    let packet = tcp(&[1; 12], &payload(3000));
    let plain = Offload::from_tun(VnetHeader::default(), &packet).unwrap();
    assert_eq!((plain, plain.header()), (Offload::Plain, VnetHeader::default()));
    // Its checksum was seen to be right.
    let seen = VnetHeader { flags: 2, ..VnetHeader::default() };
    assert_eq!(Offload::from_tun(seen, &packet), Ok(Offload::Plain));
    let partial = VnetHeader { gso_type: 0, gso_size: 0, hdr_len: 0, ..tcp_header(0) };
    let offload = Offload::from_tun(partial, &packet).unwrap();
    assert_eq!(offload, Offload::PartialChecksum(Transport::Tcp));
    assert_eq!(offload.header(), partial);
    // The length of headers that a kernel tells may be that of all it has at hand.
    let forwarded = VnetHeader { hdr_len: 1000, ..tcp_header(1000) };
    let offload = Offload::from_tun(forwarded, &packet).unwrap();
    let Offload::SuperPacket(super_packet) = offload else { panic!("a super-packet") };
    assert_eq!((super_packet.num_segments(), super_packet.segment_len()), (3, 1052));
    assert_eq!(offload.header(), VnetHeader { hdr_len: 52, ..forwarded });
}

#[test]
fn one_segment_is_a_packet() {
    let packet = udp(&payload(1000));
    let one = Offload::PartialChecksum(Transport::Udp);
    assert_eq!(Offload::from_tun(udp_header(1000), &packet), Ok(one));
    assert_eq!(Offload::from_peer(udp_header(u16::MAX), &packet), Ok(one));
    assert_eq!(
        Offload::from_peer(tcp_header(1), &tcp(&[], b"")),
        Ok(Offload::PartialChecksum(Transport::Tcp))
    );
}

#[test]
fn small_segments_do_not_cross() {
    let all = Offloads { tcp: true, udp: true };
    let (tcp, udp) = (tcp(&[], &payload(3000)), udp(&payload(50_000)));
    let may_cross = |header, packet: &[u8], offloads| {
        Offload::from_tun(header, packet).unwrap().may_cross(offloads)
    };
    assert!(may_cross(tcp_header(256), &tcp, all));
    assert!(!may_cross(tcp_header(255), &tcp, all));
    assert!(!may_cross(tcp_header(256), &tcp, Offloads { tcp: false, ..all }));
    assert!(may_cross(udp_header(391), &udp, all));
    assert!(!may_cross(udp_header(390), &udp, all), "129 segments");
    assert!(!may_cross(udp_header(391), &udp, Offloads { udp: false, ..all }));
    assert!(may_cross(tcp_header(3000), &tcp, all));
    assert!(!may_cross(tcp_header(3000), &tcp, Offloads::NONE));
    assert!(!may_cross(VnetHeader::default(), &tcp, all));
}

#[test]
fn every_defect_has_its_error() {
    use OffloadError as E;
    let (t, u) = (tcp(&[], &payload(3000)), udp(&payload(3000)));
    let (th, uh) = (tcp_header(1000), udp_header(1000));
    let changed = |packet: &[u8], at: usize, value: u8| {
        let mut packet = packet.to_vec();
        packet[at] = value;
        fix_ipv4(&mut packet);
        packet
    };
    let icmp = changed(&u, 9, 1);
    let many = udp(&payload(50_000));
    for (header, packet, error) in [
        (th, &t[..39], E::Packet(crate::packet::PacketError::TotalLength)),
        (VnetHeader { flags: 3, ..th }, &t, E::Flags),
        (VnetHeader { gso_type: 3, ..uh }, &u, E::GsoType),
        (VnetHeader { gso_type: 4, ..th }, &t, E::GsoType),
        (VnetHeader { gso_type: 9, ..th }, &t, E::GsoType),
        (VnetHeader { gso_type: 0x85, ..uh }, &u, E::Ecn),
        (VnetHeader { gso_type: 0x80, ..uh }, &u, E::Ecn),
        (VnetHeader { flags: 0, ..th }, &t, E::CompleteChecksum),
        (VnetHeader { gso_type: 5, ..th }, &t, E::Protocol),
        (VnetHeader { gso_type: 1, ..uh }, &u, E::Protocol),
        (VnetHeader { gso_type: 0, ..uh }, &icmp, E::Protocol),
        (th, &changed(&t, 6, 0x20), E::Fragment),
        (th, &changed(&t, 7, 1), E::Fragment),
        (VnetHeader { csum_start: 21, ..th }, &t, E::ChecksumPlace),
        (VnetHeader { csum_offset: 6, ..th }, &t, E::ChecksumPlace),
        (th, &changed(&t, 32, 0x40), E::TransportHeader),
        (uh, &changed(&u, 25, 0), E::TransportHeader),
        (tcp_header(0), &t, E::NoGsoSize),
        (tcp_header(255), &t, E::ShortSegments),
        (udp_header(390), &many, E::TooManySegments),
    ] {
        assert_eq!(Offload::from_peer(header, packet), Err(error), "{header:?}");
    }
    assert_eq!(
        Offload::from_tun(tcp_header(7), &tcp(&[], &payload(65_000))),
        Err(E::TooManySegments)
    );
    assert!(Offload::from_peer(tcp_header(1380), &t).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A valid header and packet with up to three bytes changed: refused, or what is passed to the
    /// kernel is valid, and says no more than it says of itself.
    #[test]
    fn what_is_taken_of_a_hostile_header_is_sound(
        (is_udp, len, gso_size) in (any::<bool>(), 0usize..4000, prop_oneof![0u16..2000, any::<u16>()]),
        changes in prop::collection::vec((0usize..50, any::<u8>()), 0..4),
    ) {
        let (header, packet) = if is_udp {
            (udp_header(gso_size), udp(&payload(len)))
        } else {
            (tcp_header(gso_size), tcp(&[1; 12], &payload(len)))
        };
        let mut bytes = [&header.to_wire()[..], &packet].concat();
        let end = bytes.len();
        for (at, value) in changes {
            bytes[at % end] ^= value;
        }
        let (header, packet) = bytes.split_first_chunk_mut().unwrap();
        if packet.len() >= 20 {
            fix_ipv4(packet);
        }
        let header = VnetHeader::from_wire(*header);
        let Ok(offload) = Offload::from_peer(header, packet) else { return Ok(()) };
        let rebuilt = offload.header();
        prop_assert_eq!(Offload::from_peer(rebuilt, packet), Ok(offload));
        prop_assert_eq!(rebuilt.flags, header.flags);
        match offload {
            Offload::Plain => prop_assert_eq!(rebuilt, VnetHeader::default()),
            Offload::PartialChecksum(transport) => {
                prop_assert_eq!(packet[9], transport.protocol());
                prop_assert_eq!((rebuilt.gso_type, rebuilt.csum_start), (0, 20));
            }
            Offload::SuperPacket(super_packet) => {
                let packets = split(rebuilt, packet);
                prop_assert!(packets.len() >= 2 && packets.len() <= 256);
                prop_assert_eq!(super_packet.transport().protocol(), packet[9]);
                for packet in packets {
                    prop_assert!(packet.len() <= super_packet.segment_len());
                    crate::packet::Ipv4Packet::parse(&packet).unwrap();
                }
            }
        }
    }
}
