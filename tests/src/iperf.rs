//! One run of iperf3 between two agents.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::dosp::Agent;
use crate::wait::wait_until;

/// Runs iperf3 for 3 s and gives back its report.
///
/// # Errors
/// It does not start, does not get through, or says nothing that can be read.
pub fn iperf(client: &Agent, server: &Agent, options: &str) -> Result<Value> {
    let mut listener =
        server.ns().spawn_sh(&format!("exec iperf3 -s -1 --forceflush -B {}", server.vip))?;
    wait_until("iperf3 listens", Duration::from_secs(10), || {
        ensure!(listener.is_running()?, "iperf3 ended: {}", listener.stderr()?);
        Ok(listener.stdout()?.contains("Server listening"))
    })?;
    let command = format!("iperf3 -c {} -J -t 3 --connect-timeout 5000 {options}", server.vip);
    let output = client.ns().sh(&command)?.ok()?;
    serde_json::from_str(&output.stdout).with_context(|| output.stdout)
}
