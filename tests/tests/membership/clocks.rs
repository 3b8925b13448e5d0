//! A host whose clock is wrong: what has expired is for the hub to say.

use std::time::Duration;

use anyhow::{Result, ensure};
use dosp_tests::{Hub, JumpingClock, Net, needs_root, wait_until};

#[test]
fn host_whose_clock_is_a_year_ahead_joins_and_is_told() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let hub = Hub::closed(&net)?;
    let clock = JumpingClock::build(net.dir(), "CLOCK_REALTIME", 366 * 86400)?;
    clock.jump()?;
    let host = &net.hosts[0];
    let join_string = hub.invite(&["--ttl", "1h"])?;
    let later = |args: &str| -> Result<String> {
        let program = host.agent_command()?.join(" ");
        Ok(format!("{}; exec {program} {args}", clock.export()))
    };

    host.ns.sh(&later(&format!("join {join_string}"))?)?.ok()?;
    let agent = host.ns.spawn_sh(&later("up")?)?.shown_on_drop();

    wait_until("the agent is up", Duration::from_secs(20), || Ok(host.vip_if_up().is_some()))?;
    ensure!(agent.stderr()?.contains("clocks of this host and of the hub differ"), "not a word");
    Ok(())
}
