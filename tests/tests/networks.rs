//! Several networks on one host, `wait`, and what a killed agent leaves behind.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_tests::{Agent, Hub, Net, Output, Process, dosp, needs_root, wait_until};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn two_networks_on_one_host_share_nothing() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let hubs = [
        closed_hub(&net, "work", "0.0.0.0:7744", "10.20.30.0/24")?,
        closed_hub(&net, "home", "0.0.0.0:7745", "10.40.50.0/24")?,
    ];
    let host = DefaultPlaces::new(&net)?;
    let networks = [("work", "10.20.30"), ("home", "10.40.50")];

    for ((name, _), hub) in networks.iter().zip(&hubs) {
        let up = format!("'dosp-agent --network {name} up'");
        host.agent(name, &["join", &hub.join_string])?.ok()?.says(&[&up])?;
        host.agent(name, &["up", "--detach", "--name", name])?.ok()?;
    }

    for (name, prefix) in networks {
        let status = host.agent(name, &["status", "--json"])?.ok()?.stdout;
        let status: Value = serde_json::from_str(&status).context(status)?;
        ensure!(status["state"] == "up" && status["vip"] == format!("{prefix}.2"), "{status}");
        ensure!(status["tun"] == format!("dosp-{name}"), "{status}");
        net.hosts[0].ns.sh(&format!("ping -n -c 1 -W 3 {prefix}.1"))?.ok()?;
    }
    wait_until("both blocks of names are there", SOON, || {
        let names = net.hosts[0].names()?;
        Ok(networks.iter().all(|(name, _)| names.contains(&format!("# BEGIN dosp dosp-{name}:"))))
    })?;

    host.agent("work", &["down"])?.ok()?;

    let status = host.agent("home", &["status", "--json"])?.ok()?.stdout;
    ensure!(status.contains("\"state\":\"up\""), "{status}");
    net.hosts[0].ns.sh("ping -n -c 1 -W 3 10.40.50.1")?.ok()?;
    let ns = &net.hosts[0].ns;
    ensure!(!ns.has_link("dosp-work")? && ns.has_link("dosp-home")?, "the wrong interface is gone");
    let names = net.hosts[0].names()?;
    ensure!(!names.contains("dosp-work") && names.contains("# END dosp dosp-home"), "{names}");
    host.agent("work", &["status"])?.exits(3)?.says(&[
        "/run/dosp/agent-work.sock",
        "hint: start one with 'dosp-agent --network work up'",
    ])?;
    host.agent("home", &["down"])?.ok()?;
    Ok(())
}

#[test]
fn name_of_a_network_is_checked_and_may_come_from_the_environment() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let agent = dosp::binary("dosp-agent")?;
    let (agent, ns) = (agent.display(), &net.hosts[0].ns);

    let refused = ns.sh(&format!("{agent} --network ../etc status"))?.exits(2)?;
    refused.says(&["--network", "1 to 10 characters"])?;
    let elsewhere =
        ns.sh(&format!("DOSP_NETWORK=t-{} {agent} status", std::process::id() % 1000))?;
    elsewhere.exits(3)?.says(&["/run/dosp/agent-t-"])?;
    Ok(())
}

#[test]
fn wait_ends_when_the_network_is_up_and_says_why_not() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let host = &net.hosts[0];
    let short = ["wait", "--timeout", "300ms"];
    host.agent(&short)?.exits(8)?.says(&["not up within 300ms: no agent answers on ", "hint: "])?;
    let mut hub = Hub::start(&net, &[])?;

    let early = host.spawn_agent(&["wait"])?;
    let agent = Agent::up(&net, 0, &[])?;
    early.output(SOON)?.ok()?;
    host.agent(&short)?.ok()?;

    hub.kill()?;
    agent.wait_until_lost(SOON)?;
    host.agent(&short)?.exits(8)?.says(&["not up within 300ms: the agent is connecting: "])?;
    let mut late = host.spawn_agent(&["wait", "--timeout", "2m"])?;
    ensure!(late.is_running()?, "it does not wait");
    hub.start_again()?;
    late.output(dosp::RETURN_TIMEOUT)?.ok()?;
    ensure!(host.vip_if_up().is_some(), "waited, and the network is not up");
    Ok(())
}

#[test]
fn those_who_wait_and_go_leave_room_for_others() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let mut hub = Hub::start(&net, &[])?;
    let agent = Agent::up(&net, 0, &[])?;
    hub.kill()?;
    agent.wait_until_lost(SOON)?;

    // More than are served at once.
    let socket = net.hosts[0].agent_command()?[2].clone();
    for _ in 0..80 {
        let mut stream = UnixStream::connect(&socket)?;
        stream.write_all(b"{\"request\":\"wait\"}\n")?;
    }

    net.hosts[0].status()?;
    Ok(())
}

#[test]
fn agent_that_was_killed_starts_again_over_what_it_left() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let hub = Hub::closed(&net)?;
    let host = &net.hosts[0];
    host.join(&hub.invite(&["--name", "alice"])?)?;
    let mut agent = Agent::up_joined(&net, 0, &[])?;
    let vip = agent.vip.clone();
    wait_until("its names are there", SOON, || Ok(host.names()?.contains("# BEGIN dosp dosp0")))?;

    agent.process().kill()?;

    wait_until("the kernel has removed the TUN", SOON, || Ok(!host.ns.has_link("dosp0")?))?;
    let socket = host.agent_command()?[2].clone();
    ensure!(fs::exists(&socket)?, "the socket file is not what a kill leaves");
    ensure!(host.names()?.contains("# BEGIN dosp dosp0"), "names are not what a kill leaves");
    host.agent(&["status"])?.exits(3)?;
    let again = Agent::up_joined(&net, 0, &[])?;
    ensure!(again.vip == vip, "another vIP: {}", again.vip);
    again.ping("10.77.1.1")?;
    wait_until("its names are there again", SOON, || {
        Ok(host.names()?.matches("# BEGIN dosp dosp0").count() == 1)
    })?;
    host.agent(&["down"])?.ok()?;
    ensure!(!host.names()?.contains("dosp0") && !fs::exists(&socket)?, "something is left");
    Ok(())
}

/// A closed hub beside others on its host.
struct ClosedHub {
    join_string: String,
    _process: Process,
}

fn closed_hub(net: &Net, name: &str, listen: &str, network: &str) -> Result<ClosedHub> {
    let [config, state, socket] = ["toml", "state", "sock"]
        .map(|kind| net.dir().join(format!("hub-{name}.{kind}")).display().to_string());
    let program = dosp::binary("dosp-server")?.display().to_string();
    let port = listen.rsplit(':').next().context("a port")?;
    let init = format!(
        "{program} init --force --advertise 198.18.0.1:{port} --config {config} --state {state} \\
         --network {network}"
    );
    net.hub.sh(&init)?.ok()?;
    let at = format!("--config {config} --socket {socket}");
    let process = net.hub.spawn_sh(&format!("exec {program} run {at} --listen {listen}"))?;
    wait_until("the hub listens", SOON, || Ok(process.stderr()?.contains("listening")))?;
    let invited = net.hub.sh(&format!("{program} {at} invite"))?.ok()?;
    Ok(ClosedHub { join_string: invited.stdout.trim().to_owned(), _process: process })
}

/// The first host, where `/run` and `/var/lib` are the test's own.
struct DefaultPlaces {
    net: Arc<Net>,
    holder: Process,
}

impl DefaultPlaces {
    fn new(net: &Arc<Net>) -> Result<Self> {
        let script = "mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib && echo ready && \\
                      exec sleep 600";
        let holder = net.hosts[0].ns.spawn_sh(script)?;
        wait_until("the folders are there", SOON, || Ok(holder.stdout()? == "ready\n"))?;
        Ok(Self { net: Arc::clone(net), holder })
    }

    /// Runs `dosp-agent --network NETWORK ARGS` there.
    fn agent(&self, network: &str, args: &[&str]) -> Result<Output> {
        let pid = self.holder.pid().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &pid, "--mount", "--net", "--"]);
        command.arg(dosp::binary("dosp-agent")?).args(["--network", network]).args(args);
        let process = Process::spawn(self.net.dir(), "dosp-agent", command)?;
        process.output(Duration::from_secs(40))
    }
}
