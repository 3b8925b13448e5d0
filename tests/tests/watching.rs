//! `status --watch`, in a terminal and in a pipe.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use dosp_tests::dosp::binary;
use dosp_tests::{Agent, Hub, Net, Overlay, Tmux, needs_root};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The agent's command line with these words behind it.
fn agent_script(agent: &Agent, words: &str) -> Result<String> {
    Ok(format!("exec {} {words}", agent.host().agent_command()?.join(" ")))
}

/// Whether the terminal is the shell's again: its screen, its cursor, and what is typed is shown.
fn is_given_back(tmux: &Tmux, code: i32) -> Result<()> {
    let screen =
        tmux.wait_for("the shell is back", |screen| screen.contains(&format!("code {code}\n$")))?;
    ensure!(!screen.contains("PEER"), "the picture is still there:\n{screen}");
    ensure!(tmux.modes()? == (false, true), "another screen, or no cursor");
    tmux.run("stty -a")?;
    let modes = tmux.wait_for("stty answers", |screen| {
        screen.contains("speed ") && screen.contains("code 0")
    })?;
    for mode in ["icanon", "echo", "isig"] {
        ensure!(modes.split([' ', ';', '\n']).any(|word| word == mode), "no {mode}:\n{modes}");
    }
    Ok(())
}

/// The cells of the line of whoever has this vIP.
fn row<'a>(screen: &'a str, vip: &str) -> Vec<&'a str> {
    let line = screen.lines().find(|line| line.contains(vip)).unwrap_or_default();
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[test]
fn agent_is_watched_in_a_terminal_that_is_given_back() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();
    a.ping(&b.vip)?;
    let tmux = Tmux::start(overlay.net.dir(), "agent", (100, 30))?;
    let watch = agent_script(a, "status --watch --interval 200ms")?;

    tmux.run(&watch)?;
    let screen = tmux.wait_for("the picture is there", |it| row(it, &b.vip).len() > 4)?;
    ensure!(screen.contains("up for ") && screen.contains("hub    198.18.0.1"), "{screen}");
    ensure!(tmux.modes()? == (true, false), "it has no screen of its own");
    ensure!(tmux.screen_with_colours()?.contains("\x1b[32m"), "it has no colour");

    let _traffic = a.ns().spawn_sh(&format!("exec ping -q -i 0.01 -s 1000 {}", b.vip))?;
    tmux.wait_for("rates are shown both ways", |it| {
        row(it, &b.vip).iter().filter(|cell| cell.ends_with("bit/s")).count() == 2
    })?;
    tmux.resize((60, 15))?;
    tmux.wait_for("the picture is narrow", |it| !it.contains("PATH") && it.contains("OUT"))?;
    tmux.press("C-c")?;
    is_given_back(&tmux, 130)?;

    tmux.run(&format!("export NO_COLOR=1\n{watch}"))?;
    tmux.wait_for("the picture is there", |it| it.contains("PEER"))?;
    let coloured = tmux.screen_with_colours()?;
    ensure!(!coloured.contains('\x1b'), "colour all the same: {}", coloured.escape_debug());
    tmux.press("q")?;
    is_given_back(&tmux, 0)?;

    tmux.run(&format!("echo $$ > pid\n{watch}"))?;
    tmux.wait_for("the picture is there", |it| it.contains("PEER"))?;
    let pid = std::fs::read_to_string(overlay.net.dir().join("pid")).context("the pid")?;
    kill(Pid::from_raw(pid.trim().parse()?), Signal::SIGTERM)?;
    is_given_back(&tmux, 0)
}

#[test]
fn agent_that_comes_again_is_waited_for() -> Result<()> {
    needs_root!();
    let Overlay { mut agents, net, hub: _hub } = Overlay::start(2)?;
    let b = agents.remove(1);
    let a = agents.remove(0);
    a.ping(&b.vip)?;
    let tmux = Tmux::start(net.dir(), "agent", (100, 30))?;
    tmux.run(&agent_script(&a, "status --watch --interval 200ms")?)?;
    tmux.wait_for("the picture is there", |it| it.contains("PEER"))?;

    a.stop(Signal::SIGTERM)?.ok()?;
    let screen = tmux.wait_for("it says so", |it| it.contains("no agent is running"))?;
    ensure!(screen.contains("waiting for it") && screen.contains("PEER"), "{screen}");
    let a = Agent::up(&net, 0, &[])?;
    tmux.wait_for("it is back", |it| !it.contains("waiting for it") && it.contains("up for"))?;
    a.ping(&b.vip)?;
    tmux.wait_for("the peer is back", |it| it.contains(&b.vip))?;
    Ok(())
}

#[test]
fn hub_is_watched_with_its_clients() -> Result<()> {
    needs_root!();
    let mut overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();
    let b_vip = b.vip.clone();
    let traffic = a.ns().spawn_sh(&format!("exec ping -q -i 0.01 -s 1000 {b_vip}"))?;
    let tmux = Tmux::start(overlay.net.dir(), "hub", (100, 20))?;
    let socket = Hub::socket(&overlay.net);
    let program = binary("dosp-server")?.display().to_string();
    tmux.run(&format!("exec {program} status --watch --interval 200ms --socket {socket}"))?;

    let screen = tmux.wait_for("rates are shown both ways", |it| {
        row(it, &b_vip).iter().filter(|cell| cell.ends_with("bit/s")).count() == 2
    })?;
    ensure!(screen.contains("CLIENT") && screen.contains("anybody can join"), "{screen}");
    drop(traffic);
    overlay.hub.terminate()?;
    tmux.wait_for("it says so", |it| it.contains("no hub is running"))?;
    overlay.hub.start_again()?;
    tmux.wait_for("the clients are back", |it| {
        !it.contains("waiting for it") && !row(it, &b_vip).is_empty()
    })?;
    tmux.press("C-c")?;
    is_given_back(&tmux, 130)
}

/// The first lines of a command whose reader goes away then, and its exit code.
fn first_lines(command: &str, count: usize, dir: &Path) -> Result<(Vec<String>, String)> {
    let script = format!("{{ {command}; echo \"code $?\" >&2; }} | head -n {count}");
    let mut shell = Command::new("timeout");
    let output = shell.args(["60", "sh", "-c", &script]).current_dir(dir).output()?;
    let lines = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
    Ok((lines, String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[test]
fn pipe_gets_plain_lines_or_json_until_nobody_reads() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();
    let _traffic = a.ns().spawn_sh(&format!("exec ping -q -i 0.01 {}", b.vip))?;
    let agent = a.host().agent_command()?.join(" ");
    let socket = Hub::socket(&overlay.net);
    let hub = format!("{} --socket {socket}", binary("dosp-server")?.display());
    let dir = overlay.net.dir();
    for (program, first) in [(agent, " link up hub 198.18.0.1"), (hub, " hub clients 2 in - ")] {
        let watch = format!("{program} status --watch --interval 100ms");
        let (lines, said) = first_lines(&watch, 6, dir)?;
        ensure!(lines.len() == 6 && lines[0].contains(first), "{lines:#?}");
        ensure!(lines.iter().any(|it| it.contains(&b.vip) && it.contains("bit/s")), "{lines:#?}");
        ensure!(lines.iter().all(|it| !it.contains('\x1b')), "{lines:#?}");
        ensure!(said == "code 0\n", "{said}");

        let (lines, said) = first_lines(&format!("{watch} --json"), 3, dir)?;
        ensure!(lines.len() == 3 && said == "code 0\n", "{lines:#?}\n{said}");
        for line in &lines {
            let object: serde_json::Value = serde_json::from_str(line).context(line.clone())?;
            let schema = object["schema"].as_str().unwrap_or_default();
            ensure!(schema.ends_with("status/1"), "{line}");
        }
    }
    Ok(())
}

#[test]
fn nobody_to_watch_is_an_error_and_no_picture() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let host = &net.hosts[0];
    let socket = Hub::socket(&net);
    let mut hub = Command::new(binary("dosp-server")?);
    let output = hub.args(["status", "--watch", "--socket", &socket]).output()?;
    ensure!(output.status.code() == Some(3) && output.stdout.is_empty(), "{output:?}");
    host.agent(&["status", "--watch"])?.exits(3)?;
    host.agent(&["status", "--interval", "1s"])?.exits(2)?;
    host.agent(&["status", "--watch", "--interval", "1ms"])?.exits(2)?.says(&["100ms to 24h"])?;
    Ok(())
}
