use std::hint::black_box;

use proptest::prelude::*;

use super::*;

fn vip(text: &str) -> Vip {
    text.parse().unwrap()
}

fn frame(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// Every frame of this module, byte by byte. The lines marked "published" were made by running
/// the published implementation.
#[test]
fn golden_frames() {
    let rows: Vec<(Vec<u8>, &[u8])> = vec![
        // published: 13 | 4 | 7.10.0.2
        (frame(|o| Aip(vip("7.10.0.2")).encode_to(o)), b"\x13\x00\x00\x00\x04\x07\x0a\x00\x02"),
        // published clients of all versions accept it: 14 | 7 | " [2, 0]"
        (frame(|o| Hsk::OURS.encode_to(o)), b"\x14\x00\x00\x00\x07 [2, 0]"),
        // published: 07 | 4 | 7.10.0.77
        (
            frame(|o| VipRequest(vip("7.10.0.77")).encode_to(o)),
            b"\x07\x00\x00\x00\x04\x07\x0a\x00\x4d",
        ),
        // published
        (frame(|o| VipAnswer::Granted.encode_to(o)), b"\x07\x00\x00\x00\x02D:"),
        (frame(|o| VipAnswer::UNUSABLE.encode_to(o)), b"\x07\x00\x00\x00\x12E:IP can't be used"),
        (frame(|o| VipAnswer::IN_USE.encode_to(o)), b"\x07\x00\x00\x00\x13E:IP already in use"),
        (
            frame(|o| ClientList(vec![vip("7.10.0.2"), vip("7.10.0.3")]).encode_to(o)),
            b"\x04\x00\x00\x00\x08\x07\x0a\x00\x02\x07\x0a\x00\x03",
        ),
        (
            frame(|o| {
                ErrorReport::Undeliverable { dst: vip("7.10.0.9"), reason: "no" }.encode_to(o);
            }),
            b"\x12\x00\x00\x00\x07\x03\x07\x0a\x00\x09no",
        ),
        (
            frame(|o| ErrorReport::Code(ErrorCode::UNKNOWN_TYPE, &[0x42]).encode_to(o)),
            b"\x12\x00\x00\x00\x02\x09\x42",
        ),
        (frame(|o| ExitCode::Closed.encode_to(o)), b"\x11\x00\x00\x00\x02CC"),
        (frame(|o| ExitCode::ProcessExit.encode_to(o)), b"\x11\x00\x00\x00\x02EX"),
    ];
    for (made, golden) in rows {
        assert_eq!(made, golden, "{}", golden.escape_ascii());
    }
}

#[test]
fn session_info_is_the_documented_json() {
    let info = SessionInfo {
        vip: vip("7.10.0.2"),
        network: Network::DEFAULT,
        uptime_s: 12,
        rx_frames: 3,
        tx_frames: 4,
        admin: false,
    };
    let body = br#"{"vip":"7.10.0.2","network":"7.10.0.0/24","uptime_s":12,"rx_frames":3,"tx_frames":4,"admin":false}"#;
    assert_eq!(frame(|o| info.encode_to(o))[5..], body[..]);
    assert_eq!(SessionInfo::decode(body), Ok(info));
    assert!(SessionInfo::decode(b"[]").is_err());
}

#[test]
fn greeting_is_aip_then_hsk() {
    let golden = b"\x13\x00\x00\x00\x04\x07\x0a\x00\x02\x14\x00\x00\x00\x07 [2, 0]";
    assert_eq!(encode_greeting(vip("7.10.0.2"), Hsk::OURS), golden);
}

#[test]
fn hsk_of_every_published_version_is_read() {
    for (body, flag, version, token) in [
        (&b"[1, 0]"[..], HskFlag::Off, Some(1), 0),
        (b"\x00[2, 0]", HskFlag::Off, Some(2), 0),
        (b"\x01[2, 0]", HskFlag::Compression, Some(2), 0),
        (b" [2, 1145962497]", HskFlag::Space, Some(2), 0x444E_0001),
        (b" [2, 0, 'more', 7]", HskFlag::Space, Some(2), 0),
        (b"", HskFlag::Off, None, 0),
        (b"\x00__import__('os')", HskFlag::Off, None, 0),
        (b"\x00[2", HskFlag::Off, None, 0),
        (b"\x00[\xff]", HskFlag::Off, None, 0),
        (b"\x00[-1, 99999999999]", HskFlag::Off, None, 0),
    ] {
        assert_eq!(Hsk::decode(body), Hsk { flag, version, token }, "{}", body.escape_ascii());
    }
}

#[test]
fn aip_is_read_as_bytes_and_as_text() {
    assert_eq!(Aip::decode(&[7, 10, 0, 2]), Ok(Aip(vip("7.10.0.2"))));
    assert_eq!(Aip::decode(b"7.10.0.2"), Ok(Aip(vip("7.10.0.2"))));
    assert!(Aip::decode(b"").is_err());
    assert!(Aip::decode(b"7.10.0.256").is_err());
}

#[test]
fn vip_request_takes_exactly_four_bytes() {
    for len in [0, 3, 5, 8, 255] {
        assert!(VipRequest::decode(&vec![7; len]).is_err(), "{len}");
    }
}

#[test]
fn errors_come_as_code_address_or_text() {
    let body = b"\x03\x07\x0a\x00\x09gone";
    let report = ErrorReport::Undeliverable { dst: vip("7.10.0.9"), reason: "gone" };
    assert_eq!(ErrorReport::decode(body), report);
    assert_eq!(ErrorReport::decode(b"\x03\x07"), ErrorReport::Code(ErrorCode::S2C_FAILED, b"\x07"));
    assert_eq!(ErrorReport::decode(b"\x09"), ErrorReport::Code(ErrorCode::UNKNOWN_TYPE, b""));
    assert_eq!(ErrorReport::decode(b"Packet too large"), ErrorReport::Text("Packet too large"));
    assert_eq!(ErrorReport::decode(b""), ErrorReport::Text(""));
}

proptest! {
    #[test]
    fn any_body_is_decoded_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        Aip::decode(&body).ok();
        VipRequest::decode(&body).ok();
        VipAnswer::decode(&body).ok();
        ClientList::decode(&body).ok();
        SessionInfo::decode(&body).ok();
        black_box((Hsk::decode(&body), ErrorReport::decode(&body)));
    }

    #[test]
    fn client_list_round_trips(bits in prop::collection::vec(any::<u32>(), 0..50)) {
        let list = ClientList(bits.into_iter().map(Vip::from).collect());
        let bytes = frame(|o| list.encode_to(o));
        prop_assert_eq!(ClientList::decode(&bytes[5..]), Ok(list));
    }
}
