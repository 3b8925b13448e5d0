use proptest::prelude::*;

use super::*;

/// Packets of one flow, with these payloads and identifications.
fn flow(lens: &[usize], id: u16, is_df: bool) -> Vec<Vec<u8>> {
    let packets = lens.iter().zip(0..).map(|(len, index)| {
        let mut packet = udp(&payload(*len));
        packet[4..6].copy_from_slice(&id.wrapping_add(index).to_be_bytes());
        packet[6] = if is_df { 0x40 } else { 0 };
        fix_ipv4(&mut packet);
        packet
    });
    packets.collect()
}

/// What is taken of these packets, as it would be written: a header and a packet each.
fn coalesce(packets: &[Vec<u8>]) -> Vec<(VnetHeader, Vec<u8>)> {
    let (mut gro, mut written) = (UdpGro::new(PacketBuf::default()), Vec::new());
    let finish = |gro: UdpGro| {
        let finished = gro.finish().ok();
        finished.map(|(offload, packet)| (offload.header(), packet.content().to_vec()))
    };
    for packet in packets {
        if gro.push(packet, Offload::Plain) == Pushed::Merged {
            continue;
        }
        written.extend(finish(std::mem::replace(&mut gro, UdpGro::new(PacketBuf::default()))));
        if gro.push(packet, Offload::Plain) == Pushed::Flush {
            written.push((VnetHeader::default(), packet.clone()));
        }
    }
    written.extend(finish(gro));
    written
}

fn num_written(packets: &[Vec<u8>]) -> usize {
    coalesce(packets).len()
}

#[test]
fn packets_become_what_the_kernel_takes() {
    let packets = flow(&[300, 300, 300, 20], 9, false);
    let [(header, packet)] = &coalesce(&packets)[..] else { panic!("one super-packet") };
    assert_eq!(*header, udp_header(300));
    assert_eq!(packet.len(), 28 + 920);
    // Addresses, protocol and length: 0x0A07 + 2 + 0x0A07 + 3 + 17 + 928.
    assert_eq!(u16::from_be_bytes([packet[26], packet[27]]), 0x17C4);
    let offload = Offload::from_peer(*header, packet).unwrap();
    assert_eq!(offload.header(), *header);
    assert_eq!(split(*header, packet), packets);
}

#[test]
fn packet_that_is_alone_is_as_it_came() {
    let packets = flow(&[300], 9, false);
    assert_eq!(coalesce(&packets), [(VnetHeader::default(), packets[0].clone())]);
}

#[test]
fn only_what_goes_on_is_merged() {
    assert_eq!(num_written(&flow(&[300, 300], 0xFFFF, false)), 1);
    assert_eq!(num_written(&flow(&[300, 301], 9, false)), 2);
    assert_eq!(num_written(&flow(&[300, 20, 20], 9, false)), 2);
    assert_eq!(num_written(&flow(&[0, 0], 9, false)), 2);
    assert_eq!(num_written(&flow(&[1; 65], 9, false)), 2);
    assert_eq!(num_written(&flow(&[1400; 47], 9, false)), 2);
    assert_eq!(num_written(&flow(&[1400; 46], 9, false)), 1);
    // TOS, TTL, addresses, ports, flags, a piece, another protocol, a gap in the identifications.
    for (at, bits) in
        [(1, 2), (8, 1), (15, 1), (19, 1), (21, 1), (23, 1), (6, 0x40), (7, 1), (5, 9)]
    {
        let mut packets = flow(&[300, 300], 8, false);
        packets[1][at] ^= bits;
        fix_ipv4(&mut packets[1]);
        Offload::PartialChecksum(Transport::Udp).complete_checksum(&mut packets[1]);
        assert_eq!(num_written(&packets), 2, "{at}");
    }
    let mut packets = flow(&[300, 300], 8, true);
    packets[1][5] ^= 9;
    fix_ipv4(&mut packets[1]);
    assert_eq!(num_written(&packets), 1);
}

#[test]
fn checksum_must_be_there_and_right() {
    for at in [0, 1] {
        let mut packets = flow(&[300, 300], 8, true);
        packets[at][100] ^= 1;
        assert_eq!(num_written(&packets), 2);
        assert_eq!(coalesce(&packets)[at].1, packets[at]);
        packets[at][100] ^= 1;
        packets[at][26..28].fill(0);
        assert_eq!(num_written(&packets), 2);
    }
}

#[test]
fn checksum_that_is_still_to_be_made_need_not_be_right() {
    let packets = flow(&[300, 300, 20], 8, true);
    let whole = coalesce(&packets);
    let mut gro = UdpGro::new(PacketBuf::default());
    for mut packet in packets.clone() {
        packet[26..28].copy_from_slice(&[1, 2]);
        let offload = Offload::PartialChecksum(Transport::Udp);
        assert_eq!(gro.push(&packet, offload), Pushed::Merged);
    }
    let (offload, packet) = gro.finish().unwrap();
    assert_eq!([(offload.header(), packet.content().to_vec())], *whole);

    let mut gro = UdpGro::new(PacketBuf::default());
    let alone = Offload::PartialChecksum(Transport::Udp);
    assert_eq!(gro.push(&packets[0], alone), Pushed::Merged);
    let (offload, packet) = gro.finish().unwrap();
    assert_eq!((offload, packet.content()), (alone, &*packets[0]));
}

proptest! {
    #[test]
    fn what_was_put_together_is_split_to_the_same(
        lens in prop::collection::vec(prop_oneof![Just(100usize), Just(64), 0usize..1472], 1..150),
        (id, is_df) in any::<(u16, bool)>(),
    ) {
        let packets = flow(&lens, id, is_df);
        let mut split_again = Vec::new();
        for (header, packet) in coalesce(&packets) {
            match header {
                header if header == VnetHeader::default() => split_again.push(packet),
                header => split_again.extend(split(header, &packet)),
            }
        }
        prop_assert_eq!(split_again, packets);
    }
}
