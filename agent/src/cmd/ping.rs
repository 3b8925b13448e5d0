//! `dosp-agent ping`: an echo through the tunnel, which shows the hub's part of the way and the whole.
//!
//! Unlike the ping of the system it needs no TUN, and only who has the peer's key can answer.

use std::fmt::Write as _;
use std::time::Duration;

use dosp_proto::vip::Vip;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::Agent;
use super::status::{json, print, way};
use crate::cli::Ping;
use crate::config::Settings;
use crate::control::ControlError;
use crate::control::wire::{EchoResult, Tunnel};
use crate::failure::{Exit, Failure};

/// An echo that takes longer is lost.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends echoes until there were enough of them, or for ever.
pub(crate) async fn run(args: &Ping, settings: &Settings) -> Result<(), Failure> {
    ping(args, settings).await.map_err(|failure| failure.context(format!("ping {}", args.peer)))
}

async fn ping(args: &Ping, settings: &Settings) -> Result<(), Failure> {
    let agent = Agent::find(&args.own, settings).await?;
    let vip = agent.resolve(&args.peer).await?;
    let tunnel = match agent.client().await?.tunnel(vip).await {
        Ok(tunnel) => tunnel,
        Err(error) => return Err(agent.blame(error).await),
    };
    let mut statistics = Statistics::default();
    if !args.json {
        print(heading(&tunnel, args.size))?;
    }
    let interrupted = tokio::select! {
        outcome = echoes(args, vip, &agent, &mut statistics) => {
            if let Err(error) = outcome? {
                return Err(agent.blame(error).await);
            }
            false
        }
        signal = tokio::signal::ctrl_c() => {
            signal?;
            true
        }
    };
    print(if args.json { json(&statistics.to_json(&tunnel))? } else { statistics.words(&tunnel) })?;
    agent.leave().await?;
    match (interrupted, statistics.times.is_empty()) {
        (true, _) => Err(Failure::interrupted()),
        (false, true) => Err(Failure::text(Exit::PeerOffline, format!("no answer of {vip}"))
            .hint("is its agent up, at the same hub?")),
        (false, false) => Ok(()),
    }
}

/// The outer error is ours, the inner one the agent's.
async fn echoes(
    args: &Ping,
    vip: Vip,
    agent: &Agent,
    statistics: &mut Statistics,
) -> Result<Result<(), ControlError>, Failure> {
    let mut ticks = interval(Duration::from_secs_f64(args.interval));
    // A late echo does not make the next ones follow faster.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let len = usize::try_from(args.size).unwrap_or(usize::MAX);
    for number in 1..=args.count.unwrap_or(u64::MAX) {
        ticks.tick().await;
        let client = agent.client().await?;
        statistics.num_sent += 1;
        match timeout_at(Instant::now() + TIMEOUT, client.echo(vip, len)).await {
            Ok(Ok(echo)) => {
                statistics.times.push(echo.rtt_ns);
                print(if args.json {
                    json(&json!({ "schema": "dosp.echo/1", "peer": vip, "seq": number,
                        "bytes": echo.bytes, "rtt_ns": echo.rtt_ns, "hub_rtt_ns": echo.hub_rtt_ns }))?
                } else {
                    line(vip, number, &echo)
                })?;
            }
            Ok(Err(error @ ControlError::Failed { .. })) if statistics.times.is_empty() => {
                return Ok(Err(error));
            }
            Ok(Err(ControlError::Failed { why, .. })) => {
                tracing::warn!("seq={number}: {why}");
            }
            Ok(Err(error)) => return Ok(Err(error)),
            Err(_) => tracing::warn!("seq={number}: no answer within {} s", TIMEOUT.as_secs()),
        }
    }
    Ok(Ok(()))
}

fn heading(tunnel: &Tunnel, size: u64) -> String {
    let name = tunnel.name.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
    let key = tunnel.fingerprint.as_ref().map(|key| format!(", key {key}")).unwrap_or_default();
    let way = way(tunnel.via.as_deref(), tunnel.hops);
    let way = way.map(|way| format!(", {way}")).unwrap_or_default();
    format!("PING {name}({}): {size} bytes{key}{way}\n", tunnel.vip)
}

fn line(vip: Vip, number: u64, echo: &EchoResult) -> String {
    let hub = echo.hub_rtt_ns.map(|ns| format!(" (hub {} ms)", millis(ns))).unwrap_or_default();
    format!("{} bytes from {vip}: seq={number} time={} ms{hub}\n", echo.bytes, millis(echo.rtt_ns))
}

/// Milliseconds with three significant places or so, as ping prints them.
fn millis(nanos: u64) -> String {
    let millis = nanos as f64 / 1e6;
    match millis {
        0.0..10.0 => format!("{millis:.2}"),
        10.0..100.0 => format!("{millis:.1}"),
        _ => format!("{millis:.0}"),
    }
}

#[derive(Debug, Default)]
struct Statistics {
    num_sent: u64,
    /// Round trips in nanoseconds.
    times: Vec<u64>,
}

impl Statistics {
    fn loss_percent(&self) -> f64 {
        100.0 * (self.num_sent - self.times.len() as u64) as f64 / self.num_sent.max(1) as f64
    }

    /// Minimum, mean, maximum and standard deviation, in nanoseconds.
    fn summary(&self) -> Option<[f64; 4]> {
        let min = *self.times.iter().min()? as f64;
        let max = *self.times.iter().max()? as f64;
        let count = self.times.len() as f64;
        let mean = self.times.iter().map(|ns| *ns as f64).sum::<f64>() / count;
        let squares = self.times.iter().map(|ns| (*ns as f64 - mean).powi(2)).sum::<f64>();
        Some([min, mean, max, (squares / count).sqrt()])
    }

    fn words(&self, tunnel: &Tunnel) -> String {
        let who = tunnel.name.clone().unwrap_or_else(|| tunnel.vip.to_string());
        let mut text = format!("\n--- {who} ping statistics ---\n");
        let (sent, received) = (self.num_sent, self.times.len());
        let loss = self.loss_percent();
        // Writing to a String cannot fail.
        writeln!(text, "{sent} echoes sent, {received} received, {loss:.0}% loss").ok();
        if let Some(summary) = self.summary() {
            let [min, mean, max, deviation] = summary.map(|ns| ns / 1e6);
            writeln!(text, "rtt min/avg/max/mdev = {min:.3}/{mean:.3}/{max:.3}/{deviation:.3} ms")
                .ok();
        }
        text
    }

    fn to_json(&self, tunnel: &Tunnel) -> serde_json::Value {
        let whole = |nanos: f64| Duration::from_secs_f64(nanos / 1e9).as_nanos();
        let summary = self.summary().map(|summary| summary.map(whole));
        let [min, avg, max, mdev] = summary.map_or([None; 4], |summary| summary.map(Some));
        json!({ "schema": "dosp.ping/1", "sent": self.num_sent, "received": self.times.len(),
            "rtt_min_ns": min, "rtt_avg_ns": avg, "rtt_max_ns": max, "rtt_mdev_ns": mdev,
            "via": tunnel.via, "hops": tunnel.hops })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_looks_like_that_of_ping() {
        let vip = "10.77.0.3".parse().unwrap();
        let (name, fingerprint) = (Some("bob".to_owned()), Some("ABCDE".to_owned()));
        let (via, hops) = (None, Some(0));
        let tunnel = Tunnel { vip, version: 2, authenticated: true, fingerprint, name, via, hops };
        assert_eq!(heading(&tunnel, 56), "PING bob (10.77.0.3): 56 bytes, key ABCDE\n");
        let (via, hops) = (Some("berlin".to_owned()), Some(1));
        assert_eq!(
            heading(&Tunnel { via, hops, ..tunnel.clone() }, 56),
            "PING bob (10.77.0.3): 56 bytes, key ABCDE, via berlin, 2 hubs\n"
        );
        let echo = EchoResult { rtt_ns: 1_234_567, hub_rtt_ns: Some(512_345), bytes: 56 };
        assert_eq!(
            line(vip, 7, &echo),
            "56 bytes from 10.77.0.3: seq=7 time=1.23 ms (hub 0.51 ms)\n"
        );
        let statistics = Statistics { num_sent: 4, times: vec![1_000_000, 2_000_000, 3_000_000] };
        let expected = "
--- bob ping statistics ---
4 echoes sent, 3 received, 25% loss
rtt min/avg/max/mdev = 1.000/2.000/3.000/0.816 ms
";
        assert_eq!(statistics.words(&tunnel), expected);
        let none = Statistics { num_sent: 1, times: Vec::new() };
        assert!(none.words(&tunnel).ends_with("1 echoes sent, 0 received, 100% loss\n"));
    }
}
