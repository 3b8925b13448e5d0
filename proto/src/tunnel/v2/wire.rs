//! The bytes of version 2, in the DATA of S2C.
//!
//! ```text
//! message 1   [hello of version 1, 49] "DSP2" 0x01 [sender u32] [psk id 4] [Noise message 1, 48]
//! message 2   [hello of version 1, 49] "DSP2" 0x02 [sender u32] [receiver u32] [Noise message 2]
//! message 3   [0x15] "DSP2" 0x03 [sender u32] [receiver u32] [Noise message 3]
//! frame       [0xD2] [flow u16] [receiver u32] [counter u64] [ciphertext] [tag 16]
//! ```
//!
//! Messages 1 and 2 hide behind a hello of version 1, whose trailing bytes are ignored by whoever
//! knows nothing else.

use std::num::NonZeroU16;

use crate::aead::TAG_LEN;
use crate::noise::MESSAGE_1_LEN;
use crate::tunnel::v1::HELLO_LEN;

/// The first byte of handshakes of both versions.
const HANDSHAKE_MARK: u8 = 0x15;
/// What tells version 2 from version 1.
const VERSION_MARK: &[u8; 4] = b"DSP2";
/// The first byte of a frame.
const FRAME_MARK: u8 = 0xD2;
/// Mark, flow, receiver, counter: what is authenticated and not encrypted.
pub(super) const HEADER_LEN: usize = 15;
/// What a sealed message is longer than the message, in bytes: header, kind and tag.
pub const OVERHEAD_LEN: usize = HEADER_LEN + 1 + TAG_LEN;

/// What DATA of version 2 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// An opening.
    Opening(Opening<'a>),
    /// The answer to one.
    Answer(Reply<'a>),
    /// The proof of who opened.
    Proof(Reply<'a>),
    /// A sealed frame for the session with this receiver index.
    Frame {
        /// The receiver's index.
        receiver: u32,
    },
}

/// Message 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening<'a> {
    pub(super) sender: u32,
    pub(super) psk_id: [u8; 4],
    pub(super) noise: &'a [u8; MESSAGE_1_LEN],
}

/// Message 2 or 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    pub(super) sender: u32,
    pub(super) receiver: u32,
    pub(super) noise: &'a [u8],
}

impl<'a> Message<'a> {
    /// `None` for DATA of version 1 and plain DATA.
    #[must_use]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let (&mark, rest) = data.split_first()?;
        if mark == FRAME_MARK && data.len() >= OVERHEAD_LEN {
            let (receiver, _) = rest.get(2..)?.split_first_chunk()?;
            return Some(Self::Frame { receiver: u32::from_be_bytes(*receiver) });
        }
        if mark != HANDSHAKE_MARK {
            return None;
        }
        match rest.strip_prefix(VERSION_MARK) {
            Some([3, reply @ ..]) => Reply::parse(reply).map(Self::Proof),
            Some(_) => None,
            None => match data.get(HELLO_LEN..)?.strip_prefix(VERSION_MARK)? {
                [1, opening @ ..] => Opening::parse(opening).map(Self::Opening),
                [2, reply @ ..] => Reply::parse(reply).map(Self::Answer),
                _ => None,
            },
        }
    }
}

impl<'a> Opening<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (sender, rest) = bytes.split_first_chunk()?;
        let (psk_id, rest) = rest.split_first_chunk()?;
        let noise = rest.try_into().ok()?;
        Some(Self { sender: u32::from_be_bytes(*sender), psk_id: *psk_id, noise })
    }

    /// DATA: `hello`, then this.
    pub(super) fn encode(&self, hello: &[u8; HELLO_LEN]) -> Vec<u8> {
        let sender = self.sender.to_be_bytes();
        [&hello[..], VERSION_MARK, &[1], &sender, &self.psk_id, self.noise].concat()
    }
}

impl<'a> Reply<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (sender, rest) = bytes.split_first_chunk()?;
        let (receiver, noise) = rest.split_first_chunk()?;
        let (sender, receiver) = (u32::from_be_bytes(*sender), u32::from_be_bytes(*receiver));
        Some(Self { sender, receiver, noise })
    }

    /// DATA of message 2.
    pub(super) fn encode_answer(&self, hello: &[u8; HELLO_LEN]) -> Vec<u8> {
        [&hello[..], VERSION_MARK, &[2], &self.indices(), self.noise].concat()
    }

    /// DATA of message 3.
    pub(super) fn encode_proof(&self) -> Vec<u8> {
        [&[HANDSHAKE_MARK], &VERSION_MARK[..], &[3], &self.indices(), self.noise].concat()
    }

    fn indices(&self) -> [u8; 8] {
        (u64::from(self.sender) << 32 | u64::from(self.receiver)).to_be_bytes()
    }
}

/// The header of a frame: everything in front of the ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) flow: u16,
    pub(super) receiver: u32,
    pub(super) counter: u64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [FRAME_MARK; HEADER_LEN];
        let [_, flow_1, flow_2, rest @ ..] = &mut bytes;
        [*flow_1, *flow_2] = self.flow.to_be_bytes();
        let (receiver, counter) = rest.split_at_mut(4);
        receiver.copy_from_slice(&self.receiver.to_be_bytes());
        counter.copy_from_slice(&self.counter.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; HEADER_LEN]) -> Self {
        let [_, flow_1, flow_2, r1, r2, r3, r4, counter @ ..] = *bytes;
        Self {
            flow: u16::from_be_bytes([flow_1, flow_2]),
            receiver: u32::from_be_bytes([r1, r2, r3, r4]),
            counter: u64::from_be_bytes(counter),
        }
    }
}

/// The flow that this DATA of a dosp-net member belongs to, if it is a frame of version 2 and of one. A
/// hub may drop it then; everything else a tunnel would miss.
#[must_use]
pub fn flow_label(data: &[u8]) -> Option<NonZeroU16> {
    let header = data.first_chunk().filter(|header| header.first() == Some(&FRAME_MARK))?;
    NonZeroU16::new(Header::decode(header).flow)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HELLO: [u8; HELLO_LEN] = {
        let mut hello = [7; HELLO_LEN];
        hello[0] = HANDSHAKE_MARK;
        hello
    };

    #[test]
    fn every_message_is_read_back_as_it_was_written() {
        let opening = Opening { sender: 0x0102_0304, psk_id: *b"psk!", noise: &[9; 48] };
        let data = opening.encode(&HELLO);
        assert_eq!(data[49..62], *b"DSP2\x01\x01\x02\x03\x04psk!");
        assert_eq!(Message::parse(&data), Some(Message::Opening(opening)));
        let reply = Reply { sender: 0x0102_0304, receiver: 0x0506_0708, noise: b"noise" };
        let data = reply.encode_answer(&HELLO);
        assert_eq!(data[49..62], *b"DSP2\x02\x01\x02\x03\x04\x05\x06\x07\x08");
        assert_eq!(Message::parse(&data), Some(Message::Answer(reply)));
        let data = reply.encode_proof();
        assert_eq!(data, b"\x15DSP2\x03\x01\x02\x03\x04\x05\x06\x07\x08noise");
        assert_eq!(Message::parse(&data), Some(Message::Proof(reply)));
    }

    #[test]
    fn header_has_the_documented_places() {
        let header = Header { flow: 0x0102, receiver: 0x0304_0506, counter: 0x0708 };
        let bytes = header.encode();
        assert_eq!(bytes, *b"\xD2\x01\x02\x03\x04\x05\x06\0\0\0\0\0\0\x07\x08");
        assert_eq!(Header::decode(&bytes), header);
        let frame = [&bytes[..], &[0; 17]].concat();
        assert_eq!(Message::parse(&frame), Some(Message::Frame { receiver: 0x0304_0506 }));
        assert_eq!(Message::parse(&frame[..frame.len() - 1]), None);
    }

    #[test]
    fn version_1_and_plain_data_are_not_taken() {
        let refusal = b"\x15\xFFno tunnels here";
        for data in [&b""[..], b"\x15", b"hello", &HELLO, refusal, b"\x15DSP2", b"\x15DSP2\x04"] {
            assert_eq!(Message::parse(data), None, "{data:?}");
        }
        let opening = Opening { sender: 1, psk_id: [0; 4], noise: &[9; 48] }.encode(&HELLO);
        assert_eq!(Message::parse(&opening[..opening.len() - 1]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_none(data in prop::collection::vec(any::<u8>(), 0..120)) {
            std::hint::black_box(Message::parse(&data));
        }
    }

    #[test]
    fn only_frames_that_belong_to_a_flow_may_be_dropped() {
        let header = Header { flow: 1, receiver: 0, counter: 0 };
        assert_eq!(flow_label(&header.encode()), NonZeroU16::new(1));
        assert_eq!(flow_label(&Header { flow: 0, ..header }.encode()), None);
        assert_eq!(flow_label(&header.encode()[..14]), None);
        assert_eq!(flow_label(&HELLO), None);
    }
}
