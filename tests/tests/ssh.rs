//! What the network is for: ssh and scp from one host to another.

use std::time::Duration;

use anyhow::{Result, ensure};
use dosp_tests::ssh::{Sshd, random_file, sha256};
use dosp_tests::{Overlay, needs_root};

#[test]
fn ssh_runs_a_command_on_the_other_host() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();
    let sshd = Sshd::start(b)?;

    let output = sshd.run(a, "echo $SSH_CONNECTION")?.ok()?;

    let words: Vec<&str> = output.stdout.split_whitespace().collect();
    ensure!(words[0] == a.vip && words[2] == b.vip, "{output}");
    Ok(())
}

#[test]
fn scp_of_20_mb_arrives_as_it_was() -> Result<()> {
    needs_root!();
    let overlay = Overlay::start(2)?;
    let (a, b) = overlay.pair();
    let sshd = Sshd::start(b)?;
    let (from, to) = (overlay.net.dir().join("from"), overlay.net.dir().join("to"));
    random_file(&from, 20_000_000)?;

    sshd.start_scp(a, &from, &to, 10_000)?.output(Duration::from_secs(60))?.ok()?;

    ensure!(sha256(&from)? == sha256(&to)?, "the copy differs");
    Ok(())
}
