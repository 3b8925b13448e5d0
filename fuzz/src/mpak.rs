//! MPAK: any body gives the frames that a plain reading gives, at most 256 of them.

use dosp_proto::frame::{FrameType, HEADER_LEN, S2C_ADDRESSES_LEN, encode};
use dosp_proto::mpak::{self, MAX_SUB_FRAMES, MpakError, SubFrames};

/// Frames, and what else was said, in order.
type Found = Vec<Result<(u8, Vec<u8>), MpakError>>;

pub fn run(body: &[u8]) {
    let found = unpack(body);
    assert_eq!(found, model(body));
    let frames: Vec<_> = found.into_iter().flatten().collect();
    let mut out = Vec::new();
    mpak::encode(&mut out, |out| {
        for (frame_type, body) in &frames {
            encode(out, FrameType(*frame_type), body);
        }
    });
    let again: Result<Vec<_>, _> = unpack(&out[HEADER_LEN..]).into_iter().collect();
    assert_eq!(again, Ok(frames));
}

fn unpack(body: &[u8]) -> Found {
    let mut body = body.to_vec();
    let mut frames = SubFrames::new(&mut body);
    let mut found = Found::new();
    while let Some(frame) = frames.next_frame().transpose() {
        found.push(frame.map(|frame| (frame.frame_type().0, frame.body().to_vec())));
    }
    found
}

fn model(mut body: &[u8]) -> Found {
    let mut found = Found::new();
    for num_seen in 0.. {
        if body.is_empty() {
            break;
        }
        if num_seen == MAX_SUB_FRAMES {
            found.push(Err(MpakError::TooMany));
            break;
        }
        let tail_len = body.len();
        let Some((frame_type, content, behind)) = cut(body) else {
            found.push(Err(MpakError::Truncated { tail_len }));
            break;
        };
        match FrameType(frame_type) {
            FrameType::MPAK => found.push(Err(MpakError::Nested)),
            FrameType::S2C if content.len() < S2C_ADDRESSES_LEN => {}
            _ => found.push(Ok((frame_type, content.to_vec()))),
        }
        body = behind;
    }
    found
}

fn cut(body: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[frame_type, len @ ..], rest) = body.split_first_chunk::<HEADER_LEN>()?;
    let (content, behind) = rest.split_at_checked(u32::from_be_bytes(len) as usize)?;
    Some((frame_type, content, behind))
}
