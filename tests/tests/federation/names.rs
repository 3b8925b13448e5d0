//! Members of other hubs, by name.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_tests::{Agent, Federation, needs_root, wait_until};
use nix::sys::signal::Signal;

use crate::common::{AT_ONCE, wait_until_reached};

/// A change of a list has come by then, over three hubs: each gathers for 250 ms.
const NEWS: Duration = Duration::from_secs(10);

#[test]
fn member_behind_two_hubs_goes_by_name_and_by_the_new_one_when_it_is_renamed() -> Result<()> {
    needs_root!();
    let mut chain = Federation::hubs(3, &[(0, 1), (1, 2)])?;
    chain.wait_until_linked()?;
    let up = |at: usize, name| Agent::up(&chain.nets[at], 0, &["--name", name]);
    let agents = [(0, "alice"), (1, "bob"), (2, "carol")];
    let agents = agents.into_iter().map(|(at, name)| up(at, name));
    chain.agents = agents.collect::<Result<_>>()?;
    let alice = chain.agents[0].host();

    wait_for_name(&chain.agents[0], &chain.agents[2].vip, "carol.hub2")?;
    wait_for_name(&chain.agents[2], &chain.agents[0].vip, "alice.hub0")?;
    wait_until_reached(&chain, 0, 2)?;
    alice.ns.sh("ping -n -c 1 -W 5 carol.hub2.dosp")?.ok()?;
    let output = alice.agent(&["ip", "carol.hub2"])?.ok()?;
    ensure!(output.stdout.trim() == chain.agents[2].vip, "{output}");
    let output = alice.agent(&["whois", &chain.agents[2].vip])?.ok()?;
    ensure!(output.stdout.contains("carol.hub2"), "{output}");

    chain.hubs[2].ask("nodes", &["rename", "carol", "charlie"])?.ok()?;
    wait_for_name(&chain.agents[0], &chain.agents[2].vip, "charlie.hub2")?;

    let carol = chain.agents.remove(2);
    let alice = chain.agents[0].host();
    carol.stop(Signal::SIGTERM)?.ok()?;
    wait_until("the sender is told at once", NEWS, || {
        let started_at = std::time::Instant::now();
        let output = alice.agent(&["send", "charlie.hub2", "hello"])?;
        Ok(output.code == Some(6) && started_at.elapsed() < AT_ONCE)
    })
}

fn wait_for_name(agent: &Agent, vip: &str, name: &str) -> Result<()> {
    let line = format!("{vip} {name}.dosp");
    wait_until(&format!("'{line}' is there"), NEWS, || {
        Ok(agent.host().names()?.lines().any(|there| there == line))
    })
    .with_context(|| agent.host().names().unwrap_or_default())
}
