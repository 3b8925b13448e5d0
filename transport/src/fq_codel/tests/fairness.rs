//! Who gets how much, and how soon, while the link is full.

use super::sim::{Link, key};
use super::*;

/// 100 Mbit/s.
const RATE: f64 = 12.5e6;
const RUN: Duration = Duration::from_secs(20);

fn assert_even(shares: &[f64]) {
    let fair = shares.iter().sum::<f64>() / shares.len() as f64;
    for share in shares {
        assert!((share / fair - 1.0).abs() < 0.05, "{share} of {fair}: {shares:?}");
    }
}

#[test]
fn flows_share_evenly_whatever_the_length_of_their_items() {
    let lens = [65_600, 9000, 30_000, 65_600];
    let flows: Vec<_> = (0..).zip(lens).map(|(flow, len)| (key(1, flow), len)).collect();
    let mut link = Link::new(RATE, Config::default());
    link.flood(&flows, RUN, |_| ());
    assert_even(&flows.iter().map(|(key, _)| link.sent_len[key] as f64).collect::<Vec<_>>());
}

#[test]
fn hosts_share_evenly_whatever_the_number_of_their_flows() {
    let mut flows = vec![(key(1, 0), 65_600)];
    flows.extend((0..10).map(|flow| (key(2, flow), 16_000)));
    flows.extend((0..300).map(|flow| (key(3, flow), 9000)));
    let config = Config { max_len: 1 << 30, ..Config::default() };
    let mut link = Link::new(RATE, config);
    link.flood(&flows, RUN, |_| ());
    assert_even(&[1, 2, 3].map(|host| link.sent_by_host(host)));
    let of_two: Vec<_> = (0..10).map(|flow| link.sent_len[&key(2, flow)] as f64).collect();
    assert_even(&of_two);
}

#[test]
fn sparse_flow_waits_for_one_item_in_service() {
    let flows: Vec<_> = (0..8).map(|flow| (key(flow % 3, u64::from(flow)), 65_600)).collect();
    let mut link = Link::new(RATE, Config::default());
    let (ping, interval) = (key(0, 99), MS * 10);
    let mut next_at = link.now + MS * 500;
    let mut num_sent = 0;
    link.flood(&flows, RUN, |link| {
        if link.now >= next_at {
            next_at += interval;
            link.push(ping, 100);
            let sent = link.send().unwrap();
            // It came while one item was being sent, and is the next one.
            assert_eq!(sent.key, ping);
            num_sent += 1;
        }
    });
    assert!(num_sent > 1900, "{num_sent}");
}

#[test]
fn stream_of_new_flows_starves_nobody() {
    let bulk = [(key(1, 0), 65_600), (key(3, 0), 65_600)];
    let config = Config { max_len: 1 << 20, ..Config::default() };
    let mut link = Link::new(RATE, config);
    let mut next_flow = 0;
    link.flood(&bulk, RUN, |link| {
        // Far more than its share, and no flow twice.
        for _ in 0..50 {
            next_flow += 1;
            link.push(key(2, next_flow), 1400);
        }
    });
    assert_even(&[1, 2, 3].map(|host| link.sent_by_host(host)));
}

#[test]
fn host_that_is_let_ahead_pays_for_it() {
    let bulk = [(key(1, 0), 65_600), (key(2, 0), 65_600)];
    let mut link = Link::new(RATE, Config::default());
    let mut next_flow = 0;
    // A quarter of the link in new flows of one item each, within the host's own half.
    link.flood(&bulk, RUN, |link| {
        for _ in 0..16 {
            next_flow += 1;
            link.push(key(2, next_flow), 1400);
        }
    });
    assert_even(&[1, 2].map(|host| link.sent_by_host(host)));
}
