//! Frames: the unit of DoSP on a TCP connection.
//!
//! ```text
//! 0      1            5
//! ├ TYPE ┼ LENGTH u32 ┼ BODY, LENGTH bytes ┤          all integers big-endian
//!
//! S2C:   0     5     9     13
//!        ├ hdr ┼ DST ┼ SRC ┼ DATA ┤                   LENGTH counts DST and SRC
//! ```
//!
//! [`FrameDecoder`] owns the bytes that were read; a [`Frame`] borrows them mutably, so that a hub
//! can stamp an address and an agent can decrypt without copying.

mod frame_type;

pub use frame_type::FrameType;

use crate::buffer::PacketBuf;
use crate::vip::Vip;

/// Length of TYPE and LENGTH.
pub const HEADER_LEN: usize = 5;
/// Length of DST and SRC at the start of an S2C body.
pub const S2C_ADDRESSES_LEN: usize = 8;
/// Length of everything before DATA in an S2C frame.
pub const S2C_HEADER_LEN: usize = HEADER_LEN + S2C_ADDRESSES_LEN;
/// The default limit on LENGTH, in bytes.
pub const DEFAULT_MAX_BODY_LEN: usize = 1 << 20;
/// The smallest limit on LENGTH that lets a 64 KiB packet pass inside a tunnel frame.
pub const MIN_MAX_BODY_LEN: usize = 66 * 1024;

/// A decoder's buffer starts with this much room and grows only as bytes arrive.
const MIN_SPACE: usize = 16 * 1024;
/// A decoder that waits for the rest of a frame holds at most so many times what it has of it.
const MIN_SAVING: usize = 16;

/// Why a byte stream stopped being frames. The connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// LENGTH is above the limit of this connection.
    #[error("frame of type {frame_type} announces {body_len} bytes, the limit is {max_body_len}")]
    TooLong {
        /// TYPE of the offending frame.
        frame_type: FrameType,
        /// Its LENGTH.
        body_len: u32,
        /// The limit in force, in bytes.
        max_body_len: usize,
    },
    /// An S2C body that does not hold DST and SRC.
    #[error("S2C frame of {body_len} bytes has no room for its addresses")]
    NoAddresses {
        /// Its LENGTH.
        body_len: usize,
    },
}

/// One whole frame, header included, borrowed from the decoder that found it.
#[derive(Debug)]
pub struct Frame<'a> {
    bytes: &'a mut [u8],
}

impl<'a> Frame<'a> {
    /// The frame that `bytes` are, header included.
    pub(crate) fn whole(bytes: &'a mut [u8]) -> Self {
        Self { bytes }
    }

    /// TYPE.
    #[must_use]
    pub fn frame_type(&self) -> FrameType {
        FrameType(self.bytes.first().copied().unwrap_or_default())
    }

    /// The bytes after the header.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// The body, for as long as the decoder's buffer lives.
    #[must_use]
    pub fn into_body(self) -> &'a [u8] {
        self.into_body_mut()
    }

    /// The body, to be changed in place.
    #[must_use]
    pub fn into_body_mut(self) -> &'a mut [u8] {
        self.bytes.get_mut(HEADER_LEN..).unwrap_or_default()
    }

    /// The view of a body that has addresses.
    ///
    /// # Errors
    /// [`DecodeError::NoAddresses`] where the body is shorter than DST and SRC.
    pub fn into_s2c(self) -> Result<S2c<'a>, DecodeError> {
        let body_len = self.body().len();
        if body_len < S2C_ADDRESSES_LEN {
            return Err(DecodeError::NoAddresses { body_len });
        }
        Ok(S2c { bytes: self.bytes })
    }
}

/// Cuts the first whole frame off `bytes`; `None` where there is none.
pub fn split_first(bytes: &mut [u8]) -> Option<(Frame<'_>, &mut [u8])> {
    let &[_, len @ ..] = bytes.first_chunk::<HEADER_LEN>()?;
    let frame_len = HEADER_LEN.saturating_add(u32::from_be_bytes(len) as usize);
    let (bytes, rest) = bytes.split_at_mut_checked(frame_len)?;
    Some((Frame { bytes }, rest))
}

/// An S2C frame.
#[derive(Debug)]
pub struct S2c<'a> {
    bytes: &'a mut [u8],
}

impl<'a> S2c<'a> {
    /// The vIP that the frame is for.
    #[must_use]
    pub fn dst(&self) -> Vip {
        self.address(HEADER_LEN)
    }

    /// The vIP that the frame claims to come from.
    #[must_use]
    pub fn src(&self) -> Vip {
        self.address(HEADER_LEN + 4)
    }

    /// Overwrites SRC.
    pub fn stamp_src(&mut self, src: Vip) {
        if let Some(field) = self.bytes.get_mut(HEADER_LEN + 4..S2C_HEADER_LEN) {
            field.copy_from_slice(&src.octets());
        }
    }

    /// What the sender wants DST to get.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.bytes.get(S2C_HEADER_LEN..).unwrap_or_default()
    }

    /// DATA, to be decrypted in place.
    #[must_use]
    pub fn into_data(self) -> &'a mut [u8] {
        self.bytes.get_mut(S2C_HEADER_LEN..).unwrap_or_default()
    }

    /// The whole frame, as on the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    fn address(&self, at: usize) -> Vip {
        let mut octets = [0; 4];
        if let Some(field) = self.bytes.get(at..at + 4) {
            octets.copy_from_slice(field);
        }
        Vip::from(octets)
    }
}

/// Cuts a byte stream into frames.
///
/// LENGTH is checked before any memory is asked for on its account, and the buffer grows only as
/// bytes really arrive: at most twice of what was received, plus 16 KiB.
///
/// After an error the stream has no frame boundaries any more: every later call reports it again.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    max_body_len: usize,
}

impl FrameDecoder {
    /// A decoder that refuses bodies above `max_body_len` bytes.
    #[must_use]
    pub fn new(max_body_len: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, end: 0, max_body_len }
    }

    /// Refuses bodies above `max_body_len` bytes from the next header on.
    pub const fn set_max_body_len(&mut self, max_body_len: usize) {
        self.max_body_len = max_body_len;
    }

    /// Where the next bytes are to be read into: never empty. Follow with [`Self::advance`].
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.buffer.len() - self.end < MIN_SPACE {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let wanted = self.end + self.end.max(MIN_SPACE);
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted, 0);
            }
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Says that `len` bytes were written into [`Self::space`].
    pub fn advance(&mut self, len: usize) {
        self.end = (self.end + len).min(self.buffer.len());
    }

    /// Appends `bytes`, for callers that have them in hand.
    pub fn extend(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let len = space.len().min(bytes.len());
            let (now, later) = bytes.split_at(len);
            if let Some(room) = space.get_mut(..len) {
                room.copy_from_slice(now);
            }
            self.advance(len);
            bytes = later;
        }
    }

    /// The next whole frame, or `None` until more bytes come.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`], as soon as the header shows it.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, DecodeError> {
        let filled = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((header, body)) = filled.split_first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let [frame_type, len @ ..] = *header;
        let body_len = u32::from_be_bytes(len);
        let len = body_len as usize;
        if len > self.max_body_len {
            let frame_type = FrameType(frame_type);
            let max_body_len = self.max_body_len;
            return Err(DecodeError::TooLong { frame_type, body_len, max_body_len });
        }
        if body.len() < len {
            return Ok(None);
        }
        let start = self.start;
        self.start += HEADER_LEN + len;
        Ok(self.buffer.get_mut(start..self.start).map(|bytes| Frame { bytes }))
    }

    /// How many received bytes have not been given out as a frame.
    #[must_use]
    pub fn buffered_len(&self) -> usize {
        self.end - self.start
    }

    /// Takes the buffer away, so that a connection on which nothing comes owns none. The beginning of
    /// an unfinished frame stays, in memory of its own length; `None` where it is too long for that
    /// to save much, or there is no buffer.
    pub fn detach_buffer(&mut self) -> Option<Vec<u8>> {
        let unfinished = self.buffer.get(self.start..self.end)?;
        if self.buffer.is_empty() || unfinished.len() > self.buffer.len() / MIN_SAVING {
            return None;
        }
        let unfinished = unfinished.to_vec();
        (self.start, self.end) = (0, unfinished.len());
        Some(std::mem::replace(&mut self.buffer, unfinished))
    }

    /// Gives a buffer to a decoder whose own was taken away; its length is the room that it offers.
    pub fn attach_buffer(&mut self, mut buffer: Vec<u8>) {
        let unfinished = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some(room) = buffer.get_mut(..unfinished.len()) else { return };
        room.copy_from_slice(unfinished);
        (self.start, self.end) = (0, unfinished.len());
        self.buffer = buffer;
    }
}

/// Appends a frame to `out`.
pub fn encode(out: &mut Vec<u8>, frame_type: FrameType, body: &[u8]) {
    out.extend_from_slice(&header(frame_type, body.len()));
    out.extend_from_slice(body);
}

/// Appends a frame whose body is what `write_body` appends. Where that fails, `out` is as it was
/// before.
///
/// # Errors
/// What `write_body` returns.
pub fn encode_with<E>(
    out: &mut Vec<u8>,
    frame_type: FrameType,
    write_body: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    out.extend_from_slice(&header(frame_type, 0));
    if let Err(error) = write_body(out) {
        out.truncate(start);
        return Err(error);
    }
    let body_len = out.len() - start - HEADER_LEN;
    if let Some(field) = out.get_mut(start..start + HEADER_LEN) {
        field.copy_from_slice(&header(frame_type, body_len));
    }
    Ok(())
}

/// Makes the DATA in `buffer` an S2C frame where it is.
pub fn prepend_s2c(buffer: &mut PacketBuf, dst: Vip, src: Vip) {
    buffer.prepend(&src.octets());
    buffer.prepend(&dst.octets());
    let body_len = buffer.len();
    buffer.prepend(&header(FrameType::S2C, body_len));
}

/// Appends an S2C frame with `data` as it is.
pub fn encode_s2c(out: &mut Vec<u8>, dst: Vip, src: Vip, data: &[u8]) {
    out.extend_from_slice(&s2c_header(dst, src, data.len()));
    out.extend_from_slice(data);
}

/// What stands before DATA in an S2C frame.
#[must_use]
pub fn s2c_header(dst: Vip, src: Vip, data_len: usize) -> [u8; S2C_HEADER_LEN] {
    let [t, a, b, c, d] = header(FrameType::S2C, S2C_ADDRESSES_LEN + data_len);
    let ([e, f, g, h], [i, j, k, l]) = (dst.octets(), src.octets());
    [t, a, b, c, d, e, f, g, h, i, j, k, l]
}

/// TYPE and LENGTH. Bodies are far below 4 GiB: every one passed a frame limit.
pub(crate) fn header(frame_type: FrameType, body_len: usize) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = u32::try_from(body_len).unwrap_or(u32::MAX).to_be_bytes();
    [frame_type.0, a, b, c, d]
}

#[cfg(test)]
mod tests;
