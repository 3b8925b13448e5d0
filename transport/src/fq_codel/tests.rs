//! The rules one by one, and `sim`, a link in virtual time; `model` tries operations at random.

mod fairness;
mod model;
mod responsive;
mod sim;

use super::table::{MAX_IDLE_FLOWS, MAX_IDLE_SPARES, MAX_SPARE_ITEMS};
use std::time::Duration;

use super::*;
use sim::{Link, key};

const MS: Duration = Duration::from_millis(1);

/// A queue whose items are their own lengths.
fn queue(max_len: usize) -> FqCodel<usize> {
    FqCodel::new(Config { max_len, ..Config::default() })
}

#[test]
fn flow_stays_in_order_and_is_counted() {
    let (mut queue, now) = (queue(1000), Instant::now());
    for len in [3, 1, 2] {
        queue.push(key(1, 1), len, len, now, |_, _| panic!("there is room"));
    }
    assert_eq!((queue.len(), queue.num_items(), queue.num_flows()), (6, 3, 1));
    let popped: Vec<_> = std::iter::from_fn(|| queue.pop(now, |_, _| panic!("no wait"))).collect();
    assert_eq!(popped, [3, 1, 2]);
    assert_eq!((queue.len(), queue.num_items(), queue.num_flows()), (0, 0, 0));
    assert_eq!(queue.stats().pushed, Amount { items: 3, bytes: 6 });
    assert_eq!(queue.stats().popped, queue.stats().pushed);
}

#[test]
fn full_queue_drops_the_oldest_of_the_longest_flow_of_the_host_with_most() {
    let (mut queue, now) = (queue(100), Instant::now());
    for (host, flow, len) in [(1, 1, 45), (2, 2, 10), (2, 2, 11), (2, 3, 20)] {
        queue.push(key(host, flow), len, len, now, |_, _| panic!("there is room"));
    }
    let mut dropped = Vec::new();
    queue.push(key(2, 4), 15, 15, now, |len, why| dropped.push((len, why)));
    assert_eq!(dropped, [(10, Dropped::Overflow)], "host 2 has 56 bytes, its flow 2 has 21");
    queue.push(key(2, 4), 30, 30, now, |len, why| dropped.push((len, why)));
    assert_eq!(dropped[1..], [(15, Dropped::Overflow), (30, Dropped::Overflow)]);
    assert_eq!(queue.stats().overflow, Amount { items: 3, bytes: 55 });
    let mut left: Vec<_> = queue.drain().collect();
    left.sort_unstable();
    assert_eq!(left, [11, 20, 45]);
}

#[test]
fn item_that_never_fits_drops_nothing_else() {
    let (mut queue, now) = (queue(100), Instant::now());
    queue.push(key(1, 1), 100, 100, now, |_, _| panic!("there is room"));
    let mut dropped = Vec::new();
    queue.push(key(1, 1), 101, 101, now, |len, _| dropped.push(len));
    assert_eq!((dropped, queue.len()), (vec![101], 100));
}

#[test]
fn standing_queue_is_dropped_from_after_an_interval_but_never_its_last_item() {
    let (mut queue, start) = (queue(1000), Instant::now());
    for len in 1..=4 {
        queue.push(key(1, 1), len, len, start, |_, _| panic!("there is room"));
    }
    let mut dropped = Vec::new();
    let mut pop = |at| queue.pop(start + at, |len, why| dropped.push((len, why)));
    assert_eq!(pop(MS * 10), Some(1), "too long a wait, for the first time");
    assert_eq!(pop(MS * 111), Some(3), "and still, an interval later");
    assert_eq!(pop(MS * 5000), Some(4), "nothing waits behind it");
    assert_eq!(dropped, [(2, Dropped::Delay)]);
    assert_eq!(queue.stats().delay, Amount { items: 1, bytes: 2 });
}

#[test]
fn longer_target_is_more_patient() {
    let (mut queue, start) = (queue(1000), Instant::now());
    queue.set_law(Law { target: MS * 200, ..Law::DEFAULT });
    for len in 1..=4 {
        queue.push(key(1, 1), len, len, start, |_, _| panic!("there is room"));
    }
    for (at, len) in [(10, 1), (111, 2), (199, 3)] {
        assert_eq!(queue.pop(start + MS * at, |_, _| panic!("within the target")), Some(len));
    }
}

#[test]
fn new_flow_goes_ahead_of_a_flood_with_what_a_quantum_pays_for() {
    let (mut queue, now) = (queue(1 << 30), Instant::now());
    for _ in 0..10 {
        queue.push(key(1, 1), 65_600, 65_600, now, |_, _| ());
    }
    assert_eq!(queue.pop(now, |_, _| ()), Some(65_600));
    queue.push(key(1, 2), 100, 100, now, |_, _| ());
    queue.push(key(2, 3), 20_000, 20_000, now, |_, _| ());
    queue.push(key(2, 3), 300, 300, now, |_, _| ());
    let next: Vec<_> = (0..3).filter_map(|_| queue.pop(now, |_, _| ())).collect();
    assert_eq!(next[..2], [100, 20_000]);
}

#[test]
fn host_with_many_flows_gets_no_more_of_them_ahead() {
    let mut link = Link::new(1e6, Config::default());
    link.push(key(1, 0), 1000);
    for flow in 0..1000 {
        link.push(key(2, flow), 1000);
    }
    link.send();
    link.push(key(3, 0), 1000);
    let order: Vec<_> = (0..100).filter_map(|_| link.send()).map(|sent| sent.key.host).collect();
    let of_the_third = order.iter().position(|host| *host == 3);
    assert_eq!(of_the_third, Some(MAX_SPARSE_FLOWS), "all that were let ahead before it");
}

#[test]
fn empty_queue_owns_next_to_nothing() {
    let (mut queue, now) = (queue(1 << 30), Instant::now());
    for flow in 0..10_000 {
        for _ in 0..flow % 100 {
            queue.push(key(1, flow), 100, 100, now, |_, _| ());
        }
    }
    while queue.pop(now, |_, _| ()).is_some() {}
    assert!(queue.table.slots.capacity() <= 2 * MAX_IDLE_FLOWS);
    assert_eq!((queue.table.flows.capacity(), queue.table.hosts.capacity()), (0, 0));
    let spare: usize = queue.table.spares.iter().map(VecDeque::capacity).sum();
    assert!(
        queue.table.spares.len() == MAX_IDLE_SPARES && spare <= MAX_IDLE_SPARES * MAX_SPARE_ITEMS
    );
}
