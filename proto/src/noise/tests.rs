use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn key(text: &str) -> Zeroizing<[u8; KEY_LEN]> {
    Zeroizing::new(hex(text).try_into().unwrap())
}

fn terms(prologue: &[u8], psk: &[u8; KEY_LEN]) -> Terms {
    Terms { psk: Some(Psk { key: *psk, id: [0; 4] }), prologue: prologue.to_vec() }
}

/// The published vector of this pattern (of the collection "cacophony", as Noise libraries carry it):
/// payloads and messages, of the handshake and then of the transport.
const PUBLISHED: [(&str, &str); 6] = [
    (
        "4c756477696720766f6e204d69736573",
        "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944\
         ad6766e442bec99c94ff573cd5316da008cbcc1ebcf47fbe43991ed633bcbb75",
    ),
    (
        "4d757272617920526f746862617264",
        "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843\
         36a2439b0bafb5e97fee2c19b6f9f741125f810ad98e7e9659c48ca3e19652d3\
         16d1121073a281e0402b7bc1acb476caa1e7308faad7f75337b30f12435c9830\
         3cac63cac1d69ac11f2e1971e138ac",
    ),
    (
        "462e20412e20486179656b",
        "2504a7905dbd6a56820581eb314085df196fda55aa5e77745d61c0b526355733\
         d5ee67b9a4f345be7dc7c6583d3807626eb0f42c69388955ff0c9f35b0395112\
         9db18848a76f6a4d270022",
    ),
    ("4361726c204d656e676572", "b20ca762013411bc55d65fc7137a2e719d432cd549cb037f5e9c84"),
    (
        "4a65616e2d426170746973746520536179",
        "6b10e774950e93bc7cc50f225a105e656eb418310c00c374a81c1452b48cb12000",
    ),
    (
        "457567656e2042f6686d20766f6e2042617765726b",
        "6d617e8fd817a630755b8dffdee52ad3c39964bdca895a56847fd5f1edb49d14f555cc314b",
    ),
];

#[test]
fn published_vector_passes() {
    let psk = key("54686973206973206d7920417573747269616e20706572737065637469766521");
    let terms = terms(b"John Galt", &psk);
    let state = |identity: &str, ephemeral: &str| {
        let (identity, ephemeral) = (key(identity), key(ephemeral));
        let builder = |terms| builder(&identity, terms, &ephemeral).unwrap();
        [builder(&terms).build_initiator().unwrap(), builder(&terms).build_responder().unwrap()]
    };
    let [mut initiator, _] = state(
        "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
        "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
    );
    let [_, mut responder] = state(
        "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
        "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
    );
    let (handshake, transport) = PUBLISHED.split_at(3);
    for (number, (payload, message)) in handshake.iter().enumerate() {
        let (from, to) = match number {
            1 => (&mut responder, &mut initiator),
            _ => (&mut initiator, &mut responder),
        };
        let written = write(from, &hex(payload)).unwrap();
        assert_eq!(written, hex(message), "message {number}");
        let mut read = vec![0; written.len()];
        let len = to.read_message(&written, &mut read).unwrap();
        assert_eq!(read[..len], hex(payload));
    }
    let (from_initiator, to_initiator) = split(initiator).unwrap();
    assert_eq!((*from_initiator, *to_initiator), {
        let (open, seal) = split(responder).unwrap();
        (*open, *seal)
    });
    for (number, (payload, message)) in (3..).zip(transport) {
        let key = if number % 2 == 0 { &from_initiator } else { &to_initiator };
        let mut cipher = AesGcm(None);
        cipher.set(key);
        let (payload, mut out) = (hex(payload), [0; 64]);
        let len = cipher.encrypt(u64::from(number > 4), &[], &payload, &mut out);
        assert_eq!(out[..len], hex(message), "message {number}");
    }
}

struct Sides {
    a: IdentityKey,
    b: IdentityKey,
    rng: StdRng,
}

impl Sides {
    fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(5);
        let (a, b) = (IdentityKey::generate(&mut rng), IdentityKey::generate(&mut rng));
        Self { a, b, rng }
    }

    fn initiate(&mut self, terms: &Terms) -> (Initiator, Vec<u8>) {
        let initiator = Initiator::new(terms.clone(), &mut self.rng);
        let message_1 = initiator.message_1(&self.a).unwrap();
        (initiator, message_1)
    }

    fn answer(&mut self, terms: &Terms, message_1: &[u8]) -> (Responder, Vec<u8>) {
        Responder::answer(&self.b, terms, message_1, b"features", &mut self.rng).unwrap()
    }
}

#[test]
fn both_sides_learn_keys_payloads_and_the_same_session() {
    let (mut sides, terms) = (Sides::new(), terms(b"prologue", &[7; 32]));
    let (initiator, message_1) = sides.initiate(&terms);
    assert_eq!(message_1.len(), MESSAGE_1_LEN);
    assert_eq!(initiator.message_1(&sides.a).unwrap(), message_1, "the same every time");
    let (responder, message_2) = sides.answer(&terms, &message_1);
    let answered = initiator.read_message_2(&sides.a, &message_2).unwrap();
    assert_eq!((&answered.remote, &*answered.payload), (sides.b.public(), &b"features"[..]));
    let (message_3, keys_a) = answered.message_3(b"name").unwrap();
    let (remote, payload, keys_b) = responder.read_message_3(&message_3).unwrap();
    assert_eq!((&remote, &*payload), (sides.a.public(), &b"name"[..]));
    assert_eq!((&*keys_a.seal, &*keys_a.open), (&*keys_b.open, &*keys_b.seal));
    assert_ne!(keys_a.seal, keys_a.open);
}

#[test]
fn forged_answer_does_not_spoil_the_true_one() {
    let (mut sides, terms) = (Sides::new(), terms(b"prologue", &[7; 32]));
    let (initiator, message_1) = sides.initiate(&terms);
    let (_, message_2) = sides.answer(&terms, &message_1);
    for at in 0..message_2.len() {
        let mut forged = message_2.clone();
        forged[at] ^= 1;
        assert!(initiator.read_message_2(&sides.a, &forged).is_err(), "{at}");
    }
    for len in 0..message_2.len() {
        assert!(initiator.read_message_2(&sides.a, &message_2[..len]).is_err(), "{len}");
    }
    let long = vec![0; 70_000];
    let refused = initiator.read_message_2(&sides.a, &long).map(|_| ());
    assert_eq!(refused, Err(NoiseError::Length));
    assert!(initiator.read_message_2(&sides.a, &message_2).is_ok());
}

#[test]
fn other_secret_or_other_prologue_is_found() {
    let (mut sides, ours) = (Sides::new(), terms(b"prologue", &[7; 32]));
    let (initiator, message_1) = sides.initiate(&ours);
    // Another prologue shows in message 1, another secret in message 3, where it is mixed in.
    let elsewhere = terms(b"elsewhere", &[7; 32]);
    let refused = Responder::answer(&sides.b, &elsewhere, &message_1, b"", &mut sides.rng);
    assert_eq!(refused.map(|_| ()), Err(NoiseError::Forged));
    let (responder, message_2) = sides.answer(&terms(b"prologue", &[8; 32]), &message_1);
    let answered = initiator.read_message_2(&sides.a, &message_2).unwrap();
    let (message_3, _) = answered.message_3(b"name").unwrap();
    let refused = responder.read_message_3(&message_3).map(|_| ());
    assert_eq!(refused, Err(NoiseError::Forged));
}

/// All-zero and the other points of small order that RFC 7748 implementations name.
#[test]
fn low_order_points_are_refused() {
    let (mut sides, terms) = (Sides::new(), terms(b"", &[0; 32]));
    let mut one = [0; KEY_LEN];
    one[0] = 1;
    for point in [[0; KEY_LEN], one] {
        let mut message_1 = sides.initiate(&terms).1;
        message_1[..KEY_LEN].copy_from_slice(&point);
        let answer = Responder::answer(&sides.b, &terms, &message_1, b"", &mut sides.rng);
        assert!(answer.is_err());
        let mut x25519 = X25519::default();
        x25519.set(&[9; KEY_LEN]);
        assert_eq!(x25519.dh(&point, &mut [0; KEY_LEN]), Err(snow::Error::Dh));
    }
}
