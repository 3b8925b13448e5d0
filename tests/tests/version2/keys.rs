//! Keys: where they are kept, who is trusted, and what a person does when one has changed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use dosp_tests::{Agent, Host, Hub, Net, Overlay, needs_root};
use nix::sys::signal::Signal;

use crate::common::{fingerprint, parse, restart, say};

#[test]
fn trust_list_shows_the_fingerprint_that_the_peer_itself_shows() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();
    say(a.host(), &b.vip, "hello")?;
    let of_b = fingerprint(b.host())?;

    let listed = a.host().agent(&["trust", "list"])?.ok()?;

    let line = listed.stdout.lines().find(|line| line.starts_with(&b.vip)).context("no line")?;
    ensure!(line.contains(&of_b) && line.ends_with("  pinned"), "{listed}");
    let listed = parse(&a.host().agent(&["trust", "list", "--json"])?.ok()?.stdout)?;
    let trusted = &listed["trusted"][0];
    ensure!(listed["schema"] == "dosp.trust/1" && trusted["pinned"] == true, "{listed}");
    ensure!(trusted["fingerprint"] == of_b.as_str(), "{listed}");
    b.host().agent(&["ip"])?.ok()?.says(&[&of_b])?;
    Ok(())
}

#[test]
fn a_changed_key_is_refused_until_the_command_in_the_hint_accepts_it() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;
    let a = Agent::up(&net, 0, &[])?;
    let b = Agent::up(&net, 1, &[])?;
    say(a.host(), &b.vip, "hello")?;
    let b = with_another_key(&net, b)?;
    let offered = fingerprint(b.host())?;

    let refused = a.host().agent(&["send", &b.vip, "hello again"])?.exits(4)?;

    let command = format!("dosp-agent trust accept {} {offered}", b.vip);
    let refused = refused.says(&[&command])?;
    let hint = refused.stderr.split("dosp-agent ").last().context("a command")?;
    let args: Vec<&str> = hint.split_whitespace().collect();
    ensure!(!a.reaches(&b.vip)?, "IP went to the other key");
    a.host().agent(&args)?.ok()?;
    say(a.host(), &b.vip, "hello again")?;
    a.ping(&b.vip)
}

#[test]
fn another_fingerprint_than_the_offered_one_is_not_accepted() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;
    let a = Agent::up(&net, 0, &[])?;
    let b = Agent::up(&net, 1, &[])?;
    say(a.host(), &b.vip, "hello")?;
    let before = fingerprint(b.host())?;
    let b = with_another_key(&net, b)?;
    a.host().agent(&["send", &b.vip, "hello again"])?.exits(4)?;

    a.host().agent(&["trust", "accept", &b.vip, &before])?.exits(4)?.says(&["hint: "])?;

    a.host().agent(&["send", &b.vip, "hello again"])?.exits(4)?;
    Ok(())
}

#[test]
fn pinned_trust_wants_every_key_accepted() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;
    let a = Agent::up(&net, 0, &["--trust", "pinned"])?;
    let b = Agent::up(&net, 1, &[])?;
    let of_b = fingerprint(b.host())?;

    a.host().agent(&["send", &b.vip, "hello"])?.exits(4)?.says(&["trust accept", &of_b])?;
    a.host().agent(&["trust", "accept", &b.vip, &of_b])?.ok()?;

    say(a.host(), &b.vip, "hello")?;
    Ok(())
}

#[test]
fn peers_that_exchange_their_vips_are_refused() -> Result<()> {
    needs_root!();
    let mut overlay = Overlay::start(3)?;
    let (net, a) = (overlay.net.clone(), &overlay.agents[0]);
    for peer in &overlay.agents[1..] {
        say(a.host(), &peer.vip, "hello")?;
    }
    let agents: Vec<Agent> = overlay.agents.drain(1..).collect();
    for agent in agents {
        agent.stop(Signal::SIGTERM)?;
    }
    let _c = Agent::up(&net, 2, &["--vip", "7.10.0.3"])?;
    let _b = Agent::up(&net, 1, &["--vip", "7.10.0.4"])?;

    let mut a = overlay.agents.remove(0);
    for vip in ["7.10.0.3", "7.10.0.4"] {
        a.host().agent(&["send", vip, "for another"])?.exits(4)?.says(&["trust accept", vip])?;
    }
    let log = a.process().stderr()?;
    ensure!(log.contains("7.10.0.3 belongs to the key"), "{log}");
    Ok(())
}

#[test]
fn an_agent_keeps_its_key_in_a_file_of_its_own() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let _hub = Hub::start(&net, &[])?;
    let agent = Agent::up(&net, 0, &[])?;
    let before = fingerprint(agent.host())?;

    let agent = restart(&net, 0, agent, &[])?;

    ensure!(fingerprint(agent.host())? == before, "another key than {before}");
    let mode = fs::metadata(key_file(agent.host()))?.permissions().mode() & 0o7777;
    ensure!(mode == 0o600, "the mode is {mode:o}");
    Ok(())
}

#[test]
fn what_is_known_of_peers_survives_a_restart() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;
    let a = Agent::up(&net, 0, &[])?;
    let b = Agent::up(&net, 1, &[])?;
    say(a.host(), &b.vip, "hello")?;
    let a = restart(&net, 0, a, &[])?;
    let b = with_another_key(&net, b)?;

    a.host().agent(&["send", &b.vip, "hello"])?.exits(4)?.says(&["trust accept"])?;
    Ok(())
}

#[test]
fn a_second_agent_with_the_same_state_is_refused() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let _hub = Hub::start(&net, &[])?;
    let _first = Agent::up(&net, 0, &[])?;
    let socket = net.dir().join("second.sock").display().to_string();

    let args = ["up", "198.18.0.1", "--socket", &socket, "--tun", "dosp1"];
    let host = &net.hosts[0];
    let mut command = host.agent_command()?;
    command.drain(1..3); // its own socket
    command.extend(args.map(str::to_owned));
    let output = host.ns.sh(&command.join(" "))?.exits(1)?;

    output.says(&["another agent uses the state folder", "\nhint: ", "--state"])?;
    Ok(())
}

#[test]
fn a_key_that_others_can_read_is_refused_with_what_to_do() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let _hub = Hub::start(&net, &[])?;
    Agent::up(&net, 0, &[])?.stop(Signal::SIGTERM)?;
    let host = &net.hosts[0];
    let key = key_file(host);
    fs::set_permissions(&key, Permissions::from_mode(0o644))?;

    let output = host.agent(&["up", "198.18.0.1"])?.exits(1)?;

    output.says(&["0644", &format!("\nhint: chmod 600 {}", key.display())])?;
    fs::set_permissions(&key, Permissions::from_mode(0o600))?;
    Agent::up(&net, 0, &[])?;
    Ok(())
}

/// The agent of host 1, started again at its vIP after its key was lost.
fn with_another_key(net: &std::sync::Arc<Net>, agent: Agent) -> Result<Agent> {
    let (vip, before) = (agent.vip.clone(), fingerprint(agent.host())?);
    agent.stop(Signal::SIGTERM)?;
    fs::remove_file(key_file(&net.hosts[1]))?;
    let agent = Agent::up(net, 1, &["--vip", &vip])?;
    ensure!(fingerprint(agent.host())? != before, "the same key again");
    Ok(agent)
}

fn key_file(host: &Host) -> PathBuf {
    host.state().join("networks").join(format!("{}:7744", host.hub_address)).join("key")
}
