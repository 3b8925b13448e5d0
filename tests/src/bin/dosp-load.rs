//! Loads a hub with S2C frames and counts what arrives.
//!
//! Usage: `dosp-load ADDR:PORT [CLIENTS [BYTES [SECONDS]]]`.
//!
//! The clients stand in a ring, each sends to the next as fast as the hub takes it: frames encoded
//! once, in batches of 64 KiB. Receivers only walk from header to header. Counts over SECONDS after
//! a warm-up, prints one JSON object, and ends.

#![allow(clippy::print_stdout)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dosp_proto::frame::{FrameType, HEADER_LEN, S2C_ADDRESSES_LEN};

const BATCH_LEN: usize = 64 * 1024;
const RECEIVE_LEN: usize = 256 * 1024;
const WARM_UP: Duration = Duration::from_secs(2);
/// A hub that stands still ends the run, it does not hang it.
const IO_TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let hub: SocketAddr =
        args.next().context("ADDR:PORT of a hub")?.parse().context("ADDR:PORT")?;
    let mut number = |default| args.next().map_or(Ok(default), |arg| arg.parse::<usize>());
    let num_clients = number(16).context("CLIENTS")?;
    let data_len = number(64).context("BYTES")?;
    let measured = Duration::from_secs(number(5).context("SECONDS")? as u64);

    let clients: Vec<Client> =
        (0..num_clients).map(|_| Client::join(hub)).collect::<Result<_>>()?;
    let run = Arc::new(Run::new(num_clients));
    let mut threads = Vec::new();
    for (i, client) in clients.iter().enumerate() {
        let batch = client.batch_to(&clients[(i + 1) % num_clients], data_len);
        let (mut sender, mut receiver) = (client.stream.try_clone()?, client.stream.try_clone()?);
        let (this, that) = (Arc::clone(&run), Arc::clone(&run));
        threads.push(thread::spawn(move || this.send(&mut sender, &batch)));
        threads.push(thread::spawn(move || that.receive(&mut receiver, i)));
    }

    run.start.wait();
    sleep(WARM_UP);
    let (before, started_at) = (run.received(), Instant::now());
    sleep(measured);
    let (after, elapsed) = (run.received(), started_at.elapsed());
    run.stop.store(true, Ordering::Relaxed);
    for client in &clients {
        client.stream.shutdown(Shutdown::Both).ok(); // the hub may have closed it
    }
    for thread in threads {
        thread.join().ok().context("a thread panicked")?;
    }

    let counts: Vec<u64> =
        after.iter().zip(&before).map(|(after, before)| after - before).collect();
    let frames: u64 = counts.iter().sum();
    let report = serde_json::json!({
        "clients": num_clients,
        "data_len": data_len,
        "seconds": elapsed.as_secs_f64(),
        "frames": frames,
        "frames_per_s": frames as f64 / elapsed.as_secs_f64(),
        "slowest_client": counts.iter().min(),
        "fastest_client": counts.iter().max(),
        "other_frames": run.num_others.load(Ordering::Relaxed),
    });
    println!("{report}");
    Ok(())
}

/// One connection, joined.
struct Client {
    stream: TcpStream,
    vip: [u8; 4],
}

impl Client {
    fn join(hub: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect_timeout(&hub, IO_TIMEOUT).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IO_TIMEOUT))?;
        stream.set_write_timeout(Some(IO_TIMEOUT))?;
        let vip = read_frame(&mut stream, FrameType::AIP)?;
        read_frame(&mut stream, FrameType::HSK)?;
        Ok(Self { stream, vip: vip.as_slice().try_into().context("a vIP of 4 bytes")? })
    }

    /// As many whole frames to `peer` as fit into a batch.
    fn batch_to(&self, peer: &Self, data_len: usize) -> Vec<u8> {
        let body_len = u32::try_from(S2C_ADDRESSES_LEN + data_len).unwrap_or(u32::MAX);
        let mut frame = vec![FrameType::S2C.0];
        frame.extend(body_len.to_be_bytes());
        frame.extend(peer.vip);
        frame.extend(self.vip);
        frame.resize(frame.len() + data_len, b'.');
        frame.repeat((BATCH_LEN / frame.len()).max(1))
    }
}

fn read_frame(stream: &mut TcpStream, expected: FrameType) -> Result<Vec<u8>> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).context("read the hub's greeting")?;
    let [frame_type, len @ ..] = header;
    ensure!(frame_type == expected.0, "got {:?} for {expected}", FrameType(frame_type));
    let len = u32::from_be_bytes(len) as usize;
    ensure!(len < 1024, "a greeting of {len} bytes");
    let mut body = vec![0; len];
    stream.read_exact(&mut body).context("read the hub's greeting")?;
    Ok(body)
}

/// What the threads share.
struct Run {
    start: Barrier,
    stop: AtomicBool,
    num_received: Vec<AtomicU64>,
    num_others: AtomicU64,
}

impl Run {
    fn new(num_clients: usize) -> Self {
        Self {
            start: Barrier::new(2 * num_clients + 1),
            stop: AtomicBool::new(false),
            num_received: (0..num_clients).map(|_| AtomicU64::new(0)).collect(),
            num_others: AtomicU64::new(0),
        }
    }

    fn received(&self) -> Vec<u64> {
        self.num_received.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    fn send(&self, stream: &mut TcpStream, batch: &[u8]) {
        self.start.wait();
        loop {
            if stream.write_all(batch).is_err() || self.stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    fn receive(&self, stream: &mut TcpStream, client: usize) {
        let mut buffer = vec![0; RECEIVE_LEN];
        let mut walk = Walk::default();
        self.start.wait();
        while !self.stop.load(Ordering::Relaxed) {
            let Ok(len @ 1..) = stream.read(&mut buffer) else { return };
            let (num_s2c, num_others) = walk.count(&buffer[..len]);
            self.num_received[client].fetch_add(num_s2c, Ordering::Relaxed);
            self.num_others.fetch_add(num_others, Ordering::Relaxed);
        }
    }
}

/// Walks over a byte stream from header to header.
#[derive(Default)]
struct Walk {
    header: [u8; HEADER_LEN],
    header_len: usize,
    body_left: usize,
}

impl Walk {
    /// How many S2C frames and how many others ended in `bytes`.
    fn count(&mut self, mut bytes: &[u8]) -> (u64, u64) {
        let (mut num_s2c, mut num_others) = (0, 0);
        loop {
            if self.header_len < HEADER_LEN {
                let take = bytes.len().min(HEADER_LEN - self.header_len);
                self.header[self.header_len..][..take].copy_from_slice(&bytes[..take]);
                self.header_len += take;
                bytes = &bytes[take..];
                if self.header_len < HEADER_LEN {
                    return (num_s2c, num_others);
                }
                let [_, len @ ..] = self.header;
                self.body_left = u32::from_be_bytes(len) as usize;
            }
            let take = bytes.len().min(self.body_left);
            self.body_left -= take;
            bytes = &bytes[take..];
            if self.body_left > 0 {
                return (num_s2c, num_others);
            }
            self.header_len = 0;
            if self.header[0] == FrameType::S2C.0 {
                num_s2c += 1;
            } else {
                num_others += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Walk;

    #[test]
    fn frames_are_counted_however_the_bytes_are_cut() {
        let frame = [[3, 0, 0, 0, 9].as_slice(), &[7; 9], &[2, 0, 0, 0, 0]].concat();
        let stream = frame.repeat(10);
        for step in 1..=stream.len() {
            let mut walk = Walk::default();
            let counts = stream.chunks(step).map(|bytes| walk.count(bytes));
            let sum = counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
            assert_eq!(sum, (10, 10), "in pieces of {step}");
        }
    }
}
