//! Content arrives byte for byte, whatever is left to whom: super-packets that cross whole, that are cut
//! before, and that never were; checksums that a host leaves to others, and that it does not.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_tests::netns::{Namespace, connect};
use dosp_tests::{Agent, Hub, Net, Process, needs_root, wait_until};
use serde_json::Value;

/// A host behind the first agent's, and that agent's host on the cable between them.
const BEHIND: &str = "192.168.9.2";
const ROUTER: &str = "192.168.9.1";
/// A frame of one packet has so many bytes of DATA at most: the MTU, and what a tunnel adds.
const MAX_SINGLE_LEN: u64 = 1420 + 100;
/// Of some 4,600 segments, so that a busy machine is no failure.
const MAX_RETRANSMITTED: u64 = 40;
/// One transfer is over within that.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Tcp,
    /// The sender's kernel is given many datagrams at once.
    UdpGso,
    Udp,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// The side of the first agent.
    Push,
    Pull,
}

/// Where the first agent's end of a flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Host,
    /// On a host behind it, whose addresses are translated.
    Behind {
        /// Whether its kernel leaves checksums and segments to others.
        is_offloading: bool,
    },
}

/// Two agents, and a host behind the first one's.
struct Site {
    a: Agent,
    b: Agent,
    behind: Namespace,
    _hub: Hub,
}

#[test]
fn super_packets_cross_whole_between_agents_that_take_them() -> Result<()> {
    needs_root!();
    Site::start(&[], &[])?.try_all(true)
}

#[test]
fn nothing_longer_than_the_mtu_goes_to_an_agent_without_offload() -> Result<()> {
    needs_root!();
    Site::start(&[], &["--no-offload"])?.try_all(false)
}

#[test]
fn agent_without_offload_sends_what_its_kernel_has_cut() -> Result<()> {
    needs_root!();
    Site::start(&["--no-offload"], &[])?.try_all(false)
}

#[test]
fn version_1_carries_what_was_cut_before() -> Result<()> {
    needs_root!();
    let version_1 = ["--c2c", "v1", "--version1", "all"];
    Site::start(&version_1, &version_1)?.try_all(false)
}

impl Site {
    fn start(of_a: &[&str], of_b: &[&str]) -> Result<Self> {
        let net = Net::star(2)?;
        let hub = Hub::start(&net, &[])?;
        let (a, b) = (Agent::up(&net, 0, of_a)?, Agent::up(&net, 1, of_b)?);
        let behind = Namespace::new(net.dir())?;
        connect("lan0", [(a.ns(), ROUTER), (&behind, BEHIND)])?;
        behind.sh(&format!("ip route add default via {ROUTER}"))?.ok()?;
        let chain = "type nat hook postrouting priority 100; oifname dosp0 masquerade;";
        let table = format!("table ip behind {{ chain translate {{ {chain} }}; }}");
        a.ns().sh(&format!("echo 1 >/proc/sys/net/ipv4/ip_forward && nft '{table}'"))?.ok()?;
        a.ping(&b.vip)?;
        Ok(Self { a, b, behind, _hub: hub })
    }

    /// Every flow in every direction from every place. Super-packets cross whole, or none do.
    fn try_all(self, crosses_whole: bool) -> Result<()> {
        for place in [
            Place::Host,
            Place::Behind { is_offloading: true },
            Place::Behind { is_offloading: false },
        ] {
            self.prepare(place)?;
            for direction in [Direction::Push, Direction::Pull] {
                for flow in [Flow::Tcp, Flow::UdpGso, Flow::Udp] {
                    self.try_one(place, direction, flow, crosses_whole)
                        .with_context(|| format!("{flow:?} {direction:?} {place:?}"))?;
                }
            }
        }
        for agent in [&self.a, &self.b] {
            for reason in ["offload", "malformed", "tun_write", "inner_packet", "forged"] {
                ensure!(agent.dropped(reason)? == 0, "{}", agent.host().status()?["dropped"]);
            }
        }
        Ok(())
    }

    fn try_one(
        &self,
        place: Place,
        direction: Direction,
        flow: Flow,
        crosses_whole: bool,
    ) -> Result<()> {
        let before = self.received(direction)?;
        self.transfer(place, direction, flow)?;
        let after = self.received(direction)?;
        let mean_len = (after[1] - before[1]) / (after[0] - before[0]).max(1);
        let is_cut_before =
            direction == Direction::Push && place == Place::Behind { is_offloading: false };
        if !crosses_whole {
            ensure!(mean_len <= MAX_SINGLE_LEN, "frames of {mean_len} bytes");
        } else if flow != Flow::Udp && !is_cut_before {
            ensure!(mean_len > 2 * MAX_SINGLE_LEN, "frames of {mean_len} bytes");
        }
        Ok(())
    }

    fn prepare(&self, place: Place) -> Result<()> {
        let Place::Behind { is_offloading } = place else { return Ok(()) };
        let tx = if is_offloading { "on" } else { "off" };
        for namespace in [self.a.ns(), &self.behind] {
            namespace.sh(&format!("ethtool -K lan0 tx {tx}"))?.ok()?;
        }
        Ok(())
    }

    /// Frames and bytes of DATA that the side which receives has had from the other one.
    fn received(&self, direction: Direction) -> Result<[u64; 2]> {
        let receiver = if direction == Direction::Push { &self.b } else { &self.a };
        let status = receiver.host().status()?;
        let count = |name: &str| status["peers"][0][name].as_u64().context("a counter");
        Ok([count("rx_frames")?, count("rx_bytes")?])
    }

    fn transfer(&self, place: Place, direction: Direction, flow: Flow) -> Result<()> {
        let dialler = if place == Place::Host { self.a.ns() } else { &self.behind };
        let server = end(self.b.ns(), "serve", flow, direction, &self.b.vip)?;
        wait_until("the server is ready", Duration::from_secs(10), || {
            Ok(server.stdout()?.contains("ready"))
        })?;
        let dialled = report(end(dialler, "dial", flow, direction, &self.b.vip)?)?;
        let served = report(server)?;
        let (sent, received) = match direction {
            Direction::Push => (dialled, served),
            Direction::Pull => (served, dialled),
        };
        let (all, arrived) = (number(&sent, "sent")?, number(&received, "received")?);
        ensure!(number(&received, "broken")? == 0, "{received}");
        if flow == Flow::Tcp {
            ensure!(arrived == all, "{received}");
            ensure!(number(&sent, "retransmitted")? <= MAX_RETRANSMITTED, "{sent}");
        } else {
            ensure!((all - arrived) * 50 <= all, "{received} of {all}");
        }
        Ok(())
    }
}

/// Starts one end of a flow.
fn end(
    namespace: &Namespace,
    role: &str,
    flow: Flow,
    direction: Direction,
    address: &str,
) -> Result<Process> {
    let script = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/python/flow.py"));
    let flow = match flow {
        Flow::Tcp => "tcp",
        Flow::UdpGso => "udp-gso",
        Flow::Udp => "udp",
    };
    let direction = if direction == Direction::Push { "push" } else { "pull" };
    namespace
        .spawn_sh(&format!("exec python3 {} {role} {flow} {direction} {address}", script.display()))
}

/// What an end says when it is done.
fn report(end: Process) -> Result<Value> {
    let output = end.output(TRANSFER_TIMEOUT)?.ok()?;
    let line = output.stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).with_context(|| output.to_string())
}

fn number(report: &Value, name: &str) -> Result<u64> {
    report[name].as_u64().with_context(|| format!("{name} in {report}"))
}
