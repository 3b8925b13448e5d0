//! A link between two hosts, with a rate, a delay, loss and a bounded buffer: for kernels without netem.
//!
//! | module | what it holds |
//! |---|---|
//! | `wire` | **no I/O**: one way in virtual time |
//! | `shell` | the same in real time, from TUN to TUN |
//!
//! Makes two TUN interfaces, for whoever started it to move into their namespaces, and carries what is
//! sent into one to the other. One thread each way; the threads sleep between packets, to the microsecond.

#![allow(clippy::print_stdout)]

mod shell;
mod wire;

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tun::Device;

use crate::wire::{Conditions, Counters, Wire};

/// Joins two TUN interfaces by a link, until SIGTERM; then prints what it counted as JSON
///
/// A value stands for both ways, or two of them, with a comma, for A to B and for B to A.
#[derive(Debug, Parser)]
#[command(name = "dosp-link", args_override_self = true, allow_negative_numbers = true)]
struct Cli {
    /// The interface of one end, which is made
    a: String,
    /// The interface of the other end
    b: String,
    /// Rate, Mbit/s
    #[arg(long)]
    rate: Ways<f64>,
    /// Delay of one way, ms
    #[arg(long, default_value = "0")]
    delay: Ways<f64>,
    /// Loss, percent
    #[arg(long, default_value = "0")]
    loss: Ways<f64>,
    /// What waits for the link at most: bytes, or milliseconds at its rate as in 50ms
    #[arg(long, default_value = "50ms")]
    buffer: Ways<Buffer>,
    /// What decides which packets are lost; the same seed, the same packets
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// MTU of the interfaces
    #[arg(long, default_value_t = 1500)]
    mtu: u16,
}

/// A value of either way.
#[derive(Debug, Clone, Copy)]
struct Ways<T>([T; 2]);

impl<T: FromStr<Err: Into<anyhow::Error>>> FromStr for Ways<T> {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (there, back) = text.split_once(',').unwrap_or((text, text));
        let parse = |text: &str| text.parse().map_err(Into::into);
        Ok(Self([parse(there)?, parse(back)?]))
    }
}

/// What may wait.
#[derive(Debug, Clone, Copy)]
enum Buffer {
    Bytes(f64),
    Ms(f64),
}

impl FromStr for Buffer {
    type Err = std::num::ParseFloatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_suffix("ms") {
            Some(ms) => ms.parse().map(Self::Ms),
            None => text.parse().map(Self::Bytes),
        }
    }
}

impl Cli {
    fn conditions(&self) -> Result<[Conditions; 2]> {
        let Self { rate: Ways(rate), delay: Ways(delay), loss: Ways(loss), buffer, .. } = self;
        let [there, back] = buffer.0;
        Ok([
            conditions(rate[0], delay[0], loss[0], there).context("A to B")?,
            conditions(rate[1], delay[1], loss[1], back).context("B to A")?,
        ])
    }
}

/// From Mbit/s, ms and percent.
fn conditions(rate: f64, delay: f64, loss: f64, buffer: Buffer) -> Result<Conditions> {
    ensure!((0.001..=100_000.0).contains(&rate), "{rate} Mbit/s is no rate of a link");
    ensure!((0.0..=100.0).contains(&loss), "a loss of {loss} percent");
    let rate = rate * 1e6;
    let buffer_len = match buffer {
        Buffer::Bytes(len) => len,
        Buffer::Ms(ms) => ms / 1000.0 * rate / 8.0,
    };
    let delay = Duration::try_from_secs_f64(delay / 1000.0).context("the delay")?;
    Ok(Conditions { rate, delay, loss: loss / 100.0, buffer_len })
}

fn interface(name: &str, mtu: u16) -> Result<Device> {
    let mut config = tun::Configuration::default();
    config.tun_name(name).mtu(mtu).platform_config(|platform| {
        platform.ensure_root_privileges(false);
    });
    let device = tun::create(&config).with_context(|| format!("make the interface '{name}'"))?;
    device.set_nonblock().context("make it non-blocking")?;
    Ok(device)
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let conditions = cli.conditions()?;
    // Before there are threads: they are not to be ended by what is waited for here.
    let ending = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    ending.thread_block().context("block signals")?;
    let ends = [interface(&cli.a, cli.mtu)?, interface(&cli.b, cli.mtu)?];
    let stop = AtomicBool::new(false);
    let [a, b] = &ends;
    let counted = thread::scope(|scope| {
        let way = |from, to, conditions, seed| {
            let (wire, rng) = (Wire::new(conditions, Instant::now()), StdRng::seed_from_u64(seed));
            let stop = &stop;
            scope.spawn(move || {
                let carried = shell::carry(wire, from, to, rng, stop);
                // One way alone is no link: the other one ends, too.
                if carried.is_err() {
                    stop.store(true, Ordering::Relaxed);
                    kill(Pid::this(), Signal::SIGTERM).context("end the program")?;
                }
                carried
            })
        };
        let [there, back] = conditions;
        let ways = [way(a, b, there, cli.seed), way(b, a, back, cli.seed.wrapping_add(1))];
        ending.wait().context("wait for a signal")?;
        stop.store(true, Ordering::Relaxed);
        let carried = ways.map(|way| way.join().map_err(|_| anyhow!("a thread panicked"))?);
        let [there, back] = carried;
        Ok::<_, anyhow::Error>([there?, back?])
    })?;
    println!("{}", report(&counted));
    Ok(())
}

fn report(counted: &[(Counters, u64); 2]) -> Value {
    let of = |(counters, num_refused): &(Counters, u64)| {
        json!({
            "delivered": counters.num_delivered,
            "lost": counters.num_lost,
            "dropped": counters.num_dropped,
            "refused": num_refused,
            "max_wait_us": counters.max_wait.as_secs_f64() * 1e6,
        })
    };
    let [there, back] = counted;
    json!({ "a_to_b": of(there), "b_to_a": of(back) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_differ_where_two_values_are_given() {
        let cli = ["dosp-link", "x", "y", "--rate", "8,16", "--loss", "50", "--buffer", "10ms,70"];
        let [there, back] = Cli::parse_from(cli).conditions().unwrap();
        assert_eq!((there.rate, there.loss, there.buffer_len), (8e6, 0.5, 10_000.0));
        assert_eq!((back.rate, back.loss, back.buffer_len), (16e6, 0.5, 70.0));
    }

    #[test]
    fn values_that_no_link_has_are_refused() {
        for bad in
            [["--rate", "0"], ["--rate", "nan"], ["--loss", "101"], ["--delay=-1", "--mtu=9"]]
        {
            let cli = [["dosp-link", "x"], ["y", "--rate=1"], bad].concat();
            let refused = Cli::try_parse_from(cli).map(|cli| cli.conditions().is_err());
            assert!(refused.unwrap_or(true), "{bad:?}");
        }
    }
}
