//! `dosp-agent leave`: the place in the network is free, and this host knows that it has none.

use anyhow::{Result, ensure};
use dosp_tests::{Agent, Host, Hub, needs_root, wait_until};
use nix::sys::signal::Signal;

use crate::common::{Members, NEWS};

#[test]
fn running_agent_leaves() -> Result<()> {
    needs_root!();
    let Members { mut agents, hub, net } = Members::start(3)?;
    let bob = agents.remove(1);
    let vip = bob.vip.clone();

    bob.host().agent(&["leave"])?.ok()?;

    bob.ended()?.ok()?;
    agents.remove(1).stop(Signal::SIGTERM)?.ok()?;
    has_left(&hub, &net.hosts[1])?;
    // Another host gets what was bob's: carol's, once she has left too.
    net.hosts[2].agent(&["leave"])?.ok()?;
    net.hosts[2].join(&hub.invite(&["--name", "bob", "--vip", &vip])?)?;
    let other = Agent::up_joined(&net, 2, &[])?;
    ensure!(other.vip == vip && other.host().status()?["name"] == "bob", "{}", other.vip);
    // Until alice has heard that the vIP has another owner, she refuses his key.
    wait_until("alice knows the new bob", NEWS, || other.reaches(&agents[0].vip))?;
    other.ping(&agents[0].vip)
}

#[test]
fn host_without_a_running_agent_leaves() -> Result<()> {
    needs_root!();
    let Members { mut agents, hub, net } = Members::start(2)?;
    agents.remove(1).stop(Signal::SIGTERM)?.ok()?;

    net.hosts[1].agent(&["leave"])?.ok()?;

    has_left(&hub, &net.hosts[1])?;
    net.hosts[1].agent(&["leave"])?.exits(2)?.says(&["hint: "])?;
    Ok(())
}

fn has_left(hub: &Hub, host: &Host) -> Result<()> {
    let nodes = hub.nodes()?;
    ensure!(!nodes.iter().any(|node| node["name"] == "bob"), "{nodes:?}");
    host.agent(&["up"])?.exits(2)?.says(&["no hub is set", "dosp-agent join"])?;
    Ok(())
}
