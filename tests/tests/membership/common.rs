//! What these tests share.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_tests::{Agent, Host, Hub, Net, Output, wait_until};

/// News of the directory have come everywhere within this.
pub(crate) const NEWS: Duration = Duration::from_secs(20);
/// What the members of [`Members`] are called.
pub(crate) const NAMES: [&str; 3] = ["alice", "bob", "carol"];

/// A closed hub whose members are up: alice on host 0, bob on host 1, carol on host 2.
pub(crate) struct Members {
    pub(crate) agents: Vec<Agent>,
    pub(crate) hub: Hub,
    pub(crate) net: Arc<Net>,
}

impl Members {
    pub(crate) fn start(num_agents: usize) -> Result<Self> {
        let net = Net::star(num_agents)?;
        let hub = Hub::closed(&net)?;
        let up = |i| {
            join_as(&hub, &net.hosts[i], NAMES[i])?;
            Agent::up_joined(&net, i, &[])
        };
        let agents = (0..num_agents).map(up).collect::<Result<_>>()?;
        Ok(Self { agents, hub, net })
    }

    pub(crate) fn pair(&self) -> (&Agent, &Agent) {
        (&self.agents[0], &self.agents[1])
    }
}

/// Invites a host under a name, and has it join; it is not up then.
pub(crate) fn join_as(hub: &Hub, host: &Host, name: &str) -> Result<()> {
    host.join(&hub.invite(&["--name", name])?)
}

/// Waits until `host` has the line of a member's name in its `/etc/hosts`.
pub(crate) fn wait_for_name(host: &Host, vip: &str, name: &str) -> Result<()> {
    let line = format!("{vip} {name}.dosp {name}");
    wait_until(&format!("'{line}' is there"), NEWS, || {
        Ok(host.names()?.lines().any(|there| there == line))
    })
    .with_context(|| host.names().unwrap_or_default())
}

/// Whether what `dosp-agent` said is an exit by refusal, one line with `words`, and a hint.
pub(crate) fn is_refused(output: Output, words: &[&str]) -> Result<()> {
    let output = output.exits(4)?.says(words)?;
    let lines: Vec<&str> =
        output.stderr.lines().skip_while(|line| !line.starts_with("dosp-agent: ")).collect();
    let is_clear = lines.len() == 2 && lines[1].starts_with("hint: ");
    ensure!(is_clear, "not one line and a hint: {output}");
    Ok(())
}

/// A copy of a folder with all its files.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from).with_context(|| format!("list {from:?}"))? {
        let path = entry?.path();
        let copy = to.join(path.file_name().context("a name")?);
        if path.is_dir() {
            copy_folder(&path, &copy)?;
        } else {
            fs::copy(&path, &copy)?;
        }
    }
    Ok(())
}
