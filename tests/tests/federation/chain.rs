//! Three hubs in a row: what goes from one end to the other, and what comes back when it cannot.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_tests::iperf::iperf;
use dosp_tests::ssh::{Sshd, random_file, sha256};
use dosp_tests::{Federation, needs_root, wait_until};
use serde_json::Value;

use crate::common::{FAILOVER, HEALED, peer, send_fails, wait_until_reached};

const CHAIN: [(usize, usize); 2] = [(0, 1), (1, 2)];

#[test]
fn packets_ssh_and_a_transfer_cross_three_hubs() -> Result<()> {
    needs_root!();
    let chain = Federation::start(3, &CHAIN)?;
    let (a, c) = (&chain.agents[0], &chain.agents[2]);

    wait_until_reached(&chain, 0, 2)?;
    c.ping(&a.vip)?;

    let sshd = Sshd::start(c)?;
    let output = sshd.run(a, "echo $SSH_CONNECTION")?.ok()?;
    let words: Vec<&str> = output.stdout.split_whitespace().collect();
    ensure!(words[0] == a.vip && words[2] == c.vip, "{output}");
    let (from, to) = (chain.nets[0].dir().join("from"), chain.nets[0].dir().join("to"));
    random_file(&from, 20_000_000)?;
    sshd.start_scp(a, &from, &to, 10_000)?.output(Duration::from_secs(60))?.ok()?;
    ensure!(sha256(&from)? == sha256(&to)?, "the copy differs");
    Ok(())
}

#[test]
fn iperf_runs_both_ways_across_three_hubs() -> Result<()> {
    needs_root!();
    let chain = Federation::start(3, &CHAIN)?;
    let (a, c) = (&chain.agents[0], &chain.agents[2]);
    wait_until_reached(&chain, 0, 2)?;

    for options in ["", "-R"] {
        let report = iperf(a, c, options)?;
        let received = report["end"]["sum_received"]["bytes"].as_u64().context("a sum")?;
        ensure!(received > 1_000_000, "{received} bytes with {options:?}: {report}");
    }
    // What was in the queues has left them.
    a.ping(&c.vip)?;
    c.ping(&a.vip)
}

#[test]
fn ping_and_peers_tell_the_way() -> Result<()> {
    needs_root!();
    let chain = Federation::start(3, &CHAIN)?;
    let (a, c) = (&chain.agents[0], &chain.agents[2]);

    let output = a.host().agent(&["ping", &c.vip, "-c", "3", "-i", "0.1"])?.ok()?;
    ensure!(output.stdout.contains(", via hub2, 3 hubs"), "{output}");
    ensure!(output.stdout.contains("3 echoes sent, 3 received, 0% loss"), "{output}");

    for (hub, of) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
        let rtt = |peer: &Value| peer["rtt_ns"].as_u64();
        wait_until("an echo between the hubs", FAILOVER, || {
            Ok(rtt(&peer(&chain, hub, of)?).is_some())
        })?;
        let peer = peer(&chain, hub, of)?;
        ensure!(peer["state"] == "up" && peer["authenticated"] == true, "{peer}");
        ensure!(peer["hub"] == format!("hub{of}") && peer["last_error"].is_null(), "{peer}");
        ensure!(rtt(&peer) < Some(1_000_000_000) && peer["dropped_frames"] == 0, "{peer}");
    }
    let peers = chain.hubs[0].peers()?;
    let routes = peers["routes"].as_array().context("routes")?;
    let is_far = |route: &&Value| route["network"] == "7.12.0.0/24";
    let [far] = &routes.iter().filter(is_far).collect::<Vec<_>>()[..] else {
        anyhow::bail!("not one way: {peers}")
    };
    ensure!(far["via"] == "hub1" && far["num_hops"] == 2 && far["hub"] == "hub2", "{far}");
    Ok(())
}

#[test]
fn sender_hears_at_once_why_nothing_gets_there() -> Result<()> {
    needs_root!();
    let chain = Federation::start(3, &CHAIN)?;

    send_fails(&chain, 0, "7.12.0.99", "offline")?;
    let output = chain.agents[0].ns().sh("ping -n -c 1 -W 5 7.12.0.98")?.exits(1)?;
    ensure!(output.stdout.contains("Destination Host Unreachable"), "{output}");

    // An agent that has left was there a moment ago.
    wait_until_reached(&chain, 0, 2)?;
    let Federation { mut agents, hubs, nets, .. } = chain;
    let gone = agents.pop().context("an agent")?;
    let vip = gone.vip.clone();
    gone.stop(nix::sys::signal::Signal::SIGTERM)?.ok()?;
    let output = agents[0].host().agent(&["send", &vip, "hello"])?.exits(6)?;
    ensure!(output.took < Duration::from_secs(3), "{output}");
    output.says(&["offline"])?;
    drop((agents, hubs, nets));
    Ok(())
}

#[test]
fn cut_wire_is_told_and_a_healed_one_works_again() -> Result<()> {
    needs_root!();
    let chain = Federation::start(3, &CHAIN)?;
    let [a, b, c] = &chain.agents[..] else { anyhow::bail!("three agents") };
    wait_until_reached(&chain, 0, 2)?;

    for is_silent in [true, false] {
        if is_silent {
            chain.cut(1)?
        } else {
            chain.plug(1, false)?
        }
        chain.wait_for_hops(0, 2, None, FAILOVER)?;
        // The second time an opening may be under way, which fails for a reason of its own.
        let why = if is_silent { "no way leads to the hub of 7.12.0.0/24" } else { "" };
        send_fails(&chain, 1, &c.vip, why)?;
        // The end of the chain has lost a network that it had learned, and keeps it in the tunnel.
        wait_until("the agent is told", FAILOVER, || {
            let status = a.host().status()?;
            let mut networks = status["networks"].as_array().into_iter().flatten();
            let lost = networks.find(|there| there["network"] == "7.12.0.0/24");
            Ok(lost.is_some_and(|lost| lost["hops"].is_null()))
        })?;
        let route = a.ns().sh(&format!("ip route get {}", c.vip))?.ok()?;
        ensure!(route.stdout.contains("dev dosp"), "packets leave in the open: {route}");
        send_fails(&chain, 0, &c.vip, why)?;
        // A tunnel that is open goes on for a while.
        wait_until("packets are answered", HEALED, || {
            let ping = b.ns().sh(&format!("ping -n -c 1 -W 1 {}", c.vip))?;
            Ok(ping.stdout.contains("Unreachable"))
        })?;
        // Nothing happens to who is nearer.
        a.ping(&b.vip)?;

        if is_silent {
            chain.heal(1)?
        } else {
            chain.plug(1, true)?
        }
        chain.wait_for_hops(0, 2, Some(2), HEALED)?;
        wait_until_reached(&chain, 0, 2)?;
    }
    Ok(())
}
