//! Buffers for packets to come, so that nothing is allocated for a packet.

use dosp_proto::buffer::PacketBuf;

use crate::tun::MAX_PACKET_LEN;

/// One size of buffers.
struct Size {
    /// What fits, in bytes.
    room: usize,
    /// How many are kept.
    max_spare: usize,
}

/// A packet is copied into the smallest buffer that it fits into, which costs less than to have all
/// buffers large; one that needs a large one stays where it was read to. So many are kept as the queue
/// can give back at once, but for the smallest: 1 MiB, 4 MiB and 4 MiB.
const SIZES: [Size; 3] = [
    Size { room: 256, max_spare: 4096 },
    Size { room: 2048, max_spare: 2048 },
    Size { room: MAX_PACKET_LEN, max_spare: 64 },
];

/// Spare buffers of all sizes.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    spare: [Vec<PacketBuf>; SIZES.len()],
}

impl Buffers {
    /// One with room for `len` bytes, or for every packet, and no content.
    pub(super) fn take(&mut self, len: usize) -> PacketBuf {
        let sizes = SIZES.iter().zip(&mut self.spare);
        let Some((size, spare)) = sizes.into_iter().find(|(size, _)| size.room >= len) else {
            return PacketBuf::with_room(len);
        };
        spare.pop().unwrap_or_else(|| PacketBuf::with_room(size.room))
    }

    /// One with room for every packet, and no content.
    pub(super) fn take_large(&mut self) -> PacketBuf {
        self.take(MAX_PACKET_LEN)
    }

    /// A buffer of the right size with the content of `buffer`, which has room for every packet.
    pub(super) fn fit(&mut self, buffer: PacketBuf) -> PacketBuf {
        let is_smaller = |size: &Size| (buffer.len()..buffer.room()).contains(&size.room);
        if !SIZES.iter().any(is_smaller) {
            return buffer;
        }
        let mut fitting = self.take(buffer.len());
        fitting.space(buffer.len()).copy_from_slice(buffer.content());
        self.put(buffer);
        fitting
    }

    /// Takes a buffer back.
    pub(super) fn put(&mut self, mut buffer: PacketBuf) {
        let mut sizes = SIZES.iter().zip(&mut self.spare).rev();
        let fitting = sizes.find(|(size, _)| buffer.room() >= size.room);
        if let Some((size, spare)) = fitting
            && spare.len() < size.max_spare
        {
            buffer.clear();
            spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn num_spare(buffers: &Buffers) -> [usize; 3] {
        buffers.spare.each_ref().map(Vec::len)
    }

    #[test]
    fn short_packets_do_not_keep_large_buffers() {
        let mut buffers = Buffers::default();
        let mut fit = |len| {
            let mut buffer = buffers.take_large();
            buffer.space(MAX_PACKET_LEN).fill(7);
            buffer.truncate(len);
            buffers.fit(buffer)
        };
        let packets = [fit(1), fit(256), fit(257), fit(2048), fit(2049)];
        let rooms = packets.each_ref().map(PacketBuf::room);
        assert_eq!(rooms, [256, 256, 2048, 2048, MAX_PACKET_LEN]);
        assert!(packets[3].content() == [7; 2048]);
        assert_eq!(num_spare(&buffers), [0, 0, 0]);
        packets.into_iter().for_each(|packet| buffers.put(packet));
        assert_eq!(num_spare(&buffers), [2, 2, 1]);
        assert!(buffers.take(1).is_empty());
        assert_eq!(num_spare(&buffers), [1, 2, 1]);
    }

    #[test]
    fn spare_buffers_are_bounded() {
        let mut buffers = Buffers::default();
        for size in &SIZES {
            for _ in 0..size.max_spare + 1 {
                buffers.put(PacketBuf::with_room(size.room));
            }
        }
        assert_eq!(num_spare(&buffers), [4096, 2048, 64]);
    }
}
