//! Words between the two ends of a tunnel, frames of kind 4.
//!
//! ```text
//! [1] [id u64] [payload]      echo request
//! [2] [id u64] [payload]      echo reply, with the id and the payload of the request
//! [3]                         goodbye: the sender ends, and with it its sessions
//! ```

use crate::buffer::PacketBuf;

const ECHO_REQUEST: u8 = 1;
const ECHO_REPLY: u8 = 2;
const GOODBYE: u8 = 3;
/// What is in front of an echo's payload.
const HEADER_LEN: usize = 9;

/// What a frame of kind 4 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control<'a> {
    /// Send this back.
    EchoRequest {
        /// What the asker calls it.
        id: u64,
        /// Anything.
        payload: &'a [u8],
    },
    /// What was sent came back.
    EchoReply {
        /// What the asker called it.
        id: u64,
        /// What he sent.
        payload: &'a [u8],
    },
    /// I end.
    Goodbye,
}

impl<'a> Control<'a> {
    /// `None` for words that are not known.
    #[must_use]
    pub fn decode(content: &'a [u8]) -> Option<Self> {
        if content == [GOODBYE] {
            return Some(Self::Goodbye);
        }
        let (&word, rest) = content.split_first()?;
        let (id, payload) = rest.split_first_chunk()?;
        let id = u64::from_be_bytes(*id);
        match word {
            ECHO_REQUEST => Some(Self::EchoRequest { id, payload }),
            ECHO_REPLY => Some(Self::EchoReply { id, payload }),
            _ => None,
        }
    }

    /// The content of a frame.
    #[must_use]
    pub fn encode(&self) -> PacketBuf {
        let (word, id, payload) = match *self {
            Self::EchoRequest { id, payload } => (ECHO_REQUEST, id, payload),
            Self::EchoReply { id, payload } => (ECHO_REPLY, id, payload),
            Self::Goodbye => return PacketBuf::from(&[GOODBYE][..]),
        };
        let mut header = [word; HEADER_LEN];
        let [_, place @ ..] = &mut header;
        *place = id.to_be_bytes();
        let mut buffer = PacketBuf::from(payload);
        buffer.prepend(&header);
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_as_they_were_written() {
        let request = Control::EchoRequest { id: 0x0102, payload: b"abc" };
        let bytes = request.encode();
        assert_eq!(bytes.content(), b"\x01\0\0\0\0\0\0\x01\x02abc");
        assert_eq!(Control::decode(bytes.content()), Some(request));
        let reply = Control::EchoReply { id: u64::MAX, payload: b"" };
        assert_eq!(Control::decode(reply.encode().content()), Some(reply));
        assert_eq!(Control::Goodbye.encode().content(), b"\x03");
        assert_eq!(Control::decode(b"\x03"), Some(Control::Goodbye));
        for content in
            [&b""[..], b"\x01", b"\x02\0\0\0\0\0\0\0", b"\x03\0", b"\x04\0\0\0\0\0\0\0\0abc"]
        {
            assert_eq!(Control::decode(content), None);
        }
    }
}
