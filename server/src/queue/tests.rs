//! What goes in comes out, or is counted.

use std::collections::BTreeMap;
use std::time::Duration;

use dosp_proto::frame::{self, FrameType};
use proptest::prelude::*;

use super::*;

fn queue(max_len: usize) -> OutQueue {
    OutQueue::new(Limits { max_len, batch_len: 128 * 1024, law: Law::DEFAULT })
}

fn now() -> Instant {
    Instant::now()
}

fn flow(host: u32, flow: u64) -> Class {
    Class::Flow(FlowKey { host, flow })
}

/// A frame with this number, `len` bytes of body beside it.
fn numbered(number: u32, len: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let body = [&number.to_be_bytes()[..], &vec![0; len]].concat();
    frame::encode(&mut frame, FrameType::S2C, &body);
    frame
}

/// The numbers of the frames in a batch.
fn numbers(mut batch: Vec<u8>) -> Vec<u32> {
    let (mut rest, mut numbers) = (&mut batch[..], Vec::new());
    while !rest.is_empty() {
        let (frame, behind) = frame::split_first(rest).expect("a whole frame");
        numbers.push(u32::from_be_bytes(*frame.body().first_chunk().unwrap()));
        rest = behind;
    }
    numbers
}

/// All that is queued, as the writer would get it at once.
fn take_all(queue: &mut OutQueue, now: Instant) -> Vec<u32> {
    let (mut taken, mut batch) = (Vec::new(), Vec::new());
    while queue.take(&mut batch, now).is_some() {
        taken.extend(numbers(batch.clone()));
    }
    taken
}

#[test]
fn frames_of_flows_go_straight_on_while_there_is_room() {
    let mut queue = queue(1 << 20);
    for number in 0..10 {
        let class = if number % 2 == 0 { flow(1, 1) } else { Class::Kept };
        let was_empty = queue.push([&numbered(number, 1000), b""], class, now()).unwrap();
        assert_eq!(was_empty, number == 0);
    }
    assert_eq!(take_all(&mut queue, now()), Vec::from_iter(0..10));
}

#[test]
fn sparse_flow_overtakes_a_flood_and_kept_frames_have_their_turns() {
    let now = now();
    let mut queue = queue(1 << 20);
    for number in 0..600 {
        queue.push([&numbered(number, 1000), b""], flow(1, 1), now).unwrap();
    }
    queue.push([&numbered(1000, 0), b""], flow(2, 1), now).unwrap();
    queue.push([&numbered(2000, 0), b""], Class::Kept, now).unwrap();
    let taken = take_all(&mut queue, now);
    let place = |number| taken.iter().position(|taken| *taken == number).unwrap();
    // 128 KiB had gone straight on before anything had to wait.
    assert!(place(1000) < 150 && place(2000) < 300, "{} {}", place(1000), place(2000));
    assert_eq!(taken.len(), 602);
    let rest: Vec<u32> = taken.into_iter().filter(|number| *number < 1000).collect();
    assert_eq!(rest, Vec::from_iter(0..600), "a flow stays in order");
}

#[test]
fn flood_of_kept_frames_leaves_flows_their_turns() {
    let now = now();
    let limits = Limits { max_len: 256 * 1024, batch_len: 32 * 1024, law: Law::DEFAULT };
    let (mut queue, mut batch) = (OutQueue::new(limits), Vec::new());
    let kept = numbered(1, 1000);
    let fill = |queue: &mut OutQueue| {
        while queue.push([&kept, b""], Class::Kept, now).is_ok() {}
    };
    fill(&mut queue);
    for _ in 0..200 {
        queue.push([&numbered(2, 1000), b""], flow(1, 1), now).unwrap();
    }
    for _ in 0..10 {
        queue.take(&mut batch, now).unwrap();
        assert!(batch.len() < 34 * 1024, "{}", batch.len());
        let numbers = numbers(batch.clone());
        let num_of_flow = numbers.iter().filter(|number| **number == 2).count();
        assert!((14..=18).contains(&num_of_flow), "{num_of_flow} of {}", numbers.len());
        fill(&mut queue);
    }
}

#[test]
fn flood_of_flows_never_makes_anybody_wait_and_is_bounded() {
    let now = now();
    let mut queue = queue(256 * 1024);
    for number in 0..10_000 {
        queue.push([&numbered(number, 1000), b""], flow(1, number.into()), now).unwrap();
        assert!(queue.len() <= (1024 + 128 + 2) * 1024, "{}", queue.len());
    }
    assert_eq!(queue.push([&numbered(0, 1000), b""], Class::Kept, now), Ok(false));
    let drops = queue.take_drops();
    assert!(drops.overflow > 8000 && drops.delay == 0, "{drops:?}");
}

#[test]
fn last_words_are_the_last() {
    let now = now();
    let mut queue = queue(1 << 20);
    for number in 0..300 {
        queue.push([&numbered(number, 1000), b""], flow(1, 1), now).unwrap();
    }
    queue.finish(&numbered(7777, 0), 1);
    queue.finish(&numbered(8888, 0), 1);
    assert_eq!(queue.push([b"x", b""], flow(1, 1), now), Err(PushError::Closed));
    let taken = take_all(&mut queue, now);
    assert_eq!((taken.len(), taken.last()), (301, Some(&7777)));
}

#[test]
fn frames_come_out_in_order_and_are_counted() {
    let mut queue = queue(100);
    assert_eq!(queue.push([b"on", b"e"], Class::Kept, now()), Ok(true));
    assert_eq!(queue.push([b"two", b""], Class::Kept, now()), Ok(false));
    let mut batch = b"spent".to_vec();
    assert_eq!(queue.take(&mut batch, now()), Some(Taken { num_frames: 2, wake_senders: false }));
    assert_eq!(batch, b"onetwo");
    assert_eq!(queue.take(&mut batch, now()), None);
    assert_eq!(batch, b"onetwo", "nothing to take leaves the buffer alone");
}

#[test]
fn queue_below_its_limit_takes_a_frame_of_any_length() {
    let mut queue = queue(4);
    queue.push([b"on", b"e"], Class::Kept, now()).unwrap();
    assert_eq!(queue.push([&[0; 1000], b""], Class::Kept, now()), Ok(false));
    assert_eq!(queue.push([b"x", b""], Class::Kept, now()), Err(PushError::Full));
    assert_eq!(queue.len(), 1003);
}

#[test]
fn limit_of_kept_frames_follows_the_path() {
    let mut queue = queue(256 * 1024);
    for (batch_len, max_len) in [(8, 32), (16, 32), (50, 100), (128, 256), (512, 256)] {
        queue.set_pace(batch_len * 1024, Law::DEFAULT);
        let mut len = 0;
        while queue.push([&[0; 1024], b""], Class::Kept, now()).is_ok() {
            len += 1;
        }
        assert_eq!(len, max_len, "KiB that may wait with batches of {batch_len} KiB");
        queue.set_pace(1 << 20, Law::DEFAULT);
        queue.take(&mut Vec::new(), now()).unwrap();
    }
}

#[test]
fn some_frames_may_go_beyond_the_limit_and_not_beyond_theirs() {
    let mut queue = queue(1);
    queue.push([b"abc", b""], Class::Kept, now()).unwrap();
    assert_eq!(queue.push_within([b"d", b"e"], 4), Ok(false));
    assert_eq!(queue.push_within([b"f", b""], 4), Err(PushError::Full));
    let mut batch = Vec::new();
    assert!(!queue.take(&mut batch, now()).unwrap().wake_senders, "nobody waits");
    assert_eq!(batch, b"abcde");
}

#[test]
fn queue_is_stuck_until_something_is_taken_out() {
    let mut queue = queue(1);
    queue.set_stuck();
    assert!(!queue.is_stuck(), "there is room");
    queue.push([b"a", b""], Class::Kept, now()).unwrap();
    queue.set_stuck();
    assert!(queue.is_stuck());
    queue.take(&mut Vec::new(), now()).unwrap();
    assert!(!queue.is_stuck());
}

#[test]
fn refused_sender_is_woken_once() {
    let mut queue = queue(1);
    queue.push([b"a", b""], Class::Kept, now()).unwrap();
    assert_eq!(queue.push([b"b", b""], Class::Kept, now()), Err(PushError::Full));
    let mut batch = Vec::new();
    assert!(queue.take(&mut batch, now()).unwrap().wake_senders);
    queue.push([b"b", b""], Class::Kept, now()).unwrap();
    assert!(!queue.take(&mut batch, now()).unwrap().wake_senders);
}

#[test]
fn own_frames_pass_the_limit_but_not_the_end() {
    let mut queue = queue(1);
    queue.push([b"a", b""], Class::Kept, now()).unwrap();
    assert_eq!(queue.push_over_limit(b"bc", 2), Ok(false));
    queue.finish(b"", 0);
    assert_eq!(queue.push_over_limit(b"d", 1), Err(PushError::Closed));
    assert_eq!(queue.push([b"d", b""], Class::Kept, now()), Err(PushError::Closed));
    let mut batch = Vec::new();
    assert_eq!(queue.take(&mut batch, now()).unwrap().num_frames, 3);
    assert_eq!(batch, b"abc");
}

#[test]
fn closed_queue_forgets() {
    let mut queue = queue(10);
    queue.push([b"a", b""], Class::Kept, now()).unwrap();
    queue.close();
    assert!(queue.is_empty() && !queue.is_open() && queue.needs_buffer());
    assert_eq!(queue.push([b"a", b""], Class::Kept, now()), Err(PushError::Closed));
}

#[test]
fn idle_queue_owns_no_memory() {
    let mut queue = queue(10);
    queue.provide(Vec::with_capacity(64));
    queue.push([b"a", b""], Class::Kept, now()).unwrap();
    assert!(queue.release().is_none());
    let mut batch = Vec::with_capacity(64);
    queue.take(&mut batch, now()).unwrap();
    assert!(queue.release().is_some());
    assert!(queue.needs_buffer() && queue.release().is_none());
}

proptest! {
    #[test]
    fn nothing_is_lost_doubled_or_reordered(
        steps in proptest::collection::vec(
            proptest::option::of(proptest::collection::vec(any::<u8>(), 1..20)), 0..100)
    ) {
        let mut queue = queue(50);
        let (mut sent, mut received, mut batch) = (Vec::new(), Vec::new(), Vec::new());
        for step in steps.into_iter().chain([None]) {
            match step {
                Some(frame) => if queue.push([&frame, b""], Class::Kept, now()).is_ok() {
                    sent.extend_from_slice(&frame);
                },
                None => if queue.take(&mut batch, now()).is_some() {
                    received.extend_from_slice(&batch);
                },
            }
            prop_assert!(queue.len() < 50 + 20);
        }
        prop_assert_eq!(sent, received);
    }

    /// What came is what was taken, what was dropped by reason, and what is queued, at every step.
    #[test]
    fn frames_are_conserved(
        steps in proptest::collection::vec((0u8..4, 1usize..70_000, 0u64..5, 0u64..40), 1..200),
        batch_len in 8_192usize..300_000,
    ) {
        let mut now = now();
        let mut queue = OutQueue::new(Limits { max_len: 100_000, batch_len, law: Law::DEFAULT });
        let (mut batch, mut sent, mut taken, mut dropped) = (Vec::new(), 0, 0, 0);
        let mut last: BTreeMap<u64, u32> = BTreeMap::new();
        let mut classes = Vec::new();
        for (kind, len, key, wait) in steps {
            let frame = numbered(classes.len().try_into().unwrap(), len);
            let class = if kind == 0 { Class::Kept } else { flow(u32::from(key % 2 == 1), key) };
            if queue.push([&frame, b""], class, now).is_ok() {
                sent += 1;
                classes.push(if kind == 0 { 99 } else { key });
            } else {
                prop_assert!(class == Class::Kept);
            }
            if kind == 3 {
                now += Duration::from_millis(wait);
                if let Some(some) = queue.take(&mut batch, now) {
                    taken += some.num_frames;
                    let numbers = numbers(batch.clone());
                    prop_assert_eq!(numbers.len() as u64, some.num_frames);
                    for number in numbers {
                        let before = last.insert(classes[number as usize], number);
                        prop_assert!(before.is_none_or(|before| before < number), "order");
                    }
                }
            }
            let drops = queue.take_drops();
            dropped += drops.delay + drops.overflow;
            prop_assert_eq!(sent, taken + dropped + queue.num_frames());
        }
    }
}
