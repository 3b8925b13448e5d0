//! `dosp-agent ping`: by vIP, by name, and where nobody answers.

use anyhow::{Result, ensure};
use dosp_tests::{Agent, Hub, Net, Overlay, needs_root};

use crate::common::{fingerprint, parse};

#[test]
fn ping_prints_a_line_for_each_echo_and_statistics() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();

    let output = a.host().agent(&["ping", &b.vip, "-c", "3", "-i", "0.1"])?.ok()?;

    let echoes = |number| format!("56 bytes from {}: seq={number} time=", b.vip);
    for number in 1..=3 {
        ensure!(output.stdout.contains(&echoes(number)), "{output}");
    }
    ensure!(!output.stdout.contains(&echoes(4)), "{output}");
    ensure!(output.stdout.contains(&fingerprint(b.host())?), "{output}");
    ensure!(output.stdout.contains("3 echoes sent, 3 received, 0% loss"), "{output}");
    ensure!(output.stdout.contains("rtt min/avg/max/mdev = "), "{output}");
    Ok(())
}

#[test]
fn ping_in_json_is_an_object_for_each_echo_and_one_of_statistics() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();

    let args = ["ping", &b.vip, "-c", "3", "-i", "0.1", "-s", "1000", "--json"];
    let output = a.host().agent(&args)?.ok()?;

    let lines: Vec<_> = output.stdout.lines().map(parse).collect::<Result<_>>()?;
    let [echoes @ .., statistics] = &lines[..] else { anyhow::bail!("nothing: {output}") };
    ensure!(echoes.len() == 3, "{output}");
    for (echo, number) in echoes.iter().zip(1..) {
        ensure!(echo["schema"] == "dosp.echo/1" && echo["seq"] == number, "{echo}");
        ensure!(echo["peer"] == b.vip.as_str() && echo["bytes"] == 1000, "{echo}");
        let (rtt, hub) = (echo["rtt_ns"].as_u64(), echo["hub_rtt_ns"].as_u64());
        ensure!(rtt.is_some_and(|ns| ns > 0) && hub.is_some_and(|ns| ns > 0), "{echo}");
    }
    ensure!(statistics["schema"] == "dosp.ping/1", "{statistics}");
    ensure!(statistics["sent"] == 3 && statistics["received"] == 3, "{statistics}");
    ensure!(statistics["rtt_min_ns"].as_u64() <= statistics["rtt_max_ns"].as_u64(), "{statistics}");
    Ok(())
}

#[test]
fn a_peer_has_a_name_after_the_first_contact_and_not_before() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;
    let a = Agent::up(&net, 0, &[])?;
    let b = Agent::up(&net, 1, &["--name", "bob"])?;

    a.host().agent(&["ping", "bob", "-c", "1"])?.exits(5)?.says(&["bob", "\nhint: "])?;
    a.host().agent(&["ping", &b.vip, "-c", "1"])?.ok()?;
    let output = a.host().agent(&["ping", "bob", "-c", "1"])?.ok()?;

    ensure!(output.stdout.starts_with(&format!("PING bob ({})", b.vip)), "{output}");
    ensure!(output.stdout.contains("--- bob ping statistics ---"), "{output}");
    a.host().agent(&["ping", "nobody", "-c", "1"])?.exits(5)?;
    Ok(())
}

#[test]
fn ping_of_an_offline_peer_exits_with_6() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(1)?;

    let output = overlay.agents[0].host().agent(&["ping", "7.10.0.99", "-c", "1"])?.exits(6)?;

    output.says(&["7.10.0.99", "\nhint: "])?;
    Ok(())
}

#[test]
fn ping_works_by_itself_without_an_agent() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;
    let b = Agent::up(&net, 1, &[])?;

    let args = ["ping", &b.vip, "-c", "2", "-i", "0.1", "--hub", "198.18.0.1"];
    let output = net.hosts[0].agent(&args)?.ok()?;

    ensure!(output.stdout.contains("2 echoes sent, 2 received"), "{output}");
    Ok(())
}
