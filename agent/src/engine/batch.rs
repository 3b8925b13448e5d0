//! Frames on their way into the socket, each in the buffer that it was made in.

use std::collections::VecDeque;
use std::io::IoSlice;

use dosp_proto::buffer::PacketBuf;

/// What goes to the hub next.
#[derive(Debug, Default)]
pub struct Batch {
    frames: VecDeque<PacketBuf>,
    len: usize,
    /// Buffers whose content is in the socket.
    spent: Vec<PacketBuf>,
}

impl Batch {
    /// Puts frames, as bytes, behind the others.
    pub fn push(&mut self, frames: PacketBuf) {
        self.len += frames.len();
        self.frames.push_back(frames);
    }

    /// Bytes that are not in the socket yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether all is in the socket.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// At most `max_len` bytes from the first one that is not in the socket on, for one vectored write.
    pub fn slices<'b, const N: usize>(
        &'b self,
        slices: &mut [IoSlice<'b>; N],
        mut max_len: usize,
    ) -> usize {
        let mut num_filled = 0;
        for (frame, slice) in self.frames.iter().zip(slices) {
            if max_len == 0 {
                break;
            }
            let content = frame.content();
            let content = content.get(..max_len).unwrap_or(content);
            *slice = IoSlice::new(content);
            (max_len, num_filled) = (max_len - content.len(), num_filled + 1);
        }
        num_filled
    }

    /// The socket took `len` bytes.
    pub fn advance(&mut self, mut len: usize) {
        self.len = self.len.saturating_sub(len);
        while let Some(mut frame) = self.frames.pop_front() {
            if len < frame.len() {
                frame.advance(len);
                self.frames.push_front(frame);
                return;
            }
            len -= frame.len();
            self.spent.push(frame);
        }
    }

    /// Buffers for packets to come.
    pub(super) fn take_spent(&mut self) -> impl Iterator<Item = PacketBuf> + '_ {
        self.spent.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(batch: &Batch) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = batch.slices(&mut slices, usize::MAX);
        slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn partial_writes_go_on_where_they_ended() {
        let mut batch = Batch::default();
        for frame in ["one", "", "three"] {
            batch.push(PacketBuf::from(frame.as_bytes()));
        }
        assert_eq!((batch.len(), written(&batch)), (8, b"onethree".to_vec()));
        batch.advance(2);
        assert_eq!(written(&batch), b"ethree");
        batch.advance(3);
        assert_eq!((written(&batch), batch.take_spent().count()), (b"ree".to_vec(), 2));
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!((batch.slices(&mut slices, 2), &*slices[0]), (1, &b"re"[..]));
        batch.advance(3);
        assert!(batch.is_empty() && batch.take_spent().count() == 1);
    }
}
