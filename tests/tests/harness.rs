//! The harness keeps what the other tests rely on.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use dosp_tests::{Net, needs_root, wait_until};

#[test]
fn hosts_reach_the_hub_and_not_each_other() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;

    net.hosts[0].ns.sh("ping -n -c 1 -W 2 198.18.0.1")?.ok()?;
    net.hosts[0].ns.sh("ping -n -c 1 -W 1 198.18.1.2")?.exits(1)?;
    Ok(())
}

#[test]
fn a_dropped_net_leaves_no_process_and_no_namespace() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let name = net.hosts[0].ns.sh("ip netns identify")?.ok()?.stdout;
    // It outlives its parent, as a program that goes to the background does.
    let pid = net.hosts[0].ns.sh("setsid sleep 600 >/dev/null 2>&1 & echo $!")?.ok()?.stdout;
    // While it becomes another program it has no command line.
    wait_until("the process starts", Duration::from_secs(5), || Ok(runs(pid.trim())))?;

    drop(net);

    // A process that was killed ends when the kernel gets to it.
    wait_until("the process ends", Duration::from_secs(5), || Ok(!runs(pid.trim())))?;
    ensure!(!Path::new("/run/netns").join(name.trim()).exists(), "{name} is still there");
    Ok(())
}

#[test]
fn a_program_that_does_not_end_in_time_is_killed_and_an_error() -> Result<()> {
    needs_root!();
    let net = Net::star(0)?;
    let sleep = net.hub.spawn_sh("echo started; exec sleep 600")?;
    let pid = sleep.pid().to_string();

    let error = sleep.output(Duration::from_millis(200)).err().map(|it| it.to_string());

    ensure!(error.as_ref().is_some_and(|it| it.contains("started")), "{error:?}");
    ensure!(!runs(&pid), "it still runs");
    Ok(())
}

/// Whether a process runs: one that has ended but was not waited for has no command line.
fn runs(pid: &str) -> bool {
    fs::read(Path::new("/proc").join(pid).join("cmdline")).is_ok_and(|it| !it.is_empty())
}
