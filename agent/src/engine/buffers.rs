//! Buffers for packets to come, so that nothing is allocated for a packet.

use dosp_proto::buffer::PacketBuf;

use crate::tun::MAX_PACKET_LEN;

/// Longer packets than this, in bytes, stay in the large buffer that they were read into. Others are
/// copied into a small one, which costs less than to have all buffers large.
const MAX_SMALL_LEN: usize = 2048;
/// Small buffers that are kept, 4 MiB: as many as the queue can give back at once.
const MAX_SMALL: usize = 2048;
/// Large ones, 4 MiB.
const MAX_LARGE: usize = 64;

/// Spare buffers of both sizes.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    small: Vec<PacketBuf>,
    large: Vec<PacketBuf>,
}

impl Buffers {
    /// One with room for every packet, and no content.
    pub(super) fn take_large(&mut self) -> PacketBuf {
        self.large.pop().unwrap_or_else(|| PacketBuf::with_room(MAX_PACKET_LEN))
    }

    /// One with room for a packet that goes over a wire as it is, and no content.
    pub(super) fn take_small(&mut self) -> PacketBuf {
        self.small.pop().unwrap_or_else(|| PacketBuf::with_room(MAX_SMALL_LEN))
    }

    /// A buffer of the right size with the content of `buffer`.
    pub(super) fn fit(&mut self, buffer: PacketBuf) -> PacketBuf {
        if buffer.len() > MAX_SMALL_LEN || buffer.room() < MAX_PACKET_LEN {
            return buffer;
        }
        let mut small = self.take_small();
        small.space(buffer.len()).copy_from_slice(buffer.content());
        self.put(buffer);
        small
    }

    /// Takes a buffer back.
    pub(super) fn put(&mut self, mut buffer: PacketBuf) {
        let (spare, max) = if buffer.room() >= MAX_PACKET_LEN {
            (&mut self.large, MAX_LARGE)
        } else {
            (&mut self.small, MAX_SMALL)
        };
        if spare.len() < max {
            buffer.clear();
            spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_packets_do_not_keep_large_buffers() {
        let mut buffers = Buffers::default();
        let mut buffer = buffers.take_large();
        buffer.space(MAX_PACKET_LEN)[..5].copy_from_slice(b"short");
        buffer.truncate(5);
        let fitting = buffers.fit(buffer);
        assert_eq!((fitting.content(), fitting.room()), (&b"short"[..], MAX_SMALL_LEN));
        assert_eq!((buffers.large.len(), buffers.small.len()), (1, 0));
        let mut long = buffers.take_large();
        long.space(MAX_SMALL_LEN + 1);
        let long = buffers.fit(long);
        assert_eq!((long.len(), buffers.large.len()), (MAX_SMALL_LEN + 1, 0));
        buffers.put(long);
        buffers.put(fitting);
        assert_eq!((buffers.large.len(), buffers.small.len()), (1, 1));
    }

    #[test]
    fn spare_buffers_are_bounded() {
        let mut buffers = Buffers::default();
        for _ in 0..3 * MAX_SMALL {
            buffers.put(PacketBuf::with_room(MAX_SMALL_LEN));
        }
        for _ in 0..2 * MAX_LARGE {
            buffers.put(PacketBuf::with_room(MAX_PACKET_LEN));
        }
        assert_eq!((buffers.small.len(), buffers.large.len()), (MAX_SMALL, MAX_LARGE));
    }
}
