//! What two agents say to each other: proven to them, hidden from the hub.

use anyhow::{Result, ensure};
use dosp_tests::{Agent, Hub, Net, needs_root};

use crate::common::{Lied, listen, messages, parse, restart, say};
use dosp_tests::wait_until;
use std::time::Duration;

#[test]
fn a_message_is_authenticated_and_the_hub_never_sees_its_text() -> Result<()> {
    needs_root!();
    let lied = Lied::start(2)?;
    let (a, b) = lied.pair();
    let heard = listen(b.host())?;

    let sent = say(a.host(), &b.vip, "a secret of two hosts")?;

    ensure!(!sent.stderr.contains("UNAUTHENTICATED"), "{sent}");
    wait_until("it is heard", Duration::from_secs(10), || Ok(!messages(&heard)?.is_empty()))?;
    let message = &messages(&heard)?[0];
    ensure!(message["authenticated"] == true && message["sealed"] == true, "{message}");
    ensure!(message["text"] == "a secret of two hosts", "{message}");
    ensure!(!lied.liar.has_seen(b"a secret of two hosts"), "the hub can read it");
    a.host().agent(&["send", &b.vip, "for everybody", "--plain"])?.ok()?;
    ensure!(lied.liar.has_seen(b"for everybody"), "the recording is empty");
    Ok(())
}

#[test]
fn echoes_through_the_tun_are_hidden_from_the_hub() -> Result<()> {
    needs_root!();
    let lied = Lied::start(2)?;
    let (a, b) = lied.pair();

    // Without -w it waits an interval for the last answer, which may be too short on a busy machine.
    let ping = format!("ping -n -c 20 -i 0.05 -w 10 -p c0ffee5afe {}", b.vip);
    let output = a.ns().sh(&ping)?.ok()?;

    ensure!(output.stdout.contains("20 received"), "{output}");
    ensure!(!lied.liar.has_seen(&[0xC0, 0xFF, 0xEE, 0x5A, 0xFE]), "the hub can read it");
    Ok(())
}

#[test]
fn an_agent_of_version_1_gets_messages_and_no_ip() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;
    let old = Agent::up(&net, 0, &["--c2c", "v1", "--version1", "all"])?;
    let new = Agent::up(&net, 1, &[])?;

    for (from, to) in [(&old, &new), (&new, &old)] {
        let heard = listen(to.host())?;
        say(from.host(), &to.vip, "from long ago")?.says(&["UNAUTHENTICATED"])?;
        wait_until("it is heard", Duration::from_secs(10), || Ok(!messages(&heard)?.is_empty()))?;
        let message = &messages(&heard)?[0];
        ensure!(message["authenticated"] == false && message["sealed"] == true, "{message}");
    }
    ensure!(!old.reaches(&new.vip)?, "IP came in through version 1");
    ensure!(!new.reaches(&old.vip)?, "IP went out through version 1");
    Ok(())
}

#[test]
fn status_and_peers_show_who_is_at_the_other_end() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;
    let a = Agent::up(&net, 0, &["--name", "alice"])?;
    let b = Agent::up(&net, 1, &["--name", "bob"])?;
    say(a.host(), &b.vip, "hello")?;
    a.host().agent(&["ping", "bob", "-c", "1"])?.ok()?;

    let of_b = b.host().status()?;
    let status = a.host().status()?;
    let peers = parse(&a.host().agent(&["peers", "--json"])?.ok()?.stdout)?;

    ensure!(of_b["name"] == "bob" && status["name"] == "alice", "{status} {of_b}");
    ensure!(peers["schema"] == "dosp.peers/1", "{peers}");
    for peer in [&status["peers"][0], &peers["peers"][0]] {
        ensure!(peer["vip"] == b.vip.as_str() && peer["name"] == "bob", "{peer}");
        ensure!(peer["fingerprint"] == of_b["fingerprint"], "{peer} is not {of_b}");
        ensure!(peer["tunnel_version"] == 2 && peer["authenticated"] == true, "{peer}");
        ensure!(peer["session_age_ns"].is_u64() && peer["dropped"].is_object(), "{peer}");
    }
    Ok(())
}

#[test]
fn agents_that_were_restarted_find_each_other_again() -> Result<()> {
    needs_root!();
    let mut lied = Lied::start(2)?;

    lied.pin_and_restart()?;

    let (a, b) = lied.pair();
    a.ping(&b.vip)?;
    b.ping(&a.vip)
}

#[test]
fn a_peer_that_was_restarted_is_reached_by_the_next_message() -> Result<()> {
    needs_root!();
    let net = Net::star(2)?;
    let _hub = Hub::start(&net, &[])?;
    let a = Agent::up(&net, 0, &[])?;
    let b = Agent::up(&net, 1, &[])?;
    a.ping(&b.vip)?;
    let b = restart(&net, 1, b, &[])?;

    a.host().agent(&["ping", &b.vip, "-c", "3", "-i", "0.5"])?.ok()?;

    a.ping(&b.vip)
}
