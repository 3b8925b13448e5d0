//! Network namespaces: one is a host; a [`Net`] is a star of hosts around a hub.
//!
//! ```text
//! host 0  198.18.0.2 ─ veth ─ 198.18.0.1 ┐
//! host 1  198.18.1.2 ─ veth ─ 198.18.1.1 ┤ hub (does not forward)
//! host 2  198.18.2.2 ─ veth ─ 198.18.2.1 ┘
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::process::{Output, Process};
use crate::wait::wait_until;

/// A command that a test waits for takes no longer than this.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// What every host calls the hub.
pub const HUB_NAME: &str = "hub.example.org";

/// A network namespace, with files of its own instead of some of `/etc`. Removed on drop.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    dir: PathBuf,
}

impl Namespace {
    /// Makes a namespace with a loopback that is up; output of its processes goes to `dir`.
    pub fn new(dir: &Path) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("dosp-{}-{count}", std::process::id());
        ip(&format!("netns add {name}"))?;
        let namespace = Self { name, dir: dir.to_owned() };
        namespace.write_etc()?;
        namespace.sh("ip link set lo up && echo 0 >/proc/sys/net/ipv4/ip_forward")?.ok()?;
        Ok(namespace)
    }

    /// `ip netns exec` lays these files over those of `/etc`: names are refused at once instead of
    /// after a time-out, root may log in over ssh also where its account is locked, and the names that
    /// agents write stay here.
    fn write_etc(&self) -> Result<()> {
        let etc = self.etc();
        fs::create_dir_all(&etc).with_context(|| format!("create {etc:?}"))?;
        for (file, text) in [
            ("resolv.conf", "nameserver 127.0.0.1\n"),
            ("hosts", "127.0.0.1 localhost\n"),
            ("shadow", "root:*:20000:0:99999:7:::\nsshd:*:20000::::::\n"),
        ] {
            fs::write(etc.join(file), text).with_context(|| format!("write {file}"))?;
        }
        Ok(())
    }

    /// What its processes see as `/etc/hosts`.
    #[must_use]
    pub fn hosts_file(&self) -> PathBuf {
        self.etc().join("hosts")
    }

    fn etc(&self) -> PathBuf {
        Path::new("/etc/netns").join(&self.name)
    }

    /// The file that stands for it, to be entered.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Where files of its processes go.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `program` in this namespace; ends with the test, whatever becomes of the test.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "setpriv", "--pdeathsig", "KILL"]).arg(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DOSP_") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C.UTF-8");
        command
    }

    /// Starts a program that goes on running.
    pub fn spawn(&self, name: &str, program: &Path, args: &[&str]) -> Result<Process> {
        let mut command = self.command(program);
        command.args(args);
        Process::spawn(&self.dir, name, command)
    }

    /// Starts a line of shell that goes on running.
    pub fn spawn_sh(&self, script: &str) -> Result<Process> {
        self.spawn("bash", Path::new("bash"), &["-c", script])
    }

    /// Runs a line of shell to its end, whatever its exit code.
    pub fn sh(&self, script: &str) -> Result<Output> {
        let mut output =
            self.spawn_sh(script)?.output(COMMAND_TIMEOUT).context(script.to_owned())?;
        script.clone_into(&mut output.command);
        Ok(output)
    }

    /// Whether an interface of that name exists.
    pub fn has_link(&self, name: &str) -> Result<bool> {
        Ok(self.sh(&format!("ip link show dev {name}"))?.code == Some(0))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.name) {
            eprintln!("namespace {} was not removed: {error:#}", self.name);
        }
    }
}

/// One host of a [`Net`].
#[derive(Debug)]
pub struct Host {
    /// Where its programs run.
    pub ns: Namespace,
    /// Its address.
    pub address: String,
    /// The hub's address as this host sees it.
    pub hub_address: String,
}

/// A hub and hosts that reach the hub and, without an overlay, nobody else.
#[derive(Debug)]
pub struct Net {
    /// Where the hub runs.
    pub hub: Namespace,
    /// The others.
    pub hosts: Vec<Host>,
    dir: TempDir,
}

impl Net {
    /// A hub and `num_hosts` hosts.
    pub fn star(num_hosts: usize) -> Result<Arc<Self>> {
        remove_orphans()?;
        let dir = TempDir::with_prefix("dosp-tests-").context("make a directory")?;
        let hub = Namespace::new(dir.path())?;
        let hosts = (0..num_hosts).map(|i| host(&hub, i, dir.path())).collect::<Result<_>>()?;
        Ok(Arc::new(Self { hub, hosts, dir }))
    }

    /// A directory for the files of this test.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

fn host(hub: &Namespace, i: usize, dir: &Path) -> Result<Host> {
    let ns = Namespace::new(dir)?;
    let (address, hub_address) = (format!("198.18.{i}.2"), format!("198.18.{i}.1"));
    ip(&format!("link add host{i} netns {} type veth peer name up0 netns {}", hub.name, ns.name))?;
    hub.sh(&format!("ip addr add {hub_address}/24 dev host{i} && ip link set host{i} up"))?.ok()?;
    ns.sh(&format!(
        "ip addr add {address}/24 dev up0 && ip link set up0 up &&
         ip route add default via {hub_address}"
    ))?
    .ok()?;
    let hosts = format!("127.0.0.1 localhost\n{hub_address} {HUB_NAME}\n");
    fs::write(ns.hosts_file(), hosts).context("write the hub's name")?;
    Ok(Host { ns, address, hub_address })
}

/// Lays a cable of this name between two namespaces, each with its address on it.
pub fn connect(name: &str, ends: [(&Namespace, &str); 2]) -> Result<()> {
    let [(a, _), (b, _)] = ends;
    ip(&format!("link add {name} netns {} type veth peer name {name} netns {}", a.name, b.name))?;
    for (namespace, address) in ends {
        let script = format!("ip addr add {address}/24 dev {name} && ip link set {name} up");
        namespace.sh(&script)?.ok()?;
    }
    Ok(())
}

fn ip(arguments: &str) -> Result<String> {
    let output =
        Command::new("ip").args(arguments.split_whitespace()).output().context("run ip")?;
    if !output.status.success() {
        bail!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Ends what runs in the namespace, by process id, and removes it.
fn remove(name: &str) -> Result<()> {
    wait_until("the end of all processes of a namespace", Duration::from_secs(10), || {
        let pids = ip(&format!("netns pids {name}"))?;
        for pid in pids.split_whitespace() {
            let pid = Pid::from_raw(pid.parse().context("a process id")?);
            kill(pid, Signal::SIGKILL).unwrap_or_default(); // it may have ended meanwhile
        }
        Ok(pids.trim().is_empty())
    })?;
    drop(fs::remove_dir_all(Path::new("/etc/netns").join(name)));
    ip(&format!("netns del {name}"))?;
    Ok(())
}

/// Removes the namespaces of test processes that were killed.
fn remove_orphans() -> Result<()> {
    let Ok(names) = fs::read_dir("/run/netns") else {
        return Ok(());
    };
    for name in names {
        let name = name.context("list /run/netns")?.file_name().to_string_lossy().into_owned();
        let mut parts = name.split('-');
        let (Some("dosp"), Some(pid)) = (parts.next(), parts.next()) else { continue };
        if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() {
            drop(remove(&name)); // another test may be doing the same
        }
    }
    Ok(())
}
