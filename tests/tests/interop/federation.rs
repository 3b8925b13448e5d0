//! Published hubs and ours as peers, with clients and agents at both.
//!
//! Ours is at 127.0.0.1 and has the network 7.10.0.0/24. A published hub has an address of its own, as
//! it is known by that alone.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_agent::engine::Version as TunnelVersion;
use dosp_server::Config;
use dosp_server::config::parse_peer;
use dosp_server::control::wire::{DialledBy, LinkState};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::interop_with_our_agent::{agent_opens, client_opens, exchange_sealed};
use crate::ours::{Agent, Hub};
use crate::peers::{
    FAR, FARTHEST, NOBODY, OURS, PATIENCE, THEIRS, both, has_route, host, net, ours, pass,
    pass_both_ways, peer, silent_peer, status, theirs, vip, wait_for, wait_for_route,
    wait_until_up,
};
use crate::published::{self, Client, Version};
use crate::with_every_version;

with_every_version!(
    hub_that_we_dial_takes_frames,
    hub_that_dials_us_gets_answers_on_its_link,
    hubs_that_both_dial_exchange_plain_messages,
    tunnel_across_hubs_that_the_client_opens,
    tunnel_across_hubs_that_the_agent_opens,
    tunnel_between_published_clients_across_hubs,
    agents_of_two_hubs_with_a_published_one_between,
    published_hubs_with_ours_between,
    published_hubs_with_two_of_ours_between,
    our_advertisement_is_learned_or_empty,
    their_advertisement_is_learned_within_what_they_may_speak_for,
    liar_behind_a_published_hub_is_not_heard,
    hub_that_is_not_switched_on_is_a_client,
    idle_links_live,
    hub_that_stops_is_dialled_again,
);

/// A published dialler drops a link on which it hears nothing for 5 s; 0.2.1 a client after 30 s.
const IDLE: Duration = Duration::from_secs(33);

/// It has no peer of its own, and so sends no answer.
async fn hub_that_we_dial_takes_frames(version: Version) -> Result<()> {
    let theirs = theirs(version, THEIRS).await?;
    let ours = ours(OURS, vec![peer(theirs.addr, THEIRS, "")?])?;
    wait_until_up(&ours, THEIRS).await?;
    let mut here = Client::join(version, ours.addr).await?;
    let mut there = Client::join(version, theirs.addr).await?;
    // .2 is the link.
    assert_eq!((here.vip()?, there.vip()?), (vip(OURS, 2), vip(THEIRS, 3)));
    pass(&mut here, &mut there, b"one way").await
}

async fn hub_that_dials_us_gets_answers_on_its_link(version: Version) -> Result<()> {
    let mut theirs = theirs(version, THEIRS).await?;
    let ours = ours(OURS, vec![silent_peer(THEIRS, "")?])?;
    theirs.add_peer(ours.addr, OURS).await?;
    let mut here = Client::join(version, ours.addr).await?;
    let mut there = Client::join(version, theirs.addr).await?;
    pass(&mut there, &mut here, b"dials").await?;
    let link = status(&ours, THEIRS)?;
    assert_eq!((link.state, link.dialled_by), (LinkState::Up, Some(DialledBy::Them)));
    pass_both_ways(&mut there, &mut here).await
}

async fn hubs_that_both_dial_exchange_plain_messages(version: Version) -> Result<()> {
    let (ours, theirs) = both(version).await?;
    let mut here = Client::join(version, ours.addr).await?;
    let mut there = Client::join(version, theirs.addr).await?;
    pass_both_ways(&mut here, &mut there).await?;
    let mut agent = Agent::up(ours.addr).await?;
    agent.send_plain(there.vip()?, b"plain").await?;
    assert_eq!(there.receive().await?.data, b"plain");
    there.send(agent.vip, b"plain too").await?;
    assert_eq!(agent.message().await?, (there.vip()?, false, b"plain too".to_vec()));
    assert!(!status(&ours, THEIRS)?.authenticated, "shown as UNAUTHENTICATED");
    Ok(())
}

async fn tunnel_across_hubs_that_the_client_opens(version: Version) -> Result<()> {
    let (ours, theirs) = both(version).await?;
    let mut agent = Agent::up(ours.addr).await?;
    let mut client = Client::join(version, theirs.addr).await?;
    client_opens(&mut client, &mut agent).await?;
    exchange_sealed(&mut client, &mut agent, 300).await
}

async fn tunnel_across_hubs_that_the_agent_opens(version: Version) -> Result<()> {
    let (ours, theirs) = both(version).await?;
    let mut agent = Agent::up(ours.addr).await?;
    let mut client = Client::join(version, theirs.addr).await?;
    agent_opens(&mut client, &agent).await?;
    exchange_sealed(&mut client, &mut agent, 300).await
}

/// The first opens it, and it carries messages both ways.
async fn tunnel_between(a: &mut Client, b: &mut Client) -> Result<()> {
    for client in [&mut *a, &mut *b] {
        client.ask("avoid_0x15", json!({})).await?;
    }
    let (a_vip, b_vip) = (a.vip()?, b.vip()?);
    let answered = b.ask("answer_handshake", json!({ "peer": a_vip.to_string() }));
    let (opened, answered) = tokio::join!(a.handshake(b_vip), answered);
    opened?;
    answered?;
    for number in 0..50u8 {
        pass(a, b, &[number; 100]).await?;
        pass(b, a, &[number; 100]).await?;
    }
    Ok(())
}

async fn tunnel_between_published_clients_across_hubs(version: Version) -> Result<()> {
    let (ours, theirs) = both(version).await?;
    let mut here = Client::join(version, ours.addr).await?;
    let mut there = Client::join(version, theirs.addr).await?;
    tunnel_between(&mut there, &mut here).await
}

/// The one between cannot say what lies behind it; `networks` does.
async fn agents_of_two_hubs_with_a_published_one_between(version: Version) -> Result<()> {
    let mut between = theirs(version, THEIRS).await?;
    let a = ours(OURS, vec![peer(between.addr, THEIRS, ",networks=7.12.0.0/24")?])?;
    let c = ours(FAR, vec![peer(between.addr, THEIRS, ",networks=7.10.0.0/24")?])?;
    between.add_peer(a.addr, OURS).await?;
    between.add_peer(c.addr, FAR).await?;
    wait_until_up(&a, THEIRS).await?;
    wait_until_up(&c, THEIRS).await?;
    let (mut alice, mut carol) = (Agent::up(a.addr).await?, Agent::up(c.addr).await?);
    for data in [b"hello".to_vec(), vec![7; 1_000_000]] {
        alice.send(carol.vip, &data).await?;
        assert_eq!(carol.tunnelled().await?, (alice.vip, Some(TunnelVersion::Two), data.clone()));
        carol.send(alice.vip, &data).await?;
        assert_eq!(alice.tunnelled().await?, (carol.vip, Some(TunnelVersion::Two), data));
    }
    let mut here = Client::join(version, a.addr).await?;
    let mut there = Client::join(version, c.addr).await?;
    pass_both_ways(&mut here, &mut there).await
}

async fn published_hubs_with_ours_between(version: Version) -> Result<()> {
    let (mut a, mut c) = (theirs(version, THEIRS).await?, theirs(version, FAR).await?);
    let ours = ours(OURS, vec![peer(a.addr, THEIRS, "")?, peer(c.addr, FAR, "")?])?;
    for network in [OURS, FAR] {
        a.add_peer(ours.addr, network).await?;
    }
    for network in [OURS, THEIRS] {
        c.add_peer(ours.addr, network).await?;
    }
    wait_until_up(&ours, THEIRS).await?;
    wait_until_up(&ours, FAR).await?;
    let mut alice = Client::join(version, a.addr).await?;
    let mut bob = Client::join(version, ours.addr).await?;
    let mut carol = Client::join(version, c.addr).await?;
    // Each network has a link of its own at the same hub.
    for number in 0..4u8 {
        pass(&mut alice, &mut bob, &[number; 20]).await?;
        pass(&mut alice, &mut carol, &[number; 20]).await?;
        pass(&mut carol, &mut bob, &[number; 20]).await?;
        pass(&mut carol, &mut alice, &[number; 20]).await?;
        pass(&mut bob, &mut alice, &[number; 20]).await?;
    }
    tunnel_between(&mut alice, &mut carol).await
}

async fn published_hubs_with_two_of_ours_between(version: Version) -> Result<()> {
    let (mut a, mut d) = (theirs(version, THEIRS).await?, theirs(version, FARTHEST).await?);
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let key = dosp_server::hub_key::load(folders[0].path(), &mut rand::rng())?;
    let state = |number: usize| Some(folders[number].path().to_owned());
    let from_b = format!("=7.10.0.0/24,key={},networks=7.11.0.0/24", key.public());
    let peers = vec![parse_peer(&from_b)?, peer(d.addr, FARTHEST, "")?];
    let config = Config { network: net(FAR)?, peers, state: state(1), ..Config::default() };
    let c = Hub::start_with(config)?;
    let to_c = parse_peer(&format!("{}=7.12.0.0/24,networks=7.13.0.0/24", c.addr))?;
    let peers = vec![to_c, peer(a.addr, THEIRS, "")?];
    let config = Config { network: net(OURS)?, peers, state: state(0), ..Config::default() };
    let b = Hub::start_with(config)?;
    a.add_peer(b.addr, FARTHEST).await?;
    d.add_peer(c.addr, THEIRS).await?;
    wait_until_up(&b, THEIRS).await?;
    wait_until_up(&b, FAR).await?;
    wait_until_up(&c, FARTHEST).await?;
    wait_for_route(&b, FARTHEST).await?;
    wait_for_route(&c, THEIRS).await?;
    let mut alice = Client::join(version, a.addr).await?;
    let mut dave = Client::join(version, d.addr).await?;
    pass_both_ways(&mut alice, &mut dave).await?;
    tunnel_between(&mut dave, &mut alice).await
}

async fn wait_for_their_routes(hub: &mut published::Hub, num_routes: usize) -> Result<()> {
    let come = async {
        loop {
            let routes = hub.routes().await?;
            if routes.len() == num_routes {
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, come).await.context("it learns nothing")?
}

async fn our_advertisement_is_learned_or_empty(version: Version) -> Result<()> {
    let (mut a, c) = (theirs(version, THEIRS).await?, theirs(version, FAR).await?);
    for advertise in [vec![], vec!["hub.example:7744".to_owned()]] {
        let peers = vec![peer(a.addr, THEIRS, "")?, peer(c.addr, FAR, "")?];
        let is_told = !advertise.is_empty();
        let config = Config { network: net(OURS)?, peers, advertise, ..Config::default() };
        let ours = Hub::start_with(config)?;
        a.add_peer(ours.addr, OURS).await?;
        wait_until_up(&ours, THEIRS).await?;
        wait_until_up(&ours, FAR).await?;
        let mut alice = Client::join(version, a.addr).await?;
        let mut bob = Client::join(version, ours.addr).await?;
        let mut carol = Client::join(version, c.addr).await?;
        // It dials for this, and is told.
        pass(&mut alice, &mut bob, if is_told { b"told" } else { b"not told" }).await?;
        if is_told {
            // Ours as it says it itself where the spelling differs, and what lies behind.
            wait_for_their_routes(&mut a, if version == Version::V0_1_3 { 2 } else { 3 }).await?;
            pass(&mut alice, &mut carol, b"by what was learned").await?;
        } else {
            assert_eq!(a.routes().await?.len(), 1, "the empty advertisement");
        }
        ours.stop().await?;
        a = theirs(version, THEIRS).await?;
    }
    Ok(())
}

/// Only 0.1.3 says anything.
async fn their_advertisement_is_learned_within_what_they_may_speak_for(
    version: Version,
) -> Result<()> {
    let mut theirs = theirs(version, THEIRS).await?;
    let ours = ours(OURS, vec![peer(theirs.addr, THEIRS, ",networks=7.12.0.0/15")?])?;
    theirs.add_peer(ours.addr, OURS).await?;
    for network in [FAR, [8, 0, 0]] {
        theirs.add_peer(SocketAddr::from((host(network), NOBODY)), network).await?;
    }
    wait_until_up(&ours, THEIRS).await?;
    let mut here = Client::join(version, ours.addr).await?;
    let mut there = Client::join(version, theirs.addr).await?;
    pass(&mut there, &mut here, b"dials").await?;
    assert_eq!(has_route(&ours, FAR)?, version == Version::V0_1_3);
    assert!(!has_route(&ours, [8, 0, 0])?);
    pass_both_ways(&mut here, &mut there).await
}

/// Published hubs pass on whatever SRC their clients write.
async fn liar_behind_a_published_hub_is_not_heard(version: Version) -> Result<()> {
    let (ours, theirs) = both(version).await?;
    let mut here = Client::join(version, ours.addr).await?;
    let mut there = Client::join(version, theirs.addr).await?;
    let to = here.vip()?.to_string();
    for source in ["7.10.0.99", "7.12.0.2", "7.10.0.1"] {
        let lie = json!({ "to": &to, "source": source, "data": "66" });
        there.ask("send_as", lie).await?;
    }
    pass(&mut there, &mut here, b"the truth").await?;
    assert_eq!(status(&ours, THEIRS)?.dropped_frames, 3);
    Ok(())
}

/// Another address is configured: SD is ignored, and all that comes has one and the same sender.
async fn hub_that_is_not_switched_on_is_a_client(version: Version) -> Result<()> {
    let mut theirs = theirs(version, THEIRS).await?;
    let elsewhere = SocketAddr::from(([127, 0, 0, 99], NOBODY));
    let ours = ours(OURS, vec![peer(elsewhere, THEIRS, ",networks=7.12.0.0/15")?])?;
    theirs.add_peer(ours.addr, OURS).await?;
    theirs.add_peer(SocketAddr::from((host(FAR), NOBODY)), FAR).await?;
    let mut here = Client::join(version, ours.addr).await?;
    let mut there = Client::join(version, theirs.addr).await?;
    there.send(here.vip()?, b"from whom?").await?;
    let received = here.receive().await?;
    assert_eq!((received.from, received.data), (Some(vip(OURS, 3)), b"from whom?".to_vec()));
    assert!(!has_route(&ours, THEIRS)? && !has_route(&ours, FAR)?);
    assert_ne!(status(&ours, THEIRS)?.state, LinkState::Up);
    Ok(())
}

async fn idle_links_live(version: Version) -> Result<()> {
    let mut theirs = theirs(version, THEIRS).await?;
    let dials = ours(OURS, vec![peer(theirs.addr, THEIRS, "")?])?;
    let waits = ours(FAR, vec![silent_peer(THEIRS, "")?])?;
    theirs.add_peer(waits.addr, FAR).await?;
    wait_until_up(&dials, THEIRS).await?;
    let mut here = Client::join(version, waits.addr).await?;
    let mut there = Client::join(version, theirs.addr).await?;
    pass(&mut there, &mut here, b"dials").await?;
    // The time itself is what is tested.
    sleep(IDLE).await;
    for (hub, by) in [(&dials, DialledBy::Us), (&waits, DialledBy::Them)] {
        let link = status(hub, THEIRS)?;
        assert_eq!((link.state, link.dialled_by), (LinkState::Up, Some(by)));
        let up_for = link.up_for_ns.map(Duration::from_nanos);
        ensure!(up_for.is_some_and(|up_for| up_for >= IDLE), "up for {up_for:?}");
    }
    Ok(())
}

async fn hub_that_stops_is_dialled_again(version: Version) -> Result<()> {
    let (ours, mut theirs) = both(version).await?;
    theirs.stop().await?;
    drop(theirs);
    wait_for(&ours, THEIRS, |peer| peer.state != LinkState::Up).await?;
    wait_for(&ours, THEIRS, |peer| {
        let error = peer.last_error.as_deref();
        error.is_some_and(|error| error.contains("it cannot be reached"))
    })
    .await
}

/// Neither hub could read the other.
#[tokio::test]
async fn hub_that_compresses_is_no_peer() -> Result<()> {
    let options = ["allow_compression=true"];
    let place = (host(THEIRS), THEIRS);
    let theirs = published::Hub::start_at(Version::V0_2_1, place, &options).await?;
    let ours = ours(OURS, vec![peer(theirs.addr, THEIRS, "")?])?;
    wait_for(&ours, THEIRS, |peer| {
        let error = peer.last_error.as_deref();
        error.is_some_and(|error| error.contains("turn its 'allow_compression' off"))
    })
    .await
}
