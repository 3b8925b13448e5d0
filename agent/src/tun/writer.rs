//! How packets get to the host, and what is done where its kernel does not take one as it is.

use dosp_proto::buffer::PacketBuf;
use dosp_proto::offload::{Offload, Segments, SuperPacket, VnetHeader};
use nix::errno::Errno;

use super::TunDevice;

/// Writes to a device, and remembers whether its kernel refuses super-packets.
///
/// Linux 6.6.44, 6.10.3 and others of that time refuse good ones (torvalds/linux e269d79c7d35, mended
/// in 89add40066f9). What is refused once is cut here from then on.
#[derive(Debug, Default)]
pub struct TunWriter {
    splits: bool,
    segment: PacketBuf,
}

impl TunWriter {
    /// Gives a packet to the host; returns how many packets it did not take.
    pub fn write<T: TunDevice>(&mut self, tun: &T, offload: Offload, packet: &mut [u8]) -> usize {
        let Offload::SuperPacket(super_packet) = offload else {
            return send(tun, offload.header(), packet);
        };
        // What a peer's host sends singly in that length gets in, too.
        if self.splits || super_packet.segment_len() > tun.mtu().into() {
            return self.write_segments(tun, super_packet, packet);
        }
        match tun.try_send(offload.header(), packet) {
            Ok(()) => 0,
            Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => {
                tracing::warn!("the kernel refuses super-packets; they are cut here from now on");
                self.splits = true;
                self.write_segments(tun, super_packet, packet)
            }
            Err(error) => refused(&error),
        }
    }

    /// Gives a packet to the host that nothing is left to be done to; returns 1 where it is not taken.
    pub fn write_plain<T: TunDevice>(&self, tun: &T, packet: &[u8]) -> usize {
        send(tun, VnetHeader::default(), packet)
    }

    /// Whether super-packets are cut before they are written.
    #[must_use]
    pub const fn splits(&self) -> bool {
        self.splits
    }

    fn write_segments<T: TunDevice>(
        &mut self,
        tun: &T,
        super_packet: SuperPacket,
        packet: &[u8],
    ) -> usize {
        let mut segments = Segments::new(super_packet, packet);
        let mut num_refused = 0;
        while segments.next_into(&mut self.segment) {
            num_refused += send(tun, VnetHeader::default(), self.segment.content());
        }
        num_refused
    }
}

fn send<T: TunDevice>(tun: &T, header: VnetHeader, packet: &[u8]) -> usize {
    match tun.try_send(header, packet) {
        Ok(()) => 0,
        Err(error) => refused(&error),
    }
}

fn refused(error: &std::io::Error) -> usize {
    tracing::trace!(%error, "the TUN did not take a packet");
    1
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;
    use crate::tun::channel::{CAPACITY, ChannelTunPeer, channel};

    /// A header and a packet that becomes three.
    fn super_packet() -> (Offload, Vec<u8>) {
        let mut packet = Vec::new();
        let builder = PacketBuilder::ipv4([7, 10, 0, 2], [7, 10, 0, 3], 64).tcp(1, 2, 3, 4);
        builder.write(&mut packet, &[7; 3000]).unwrap();
        let (flags, gso_type, hdr_len, gso_size) = (1, 1, 40, 1000);
        let header =
            VnetHeader { flags, gso_type, hdr_len, gso_size, csum_start: 20, csum_offset: 16 };
        (Offload::from_peer(header, &packet).unwrap(), packet)
    }

    fn received(host: &ChannelTunPeer) -> Vec<usize> {
        std::iter::from_fn(|| host.try_recv()).map(|packet| packet.len()).collect()
    }

    #[test]
    fn super_packet_that_is_refused_arrives_cut_and_so_do_all_others() {
        let (tun, host) = channel();
        let tun = tun.refusing_super_packets();
        let mut writer = TunWriter::default();
        let (offload, mut packet) = super_packet();
        for _ in 0..3 {
            assert_eq!(writer.write(&tun, offload, &mut packet), 0);
            assert!(writer.splits());
            assert_eq!(received(&host), [1040; 3]);
        }
        assert_eq!(writer.write(&tun, Offload::Plain, &mut packet), 0);
        assert_eq!(received(&host), [3040], "what asks for nothing is not cut");
    }

    #[test]
    fn segments_longer_than_the_mtu_arrive_as_packets_of_that_length_do() {
        let (tun, host) = channel();
        let mut writer = TunWriter::default();
        let (offload, mut packet) = super_packet();
        assert_eq!(writer.write(&tun.with_mtu(1039), offload, &mut packet), 0);
        assert_eq!(received(&host), [1040; 3]);
        let (tun, host) = channel();
        assert_eq!(writer.write(&tun.with_mtu(1040), offload, &mut packet), 0);
        assert_eq!(received(&host), [3040], "and only they are cut");
        assert!(!writer.splits());
    }

    #[test]
    fn host_that_takes_no_more_is_no_kernel_that_refuses() {
        let (tun, host) = channel();
        let mut writer = TunWriter::default();
        let (offload, mut packet) = super_packet();
        for _ in 0..CAPACITY {
            assert_eq!(writer.write(&tun, offload, &mut packet), 0);
        }
        assert_eq!(writer.write(&tun, offload, &mut packet), 1, "and it is counted");
        assert!(!writer.splits());
        assert_eq!(received(&host), [3040; CAPACITY]);
    }

    #[test]
    fn every_segment_that_is_not_taken_is_counted() {
        let (tun, host) = channel();
        let tun = tun.refusing_super_packets();
        let mut writer = TunWriter::default();
        let (offload, mut packet) = super_packet();
        for _ in 0..CAPACITY - 1 {
            assert_eq!(writer.write_plain(&tun, b"x"), 0);
        }
        assert_eq!(writer.write(&tun, offload, &mut packet), 2);
        assert_eq!(received(&host).len(), CAPACITY);
    }
}
