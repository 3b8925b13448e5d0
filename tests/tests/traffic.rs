//! Ordinary IP traffic between agents: ICMP, TCP and UDP, and what is not carried.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_tests::iperf::iperf;
use dosp_tests::{Overlay, needs_root};

#[test]
fn ping_of_1_to_65000_bytes_is_answered() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();

    for bytes in [1, 8, 56, 1000, 1391, 1392, 1393, 1472, 1500, 4000, 16_000, 40_000, 65_000] {
        let ping = format!("ping -n -c 3 -i 0.2 -W 3 -s {bytes} {}", b.vip);
        let output = a.ns().sh(&ping)?.ok()?;
        ensure!(output.stdout.contains(" 0% packet loss"), "{output}");
    }
    Ok(())
}

#[test]
fn the_first_packet_to_a_peer_is_not_lost() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();

    a.ns().sh(&format!("ping -n -c 1 -W 3 {}", b.vip))?.ok()?;
    Ok(())
}

#[test]
fn tcp_streams_run_in_both_directions() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();

    for (client, server, options) in [(a, b, ""), (a, b, "-R"), (b, a, "-P 4"), (a, b, "--bidir")] {
        let report = iperf(client, server, options)?;
        let received = report["end"]["sum_received"]["bytes"].as_u64().context("a sum")?;
        ensure!(received > 1_000_000, "{received} bytes with {options:?}: {report}");
    }
    Ok(())
}

#[test]
fn udp_runs_in_both_directions() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();

    for options in ["-u -b 10M", "-u -b 10M -R", "-u -b 2M -l 64", "-u -b 10M -l 9000"] {
        let report = iperf(a, b, options)?;
        let sum = &report["end"]["sum"];
        let (packets, lost) = (sum["packets"].as_u64(), sum["lost_packets"].as_i64());
        let (packets, lost) = (packets.context("packets")?, lost.context("lost_packets")?);
        ensure!(packets > 100, "{packets} packets with {options:?}: {report}");
        ensure!(lost * 20 < i64::try_from(packets)?, "lost {lost} of {packets} with {options:?}");
    }
    Ok(())
}

#[test]
fn three_agents_all_reach_each_other() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(3)?;

    for from in &overlay.agents {
        for to in &overlay.agents {
            from.ping(&to.vip)?;
        }
    }
    Ok(())
}

#[test]
fn two_agents_that_open_a_tunnel_at_once_reach_each_other() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();

    let pings = [(a, b), (b, a)]
        .map(|(from, to)| from.ns().spawn_sh(&format!("exec ping -n -c 5 -i 0.2 -W 3 {}", to.vip)));
    for ping in pings {
        let output = ping?.output(Duration::from_secs(20))?.ok()?;
        ensure!(output.stdout.contains(" 0% packet loss"), "{output}");
    }
    Ok(())
}

#[test]
fn the_vip_of_the_hub_answers_ping_and_nothing_else() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(1)?;
    let a = &overlay.agents[0];

    a.ping("7.10.0.1")?;

    let output = a.ns().sh("timeout 5 bash -c '</dev/tcp/7.10.0.1/22'")?.exits(1)?;
    ensure!(output.took < Duration::from_secs(2), "no answer at once: {output}");
    Ok(())
}

#[test]
fn an_offline_peer_is_unreachable_within_a_second() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(1)?;
    let a = &overlay.agents[0];

    let output = a.ns().sh("ping -n -c 1 -W 5 7.10.0.99")?.exits(1)?;

    ensure!(output.stdout.contains("Destination Host Unreachable"), "{output}");
    ensure!(output.took < Duration::from_secs(1), "{output}");
    let output = a.ns().sh("timeout 5 bash -c '</dev/tcp/7.10.0.98/22'")?.exits(1)?;
    output.says(&["No route to host"])?;
    Ok(())
}

#[test]
fn broadcast_and_multicast_are_dropped_and_counted() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();
    let before = a.dropped("cast")?;

    for destination in ["-b 7.10.0.255", "-I dosp0 224.0.0.251"] {
        a.ns().sh(&format!("ping -n -c 3 -i 0.2 -W 1 {destination}"))?.exits(1)?;
    }

    let dropped = a.dropped("cast")? - before;
    ensure!(dropped >= 6, "{dropped} counted: {}", a.host().status()?);
    b.ping(&a.vip)
}

#[test]
fn the_tun_has_the_vip_the_prefix_and_the_mtu() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(1)?;
    let a = &overlay.agents[0];

    let address = a.ns().sh("ip -4 -o address show dev dosp0")?.ok()?.stdout;
    ensure!(address.contains("7.10.0.2/24"), "{address}");
    let link = a.ns().sh("ip -o link show dev dosp0")?.ok()?.stdout;
    ensure!(link.contains("mtu 1420"), "{link}");
    let route = a.ns().sh("ip route get 7.10.0.200")?.ok()?.stdout;
    ensure!(route.contains("dev dosp0 src 7.10.0.2"), "{route}");
    Ok(())
}
