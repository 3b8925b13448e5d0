//! Counting frames in a byte stream, without looking at what is in them.

use std::net::TcpStream;

use anyhow::Result;
use dosp_proto::frame::{FrameType, HEADER_LEN};

use crate::poll;

/// What one turn receives at most.
pub(crate) const RECEIVE_LEN: usize = 256 * 1024;
/// Bodies from this length on are worth a system call that discards them: the less a receiver
/// copies, the more of the machine is the hub's.
const LARGE_LEN: usize = 16 * 1024;

/// Frames that ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) num_s2c: u64,
    pub(crate) num_others: u64,
}

/// Walks over a byte stream from header to header.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    header: [u8; HEADER_LEN],
    header_len: usize,
    /// Of the frame that `header` is or was of.
    body_len: usize,
    body_left: usize,
}

impl Walk {
    /// Receives what is there, one turn's worth at most.
    pub(crate) fn receive(&mut self, stream: &TcpStream, buffer: &mut [u8]) -> Result<Counts> {
        let (mut counts, mut turn_len) = (Counts::default(), 0);
        while turn_len < RECEIVE_LEN {
            let is_large = self.body_len >= LARGE_LEN;
            // Large frames are often followed by large ones: only the header is read of those.
            let max_len = match self.body_left {
                0 if is_large => HEADER_LEN - self.header_len,
                body_left if is_large => body_left,
                _ => RECEIVE_LEN,
            };
            let max_len = max_len.min(buffer.len());
            let room = &mut buffer[..max_len];
            let len = if is_large && self.body_left > 0 {
                let len = poll::discard(stream, room)?;
                self.pass_body(len, &mut counts);
                len
            } else {
                let len = poll::read(stream, room)?;
                self.count(&buffer[..len], &mut counts);
                len
            };
            turn_len += len;
            if len < max_len {
                break;
            }
        }
        Ok(counts)
    }

    /// Adds the frames that end in `bytes`.
    fn count(&mut self, mut bytes: &[u8], counts: &mut Counts) {
        while !bytes.is_empty() {
            if self.body_left == 0 {
                let take = bytes.len().min(HEADER_LEN - self.header_len);
                self.header[self.header_len..][..take].copy_from_slice(&bytes[..take]);
                self.header_len += take;
                bytes = &bytes[take..];
                if self.header_len < HEADER_LEN {
                    return;
                }
                let [_, len @ ..] = self.header;
                self.header_len = 0;
                self.body_len = u32::from_be_bytes(len) as usize;
                self.body_left = self.body_len;
            }
            let take = bytes.len().min(self.body_left);
            self.pass_body(take, counts);
            bytes = &bytes[take..];
        }
    }

    fn pass_body(&mut self, len: usize, counts: &mut Counts) {
        self.body_left -= len;
        if self.body_left > 0 {
            return;
        }
        if self.header[0] == FrameType::S2C.0 {
            counts.num_s2c += 1;
        } else {
            counts.num_others += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use dosp_proto::frame;
    use nix::sys::epoll::EpollFlags;

    use super::*;
    use crate::poll::Poller;

    #[test]
    fn frames_of_all_lengths_are_received_from_a_socket() -> Result<()> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let mut sender = TcpStream::connect(listener.local_addr()?)?;
        let (receiver, _) = listener.accept()?;
        receiver.set_nonblocking(true)?;
        let sending = std::thread::spawn(move || {
            for len in [100_000, 20_000, 3, 0, LARGE_LEN, 70_000, RECEIVE_LEN, 5] {
                let mut out = Vec::new();
                frame::encode(&mut out, FrameType::S2C, &vec![1; len]);
                frame::encode(&mut out, FrameType::PING, &[]);
                sender.write_all(&out)?;
            }
            Ok::<_, std::io::Error>(sender)
        });
        let mut poller = Poller::new(&[&receiver], EpollFlags::EPOLLIN)?;
        let (mut walk, mut buffer, mut num_frames) = (Walk::default(), vec![0; RECEIVE_LEN], 0);
        while num_frames < 16 {
            poller.wait()?.for_each(drop);
            let counts = walk.receive(&receiver, &mut buffer)?;
            num_frames += counts.num_s2c + counts.num_others;
        }
        assert!(sending.join().is_ok_and(|sent| sent.is_ok()));
        assert_eq!((num_frames, walk.body_left, walk.header_len), (16, 0, 0));
        Ok(())
    }

    #[test]
    fn frames_are_counted_however_the_bytes_are_cut() {
        let frame = [[3, 0, 0, 0, 9].as_slice(), &[7; 9], &[2, 0, 0, 0, 0]].concat();
        let stream = frame.repeat(10);
        for step in 1..=stream.len() {
            let (mut walk, mut counts) = (Walk::default(), Counts::default());
            for bytes in stream.chunks(step) {
                walk.count(bytes, &mut counts);
            }
            assert_eq!(counts, Counts { num_s2c: 10, num_others: 10 }, "in pieces of {step}");
        }
    }
}
