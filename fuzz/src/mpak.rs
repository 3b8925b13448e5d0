//! MPAK: any body is taken apart within its bounds, and what was taken apart can be put together.

use dosp_proto::frame;
use dosp_proto::mpak::{self, SubFrames};

pub fn run(body: &[u8]) {
    let frames = taken_apart(body);
    let len: usize = frames.iter().map(|(_, body)| frame::HEADER_LEN + body.len()).sum();
    assert!(len <= body.len());
    let mut packed = Vec::new();
    mpak::encode(&mut packed, |out| {
        for (frame_type, body) in &frames {
            frame::encode(out, *frame_type, body);
        }
    });
    assert_eq!(taken_apart(&packed[frame::HEADER_LEN..]), frames);
}

/// The frames of `body`; an error that leads on is passed over, one that does not ends the list.
fn taken_apart(body: &[u8]) -> Vec<(frame::FrameType, Vec<u8>)> {
    let mut bytes = body.to_vec();
    let mut sub_frames = SubFrames::new(&mut bytes);
    let mut frames = Vec::new();
    // An error may come for each header that the body has room for.
    for _ in 0..=body.len() {
        match sub_frames.next_frame() {
            Ok(Some(frame)) => frames.push((frame.frame_type(), frame.body().to_vec())),
            Ok(None) => break,
            Err(_) => {}
        }
    }
    frames
}
