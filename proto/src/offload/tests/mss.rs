use proptest::prelude::*;

use super::*;

const MSS_1460: [u8; 4] = [2, 4, 0x05, 0xB4];

/// A SYN with these options and a right checksum.
fn syn(options: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4([10, 7, 0, 2], [10, 7, 0, 3], 64);
    let builder = builder.tcp(4000, 80, 5, 1024).syn();
    builder.options_raw(options).unwrap().write(&mut packet, &[]).unwrap();
    packet
}

fn is_checksum_right(packet: &[u8]) -> bool {
    let mut completed = packet.to_vec();
    completed[36..38].fill(0);
    Transport::Tcp.write_checksum(&mut completed);
    completed == packet
}

fn clamped(packet: &[u8], max_len: u16) -> Vec<u8> {
    let mut packet = packet.to_vec();
    Offload::Plain.clamp_mss(&mut packet, max_len);
    packet
}

#[test]
fn what_is_more_becomes_the_limit_wherever_the_option_is() {
    for nops in 0..5 {
        let before = vec![1; nops];
        let packet = clamped(&syn(&[&before[..], &MSS_1460].concat()), 1380);
        let mut wanted = syn(&[&before[..], &[2, 4, 0x05, 0x64]].concat());
        assert_eq!(packet, wanted, "{nops}");
        assert!(is_checksum_right(&packet), "{nops}");
        // What is wrong stays wrong.
        wanted[36] ^= 0x40;
        let mut wrong = syn(&[&before[..], &MSS_1460].concat());
        wrong[36] ^= 0x40;
        assert!(!is_checksum_right(&clamped(&wrong, 1380)), "{nops}");
    }
}

#[test]
fn partial_checksum_knows_nothing_of_options() {
    let mut packet = syn(&MSS_1460);
    let checksum = [packet[36], packet[37]];
    Offload::PartialChecksum(Transport::Tcp).clamp_mss(&mut packet, 1380);
    assert_eq!(packet[40..44], [2, 4, 0x05, 0x64]);
    assert_eq!(packet[36..38], checksum);
}

#[test]
fn all_else_stays_as_it_is() {
    let (mut fragment, mut later) = (syn(&MSS_1460), syn(&MSS_1460));
    fragment[6] = 0x20;
    later[7] = 1;
    let mut no_syn = syn(&MSS_1460);
    no_syn[33] = 0x10;
    let mut cut = syn(&MSS_1460);
    cut.truncate(43);
    let udp = udp(&payload(64));
    for packet in [
        fragment,
        later,
        no_syn,
        cut,
        udp,
        vec![],
        syn(&[2, 4, 0x05, 0x64]),
        syn(&[]),
        syn(&[0, 2, 4, 0x05, 0xB4]),
        syn(&[5, 0, 2, 4, 0x05, 0xB4]),
        syn(&[2, 3, 0x05, 0xB4]),
    ] {
        assert_eq!(clamped(&packet, 1380), packet);
    }
}

proptest! {
    #[test]
    fn nothing_breaks_and_a_right_checksum_stays_right(
        options in prop::collection::vec(any::<u8>(), 0..=40),
        max_len in any::<u16>(),
    ) {
        let packet = syn(&options);
        let after = clamped(&packet, max_len);
        prop_assert_eq!(&after[..36], &packet[..36]);
        prop_assert!(is_checksum_right(&after));
        prop_assert_eq!(&clamped(&after, max_len), &after);
    }

    #[test]
    fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Some(protocol) = bytes.get_mut(9) {
            *protocol = 6;
        }
        Offload::Plain.clamp_mss(&mut bytes, 1380);
    }
}
