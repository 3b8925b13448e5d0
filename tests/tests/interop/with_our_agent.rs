//! Published clients and our agent, both at our hub.

use anyhow::{Context, Result, ensure};
use dosp_agent::engine::{MessageFailure, Refusal};
use dosp_agent::node::SendFailure;
use serde_json::json;

use crate::ours::{Agent, Hub, words};
use crate::published::{Client, Version};
use crate::with_every_version;

/// One nonce in 256 begins with 0x15, of either side: no tunnel would live so long by chance.
pub(crate) const MANY: u32 = 5_000;

with_every_version!(
    plain_messages_pass_both_ways,
    tunnel_that_the_client_opens_carries_5000_messages_each_way,
    tunnel_that_the_agent_opens_carries_5000_messages_each_way,
    second_tunnel_from_the_same_vip_is_refused_and_said,
    legacy_tunnel_is_declined_and_said,
);

async fn plain_messages_pass_both_ways(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    exchange_plain(version, hub.addr).await
}

async fn tunnel_that_the_client_opens_carries_5000_messages_each_way(
    version: Version,
) -> Result<()> {
    let hub = Hub::start()?;
    let (mut agent, mut client) = pair(version, hub.addr).await?;
    client_opens(&mut client, &mut agent).await?;
    exchange_sealed(&mut client, &mut agent, MANY).await
}

async fn tunnel_that_the_agent_opens_carries_5000_messages_each_way(
    version: Version,
) -> Result<()> {
    let hub = Hub::start()?;
    let (mut agent, mut client) = pair(version, hub.addr).await?;
    agent_opens(&mut client, &agent).await?;
    exchange_sealed(&mut client, &mut agent, MANY).await
}

async fn second_tunnel_from_the_same_vip_is_refused_and_said(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let (agent, mut client) = pair(version, hub.addr).await?;
    agent_opens(&mut client, &agent).await?;
    let vip = agent.vip;
    agent.leave().await?;
    let agent = Agent::up_as(hub.addr, Some(vip)).await?;
    // It refuses while it receives, which ends with the message behind the refusal.
    let client_vip = client.vip()?;
    let told = async {
        let told = agent.send(client_vip, b"again").await;
        agent.send_plain(client_vip, b"that was all").await?;
        anyhow::Ok(told)
    };
    let (told, received) = tokio::join!(told, client.receive());
    let refusal = MessageFailure::Refused(Refusal::TunnelExists);
    assert_eq!(told?, Err(SendFailure::Failed(refusal)));
    received.map(drop)
}

async fn legacy_tunnel_is_declined_and_said(version: Version) -> Result<()> {
    let hub = Hub::start()?;
    let (agent, mut client) = pair(version, hub.addr).await?;
    let legacy = json!({ "peer": agent.vip.to_string(), "dh": false });
    let raised = client.ask("handshake", legacy).await;
    let error = words(raised)?;
    assert!(error.contains("legacy c2c handshake"), "{error}");
    let report = agent.handle.report().await.context("the agent ended")?;
    let refusal = report.peers.first().and_then(|peer| peer.refusal.clone());
    assert_eq!(refusal, Some(Refusal::LegacyOnly));
    Ok(())
}

pub(crate) async fn pair(version: Version, hub: std::net::SocketAddr) -> Result<(Agent, Client)> {
    Ok((Agent::up(hub).await?, Client::join(version, hub).await?))
}

pub(crate) async fn exchange_plain(version: Version, hub: std::net::SocketAddr) -> Result<()> {
    let (mut agent, mut client) = pair(version, hub).await?;
    let (agent_vip, client_vip) = (agent.vip, client.vip()?);
    for data in [b"hello".to_vec(), vec![7; 100_000]] {
        agent.send_plain(client_vip, &data).await?;
        let received = client.receive().await?;
        assert_eq!((received.from, &received.data), (Some(agent_vip), &data));
        client.send(agent_vip, &data).await?;
        assert_eq!(agent.message().await?, (client_vip, false, data));
    }
    Ok(())
}

/// The client opens a tunnel with the agent. One session id in 256 of its own begins with 0xFF, which
/// nobody can tell from a refusal; then it tries again.
pub(crate) async fn client_opens(client: &mut Client, agent: &mut Agent) -> Result<()> {
    client.handshake(agent.vip).await?;
    client.send(agent.vip, b"sealed").await?;
    let came = agent.message().await?;
    ensure!(came == (client.vip()?, true, b"sealed".to_vec()), "{came:?}");
    Ok(())
}

/// The agent opens a tunnel with the client, which receives meanwhile.
pub(crate) async fn agent_opens(client: &mut Client, agent: &Agent) -> Result<()> {
    let client_vip = client.vip()?;
    let (sent, received) = tokio::join!(agent.send(client_vip, b"sealed"), client.receive());
    sent?;
    let received = received?;
    ensure!((received.from, received.data) == (Some(agent.vip), b"sealed".to_vec()));
    Ok(())
}

pub(crate) async fn exchange_sealed(
    client: &mut Client,
    agent: &mut Agent,
    count: u32,
) -> Result<()> {
    let client_vip = client.vip()?;
    let arguments = json!({ "peer": agent.vip.to_string(), "count": count });
    let (exchanged, answered) =
        tokio::join!(client.ask("exchange", arguments), agent.answer(client_vip, count));
    exchanged?;
    answered
}
