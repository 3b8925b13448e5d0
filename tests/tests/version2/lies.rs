//! A hub that lies to its agents gets nothing for it.

use anyhow::{Result, ensure};
use dosp_tests::{Lie, needs_root};

use crate::common::{Lied, listen, say, say_until_sent, texts};

const SECRET: &str = "not for the hub";

#[test]
fn version_2_that_is_cut_off_is_refused() -> Result<()> {
    needs_root!();
    let mut lied = Lied::start(2)?;
    lied.pin_and_restart()?;

    let delivered = lied.delivered(Lie::Strip, &[SECRET])?;

    ensure!(delivered.is_empty(), "delivered: {delivered:?}");
    ensure!(!lied.liar.has_seen(SECRET.as_bytes()), "the hub has read it");
    Ok(())
}

#[test]
fn other_keys_in_handshakes_make_no_tunnel() -> Result<()> {
    needs_root!();
    let mut lied = Lied::start(2)?;
    lied.pin_and_restart()?;

    let delivered = lied.delivered(Lie::SwapKeys, &[SECRET])?;

    ensure!(delivered.is_empty(), "delivered: {delivered:?}");
    ensure!(!lied.liar.has_seen(SECRET.as_bytes()), "the hub has read it");
    Ok(())
}

#[test]
fn other_keys_in_handshakes_of_strangers_make_no_tunnel() -> Result<()> {
    needs_root!();
    let lied = Lied::start(2)?;

    let delivered = lied.delivered(Lie::SwapKeys, &[SECRET])?;

    ensure!(delivered.is_empty(), "delivered: {delivered:?}");
    ensure!(!lied.liar.has_seen(SECRET.as_bytes()), "the hub has read it");
    Ok(())
}

#[test]
fn what_goes_to_another_peer_is_not_delivered_there() -> Result<()> {
    needs_root!();
    let lied = Lied::start(3)?;
    let [a, b, c] = &lied.agents[..] else { unreachable!("three agents") };
    for peer in [b, c] {
        say(a.host(), &peer.vip, "hello")?;
        say(peer.host(), &a.vip, "hello")?;
    }
    let (by_b, by_c) = (listen(b.host())?, listen(c.host())?);

    lied.liar.tell(Lie::SwapVips(b.vip.parse()?, c.vip.parse()?));
    for peer in [b, c] {
        a.host().agent(&["send", &peer.vip, SECRET])?;
    }

    ensure!(lied.liar.num_lies() > 0, "the hub had nothing to lie about");
    lied.liar.tell(Lie::None);
    for (peer, heard) in [(b, &by_b), (c, &by_c)] {
        say_until_sent(a.host(), &peer.vip, "that was all")?;
        let texts = crate::common::heard_until_end(heard)?;
        ensure!(texts.is_empty(), "{} heard {texts:?}", peer.vip);
    }
    ensure!(b.dropped("")? + c.dropped("")? > 0, "nothing was counted: {}", b.host().status()?);
    ensure!(!lied.liar.has_seen(SECRET.as_bytes()), "the hub has read it");
    Ok(())
}

#[test]
fn frames_that_are_replayed_are_delivered_once() -> Result<()> {
    needs_root!();
    once(|_| Lie::Replay)
}

#[test]
fn frames_that_are_reflected_are_delivered_once_and_not_to_their_sender() -> Result<()> {
    needs_root!();
    once(|_| Lie::Reflect)
}

#[test]
fn frames_in_the_name_of_another_peer_are_not_delivered() -> Result<()> {
    needs_root!();
    once(|lied| Lie::ForgeSrc(lied.agents[2].vip.parse().unwrap_or_else(|_| unreachable!())))
}

#[test]
fn plain_text_in_the_name_of_a_peer_with_a_tunnel_is_not_delivered() -> Result<()> {
    needs_root!();
    once(|_| Lie::Inject(b"I am your peer".to_vec()))
}

/// Twenty messages arrive once each, whatever the hub does, and none at their sender.
fn once(lie: impl FnOnce(&Lied) -> Lie) -> Result<()> {
    let lied = Lied::start(3)?;
    let (a, b) = lied.pair();
    say(a.host(), &b.vip, "hello")?;
    let at_sender = listen(a.host())?;
    let sent: Vec<String> = (0..20).map(|number| format!("message {number}")).collect();

    let delivered =
        lied.delivered(lie(&lied), &sent.iter().map(String::as_str).collect::<Vec<_>>())?;

    ensure!(delivered == sent, "delivered: {delivered:?}");
    ensure!(texts(&at_sender)?.is_empty(), "its sender heard {:?}", texts(&at_sender)?);
    Ok(())
}
