//! The hub, the path to it or an agent goes away: what is open stays open, and nothing is left.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dosp_tests::dosp::RETURN_TIMEOUT;
use dosp_tests::ssh::{Sshd, random_file, sha256};
use dosp_tests::{Agent, Hub, Overlay, measured, needs_root, wait_until};
use nix::sys::signal::Signal;

/// A silent path is found out within 25 s; the rest is for a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_secs(28);

#[test]
fn ssh_and_a_transfer_survive_a_hub_that_is_killed_and_back_after_1_s() -> Result<()> {
    needs_root!();
    everything_open_survives(|hub, _| {
        hub.kill()?;
        sleep(Duration::from_secs(1));
        hub.start_again()
    })
}

#[test]
fn ssh_and_a_transfer_survive_a_hub_that_is_killed_and_back_after_30_s() -> Result<()> {
    needs_root!();
    everything_open_survives(|hub, agents| {
        hub.kill()?;
        for agent in agents {
            agent.wait_until_lost(Duration::from_secs(5))?;
            ensure!(agent.ns().has_link("dosp0")?, "the TUN must outlive the hub");
        }
        sleep(Duration::from_secs(30));
        hub.start_again()
    })
}

#[test]
fn ssh_and_a_transfer_survive_a_path_that_drops_all_silently_for_60_s() -> Result<()> {
    needs_root!();
    everything_open_survives(|hub, agents| {
        hub.cut()?;
        let cut_at = Instant::now();
        for agent in agents {
            agent.wait_until_lost(NOTICED_WITHIN.saturating_sub(cut_at.elapsed()))?;
            measured("silence noticed", cut_at);
        }
        sleep(Duration::from_secs(60).saturating_sub(cut_at.elapsed()));
        hub.mend()
    })
}

#[test]
fn ssh_survives_an_agent_that_is_stopped_for_40_s() -> Result<()> {
    needs_root!();
    let Overlay { mut agents, hub: _hub, net: _net } = Overlay::start(2)?;
    let sshd = Sshd::start(&agents[1])?;
    let mut counter = sshd.open_counter(&agents[0])?;

    agents[0].process().signal(Signal::SIGSTOP)?;
    sleep(Duration::from_secs(40));
    agents[0].process().signal(Signal::SIGCONT)?;

    agents[0].wait_until_back(RETURN_TIMEOUT)?;
    counter.wait_until_goes_on(Duration::from_secs(90))
}

#[test]
fn a_killed_agent_leaves_neither_tun_nor_routes() -> Result<()> {
    needs_root!();
    let mut overlay = Overlay::start(2)?;
    overlay.agents[0].process().kill()?;

    let (a, b) = overlay.pair();
    wait_until("the TUN is gone", Duration::from_secs(2), || Ok(!a.ns().has_link("dosp0")?))?;
    let routes = a.ns().sh("ip route show table all; ip rule")?.ok()?.stdout;
    ensure!(!routes.contains("7.10.0."), "{routes}");
    ensure!(!b.reaches(&a.vip)?, "a dead agent answered");
    Ok(())
}

#[test]
fn an_agent_comes_up_again_after_it_was_killed() -> Result<()> {
    needs_root!();
    let mut overlay = Overlay::start(2)?;
    overlay.agents[1].ping("7.10.0.2")?;
    overlay.agents[0].process().kill()?;

    let again = Agent::up(&overlay.net, 0, &[])?;

    ensure!(again.vip == "7.10.0.2", "came back as {}", again.vip);
    again.ping("7.10.0.3")?;
    overlay.agents[1].ping("7.10.0.2")
}

#[test]
fn a_peer_that_was_restarted_is_reached_by_who_had_a_tunnel_to_it() -> Result<()> {
    needs_root!();
    let mut overlay = Overlay::start(2)?;
    overlay.agents[1].ping("7.10.0.2")?;
    overlay.agents[0].process().kill()?;
    let _again = Agent::up(&overlay.net, 0, &[])?;

    // Nobody told agent 1, and it alone speaks.
    wait_until("the restarted peer answers", Duration::from_secs(15), || {
        overlay.agents[1].reaches("7.10.0.2")
    })
}

/// Opens an ssh session and a transfer, lets `outage` happen, and expects both to go on.
fn everything_open_survives(outage: impl FnOnce(&mut Hub, &[Agent]) -> Result<()>) -> Result<()> {
    let Overlay { agents, mut hub, net } = Overlay::start(2)?;
    let (a, b) = (&agents[0], &agents[1]);
    let sshd = Sshd::start(b)?;
    let (from, to) = (net.dir().join("from"), net.dir().join("to"));
    random_file(&from, 12_000_000)?;
    let mut counter = sshd.open_counter(a)?;
    let scp = sshd.start_scp(a, &from, &to, 16)?;
    wait_until("the transfer is on its way", Duration::from_secs(30), || {
        Ok(fs::metadata(&to).is_ok_and(|it| it.len() > 1_000_000))
    })?;

    outage(&mut hub, &agents)?;

    let over_at = Instant::now();
    for agent in &agents {
        agent.wait_until_back(RETURN_TIMEOUT)?;
        measured(&format!("{} is back", agent.vip), over_at);
        let reconnects = agent.host().status()?["reconnects"].as_u64();
        ensure!(reconnects >= Some(1), "status says {reconnects:?} reconnects");
    }
    counter.wait_until_goes_on(Duration::from_secs(90))?;
    scp.output(Duration::from_secs(240))?.ok()?;
    ensure!(sha256(&from)? == sha256(&to)?, "the copy differs");
    a.ping(&b.vip)?;
    b.ping(&a.vip)
}
