//! Raw messages: `send` and `listen`, through running agents and by themselves.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_tests::{Host, Hub, Net, Output, Overlay, Process, needs_root, wait_until};
use nix::sys::signal::Signal;
use serde_json::Value;

#[test]
fn a_message_goes_through_two_running_agents() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();
    let listen = b.host().spawn_agent(&["listen", "-n", "1", "--json"])?;

    let message = json(&sent_and_heard(a.host(), &["send", &b.vip, "good morning"], listen)?)?;

    ensure!(message["schema"] == "dosp.message/1", "{message}");
    ensure!(message["from"] == "7.10.0.2" && message["sealed"] == true, "{message}");
    ensure!(message["text"] == "good morning", "{message}");
    ensure!(message["data"] == "Z29vZCBtb3JuaW5n", "{message}");
    Ok(())
}

#[test]
fn send_and_listen_work_by_themselves_without_an_agent() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let hub = Hub::start(&net, &[])?;
    let (listen, vip) = listen_alone(&net, &hub, &["-n", "1", "--json"])?;

    let send = ["send", &vip, "hello", "--hub", "198.18.0.1"];
    let message = json(&sent_and_heard(&net.hosts[0], &send, listen)?)?;

    ensure!(message["text"] == "hello" && message["sealed"] == true, "{message}");
    Ok(())
}

#[test]
fn a_plain_message_is_shown_as_not_sealed() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let hub = Hub::start(&net, &[])?;
    let (listen, vip) = listen_alone(&net, &hub, &["-n", "1", "--json"])?;

    let send = ["send", &vip, "hello", "--plain", "--hub", "198.18.0.1"];
    let message = json(&sent_and_heard(&net.hosts[0], &send, listen)?)?;

    ensure!(message["text"] == "hello" && message["sealed"] == false, "{message}");
    Ok(())
}

#[test]
fn a_message_to_the_hub_is_in_its_log() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(1)?;
    let host = overlay.agents[0].host();

    host.agent(&["send", "hub", "through the agent"])?.ok()?;
    host.agent(&["send", "hub", "all alone", "--hub", "198.18.0.1"])?.ok()?;

    wait_until("the hub logs both", Duration::from_secs(5), || {
        let log = overlay.hub.log()?;
        Ok(log.contains("through the agent") && log.contains("all alone"))
    })
}

#[test]
fn a_file_of_any_bytes_arrives_as_it_was() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();
    let bytes: Vec<u8> = (0..=255).collect();
    let file = overlay.net.dir().join("bytes");
    fs::write(&file, &bytes)?;
    let received = overlay.net.dir().join("received");
    let agent = b.host().agent_command()?.join(" ");
    let listen =
        b.ns().spawn_sh(&format!("exec {agent} listen -n 1 --raw >{}", received.display()))?;

    let file = file.display().to_string();
    sent_and_heard(a.host(), &["send", &b.vip, "--file", &file], listen)?;

    ensure!(fs::read(&received)? == bytes, "got {:?}", fs::read(&received)?);
    Ok(())
}

#[test]
fn bytes_that_are_not_text_are_null_in_json() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();
    let file = overlay.net.dir().join("bytes");
    fs::write(&file, [0xFF, 0xFE, 0x00])?;
    let listen = b.host().spawn_agent(&["listen", "-n", "1", "--json"])?;

    let file = file.display().to_string();
    let send = ["send", &b.vip, "--file", &file];
    let message = json(&sent_and_heard(a.host(), &send, listen)?)?;

    ensure!(message["text"].is_null() && message["data"] == "//4A", "{message}");
    Ok(())
}

#[test]
fn a_dash_sends_what_is_on_stdin() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();
    let listen = b.host().spawn_agent(&["listen", "-n", "1", "--json"])?;
    let agent = a.host().agent_command()?.join(" ");

    wait_until_listening(&listen)?;
    a.ns().sh(&format!("printf 'from a pipe' | {agent} send {} -", b.vip))?.ok()?;

    let message = json(&listen.output(Duration::from_secs(20))?.ok()?)?;
    ensure!(message["text"] == "from a pipe", "{message}");
    Ok(())
}

#[test]
fn listen_from_one_peer_ignores_the_others() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(3)?;
    let [a, b, c] = &overlay.agents[..] else { unreachable!("three agents") };
    let listen = b.host().spawn_agent(&["listen", "-n", "1", "--json", "--from", &c.vip])?;
    a.host().agent(&["send", &b.vip, "not for your ears"])?.ok()?;

    let message = json(&sent_and_heard(c.host(), &["send", &b.vip, "from c"], listen)?)?;

    ensure!(message["text"] == "from c" && message["from"] == "7.10.0.4", "{message}");
    Ok(())
}

#[test]
fn a_message_to_an_offline_peer_fails_with_6() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(1)?;
    let host = overlay.agents[0].host();

    for hub in [&[][..], &["--hub", "198.18.0.1"]] {
        let args = [&["send", "7.10.0.99", "anybody there?"][..], hub].concat();
        let output = host.agent(&args)?.exits(6)?.says(&["7.10.0.99", "\nhint: "])?;
        ensure!(output.took < Duration::from_secs(10), "{output}");
    }
    Ok(())
}

#[test]
fn an_interrupted_listen_exits_with_130() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let hub = Hub::start(&net, &[])?;
    let (listen, _) = listen_alone(&net, &hub, &[])?;

    listen.signal(Signal::SIGINT)?;

    listen.output(Duration::from_secs(5))?.exits(130)?;
    Ok(())
}

/// Sends once the `listen -n 1` is ready, and gives back what it heard.
fn sent_and_heard(from: &Host, send: &[&str], listen: Process) -> Result<Output> {
    wait_until_listening(&listen)?;
    from.agent(send)?.ok()?;
    listen.output(Duration::from_secs(20))?.ok()
}

/// What is sent before it listens is not heard.
fn wait_until_listening(listen: &Process) -> Result<()> {
    wait_until("listen listens", Duration::from_secs(10), || {
        Ok(listen.stderr()?.contains("listening"))
    })
}

/// A `listen --hub` on host 1, once it has joined, and its vIP as the hub's log has it.
fn listen_alone(net: &Net, hub: &Hub, args: &[&str]) -> Result<(Process, String)> {
    let args = [&["listen", "--hub", "198.18.1.1"][..], args].concat();
    let listen = net.hosts[1].spawn_agent(&args)?;
    wait_until("listen joins", Duration::from_secs(10), || Ok(hub.log()?.contains("7.10.0.2")))?;
    Ok((listen.shown_on_drop(), "7.10.0.2".to_owned()))
}

fn json(output: &Output) -> Result<Value> {
    serde_json::from_str(output.stdout.trim()).with_context(|| output.to_string())
}
