//! The command lines: `--detach` and `down`, what is printed, exit codes, configuration errors.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_tests::{Agent, Hub, Net, Overlay, dosp, needs_root, wait_until};
use nix::sys::signal::Signal;

#[test]
fn detach_returns_once_up_and_down_ends_it() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let _hub = Hub::start(&net, &[])?;
    let host = &net.hosts[0];

    let output = host.agent(&["up", "198.18.0.1", "--detach"])?.ok()?;

    ensure!(output.stdout.contains("7.10.0.2"), "{output}");
    ensure!(host.vip_if_up().as_deref() == Some("7.10.0.2"), "not up when it returned");
    host.ns.sh("ping -n -c 1 -W 2 7.10.0.1")?.ok()?;

    host.agent(&["down"])?.ok()?;
    ensure!(!host.ns.has_link("dosp0")?, "the TUN is still there");
    let socket = &host.agent_command()?[2];
    ensure!(!fs::exists(socket)?, "{socket} is still there");
    host.agent(&["status"])?.exits(3)?;
    Ok(())
}

#[test]
fn detach_reports_a_failure_with_its_exit_code() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;

    let output = net.hosts[0].agent(&["up", "198.18.0.1:7", "--detach"])?.exits(3)?;

    output.says(&["dosp-agent: ", "\nhint: "])?;
    Ok(())
}

#[test]
fn up_prints_one_line_once_it_is_up() -> Result<()> {
    needs_root!();
    let mut overlay = Overlay::start(1)?;

    let printed = overlay.agents[0].process().stdout()?;

    ensure!(printed.starts_with("7.10.0.2 up on dosp0 through 198.18.0.1"), "{printed}");
    ensure!(printed.lines().count() == 1, "{printed}");
    Ok(())
}

#[test]
fn a_signal_ends_up_cleanly() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let _hub = Hub::start(&net, &[])?;

    for (signal, codes) in [(Signal::SIGTERM, [0, 0]), (Signal::SIGINT, [0, 130])] {
        let agent = Agent::up(&net, 0, &[])?;
        let output = agent.stop(signal)?;
        ensure!(output.code.is_some_and(|code| codes.contains(&code)), "{signal}: {output}");
        ensure!(!net.hosts[0].ns.has_link("dosp0")?, "the TUN is still there");
        let socket = &net.hosts[0].agent_command()?[2];
        ensure!(!fs::exists(socket)?, "{socket} is still there");
    }
    Ok(())
}

#[test]
fn the_tun_and_the_network_are_as_asked() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let _hub = Hub::start(&net, &["--network", "10.20.30.{x}"])?;

    let agent = Agent::up(&net, 0, &["--tun", "work", "--mtu", "1300"])?;

    let link = agent.ns().sh("ip -o link show dev work")?.ok()?.stdout;
    ensure!(link.contains("mtu 1300"), "{link}");
    let status = agent.host().status()?;
    ensure!(status["tun"] == "work" && status["mtu"] == 1300, "{status}");
    ensure!(status["network"] == "10.20.30.0/24" && agent.vip == "10.20.30.2", "{status}");
    Ok(())
}

#[test]
fn a_second_agent_on_the_same_socket_is_refused() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;
    let _first = Agent::up(&net, 0, &[])?;

    let output = net.hosts[0].agent(&["up", "198.18.0.1", "--tun", "dosp1"])?;

    ensure!(output.code != Some(0), "two agents on one socket: {output}");
    output.says(&["dosp-agent: ", "\nhint: ", "--socket"])?;
    Ok(())
}

#[test]
fn status_is_one_object_with_all_that_matters() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();
    a.ping(&b.vip)?;

    let status = a.host().status()?;

    for (key, value) in [
        ("schema", "dosp.status/1"),
        ("state", "up"),
        ("vip", "7.10.0.2"),
        ("network", "7.10.0.0/24"),
        ("tun", "dosp0"),
    ] {
        ensure!(status[key] == value, "{key} is not {value}: {status}");
    }
    ensure!(status["mtu"] == 1420 && status["reconnects"] == 0, "{status}");
    ensure!(status["hub"].as_str().is_some_and(|hub| hub.contains("198.18.0.1")), "{status}");
    let peers = status["peers"].as_array().context("peers")?;
    ensure!(peers.len() == 1 && peers[0]["vip"] == "7.10.0.3", "{status}");
    let plain = a.host().agent(&["status"])?.ok()?;
    ensure!(plain.stdout.contains("7.10.0.2"), "{plain}");
    Ok(())
}

#[test]
fn ip_prints_the_vip_and_peers_lists_who_was_spoken_to() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();
    a.ping(&b.vip)?;

    ensure!(a.host().agent(&["ip"])?.ok()?.stdout == "7.10.0.2\n");
    let peers = a.host().agent(&["peers"])?.ok()?;
    ensure!(peers.stdout.contains("7.10.0.3"), "{peers}");
    let peers = a.host().agent(&["peers", "--json"])?.ok()?.stdout;
    let first: serde_json::Value = serde_json::from_str(&peers).context(peers)?;
    ensure!(first.to_string().contains("7.10.0.3"), "{first}");
    Ok(())
}

#[test]
fn commands_without_a_running_agent_exit_with_3() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;

    for command in ["status", "down", "peers", "ip", "send hub x", "clients", "call time", "info"] {
        let args: Vec<&str> = command.split(' ').collect();
        net.hosts[0].agent(&args)?.exits(3)?.says(&["dosp-agent: ", "\nhint: "])?;
    }
    Ok(())
}

#[test]
fn a_wrong_command_line_exits_with_2() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;

    for args in [
        &["up", "198.18.0.1", "--no-such-option"][..],
        &["no-such-command"],
        &["up", "198.18.0.1", "--mtu", "many"],
        &["up", "198.18.0.1", "--vip", "7.10.0"],
        &["up", "198.18.0.1:notaport"],
        &["up"],
        &["send"],
    ] {
        let output = net.hosts[0].agent(args)?.exits(2)?;
        ensure!(!output.stderr.is_empty() && output.stdout.is_empty(), "{output}");
    }
    let server = dosp::binary("dosp-server")?.display().to_string();
    for args in ["--no-such-option", "--network 7.10.0", "--listen nowhere"] {
        net.hub.sh(&format!("{server} {args}"))?.exits(2)?;
    }
    Ok(())
}

#[test]
fn an_unknown_key_in_a_file_is_named_with_its_line_and_its_neighbour() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let path = net.dir().join("wrong.toml").display().to_string();

    for (program, args, text, words) in [
        ("dosp-agent", "up 198.18.0.1", "tun = \"dosp0\"\nmtuu = 1400\n", ["mtuu", "`mtu`"]),
        ("dosp-server", "run", "max_clients = 7\nnetwrok = \"7.10.0.x\"\n", ["netwrok", "network"]),
    ] {
        fs::write(&path, text)?;
        let program_path = dosp::binary(program)?.display().to_string();
        let output = net.hub.sh(&format!("{program_path} {args} --config {path}"))?.exits(2)?;
        let output = output.says(&words)?.says(&[&path, program, "\nhint: "])?;
        let names_line = ["wrong.toml:2", "line 2"].iter().any(|it| output.stderr.contains(it));
        ensure!(names_line, "no line: {output}");
    }
    Ok(())
}

#[test]
fn a_hub_ends_with_0_on_sigterm_and_sigint_and_says_exit_to_its_clients() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;

    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let hub = Hub::start(&net, &[])?;
        let client =
            net.hub.spawn_sh("exec 3<>/dev/tcp/127.0.0.1/7744; exec od -An -tx1 -v <&3")?;
        wait_until("the client joins", Duration::from_secs(5), || {
            Ok(hub.log()?.contains("7.10.0.2"))
        })?;

        hub.stop(signal)?.ok()?;

        let received = client.output(Duration::from_secs(5))?.ok()?.stdout;
        let bytes: Vec<&str> = received.split_whitespace().collect();
        ensure!(bytes.contains(&"11"), "no EXIT: {received}");
    }
    Ok(())
}

#[test]
fn a_port_that_is_taken_is_said_clearly() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let _hub = Hub::start(&net, &[])?;

    let server = dosp::binary("dosp-server")?.display().to_string();
    let output = net.hub.sh(&server)?.exits(1)?;

    output.says(&["dosp-server: ", "7744", "\nhint: "])?;
    Ok(())
}
