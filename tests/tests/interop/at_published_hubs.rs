//! Our agents at published hubs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dosp_agent::engine::{HubAnswer, HubRequest, MessageFailure, RequestError};
use dosp_agent::node::{LinkState, SendFailure};
use etherparse::PacketBuilder;

use crate::interop_at_our_hub::vip;
use crate::interop_with_our_agent::{
    MANY, agent_opens, client_opens, exchange_plain, exchange_sealed, pair,
};
use crate::ours::{Agent, words};
use crate::published::{Hub, Version};
use crate::with_every_version;

with_every_version!(
    agent_joins,
    agent_that_names_its_vip_is_refused,
    plain_messages_with_a_published_client,
    tunnel_that_the_client_opens,
    tunnel_that_the_agent_opens,
    raw_messages_between_two_agents,
    ip_between_two_agents,
    nobody_there_is_no_answer,
    clients_are_listed,
    functions_and_info_are_refused_in_words,
    agent_stays_longer_than_the_limit_for_silence,
    agent_notices_that_the_hub_stops,
);

async fn agent_joins(version: Version) -> Result<()> {
    let hub = Hub::start(version).await?;
    let (first, second) = (Agent::up(hub.addr).await?, Agent::up(hub.addr).await?);
    assert_eq!((first.vip, second.vip), (vip(2), vip(3)));
    let LinkState::Up(overlay) = first.handle.report().await.context("it runs")?.link else {
        panic!("the link is not up");
    };
    assert_eq!(overlay.network.to_string(), "7.10.0.0/24");
    first.leave().await
}

/// RQIP would end the session at 0.2.1 and leave a ghost at all of them.
async fn agent_that_names_its_vip_is_refused(version: Version) -> Result<()> {
    let hub = Hub::start(version).await?;
    let refused = words(Agent::up_as(hub.addr, Some(vip(9))).await)?;
    assert_eq!(refused, "the hub did not give 7.10.0.9: it takes no requests for a vIP");
    Ok(())
}

async fn plain_messages_with_a_published_client(version: Version) -> Result<()> {
    let hub = Hub::start(version).await?;
    exchange_plain(version, hub.addr).await
}

async fn tunnel_that_the_client_opens(version: Version) -> Result<()> {
    let hub = Hub::start(version).await?;
    let (mut agent, mut client) = pair(version, hub.addr).await?;
    client_opens(&mut client, &mut agent).await?;
    exchange_sealed(&mut client, &mut agent, MANY / 10).await
}

async fn tunnel_that_the_agent_opens(version: Version) -> Result<()> {
    let hub = Hub::start(version).await?;
    let (mut agent, mut client) = pair(version, hub.addr).await?;
    agent_opens(&mut client, &agent).await?;
    exchange_sealed(&mut client, &mut agent, MANY / 10).await
}

async fn raw_messages_between_two_agents(version: Version) -> Result<()> {
    let hub = Hub::start(version).await?;
    let (mut a, mut b) = (Agent::up(hub.addr).await?, Agent::up(hub.addr).await?);
    for data in [b"hello".to_vec(), vec![7; 1_000_000]] {
        a.send(b.vip, &data).await?;
        assert_eq!(b.message().await?, (a.vip, true, data.clone()));
        b.send(a.vip, &data).await?;
        assert_eq!(a.message().await?, (b.vip, true, data));
    }
    Ok(())
}

async fn ip_between_two_agents(version: Version) -> Result<()> {
    let hub = Hub::start(version).await?;
    let (a, b) = (Agent::up(hub.addr).await?, Agent::up(hub.addr).await?);
    for number in 0..500u32 {
        for (from, to) in [(&a, &b), (&b, &a)] {
            let mut packet = Vec::new();
            let builder = PacketBuilder::ipv4(from.vip.octets(), to.vip.octets(), 64);
            builder.udp(1000, 2000).write(&mut packet, &number.to_be_bytes())?;
            from.tun.send(&packet)?;
            ensure!(to.packet().await? == packet, "packet {number}");
        }
    }
    Ok(())
}

/// Published hubs drop what is for nobody, and say nothing.
async fn nobody_there_is_no_answer(version: Version) -> Result<()> {
    let hub = Hub::start(version).await?;
    let agent = Agent::up(hub.addr).await?;
    let failure = agent.send(vip(77), b"anybody?").await;
    assert_eq!(failure, Err(SendFailure::Failed(MessageFailure::NoAnswer)));
    Ok(())
}

async fn clients_are_listed(version: Version) -> Result<()> {
    let hub = Hub::start(version).await?;
    let (agent, _client) = pair(version, hub.addr).await?;
    let answer = agent.handle.ask(HubRequest::Clients).await.context("the agent ended")?;
    assert_eq!(answer, Ok(HubAnswer::Clients(vec![vip(2), vip(3)])));
    Ok(())
}

async fn functions_and_info_are_refused_in_words(version: Version) -> Result<()> {
    let hub = Hub::start(version).await?;
    let agent = Agent::up(hub.addr).await?;
    let call = HubRequest::Call("time".to_owned());
    let answer = agent.handle.ask(call).await.context("the agent ended")?;
    assert_eq!(answer, Err(RequestError::Refused("Not enabled".to_owned())));
    let answer = agent.handle.ask(HubRequest::Info).await.context("the agent ended")?;
    assert_eq!(answer, Err(RequestError::NoInfo));
    Ok(())
}

/// 0.2.1 ends a session that was silent for 30 s; 0.1.3 answers a PING with an error.
async fn agent_stays_longer_than_the_limit_for_silence(version: Version) -> Result<()> {
    let hub = Hub::start(version).await?;
    let (mut a, b) = (Agent::up(hub.addr).await?, Agent::up(hub.addr).await?);
    // The time itself is what is tested.
    tokio::time::sleep(Duration::from_secs(35)).await;
    b.send(a.vip, b"still there?").await?;
    assert_eq!(a.message().await?.2, b"still there?");
    let report = a.handle.report().await.context("the agent ended")?;
    assert_eq!((report.num_link_losses, report.last_error), (0, None));
    assert!(report.hub_rtt.is_some(), "a PING was answered");
    Ok(())
}

async fn agent_notices_that_the_hub_stops(version: Version) -> Result<()> {
    let mut hub = Hub::start(version).await?;
    let agent = Agent::up(hub.addr).await?;
    hub.stop().await?;
    let error = words(agent.ended().await)?;
    assert!(error.contains("the hub ended the session"), "{error}");
    Ok(())
}
