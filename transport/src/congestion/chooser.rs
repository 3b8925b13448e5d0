//! Cubic or BBR, by what the path does to the packets.
//!
//! Cubic takes every loss for a full queue, so that losses by chance, on radio or a bad cable, cost
//! it most of the path: 0.5 % at 20 ms leaves it 8 of 200 Mbit/s. BBR does not mind; but every 10 s
//! it sends four packets a round trip for 200 ms, to measure the round trip, and all that comes in
//! between waits. So: cubic, unless losses come again and again while the round trip says that no
//! queue can have been full.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Algorithm, PathSample};

/// Below this, cubic recovers from a loss at once, and a processor that is busy elsewhere looks
/// like a queue: nothing is to be gained by BBR, and nothing to be concluded.
const MIN_RANDOM_RTT: Duration = Duration::from_millis(3);
/// A round trip up to 5/4 of the shortest and 1 ms has no queue in it that could have been full: as
/// deep as a quarter of the path at least is every queue that cubic can work with.
const QUEUELESS_NUM: u32 = 5;
const QUEUELESS_DENOM: u32 = 4;
const QUEUELESS_MARGIN: Duration = Duration::from_millis(1);
/// Losses closer together than so many round trips, or than [`MIN_BURST`], are one burst: what slow
/// start sends too much is repeated within a few round trips.
const BURST_ROUND_TRIPS: u32 = 8;
const MIN_BURST: Duration = Duration::from_millis(500);
/// So many bursts without a queue within [`BURST_WINDOW`] are no accident. Cubic itself, on a path
/// without a queue worth the name, loses something every few seconds at most.
const RANDOM_BURSTS: u32 = 4;
const BURST_WINDOW: Duration = Duration::from_secs(10);
/// Or within so many lengths of a burst, where that is longer: half as many again as are needed.
const WINDOW_BURSTS: u32 = 3 * RANDOM_BURSTS / 2;
/// One retransmission in so many segments (0.05 %) or fewer is as good as none: cubic fills
/// 200 Mbit/s at 20 ms with that.
const CALM_SEGMENTS: u64 = 2000;
/// What was sent at least, before its losses say anything: five times that.
const MIN_CALM_SENT: u64 = 5 * CALM_SEGMENTS;
/// How long losses are counted together, so that new ones do not hide behind a long calm.
const CALM_COUNT: Duration = Duration::from_secs(10);
/// How long it has to be calm before cubic is tried again. Doubles with each relapse.
const FIRST_CALM: Duration = Duration::from_secs(30);
/// The longest of these times. A relapse that comes later is none.
const MAX_CALM: Duration = Duration::from_secs(600);

/// Decides for one connection. Begins with cubic.
#[derive(Debug, Clone)]
pub struct Chooser {
    previous: Option<PathSample>,
    state: State,
    /// How long BBR has to be calm.
    calm: Duration,
}

#[derive(Debug, Clone)]
enum State {
    Cubic {
        /// When BBR was left.
        since: Option<Instant>,
        /// When bursts began, and whether there was a queue.
        bursts: VecDeque<Burst>,
    },
    Bbr(Calm),
}

#[derive(Debug, Clone, Copy)]
struct Burst {
    at: Instant,
    is_random: bool,
}

/// What was lost since the last time that too much was.
#[derive(Debug, Clone, Copy)]
struct Calm {
    since: Instant,
    sent: u64,
    counted_since: Instant,
    counted: Segments,
}

#[derive(Debug, Clone, Copy, Default)]
struct Segments {
    sent: u64,
    retransmitted: u64,
}

impl Chooser {
    /// One that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        let state = State::Cubic { since: None, bursts: VecDeque::new() };
        Self { previous: None, state, calm: FIRST_CALM }
    }

    /// What it has decided for.
    #[cfg(test)]
    const fn algorithm(&self) -> Algorithm {
        match self.state {
            State::Cubic { .. } => Algorithm::Cubic,
            State::Bbr(_) => Algorithm::Bbr,
        }
    }

    /// Takes a sample; says what to change to. Samples are to be 100 ms apart or more.
    pub fn feed(&mut self, sample: &PathSample, now: Instant) -> Option<Algorithm> {
        let previous = self.previous.replace(*sample)?;
        let segments = Segments::between(&previous, sample);
        match &mut self.state {
            State::Cubic { since, bursts } => {
                let losses_are_random = is_random(&previous, sample);
                if segments.retransmitted == 0
                    || !note_burst(bursts, sample.rtt, losses_are_random, now)
                {
                    return None;
                }
                self.calm = match *since {
                    Some(since) if now.saturating_duration_since(since) < MAX_CALM => {
                        (self.calm * 2).min(MAX_CALM)
                    }
                    _ => FIRST_CALM,
                };
                self.state = State::Bbr(Calm::begin(now));
                Some(Algorithm::Bbr)
            }
            State::Bbr(calm) => {
                let lasted = calm.note(segments, now)?;
                if lasted < self.calm {
                    return None;
                }
                self.state = State::Cubic { since: Some(now), bursts: VecDeque::new() };
                Some(Algorithm::Cubic)
            }
        }
    }
}

impl Default for Chooser {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether losses between two samples cannot come of a full queue.
fn is_random(previous: &PathSample, sample: &PathSample) -> bool {
    let min_rtt = sample.min_rtt;
    let queueless = min_rtt * QUEUELESS_NUM / QUEUELESS_DENOM + QUEUELESS_MARGIN;
    // What is lost now was sent a round trip ago.
    min_rtt >= MIN_RANDOM_RTT && previous.rtt.max(sample.rtt) < queueless
}

/// Takes note of losses; `true` when there were too many by chance, and few beside them by
/// full queues, whose repetitions can look like chance.
fn note_burst(bursts: &mut VecDeque<Burst>, rtt: Duration, is_random: bool, now: Instant) -> bool {
    let burst = (rtt * BURST_ROUND_TRIPS).max(MIN_BURST);
    let age = |at: Instant| now.saturating_duration_since(at);
    if bursts.back().is_some_and(|last| age(last.at) < burst) {
        return false;
    }
    bursts.push_back(Burst { at: now, is_random });
    let window = (burst * WINDOW_BURSTS).max(BURST_WINDOW);
    while bursts.pop_front_if(|first| age(first.at) > window).is_some() {}
    let (num_random, num_full) = bursts.iter().fold((0, 0), |(random, full), burst| {
        if burst.is_random { (random + 1, full) } else { (random, full + 1) }
    });
    num_random >= RANDOM_BURSTS && num_random > 2 * num_full
}

impl Calm {
    fn begin(now: Instant) -> Self {
        Self { since: now, sent: 0, counted_since: now, counted: Segments::default() }
    }

    /// Takes note of what was sent; says how long it has been calm, where enough was sent to know.
    fn note(&mut self, segments: Segments, now: Instant) -> Option<Duration> {
        self.sent += segments.sent;
        self.counted.sent += segments.sent;
        self.counted.retransmitted += segments.retransmitted;
        if self.counted.retransmitted * CALM_SEGMENTS > self.counted.sent.max(MIN_CALM_SENT) {
            *self = Self::begin(now);
        } else if now.saturating_duration_since(self.counted_since) >= CALM_COUNT {
            self.counted_since = now;
            self.counted = Segments::default();
        }
        (self.sent >= MIN_CALM_SENT).then(|| now.saturating_duration_since(self.since))
    }
}

impl Segments {
    fn between(previous: &PathSample, sample: &PathSample) -> Self {
        let sent = sample.sent_segments.wrapping_sub(previous.sent_segments);
        let retransmitted =
            sample.retransmitted_segments.wrapping_sub(previous.retransmitted_segments);
        Self { sent: sent.into(), retransmitted: retransmitted.into() }
    }
}
