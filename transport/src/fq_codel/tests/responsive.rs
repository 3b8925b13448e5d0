//! CoDel against a sender that answers drops as TCP does.

use std::collections::VecDeque;

use super::sim::{Link, key};
use super::*;

const ITEM_LEN: usize = 1500;

/// One more item per round trip, half as many after a drop.
struct Sender {
    window: f64,
    num_in_flight: usize,
    /// When the sender hears of items, and whether they arrived.
    news: VecDeque<(Instant, bool)>,
    halved_at: Instant,
}

/// The waits of the items of such a sender, in seconds, after its first ten seconds.
fn waits(rate: f64, round_trip: Duration, duration: Duration) -> Vec<f64> {
    let mut link = Link::new(rate, Config::default());
    let start = link.now;
    let window = rate * round_trip.as_secs_f64() / ITEM_LEN as f64;
    let mut sender = Sender { window, num_in_flight: 0, news: VecDeque::new(), halved_at: start };
    let mut waits = Vec::new();
    while link.now < start + duration {
        while let Some((_, arrived)) = sender.news.pop_front_if(|(at, _)| *at <= link.now) {
            sender.num_in_flight -= 1;
            if arrived {
                sender.window += 1.0 / sender.window;
            } else if link.now > sender.halved_at + round_trip {
                sender.window = (sender.window / 2.0).max(2.0);
                sender.halved_at = link.now;
            }
        }
        while (sender.num_in_flight as f64) < sender.window {
            sender.num_in_flight += 1;
            link.push(key(1, 1), ITEM_LEN);
        }
        let popped_at = link.now;
        let sent = link.send();
        sender.news.extend(link.dropped.drain(..).map(|_| (popped_at + round_trip, false)));
        match sent {
            Some(item) => {
                sender.news.push_back((popped_at + round_trip, true));
                if popped_at > start + Duration::from_secs(10) {
                    waits.push((popped_at - item.since).as_secs_f64());
                }
            }
            None => link.now = sender.news.front().unwrap().0,
        }
    }
    waits
}

#[test]
fn standing_delay_of_a_responsive_flow_is_near_the_target() {
    for (rate, round_trip) in [(1.25e6, 20), (12.5e6, 20), (12.5e6, 80)] {
        let duration = Duration::from_secs(60);
        let mut waits = waits(rate, MS * round_trip, duration);
        waits.sort_by(f64::total_cmp);
        let median = waits[waits.len() / 2];
        assert!(median < 0.010, "{rate} B/s, {round_trip} ms: median wait {median}");
        let p99 = waits[waits.len() / 100 * 99];
        assert!(p99 < 0.040, "{rate} B/s, {round_trip} ms: p99 {p99}");
        let used = waits.len() as f64 * ITEM_LEN as f64 / (rate * 50.0);
        assert!(used > 0.75, "{rate} B/s, {round_trip} ms: {used} of the link used");
    }
}
