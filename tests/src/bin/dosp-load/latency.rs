//! S2C frames on a schedule, and how late they arrive.
//!
//! The schedule does not wait for the hub (an open loop): a frame that cannot be written in time is
//! written later, and its latency still counts from when it was due. Frames of one client arrive in
//! order, so the n-th that arrives is the n-th that was due. What has not arrived at the end counts
//! with the latency that it has reached by then.

use std::net::TcpStream;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::epoll::EpollFlags;
use nix::sys::prctl::set_timerslack;
use serde_json::{Value, json};

use crate::client::{Client, join_ring};
use crate::poll::Poller;
use crate::walk::{RECEIVE_LEN, Walk};
use crate::{Ring, cpu, poll};

/// Frames that are due at the same time go into one write of at most this length.
const BATCH_LEN: usize = 64 * 1024;
/// The threads are running when the schedule begins.
const LEAD: Duration = Duration::from_millis(20);
/// Frames that are due before this count for nothing.
const WARM_UP_MS: u64 = 500;
/// How long late frames are waited for.
const GRACE: Duration = Duration::from_secs(2);

pub(crate) fn run(ring: Ring, rate: u32, hub_pid: Option<u32>) -> Result<Value> {
    let (clients, frames) = join_ring(ring)?;
    let schedule = &Schedule::new(ring, rate);
    let (num_unsent, mut latencies, cpu_time) = thread::scope(|scope| {
        let sender = scope.spawn(|| send(schedule, &clients, frames));
        let before = hub_pid.map(|pid| {
            scope.spawn(move || {
                sleep(schedule.measured_from().saturating_duration_since(Instant::now()));
                cpu::time_of(pid)
            })
        });
        let arrivals = receive(schedule, &clients)?;
        let num_unsent = sender.join().ok().context("the sender panicked")??;
        let before = before.map(|before| before.join().ok().context("a thread panicked"));
        let before = before.transpose()?.transpose()?;
        let after = hub_pid.map(cpu::time_of).transpose()?;
        let cpu_time = before.zip(after).map(|(before, after)| after.saturating_sub(before));
        Ok::<_, anyhow::Error>((num_unsent, arrivals, cpu_time))
    })?;
    let num_frames = latencies.all.len();
    let cpu_us_per_frame = cpu_time.map(|time| time.as_secs_f64() * 1e6 / num_frames.max(1) as f64);
    latencies.all.sort_unstable();
    let percentile = |percent| percentile_us(&latencies.all, percent);
    Ok(json!({
        "mode": "latency",
        "clients": ring.clients,
        "data_len": ring.bytes,
        "rate": rate,
        "frames": num_frames,
        "cpu_us_per_frame": cpu_us_per_frame,
        "unsent": num_unsent,
        "unarrived": latencies.num_unarrived,
        "p50_us": percentile(50),
        "p90_us": percentile(90),
        "p99_us": percentile(99),
        "max_us": percentile(100),
    }))
}

/// When which frame is due: the clients take turns, at equal distances.
#[derive(Debug)]
struct Schedule {
    starts_at: Instant,
    num_clients: u64,
    rate: f64,
    /// Of each client.
    num_frames: u64,
}

impl Schedule {
    fn new(ring: Ring, rate: u32) -> Self {
        let num_clients = u64::from(ring.clients);
        let scheduled_ms = WARM_UP_MS + u64::from(ring.seconds) * 1000;
        let num_all = scheduled_ms * u64::from(rate) / 1000;
        Self {
            starts_at: Instant::now() + LEAD,
            num_clients,
            rate: rate.into(),
            num_frames: num_all.div_ceil(num_clients),
        }
    }

    /// When the `n`-th frame of `client` is due.
    fn due_at(&self, client: usize, n: u64) -> Instant {
        self.nth_due_at(client as u64 + n * self.num_clients)
    }

    fn nth_due_at(&self, n: u64) -> Instant {
        self.starts_at + Duration::from_secs_f64(n as f64 / self.rate)
    }

    /// How many frames of all clients are due.
    #[allow(clippy::cast_possible_truncation, reason = "it fits for centuries")]
    fn num_all_due(&self, now: Instant) -> u64 {
        let Some(elapsed) = now.checked_duration_since(self.starts_at) else { return 0 };
        (elapsed.as_secs_f64() * self.rate) as u64 + 1
    }

    /// How many frames of `client` are due.
    fn num_due(&self, client: usize, now: Instant) -> u64 {
        let num_all = self.num_all_due(now).saturating_sub(client as u64);
        num_all.div_ceil(self.num_clients).min(self.num_frames)
    }

    fn next_due_at(&self, now: Instant) -> Instant {
        self.nth_due_at(self.num_all_due(now))
    }

    fn measured_from(&self) -> Instant {
        self.starts_at + Duration::from_millis(WARM_UP_MS)
    }

    fn ends_at(&self) -> Instant {
        self.due_at(0, self.num_frames) + GRACE
    }
}

/// The sending side of one client.
struct Sender<'a> {
    stream: &'a TcpStream,
    frame: Vec<u8>,
    /// What is being written, from `written_len` on.
    batch: Vec<u8>,
    written_len: usize,
    /// Frames that were put into a batch.
    num_batched: u64,
}

impl<'a> Sender<'a> {
    fn new((client, frame): (&'a Client, Vec<u8>)) -> Self {
        Self { stream: &client.stream, frame, batch: Vec::new(), written_len: 0, num_batched: 0 }
    }

    /// Writes what is due; returns whether there was room for it.
    fn write(&mut self, num_due: u64) -> Result<bool> {
        loop {
            if self.written_len == self.batch.len() && !self.next_batch(num_due) {
                return Ok(true);
            }
            match poll::write(self.stream, &self.batch[self.written_len..])? {
                0 => return Ok(false),
                len => self.written_len += len,
            }
        }
    }

    fn next_batch(&mut self, num_due: u64) -> bool {
        let max_frames = (BATCH_LEN / self.frame.len()).max(1) as u64;
        let num_frames = (num_due - self.num_batched).min(max_frames);
        self.batch.clear();
        for _ in 0..num_frames {
            self.batch.extend_from_slice(&self.frame);
        }
        self.written_len = 0;
        self.num_batched += num_frames;
        num_frames > 0
    }
}

/// Sends all frames, each when it is due or as soon after as there is room. Returns how many there
/// never was room for.
fn send(schedule: &Schedule, clients: &[Client], frames: Vec<Vec<u8>>) -> Result<u64> {
    // The kernel wakes a thread up to 50 µs late unless told: as much as a hub takes for a frame.
    set_timerslack(1).context("set the timer slack")?;
    let mut senders: Vec<_> = clients.iter().zip(frames).map(Sender::new).collect();
    loop {
        let now = Instant::now();
        let mut blocked = Vec::new();
        for (client, sender) in senders.iter_mut().enumerate() {
            if !sender.write(schedule.num_due(client, now))? {
                blocked.push(sender.stream);
            }
        }
        let num_sent: u64 = senders.iter().map(|sender| sender.num_batched).sum();
        let num_unsent = schedule.num_frames * schedule.num_clients - num_sent;
        if (num_unsent == 0 && blocked.is_empty()) || now >= schedule.ends_at() {
            return Ok(num_unsent);
        }
        let pause = schedule.next_due_at(now).saturating_duration_since(Instant::now());
        poll::wait_for_room(&blocked, pause)?;
    }
}

/// What arrived, in microseconds.
#[derive(Debug, Default)]
struct Latencies {
    all: Vec<u32>,
    num_unarrived: u64,
}

impl Latencies {
    fn record(&mut self, schedule: &Schedule, due_at: Instant, now: Instant) {
        if due_at >= schedule.measured_from() {
            let latency = now.saturating_duration_since(due_at).as_micros();
            self.all.push(u32::try_from(latency).unwrap_or(u32::MAX));
        }
    }
}

/// Receives until all frames are there or it is too late.
fn receive(schedule: &Schedule, clients: &[Client]) -> Result<Latencies> {
    let streams: Vec<_> = clients.iter().map(|client| &client.stream).collect();
    // By receiver: its place in the stream, and how many frames it has.
    let mut walks: Vec<_> = streams.iter().map(|_| (Walk::default(), 0)).collect();
    let sender_to = |receiver: usize| (receiver + clients.len() - 1) % clients.len();
    let mut buffer = vec![0; RECEIVE_LEN];
    let mut latencies = Latencies::default();
    let mut poller = Poller::new(&streams, EpollFlags::EPOLLIN)?;
    let mut num_missing = schedule.num_frames * schedule.num_clients;
    while num_missing > 0 && Instant::now() < schedule.ends_at() {
        for i in poller.wait()? {
            let (walk, num_received) = &mut walks[i];
            let num_s2c = walk.receive(streams[i], &mut buffer)?.num_s2c;
            let now = Instant::now();
            for n in *num_received..*num_received + num_s2c {
                latencies.record(schedule, schedule.due_at(sender_to(i), n), now);
            }
            *num_received += num_s2c;
            num_missing -= num_s2c;
        }
    }
    let now = Instant::now();
    for (i, (_, num_received)) in walks.iter().enumerate() {
        for n in *num_received..schedule.num_frames {
            latencies.record(schedule, schedule.due_at(sender_to(i), n), now);
        }
    }
    latencies.num_unarrived = num_missing;
    Ok(latencies)
}

/// The smallest of these that at least `percent` of them do not exceed.
fn percentile_us(sorted: &[u32], percent: usize) -> u32 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_due_in_turns_at_equal_distances() {
        let starts_at = Instant::now();
        let schedule = Schedule { starts_at, num_clients: 4, rate: 1000.0, num_frames: 10 };
        let ms = |ms: u64| starts_at + Duration::from_millis(ms);
        assert_eq!(schedule.due_at(1, 2), ms(9));
        let num_due = |ms: u64| {
            [0, 1, 2, 3].map(|client| {
                schedule.num_due(client, starts_at + Duration::from_micros(ms * 1000 + 500))
            })
        };
        assert_eq!(num_due(0), [1, 0, 0, 0]);
        assert_eq!(num_due(4), [2, 1, 1, 1]);
        assert_eq!(num_due(1000), [10; 4]);
        assert_eq!(schedule.num_due(0, starts_at - Duration::from_millis(1)), 0);
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let sorted: Vec<u32> = (1..=200).collect();
        assert_eq!([50, 99, 100].map(|percent| percentile_us(&sorted, percent)), [100, 198, 200]);
        assert_eq!(percentile_us(&[], 99), 0);
        assert_eq!(percentile_us(&[7], 50), 7);
    }
}
