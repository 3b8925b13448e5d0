//! `FrameDecoder`: any bytes in any cuts are the same frames, in bounded memory.
//!
//! ```text
//! [limit u16] [repetitions u8] [number of cuts u8] [cuts u8 …] [bytes, to be repeated]
//! ```
//!
//! A cut is a length up to 127; its highest bit asks for the buffer to be taken away afterwards.

use dosp_proto::frame::{
    DecodeError, FrameDecoder, FrameType, HEADER_LEN, S2C_ADDRESSES_LEN, S2C_HEADER_LEN,
};
use dosp_proto::vip::Vip;

use crate::Input;

/// The room that a decoder may take beyond twice of what it holds.
const SPARE: usize = 16 * 1024;
const MAX_WIRE_LEN: usize = 256 * 1024;
const SOMEBODY: Vip = Vip::NONE;

/// What a decoder gave out, and how it ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Decoded {
    frames: Vec<(u8, Vec<u8>)>,
    error: Option<DecodeError>,
    left_len: usize,
}

pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let max_body_len = usize::from(input.number());
    let repetitions = usize::from(input.byte()) + 1;
    let cuts = input.counted_bytes();
    let bytes = input.rest();
    let wire = bytes.repeat(repetitions.min(MAX_WIRE_LEN / bytes.len().max(1)));
    let expected = model(&wire, max_body_len);
    assert_eq!(decode(&wire, &[], max_body_len), expected, "in one piece");
    assert_eq!(decode(&wire, cuts, max_body_len), expected, "in pieces");
}

/// The obvious way, with everything at hand.
fn model(wire: &[u8], max_body_len: usize) -> Decoded {
    let mut decoded = Decoded::default();
    let mut rest = wire;
    while let Some((&[frame_type, len @ ..], body)) = rest.split_first_chunk::<HEADER_LEN>() {
        let body_len = u32::from_be_bytes(len);
        if body_len as usize > max_body_len {
            let frame_type = FrameType(frame_type);
            decoded.error = Some(DecodeError::TooLong { frame_type, body_len, max_body_len });
            return decoded;
        }
        let Some((body, behind)) = body.split_at_checked(body_len as usize) else { break };
        decoded.frames.push((frame_type, body.to_vec()));
        rest = behind;
    }
    decoded.left_len = rest.len();
    decoded
}

fn decode(wire: &[u8], cuts: &[u8], max_body_len: usize) -> Decoded {
    let mut decoder = FrameDecoder::new(max_body_len);
    let mut decoded = Decoded::default();
    let mut rest = wire;
    let mut max_buffered_len = 0;
    for cut in cuts.iter().cycle().map(Some).chain(std::iter::repeat(None)) {
        let len = cut.map_or(rest.len(), |cut| usize::from(cut & 0x7F).max(1)).min(rest.len());
        let (now, later) = rest.split_at(len);
        decoder.extend(now);
        max_buffered_len = max_buffered_len.max(decoder.buffered_len());
        if let Err(error) = drain(&mut decoder, &mut decoded.frames) {
            decoder.extend(b"more");
            assert_eq!(decoder.next_frame().err(), Some(error), "an error is for ever");
            decoded.error = Some(error);
            return decoded;
        }
        let held_len = decoder.space().len() + decoder.buffered_len();
        assert!(held_len <= 2 * max_buffered_len + SPARE, "{held_len} for {max_buffered_len}");
        if cut.is_some_and(|cut| cut & 0x80 != 0) {
            take_buffer_away(&mut decoder);
        }
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    decoded.left_len = decoder.buffered_len();
    decoded
}

fn drain(decoder: &mut FrameDecoder, frames: &mut Vec<(u8, Vec<u8>)>) -> Result<(), DecodeError> {
    while let Some(frame) = decoder.next_frame()? {
        let frame_type = frame.frame_type().0;
        let body = frame.body().to_vec();
        match frame.into_s2c() {
            Ok(mut s2c) => {
                s2c.stamp_src(SOMEBODY);
                assert_eq!(
                    (s2c.src(), s2c.dst().octets()),
                    (SOMEBODY, body[..4].try_into().unwrap())
                );
                assert_eq!(s2c.bytes().len(), S2C_HEADER_LEN + s2c.data().len());
                assert_eq!(s2c.into_data(), &body[S2C_ADDRESSES_LEN..]);
            }
            Err(error) => {
                assert_eq!(error, DecodeError::NoAddresses { body_len: body.len() });
                assert!(body.len() < S2C_ADDRESSES_LEN);
            }
        }
        frames.push((frame_type, body));
    }
    Ok(())
}

/// As a hub does with an idle session's.
fn take_buffer_away(decoder: &mut FrameDecoder) {
    let buffered_len = decoder.buffered_len();
    match decoder.detach_buffer() {
        Some(_) => {
            assert_eq!(decoder.buffered_len(), buffered_len, "an unfinished frame is kept");
            decoder.attach_buffer(vec![0xEE; 7]);
        }
        None => assert!(buffered_len > 0, "this one had a buffer"),
    }
}
