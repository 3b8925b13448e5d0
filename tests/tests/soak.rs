//! A network under traffic lives through faults at random: a minute of it, or with `DOSP_LONG` an hour.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use dosp_tests::dosp::workspace;
use dosp_tests::needs_root;
use tempfile::TempDir;

#[test]
fn faults_leave_everybody_reachable_and_nothing_grown() -> Result<()> {
    needs_root!();
    let out = TempDir::new().context("make a folder")?;
    let mut soak = Command::new(env!("CARGO_BIN_EXE_dosp-soak"));
    match std::env::var_os("DOSP_LONG") {
        Some(_) => soak.args(["--seconds", "3600"]),
        // The same faults each time: what fails then is what has changed.
        None => soak.args(["--seconds", "60", "--seed", "6"]),
    };
    soak.arg("--out").arg(out.path());
    let status = soak.status().context("run dosp-soak")?;
    ensure!(status.success(), "{status}");

    let chart = Command::new(workspace().join("scripts/soak-chart")).arg(out.path()).output()?;
    ensure!(chart.status.success(), "{}", String::from_utf8_lossy(&chart.stderr));
    let chart = String::from_utf8(chart.stdout)?;
    for drawn in ["hub", "agent0", "agent2"] {
        ensure!(chart.contains(&format!(">{drawn}<")), "no {drawn}: {chart}");
    }
    Ok(())
}
