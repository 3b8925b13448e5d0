//! Traffic of hosts behind the agents', whose links take longer packets than the tunnel.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use dosp_tests::netns::{Namespace, connect};
use dosp_tests::{Agent, Hub, Net, needs_root, wait_until};

/// On the side of the first agent: a host behind it, and that agent's host on the cable between them.
const LEFT: [&str; 2] = ["192.168.9.2", "192.168.9.1"];
/// On the side of the second.
const RIGHT: [&str; 2] = ["192.168.10.2", "192.168.10.1"];
/// As flow.py has it.
const PORT: u16 = 4000;
const MTU: u32 = 1420;
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(20);

/// A host behind each of two agents: what the left one dials at the right agent's vIP the right one
/// answers.
struct Site {
    a: Agent,
    b: Agent,
    left: Namespace,
    right: Namespace,
    _hub: Hub,
}

#[test]
fn streams_of_hosts_that_hear_no_icmp_get_through() -> Result<()> {
    needs_root!();
    let site = Site::start()?;
    let no_icmp = "nft 'table ip deaf { chain input { type filter hook input priority 0; \
                   ip protocol icmp drop; }; }'";
    for host in [&site.left, &site.right] {
        host.sh(no_icmp)?.ok()?;
    }
    for direction in ["push", "pull"] {
        let server = site.right.spawn_sh(&flow(&format!("serve tcp {direction} {}", RIGHT[0])))?;
        wait_until("the server is ready", Duration::from_secs(10), || {
            Ok(server.stdout()?.contains("ready"))
        })?;
        let dial = site.left.spawn_sh(&flow(&format!("dial tcp {direction} {}", site.b.vip)))?;
        dial.output(TRANSFER_TIMEOUT)?.ok()?;
        let served = server.output(TRANSFER_TIMEOUT)?.ok()?;
        ensure!(direction == "pull" || served.stdout.contains("\"broken\": 0"), "{served}");
    }
    Ok(())
}

#[test]
fn datagrams_that_are_too_long_are_answered_with_what_fits() -> Result<()> {
    needs_root!();
    let site = Site::start()?;
    let too_long = |host: &Namespace, len: u32| -> Result<String> {
        let script = format!("ping -c1 -W5 -M do -s {} {}", len - 28, site.b.vip);
        Ok(host.sh(&script)?.to_string())
    };
    // The host in front of the tunnel says it to the one behind it.
    let said = too_long(&site.left, MTU + 1)?;
    ensure!(
        said.contains(&format!("mtu = {MTU}")) || said.contains(&format!("mtu={MTU}")),
        "{said}"
    );
    let said = too_long(&site.left, MTU)?;
    ensure!(said.contains("1 received"), "{said}");

    // The other agent's host says it through the tunnel of a narrow link behind it.
    site.b.ns().sh("ip link set lan0 mtu 1280")?.ok()?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/path_mtu.py");
    let said = site.a.ns().sh(&format!("python3 {script} {} {PORT} 1300", site.b.vip))?.ok()?;
    ensure!(said.stdout.trim() == "1280", "{said}");
    Ok(())
}

impl Site {
    fn start() -> Result<Self> {
        let net = Net::star(2)?;
        let hub = Hub::start(&net, &[])?;
        let (a, b) = (Agent::up(&net, 0, &[])?, Agent::up(&net, 1, &[])?);
        let chain = "type nat hook postrouting priority 100; oifname dosp0 masquerade;";
        let left = behind(&net, &a, LEFT, chain)?;
        let to = RIGHT[0];
        let chain = format!(
            "type nat hook prerouting priority -100; iifname dosp0 meta l4proto {{ tcp, udp }} \
             th dport {PORT} dnat to {to};"
        );
        let right = behind(&net, &b, RIGHT, &chain)?;
        a.ping(&b.vip)?;
        Ok(Self { a, b, left, right, _hub: hub })
    }
}

/// A host behind the agent's, which translates addresses by `chain`.
fn behind(net: &Net, agent: &Agent, [host, router]: [&str; 2], chain: &str) -> Result<Namespace> {
    let behind = Namespace::new(net.dir())?;
    connect("lan0", [(agent.ns(), router), (&behind, host)])?;
    behind.sh(&format!("ip route add default via {router}"))?.ok()?;
    let table = format!("table ip behind {{ chain translate {{ {chain} }}; }}");
    let script = format!("echo 1 >/proc/sys/net/ipv4/ip_forward && nft '{table}'");
    agent.ns().sh(&script)?.ok()?;
    Ok(behind)
}

fn flow(arguments: &str) -> String {
    let script = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/python/flow.py"));
    format!("exec python3 {} {arguments}", script.display())
}
