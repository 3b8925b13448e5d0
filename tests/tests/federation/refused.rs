//! Hubs that are not who they should be: no link, no route, and both operators can see why.

use std::sync::Arc;

use anyhow::{Result, ensure};
use dosp_proto::identity::PublicKey;
use dosp_tests::federation::{cabled, peers_of, start_hub};
use dosp_tests::{Agent, Federation, Hub, Net, needs_root, wait_until};

use crate::common::{AT_ONCE, HEALED};

const PAIR: [(usize, usize); 1] = [(0, 1)];

#[test]
fn hub_with_another_key_than_the_configured_one_is_refused() -> Result<()> {
    needs_root!();
    let nets = cabled(2, &PAIR)?;
    let wrong = format!("198.19.0.2=7.11.0.0/24,key={}", PublicKey::from([7; 32]));
    let hub0 = start_hub(&nets[0], 0, &[wrong])?;
    let hub1 = start_hub(&nets[1], 1, &peers_of(1, &PAIR))?;

    says(&hub0, "it shows the key ")?;
    is_shown_out([hub0, hub1], &nets)
}

#[test]
fn hub_that_is_no_peer_is_refused() -> Result<()> {
    needs_root!();
    let nets = cabled(2, &PAIR)?;
    let hub0 = start_hub(&nets[0], 0, &[])?;
    let hub1 = start_hub(&nets[1], 1, &peers_of(1, &PAIR))?;

    is_shown_out([hub0, hub1], &nets)
}

/// Waits until both say that the second hub is no peer of the first.
fn is_shown_out(hubs: [Hub; 2], nets: &[Arc<Net>]) -> Result<()> {
    says(&hubs[1], "this hub does not have yours for a peer")?;
    wait_until("the log tells of the stranger", HEALED, || {
        Ok(hubs[0].log()?.contains("is none of a peer's"))
    })?;
    nothing_is_routed(&hubs, nets)
}

#[test]
fn hub_whose_key_has_changed_is_refused() -> Result<()> {
    needs_root!();
    let mut pair = Federation::hubs(2, &PAIR)?;
    pair.wait_until_linked()?;
    pair.hubs[1].kill()?;
    std::fs::remove_dir_all(Hub::state(&pair.nets[1]))?;

    pair.hubs[1].start_again()?;

    says(&pair.hubs[0], "key")?;
    says(&pair.hubs[1], "this hub does not have yours for a peer")?;
    nothing_is_routed(&pair.hubs, &pair.nets)
}

/// Waits until `peers` and the log of a hub both tell why there is no link.
fn says(hub: &Hub, words: &str) -> Result<()> {
    wait_until(words, HEALED, || {
        let peers = hub.peers()?;
        let error = peers["peers"][0]["last_error"].as_str().unwrap_or_default().to_owned();
        let is_logged = |line: &str| line.contains("no link") && line.contains(words);
        Ok(error.contains(words) && hub.log()?.lines().any(is_logged))
    })
}

fn nothing_is_routed(hubs: &[Hub], nets: &[Arc<Net>]) -> Result<()> {
    for (hub, net) in hubs.iter().zip(nets) {
        let peers = hub.peers()?;
        ensure!(peers["routes"].as_array().is_some_and(Vec::is_empty), "{peers}");
        let states = peers["peers"].as_array().into_iter().flatten();
        ensure!(states.clone().all(|peer| peer["state"] != "up"), "{peers}");
        let agent = Agent::up(net, 0, &[])?;
        let other = if agent.vip.starts_with("7.10.") { "7.11.0.2" } else { "7.10.0.2" };
        let output = agent.host().agent(&["send", other, "hello"])?;
        ensure!(output.code != Some(0) && output.took < AT_ONCE, "{output}");
    }
    Ok(())
}
