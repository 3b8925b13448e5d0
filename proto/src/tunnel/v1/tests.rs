use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

/// Two tunnels and what is under way between them.
struct Pair {
    a: Tunnel,
    b: Tunnel,
    now: Now,
    rng: StdRng,
}

impl Pair {
    fn new() -> Self {
        let now = Now { instant: Instant::now(), unix_time: 1_700_000_000 };
        Self { a: Tunnel::default(), b: Tunnel::default(), now, rng: StdRng::seed_from_u64(1) }
    }

    fn open() -> Self {
        let mut pair = Self::new();
        pair.a.open(pair.now, &mut pair.rng);
        pair.settle();
        assert!(pair.a.is_open() && pair.b.is_open());
        // Then a new hello is answered, though no frame has used these keys.
        pair.pass(1.0);
        pair
    }

    fn pass(&mut self, seconds: f64) {
        self.now.instant += Duration::from_secs_f64(seconds);
        self.a.handle_timeout(self.now.instant, &mut self.rng);
        self.b.handle_timeout(self.now.instant, &mut self.rng);
    }

    /// Carries handshakes to and fro until there are none; returns how many.
    fn settle(&mut self) -> usize {
        for carried in 0..100 {
            if let Some(mut data) = self.a.poll_data() {
                self.b.handle_data(&mut data, self.now, &mut self.rng).ok();
            } else if let Some(mut data) = self.b.poll_data() {
                self.a.handle_data(&mut data, self.now, &mut self.rng).ok();
            } else {
                return carried;
            }
        }
        panic!("the handshake never ends");
    }

    fn give_a(&mut self, data: &[u8]) -> Result<Got, ReceiveError> {
        give(&mut self.a, data, self.now, &mut self.rng)
    }

    fn give_b(&mut self, data: &[u8]) -> Result<Got, ReceiveError> {
        give(&mut self.b, data, self.now, &mut self.rng)
    }

    fn a_to_b(&mut self, message: &[u8]) -> Result<Got, ReceiveError> {
        let data = sealed(&mut self.a, message);
        self.give_b(&data)
    }

    fn b_to_a(&mut self, message: &[u8]) -> Result<Got, ReceiveError> {
        let data = sealed(&mut self.b, message);
        self.give_a(&data)
    }
}

fn sealed(tunnel: &mut Tunnel, message: &[u8]) -> Vec<u8> {
    let mut buffer = PacketBuf::from(message);
    assert!(tunnel.seal(&mut buffer).unwrap(), "the tunnel is open");
    buffer.content().to_vec()
}

/// What DATA was, owned.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Message(Vec<u8>),
    Empty,
    Handshake,
    Refused(String),
    Plain(Vec<u8>),
}

fn give(tunnel: &mut Tunnel, data: &[u8], now: Now, rng: &mut StdRng) -> Result<Got, ReceiveError> {
    Ok(match tunnel.handle_data(&mut data.to_vec(), now, rng)? {
        Received::Message(message) => Got::Message(message.to_vec()),
        Received::Empty => Got::Empty,
        Received::Handshake => Got::Handshake,
        Received::Refused(reason) => Got::Refused(reason.to_owned()),
        Received::Plain(data) => Got::Plain(data.to_vec()),
    })
}

fn message(bytes: &[u8]) -> Result<Got, ReceiveError> {
    Ok(Got::Message(bytes.to_vec()))
}

mod hellos;
mod published;

#[test]
fn messages_pass_both_ways() {
    let mut pair = Pair::open();
    for number in 0..300u32 {
        assert_eq!(pair.a_to_b(&number.to_be_bytes()), message(&number.to_be_bytes()));
        assert_eq!(pair.b_to_a(&number.to_be_bytes()), message(&number.to_be_bytes()));
    }
}

#[test]
fn nonces_never_begin_with_a_reserved_byte() {
    let mut pair = Pair::open();
    for _ in 0..5000 {
        let data = sealed(&mut pair.a, b"");
        assert!(data[0] != 0x15 && data[0] != 0xD2);
    }
}

#[test]
fn session_ids_never_look_like_another_form() {
    let mut rng = StdRng::seed_from_u64(7);
    for _ in 0..2000 {
        let (hello, _) = Hello::generate(0, &mut rng);
        assert_ne!(hello.session_id[0], 0xFF);
    }
}

#[test]
fn both_sides_opening_at_once_end_with_one_tunnel() {
    let mut pair = Pair::new();
    pair.a.open(pair.now, &mut pair.rng);
    pair.b.open(pair.now, &mut pair.rng);
    let (from_a, from_b) = (pair.a.poll_data().unwrap(), pair.b.poll_data().unwrap());
    pair.give_b(&from_a).unwrap();
    pair.give_a(&from_b).unwrap();
    assert_eq!(pair.settle(), 0, "nobody answers an opening that crossed his own");
    // Frames cross too: each is sent before the other's first one arrives.
    let (from_a, from_b) = (sealed(&mut pair.a, b"a1"), sealed(&mut pair.b, b"b1"));
    assert_eq!(pair.give_b(&from_a), message(b"a1"));
    assert_eq!(pair.give_a(&from_b), message(b"b1"));
    for _ in 0..100 {
        assert_eq!(pair.a_to_b(b"a"), message(b"a"));
        assert_eq!(pair.b_to_a(b"b"), message(b"b"));
    }
}

#[test]
fn opening_that_was_lost_while_the_peer_opened_is_sent_again() {
    let mut pair = Pair::new();
    pair.a.open(pair.now, &mut pair.rng);
    pair.a.poll_data().expect("a's opening, lost");
    pair.b.open(pair.now, &mut pair.rng);
    pair.settle();
    assert!(pair.a.is_open() && !pair.b.is_open());
    pair.pass(1.5);
    pair.settle();
    assert!(pair.b.is_open(), "b repeated its opening and got a's");
    assert_eq!(pair.a_to_b(b"a"), message(b"a"));
    assert_eq!(pair.b_to_a(b"b"), message(b"b"));
}

#[test]
fn lost_answer_is_given_again_and_is_the_same() {
    let mut pair = Pair::new();
    pair.a.open(pair.now, &mut pair.rng);
    let opening = pair.a.poll_data().unwrap();
    pair.give_b(&opening).unwrap();
    let lost = pair.b.poll_data().unwrap();
    pair.pass(1.5);
    let opening = pair.a.poll_data().expect("repeated");
    let repeated = pair.give_b(&opening);
    assert_eq!(repeated, Err(ReceiveError::Repeated));
    assert_eq!(pair.b.poll_data(), Some(lost));
}

#[test]
fn unanswered_opening_is_repeated_then_given_up() {
    let mut pair = Pair::new();
    pair.a.open(pair.now, &mut pair.rng);
    let first = pair.a.poll_data().unwrap();
    let mut repeats = 0;
    for _ in 0..1000 {
        pair.pass(0.1);
        while let Some(data) = pair.a.poll_data() {
            assert_eq!(data, first);
            repeats += 1;
        }
    }
    assert!((15..=22).contains(&repeats), "{repeats}");
    assert_eq!((pair.a.opening_since(), pair.a.poll_timeout()), (None, None));
}

#[test]
fn restarted_peer_opens_anew_and_the_old_tunnel_lives_until_then() {
    let mut pair = Pair::open();
    pair.a_to_b(b"x").unwrap();
    pair.a = Tunnel::default();
    pair.a.open(pair.now, &mut pair.rng);
    let opening = pair.a.poll_data().unwrap();
    pair.give_b(&opening).unwrap();
    assert!(pair.b.successor.is_some(), "until a frame verifies the old keys stay");
    pair.settle();
    assert_eq!(pair.a_to_b(b"new"), message(b"new"));
    assert!(pair.b.successor.is_none());
    assert_eq!(pair.b_to_a(b"back"), message(b"back"));
}

#[test]
fn replayed_opening_does_not_end_a_tunnel() {
    let mut pair = Pair::new();
    pair.a.open(pair.now, &mut pair.rng);
    let recorded = pair.a.poll_data().unwrap();
    pair.give_b(&recorded).unwrap();
    pair.settle();
    pair.a_to_b(b"x").unwrap();
    let mut stranger = Tunnel::default();
    stranger.open(pair.now, &mut pair.rng);
    let other = stranger.poll_data().unwrap();
    pair.give_b(&recorded).ok();
    pair.give_b(&other).ok();
    assert_eq!(pair.a_to_b(b"y"), message(b"y"));
    assert_eq!(pair.b_to_a(b"z"), message(b"z"));
}

#[test]
fn three_frames_that_do_not_open_make_us_open_anew() {
    let mut pair = Pair::open();
    pair.a.discard();
    for _ in 0..3 {
        assert!(pair.b_to_a(b"under keys that a has forgotten").is_err());
    }
    assert!(pair.a.opening_since().is_some());
    pair.settle();
    assert_eq!(pair.b_to_a(b"again"), message(b"again"), "the empty message confirmed it");
    // Not more than once in 5 s.
    for _ in 0..10 {
        pair.give_a(&[7; 100]).ok();
    }
    assert!(pair.a.opening_since().is_none());
    pair.pass(5.1);
    for _ in 0..3 {
        pair.give_a(&[7; 100]).ok();
    }
    assert!(pair.a.opening_since().is_some());
}

#[test]
fn up_to_63_lost_frames_do_not_end_the_tunnel_and_64_do() {
    let mut pair = Pair::open();
    for _ in 0..63 {
        sealed(&mut pair.a, b"lost");
    }
    assert_eq!(pair.a_to_b(b"found"), message(b"found"));
    for _ in 0..64 {
        sealed(&mut pair.a, b"lost");
    }
    assert_eq!(pair.a_to_b(b"gone"), Err(ReceiveError::Open(OpenError::Number)));
}

#[test]
fn repeated_reordered_reflected_and_forged_frames_are_refused() {
    let mut pair = Pair::open();
    pair.a_to_b(b"0").unwrap();
    pair.b_to_a(b"0").unwrap();
    let (first, second) = (sealed(&mut pair.a, b"1"), sealed(&mut pair.a, b"2"));
    let reflected = pair.give_a(&second);
    assert_eq!(reflected, Err(ReceiveError::Open(OpenError::Reflected)));
    let mut forged = second.clone();
    *forged.last_mut().unwrap() ^= 1;
    let forged = pair.give_b(&forged);
    assert_eq!(forged, Err(ReceiveError::Open(OpenError::Forged)));
    for (data, outcome) in [
        (&second, message(b"2")),
        (&second, Err(ReceiveError::Open(OpenError::Number))),
        (&first, Err(ReceiveError::Open(OpenError::Number))),
    ] {
        let received = pair.give_b(data);
        assert_eq!(received, outcome);
    }
    assert_eq!(pair.b_to_a(b"still"), message(b"still"));
}

#[test]
fn plain_data_is_delivered_only_without_a_tunnel() {
    let mut pair = Pair::new();
    let plain = *b"hello";
    let received = pair.give_a(&plain).unwrap();
    assert_eq!(received, Got::Plain(b"hello".to_vec()));
    let mut pair = Pair::open();
    let refused = pair.give_a(&plain);
    assert_eq!(refused, Err(ReceiveError::Open(OpenError::TooShort)));
    pair.a.discard();
    assert!(pair.give_a(&plain).is_err());
}

#[test]
fn low_order_keys_and_stale_clocks_are_refused() {
    let mut pair = Pair::open();
    let mut zero = Hello { session_id: [1; 8], unix_time: pair.now.unix_time, public_key: [0; 32] };
    let refused = pair.give_b(&zero.encode());
    assert_eq!((refused, pair.b.poll_data()), (Err(ReceiveError::LowOrderKey), None));
    pair.a.open(pair.now, &mut pair.rng);
    pair.a.poll_data().unwrap();
    let refused = pair.give_a(&zero.encode());
    assert_eq!(refused, Err(ReceiveError::LowOrderKey));
    assert!(pair.a.opening_since().is_some(), "the opening goes on");
    zero.unix_time -= 301;
    let refused = pair.give_b(&zero.encode());
    assert_eq!(refused, Err(ReceiveError::Clock { seconds: 301 }));
    assert_eq!(pair.b.poll_data().unwrap(), b"\x15\xFFclock differs by 301 s");
}

#[test]
fn refusals_change_nothing_and_the_legacy_mode_is_declined() {
    let mut pair = Pair::new();
    pair.a.open(pair.now, &mut pair.rng);
    let refusal = encode_refusal("C2C tunnel already exists");
    let received = pair.give_a(&refusal);
    assert_eq!(received, Ok(Got::Refused("C2C tunnel already exists".to_owned())));
    assert!(pair.a.opening_since().is_some());
    let legacy = [0x15; 17];
    let received = pair.give_b(&legacy);
    assert_eq!(received, Err(ReceiveError::Legacy));
    assert_eq!(pair.b.poll_data().unwrap(), b"E:NotSupported");
}

#[test]
fn tunnel_ends_after_its_last_number() {
    let mut pair = Pair::open();
    pair.a.established.as_mut().unwrap().session.skip_to((1 << 31) - 1, 0);
    pair.b.established.as_mut().unwrap().session.skip_to(0, (1 << 31) - 1);
    assert_eq!(pair.a_to_b(b"last"), message(b"last"));
    assert_eq!(pair.a.seal(&mut PacketBuf::from(&b"one too many"[..])), Err(Exhausted));
    assert!(!pair.a.is_open());
    pair.a.open(pair.now, &mut pair.rng);
    pair.settle();
    assert_eq!(pair.a_to_b(b"anew"), message(b"anew"));
}

proptest! {
    #[test]
    fn any_data_is_refused_or_plain_and_the_tunnel_goes_on(
        mut data in prop::collection::vec(any::<u8>(), 0..200),
        mark in any::<bool>(),
    ) {
        let mut pair = Pair::open();
        if let (true, Some(first)) = (mark, data.first_mut()) {
            *first = 0x15;
        }
        let received = pair.give_b(&data);
        prop_assert!(!matches!(received, Ok(Got::Message(_) | Got::Empty)));
        prop_assert_eq!(pair.a_to_b(b"x"), message(b"x"));
    }

    #[test]
    fn one_flipped_bit_anywhere_is_refused(at in 0usize..78, bit in 0u8..8) {
        let mut pair = Pair::open();
        let mut data = sealed(&mut pair.a, b"0123456789");
        data[at] ^= 1 << bit;
        prop_assert!(pair.give_b(&data).is_err());
        prop_assert_eq!(pair.a_to_b(b"x"), message(b"x"));
    }
}
