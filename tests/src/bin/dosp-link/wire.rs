//! One way of a link, in virtual time: what waits at its bottleneck, what is on its way, what is lost.
//!
//! ```text
//! accept ─▶ buffer, bounded in bytes ─▶ bottleneck, a rate ─▶ loss ─▶ delay ─▶ poll_packet
//! ```
//!
//! Nothing overtakes: the delay is the same for all. What is lost has passed the bottleneck before, as
//! on a radio link, so loss makes no room.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

/// What a way is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    /// Of the bottleneck, in bits per second.
    pub(crate) rate: f64,
    /// From the bottleneck to the other end.
    pub(crate) delay: Duration,
    /// The share of packets that get lost, 0 to 1.
    pub(crate) loss: f64,
    /// What may wait at the bottleneck, in bytes; a packet that is being transmitted counts with what
    /// is left of it.
    pub(crate) buffer_len: f64,
}

/// Packets that went in, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) num_delivered: u64,
    pub(crate) num_lost: u64,
    /// The buffer was full.
    pub(crate) num_dropped: u64,
    /// The longest that a packet waited for the bottleneck and passed it.
    pub(crate) max_wait: Duration,
}

/// One way.
#[derive(Debug)]
pub(crate) struct Wire {
    conditions: Conditions,
    /// When the bottleneck has passed on all that it took.
    free_at: Instant,
    on_the_way: VecDeque<(Instant, Vec<u8>)>,
    counters: Counters,
}

impl Wire {
    pub(crate) fn new(conditions: Conditions, now: Instant) -> Self {
        let (on_the_way, counters) = (VecDeque::new(), Counters::default());
        Self { conditions, free_at: now, on_the_way, counters }
    }

    /// Takes a packet, or gives it back where it gets no further.
    pub(crate) fn accept(
        &mut self,
        packet: Vec<u8>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Vec<u8>> {
        let Conditions { rate, delay, loss, buffer_len } = self.conditions;
        let packet_len = packet.len() as f64;
        let backlog = self.free_at.saturating_duration_since(now);
        if backlog.as_secs_f64() * rate / 8.0 + packet_len > buffer_len {
            self.counters.num_dropped += 1;
            return Some(packet);
        }
        self.free_at = self.free_at.max(now) + Duration::from_secs_f64(packet_len * 8.0 / rate);
        let wait = self.free_at.saturating_duration_since(now);
        self.counters.max_wait = self.counters.max_wait.max(wait);
        if rng.random_bool(loss) {
            self.counters.num_lost += 1;
            return Some(packet);
        }
        self.on_the_way.push_back((self.free_at + delay, packet));
        None
    }

    /// When the next packet arrives.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.on_the_way.front().map(|(arrives_at, _)| *arrives_at)
    }

    /// A packet that has arrived, until there is none.
    pub(crate) fn poll_packet(&mut self, now: Instant) -> Option<Vec<u8>> {
        let (_, packet) = self.on_the_way.pop_front_if(|(arrives_at, _)| *arrives_at <= now)?;
        self.counters.num_delivered += 1;
        Some(packet)
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    /// 1,000 bytes take a millisecond.
    const CONDITIONS: Conditions =
        Conditions { rate: 8e6, delay: Duration::from_millis(10), loss: 0.0, buffer_len: 3_000.0 };

    #[test]
    fn packets_arrive_in_order_after_their_transmission_and_the_delay() {
        let mut way = Way::new(CONDITIONS);
        assert!(way.accept(1_000, 0) && way.accept(500, 0) && way.accept(1_000, 20_000));

        assert_eq!(way.arrivals(), [(11_000, 1_000), (11_500, 500), (31_000, 1_000)]);
    }

    #[test]
    fn full_buffer_drops_what_comes_last_and_has_room_again_at_the_rate() {
        let mut way = Way::new(CONDITIONS);
        assert!((0..3).all(|_| way.accept(1_000, 0)));
        assert!(!way.accept(1_000, 0), "it is full");
        assert!(!way.accept(1_000, 999), "a byte of the first is still there");
        assert!(way.accept(1_000, 1_000));
        assert!(way.accept(1, 1_001), "small ones fit where large ones do not");

        let counters = way.wire.counters();
        assert_eq!((counters.num_dropped, counters.max_wait), (2, Duration::from_millis(3)));
        assert_eq!(way.arrivals().len(), 5);
    }

    #[test]
    fn share_of_packets_is_lost_behind_the_bottleneck_and_a_seed_repeats_it() {
        let run = || {
            let mut way = Way::new(Conditions { loss: 0.05, ..CONDITIONS });
            let arrives = (0..10_000).map(|i| way.accept(1_000, i * 1_000)).collect::<Vec<_>>();
            (arrives, way.arrivals())
        };

        let (arrives, arrivals) = run();

        let num_lost = arrives.iter().filter(|arrives| !**arrives).count();
        assert!((400..600).contains(&num_lost), "{num_lost} of 10,000");
        assert_eq!(arrivals.last(), Some(&(10_000_000 + 10_000, 1_000)), "loss makes no room");
        assert_eq!(run(), (arrives, arrivals));
    }

    #[test]
    fn loss_of_everything_and_of_nothing_is_possible() {
        let mut way = Way::new(Conditions { loss: 1.0, ..CONDITIONS });
        assert!(!way.accept(1_000, 0));
        assert_eq!(way.wire.counters().num_lost, 1);
        assert_eq!(way.wire.poll_timeout(), None);
    }

    /// A wire whose times are microseconds.
    struct Way {
        wire: Wire,
        began_at: Instant,
        rng: StdRng,
    }

    impl Way {
        fn new(conditions: Conditions) -> Self {
            let began_at = Instant::now();
            Self { wire: Wire::new(conditions, began_at), began_at, rng: StdRng::seed_from_u64(1) }
        }

        fn accept(&mut self, len: usize, us: u64) -> bool {
            let now = self.began_at + Duration::from_micros(us);
            self.wire.accept(vec![0; len], now, &mut self.rng).is_none()
        }

        /// When what arrives, in microseconds and bytes.
        fn arrivals(&mut self) -> Vec<(u128, usize)> {
            let mut arrivals = Vec::new();
            while let Some(arrives_at) = self.wire.poll_timeout() {
                let early = arrives_at - Duration::from_nanos(1);
                assert_eq!(self.wire.poll_packet(early), None);
                let packet = self.wire.poll_packet(arrives_at).expect("it has arrived");
                arrivals.push(((arrives_at - self.began_at).as_micros(), packet.len()));
            }
            arrivals
        }
    }
}
