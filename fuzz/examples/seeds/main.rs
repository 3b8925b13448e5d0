//! Writes the inputs that the fuzzers start from: `cargo run --example seeds`, in `fuzz/`.
//!
//! Inputs that a fuzzer found are added to `corpus/` by hand and are not touched by this.

mod members;

use std::fs;
use std::path::Path;

use dosp_proto::federation::Forwarding;
use dosp_proto::frame::{self, FrameType, HEADER_LEN};
use dosp_proto::message::{
    Aip, ClientList, ErrorCode, ErrorReport, Hsk, SessionInfo, VipAnswer, VipRequest,
    encode_greeting,
};
use dosp_proto::mpak;
use dosp_proto::sd::{Advertisement, Route};
use dosp_proto::vip::{Network, Vip};
use dosp_proto::zlib::Deflater;

/// A hello and a frame of the published implementation, as in the tests of `tunnel::v1`.
const HELLO: &str = "150102030405060708000000006553f100\
    07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c";
const FRAME: &str = "202122232425262728292a2bc587e2903741aa79f05846a9eeaefe1199300ecb86c8c068510e\
    866ea2f25df86cafbd0d8f6e6b5233114274f74ce6888b1c05d9396f0adb47cb149127";

fn main() {
    forwarded();
    frame_decoder();
    frames_v2();
    handshake();
    handshake_v2();
    hsk();
    inflate();
    members::join_string();
    members::member_handshake();
    members::member_words();
    mpak();
    packet();
    sd();
    splitter();
    tunnel();
    tunnel_v2();
    tunnel_v2_sessions();
    vnet_header();
}

fn forwarded() {
    let (a, b) = vips();
    let begun = Forwarding::begin([1, 2, 3, 4].into(), true);
    let travelled = |ttl| Forwarding { ttl, ..begun };
    let (last, spent, boundless) = (travelled(1), travelled(0), travelled(255));
    for (name, forwarding) in
        [("begun", begun), ("last", last), ("spent", spent), ("boundless", boundless)]
    {
        let header = forwarding.header(a, b, 5);
        write("forwarded", name, &[&header[HEADER_LEN..], b"hello"].concat());
    }
    write("forwarded", "without_data", &begun.header(a, b, 0)[HEADER_LEN..]);
    write("forwarded", "too_short", &begun.header(a, b, 0)[HEADER_LEN + 1..]);
    write("forwarded", "other_flags", b"\x08\xfe\x01\x02\x03\x04\x07\x0a\0\x02\x07\x0b\0\x03");
}

fn frame_decoder() {
    let (a, b) = vips();
    // limit, repetitions, number of cuts, cuts
    let mut greeting = vec![0x10, 0x00, 0, 3, 1, 4, 7];
    greeting.extend(encode_greeting(a, Hsk::OURS));
    write("frame_decoder", "greeting", &greeting);

    let mut session = vec![0x04, 0x00, 3, 2, 0x83, 0x05];
    frame::encode(&mut session, FrameType::PING, b"");
    VipRequest(b).encode_to(&mut session);
    frame::encode_s2c(&mut session, a, b, b"hello");
    frame::encode(&mut session, FrameType::MSG, &[b'x'; 300]);
    frame::encode(&mut session, FrameType::EXIT, b"CC");
    write("frame_decoder", "session", &session);

    let long = [&[0x00, 0x10, 0, 1, 2][..], b"\x02\0\0\0\0\x01\xFF\xFF\xFF\xFFabc"].concat();
    write("frame_decoder", "too_long", &long);
    let limit = [&[0x00, 0x05, 0, 0][..], b"\x01\0\0\0\x05at it\x01\0\0\0\x06beyond"].concat();
    write("frame_decoder", "at_the_limit", &limit);
    // Grows far beyond the first room of the buffer.
    let large = [&[0xFF, 0xFF, 250, 1, 0x7F][..], b"\x01\0\0\xEA\x60", &[7; 295]].concat();
    write("frame_decoder", "large", &large);
    let short_s2c = [&[0x00, 0x10, 0, 0][..], b"\x03\0\0\0\x07\x07\x0a\0\x02\x07\x0a\0"].concat();
    write("frame_decoder", "s2c_without_addresses", &short_s2c);
}

fn frames_v2() {
    write("frames_v2", "frame", &[&[0xD2][..], &[7; 33]].concat());
    write("frames_v2", "opening", &[&[0x15; 49][..], b"DSP2\x01", &[7; 56]].concat());
    write("frames_v2", "answer", &[&[0x15; 49][..], b"DSP2\x02", &[7; 64]].concat());
    write("frames_v2", "proof", &[&b"\x15DSP2\x03"[..], &[7; 64]].concat());
    write("frames_v2", "echo_request", b"\x01\0\0\0\0\0\0\0\x07ping");
    write("frames_v2", "echo_reply", b"\x02\0\0\0\0\0\0\0\x07");
    write("frames_v2", "packets", b"\0\x03one\0\x01x");
    write("frames_v2", "empty_packet", b"\0\x03one\0\0");
    write("frames_v2", "most_packets", &b"\0\x01x".repeat(256));
    write("frames_v2", "too_many_packets", &b"\0\x01x".repeat(257));
}

fn handshake() {
    let hello = hex(HELLO);
    let frame = hex(FRAME);
    let data = |data: &[u8]| [&[0, u8::try_from(data.len()).unwrap()][..], data].concat();
    write("handshake", "published_hello_and_frame", &[data(&hello), data(&frame)].concat());
    let opening = [&[3][..], &data(&hello), &data(&frame), &[8, 20]].concat();
    write("handshake", "answer_to_own_opening", &opening);
    // Plain, refusal, legacy, version 2.
    let forms = [&b"hello"[..], b"\x15\xFFno", &[0x15; 17], b"\x15DSP2", b""].map(data);
    write("handshake", "other_forms", &forms.concat());
    // A low-order key, clocks 301 s off, one made hello that comes twice.
    let made = |error: i16, byte: u8| [&[1][..], &error.to_be_bytes(), &[byte; 40]].concat();
    let hellos = [made(0, 0), made(301, 7), made(-301, 7), made(0, 9), vec![6, 3]].concat();
    write("handshake", "low_order_key_and_clocks", &hellos);
    let reflected = [3, 5, 0, 0, 5, 0, 7, 2, 0x05, 0xDC, 5, 0, 1, 2, 0xFF, 0xFF, 2, 0xFF, 0xFF];
    write("handshake", "own_hello_comes_back", &reflected);
    let flood = [4, 4, 4, 4, 4, 4, 2, 3, 0xE8, 4, 3, 4, 8, 9, 7, 4, 2, 3, 0xE8, 4];
    write("handshake", "strangers", &flood);
    let unopened = [&[4][..], &data(&frame).repeat(3), &[2, 0x17, 0x70], &data(&frame).repeat(3)];
    write("handshake", "frames_that_do_not_open", &unopened.concat());
}

fn handshake_v2() {
    // Record 0 is what was sent last; 8 opens, 9 carries (1) or loses (0), 7 waits.
    write("handshake_v2", "undisturbed", &[8, 0, 9, 0, 1, 9, 1, 1, 9, 0, 1, 9, 1, 1]);
    let crossed = [8, 0, 8, 1, 9, 0, 0, 9, 1, 0, 1, 0, 0, 1, 1, 1, 9, 1, 1, 9, 0, 1, 9, 1, 1];
    write("handshake_v2", "crossed", &crossed);
    // Opening, answer and proof: first with one byte changed, or cut, then as they are.
    let opening = [8, 0, 9, 0, 0, 2, 0, 0, 100, 1, 1, 3, 0, 80, 1, 1, 0, 1];
    let answer = [9, 1, 0, 2, 0, 0, 70, 1, 0, 2, 0, 0, 55, 1, 0, 3, 0, 90, 0, 1, 0, 0];
    let proof = [9, 0, 0, 2, 0, 0, 30, 1, 1, 1, 0, 1, 9, 1, 1];
    write("handshake_v2", "changed", &[&opening[..], &answer, &proof].concat());
    let reflected = [8, 1, 9, 1, 0, 1, 0, 1, 1, 0, 0, 9, 0, 0, 1, 0, 0, 1, 0, 1, 9, 1, 0, 1, 0, 1];
    write("handshake_v2", "reflected", &reflected);
    let spliced = [8, 0, 9, 0, 0, 1, 0, 1, 9, 1, 0, 5, 0, 1, 0, 62, 0, 5, 1, 0, 0, 54, 1, 9, 1, 1];
    write("handshake_v2", "spliced", &spliced);
    let repeated =
        [8, 0, 9, 0, 0, 1, 0, 1, 1, 0, 1, 9, 1, 0, 1, 0, 0, 1, 0, 0, 9, 0, 0, 1, 0, 1, 1, 0, 1];
    write("handshake_v2", "repeated", &repeated);
    // Somebody in the middle answers A's opening, and another one opens to B and proves his key.
    let answered = [8, 0, 9, 0, 0, 1, 0, 2, 9, 2, 1];
    let opened = [8, 3, 9, 1, 1, 9, 3, 1, 9, 1, 1];
    write("handshake_v2", "strangers", &[&answered[..], &opened].concat());
    // A proof that fails, one that comes too late, and an opening that is given up.
    let failed = [8, 0, 9, 0, 1, 9, 1, 1, 9, 0, 0, 2, 0, 0, 40, 1, 1, 1, 0, 1, 7, 0x13, 0x88];
    write("handshake_v2", "proof_that_fails", &failed);
    let late = [8, 1, 9, 1, 1, 9, 0, 1, 9, 1, 0, 7, 0x27, 0x10, 1, 0, 0, 9, 0, 1];
    write("handshake_v2", "proof_too_late", &late);
    let flood = [[8, 3, 9, 1, 0, 10, 3].repeat(6), vec![8, 1, 9, 1, 1, 12, 1, 13, 1, 9]].concat();
    write("handshake_v2", "flood", &flood);
    let restarted = [8, 0, 9, 0, 1, 11, 1, 9, 1, 1, 8, 1, 9, 1, 1, 11, 0, 9, 0, 1, 13, 0, 4, 10, 1];
    write("handshake_v2", "restarted", &restarted);
    let made = |message: u8, len: u8| [&[6, message, 0, len][..], &[7; 64][..len.into()]].concat();
    let made = [vec![8, 0], made(0, 56), made(1, 64), made(2, 64), vec![0, 1, 3, 0x15, 0xD2, 0]];
    write("handshake_v2", "made_up", &made.concat());
}

fn hsk() {
    let (a, b) = vips();
    let session = SessionInfo {
        vip: a,
        network: Network::DEFAULT,
        uptime_s: 12,
        rx_frames: 3,
        tx_frames: 4,
        admin: false,
    };
    let undeliverable = ErrorReport::Undeliverable { dst: b, reason: "no" };
    let unknown = ErrorReport::Code(ErrorCode::UNKNOWN_TYPE, &[0x42]);
    write("hsk", "aip", &body(|out| Aip(a).encode_to(out)));
    write("hsk", "aip_text", b"7.10.0.2");
    write("hsk", "hsk_ours", &body(|out| Hsk::OURS.encode_to(out)));
    write("hsk", "hsk_first", b"[1, 0]");
    write("hsk", "hsk_compression", b"\x01[2, 1145962497, 'more', 7]");
    write("hsk", "rqip_granted", &body(|out| VipAnswer::Granted.encode_to(out)));
    write("hsk", "rqip_refused", &body(|out| VipAnswer::IN_USE.encode_to(out)));
    write("hsk", "gcl", &body(|out| ClientList(vec![a, b]).encode_to(out)));
    write("hsk", "gsi", &body(|out| session.encode_to(out)));
    write("hsk", "client_info", &[b"2d71164F".repeat(8), b"ignored".to_vec()].concat());
    write("hsk", "err_undeliverable", &body(|out| undeliverable.encode_to(out)));
    write("hsk", "err_unknown_type", &body(|out| unknown.encode_to(out)));
    write("hsk", "err_text", b"Packet too large");
}

fn inflate() {
    // limit, repetitions, offset, mask
    let start = |limit: u16, repetitions: u8, offset: u16, mask: u8| {
        [&limit.to_be_bytes()[..], &[repetitions], &offset.to_be_bytes(), &[mask]].concat()
    };
    write("inflate", "text", &[start(100, 0, 0, 0), b"hello, hello, hello".to_vec()].concat());
    write("inflate", "damaged", &[start(1000, 9, 8, 0x10), b"some text ".to_vec()].concat());
    write("inflate", "bomb", &[start(100, 255, 3, 1), vec![0; 256]].concat());
    let mut stream = Vec::new();
    Deflater::default().encode(&mut stream, FrameType::MSG, b"whole stream").unwrap();
    write("inflate", "stream", &[start(100, 0, 0, 0), stream.split_off(HEADER_LEN)].concat());
    let half = [0x4B, 0x04, 0x00];
    write("inflate", "stream_without_its_end", &[&start(5, 0, 0, 0)[..], &half].concat());
}

fn mpak() {
    let (a, b) = vips();
    let mixed = body(|out| {
        mpak::encode(out, |out| {
            frame::encode(out, FrameType::PING, b"");
            frame::encode_s2c(out, a, b, b"hello");
            VipRequest(b).encode_to(out);
        });
    });
    write("mpak", "mixed", &mixed);
    write("mpak", "nested", b"\x1a\0\0\0\x05\x02\0\0\0\0\x04\0\0\0\0");
    write("mpak", "truncated", b"\x02\0\0\0\0\x02\xff\xff\xff\xff");
    write("mpak", "s2c_without_addresses", b"\x03\0\0\0\x07\0\0\0\x01\0\0\0\x02\0\0\0\0");
    write("mpak", "too_many", &b"\x02\0\0\0\0".repeat(mpak::MAX_SUB_FRAMES + 1));
}

/// The target puts lengths and checksums right by itself.
fn packet() {
    let addresses = "070a0002070a0003";
    let icmp = "4500001c0000400040010000".to_owned() + addresses + "0800f7ff00000000";
    write("packet", "icmp", &hex(&icmp));
    let udp = "4500001e0001000040110000".to_owned() + addresses + "00010002000a000068690000";
    write("packet", "udp", &hex(&udp));
    let fragment = "4500001c0001200740110000".to_owned() + addresses + "0001000200080000";
    write("packet", "fragment", &hex(&fragment));
    let options = "460000200001000040060000".to_owned() + addresses + "94040000" + "00160016";
    write("packet", "options", &hex(&options));
    write("packet", "ipv6", &hex(&("60000000".to_owned() + &"00".repeat(36))));
}

fn sd() {
    let route = |template: &str, num_hops| Route {
        host: "hub.example.org".to_owned(),
        port: 7744,
        template: template.to_owned(),
        num_hops,
    };
    let routes = vec![route("7.10.0.{x}", 0), route("10.7.0.{x}", 3)];
    let mut two = body(|out| Advertisement(routes).encode_to(out).unwrap());
    write("sd", "two_routes", &two);
    two.truncate(two.len() - 1);
    write("sd", "truncated", &two);
    write("sd", "none_and_more_behind", b"\x01\0more");
    write("sd", "other_version", b"\x02\0");
    write("sd", "no_text", b"\x01\x01\x01\xff\0\0\0\0");
}

/// Transport, size of a segment, repetitions; then the headers, most of which the target puts right.
fn splitter() {
    let headers =
        |text: &str| [hex("45000000fffe400040000000070a0002070a0003"), hex(text)].concat();
    let udp = [headers("0fa0003500000000"), vec![7; 92]].concat();
    write("splitter", "udp", &[&[1, 0, 100, 20][..], &udp].concat());
    write("splitter", "udp_short", &[&[1, 0, 8, 20][..], &udp].concat());
    let tcp = |rest: &str| [headers(&("13880050ffffff00000003e9".to_owned() + rest)), vec![7; 90]];
    let plain = tcp("5099fff000000000").concat();
    write("splitter", "tcp", &[&[0, 1, 0, 200][..], &plain].concat());
    let options = tcp("8099fff0000000000101080aaf33927d00000001").concat();
    write("splitter", "tcp_with_options", &[&[0, 4, 0, 255][..], &options].concat());
}

/// A step of the targets of tunnels: a side seals so many frames.
fn seal(side: u8, number: u8) -> [u8; 4] {
    [0, side, number, 16]
}

fn tunnel() {
    // After the way in which the tunnel was opened: the steps. Records 0 and 1 are the hellos.
    let traffic = [&[0][..], &seal(0, 3), &seal(1, 2), &[1, 2, 1, 1, 3, 1, 1, 5, 0, 1, 4, 1]];
    write("tunnel", "traffic", &traffic.concat());
    let crossed = [&[1][..], &seal(0, 1), &seal(1, 1), &[1, 2, 1, 1, 3, 0, 1, 2, 1, 1, 3, 1]];
    write("tunnel", "crossed", &crossed.concat());
    let changed = [
        &[0][..],
        &seal(0, 2),
        &[2, 2, 1, 0, 80, 1, 3, 2, 1, 67, 4, 3, 1, 1, 9],
        &[5, 2, 1, 3, 0, 12],
    ];
    write("tunnel", "changed", &changed.concat());
    let replayed = [&[2][..], &seal(0, 2), &[1, 0, 1, 1, 1, 0, 1, 0, 0, 1, 6, 1, 1, 6, 1, 9, 1]];
    write("tunnel", "replayed_handshakes", &replayed.concat());
    // The start of its own opening before the key of the other one; then its frame comes back.
    let own_id = [&[0, 10, 0, 9, 0, 5, 2, 0, 1, 0, 17][..], &seal(0, 1), &[1, 3, 0]];
    write("tunnel", "hello_with_own_session_id", &own_id.concat());
    let lost = [&[0][..], &seal(0, 63), &seal(1, 64), &[8, 0x03, 0xE8, 9, 1]];
    write("tunnel", "lost", &lost.concat());
    let strangers = [0, 7, 1, 9, 1, 10, 0, 7, 0, 9, 0, 8, 0x17, 0x70, 10, 1, 9, 1];
    write("tunnel", "strangers", &strangers);
    let garbage = [&[6, 0, 80][..], &[0x33; 80]].concat();
    let reopened = [&[0][..], &garbage.repeat(3), &[9, 1, 11, 1], &seal(0, 3), &[9, 1]];
    write("tunnel", "garbage_makes_it_reopen", &reopened.concat());
}

/// Who opened it, then the steps. Record 0 is what was sent last.
fn tunnel_v2() {
    let traffic = [&[0][..], &seal(0, 3), &seal(1, 2), &[1, 0, 0, 1, 1, 0, 1, 4, 1, 1, 2, 1]];
    write("tunnel_v2", "traffic", &traffic.concat());
    let doubled = [&[1][..], &seal(0, 79), &[8, 79, 1, 8, 79, 1, 1, 5, 1, 1, 5, 0]];
    write("tunnel_v2", "doubled_and_reflected", &doubled.concat());
    let changed = [
        &[0][..],
        &seal(0, 2),
        // The mark, the flow, the index, the counter, the text.
        &[2, 0, 0, 0, 1, 1, 2, 0, 0, 2, 1, 1, 2, 0, 0, 6, 1, 1, 2, 0, 0, 7, 0x80, 1],
        &[2, 0, 0, 20, 1, 1, 3, 0, 31, 1, 3, 0, 14, 1, 4, 0, 2, 7, 7, 1, 5, 0, 1, 0, 15, 1],
        &[1, 0, 1, 1, 1, 1],
    ];
    write("tunnel_v2", "changed", &changed.concat());
    // The handshake's three messages and its sign of life come again.
    let replayed =
        [1, 1, 3, 0, 1, 3, 1, 1, 2, 0, 1, 2, 1, 1, 1, 0, 1, 1, 1, 1, 0, 0, 1, 0, 1, 9, 0, 1];
    write("tunnel_v2", "replayed_handshake", &replayed);
    let crossed =
        [&[0, 12, 0, 12, 1, 9, 0, 1, 9, 1, 1, 9, 0, 0, 9, 1, 0, 8, 9, 0, 8, 9, 1][..], &seal(1, 1)];
    write("tunnel_v2", "crossed", &crossed.concat());
    let kinds = [7, 0, 0, 18].into_iter().chain(*b"{\"name\":\"other-1\"}").chain([1, 0, 1]);
    let super_packet = [7, 0, 3, 2, b'h', b'i', 1, 0, 1];
    let echo = [7, 1, 4, 11, 1, 0, 0, 0, 0, 0, 0, 0, 7, b'h', b'i', 1, 0, 0];
    write(
        "tunnel_v2",
        "kinds",
        &[vec![0], kinds.collect(), super_packet.to_vec(), echo.to_vec()].concat(),
    );
    let garbage = [&[6, 0, 40][..], &[0xD2; 40]].concat();
    write("tunnel_v2", "garbage", &[vec![0], garbage.repeat(3)].concat());
}

/// As above, for sessions that end, by time or by being forgotten, and for those that come after them.
fn tunnel_v2_sessions() {
    let worn = [
        &[0][..],
        &seal(0, 3),
        &[10, 120, 1],
        &seal(0, 1),
        &[10, 50, 1],
        &seal(1, 9),
        &[10, 200, 1],
    ];
    write("tunnel_v2", "rekeyed", &worn.concat());
    let silent = [&[0][..], &seal(0, 3), &[10, 9, 0], &seal(1, 2), &[10, 30, 0, 9, 0, 0, 9, 1, 0]];
    write("tunnel_v2", "silent", &silent.concat());
    let late =
        [&[1][..], &seal(0, 9), &[12, 0, 9, 0, 1, 9, 1, 1, 9, 0, 1, 8, 12, 1, 10, 61, 1, 8, 20, 1]];
    write("tunnel_v2", "frames_of_the_session_before", &late.concat());
    let forgotten =
        [&[0][..], &seal(1, 2), &[13, 0, 8, 2, 0, 11, 0x1F, 0x40, 14, 1], &seal(0, 2), &[9, 1, 1]];
    write("tunnel_v2", "forgotten", &forgotten.concat());
}

/// Header and packet; the target puts length and checksum of IPv4 right by itself.
fn vnet_header() {
    let ipv4 = |protocol: &str| format!("4500000000014000 40{protocol}0000 070a0002 070a0003");
    let udp = |len: &str| hex(&(ipv4("11") + "0fa00035" + len + "0000").replace(' ', ""));
    let tcp = hex(&(ipv4("06") + "1388005000000001000003e95019fff000000000").replace(' ', ""));
    for (name, header, packet) in [
        ("plain", "00000000000000000000", udp("02c0")),
        ("udp_partial", "01000000000014000600", udp("02c0")),
        ("udp", "01051c00000114000600", udp("02c0")),
        ("udp_short_segments", "01051c00640014000600", udp("02c0")),
        ("udp_length", "01051c00000114000600", udp("02c1")),
        ("tcp_partial", "01000000000014001000", tcp.clone()),
        ("tcp", "01012800000114001000", tcp.clone()),
        ("tcp_ecn", "01812800000114001000", tcp.clone()),
        ("tcp_of_version_6", "01042800000114001000", tcp.clone()),
        ("tcp_complete", "00012800000114001000", tcp.clone()),
    ] {
        write("vnet_header", name, &[hex(header), packet, vec![7; 696]].concat());
    }
}

fn write(target: &str, name: &str, input: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), input).unwrap();
}

/// Two clients of a hub.
fn vips() -> (Vip, Vip) {
    (Vip::from([7, 10, 0, 2]), Vip::from([7, 10, 0, 3]))
}

fn body(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out.split_off(HEADER_LEN)
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
