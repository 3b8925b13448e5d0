//! Many tables and the links between them, in virtual time.

mod dice;
mod hub;
mod world;

use dice::Dice;
use hub::Kind;
use world::World;

/// Long enough for every message to arrive, and for what is told every 30 s to be told everywhere.
const QUIET_TIME: u64 = 15_000;

/// A tree and some more links, in an order that makes long ways likely.
fn any_cables(dice: &mut Dice, num_hubs: usize) -> Vec<(usize, usize)> {
    let is_line = dice.one_in(3);
    let mut cables: Vec<_> =
        (1..num_hubs).map(|hub| (if is_line { hub - 1 } else { dice.below(hub) }, hub)).collect();
    for _ in 0..dice.below(num_hubs) {
        let (a, b) = (dice.below(num_hubs), dice.below(num_hubs));
        let cable = (a.min(b), a.max(b));
        if a != b && !cables.contains(&cable) {
            cables.push(cable);
        }
    }
    cables
}

fn ours(num_hubs: usize, cables: &[(usize, usize)], seed: u64) -> World {
    World::new(&vec![Kind::Ours; num_hubs], cables, seed)
}

#[test]
fn hubs_find_the_shortest_ways_whatever_is_cut_and_killed() {
    for seed in 0..80 {
        let mut dice = Dice::new(seed);
        let num_hubs = 2 + dice.below(11);
        let cables = any_cables(&mut dice, num_hubs);
        let mut world = ours(num_hubs, &cables, seed);
        for _ in 0..3 {
            world.make_trouble(30_000);
            world.run(QUIET_TIME);
            world.assert_converged();
        }
    }
}

#[test]
fn published_hubs_in_the_middle_keep_no_frame_alive() {
    for seed in 100..180 {
        let mut dice = Dice::new(seed);
        let num_hubs = 3 + dice.below(10);
        let cables = any_cables(&mut dice, num_hubs);
        let kinds = [Kind::Ours, Kind::Ours, Kind::Published];
        let kinds: Vec<_> = (0..num_hubs).map(|_| kinds[dice.below(kinds.len())]).collect();
        let mut world = World::new(&kinds, &cables, seed);
        for _ in 0..3 {
            world.make_trouble(30_000);
            world.run(QUIET_TIME);
            world.assert_published_are_reached();
        }
    }
}

/// Such a hub takes the TTL away and does not see loops, so a frame may travel round and round, but
/// only until all have heard what has changed.
#[test]
fn published_hubs_that_pass_on_routes_keep_no_frame_alive_for_ever() {
    for seed in 200..240 {
        let mut dice = Dice::new(seed);
        let num_hubs = 3 + dice.below(10);
        let cables = any_cables(&mut dice, num_hubs);
        let kinds = [Kind::Ours, Kind::Ours, Kind::Relaying];
        let kinds: Vec<_> = (0..num_hubs).map(|_| kinds[dice.below(kinds.len())]).collect();
        let mut world = World::new(&kinds, &cables, seed);
        world.max_links = usize::MAX;
        world.make_trouble(60_000);
        world.run(600_000);
        world.assert_no_frame_is_on_its_way();
    }
}

#[test]
fn ring_of_three_takes_the_other_way_round() {
    let ring = [(0, 1), (1, 2), (0, 2)];
    for (cut, (a, b)) in ring.into_iter().enumerate() {
        let mut world = ours(3, &ring, 7);
        world.run(2_000);
        world.assert_converged();
        assert_eq!(world.num_hops(a, b), Some(1));
        world.cut(cut);
        world.run(5_000);
        world.assert_converged();
        assert_eq!((world.num_hops(a, b), world.num_hops(b, a)), (Some(2), Some(2)));
        world.heal(cut);
        world.run(5_000);
        world.assert_converged();
        assert_eq!((world.num_hops(a, b), world.num_hops(b, a)), (Some(1), Some(1)));
    }
}

#[test]
fn nothing_is_reached_over_more_than_eight_links() {
    let line: Vec<_> = (1..12).map(|hub| (hub - 1, hub)).collect();
    let mut world = ours(12, &line, 3);
    world.run(QUIET_TIME);
    world.assert_converged();
    assert_eq!((world.num_hops(0, 8), world.num_hops(0, 9)), (Some(8), None));
}

#[test]
fn killed_hub_is_forgotten_by_all() {
    let cables: Vec<_> = (0..6).flat_map(|b| (0..b).map(move |a| (a, b))).collect();
    let mut world = ours(6, &cables, 5);
    world.run(5_000);
    world.assert_converged();
    world.kill(2);
    world.run(30_000);
    world.assert_converged();
    assert!((0..6).all(|hub| world.num_hops(hub, 2).is_none()));
    world.revive(2);
    world.run(30_000);
    world.assert_converged();
    assert_eq!(world.num_hops(0, 2), Some(1));
}
