//! Compressed bodies: the whole body of a frame as one zlib stream, S2C's addresses included.
//!
//! Inflating stops at a limit, so a bomb costs its receiver no more memory than any other frame.

use std::fmt;

pub use flate2::CompressError;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::frame::{self, Frame, FrameType};

/// What published implementations use.
const LEVEL: u32 = 6;
/// Output is made in steps of this size, so that a small body never asks for much memory.
const STEP: usize = 4096;

/// A body that cannot be inflated. The connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum InflateError {
    /// No zlib stream.
    #[error("a body is no zlib stream")]
    Malformed(#[from] flate2::DecompressError),
    /// The stream does not end with the body.
    #[error("a body is no whole zlib stream")]
    Truncated,
    /// More than the limit comes out.
    #[error("a body inflates to more than {max_body_len} bytes")]
    TooLong {
        /// The limit in force, in bytes.
        max_body_len: usize,
    },
}

/// Inflates bodies, one after another, each a stream of its own.
pub struct Inflater {
    stream: Decompress,
    max_body_len: usize,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("max_body_len", &self.max_body_len).finish_non_exhaustive()
    }
}

impl Inflater {
    /// Refuses what inflates to more than `max_body_len` bytes.
    #[must_use]
    pub fn new(max_body_len: usize) -> Self {
        Self { stream: Decompress::new(true), max_body_len }
    }

    /// Appends what `body` inflates to. After an error `out` holds a part of it.
    ///
    /// # Errors
    /// [`InflateError`]. Bytes behind the end of the stream are ignored, as published peers do.
    pub fn inflate(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), InflateError> {
        self.stream.reset(true);
        let max_len = out.len().saturating_add(self.max_body_len);
        loop {
            let taken = usize::try_from(self.stream.total_in()).unwrap_or(usize::MAX);
            let input = body.get(taken..).unwrap_or_default();
            let before = (self.stream.total_in(), out.len());
            out.reserve(STEP);
            let status = self.stream.decompress_vec(input, out, FlushDecompress::None)?;
            if out.len() > max_len {
                return Err(InflateError::TooLong { max_body_len: self.max_body_len });
            }
            if status == Status::StreamEnd {
                return Ok(());
            }
            if before == (self.stream.total_in(), out.len()) {
                return Err(InflateError::Truncated);
            }
        }
    }

    /// The frame that was compressed into `frame`, in `room`, whose content it replaces.
    ///
    /// # Errors
    /// [`InflateError`].
    pub fn inflate_frame<'a>(
        &mut self,
        frame: &Frame<'_>,
        room: &'a mut Vec<u8>,
    ) -> Result<Frame<'a>, InflateError> {
        room.clear();
        frame::encode_with(room, frame.frame_type(), |out| self.inflate(frame.body(), out))?;
        Ok(Frame::whole(room))
    }
}

/// Compresses bodies, one after another, each a stream of its own.
pub struct Deflater {
    stream: Compress,
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").finish_non_exhaustive()
    }
}

impl Default for Deflater {
    fn default() -> Self {
        Self { stream: Compress::new(Compression::new(LEVEL), true) }
    }
}

impl Deflater {
    /// Appends a frame with `body` compressed.
    ///
    /// # Errors
    /// Where the compressor gives up, which it has no reason to.
    pub fn encode(
        &mut self,
        out: &mut Vec<u8>,
        frame_type: FrameType,
        body: &[u8],
    ) -> Result<(), CompressError> {
        frame::encode_with(out, frame_type, |out| self.deflate(body, out))
    }

    fn deflate(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        self.stream.reset();
        loop {
            let taken = usize::try_from(self.stream.total_in()).unwrap_or(usize::MAX);
            let input = body.get(taken..).unwrap_or_default();
            out.reserve(STEP);
            let status = self.stream.compress_vec(input, out, FlushCompress::Finish)?;
            if status == Status::StreamEnd {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameDecoder, HEADER_LEN};
    use proptest::prelude::*;

    fn deflated(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Deflater::default().encode(&mut out, FrameType::MSG, body).unwrap();
        out.split_off(HEADER_LEN)
    }

    fn inflated(body: &[u8], max_body_len: usize) -> Result<Vec<u8>, InflateError> {
        let mut out = Vec::new();
        Inflater::new(max_body_len).inflate(body, &mut out)?;
        Ok(out)
    }

    #[test]
    fn body_at_the_limit_passes_and_one_above_does_not() {
        let body = deflated(&[7; 10_000]);
        assert_eq!(inflated(&body, 10_000).unwrap(), [7; 10_000]);
        let error = inflated(&body, 9_999).unwrap_err();
        assert!(matches!(error, InflateError::TooLong { max_body_len: 9_999 }));
    }

    #[test]
    fn bomb_makes_no_more_than_the_limit_and_a_step() {
        let bomb = deflated(&vec![0; 64 << 20]);
        let mut out = Vec::new();
        assert!(Inflater::new(100_000).inflate(&bomb, &mut out).is_err());
        assert!(out.capacity() <= 2 * (100_000 + STEP), "{}", out.capacity());
    }

    #[test]
    fn no_stream_and_half_a_stream_are_refused() {
        let body = deflated(b"hello");
        assert!(matches!(inflated(b"hello", 100), Err(InflateError::Malformed(_))));
        for len in 0..body.len() {
            assert!(inflated(&body[..len], 100).is_err(), "{len} bytes");
        }
        assert_eq!(inflated(&body, 100).unwrap(), b"hello");
    }

    #[test]
    fn frame_is_inflated_into_the_room_given() {
        let mut wire = Vec::new();
        Deflater::default().encode(&mut wire, FrameType::MSG, b"hello").unwrap();
        let mut decoder = FrameDecoder::new(100);
        decoder.extend(&wire);
        let mut room = b"what was here before".to_vec();
        let frame = decoder.next_frame().unwrap().unwrap();
        let frame = Inflater::new(100).inflate_frame(&frame, &mut room).unwrap();
        assert_eq!((frame.frame_type(), frame.body()), (FrameType::MSG, &b"hello"[..]));
        assert_eq!(room, b"\x01\0\0\0\x05hello");
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(bodies in prop::collection::vec(
            prop::collection::vec(any::<u8>(), 0..20_000), 1..5,
        )) {
            let (mut deflater, mut inflater) = (Deflater::default(), Inflater::new(20_000));
            for body in bodies {
                let mut wire = Vec::new();
                deflater.encode(&mut wire, FrameType::MSG, &body).unwrap();
                let mut out = Vec::new();
                inflater.inflate(&wire[HEADER_LEN..], &mut out).unwrap();
                prop_assert_eq!(out, body);
            }
        }

        #[test]
        fn any_bytes_are_a_body_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 2..300)) {
            bytes[..2].copy_from_slice(&[0x78, 0x9C]);
            if let Ok(body) = inflated(&bytes, 1000) {
                prop_assert!(body.len() <= 1000);
            }
        }
    }
}
