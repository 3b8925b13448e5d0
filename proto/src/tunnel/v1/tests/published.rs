//! A whole tunnel, made by running the published implementation with fixed keys.

use x25519_dalek::{PublicKey, StaticSecret};

use super::opening::FIRST_RETRY;
use super::*;

const INITIATOR_PRIVATE: &str = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20";
const RESPONDER_PRIVATE: &str = "2122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f40";
const INITIATOR_HELLO: &str = "150102030405060708000000006553f100\
    07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c";
const RESPONDER_HELLO: &str = "151112131415161718000000006553f100\
    5869aff450549732cbaaed5e5df9b30a6da31cb0e5742bad5ad4a1a768f1a67b";
/// From initiator to responder, numbers 1 to 4: "hello", nothing, 100 times "x", "third".
const FRAMES: [(&str, &str); 4] = [
    (
        "68656c6c6f",
        "202122232425262728292a2bc587e2903741aa79f05846a9eeaefe1199300ecb86c8c068510e866ea2\
         f25df86cafbd0d8f6e6b5233114274f74ce6888b1c05d9396f0adb47cb149127",
    ),
    (
        "",
        "404142434445464748494a4b6c6f0fa857aefd17bd4c902408720d6a502e6eec518af260\
         284dfcb289d5175710b5fdabaa3cf73ee918746862497bbd1539342e79109fdc",
    ),
    (
        "78787878787878787878787878787878787878787878787878787878787878787878787878787878\
         78787878787878787878787878787878787878787878787878787878787878787878787878787878\
         7878787878787878787878787878787878787878",
        "0000000000000000000000007c4178f6ddfa46cb2a6d5cc48351b66769de99f9676ac3adf801863a\
         ac2c3609b296b84777ec588d17441160b98bea468d30fbda4be596a42b846ad9b1df3e432529e77c\
         710cf1813e6b191dba45214e7f3f7665714fef3d897a20ed5d879c39ad5cf1fc646645ff2bd4f76b\
         8758bac3fdd73dda0f4886b224c70362\
         be38b3534bd5bde748bf21b5793deb3a6cdc4d824489184d98fbd7e276737865",
    ),
    (
        "7468697264",
        "15000000000000000000000094bc70b77eec7dbf51c10b4cf79127e99c3dd56f55f5dc8772bbea5046\
         cc88e4d9ba5328c57480f8f6c061608e4c957b3286894167ca527679f7709986",
    ),
];

/// A tunnel whose hello and secret are the published ones.
fn fixed_opening(private: &str, hello: &str, now: Now) -> Opening {
    let Some(Handshake::Hello(hello)) = Handshake::parse(&hex(hello)) else { panic!("no hello") };
    let secret: [u8; 32] = hex(private).try_into().unwrap();
    Opening {
        hello,
        secret: StaticSecret::from(secret),
        since: now.instant,
        retry_at: Some(now.instant),
        retry_after: FIRST_RETRY,
    }
}

#[test]
fn whole_published_tunnel_opens() {
    let now = Now { instant: Instant::now(), unix_time: 1_700_000_000 };
    let mut rng = StdRng::seed_from_u64(1);
    // The responder's hello reaches an initiator: its own order is the published one.
    let mut initiator = Tunnel {
        opening: Some(fixed_opening(INITIATOR_PRIVATE, INITIATOR_HELLO, now)),
        ..Tunnel::default()
    };
    let answer = hex(RESPONDER_HELLO);
    assert_eq!(give(&mut initiator, &answer, now, &mut rng), Ok(Got::Handshake));
    // A responder derives the same keys in the order "theirs first".
    let mut responder = Tunnel {
        opening: Some(fixed_opening(RESPONDER_PRIVATE, RESPONDER_HELLO, now)),
        ..Tunnel::default()
    };
    let opening = hex(INITIATOR_HELLO);
    assert_eq!(give(&mut responder, &opening, now, &mut rng), Ok(Got::Handshake));

    for (content, frame) in FRAMES {
        let expected = if content.is_empty() { Ok(Got::Empty) } else { message(&hex(content)) };
        let received = give(&mut responder, &hex(frame), now, &mut rng);
        assert_eq!(received, expected, "{frame}");
    }
    let received = give(&mut initiator, &sealed(&mut responder, b"back"), now, &mut rng);
    assert_eq!(received, message(b"back"));
}

#[test]
fn hello_has_the_published_bytes() {
    let now = Now { instant: Instant::now(), unix_time: 0 };
    let opening = fixed_opening(INITIATOR_PRIVATE, INITIATOR_HELLO, now);
    assert_eq!(opening.hello.encode()[..], hex(INITIATOR_HELLO));
    assert_eq!(PublicKey::from(&opening.secret).to_bytes(), opening.hello.public_key);
    assert_eq!(encode_refusal("no"), b"\x15\xFFno");
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
