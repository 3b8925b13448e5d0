//! `dosp-agent up` where it cannot come up: the exit code, one clear line and a hint.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Result, ensure};
use dosp_tests::{Agent, Host, Hub, Net, Output, dosp, needs_root, wait_until};
use nix::sys::signal::Signal;

#[test]
fn a_hub_whose_name_does_not_resolve_is_unreachable() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;

    let output = net.hosts[0].agent(&["up", "no-such-hub.invalid"])?.exits(3)?;

    is_clear(output, &["no-such-hub.invalid"], &net.hosts[0])
}

#[test]
fn a_hub_that_refuses_the_connection_is_unreachable() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;

    let output = net.hosts[0].agent(&["up", "198.18.0.1:7"])?.exits(3)?;

    ensure!(output.took < Duration::from_secs(5), "{output}");
    is_clear(output, &["198.18.0.1:7"], &net.hosts[0])
}

#[test]
fn a_hub_that_answers_nothing_is_unreachable() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let hub = Hub::start(&net, &[])?;
    hub.cut()?;

    let output = net.hosts[0].agent(&["up", "198.18.0.1"])?.exits(3)?;

    is_clear(output, &["198.18.0.1"], &net.hosts[0])
}

#[test]
fn something_that_is_not_a_hub_is_refused() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let server = "import socket
server = socket.create_server((\"\", 7744))
print(\"ready\", flush=True)
while True: server.accept()[0].sendall(b\"SSH-2.0-OpenSSH_9.2\\r\\n\")";
    let server = net.hub.spawn_sh(&format!("exec python3 -c '{server}'"))?;
    wait_until("the server is ready", Duration::from_secs(10), || {
        Ok(server.stdout()?.contains("ready"))
    })?;

    let output = net.hosts[0].agent(&["up", "198.18.0.1"])?;

    ensure!(matches!(output.code, Some(1 | 3)), "{output}");
    is_clear(output, &["198.18.0.1"], &net.hosts[0])
}

#[test]
fn without_privilege_up_says_so_and_exits_with_77() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let _hub = Hub::start(&net, &[])?;
    let dir = tempfile::tempdir()?; // everybody may enter it: the target folder may be private
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777))?;
    let agent = dir.path().join("dosp-agent");
    fs::copy(dosp::binary("dosp-agent")?, &agent)?;

    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
                  --bounding-set=-all";
    let socket = dir.path().join("socket");
    let (agent, socket) = (agent.display(), socket.display());
    let output =
        net.hosts[0].ns.sh(&format!("{nobody} {agent} --socket {socket} up 198.18.0.1"))?;

    is_clear(output.exits(77)?, &["root"], &net.hosts[0])
}

#[test]
fn without_dev_net_tun_up_says_so() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let _hub = Hub::start(&net, &[])?;

    let agent = net.hosts[0].agent_command()?.join(" ");
    let output = net.hosts[0].ns.sh(&format!(
        "unshare -m sh -c 'mount -t tmpfs none /dev/net && exec {agent} up 198.18.0.1'"
    ))?;

    is_clear(output.exits(1)?, &["/dev/net/tun"], &net.hosts[0])
}

#[test]
fn a_tun_name_that_is_taken_is_refused() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let _hub = Hub::start(&net, &[])?;

    // The second kind could be opened by anybody: it must not be mistaken for one's own.
    for taken in ["link add dosp0 type veth peer name other", "tuntap add dosp0 mode tun"] {
        net.hosts[0].ns.sh(&format!("ip {taken}"))?.ok()?;
        let output = net.hosts[0].agent(&["up", "198.18.0.1"])?.exits(2)?;
        output.says(&["dosp-agent: ", "dosp0", "\nhint: ", "--tun"])?;
        net.hosts[0].ns.sh("ip link delete dosp0")?.ok()?;
    }
    Ok(())
}

#[test]
fn a_network_that_overlaps_a_route_is_refused_without_force() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;
    let b = Agent::up(&net, 1, &[])?;
    net.hosts[0].ns.sh("ip route add 7.10.0.0/16 dev up0")?.ok()?;

    let output = net.hosts[0].agent(&["up", "198.18.0.1"])?.exits(2)?;
    is_clear(output, &["7.10.0.0/16", "--force"], &net.hosts[0])?;

    let a = Agent::up(&net, 0, &["--force"])?;
    a.ping(&b.vip)
}

#[test]
fn a_network_that_holds_the_address_of_the_hub_is_refused() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    net.hub.sh("ip address add 203.0.113.1/32 dev lo")?.ok()?;
    let _hub = Hub::start(&net, &["--network", "203.0.113.0/24"])?;

    let output = net.hosts[0].agent(&["up", "203.0.113.1"])?.exits(2)?;

    is_clear(output, &["203.0.113.1", "203.0.113.0/24", "--force"], &net.hosts[0])
}

#[test]
fn a_network_that_is_full_refuses_the_next_agent() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &["--network", "10.9.0.0/30"])?;
    let a = Agent::up(&net, 0, &[])?;
    ensure!(a.vip == "10.9.0.2", "got {}", a.vip);

    let output = net.hosts[1].agent(&["up", "198.18.1.1"])?.exits(4)?;
    is_clear(output, &["full"], &net.hosts[1])?;

    a.stop(Signal::SIGTERM)?;
    let b = Agent::up(&net, 1, &[])?;
    ensure!(b.vip == "10.9.0.2", "got {}", b.vip);
    Ok(())
}

#[test]
fn an_explicit_vip_is_given_or_refused_but_never_replaced() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;
    let asked = Agent::up(&net, 0, &["--vip", "7.10.0.77"])?;
    ensure!(asked.vip == "7.10.0.77", "got {}", asked.vip);

    // The hub's, a peer's, the broadcast address, one of another network.
    for vip in ["7.10.0.1", "7.10.0.77", "7.10.0.255", "9.9.9.9"] {
        let output = net.hosts[1].agent(&["up", "198.18.1.1", "--vip", vip])?.exits(4)?;
        is_clear(output, &[vip], &net.hosts[1])?;
    }
    Ok(())
}

/// One line that says what and why, a hint, and nothing left behind.
fn is_clear(output: Output, words: &[&str], host: &Host) -> Result<()> {
    let output = output.says(&["dosp-agent: ", "\nhint: "])?.says(words)?;
    ensure!(output.stderr.matches("dosp-agent: ").count() == 1, "not one line: {output}");
    ensure!(output.stdout.is_empty(), "words belong on stderr: {output}");
    ensure!(!host.ns.has_link("dosp0")?, "a TUN was left behind");
    Ok(())
}
