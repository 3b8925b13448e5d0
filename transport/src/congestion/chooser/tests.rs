//! Paths, as TCP_INFO would show them every 100 ms.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const STEP: Duration = Duration::from_millis(100);

/// One connection over a path.
struct Path {
    chooser: Chooser,
    sample: PathSample,
    start: Instant,
    now: Instant,
    rng: StdRng,
    /// When it changed, in whole seconds, and to what.
    changes: Vec<(u64, Algorithm)>,
}

impl Path {
    fn new(min_rtt_ms: f64) -> Self {
        let start = Instant::now();
        let mut path = Self {
            chooser: Chooser::new(),
            sample: PathSample { sent_segments: u32::MAX - 1000, ..PathSample::default() },
            start,
            now: start,
            rng: StdRng::seed_from_u64(1),
            changes: Vec::new(),
        };
        path.set_min_rtt(min_rtt_ms);
        path.step(min_rtt_ms, 10, 0);
        path
    }

    fn set_min_rtt(&mut self, ms: f64) {
        self.sample.min_rtt = Duration::from_secs_f64(ms / 1000.0);
    }

    /// 100 ms in which so much was sent and lost.
    fn step(&mut self, rtt_ms: f64, num_sent: u32, num_lost: u32) {
        self.now += STEP;
        self.sample.rtt = Duration::from_secs_f64(rtt_ms / 1000.0);
        self.sample.sent_segments = self.sample.sent_segments.wrapping_add(num_sent);
        self.sample.retransmitted_segments += num_lost;
        if let Some(algorithm) = self.chooser.feed(&self.sample, self.now) {
            self.changes.push(((self.now - self.start).as_secs(), algorithm));
        }
    }

    /// Losses by chance, whatever is in the queues.
    fn random_loss(&mut self, seconds: u32, rtt_ms: f64, per_second: u32, loss: f64) {
        for _ in 0..seconds * 10 {
            let num_sent = per_second / 10;
            let num_lost = (0..num_sent).filter(|_| self.rng.random_bool(loss)).count();
            self.step(rtt_ms, num_sent, u32::try_from(num_lost).unwrap());
        }
    }

    /// Cubic alone on a path whose queue is `depth` times what is under way: it fills the queue,
    /// loses some packets, and is left with 0.7 of it all. Begins with the overshoot of slow start.
    fn cubic(&mut self, seconds: u32, min_rtt_ms: f64, depth: f64, period_seconds: u32) {
        let full = min_rtt_ms * (1.0 + depth);
        for _ in 0..4 {
            self.step(full, 2000, 300);
        }
        for _ in 0..4 {
            // Slow start's losses are repeated while the queue runs dry.
            self.step(min_rtt_ms * 1.05, 1000, 200);
        }
        let steps = period_seconds * 10;
        for num in 0..seconds * 10 {
            let phase = f64::from(num % steps) / f64::from(steps);
            let window = 0.7 + 0.3 * (1.0 - (1.0 - phase).powi(3));
            let is_overflow = num % steps == steps - 1;
            self.step((full * window).max(min_rtt_ms), 1600, if is_overflow { 8 } else { 0 });
        }
    }
}

#[test]
fn clean_lan_keeps_cubic() {
    let mut path = Path::new(0.2);
    path.random_loss(600, 0.3, 10_000, 0.0);
    path.random_loss(60, 0.3, 10_000, 0.001);
    assert_eq!(path.changes, []);
}

#[test]
fn full_queues_of_a_clean_path_keep_cubic() {
    for (min_rtt_ms, depth, period) in [(20.0, 1.0, 6), (80.0, 1.0, 10), (10.0, 0.5, 1)] {
        let mut path = Path::new(min_rtt_ms);
        path.cubic(600, min_rtt_ms, depth, period);
        assert_eq!(path.changes, [], "{min_rtt_ms} ms, queue {depth}");
    }
}

#[test]
fn shallow_queue_that_overflows_now_and_then_keeps_cubic() {
    let mut path = Path::new(20.0);
    path.cubic(600, 20.0, 0.1, 6);
    assert_eq!(path.changes, []);
}

#[test]
fn random_loss_gets_bbr_within_seconds() {
    for (loss, per_second) in [(0.005, 700), (0.01, 420), (0.001, 2000)] {
        let mut path = Path::new(20.0);
        path.random_loss(20, 20.5, per_second, loss);
        let [(at, Algorithm::Bbr)] = path.changes[..] else { panic!("{:?}", path.changes) };
        assert!((1..12).contains(&at), "{loss}: after {at} s");
        path.random_loss(1800, 21.0, 16_000, loss);
        assert_eq!(path.changes.len(), 1, "{loss}: {:?}", path.changes);
    }
}

#[test]
fn one_burst_decides_nothing() {
    let mut path = Path::new(160.0);
    for _ in 0..12 {
        path.step(165.0, 500, 50);
    }
    path.random_loss(60, 161.0, 3000, 0.0);
    assert_eq!(path.changes, []);
}

#[test]
fn deep_queue_before_a_slow_link_keeps_cubic() {
    let mut path = Path::new(160.0);
    // 5 Mbit/s, and a second of packets in the queue.
    path.cubic(1200, 160.0, 6.0, 20);
    assert_eq!(path.changes, []);
}

#[test]
fn losses_by_chance_in_a_queue_that_overflows_too_keep_cubic() {
    let mut path = Path::new(20.0);
    for num in 0..6000 {
        // What is lost at the overflow, and half a second later something by chance.
        let (rtt_ms, num_lost) = match num % 20 {
            0 => (40.0, 20),
            10 => (22.0, 1),
            _ => (22.0, 0),
        };
        path.step(rtt_ms, 1600, num_lost);
    }
    assert_eq!(path.changes, []);
}

#[test]
fn path_that_becomes_clean_gets_cubic_again_after_half_a_minute() {
    let mut path = Path::new(20.0);
    path.random_loss(30, 20.5, 700, 0.005);
    path.random_loss(120, 21.0, 16_000, 0.0);
    let [(_, Algorithm::Bbr), (at, Algorithm::Cubic)] = path.changes[..] else {
        panic!("{:?}", path.changes)
    };
    assert!((58..65).contains(&at), "after {at} s");
}

#[test]
fn idle_connection_says_nothing_of_its_path() {
    let mut path = Path::new(20.0);
    path.random_loss(30, 20.5, 700, 0.005);
    path.random_loss(600, 21.0, 10, 0.0);
    assert_eq!(path.chooser.algorithm(), Algorithm::Bbr);
    path.random_loss(20, 21.0, 16_000, 0.0);
    assert_eq!(path.chooser.algorithm(), Algorithm::Cubic);
}

#[test]
fn path_whose_losses_come_back_is_left_alone_ever_longer() {
    let mut path = Path::new(20.0);
    // Loss whenever cubic is used: as where others' bursts fill a queue that BBR keeps short.
    for _ in 0..3600 {
        match path.chooser.algorithm() {
            Algorithm::Cubic => path.random_loss(1, 20.5, 700, 0.01),
            Algorithm::Bbr => path.random_loss(1, 21.0, 16_000, 0.0),
        }
    }
    let switches: Vec<_> =
        path.changes.iter().filter(|change| change.1 == Algorithm::Cubic).collect();
    let pauses: Vec<_> = switches.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    for (pause, calm) in pauses.iter().zip([60, 120, 240, 480, 600, 600]) {
        assert!((calm..calm + 15).contains(pause), "{pauses:?}");
    }
    assert!(path.changes.len() < 20, "{:?}", path.changes);
}

#[test]
fn relapse_after_a_long_time_is_none() {
    let mut path = Path::new(20.0);
    for _ in 0..3 {
        path.random_loss(30, 20.5, 700, 0.005);
        path.random_loss(700, 21.0, 16_000, 0.0);
    }
    let stays: Vec<_> = path.changes.chunks(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(stays.iter().all(|stay| (30..65).contains(stay)), "{stays:?}");
}

#[test]
fn path_that_changes_is_judged_by_its_new_round_trip() {
    let mut path = Path::new(20.0);
    path.cubic(60, 20.0, 1.0, 6);
    // A longer way with losses; the kernel forgets the shorter round trip only after a while.
    path.random_loss(60, 60.0, 400, 0.01);
    assert_eq!(path.changes, [], "for all we know it is a queue");
    path.set_min_rtt(60.0);
    path.random_loss(60, 61.0, 400, 0.01);
    assert_eq!(path.chooser.algorithm(), Algorithm::Bbr);
}
