//! Hellos that come too often, or come back.

use super::*;

#[test]
fn repeated_hellos_come_to_an_end() {
    let mut pair = Pair::new();
    pair.a.open(pair.now, &mut pair.rng);
    pair.pass(2.0);
    pair.settle();
    let answer = pair.b.established.as_ref().unwrap().ours.encode();
    let mut carried = 0;
    for _ in 0..100 {
        pair.pass(1.0);
        pair.give_a(&answer).ok();
        carried += pair.settle();
    }
    assert!(carried <= 4 * usize::from(established::MAX_REPEATS), "{carried}");
}

#[test]
fn flood_of_hellos_is_cut_short() {
    let mut pair = Pair::open();
    let mut outcomes = Vec::new();
    for _ in 0..100 {
        let (hello, _) = Hello::generate(pair.now.unix_time, &mut pair.rng);
        outcomes.push(pair.give_b(&hello.encode()));
    }
    let refused = outcomes.iter().filter(|outcome| **outcome == Err(ReceiveError::TooMany)).count();
    assert_eq!(refused, 99, "the first was answered");
    pair.pass(1.0);
    pair.settle();
    assert_eq!(pair.a_to_b(b"still"), message(b"still"));
}

#[test]
fn own_hello_is_refused_whatever_else_it_says() {
    let mut pair = Pair::new();
    pair.a.open(pair.now, &mut pair.rng);
    let mut opening = pair.a.poll_data().unwrap();
    // The key is what counts: the rest is easily changed on the way.
    opening[1..9].fill(7);
    let refused = pair.give_a(&opening);
    assert_eq!(refused, Err(ReceiveError::Open(OpenError::Reflected)));
    assert!(!pair.a.is_open() && pair.a.opening_since().is_some());
    let mut pair = Pair::open();
    let answer = pair.b.established.as_ref().unwrap().ours.encode();
    let refused = pair.give_b(&answer);
    assert_eq!(refused, Err(ReceiveError::Open(OpenError::Reflected)));
    assert_eq!(pair.a_to_b(b"x"), message(b"x"));
}

#[test]
fn hello_with_our_session_id_is_refused() {
    let mut pair = Pair::new();
    pair.a.open(pair.now, &mut pair.rng);
    let opening = pair.a.poll_data().unwrap();
    pair.give_b(&opening).unwrap();
    let answer = pair.b.poll_data().unwrap();
    // Both orders would have the same keys: what a sends in one would open in the other.
    let mut changed = answer.clone();
    changed[1..9].copy_from_slice(&opening[1..9]);
    let refused = pair.give_a(&changed);
    assert_eq!(refused, Err(ReceiveError::Open(OpenError::Reflected)));
    assert!(!pair.a.is_open() && pair.a.opening_since().is_some());
    pair.give_a(&answer).unwrap();
    assert_eq!(pair.a_to_b(b"x"), message(b"x"));
}

#[test]
fn answers_are_not_answered_for_ever() {
    let mut pair = Pair::open();
    let (stray, _) = Hello::generate(pair.now.unix_time, &mut pair.rng);
    pair.give_a(&stray.encode()).unwrap();
    let mut carried = 0;
    for _ in 0..100 {
        pair.pass(0.4);
        // One way each: 0.8 s there and back.
        if let Some(mut data) = pair.a.poll_data() {
            carried += 1;
            pair.b.handle_data(&mut data, pair.now, &mut pair.rng).ok();
        } else if let Some(mut data) = pair.b.poll_data() {
            carried += 1;
            pair.a.handle_data(&mut data, pair.now, &mut pair.rng).ok();
        }
        assert_eq!(pair.a_to_b(b"traffic goes on"), message(b"traffic goes on"));
    }
    assert!(carried <= 2, "{carried}");
}
