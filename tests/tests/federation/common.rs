//! What these tests share.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dosp_tests::{Federation, Output, wait_until};
use serde_json::Value;

/// What a hub tells a sender whose frame went nowhere has come by then, over all links.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(3);
/// A wire that drops everything is known to be dead within this, and what it led to has another way or none.
pub(crate) const FAILOVER: Duration = Duration::from_secs(3);
/// Until packets pass again on a wire that was cut: the dialler's attempt has to end first.
pub(crate) const HEALED: Duration = Duration::from_secs(40);

/// Whether agent `from` reaches agent `to` with packets, at the latest in a while.
pub(crate) fn wait_until_reached(federation: &Federation, from: usize, to: usize) -> Result<()> {
    let (from, to) = (&federation.agents[from], &federation.agents[to]);
    wait_until("an echo comes back", HEALED, || from.reaches(&to.vip))?;
    from.ping(&to.vip)
}

/// Sends a message that must fail soon, for the reason that has these words.
pub(crate) fn send_fails(
    federation: &Federation,
    from: usize,
    vip: &str,
    words: &str,
) -> Result<Output> {
    let started_at = Instant::now();
    let output = federation.agents[from].host().agent(&["send", vip, "hello"])?;
    let took = started_at.elapsed();
    ensure!(output.code == Some(6), "not exit code 6: {output}");
    ensure!(took < AT_ONCE, "it took {took:?}: {output}");
    output.says(&[words])
}

/// What hub `hub` tells of its peer whose network is that of hub `of`.
pub(crate) fn peer(federation: &Federation, hub: usize, of: usize) -> Result<Value> {
    let peers = federation.hubs[hub].peers()?;
    let network = dosp_tests::federation::network(of);
    let mut list = peers["peers"].as_array().into_iter().flatten();
    Ok(list.find(|peer| peer["network"] == network).cloned().unwrap_or_default())
}
