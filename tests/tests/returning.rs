//! Agents get the vIP back that they had, whoever comes first to a hub that has forgotten them.

use std::time::Duration;

use anyhow::{Result, ensure};
use dosp_tests::dosp::RETURN_TIMEOUT;
use dosp_tests::{Agent, Hub, Net, Overlay, Process, needs_root, wait_until};
use nix::sys::signal::Signal;

#[test]
fn agents_that_return_in_the_other_order_keep_their_vips() -> Result<()> {
    needs_root!();
    let Overlay { mut agents, mut hub, net: _net } = Overlay::start(2)?;
    restart_unseen(&mut hub, &mut agents)?;

    // The second agent comes first, and the hub offers it the vIP of the first.
    agents[1].process().signal(Signal::SIGCONT)?;
    agents[1].wait_until_back(RETURN_TIMEOUT)?;
    agents[0].process().signal(Signal::SIGCONT)?;
    agents[0].wait_until_back(RETURN_TIMEOUT)?;

    reach_each_other(&agents)
}

#[test]
fn agents_whose_vips_are_taken_wait_elsewhere_and_get_them_back() -> Result<()> {
    needs_root!();
    let Overlay { mut agents, mut hub, net } = Overlay::start(2)?;
    restart_unseen(&mut hub, &mut agents)?;
    let strangers = [stranger(&net, "07 0a 00 02")?, stranger(&net, "07 0a 00 03")?];

    for agent in &mut agents {
        agent.process().signal(Signal::SIGCONT)?;
    }
    for agent in &agents {
        wait_until("the agent asks for its vIP", RETURN_TIMEOUT, || {
            Ok(agent.host().status()?["state"] == "joining")
        })?;
    }
    drop(strangers);

    for agent in &agents {
        agent.wait_until_back(Duration::from_secs(10))?;
    }
    reach_each_other(&agents)
}

#[test]
fn agents_that_hold_each_others_vips_for_a_moment_end_with_their_own() -> Result<()> {
    needs_root!();
    let Overlay { mut agents, mut hub, net } = Overlay::start(2)?;
    restart_unseen(&mut hub, &mut agents)?;

    // A stranger has .2, so the first agent is offered .3 and must not keep it from the second.
    let stranger = stranger(&net, "07 0a 00 02")?;
    agents[0].process().signal(Signal::SIGCONT)?;
    wait_until("the first agent asks for its vIP", RETURN_TIMEOUT, || {
        Ok(agents[0].host().status()?["state"] == "joining")
    })?;
    agents[1].process().signal(Signal::SIGCONT)?;
    agents[1].wait_until_back(RETURN_TIMEOUT)?;
    drop(stranger);
    agents[0].wait_until_back(Duration::from_secs(10))?;

    reach_each_other(&agents)
}

/// Kills and restarts the hub while the agents are stopped and cannot notice.
fn restart_unseen(hub: &mut Hub, agents: &mut [Agent]) -> Result<()> {
    for agent in agents {
        agent.process().signal(Signal::SIGSTOP)?;
    }
    hub.kill()?;
    hub.start_again()
}

/// A client that only joins and stays, and is given `vip`, in hex.
fn stranger(net: &Net, vip: &str) -> Result<Process> {
    let mut client = net
        .hub
        .spawn_sh("exec 3<>/dev/tcp/127.0.0.1/7744; head -c 9 <&3 | od -An -tx1; exec sleep 600")?;
    wait_until("a client joins", Duration::from_secs(10), || {
        ensure!(client.is_running()?, "it ended: {}", client.stderr()?);
        Ok(client.stdout()?.ends_with('\n'))
    })?;
    let greeting = client.stdout()?;
    ensure!(greeting.contains(vip), "the hub gave {greeting}");
    Ok(client)
}

fn reach_each_other(agents: &[Agent]) -> Result<()> {
    agents[0].ping(&agents[1].vip)?;
    agents[1].ping(&agents[0].vip)
}
