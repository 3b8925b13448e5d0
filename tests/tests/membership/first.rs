//! The first network of the README, with the commands that it prints.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dosp_tests::dosp::{binary, workspace};
use dosp_tests::ssh::Sshd;
use dosp_tests::{Agent, Hub, Net, Process, needs_root, wait_until};

use crate::common::wait_for_name;

/// The commands of the README in their order; the join string stands for itself.
const INIT: &str = "dosp-server init --network 10.77.0.0/24 --advertise hub.example.org";
const HUB: &str = "dosp-server";
const INVITE: &str = "dosp-server invite --name bob";
const JOIN: &str = "dosp-agent join dosp1:…";
const UP: &str = "dosp-agent up";
const PING: &str = "ping bob";
const SSH: &str = "ssh bob.dosp";
const NODES: &str = "dosp-server nodes";

#[test]
fn first_network_is_made_by_the_commands_of_the_readme_within_a_minute() -> Result<()> {
    needs_root!();
    let printed = printed_commands()?;
    ensure!(printed == [INIT, HUB, INVITE, JOIN, UP, PING, SSH, NODES], "{printed:?}");
    let net = Net::star(3)?;
    let started_at = Instant::now();

    let made = server(&net, INIT)?.output(Duration::from_secs(10))?.ok()?;
    let first = made.stdout.trim().strip_prefix("dosp-agent join ").context("no command")?;
    let mut hub = server(&net, HUB)?.shown_on_drop();
    wait_until("the hub listens", Duration::from_secs(10), || {
        ensure!(hub.is_running()?, "the hub ended");
        Ok(hub.stderr()?.contains("listening"))
    })?;
    let invite = |line: &str| -> Result<String> {
        let said = server(&net, line)?.output(Duration::from_secs(10))?.ok()?.stdout;
        Ok(said.trim().to_owned())
    };
    let strings = [first.to_owned(), invite(INVITE)?, invite(&INVITE.replace("bob", "carol"))?];
    let agents =
        strings.iter().enumerate().map(|(i, join_string)| join_and_up(&net, i, join_string));
    let agents = agents.collect::<Result<Vec<Agent>>>()?;
    wait_for_name(&net.hosts[0], &agents[1].vip, "bob")?;
    for name in ["bob", "bob.dosp", "carol.dosp"] {
        agents[0].ping(name)?;
    }
    let took = started_at.elapsed();
    ensure!(took < Duration::from_secs(60), "it took {took:?}");

    let sshd = Sshd::start(&agents[1])?;
    let output = sshd.run_at(&agents[0], "bob.dosp", "echo $SSH_CONNECTION")?.ok()?;
    ensure!(output.stdout.starts_with(&agents[0].vip), "{output}");
    let listed = server(&net, NODES)?.output(Duration::from_secs(10))?.ok()?;
    for agent in &agents {
        let is_there = |line: &str| line.contains(&agent.vip) && line.contains("online");
        ensure!(listed.stdout.lines().any(is_there), "{listed}");
    }
    Ok(())
}

/// Every command in the blocks of the README's section about closed networks.
fn printed_commands() -> Result<Vec<String>> {
    let readme = std::fs::read_to_string(workspace().join("README.md"))?;
    let section = readme.split("\n## ").find(|part| part.starts_with("A first network"));
    let section = section.context("no such section")?;
    let closed = section.split("\n### ").next().unwrap_or_default();
    let lines = closed.split("```").skip(1).step_by(2).flat_map(str::lines);
    let is_command =
        |line: &&str| ["dosp-", "ping ", "ssh "].iter().any(|start| line.starts_with(start));
    let is_said = |line: &str| line.starts_with("dosp-agent: ");
    Ok(lines.filter(is_command).filter(|line| !is_said(line)).map(str::to_owned).collect())
}

/// Starts a line of the README at the hub, with files of this test.
fn server(net: &Net, line: &str) -> Result<Process> {
    let path = |name: &str| net.dir().join(name).display().to_string();
    let (config, socket) = (path("first.toml"), path("first.sock"));
    let state = Hub::state(net).display().to_string();
    let mut args = vec!["--config", &config, "--socket", &socket, "--state", &state];
    args.extend(line.split(' ').skip(1));
    net.hub.spawn("dosp-server", &binary("dosp-server")?, &args)
}

fn join_and_up(net: &std::sync::Arc<Net>, host: usize, join_string: &str) -> Result<Agent> {
    let words = JOIN.replace("dosp1:…", join_string);
    let args: Vec<&str> = words.split(' ').skip(1).collect();
    net.hosts[host].agent(&args)?.ok()?;
    ensure!(UP == "dosp-agent up", "the harness starts it so");
    Agent::up_joined(net, host, &[])
}
