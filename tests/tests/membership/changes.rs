//! What an administrator changes reaches everybody while they are up.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dosp_tests::{Host, needs_root, wait_until};

use crate::common::{Members, NEWS, wait_for_name};

#[test]
fn new_vip_of_a_node_is_reached_and_other_tunnels_go_on() -> Result<()> {
    needs_root!();
    let members = Members::start(3)?;
    let (alice, bob) = members.pair();
    let carol = &members.agents[2];
    wait_for_name(alice.host(), &bob.vip, "bob")?;
    alice.ping("bob")?;
    for agent in [alice, bob] {
        agent.ping(&carol.vip)?;
    }
    let ages = || -> Result<[Duration; 2]> {
        Ok([session_age(alice.host(), &carol.vip)?, session_age(bob.host(), &carol.vip)?])
    };
    let (before, started_at) = (ages()?, Instant::now());

    members.hub.ask("nodes", &["set-vip", "bob", "10.77.1.77"])?.ok()?;

    wait_until("bob has the new vIP", NEWS, || {
        Ok(bob.host().vip_if_up().as_deref() == Some("10.77.1.77"))
    })?;
    for agent in [alice, carol] {
        wait_for_name(agent.host(), "10.77.1.77", "bob")?;
        agent.ping("bob")?;
    }
    alice.ping(&carol.vip)?;
    bob.ping(&carol.vip)?;
    let grown = started_at.elapsed();
    let after = session_age(alice.host(), &carol.vip)?;
    ensure!(after >= before[0] + grown, "alice and carol: {before:?}, {after:?} after {grown:?}");
    ensure!(!alice.host().names()?.contains(&format!("{} ", bob.vip)), "the old vIP has a name");
    Ok(())
}

#[test]
fn new_name_of_a_node_is_known_everywhere() -> Result<()> {
    needs_root!();
    let members = Members::start(2)?;
    let (alice, bob) = members.pair();
    wait_for_name(alice.host(), &bob.vip, "bob")?;

    members.hub.ask("nodes", &["rename", "bob", "robert"])?.ok()?;

    wait_for_name(alice.host(), &bob.vip, "robert")?;
    ensure!(!alice.host().names()?.contains("bob"), "the old name is still there");
    alice.ping("robert.dosp")?;
    wait_until("bob knows his name", NEWS, || Ok(bob.host().status()?["name"] == "robert"))
}

/// The age of the session with a peer.
fn session_age(host: &Host, vip: &str) -> Result<Duration> {
    let status = host.status()?;
    let peers = status["peers"].as_array().context("no peers")?;
    let peer = peers.iter().find(|peer| peer["vip"] == vip).context("no such peer")?;
    let age = peer["session_age_ns"].as_u64().with_context(|| format!("no session: {peer}"))?;
    Ok(Duration::from_nanos(age))
}
