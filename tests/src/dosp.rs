//! The programs under test: a hub, agents, the two together.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

pub use crate::binaries::{binary, workspace};
use crate::clocks::JumpingClock;
use crate::netns::{HUB_NAME, Host, Namespace, Net};
use crate::process::{Output, Process};
use crate::wait::{wait_for, wait_until};

/// A hub or an agent on this machine is ready within that, also when all cores are busy.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// Joining again after an outage: back-off of at most 4 s, the greeting, the old vIP by asking.
pub const RETURN_TIMEOUT: Duration = Duration::from_secs(40);

/// An agent that ends by itself does so within that, counted from its start.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// A running `dosp-server`, in the middle of a [`Net`].
#[derive(Debug)]
pub struct Hub {
    net: Arc<Net>,
    config: String,
    args: Vec<String>,
    process: Process,
}

impl Hub {
    /// Starts a hub on the default port with further arguments, and waits until it listens.
    pub fn start(net: &Arc<Net>, args: &[&str]) -> Result<Self> {
        Self::start_configured(net, "", args)
    }

    /// As above, with a configuration file of this text.
    pub fn start_configured(net: &Arc<Net>, config: &str, args: &[&str]) -> Result<Self> {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let process = Self::spawn(net, config, &args)?;
        Ok(Self { net: Arc::clone(net), config: config.to_owned(), args, process })
    }

    /// Makes a closed hub with `dosp-server init`, and starts it.
    pub fn closed(net: &Arc<Net>) -> Result<Self> {
        Self::closed_with(net, "10.77.1.0/24")
    }

    /// As above, with another network.
    pub fn closed_with(net: &Arc<Net>, network: &str) -> Result<Self> {
        let config = net.dir().join("server.toml");
        let (file, state) = (config.display().to_string(), Self::state(net).display().to_string());
        let given = ["--config", &file, "--state", &state, "--network", network];
        let args = [&["init", "--force", "--advertise", HUB_NAME][..], &given].concat();
        let made = net.hub.spawn("dosp-server-init", &binary("dosp-server")?, &args)?;
        made.output(Duration::from_secs(10))?.ok()?;
        let text = fs::read_to_string(&config).context("read what init wrote")?;
        Self::start_configured(net, &text, &[])
    }

    /// The state folder of a closed hub.
    #[must_use]
    pub fn state(net: &Net) -> PathBuf {
        net.dir().join("server.state")
    }

    /// A new join string.
    pub fn invite(&self, args: &[&str]) -> Result<String> {
        Ok(self.ask("invite", args)?.ok()?.stdout.trim().to_owned())
    }

    /// `dosp-server nodes --json`, its nodes.
    pub fn nodes(&self) -> Result<Vec<Value>> {
        let said = self.ask("nodes", &["--json"])?.ok()?.stdout;
        let mut list: Value = serde_json::from_str(&said).context(said)?;
        Ok(list["nodes"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    fn spawn(net: &Net, config: &str, args: &[String]) -> Result<Process> {
        let mut process = Self::begin(net, config, args)?;
        wait_until("the hub listens", READY_TIMEOUT, || {
            ensure!(process.is_running()?, "the hub ended: {}", process.stderr()?);
            Ok(process.stderr()?.contains("listening"))
        })?;
        Ok(process)
    }

    fn begin(net: &Net, config: &str, args: &[String]) -> Result<Process> {
        let config = write_file(net.dir(), "server.toml", config)?;
        let socket = Self::socket(net);
        let mut all = vec!["run", "--config", &config, "--socket", &socket, "--log", "debug"];
        all.extend(args.iter().map(String::as_str));
        Ok(net.hub.spawn("dosp-server", &binary("dosp-server")?, &all)?.shown_on_drop())
    }

    /// Its local socket.
    #[must_use]
    pub fn socket(net: &Net) -> String {
        net.dir().join("server.sock").display().to_string()
    }

    /// Runs `dosp-server COMMAND ARGS`, which asks it over its local socket, to its end.
    pub fn ask(&self, command: &str, args: &[&str]) -> Result<Output> {
        let socket = Self::socket(&self.net);
        let all = [&["--socket", &socket, command], args].concat();
        let program = binary("dosp-server")?;
        let process = self.net.hub.spawn(&format!("dosp-server-{command}"), &program, &all)?;
        process.output(Duration::from_secs(10))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// SIGTERM, and waits until it is gone.
    pub fn terminate(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        wait_until("the hub ends", Duration::from_secs(10), || Ok(!self.process.is_running()?))
    }

    /// Starts it again, as it was started first.
    pub fn start_again(&mut self) -> Result<()> {
        self.process = Self::spawn(&self.net, &self.config, &self.args)?;
        Ok(())
    }

    /// As above, and does not wait until it listens.
    pub fn begin_again(&mut self) -> Result<()> {
        self.process = Self::begin(&self.net, &self.config, &self.args)?;
        Ok(())
    }

    /// Ends it with a signal and gives back what it left.
    pub fn stop(self, signal: Signal) -> Result<Output> {
        self.process.signal(signal)?;
        self.process.output(Duration::from_secs(10))
    }

    /// Its log so far.
    pub fn log(&self) -> Result<String> {
        self.process.stderr()
    }

    /// Drops every DoSP packet at the hub, both ways and silently.
    pub fn cut(&self) -> Result<()> {
        for (hook, port) in [("input", "dport"), ("output", "sport")] {
            let chain = format!("type filter hook {hook} priority 0; tcp {port} 7744 drop;");
            let table = format!("table inet cut {{ chain {hook} {{ {chain} }}; }}");
            self.net.hub.sh(&format!("nft '{table}'"))?.ok()?;
        }
        Ok(())
    }

    /// Undoes [`Hub::cut`].
    pub fn mend(&self) -> Result<()> {
        self.net.hub.sh("nft delete table inet cut")?.ok()?;
        Ok(())
    }
}

/// A running `dosp-agent up`.
#[derive(Debug)]
pub struct Agent {
    net: Arc<Net>,
    host: usize,
    process: Process,
    /// Its vIP when it had come up.
    pub vip: String,
}

impl Agent {
    /// Brings up an agent on host number `host` with further arguments, and waits until it is up.
    pub fn up(net: &Arc<Net>, host: usize, args: &[&str]) -> Result<Self> {
        Self::start(net, host, &[&["up", &net.hosts[host].hub_address], args].concat())
    }

    /// As above, in the network that the host has joined.
    pub fn up_joined(net: &Arc<Net>, host: usize, args: &[&str]) -> Result<Self> {
        Self::start(net, host, &[&["up"], args].concat())
    }

    /// As above, with this clock.
    pub fn up_with_clock(net: &Arc<Net>, host: usize, clock: &JumpingClock) -> Result<Self> {
        let this = &net.hosts[host];
        let command = this.agent_command()?.join(" ");
        let script = format!("{}; exec {command} up", clock.export());
        Self::wait(net, host, this.ns.spawn_sh(&script)?)
    }

    fn start(net: &Arc<Net>, host: usize, args: &[&str]) -> Result<Self> {
        Self::wait(net, host, net.hosts[host].spawn_agent(args)?)
    }

    fn wait(net: &Arc<Net>, host: usize, process: Process) -> Result<Self> {
        let this = &net.hosts[host];
        let mut process = process.shown_on_drop();
        let vip = wait_for("the agent is up", READY_TIMEOUT, || {
            ensure!(process.is_running()?, "the agent ended: {}", process.stderr()?);
            Ok(this.vip_if_up())
        })?;
        Ok(Self { net: Arc::clone(net), host, process, vip })
    }

    /// The host it runs on.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.net.hosts[self.host]
    }

    /// Where its host's programs run.
    #[must_use]
    pub fn ns(&self) -> &Namespace {
        &self.host().ns
    }

    /// The process of `dosp-agent up`.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it with a signal and gives back what it left.
    pub fn stop(self, signal: Signal) -> Result<Output> {
        self.process.signal(signal)?;
        self.process.output(Duration::from_secs(10))
    }

    /// Waits until it ends by itself, and gives back what it left.
    pub fn ended(self) -> Result<Output> {
        self.process.output(END_TIMEOUT)
    }

    /// Three echoes to `vip`, all answered.
    pub fn ping(&self, vip: &str) -> Result<()> {
        let output = self.ns().sh(&format!("ping -n -c 3 -i 0.2 -W 3 {vip}"))?.ok()?;
        ensure!(output.stdout.contains(" 0% packet loss"), "echoes were lost: {output}");
        Ok(())
    }

    /// Whether `vip` answers one echo within a second.
    pub fn reaches(&self, vip: &str) -> Result<bool> {
        Ok(self.ns().sh(&format!("ping -n -c 1 -W 1 {vip}"))?.code == Some(0))
    }

    /// Waits until the agent is up again and has the vIP that it had at first.
    pub fn wait_until_back(&self, within: Duration) -> Result<()> {
        wait_until("the agent is back with its vIP", within, || {
            Ok(self.host().vip_if_up().as_ref() == Some(&self.vip))
        })
    }

    /// Waits until the agent says that it is no longer up.
    pub fn wait_until_lost(&self, within: Duration) -> Result<()> {
        wait_until("the agent notices", within, || Ok(self.host().vip_if_up().is_none()))
    }

    /// How often its link was lost or made anew since it came up.
    pub fn num_reconnects(&self) -> Result<u64> {
        self.host().status()?["reconnects"].as_u64().context("status has `reconnects`")
    }

    /// The sum of all its drop counters whose reason contains `word`.
    pub fn dropped(&self, word: &str) -> Result<u64> {
        let status = self.host().status()?;
        let dropped = status["dropped"].as_object().context("status has `dropped`")?;
        Ok(dropped.iter().filter(|(k, _)| k.contains(word)).filter_map(|(_, n)| n.as_u64()).sum())
    }
}

impl Host {
    /// The beginning of every command line of the agent on this host.
    pub fn agent_command(&self) -> Result<Vec<String>> {
        let dir = self.ns.dir();
        let socket = dir.join(format!("{}.sock", self.address));
        // What is in `/etc/dosp` is not the test's.
        let config = write_file(dir, "agent.toml", "")?;
        let program = binary("dosp-agent")?.display().to_string();
        let socket = socket.display().to_string();
        let state = self.state().display().to_string();
        let args = [&program, "--socket", &socket, "--config", &config, "--state", &state];
        Ok(args.map(str::to_owned).to_vec())
    }

    /// The state folder of this host's agent.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.ns.dir().join(format!("{}.state", self.address))
    }

    /// Starts `dosp-agent ARGS`.
    pub fn spawn_agent(&self, args: &[&str]) -> Result<Process> {
        let command = self.agent_command()?;
        let (program, first) = command.split_first().context("a program")?;
        let mut all: Vec<&str> = first.iter().map(String::as_str).collect();
        all.extend(args);
        self.ns.spawn(&format!("dosp-agent-{}", args[0]), Path::new(program), &all)
    }

    /// Runs `dosp-agent ARGS` to its end, whatever its exit code.
    pub fn agent(&self, args: &[&str]) -> Result<Output> {
        let mut output = self.spawn_agent(args)?.output(Duration::from_secs(40))?;
        output.command = format!("dosp-agent {}", args.join(" "));
        Ok(output)
    }

    /// Runs `dosp-agent join` with a join string.
    pub fn join(&self, join_string: &str) -> Result<()> {
        self.agent(&["join", join_string])?.ok()?;
        Ok(())
    }

    /// Its `/etc/hosts`.
    pub fn names(&self) -> Result<String> {
        fs::read_to_string(self.ns.hosts_file()).context("read the names of a host")
    }

    /// `dosp-agent status --json`.
    pub fn status(&self) -> Result<Value> {
        let output = self.agent(&["status", "--json"])?.ok()?;
        serde_json::from_str(&output.stdout).with_context(|| output.stdout)
    }

    /// The vIP, while there is an agent and it is up.
    #[must_use]
    pub fn vip_if_up(&self) -> Option<String> {
        let status = self.status().ok()?;
        (status["state"] == "up").then(|| status["vip"].as_str().unwrap_or_default().to_owned())
    }
}

/// A hub and agents that have all joined: agent i runs on host i and has vIP 7.10.0.(2 + i).
#[derive(Debug)]
pub struct Overlay {
    /// The agents.
    pub agents: Vec<Agent>,
    /// The hub.
    pub hub: Hub,
    /// The hosts.
    pub net: Arc<Net>,
}

impl Overlay {
    /// A hub and `num_agents` agents on hosts of their own.
    pub fn start(num_agents: usize) -> Result<Self> {
        let net = Net::star(num_agents)?;
        let hub = Hub::start(&net, &[])?;
        let agents =
            (0..num_agents).map(|i| Agent::up(&net, i, &[])).collect::<Result<Vec<_>>>()?;
        Ok(Self { agents, hub, net })
    }

    /// The first two agents.
    #[must_use]
    pub fn pair(&self) -> (&Agent, &Agent) {
        (&self.agents[0], &self.agents[1])
    }
}

fn write_file(dir: &Path, name: &str, text: &str) -> Result<String> {
    let path = dir.join(name);
    fs::write(&path, text).with_context(|| format!("write {path:?}"))?;
    Ok(path.display().to_string())
}
