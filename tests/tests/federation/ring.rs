//! Three hubs, each linked with the two others: when one wire is cut there is another way.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dosp_tests::{Courier, Federation, needs_root};

use crate::common::{FAILOVER, HEALED};

const RING: [(usize, usize); 3] = [(0, 1), (1, 2), (2, 0)];
/// A machine that is busy may be late once.
const ATTEMPTS: usize = 2;
/// Messages that were on their way when a wire was cut, or when its cutting was noticed: half a second's.
const NUM_IN_FLIGHT: u64 = 50;

/// The messages that may be lost, by number.
type Outage = std::ops::Range<u64>;

#[test]
fn messages_take_the_other_way_within_3_s_and_none_comes_twice() -> Result<()> {
    needs_root!();
    let ring = Federation::start(3, &RING)?;
    for (wire, &ends) in RING.iter().enumerate() {
        let couriers = [ends, (ends.1, ends.0)]
            .map(|(from, to)| Courier::start(&ring.nets[from].hosts[0], &ring.nets[to].hosts[0]));
        let couriers = couriers.into_iter().collect::<Result<Vec<_>>>()?;
        let mut outages = vec![Vec::new(); couriers.len()];
        let mut slowest = Duration::MAX;
        for _ in 0..ATTEMPTS {
            slowest = cut_and_heal(&ring, wire, &couriers, &mut outages)?;
            if slowest < FAILOVER {
                break;
            }
        }
        ensure!(slowest < FAILOVER, "wire {wire} was cut for {slowest:?}");
        for (courier, outages) in couriers.iter().zip(&outages) {
            let last = courier.wait_for_next(Duration::from_secs(5))?;
            let missing = courier.missing(last.number)?;
            let is_excused = |number: &u64| outages.iter().any(|outage| outage.contains(number));
            let lost: Vec<_> = missing.iter().filter(|number| !is_excused(number)).collect();
            ensure!(lost.is_empty(), "lost {lost:?} outside of {outages:?}, wire {wire}");
        }
    }
    Ok(())
}

/// Cuts a wire, waits for messages on the other way, heals it, and waits until it is used again; how long
/// the slower courier was cut.
fn cut_and_heal(
    ring: &Federation,
    wire: usize,
    couriers: &[Courier],
    outages: &mut [Vec<Outage>],
) -> Result<Duration> {
    let (a, b) = RING[wire];
    for courier in couriers {
        courier.wait_for_next(Duration::from_secs(5))?;
    }
    let first: Vec<_> = couriers.iter().map(Courier::num_sent).collect();
    ring.cut(wire)?;
    let cut_at = Instant::now();
    let mut slowest = Duration::ZERO;
    for ((courier, outages), first) in couriers.iter().zip(outages).zip(first) {
        let arrival = courier.wait_for_next(Duration::from_secs(10))?;
        slowest = slowest.max(arrival.at.duration_since(cut_at));
        outages.push(first.saturating_sub(NUM_IN_FLIGHT)..arrival.number + NUM_IN_FLIGHT);
    }
    for (from, to) in [(a, b), (b, a)] {
        ring.wait_for_hops(from, to, Some(2), FAILOVER)?;
    }

    ring.heal(wire)?;
    for (from, to) in [(a, b), (b, a)] {
        ring.wait_for_hops(from, to, Some(1), HEALED)?;
    }
    Ok(slowest)
}

#[test]
fn wire_that_is_pulled_out_is_one_that_is_cut() -> Result<()> {
    needs_root!();
    let ring = Federation::start(3, &RING)?;
    let courier = Courier::start(&ring.nets[0].hosts[0], &ring.nets[1].hosts[0])?;
    courier.wait_for_next(Duration::from_secs(5))?;

    ring.plug(0, false)?;

    courier.wait_for_next(Duration::from_secs(10))?;
    ring.wait_for_hops(0, 1, Some(2), FAILOVER)?;
    ring.agents[0].ping(&ring.agents[1].vip)?;
    ring.plug(0, true)?;
    ring.wait_for_hops(0, 1, Some(1), HEALED)?;
    courier.wait_for_next(Duration::from_secs(5))?;
    courier.missing(0)?;
    Ok(())
}

#[test]
fn packets_of_agents_take_the_other_way() -> Result<()> {
    needs_root!();
    let ring = Federation::start(3, &RING)?;
    let (a, b) = (&ring.agents[0], &ring.agents[1]);
    a.ping(&b.vip)?;

    ring.cut(0)?;

    ring.wait_for_hops(0, 1, Some(2), FAILOVER + FAILOVER)?;
    ring.wait_for_hops(1, 0, Some(2), FAILOVER + FAILOVER)?;
    a.ping(&b.vip)?;
    let output = a.host().agent(&["ping", &b.vip, "-c", "1"])?.ok()?;
    ensure!(output.stdout.contains(", via hub1, 3 hubs"), "{output}");
    Ok(())
}
