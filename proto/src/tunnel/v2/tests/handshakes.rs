//! How sessions come to be, whatever the one in the middle does.

use super::*;

#[test]
fn three_messages_make_a_session_that_both_sides_know_to_be_confirmed() {
    let mut pair = Pair::new();
    pair.start(A);
    let opening = pair.poll(A).unwrap();
    assert_eq!((opening.len(), &opening[..49]), (49 + 5 + 8 + 48, &HELLO[..]));
    pair.give(B, &opening).unwrap();
    let answer = pair.poll(B).unwrap();
    pair.give(A, &answer).unwrap();
    assert!(pair.sides[A].tunnel.is_open() && !pair.sides[A].tunnel.is_confirmed());
    let proof = pair.poll(A).unwrap();
    // Data follows at once, one round trip after the opening.
    let data = pair.seal(A, b"at once").unwrap();
    pair.give(B, &proof).unwrap();
    pair.give(B, &data).unwrap();
    assert_eq!(pair.sides[B].received, [(Kind::Message, b"at once".to_vec())]);
    assert!(pair.sides[B].tunnel.is_confirmed());
    pair.settle();
    assert!(pair.sides[A].tunnel.is_confirmed());
    let [a, b] = &pair.sides;
    assert_eq!(a.tunnel.key(), Some(b.endpoint.public_key()));
    assert_eq!(b.tunnel.key(), Some(a.endpoint.public_key()));
    let name = |side: &Side| side.tunnel.introduction().unwrap().name.clone().unwrap();
    assert_eq!((name(a), name(b)), ("node-3".to_owned(), "node-2".to_owned()));
}

#[test]
fn nothing_that_is_lost_keeps_the_two_apart() {
    for lost in 0..4 {
        let mut pair = Pair::new();
        pair.start(A);
        for number in 0..4 {
            let from = [A, B, A, B][number];
            let Some(data) = pair.poll(from) else { break };
            if number == lost {
                break;
            }
            pair.give(1 - from, &data).unwrap();
        }
        pair.pass(Duration::from_secs(7));
        assert!(pair.sides.iter().all(|side| side.tunnel.is_confirmed()), "without {lost}");
        assert!(pair.passes(A, b"a") && pair.passes(B, b"b"), "without {lost}");
    }
}

#[test]
fn same_opening_gets_the_same_answer_and_a_known_proof_a_sign_of_life() {
    let mut pair = Pair::new();
    pair.start(A);
    let opening = pair.poll(A).unwrap();
    pair.give(B, &opening).unwrap();
    let answer = pair.poll(B).unwrap();
    pair.give(B, &opening).unwrap();
    assert_eq!(pair.poll(B).as_ref(), Some(&answer));
    pair.give(A, &answer).unwrap();
    let proof = pair.poll(A).unwrap();
    pair.give(A, &answer).unwrap();
    assert_eq!(pair.poll(A).as_ref(), Some(&proof), "the answer came again, so does the proof");
    pair.give(B, &proof).unwrap();
    let lost = pair.poll(B).expect("a keepalive");
    pair.give(B, &proof).unwrap();
    let again = pair.poll(B).expect("another one");
    assert_ne!(lost, again, "no counter is used twice");
    pair.give(A, &again).unwrap();
    assert!(pair.sides[A].tunnel.is_confirmed());
    assert_eq!(pair.sides[B].num_installed, 1);
}

#[test]
fn both_opening_at_once_end_in_one_session() {
    let mut pair = Pair::new();
    pair.start(A);
    pair.start(B);
    let (from_a, from_b) = (pair.poll(A).unwrap(), pair.poll(B).unwrap());
    assert_eq!(pair.give(A, &from_b), Err(HandshakeError::Crossed.to_string()), "the lower vIP");
    pair.give(B, &from_a).unwrap();
    pair.settle();
    let installed = pair.sides.each_ref().map(|side| side.num_installed);
    assert_eq!(installed, [0, 1]);
    assert!(pair.passes(A, b"a") && pair.passes(B, b"b"));
    pair.pass(Duration::from_secs(10));
    assert!(pair.sides.iter().all(|side| side.tunnel.opening_since().is_none()));
}

#[test]
fn side_that_insists_gives_in_after_five_seconds() {
    let mut pair = Pair::new();
    pair.start(A);
    pair.pass_quietly(Duration::from_secs(6), false);
    pair.start(B);
    let opening = pair.poll(B).unwrap();
    // A's retries are the opening of six seconds ago.
    pair.give(A, &opening).unwrap();
    pair.settle();
    assert!(pair.passes(A, b"a") && pair.passes(B, b"b"));
}

#[test]
fn forged_answers_do_not_end_an_opening() {
    let mut pair = Pair::new();
    pair.start(A);
    let opening = pair.poll(A).unwrap();
    pair.give(B, &opening).unwrap();
    let answer = pair.poll(B).unwrap();
    for at in [62, 100, answer.len() - 1] {
        let mut forged = answer.clone();
        forged[at] ^= 1;
        assert!(pair.give(A, &forged).is_err(), "{at}");
    }
    // Somebody in the middle answers under a key of his own, and is not trusted.
    let mut mallory = Side::new((3, 2), &[], &mut pair.rng);
    mallory.give(&opening, pair.now, &mut pair.rng).unwrap();
    pair.sides[A].trusts = false;
    let forged = mallory.tunnel.poll_data().unwrap();
    pair.give(A, &forged).unwrap();
    assert_eq!(pair.poll(A), None, "our key is not shown to it");
    pair.sides[A].trusts = true;
    pair.give(A, &answer).unwrap();
    pair.settle();
    assert!(pair.passes(A, b"a") && pair.passes(B, b"b"));
}

#[test]
fn failed_proof_ends_that_opening_and_a_new_one_succeeds() {
    let mut pair = Pair::new();
    pair.start(A);
    let opening = pair.poll(A).unwrap();
    pair.give(B, &opening).unwrap();
    let answer = pair.poll(B).unwrap();
    pair.give(A, &answer).unwrap();
    let proof = pair.poll(A).unwrap();
    let mut forged = proof.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(pair.give(B, &forged).is_err());
    assert_eq!(pair.give(B, &proof), Err(HandshakeError::NoHandshake.to_string()));
    pair.pass(Duration::from_secs(6));
    assert!(pair.passes(A, b"a") && pair.passes(B, b"b"));
}

#[test]
fn messages_for_other_ends_or_indices_are_not_taken() {
    let mut pair = Pair::new();
    pair.start(A);
    let opening = pair.poll(A).unwrap();
    // The hub says that it comes from somebody else: the prologue is another one.
    let mut elsewhere = Side::new((3, 9), &[], &mut pair.rng);
    assert!(elsewhere.give(&opening, pair.now, &mut pair.rng).is_err());
    pair.give(B, &opening).unwrap();
    let answer = pair.poll(B).unwrap();
    let mut other_index = answer.clone();
    other_index[58] ^= 1;
    let refused = pair.give(A, &other_index);
    assert_eq!(refused, Err(HandshakeError::NoHandshake.to_string()));
    pair.give(A, &answer).unwrap();
    let proof = pair.poll(A).unwrap();
    pair.sides[B].ends.theirs = Vip::from(0x0A07_0009);
    assert_eq!(pair.give(B, &proof), Err(HandshakeError::NoHandshake.to_string()));
}

#[test]
fn network_secret_keeps_strangers_out_and_rotates() {
    let mut rng = StdRng::seed_from_u64(9);
    let [old, new] = [(); 2].map(|()| NetworkSecret::generate(&mut rng));
    let secrets = |list: &[&NetworkSecret]| list.iter().map(|&s| s.clone()).collect::<Vec<_>>();
    for (of_a, of_b, outcome) in [
        (secrets(&[&old]), secrets(&[&old]), Ok(())),
        (secrets(&[&new, &old]), secrets(&[&old, &new]), Ok(())),
        (secrets(&[&old]), secrets(&[&new, &old]), Ok(())),
        (secrets(&[&old]), secrets(&[&new]), Err(AnswerError::Secret)),
        (secrets(&[]), secrets(&[&new]), Err(AnswerError::Secret)),
        (secrets(&[&new]), secrets(&[]), Err(AnswerError::Secret)),
    ] {
        let mut pair = Pair::with_secrets(&of_a, &of_b);
        pair.start(A);
        let opening = pair.poll(A).unwrap();
        let outcome = outcome.map_err(|error| error.to_string());
        assert_eq!(pair.give(B, &opening), outcome);
        pair.settle();
        assert_eq!(pair.passes(A, b"a"), outcome.is_ok());
    }
}

#[test]
fn flood_of_openings_is_bounded_and_the_peer_with_a_session_is_not_shut_out() {
    let mut pair = Pair::open();
    let mut rng = StdRng::seed_from_u64(11);
    let mut strangers = 0;
    // Each stranger comes from a vIP of its own, as far as the hub says.
    for number in 0..3000 {
        let mut stranger = Side::new((1000 + number, 3), &[], &mut rng);
        stranger.tunnel.open(&mut stranger.endpoint, stranger.ends, &HELLO, pair.now, &mut rng);
        let opening = stranger.tunnel.poll_data().unwrap();
        let Some(Message::Opening(opening)) = Message::parse(&opening) else { panic!() };
        let ends = Ends { ours: stranger.ends.theirs, theirs: stranger.ends.ours };
        let endpoint = &mut pair.sides[B].endpoint;
        let mut tunnel = Tunnel::default();
        let answered = tunnel.handle_opening(&opening, endpoint, ends, &HELLO, pair.now, &mut rng);
        strangers += usize::from(answered.is_ok());
    }
    assert!((700..=1000).contains(&strangers), "{strangers}");
    pair.sides[A].tunnel.discard();
    pair.start(A);
    pair.settle();
    assert!(pair.passes(A, b"still served"));
}

#[test]
fn one_vip_has_four_half_open_handshakes_and_no_more_than_twenty_a_second() {
    let mut pair = Pair::new();
    let openings: Vec<_> = (0..30)
        .map(|_| {
            pair.sides[A].tunnel.discard();
            pair.start(A);
            pair.poll(A).unwrap()
        })
        .collect();
    let answered = openings.iter().filter(|opening| pair.give(B, opening).is_ok()).count();
    assert_eq!(answered, 5, "at once");
    pair.now += Duration::from_secs(2);
    // The newest four are kept: what the last opening gets is the same as before.
    let last_answers: Vec<_> = std::iter::from_fn(|| pair.poll(B)).collect();
    pair.give(B, &openings[4]).unwrap();
    assert_eq!(pair.poll(B).as_ref(), last_answers.last());
    pair.give(B, &openings[0]).unwrap();
    assert_ne!(pair.poll(B).as_ref(), last_answers.first());
}

#[test]
fn unanswered_opening_is_repeated_then_given_up() {
    let mut pair = Pair::new();
    pair.start(A);
    let opening = pair.poll(A).unwrap();
    let mut num_repeats = 0;
    for _ in 0..2000 {
        pair.now += Duration::from_millis(50);
        pair.sides[A].tunnel.handle_timeout(pair.now, &mut pair.rng);
        while let Some(data) = pair.poll(A) {
            assert_eq!(data, opening);
            num_repeats += 1;
        }
    }
    assert!((15..=22).contains(&num_repeats), "{num_repeats}");
    let tunnel = &pair.sides[A].tunnel;
    assert_eq!((tunnel.opening_since(), tunnel.poll_timeout()), (None, None));
}
