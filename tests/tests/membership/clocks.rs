//! A host whose clock is wrong: what has expired is for the hub to say.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_tests::{Hub, Net, needs_root, wait_until};

/// Laid over the system's clock: a year later, for the time of day alone.
const LATER: &str = "
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *time) {
    int status = syscall(SYS_clock_gettime, id, time);
    if (id == CLOCK_REALTIME) time->tv_sec += 366 * 86400;
    return status;
}
";

#[test]
fn host_whose_clock_is_a_year_ahead_joins_and_is_told() -> Result<()> {
    needs_root!();
    let net = Net::star(1)?;
    let hub = Hub::closed(&net)?;
    let (source, library) = (net.dir().join("later.c"), net.dir().join("later.so"));
    fs::write(&source, LATER)?;
    let args = ["-shared", "-fPIC", "-o"];
    let made = Command::new("cc").args(args).arg(&library).arg(&source).status();
    ensure!(made.context("run cc")?.success(), "the clock does not build");
    let host = &net.hosts[0];
    let join_string = hub.invite(&["--ttl", "1h"])?;
    let later = |args: &str| -> Result<String> {
        let program = host.agent_command()?.join(" ");
        Ok(format!("export LD_PRELOAD={}; exec {program} {args}", library.display()))
    };

    host.ns.sh(&later(&format!("join {join_string}"))?)?.ok()?;
    let agent = host.ns.spawn_sh(&later("up")?)?.shown_on_drop();

    wait_until("the agent is up", Duration::from_secs(20), || Ok(host.vip_if_up().is_some()))?;
    ensure!(agent.stderr()?.contains("clocks of this host and of the hub differ"), "not a word");
    Ok(())
}
