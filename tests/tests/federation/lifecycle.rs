//! Hubs that end and begin again, and links that both ends begin.

use std::time::Duration;

use anyhow::{Result, ensure};
use dosp_tests::{Courier, Federation, Hub, needs_root, wait_until};

use crate::common::{FAILOVER, HEALED, peer, wait_until_reached};

/// A link that is as old as this is not about to be replaced by another one.
const SETTLED: Duration = Duration::from_secs(1);

#[test]
fn killed_hub_in_the_middle_is_back_with_all_its_links() -> Result<()> {
    needs_root!();
    middle_ends(Hub::kill)
}

#[test]
fn hub_in_the_middle_that_is_told_to_end_is_back_with_all_its_links() -> Result<()> {
    needs_root!();
    middle_ends(Hub::terminate)
}

fn middle_ends(end: impl FnOnce(&mut Hub) -> Result<()>) -> Result<()> {
    let mut chain = Federation::start(3, &[(0, 1), (1, 2)])?;
    let courier = Courier::start(&chain.nets[0].hosts[0], &chain.nets[2].hosts[0])?;
    courier.wait_for_next(HEALED)?;
    wait_until_reached(&chain, 0, 2)?;

    end(&mut chain.hubs[1])?;
    for (from, to) in [(0, 2), (0, 1), (2, 0), (2, 1)] {
        chain.wait_for_hops(from, to, None, FAILOVER)?;
    }
    chain.hubs[1].start_again()?;

    chain.wait_until_linked()?;
    courier.wait_for_next(FAILOVER)?;
    courier.missing(0)?;
    wait_until_reached(&chain, 0, 2)?;
    wait_until_reached(&chain, 0, 1)
}

#[test]
fn one_link_stays_where_both_hubs_dial() -> Result<()> {
    needs_root!();
    let mut pair = Federation::hubs(2, &[(0, 1)])?;
    for _ in 0..5 {
        pair.wait_until_linked()?;
        wait_until("one link is left", HEALED, || is_settled(&pair))?;
        pair.hubs.iter_mut().try_for_each(Hub::kill)?;
        pair.hubs.iter_mut().try_for_each(Hub::begin_again)?;
    }
    Ok(())
}

/// Whether there is one connection, of which both hubs think the same, and has been for a while.
fn is_settled(pair: &Federation) -> Result<bool> {
    let [here, there] = [peer(pair, 0, 1)?, peer(pair, 1, 0)?];
    let dialled = [&here["dialled_by"], &there["dialled_by"]];
    let is_one = dialled == ["us", "them"] || dialled == ["them", "us"];
    let is_old = |ns: Option<u64>| ns.is_some_and(|ns| Duration::from_nanos(ns) > SETTLED);
    if !is_one || ![here, there].iter().all(|peer| is_old(peer["up_for_ns"].as_u64())) {
        return Ok(false);
    }
    let listed = pair.nets[0].hub.sh("ss -Htn state established dst 198.19.0.2")?.ok()?.stdout;
    ensure!(listed.lines().count() == 1, "not one connection:\n{listed}");
    Ok(true)
}
