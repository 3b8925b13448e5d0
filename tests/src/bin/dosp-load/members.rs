//! Members of a closed hub: how fast all join at once, what each costs, how soon they are back after a
//! restart.
//!
//! The hub is this program's child, which it starts and ends. Members do what an agent does and no
//! more: they shake hands, join, read the directory, answer probes, and come back as agents do. They
//! share one thread with each other.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use dosp_proto::backoff::Backoff;
use dosp_proto::identity::IdentityKey;
use dosp_proto::join_string::JoinString;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use crate::idle::memory_of;
use hub::Hub;
use link::Link;

mod hub;
mod link;

/// Whoever takes longer for all of it does not count as fast or slow, but as broken.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Until the directory is told to all, and the hub has finished with what was before.
const SETTLE: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where the hub will listen
    hub: SocketAddrV4,
    /// How many members
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// A join string for all of them
    #[arg(long)]
    join: JoinString,
    /// Restart the hub when all are there
    #[arg(long)]
    restart: bool,
    /// The hub and its options
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// What a member tells.
#[derive(Debug)]
enum Event {
    Welcomed(Instant),
    Lost,
    Failed(anyhow::Error),
}

pub(crate) fn run(options: &Options) -> Result<Value> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(options))
}

async fn measure(options: &Options) -> Result<Value> {
    let mut hub = Hub::start(&options.command)?;
    sleep(SETTLE).await;
    let before = memory_of(hub.pid())?;
    let (events, mut told) = unbounded_channel();
    let join = Arc::new(options.join.clone());
    let started_at = Instant::now();
    for _ in 0..options.clients {
        tokio::spawn(member(options.hub, Arc::clone(&join), events.clone()));
    }
    let joined = welcomes(&mut told, options.clients, started_at).await?;
    sleep(SETTLE).await;
    let held = memory_of(hub.pid())?;
    while let Ok(event) = told.try_recv() {
        ensure!(!matches!(event, Event::Lost), "the hub closed connections");
    }
    let seconds_to_return = if options.restart {
        hub.end().await?;
        hub = Hub::start(&options.command)?;
        let back = welcomes(&mut told, options.clients * 99 / 100, hub.listening_at()).await?;
        Some(back.elapsed.as_secs_f64())
    } else {
        None
    };
    hub.end().await?;
    let anon = |memory: &serde_json::Map<String, Value>| memory.get("RssAnon")?.as_f64();
    let grown = anon(&held).zip(anon(&before)).map(|(held, before)| held - before);
    Ok(json!({
        "mode": "members",
        "clients": options.clients,
        "seconds_to_join": joined.elapsed.as_secs_f64(),
        "joins_per_s": f64::from(options.clients) / joined.elapsed.as_secs_f64(),
        "failed_attempts": joined.num_failed,
        "anon_kib_per_member": grown.map(|kib| kib / f64::from(options.clients)),
        "seconds_to_return": seconds_to_return,
        "kib_before": before,
        "kib_held": held,
    }))
}

/// How long it took until so many were welcomed.
#[derive(Debug)]
struct Waited {
    elapsed: Duration,
    num_failed: u32,
}

async fn welcomes(
    told: &mut UnboundedReceiver<Event>,
    wanted: u32,
    since: Instant,
) -> Result<Waited> {
    let (mut num_welcomed, mut num_failed, mut last_failure) = (0, 0, None);
    let waiting = async {
        while let Some(event) = told.recv().await {
            match event {
                Event::Welcomed(at) => {
                    num_welcomed += 1;
                    if num_welcomed == wanted {
                        return Some(at.saturating_duration_since(since));
                    }
                }
                Event::Failed(error) => {
                    num_failed += 1;
                    last_failure = Some(error);
                }
                Event::Lost => {}
            }
        }
        None
    };
    let waited = timeout(MAX_WAIT, waiting).await.ok().flatten();
    let elapsed = waited.with_context(|| {
        format!(
            "{num_welcomed} of {wanted} are there; {num_failed} failures, last {last_failure:?}"
        )
    })?;
    Ok(Waited { elapsed, num_failed })
}

/// One member, for good.
async fn member(hub: SocketAddrV4, join: Arc<JoinString>, events: UnboundedSender<Event>) {
    let mut rng: StdRng = rand::make_rng();
    let identity = IdentityKey::generate(&mut rng);
    let mut backoff = Backoff::new();
    loop {
        let event = match Link::join(hub, &identity, &join, &mut rng).await {
            Ok(mut link) => {
                events.send(Event::Welcomed(Instant::now())).ok();
                backoff.reset();
                link.stay().await;
                Event::Lost
            }
            Err(error) => Event::Failed(error),
        };
        events.send(event).ok();
        sleep(backoff.next_delay(Instant::now(), &mut rng)).await;
    }
}
