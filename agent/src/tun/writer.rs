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
        if self.splits {
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
