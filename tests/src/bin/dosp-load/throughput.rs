//! As many S2C frames as the hub takes.
//!
//! Frames are encoded once and sent in batches of 64 KiB. What is counted is what arrives.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::epoll::EpollFlags;
use serde_json::{Value, json};

use crate::client::{Client, join_ring};
use crate::poll::Poller;
use crate::walk::{RECEIVE_LEN, Walk};
use crate::{Ring, poll};

const BATCH_LEN: usize = 64 * 1024;
const WARM_UP: Duration = Duration::from_millis(700);

pub(crate) fn run(ring: Ring) -> Result<Value> {
    let (clients, frames) = join_ring(ring)?;
    let run = Run {
        clients: &clients,
        stop: AtomicBool::new(false),
        num_received: clients.iter().map(|_| AtomicU64::new(0)).collect(),
        num_others: AtomicU64::new(0),
    };
    let (counts, elapsed) = thread::scope(|scope| {
        let threads = [scope.spawn(|| run.send(&frames)), scope.spawn(|| run.receive())];
        sleep(WARM_UP);
        let (before, started_at) = (run.received(), Instant::now());
        sleep(ring.measured());
        let (after, elapsed) = (run.received(), started_at.elapsed());
        run.stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().ok().context("a thread panicked")??;
        }
        let counts = after.iter().zip(&before).map(|(after, before)| after - before);
        Ok::<_, anyhow::Error>((counts.collect::<Vec<_>>(), elapsed))
    })?;
    let num_frames: u64 = counts.iter().sum();
    let frames_per_s = num_frames as f64 / elapsed.as_secs_f64();
    Ok(json!({
        "mode": "throughput",
        "clients": ring.clients,
        "data_len": ring.bytes,
        "seconds": elapsed.as_secs_f64(),
        "frames": num_frames,
        "frames_per_s": frames_per_s,
        "data_bytes_per_s": frames_per_s * f64::from(ring.bytes),
        "slowest_client": counts.iter().min(),
        "fastest_client": counts.iter().max(),
        "other_frames": run.num_others.load(Ordering::Relaxed),
    }))
}

/// What the threads share.
struct Run<'a> {
    clients: &'a [Client],
    stop: AtomicBool,
    num_received: Vec<AtomicU64>,
    num_others: AtomicU64,
}

impl Run<'_> {
    fn received(&self) -> Vec<u64> {
        self.num_received.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    fn is_running(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn send(&self, frames: &[Vec<u8>]) -> Result<()> {
        let streams: Vec<_> = self.clients.iter().map(|client| &client.stream).collect();
        let batch = |frame: &Vec<u8>| frame.repeat((BATCH_LEN / frame.len()).max(1));
        // The batch of each client, and how much of it is written.
        let mut batches: Vec<_> = frames.iter().map(|frame| (batch(frame), 0)).collect();
        let mut poller = Poller::new(&streams, EpollFlags::EPOLLOUT)?;
        while self.is_running() {
            for i in poller.wait()? {
                let (batch, written_len) = &mut batches[i];
                *written_len += poll::write(streams[i], &batch[*written_len..])?;
                *written_len %= batch.len();
            }
        }
        Ok(())
    }

    fn receive(&self) -> Result<()> {
        let streams: Vec<_> = self.clients.iter().map(|client| &client.stream).collect();
        let mut walks: Vec<_> = streams.iter().map(|_| Walk::default()).collect();
        let mut buffer = vec![0; RECEIVE_LEN];
        let mut poller = Poller::new(&streams, EpollFlags::EPOLLIN)?;
        while self.is_running() {
            for i in poller.wait()? {
                let counts = walks[i].receive(streams[i], &mut buffer)?;
                self.num_received[i].fetch_add(counts.num_s2c, Ordering::Relaxed);
                self.num_others.fetch_add(counts.num_others, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}
