//! MPAK: several frames in the body of one.
//!
//! ```text
//! ├ 1A ┼ LENGTH ┼ TYPE ┼ LENGTH ┼ BODY ┼ TYPE ┼ LENGTH ┼ BODY ┼ … ┤
//! ```
//!
//! Each counts as if it had been sent alone. MPAK does not nest, and a body holds at most
//! [`MAX_SUB_FRAMES`]: a megabyte of empty PINGs would otherwise ask for 200,000 answers at once.

use std::convert::Infallible;

use crate::frame::{self, Frame, FrameType, S2C_ADDRESSES_LEN};

/// The most frames that one body may hold.
pub const MAX_SUB_FRAMES: usize = 256;

/// A part of a body that is not handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MpakError {
    /// An MPAK in an MPAK; the frames behind it follow.
    #[error("MPAK within MPAK")]
    Nested,
    /// The rest of the body is no whole frame; nothing follows.
    #[error("the last {tail_len} bytes of an MPAK are no whole frame")]
    Truncated {
        /// How many bytes that is.
        tail_len: usize,
    },
    /// More frames than allowed; nothing follows.
    #[error("MPAK holds more than {MAX_SUB_FRAMES} frames")]
    TooMany,
}

/// The frames of one body, borrowed from it.
#[derive(Debug)]
pub struct SubFrames<'a> {
    rest: &'a mut [u8],
    num_seen: usize,
}

impl<'a> SubFrames<'a> {
    /// Looks into the body of an MPAK frame.
    #[must_use]
    pub fn new(body: &'a mut [u8]) -> Self {
        Self { rest: body, num_seen: 0 }
    }

    /// The next frame; `None` at the end. S2C without room for its addresses is passed over, as
    /// published hubs do.
    ///
    /// # Errors
    /// [`MpakError`]; iteration may go on after any of them.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'a>>, MpakError> {
        loop {
            let Some(frame) = self.cut_frame()? else { return Ok(None) };
            match frame.frame_type() {
                FrameType::MPAK => return Err(MpakError::Nested),
                FrameType::S2C if frame.body().len() < S2C_ADDRESSES_LEN => {}
                _ => return Ok(Some(frame)),
            }
        }
    }

    fn cut_frame(&mut self) -> Result<Option<Frame<'a>>, MpakError> {
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            return Ok(None);
        }
        if self.num_seen == MAX_SUB_FRAMES {
            return Err(MpakError::TooMany);
        }
        let tail_len = rest.len();
        let Some((frame, rest)) = frame::split_first(rest) else {
            return Err(MpakError::Truncated { tail_len });
        };
        self.rest = rest;
        self.num_seen += 1;
        Ok(Some(frame))
    }
}

/// Appends an MPAK frame around the frames that `write_frames` appends.
pub fn encode(out: &mut Vec<u8>, write_frames: impl FnOnce(&mut Vec<u8>)) {
    let Ok(()) = frame::encode_with(out, FrameType::MPAK, |out| {
        write_frames(out);
        Ok::<(), Infallible>(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::HEADER_LEN;
    use crate::vip::Vip;
    use proptest::prelude::*;

    type Found = (Vec<(u8, Vec<u8>)>, Vec<MpakError>);

    fn unpack(body: &[u8]) -> Found {
        let mut body = body.to_vec();
        let mut frames = SubFrames::new(&mut body);
        let mut found = Found::default();
        loop {
            match frames.next_frame() {
                Ok(None) => return found,
                Ok(Some(frame)) => found.0.push((frame.frame_type().0, frame.body().to_vec())),
                Err(error) => found.1.push(error),
            }
        }
    }

    #[test]
    fn source_can_be_stamped_in_place() {
        let mut out = Vec::new();
        encode(&mut out, |out| {
            frame::encode(out, FrameType::PING, b"");
            frame::encode_s2c(out, Vip::from(1), Vip::NONE, b"one");
        });
        let mut frames = SubFrames::new(&mut out[HEADER_LEN..]);
        frames.next_frame().unwrap().unwrap();
        let mut s2c = frames.next_frame().unwrap().unwrap().into_s2c().unwrap();
        s2c.stamp_src(Vip::from(2));
        assert_eq!(out[15..], *b"\0\0\0\x01\0\0\0\x02one");
    }

    #[test]
    fn nested_mpak_is_refused_and_the_rest_is_taken() {
        let found = unpack(b"\x1a\0\0\0\x05\x02\0\0\0\0\x04\0\0\0\0");
        assert_eq!(found, (vec![(0x04, vec![])], vec![MpakError::Nested]));
    }

    #[test]
    fn truncated_tail_is_dropped() {
        let found = unpack(b"\x02\0\0\0\0\x03\0\0");
        assert_eq!(found, (vec![(0x02, vec![])], vec![MpakError::Truncated { tail_len: 3 }]));
        let found = unpack(b"\x02\xff\xff\xff\xff");
        assert_eq!(found, (vec![], vec![MpakError::Truncated { tail_len: 5 }]));
    }

    #[test]
    fn s2c_without_addresses_is_passed_over() {
        let found = unpack(b"\x03\0\0\0\x07\0\0\0\x01\0\0\0\x02\0\0\0\0");
        assert_eq!(found, (vec![(0x02, vec![])], vec![]));
    }

    #[test]
    fn more_frames_than_allowed_are_dropped() {
        let (frames, errors) = unpack(&b"\x02\0\0\0\0".repeat(MAX_SUB_FRAMES + 9));
        assert_eq!((frames.len(), errors), (MAX_SUB_FRAMES, vec![MpakError::TooMany]));
        assert_eq!(unpack(&b"\x02\0\0\0\0".repeat(MAX_SUB_FRAMES)).1, []);
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            frames in prop::collection::vec((0x04u8..0x1A, prop::collection::vec(any::<u8>(), 0..40)), 0..50)
        ) {
            let mut out = Vec::new();
            encode(&mut out, |out| {
                for (frame_type, body) in &frames {
                    frame::encode(out, FrameType(*frame_type), body);
                }
            });
            prop_assert_eq!(unpack(&out[HEADER_LEN..]), (frames, vec![]));
        }

        #[test]
        fn any_bytes_end(body in prop::collection::vec(0u8..40, 0..2000)) {
            let (frames, errors) = unpack(&body);
            prop_assert!(frames.len() <= MAX_SUB_FRAMES);
            prop_assert!(errors.len() <= MAX_SUB_FRAMES + 1);
        }
    }
}
