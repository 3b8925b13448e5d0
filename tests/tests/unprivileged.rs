//! Without root: the commands, `up` with one capability, and `up` on a TUN that root has made.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use dosp_tests::netns::Namespace;
use dosp_tests::process::Output;
use dosp_tests::{Agent, Hub, Net, Overlay, Process, dosp, needs_root, wait_until};
use nix::sys::signal::Signal;
use tempfile::TempDir;

const SOON: std::time::Duration = std::time::Duration::from_secs(20);
const NOBODY: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all";
const NOBODY_WITH_NET_ADMIN: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups \
    --inh-caps=-all,+net_admin --ambient-caps=-all,+net_admin --bounding-set=-all,+net_admin";
/// Everybody may open it, as on most hosts.
const OPEN_DRIVER: &str =
    "mount -t tmpfs tmpfs /dev/net && mknod /dev/net/tun c 10 200 && chmod 666 /dev/net/tun";

#[test]
fn every_command_but_up_works_for_a_user() -> Result<()> {
    needs_root!();
    let Overlay { agents, hub: _hub, net } = Overlay::start(2)?;
    let user = User::new()?;
    let ns = &net.hosts[0].ns;
    let socket = net.hosts[0].agent_command()?[2].clone();
    fs::set_permissions(net.dir(), fs::Permissions::from_mode(0o755))?;

    user.runs(ns, &format!("--socket {socket} status"))?.exits(77)?.says(&["the group dosp"])?;
    ns.sh(&format!("chgrp 65534 {socket}"))?.ok()?;
    for command in ["status", "peers", "ip", "wait", "trust", "clients", "send hub hello"] {
        user.runs(ns, &format!("--socket {socket} {command}"))?.ok()?;
    }
    user.runs(ns, &format!("--socket {socket} ping -c 1 {}", agents[1].vip))?.ok()?;

    for command in ["clients", "info", "send hub hello"] {
        user.runs(ns, &format!("{command} --hub 198.18.0.1"))?.ok()?;
    }
    let to = &agents[1].vip;
    user.runs(ns, &format!("ping -c 1 {to} --hub 198.18.0.1"))?.ok()?;
    user.runs(ns, &format!("send {to} hello --hub 198.18.0.1"))?.ok()?;
    user.runs(ns, "down")?.exits(3)?;
    Ok(())
}

#[test]
fn up_needs_no_more_than_cap_net_admin() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let hub = Hub::closed(&net)?;
    let user = User::new()?;
    let ns = &net.hosts[0].ns;
    net.hosts[1].join(&hub.invite(&["--name", "bob"])?)?;
    let bob = Agent::up_joined(&net, 1, &[])?;
    user.runs(ns, &format!("join {}", hub.invite(&["--name", "alice"])?))?.ok()?;

    let agent = user.starts(ns, NOBODY_WITH_NET_ADMIN, "up")?;

    user.runs(ns, "wait")?.ok()?;
    ns.sh(&format!("ping -n -c 1 -W 5 {}", bob.vip))?.ok()?;
    // A name is the agent's to say, also where it may not write it down for others.
    user.runs(ns, "ping -c 1 bob")?.ok()?;
    wait_until("it says that it may not write the names", SOON, || {
        Ok(agent.stderr()?.contains("/etc/hosts has no names of peers"))
    })?;
    user.runs(ns, "down")?.ok()?;
    agent.output(SOON)?.ok()?;
    ensure!(!ns.has_link("dosp0")?, "the TUN is still there");
    Ok(())
}

#[test]
fn up_needs_no_capability_on_a_tun_that_root_has_made_for_the_user() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;
    let other = Agent::up(&net, 1, &[])?;
    let user = User::new()?;
    let ns = &net.hosts[0].ns;
    let up = "up 198.18.0.1 --tun made --vip 7.10.0.9";
    user.up(ns, NOBODY, up)?.exits(77)?.says(&["ip tuntap add dev NAME mode tun user"])?;
    ns.sh("ip tuntap add dev made mode tun user 65534")?.ok()?;

    // What is missing is what root is told to do, and nothing else.
    let missing = user.up(ns, NOBODY, up)?.exits(77)?;
    let wanted = "ip link set dev made mtu 1500 up && ip addr add 7.10.0.9/24 dev made\n";
    ensure!(missing.stderr.ends_with(&format!("\nhint: have root run: {wanted}")), "{missing}");
    ns.sh(wanted)?.ok()?;
    let other_mtu = user.up(ns, NOBODY, &format!("{up} --mtu 1400"))?.exits(77)?;
    ensure!(other_mtu.stderr.ends_with(": ip link set dev made mtu 1400 up\n"), "{other_mtu}");
    let agent = user.starts(ns, NOBODY, up)?;

    user.runs(ns, "wait")?.ok()?;
    let status = user.runs(ns, "status --json")?.ok()?.stdout;
    ensure!(status.contains("\"mtu\":1500"), "{status}");
    ns.sh(&format!("ping -n -c 3 -i 0.2 -W 5 {}", other.vip))?.ok()?;
    other.ping("7.10.0.9")?;
    let elsewhere = format!("--socket {0}/other --state {0}/other.state", user.dir());
    let second = user.up(ns, NOBODY, &format!("{elsewhere} {up}"))?.exits(2)?;
    second.says(&["the interface 'made' exists already"])?;
    agent.signal(Signal::SIGTERM)?;
    agent.output(SOON)?.ok()?;
    // It is root's, and so is what root has set there.
    let address = ns.sh("ip -o addr show dev made")?.ok()?.stdout;
    ensure!(address.contains("7.10.0.9/24"), "{address}");
    Ok(())
}

/// A folder of a user without rights, with the program in it.
struct User {
    dir: TempDir,
}

impl User {
    fn new() -> Result<Self> {
        let dir = TempDir::new()?; // the target folder may be private
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777))?;
        fs::copy(dosp::binary("dosp-agent")?, dir.path().join("dosp-agent"))?;
        Ok(Self { dir })
    }

    fn dir(&self) -> String {
        self.dir.path().display().to_string()
    }

    /// The program as whoever `privilege` says, with places of its own that `args` may overrule.
    fn line(&self, privilege: &str, args: &str) -> String {
        let dir = self.dir();
        let places = format!("DOSP_STATE={dir}/state DOSP_SOCKET={dir}/socket");
        format!("{places} exec {privilege} {dir}/dosp-agent {args}")
    }

    /// Any command, to its end.
    fn runs(&self, ns: &Namespace, args: &str) -> Result<Output> {
        ns.sh(&self.line(NOBODY, args))
    }

    /// `up` that is to fail.
    fn up(&self, ns: &Namespace, privilege: &str, args: &str) -> Result<Output> {
        ns.sh(&format!("{OPEN_DRIVER} && {}", self.line(privilege, args)))
    }

    fn starts(&self, ns: &Namespace, privilege: &str, args: &str) -> Result<Process> {
        let line = format!("{OPEN_DRIVER} && {}", self.line(privilege, args));
        Ok(ns.spawn_sh(&line)?.shown_on_drop())
    }
}
