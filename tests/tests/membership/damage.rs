//! A hub whose state folder is no good, or not its own.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use dosp_tests::dosp::binary;
use dosp_tests::{Hub, Net, Output, needs_root};

use crate::common::Members;

/// What a hub says that starts with this configuration on a port of its own.
fn start(net: &Net) -> Result<Output> {
    let path = |name: &str| net.dir().join(name).display().to_string();
    let (config, socket) = (path("server.toml"), path("second.sock"));
    let args = ["--config", &config, "--socket", &socket, "--listen", "0.0.0.0:7799"];
    let process = net.hub.spawn("dosp-server", &binary("dosp-server")?, &args)?;
    process.output(Duration::from_secs(10))
}

/// Whether it ended at once, with one line that has `words`, and a hint.
fn is_clear(output: Output, words: &[&str]) -> Result<()> {
    let output = output.exits(1)?.says(words)?;
    let lines: Vec<&str> =
        output.stderr.lines().skip_while(|line| !line.starts_with("dosp-server: ")).collect();
    let is_clear = lines.len() == 2 && lines[1].starts_with("hint: ");
    ensure!(is_clear, "not one line and a hint: {output}");
    Ok(())
}

#[test]
fn damaged_members_stop_the_hub_and_are_left_as_they_are() -> Result<()> {
    needs_root!();
    let Members { agents: _agents, mut hub, net } = Members::start(1)?;
    hub.terminate()?;
    let file = Hub::state(&net).join("members.redb");
    let good = fs::read(&file)?;
    let mut scratched = good.clone();
    for byte in scratched.iter_mut().skip(4096) {
        *byte = 0xA5;
    }
    let cases = [vec![0x5A; good.len()], good[..good.len() / 2].to_vec(), scratched, b"x".to_vec()];
    for (i, bad) in cases.iter().enumerate() {
        fs::write(&file, bad)?;
        let output = start(&net)?;
        is_clear(output, &["members.redb"]).map_err(|error| error.context(format!("case {i}")))?;
        ensure!(fs::read(&file)? == *bad, "case {i}: the file has changed");
    }
    fs::write(&file, good)?;
    hub.start_again()?;
    ensure!(hub.nodes()?.len() == 1, "the member is gone");
    Ok(())
}

#[test]
fn second_hub_with_the_same_state_is_refused() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let hub = Hub::closed(&net)?;

    is_clear(start(&net)?, &["a running hub uses"])?;

    ensure!(hub.nodes()?.is_empty(), "the first one goes on");
    Ok(())
}
