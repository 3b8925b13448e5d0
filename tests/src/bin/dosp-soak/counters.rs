//! Whether what is sent arrives, and is counted on both sides.

use std::time::Duration;

use anyhow::{Context, Result};
use dosp_tests::{Agent, wait_for, wait_until};
use serde_json::Value;

use crate::site::{NUM_STEADY, Site};

const NUM_ECHOES: u64 = 100;
/// A minute of the traffic between two of them has thousands.
const MIN_FRAMES: u64 = 500;
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Frames that one agent sent another, and that this one has from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    sent: u64,
    received: u64,
}

/// What does not add up. Over the whole run nobody has more than was sent: a connection that breaks takes
/// with it what was under way. While nothing happens all that is sent arrives.
pub(crate) fn reconcile(site: &Site) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for (a, b) in pairs(site) {
        let name = format!("{} to {}", a.vip, b.vip);
        let before = Pair::at_rest(a, b)?;
        if before.sent < MIN_FRAMES {
            complaints.push(format!("{name}: there was hardly any traffic: {before:?}"));
        }
        if before.num_lost() < 0 {
            complaints.push(format!("{name}: more arrived than was sent: {before:?}"));
        }
        let echoes = format!("ping -q -n -i 0.01 -W 2 -c {NUM_ECHOES} {}", b.vip);
        let said = a.ns().sh(&echoes)?;
        if !said.stdout.contains(" 0% packet loss") {
            complaints.push(format!("{name}: echoes were lost in peace: {said}"));
            continue;
        }
        // More may be sent by itself than the echoes; lost must be none of it.
        let settled = wait_until("what is under way arrives", SETTLE_TIMEOUT, || {
            let after = Pair::between(a, b)?;
            Ok(after.sent - before.sent >= NUM_ECHOES && after.num_lost() <= before.num_lost())
        });
        if let Err(error) = settled {
            let after = Pair::between(a, b)?;
            complaints.push(format!("{name}: {before:?} became {after:?}: {error}"));
        }
    }
    Ok(complaints)
}

/// All that lived as long as the site, in both directions.
fn pairs(site: &Site) -> impl Iterator<Item = (&Agent, &Agent)> {
    let steady = &site.agents[..NUM_STEADY];
    steady
        .iter()
        .flat_map(move |a| steady.iter().map(move |b| (a, b)))
        .filter(|(a, b)| a.vip != b.vip)
}

impl Pair {
    /// When nothing is under way: two looks one after the other are the same.
    fn at_rest(a: &Agent, b: &Agent) -> Result<Self> {
        let mut last = Self::between(a, b)?;
        wait_for("a moment of silence", SETTLE_TIMEOUT, || {
            let before = std::mem::replace(&mut last, Self::between(a, b)?);
            Ok(Some(last).filter(|last| *last == before))
        })
    }

    /// Frames that did not arrive, with connections that broke; less than none were they made up.
    fn num_lost(self) -> i128 {
        i128::from(self.sent) - i128::from(self.received)
    }

    fn between(a: &Agent, b: &Agent) -> Result<Self> {
        // In this order: what arrives between the two looks is no frame that nobody sent.
        let received = count(&b.host().status()?, &a.vip, "rx_frames")?;
        let sent = count(&a.host().status()?, &b.vip, "tx_frames")?;
        Ok(Self { sent, received })
    }
}

fn count(status: &Value, peer: &str, name: &str) -> Result<u64> {
    let peers = status["peers"].as_array().context("peers")?;
    let peer =
        peers.iter().find(|entry| entry["vip"] == peer).with_context(|| format!("no {peer}"))?;
    peer[name].as_u64().with_context(|| format!("{name} in {peer}"))
}
