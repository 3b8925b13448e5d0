use proptest::prelude::*;

use super::*;

fn frames_of(decoder: &mut FrameDecoder) -> Result<Vec<(u8, Vec<u8>)>, DecodeError> {
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next_frame()? {
        frames.push((frame.frame_type().0, frame.body().to_vec()));
    }
    Ok(frames)
}

fn vip(text: &str) -> Vip {
    text.parse().unwrap()
}

#[test]
fn s2c_frame_has_the_published_bytes() {
    let mut out = Vec::new();
    encode_s2c(&mut out, vip("7.10.0.2"), vip("7.10.0.3"), b"hello");
    // 03 | 0000000d | DST 7.10.0.2 | SRC 7.10.0.3 | "hello"
    let golden = b"\x03\x00\x00\x00\x0d\x07\x0a\x00\x02\x07\x0a\x00\x03hello";
    assert_eq!(out, golden);

    let mut decoder = FrameDecoder::new(DEFAULT_MAX_BODY_LEN);
    decoder.extend(golden);
    let mut s2c = decoder.next_frame().unwrap().unwrap().into_s2c().unwrap();
    assert_eq!(
        (s2c.dst(), s2c.src(), s2c.data()),
        (vip("7.10.0.2"), vip("7.10.0.3"), &b"hello"[..])
    );
    s2c.stamp_src(vip("7.10.0.9"));
    assert_eq!(s2c.bytes()[9..13], [7, 10, 0, 9]);
}

#[test]
fn s2c_without_room_for_addresses_is_refused() {
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_BODY_LEN);
    decoder.extend(b"\x03\x00\x00\x00\x07\x07\x0a\x00\x02\x07\x0a\x00");
    let error = decoder.next_frame().unwrap().unwrap().into_s2c().unwrap_err();
    assert_eq!(error, DecodeError::NoAddresses { body_len: 7 });
}

#[test]
fn s2c_frame_is_the_same_in_a_buffer_and_in_a_batch() {
    let (dst, src) = (vip("7.10.0.2"), vip("7.10.0.3"));
    let mut out = Vec::new();
    encode_s2c(&mut out, dst, src, b"data");
    let mut buffer = PacketBuf::from(&b"data"[..]);
    prepend_s2c(&mut buffer, dst, src);
    assert_eq!(buffer.content(), out);
}

#[test]
fn failed_body_leaves_the_output_as_it_was() {
    let mut out = b"before".to_vec();
    let result = encode_with(&mut out, FrameType::S2C, |out| {
        out.extend_from_slice(b"half");
        Err("full")
    });
    assert_eq!((result, out.as_slice()), (Err("full"), &b"before"[..]));
}

#[test]
fn length_above_the_limit_is_refused_before_its_body_comes_and_for_ever() {
    let mut decoder = FrameDecoder::new(4096);
    decoder.extend(&[0x01, 0xFF, 0xFF, 0xFF, 0xFF]);
    for _ in 0..2 {
        let error = decoder.next_frame().unwrap_err();
        assert!(matches!(error, DecodeError::TooLong { body_len: u32::MAX, .. }), "{error}");
    }
    assert!(decoder.buffer.len() <= 2 * MIN_SPACE, "no memory on the word of LENGTH");
}

#[test]
fn buffer_grows_with_what_arrived_not_with_what_was_announced() {
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_BODY_LEN);
    decoder.extend(&header(FrameType::MSG, 1_000_000));
    assert!(decoder.next_frame().unwrap().is_none());
    decoder.extend(&[7; 40_000]);
    assert!(decoder.buffer.len() <= 2 * 40_005 + 2 * MIN_SPACE, "{}", decoder.buffer.len());
    decoder.extend(&vec![7; 960_000]);
    assert_eq!(decoder.next_frame().unwrap().unwrap().body().len(), 1_000_000);
}

#[test]
fn idle_decoder_gives_its_buffer_away_and_keeps_an_unfinished_frame() {
    let mut decoder = FrameDecoder::new(4096);
    assert!(decoder.detach_buffer().is_none(), "it has none yet");
    decoder.extend(b"\x02\x00\x00\x00\x00\x02\x00");
    assert_eq!(frames_of(&mut decoder).unwrap().len(), 1);
    assert!(decoder.detach_buffer().unwrap().len() >= MIN_SPACE);
    assert_eq!((decoder.buffered_len(), decoder.buffer.capacity()), (2, 2));
    assert!(decoder.detach_buffer().is_none(), "what it has left is the frame's");
    decoder.attach_buffer(vec![0xEE; MIN_SPACE]);
    decoder.extend(b"\x00\x00\x00\x02\x00\x00\x00\x00");
    assert_eq!(frames_of(&mut decoder).unwrap(), [(2, Vec::new()), (2, Vec::new())]);
}

#[test]
fn long_unfinished_frame_keeps_its_buffer() {
    let mut decoder = FrameDecoder::new(4096);
    decoder.extend(&[1, 0, 0, 0x10, 0]);
    decoder.extend(&[7; 2000]);
    assert!(decoder.next_frame().unwrap().is_none());
    assert!(decoder.detach_buffer().is_none());
    decoder.attach_buffer(vec![0xEE; 7]);
    decoder.extend(&[7; 2096]);
    assert_eq!(frames_of(&mut decoder).unwrap(), [(1, vec![7; 4096])]);
}

proptest! {
    #[test]
    fn frames_come_out_the_same_however_the_bytes_are_cut(
        frames in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..300)), 0..20),
        cuts in prop::collection::vec(1usize..200, 1..50),
    ) {
        let mut wire = Vec::new();
        for (frame_type, body) in &frames {
            encode(&mut wire, FrameType(*frame_type), body);
        }
        let mut decoder = FrameDecoder::new(4096);
        let mut found = Vec::new();
        let mut rest = wire.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            decoder.extend(now);
            found.extend(frames_of(&mut decoder).unwrap());
            if let Some(buffer) = decoder.detach_buffer() {
                decoder.attach_buffer(buffer);
            }
            rest = later;
        }
        prop_assert_eq!(found, frames);
        prop_assert_eq!(decoder.buffered_len(), 0);
    }

    #[test]
    fn any_bytes_are_frames_or_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut decoder = FrameDecoder::new(1000);
        decoder.extend(&bytes);
        while let Ok(Some(frame)) = decoder.next_frame() {
            prop_assert!(frame.body().len() <= 1000);
            if let Ok(s2c) = frame.into_s2c() {
                let len = s2c.data().len();
                prop_assert_eq!(s2c.into_data().len(), len);
            }
        }
    }
}
