//! What the published implementation makes and takes: `vectors.json` was made by running it.

#![allow(clippy::unwrap_used, reason = "tests")]

use dosp_proto::frame::{self, FrameDecoder, FrameType};
use dosp_proto::mpak::{self, SubFrames};
use dosp_proto::sd::{Advertisement, Route};
use dosp_proto::vip::{Network, Vip};
use dosp_proto::zlib::{Deflater, Inflater};
use serde_json::Value;

const MAX_BODY_LEN: usize = 1 << 20;

fn rows(table: &str) -> Vec<Value> {
    let vectors: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    vectors[table].as_array().unwrap().clone()
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("no {key} in {row}"))
}

fn hex(row: &Value, key: &str) -> Vec<u8> {
    let digits = text(row, key).as_bytes();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn vip(row: &Value, key: &str) -> Vip {
    text(row, key).parse().unwrap()
}

fn frame_type(row: &Value) -> FrameType {
    FrameType(row["type"].as_u64().unwrap().try_into().unwrap())
}

/// Every frame in `bytes`, which come in pieces of `piece_len`.
fn frames(bytes: &[u8], piece_len: usize) -> Vec<(FrameType, Vec<u8>)> {
    let mut decoder = FrameDecoder::new(MAX_BODY_LEN);
    let mut found = Vec::new();
    for piece in bytes.chunks(piece_len) {
        decoder.extend(piece);
        while let Some(frame) = decoder.next_frame().unwrap() {
            found.push((frame.frame_type(), frame.body().to_vec()));
        }
    }
    assert_eq!(decoder.buffered_len(), 0);
    found
}

#[test]
fn packets_are_made_byte_by_byte() {
    for row in rows("packets") {
        let mut out = Vec::new();
        let payload = hex(&row, "payload");
        if frame_type(&row) == FrameType::S2C {
            frame::encode_s2c(&mut out, vip(&row, "dst"), vip(&row, "src"), &payload);
        } else {
            frame::encode(&mut out, frame_type(&row), &payload);
        }
        assert_eq!(out, hex(&row, "wire"), "{row}");
    }
}

#[test]
fn packets_are_read() {
    for row in rows("packets") {
        let mut decoder = FrameDecoder::new(MAX_BODY_LEN);
        decoder.extend(&hex(&row, "wire"));
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!(frame.frame_type(), frame_type(&row), "{row}");
        if frame.frame_type() != FrameType::S2C {
            assert_eq!(frame.body(), hex(&row, "payload"), "{row}");
            continue;
        }
        let s2c = frame.into_s2c().unwrap();
        let found = (s2c.dst(), s2c.src(), s2c.data().to_vec());
        assert_eq!(found, (vip(&row, "dst"), vip(&row, "src"), hex(&row, "payload")), "{row}");
    }
}

#[test]
fn every_wire_is_read_the_same_wherever_it_is_cut() {
    let tables = ["packets", "mpak", "zlib", "sd"];
    let wires = tables.iter().flat_map(|table| rows(table));
    for row in wires.filter(|row| row.get("wire").is_some()) {
        let wire = hex(&row, "wire");
        let whole = frames(&wire, wire.len());
        assert_eq!(whole.len(), 1, "{row}");
        assert_eq!(frames(&wire, 1), whole, "{row}");
        for at in 0..=wire.len() {
            let mut decoder = FrameDecoder::new(MAX_BODY_LEN);
            decoder.extend(&wire[..at]);
            let is_whole = decoder.next_frame().unwrap().is_some();
            assert_eq!(is_whole, at == wire.len(), "cut at {at}: {row}");
            if !is_whole {
                decoder.extend(&wire[at..]);
                let frame = decoder.next_frame().unwrap().unwrap();
                assert_eq!((frame.frame_type(), frame.body().to_vec()), whole[0], "{row}");
            }
        }
    }
}

#[test]
fn vips_are_written_and_read() {
    for row in rows("ip") {
        let Ok(vip) = text(&row, "ip").parse::<Vip>() else {
            // The published code lets the last number run over into the one before.
            assert_eq!(text(&row, "ip"), "7.10.0.256");
            continue;
        };
        assert_eq!(u64::from(u32::from(vip)), row["int"].as_u64().unwrap());
        assert_eq!(vip.octets(), *hex(&row, "hex"));
        assert_eq!(vip.to_string(), text(&row, "back"));
    }
}

#[test]
fn templates_hold_what_they_should() {
    for row in rows("template_match") {
        match text(&row, "template").parse::<Network>() {
            Ok(network) => {
                assert_eq!(network.contains(vip(&row, "ip")), row["match"].as_bool().unwrap());
            }
            // A hub's own network is a template of one x at the end, or CIDR.
            Err(_) => {
                assert!(["7.10.x.x", "7.10.0.5", "x.10.0.1"].contains(&text(&row, "template")))
            }
        }
    }
}

fn unpacked(mut body: Vec<u8>) -> Vec<(FrameType, Vec<u8>)> {
    let mut frames = SubFrames::new(&mut body);
    let mut found = Vec::new();
    while let Ok(Some(frame)) = frames.next_frame() {
        found.push((frame.frame_type(), frame.body().to_vec()));
    }
    found
}

#[test]
fn mpak_is_made_and_taken_apart() {
    let row = &rows("mpak")[0];
    let (alice, bob) = (Vip::from([7, 10, 0, 2]), Vip::from([7, 10, 0, 3]));
    let mut out = Vec::new();
    mpak::encode(&mut out, |out| {
        frame::encode(out, FrameType::PING, b"");
        frame::encode_s2c(out, bob, alice, b"one");
        frame::encode_s2c(out, bob, Vip::NONE, b"two");
        frame::encode(out, FrameType::GCL, b"");
    });
    assert_eq!(out, hex(row, "wire"));
    assert_eq!(frames(&hex(row, "payload"), 7), unpacked(hex(row, "payload")));
}

#[test]
fn malformed_mpak_gives_the_frames_that_are_whole() {
    for row in rows("mpak").iter().skip(1) {
        let found = unpacked(hex(row, "malformed_payload"));
        // The published hub sends S2C without addresses to 0.0.0.0, where nobody is.
        let expected: Vec<_> = row["unpacks_to"].as_array().unwrap().iter().collect();
        let expected = expected.iter().filter(|sub| frame_type(sub) != FrameType::S2C);
        let expected: Vec<_> = expected.map(|sub| (frame_type(sub), hex(sub, "payload"))).collect();
        assert_eq!(found, expected, "{row}");
    }
}

#[test]
fn compressed_bodies_are_read_and_ours_inflate_to_the_same() {
    let (mut inflater, mut deflater) = (Inflater::new(MAX_BODY_LEN), Deflater::default());
    for row in rows("zlib") {
        let plain = hex(&row, "inflated_payload");
        let [(frame_type, body)] = frames(&hex(&row, "wire"), 100).try_into().unwrap();
        let mut ours = Vec::new();
        deflater.encode(&mut ours, frame_type, &plain).unwrap();
        for compressed in [&body, &ours[frame::HEADER_LEN..]] {
            let mut inflated = Vec::new();
            inflater.inflate(compressed, &mut inflated).unwrap();
            assert_eq!(inflated, plain, "{row}");
        }
    }
}

#[test]
fn advertisements_are_made_and_read() {
    for row in rows("sd") {
        let routes = row["entries"].as_array().unwrap().iter().map(|entry| Route {
            host: text(entry, "host").to_owned(),
            port: entry["port"].as_u64().unwrap().try_into().unwrap(),
            template: text(entry, "template").to_owned(),
            num_hops: entry["hop"].as_u64().unwrap().try_into().unwrap(),
        });
        let advertisement = Advertisement(routes.collect());
        let mut out = Vec::new();
        advertisement.encode_to(&mut out).unwrap();
        assert_eq!(out, hex(&row, "wire"), "{row}");
        assert_eq!(Advertisement::decode(&hex(&row, "payload")), Ok(advertisement), "{row}");
    }
}
