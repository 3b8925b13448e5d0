//! Many clients that say nothing: how fast they join, what memory they cost the hub.
//!
//! Every client has a source address of its own in 127.0.0.0/8, so that ports do not run out, and
//! leaves with a reset, so that none stays behind in TIME-WAIT.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Map, Value, json};
use socket2::{Domain, Protocol, Socket, Type};

use crate::IO_TIMEOUT;
use crate::client::Client;

/// Clients that join at the same time.
const NUM_THREADS: usize = 16;
/// Where the source addresses begin, with as many behind it as there can be clients.
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
/// How long the hub may take to finish with what was before, before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The hub, on an address of 127.0.0.0/8
    hub: SocketAddrV4,
    /// How many clients
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    clients: u32,
    /// New clients per second [default: as fast as possible]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// How many seconds they stay
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=60))]
    seconds: u16,
    /// The hub's process id, to see its memory
    #[arg(long)]
    pid: Option<u32>,
}

pub(crate) fn run(options: &Options) -> Result<Value> {
    ensure!(options.hub.ip().is_loopback(), "{} is not on the loopback interface", options.hub);
    let before = memory(options)?;
    let started_at = Instant::now();
    let clients = join_all(options, started_at)?;
    let elapsed = started_at.elapsed();
    sleep(SETTLE + Duration::from_secs(options.seconds.into()));
    let held = memory(options)?;
    let num_lost = clients.iter().filter(|client| !is_alive(client)).count();
    ensure!(num_lost == 0, "the hub closed {num_lost} of the connections");
    drop(clients);
    sleep(SETTLE);
    let after = memory(options)?;
    let per_client = |field: &str| {
        let kib = |memory: &Map<String, Value>| memory.get(field).and_then(Value::as_f64);
        Some((kib(&held)? - kib(&before)?) * 1024.0 / f64::from(options.clients))
    };
    Ok(json!({
        "mode": "idle",
        "clients": options.clients,
        "seconds_to_join": elapsed.as_secs_f64(),
        "connects_per_s": f64::from(options.clients) / elapsed.as_secs_f64(),
        "rss_bytes_per_client": per_client("VmRSS"),
        "anon_bytes_per_client": per_client("RssAnon"),
        "kib_before": before,
        "kib_held": held,
        "kib_after": after,
    }))
}

fn join_all(options: &Options, started_at: Instant) -> Result<Vec<Client>> {
    let next = AtomicU32::new(0);
    let clients = Mutex::new(Vec::new());
    let join_some = || -> Result<()> {
        let mut joined = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= options.clients {
                break;
            }
            if let Some(rate) = options.rate {
                let due_at = started_at + Duration::from_secs(1) * n / rate;
                sleep(due_at.saturating_duration_since(Instant::now()));
            }
            joined.push(join(options.hub, n).with_context(|| format!("client {n}"))?);
        }
        clients.lock().ok().context("another thread panicked")?.append(&mut joined);
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..NUM_THREADS).map(|_| scope.spawn(join_some)).collect();
        for thread in threads {
            thread.join().ok().context("a thread panicked")??;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    clients.into_inner().context("a thread panicked")
}

/// The `n`-th client: joined, with its greeting received.
fn join(hub: SocketAddrV4, n: u32) -> Result<Client> {
    let source = Ipv4Addr::from(u32::from(FIRST_SOURCE) + n);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_read_timeout(Some(IO_TIMEOUT))?;
    // Also limits how long connecting takes.
    socket.set_write_timeout(Some(IO_TIMEOUT))?;
    socket.bind(&SocketAddr::from((source, 0)).into()).context("bind")?;
    socket.connect(&SocketAddr::from(hub).into()).context("connect")?;
    Client::greeted(TcpStream::from(socket))
}

fn is_alive(client: &Client) -> bool {
    let peeked = client.stream.set_nonblocking(true).and_then(|()| client.stream.peek(&mut [0]));
    matches!(peeked, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// The hub's memory, in KiB; nothing where it is not known which process that is.
fn memory(options: &Options) -> Result<Map<String, Value>> {
    options.pid.map_or_else(|| Ok(Map::new()), memory_of)
}

/// The memory of a process, in KiB.
pub(crate) fn memory_of(pid: u32) -> Result<Map<String, Value>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the hub's memory")?;
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    let fields = ["VmRSS", "RssAnon", "VmHWM"].into_iter();
    Ok(fields.filter_map(|name| Some((name.to_owned(), field(name)?.into()))).collect())
}
