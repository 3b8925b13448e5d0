//! Names and vIPs last, whatever ends.

use anyhow::{Result, ensure};
use dosp_tests::dosp::RETURN_TIMEOUT;
use dosp_tests::{Agent, needs_root};
use nix::sys::signal::Signal;

use crate::common::{Members, NAMES, wait_for_name};

#[test]
fn agents_keep_name_and_vip_when_they_end_and_when_they_are_killed() -> Result<()> {
    needs_root!();
    let Members { mut agents, net, hub: _hub } = Members::start(2)?;
    let vip = agents[1].vip.clone();
    // Whoever was the last is the first to come again: neither gets what is free.
    let (mut bob, alice) = (agents.remove(1), agents.remove(0));
    let alice_vip = alice.vip.clone();
    alice.stop(Signal::SIGTERM)?.ok()?;
    bob.process().kill()?;
    drop(bob);

    let bob = Agent::up_joined(&net, 1, &[])?;
    let alice = Agent::up_joined(&net, 0, &[])?;

    ensure!((&bob.vip, &alice.vip) == (&vip, &alice_vip), "{} {}", bob.vip, alice.vip);
    wait_for_name(alice.host(), &vip, "bob")?;
    alice.ping("bob.dosp")
}

#[test]
fn members_come_back_by_themselves_when_the_hub_does() -> Result<()> {
    needs_root!();
    let mut members = Members::start(3)?;
    for is_killed in [false, true] {
        if is_killed {
            members.hub.kill()?;
        } else {
            members.hub.terminate()?;
        }
        members.hub.start_again()?;
        for agent in &members.agents {
            agent.wait_until_back(RETURN_TIMEOUT)?;
        }
        let nodes = members.hub.nodes()?;
        for (agent, name) in members.agents.iter().zip(NAMES) {
            let is_it = nodes.iter().any(|node| node["name"] == name && node["vip"] == *agent.vip);
            ensure!(is_it, "{name} at {} is not among {nodes:?}", agent.vip);
        }
        let (a, b) = members.pair();
        wait_for_name(a.host(), &b.vip, "bob")?;
        a.ping("bob")?;
    }
    Ok(())
}
