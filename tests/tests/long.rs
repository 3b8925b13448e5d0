//! What takes too long for every run: set `DOSP_LONG=1`, or `scripts/test --long`.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use dosp_tests::dosp::RETURN_TIMEOUT;
use dosp_tests::ssh::Sshd;
use dosp_tests::{Overlay, needs_root};

const OUTAGE: Duration = Duration::from_secs(600);

#[test]
fn ssh_survives_a_hub_that_is_away_for_10_minutes() -> Result<()> {
    needs_root!();
    if std::env::var_os("DOSP_LONG").is_none() {
        eprintln!("SKIPPED: takes 15 minutes; set DOSP_LONG=1");
        return Ok(());
    }
    let Overlay { agents, mut hub, net: _net } = Overlay::start(2)?;
    let sshd = Sshd::start(&agents[1])?;
    let mut counter = sshd.open_counter(&agents[0])?;

    hub.kill()?;
    sleep(OUTAGE);
    hub.start_again()?;

    for agent in &agents {
        agent.wait_until_back(RETURN_TIMEOUT)?;
    }
    agents[0].ping(&agents[1].vip)?;
    // TCP tries again after 120 s at the latest.
    counter.wait_until_goes_on(Duration::from_secs(150))
}
