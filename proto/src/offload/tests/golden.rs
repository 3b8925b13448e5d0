//! What Linux 6.18 gave and made, in `kernel.json`.
//!
//! Headers and packets were read from a TUN with `IFF_VNET_HDR` whose host sent TCP and UDP with
//! `UDP_SEGMENT`; those with odd names were changed by hand. Each was written to a TUN of another
//! host, which forwarded it to a TUN without offloads: the segments are what was read there.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

const GOLDEN: &str = include_str!("kernel.json");

/// All of it as hex.
#[derive(Deserialize)]
struct Written {
    header: String,
    packet: String,
    segments: Vec<String>,
}

struct Sample {
    name: String,
    header: VnetHeader,
    packet: Vec<u8>,
    segments: Vec<Vec<u8>>,
}

fn hex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn samples() -> Vec<Sample> {
    let written: BTreeMap<String, Written> = serde_json::from_str(GOLDEN).unwrap();
    let samples = written.into_iter().map(|(name, written)| Sample {
        name,
        header: VnetHeader::from_wire(hex(&written.header).try_into().unwrap()),
        packet: hex(&written.packet),
        segments: written.segments.iter().map(|segment| hex(segment)).collect(),
    });
    samples.collect()
}

#[test]
fn packets_are_what_the_kernel_makes_of_them() {
    for Sample { name, header, mut packet, segments } in samples() {
        let offload = Offload::from_tun(header, &packet).unwrap();
        if let Offload::SuperPacket(_) = offload {
            assert_eq!(split(header, &packet), segments, "{name}");
        } else {
            offload.complete_checksum(&mut packet);
            assert_eq!([packet], *segments, "{name}");
        }
    }
}

#[test]
fn header_is_made_as_the_kernel_makes_it() {
    for Sample { name, header, packet, segments } in samples() {
        let offload = Offload::from_tun(header, &packet).unwrap();
        if segments.len() > 1 || header.gso_type == 0 {
            assert_eq!(offload.header(), header, "{name}");
        } else {
            let partial = VnetHeader { gso_type: 0, hdr_len: 0, gso_size: 0, ..header };
            assert_eq!(offload.header(), partial, "{name}");
        }
    }
}

#[test]
fn datagrams_are_put_together_as_the_kernel_had_them() {
    for Sample { name, header, packet, segments } in samples() {
        if header.gso_type != GSO_UDP_L4 || segments.len() == 1 {
            continue;
        }
        let mut gro = UdpGro::new(PacketBuf::default());
        let mut push = |segment: &Vec<u8>| gro.push(segment, Offload::Plain) == Pushed::Merged;
        assert!(segments.iter().all(&mut push), "{name}");
        let (offload, content) = gro.finish().unwrap();
        assert_eq!((offload.header(), content.content()), (header, &*packet), "{name}");
    }
}
