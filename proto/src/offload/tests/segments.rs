use proptest::prelude::*;

use super::*;

#[test]
fn flags_of_the_ends_stay_at_the_ends() {
    let mut packet = tcp(&[], &payload(1000));
    packet[33] |= 0x80;
    let header = VnetHeader { gso_type: GSO_TCPV4 | 0x80, ..tcp_header(400) };
    let packets = split(header, &packet);
    let flags: Vec<_> = packets.iter().map(|packet| packet[33]).collect();
    assert_eq!(flags, [0x90, 0x10, 0x19]);
    let lens: Vec<_> = packets.iter().map(Vec::len).collect();
    assert_eq!(lens, [440, 440, 240]);
}

#[test]
fn checksum_of_zero_is_sent_as_ones() {
    // Whatever the rest adds up to, its complement as payload gives the sum 0xFFFF.
    let mut packet = udp(&[0, 0, 1, 2]);
    let rest = [packet[26], packet[27]];
    packet[28..30].copy_from_slice(&rest);
    let offload = Offload::PartialChecksum(Transport::Udp);
    offload.complete_checksum(&mut packet);
    assert_eq!(packet[26..28], [0xFF, 0xFF]);
    let twice = udp(&[&packet[28..], &packet[28..]].concat());
    // The length is the same as before in the segments.
    for segment in split(udp_header(4), &twice) {
        assert_eq!(segment[26..28], [0xFF, 0xFF]);
    }
}

#[test]
fn another_packet_than_the_one_that_was_checked_does_no_harm() {
    let packet = tcp(&[], &payload(1000));
    let Ok(Offload::SuperPacket(checked)) = Offload::from_tun(tcp_header(400), &packet) else {
        panic!("a super-packet")
    };
    let mut buffer = PacketBuf::default();
    for other in [&b""[..], b"short", &[0; 40], &[0xFF; 70_000], &packet[..100]] {
        let mut segments = Segments::new(checked, other);
        while segments.next_into(&mut buffer) {}
        Offload::PartialChecksum(Transport::Tcp).complete_checksum(&mut other.to_vec());
    }
}

/// What the longest IPv4 packet has room for behind headers without options.
const MAX_TCP_LEN: usize = 65_535 - 20 - 20;

proptest! {
    #[test]
    fn tcp_is_split_as_the_textbook_does(
        options in 0usize..=10,
        len in 2usize..=MAX_TCP_LEN,
        gso_size in 8u16..1500,
        (flags, id, sequence) in any::<(u8, u16, u32)>(),
    ) {
        prop_assume!(len > gso_size.into() && len + options * 4 <= MAX_TCP_LEN);
        let mut packet = tcp(&vec![1; options * 4], &payload(len));
        packet[4..6].copy_from_slice(&id.to_be_bytes());
        packet[24..28].copy_from_slice(&sequence.to_be_bytes());
        packet[33] = flags;
        fix_ipv4(&mut packet);
        prop_assert_eq!(split(tcp_header(gso_size), &packet), reference::split_tcp(&packet, gso_size.into()));
    }

    #[test]
    fn udp_is_split_as_the_textbook_does(len in 2usize..65_508, gso_size in 8u16..1500, id in any::<u16>()) {
        prop_assume!(len > gso_size.into());
        let mut packet = udp(&payload(len));
        packet[4..6].copy_from_slice(&id.to_be_bytes());
        fix_ipv4(&mut packet);
        prop_assert_eq!(split(udp_header(gso_size), &packet), reference::split_udp(&packet, gso_size.into()));
    }

    #[test]
    fn completed_checksum_is_that_of_the_textbook(content in prop::collection::vec(any::<u8>(), 0..2000), seed in any::<[u8; 2]>()) {
        for (transport, at, whole) in [
            (Transport::Tcp, 36, tcp(&[1; 12], &content)),
            (Transport::Udp, 26, udp(&content)),
        ] {
            let mut packet = whole.clone();
            packet[at..at + 2].copy_from_slice(&seed);
            let header = Offload::PartialChecksum(transport).header();
            Offload::from_tun(header, &packet).unwrap().complete_checksum(&mut packet);
            prop_assert_eq!(packet, whole);
        }
    }
}
