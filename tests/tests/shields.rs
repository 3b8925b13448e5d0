//! `--shields-up`: nobody comes in who was not called.

use anyhow::{Result, ensure};
use dosp_tests::{Agent, Hub, Net, needs_root};

#[test]
fn with_shields_up_only_a_peer_that_we_sent_to_gets_in() -> Result<()> {
    needs_root!();
    let net = Net::star(3)?;
    let _hub = Hub::start(&net, &[])?;
    let a = Agent::up(&net, 0, &[])?;
    let shielded = Agent::up(&net, 1, &["--shields-up"])?;
    let c = Agent::up(&net, 2, &[])?;

    ensure!(!a.reaches(&shielded.vip)?, "a stranger came in");
    ensure!(shielded.dropped("shield")? > 0, "not counted: {}", shielded.host().status()?);

    shielded.ping(&a.vip)?;
    a.ping(&shielded.vip)?;
    ensure!(!c.reaches(&shielded.vip)?, "another stranger came in");
    Ok(())
}

#[test]
fn without_shields_up_says_that_everyone_may_connect() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;

    let mut open = Agent::up(&net, 0, &[])?;
    let mut shielded = Agent::up(&net, 1, &["--shields-up"])?;

    let said = open.process().stderr()?;
    ensure!(said.contains("--shields-up"), "no warning: {said}");
    let said = shielded.process().stderr()?;
    ensure!(!said.contains("--shields-up"), "warned all the same: {said}");
    Ok(())
}
