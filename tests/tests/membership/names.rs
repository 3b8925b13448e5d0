//! Names of members in `/etc/hosts`, and members that are not there.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use dosp_tests::{Agent, needs_root, wait_until};
use nix::sys::signal::Signal;

use crate::common::{Members, NEWS, wait_for_name};

/// Lines of others, the last without an end.
const FOREIGN: &str =
    "# mine\n127.0.0.1 localhost\n192.0.2.1 printer # here\n\n10.9.9.9 other.dosp";

#[test]
fn names_go_with_the_agent_and_lines_of_others_stay() -> Result<()> {
    needs_root!();
    let Members { mut agents, hub: _hub, net } = Members::start(2)?;
    let bob = agents.remove(1);
    agents.remove(0).stop(Signal::SIGTERM)?.ok()?;
    let host = &net.hosts[0];
    let foreign = format!("{FOREIGN}\n{} hub.example.org\n", host.hub_address);
    fs::write(host.ns.hosts_file(), &foreign)?;
    let alice = Agent::up_joined(&net, 0, &[])?;
    wait_for_name(host, &bob.vip, "bob")?;
    ensure!(host.names()?.starts_with(&foreign), "{}", host.names()?);

    host.agent(&["down"])?.ok()?;

    alice.stop(Signal::SIGTERM)?.ok()?;
    ensure!(host.names()? == foreign, "{}", host.names()?);
    Ok(())
}

#[test]
fn names_that_a_killed_agent_left_go_with_the_next_up_and_with_down() -> Result<()> {
    needs_root!();
    let Members { mut agents, hub, net } = Members::start(2)?;
    let bob = agents.remove(1);
    let host = &net.hosts[0];
    let before = host.names()?.split("# BEGIN").next().unwrap_or_default().to_owned();
    let kill = |mut agent: Agent, name: &str| -> Result<()> {
        wait_for_name(host, &bob.vip, name)?;
        agent.process().kill()?;
        ensure!(host.names()?.contains(name), "nobody was there to remove the names");
        Ok(())
    };

    kill(agents.remove(0), "bob")?;
    hub.ask("nodes", &["rename", "bob", "robert"])?.ok()?;
    let alice = Agent::up_joined(&net, 0, &[])?;
    wait_for_name(host, &bob.vip, "robert")?;
    ensure!(!host.names()?.contains("bob"), "{}", host.names()?);

    kill(alice, "robert")?;
    wait_until("the interface is gone", NEWS, || Ok(!host.ns.has_link("dosp0")?))?;
    host.agent(&["down"])?.exits(3)?;
    ensure!(host.names()? == before, "{}", host.names()?);
    Ok(())
}

#[test]
fn no_hosts_leaves_the_file_alone() -> Result<()> {
    needs_root!();
    let Members { mut agents, hub: _hub, net } = Members::start(2)?;
    agents.remove(0).stop(Signal::SIGTERM)?.ok()?;
    let before = net.hosts[0].names()?;

    let alice = Agent::up_joined(&net, 0, &["--no-hosts"])?;

    alice.ping(&agents[0].vip)?;
    alice.host().agent(&["ping", "bob", "-c", "1"])?.ok()?;
    ensure!(net.hosts[0].names()? == before, "{}", net.hosts[0].names()?);
    Ok(())
}

#[test]
fn connection_to_a_member_that_is_away_fails_at_once() -> Result<()> {
    needs_root!();
    let Members { mut agents, hub: _hub, net: _net } = Members::start(2)?;
    let alice = agents.remove(0);
    let bob = agents.remove(0);
    let vip = bob.vip.clone();
    wait_for_name(alice.host(), &vip, "bob")?;
    bob.stop(Signal::SIGTERM)?.ok()?;

    let output = alice.ns().sh("timeout 20 bash -c '</dev/tcp/bob.dosp/22'")?;

    ensure!(output.code == Some(1) && output.took < Duration::from_secs(2), "{output}");
    output.says(&["No route to host"])?;
    Ok(())
}
