//! Loads a hub and measures it from outside; one run, one JSON object on stdout.
//!
//! | module | what it holds |
//! |---|---|
//! | `throughput` | as many S2C frames as the hub takes |
//! | `latency` | S2C frames on a schedule, and how late they arrive |
//! | `idle` | many clients that say nothing: how fast they join, what memory they cost the hub |
//! | `members` | members of a closed hub: how fast they join, what each costs, how soon they are back |
//! | `relay` | no load: a hub that looks at nothing, for comparison |
//! | `client` | one joined connection |
//! | `cpu` | what a process has worked |
//! | `poll` | waiting for many sockets |
//! | `walk` | counting frames in a byte stream |
//!
//! Sending and receiving take one thread each, however many clients there are: the hub and what it
//! is compared with get the rest of the machine. Every run is bounded in time and in clients, and a
//! connection that ends during a run fails it, but where the hub is restarted.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod client;
mod cpu;
mod idle;
mod latency;
mod members;
mod poll;
mod relay;
mod throughput;
mod walk;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// A hub that stands still ends the run, it does not hang it.
const IO_TIMEOUT: Duration = Duration::from_secs(10);

/// Loads a hub and prints what it did as JSON
#[derive(Debug, Parser)]
#[command(name = "dosp-load")]
struct Cli {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Every client of a ring sends to the next as fast as the hub takes it
    Throughput(Ring),
    /// Every client of a ring sends to the next on a schedule
    Latency {
        #[command(flatten)]
        ring: Ring,
        /// Frames per second, of all clients together
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
        rate: u32,
        /// The hub's process id, to see what a frame costs it
        #[arg(long)]
        pid: Option<u32>,
    },
    /// Clients that join and say nothing
    Idle(idle::Options),
    /// Members of a closed hub that join at once, and come back when it restarts
    Members(Box<members::Options>),
    /// No load, but a hub that passes bytes on and looks at nothing
    Relay(relay::Options),
}

/// Clients in a ring.
#[derive(Debug, Clone, Copy, Args)]
struct Ring {
    /// The hub
    hub: SocketAddr,
    /// Another hub, where every second client joins, so that every frame goes from hub to hub
    #[arg(long)]
    to_hub: Option<SocketAddr>,
    /// How many clients
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: u16,
    /// Bytes of DATA in a frame
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    bytes: u32,
    /// How long it is measured, after a warm-up
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=60))]
    seconds: u16,
}

impl Ring {
    fn measured(self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

fn main() -> Result<()> {
    let mode = Cli::parse().mode;
    raise_file_limit().context("raise the limit on open files")?;
    let report = match mode {
        Mode::Throughput(ring) => throughput::run(ring)?,
        Mode::Latency { ring, rate, pid } => latency::run(ring, rate, pid)?,
        Mode::Idle(options) => idle::run(&options)?,
        Mode::Members(options) => members::run(&options)?,
        Mode::Relay(options) => return relay::run(&options),
    };
    println!("{report}");
    Ok(())
}

fn raise_file_limit() -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
}
