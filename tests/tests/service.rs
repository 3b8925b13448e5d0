//! What both programs tell a service manager, and what SIGHUP does.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_tests::{Agent, Hub, Net, Process, Supervisor, dosp, needs_root, wait_until};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn hub_tells_that_it_listens_lives_reloads_and_stops() -> Result<()> {
    needs_root!();
    let net = Net::star(0)?;
    let manager = Supervisor::new(net.dir())?;
    let hub = start_hub(&net, "", |command| manager.supervised(command))?;

    manager.until("READY=1")?;
    net.hub.sh("exec 3<>/dev/tcp/127.0.0.1/7744")?.ok()?;
    manager.until("STATUS=0 clients")?;
    let client = net.hub.spawn_sh("exec 3<>/dev/tcp/127.0.0.1/7744; exec cat <&3")?;
    manager.until("STATUS=1 client")?;
    drop(client);
    stays_alive_reloads_and_stops(&manager, hub.process)
}

#[test]
fn agent_tells_that_it_answers_lives_reloads_and_stops() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let manager = Supervisor::new(net.dir())?;
    let _hub = Hub::start(&net, &[])?;
    let agent = start_agent(&net, "", |command| manager.supervised(command))?;

    manager.until("READY=1")?;
    ensure!(net.hosts[0].status()?["tun"] == "dosp0", "ready, and no answer");
    manager.until("STATUS=up as 7.10.0.2 through 198.18.0.1:7744")?;
    stays_alive_reloads_and_stops(&manager, agent.process)
}

fn stays_alive_reloads_and_stops(manager: &Supervisor, process: Process) -> Result<()> {
    for _ in 0..3 {
        manager.until("WATCHDOG=1")?;
    }
    process.signal(Signal::SIGHUP)?;
    let reloading = manager.until("RELOADING=1")?;
    let last = reloading.last().context("a message")?;
    let since = last.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    ensure!(since.is_some_and(|usec| usec.parse::<u64>().is_ok_and(|usec| usec > 0)), "{last:?}");
    manager.until("READY=1")?;
    manager.until("WATCHDOG=1")?;
    process.signal(Signal::SIGTERM)?;
    manager.until("STOPPING=1")?;
    process.output(SOON)?.ok()?;
    Ok(())
}

#[test]
fn hub_takes_up_what_it_can_and_names_the_rest() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let hub = start_hub(&net, "log = \"info\"\nmax_clients = 1\n", alone)?;
    wait_until("the hub listens", SOON, || Ok(hub.process.stderr()?.contains("listening")))?;
    let _first = Agent::up(&net, 0, &[])?;
    let call = ["call", "version", "--hub", "198.18.0.1"];
    net.hosts[0].agent(&call)?.exits(4)?;

    let tokens = net.dir().join("tokens");
    fs::write(&tokens, "0123456789abcdef\n")?;
    let files = format!("admin_token_file = \"{}\"\n", tokens.display());
    hub.reload(&format!(
        "log = \"info\"\nmax_clients = 2\nbuiltin_functions = true\nname = \"b\"\n{files}"
    ))?;
    hub.says("is open to others")?; // The tokens: so nothing has changed.
    net.hosts[0].agent(&call)?.exits(4)?;
    net.hub.sh(&format!("chmod 600 {}", tokens.display()))?.ok()?;
    hub.process.signal(Signal::SIGHUP)?;

    hub.says("the configuration was read again")?;
    hub.says("keys=\"name\"")?;
    net.hosts[0].agent(&call)?.ok()?;
    let stats = net.hub.sh(&format!("{} admin stats", hub_command(&net)?))?.ok()?.stdout;
    ensure!(stats.contains("Admin tokens configured: 1\n"), "{stats}");

    hub.reload("max_clents = 2\n")?;
    hub.says("unknown key")?;
    net.hosts[0].agent(&call)?.ok()?;
    Ok(())
}

#[test]
fn agent_takes_up_what_it_can_and_names_the_rest() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;
    let agent = start_agent(&net, "log = \"error\"\n", alone)?;
    let host = &net.hosts[0];
    wait_until("the agent is up", SOON, || Ok(host.vip_if_up().is_some()))?;
    let other = Agent::up(&net, 1, &[])?;
    let ping = ["ping", "-c", "1", &other.vip];

    agent.reload("log = \"info\"\nshields_up = true\ntrust = \"pinned\"\nmtu = 1300\n")?;

    agent.says("the configuration was read again")?;
    agent.says("keys=\"mtu\"")?;
    let status = host.status()?;
    ensure!(status["shields_up"] == true && status["mtu"] == 1420, "{status}");
    host.agent(&ping)?.exits(4)?;

    agent.reload("mtuu = 1300\n")?;
    agent.says("mtuu")?;
    agent.says("the configuration stays as it was")?;
    ensure!(host.status()?["shields_up"] == true, "a bad file has changed something");

    agent.reload("log = \"error\"\n")?;
    wait_until("the shields are down", SOON, || Ok(host.status()?["shields_up"] == false))?;
    host.agent(&ping)?.ok()?;
    Ok(())
}

/// A program with a configuration file of its own that changes.
struct Running {
    file: PathBuf,
    process: Process,
}

impl Running {
    fn reload(&self, config: &str) -> Result<()> {
        fs::write(&self.file, config)?;
        self.process.signal(Signal::SIGHUP)
    }

    fn says(&self, words: &str) -> Result<()> {
        wait_until(words, SOON, || Ok(self.process.stderr()?.contains(words)))
    }
}

fn start_hub(net: &Net, config: &str, under: impl Fn(&str) -> String) -> Result<Running> {
    let file = net.dir().join("hub.toml");
    fs::write(&file, config)?;
    let command = format!("{} run --config {}", hub_command(net)?, file.display());
    let process = net.hub.spawn_sh(&under(&command))?.shown_on_drop();
    Ok(Running { file, process })
}

fn hub_command(net: &Net) -> Result<String> {
    let socket = net.dir().join("hub.sock");
    Ok(format!("{} --socket {}", dosp::binary("dosp-server")?.display(), socket.display()))
}

/// On the first host.
fn start_agent(net: &Net, config: &str, under: impl Fn(&str) -> String) -> Result<Running> {
    let file = net.dir().join("reloaded.toml");
    fs::write(&file, config)?;
    let mut command = net.hosts[0].agent_command()?;
    command[4] = file.display().to_string();
    let command = format!("{} up 198.18.0.1:7744", command.join(" "));
    let process = net.hosts[0].ns.spawn_sh(&under(&command))?.shown_on_drop();
    Ok(Running { file, process })
}

/// Under no service manager.
fn alone(command: &str) -> String {
    format!("exec {command}")
}
