//! Compressed bodies: nothing inflates beyond the limit, and what was deflated comes back.
//!
//! ```text
//! [limit u16] [repetitions u8] [offset u16] [mask u8] [bytes]
//! ```
//!
//! The bytes are taken for a stream, with and without a header; then they are repeated, deflated,
//! damaged at the offset, and inflated.

use dosp_proto::frame::{FrameDecoder, FrameType, HEADER_LEN};
use dosp_proto::zlib::{Deflater, InflateError, Inflater};

use crate::Input;

/// The room that is taken beyond the limit, at the most.
const SPARE: usize = 16 * 1024;
const ZLIB_HEADER: [u8; 2] = [0x78, 0x9C];

pub fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let limit = usize::from(input.number());
    let repetitions = usize::from(input.byte()) + 1;
    let (offset, mask) = (usize::from(input.number()), input.byte());
    let bytes = input.rest();

    inflate(bytes, limit).ok();
    inflate(&[&ZLIB_HEADER, bytes].concat(), limit).ok();

    let content = bytes.repeat(repetitions);
    let mut stream = deflated(&content);
    assert_eq!(inflate(&stream, content.len()).as_ref(), Ok(&content));
    if let Some(too_little) = content.len().checked_sub(1) {
        assert!(inflate(&stream, too_little).is_err());
    }
    let len = stream.len();
    stream[offset % len] ^= mask;
    inflate(&stream, limit).ok();
}

/// What `body` inflates to, in every way that there is.
fn inflate(body: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let mut inflater = Inflater::new(limit);
    let first = appended(&mut inflater, body, limit);
    assert_eq!(appended(&mut inflater, body, limit), first, "a stream changed the next one");

    let mut wire = Vec::new();
    dosp_proto::frame::encode(&mut wire, FrameType::MSG, body);
    let mut decoder = FrameDecoder::new(body.len());
    decoder.extend(&wire);
    let frame = decoder.next_frame().unwrap().unwrap();
    let mut room = b"what was here before".to_vec();
    let inflated = inflater.inflate_frame(&frame, &mut room);
    let inflated = inflated.map(|frame| frame.body().to_vec()).map_err(|error| error.to_string());
    assert_eq!(inflated, first);
    first
}

fn appended(inflater: &mut Inflater, body: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let mut out = b"before".to_vec();
    let result = inflater.inflate(body, &mut out);
    assert!(out.capacity() <= 2 * (limit + SPARE), "{} bytes for {limit}", out.capacity());
    if let Err(InflateError::TooLong { max_body_len }) = result {
        assert_eq!(max_body_len, limit);
    }
    result.map_err(|error| error.to_string())?;
    let content = out.split_off(b"before".len());
    assert_eq!((&*out, content.len() <= limit), (&b"before"[..], true));
    Ok(content)
}

fn deflated(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Deflater::default()
        .encode(&mut out, FrameType::MSG, content)
        .expect("it has no reason to fail");
    out.split_off(HEADER_LEN)
}
