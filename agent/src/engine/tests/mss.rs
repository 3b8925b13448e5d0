//! What TCP announces across tunnels.

use etherparse::{PacketBuilder, TcpHeaderSlice, TcpOptionElement};

use super::net::{Net, OPEN, VERSION_1};
use super::vip;
use crate::engine::EngineConfig;

/// The first packet of a connection from 0 to 1 whose host takes segments of so many bytes.
fn syn(mss: u16) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(vip(0).octets(), vip(1).octets(), 64).tcp(1000, 22, 1, 1000);
    let options = [TcpOptionElement::Noop, TcpOptionElement::MaximumSegmentSize(mss)];
    let mut packet = Vec::new();
    builder.syn().options(&options).unwrap().write(&mut packet, &[]).unwrap();
    packet
}

fn announced(packet: &[u8]) -> u16 {
    let header = TcpHeaderSlice::from_slice(&packet[20..]).unwrap();
    let mut options = header.options_iterator().filter_map(Result::ok);
    let announced = options.find_map(|option| match option {
        TcpOptionElement::MaximumSegmentSize(mss) => Some(mss),
        _ => None,
    });
    announced.unwrap()
}

/// What comes out of a tunnel between `configs` where 1,460 go in, and 536.
fn through(configs: &[EngineConfig]) -> [u16; 2] {
    let mut net = Net::with_configs(1, configs);
    for mss in [1460, 536] {
        net.send(0, &syn(mss));
    }
    net.run_ms(100);
    let arrived: Vec<_> = net.nodes[1].packets.iter().map(|packet| announced(packet)).collect();
    arrived.try_into().unwrap()
}

#[test]
fn both_ends_of_a_tunnel_hold_segments_down_to_their_mtu() {
    for open in [OPEN, VERSION_1] {
        let narrow = EngineConfig { max_segment_len: Some(1380), ..open };
        assert_eq!(through(&[narrow, open]), [1380, 536], "the sender");
        assert_eq!(through(&[open, narrow]), [1380, 536], "the receiver");
        assert_eq!(through(&[open, open]), [1460, 536], "neither");
    }
}
