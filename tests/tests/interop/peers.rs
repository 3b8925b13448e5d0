//! Hubs that are peers of each other: a published one and ours, and what goes from one to the other.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use dosp_proto::vip::{Network, Vip};
use dosp_server::Config;
use dosp_server::config::{PeerConfig, parse_peer};
use dosp_server::control::wire::{LinkState, PeerStatus};
use tokio::time::{sleep, timeout};

use crate::ours::Hub;
use crate::published::{self, Client, Version};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const OURS: [u8; 3] = [7, 10, 0];
pub(crate) const THEIRS: [u8; 3] = [7, 11, 0];
pub(crate) const FAR: [u8; 3] = [7, 12, 0];
pub(crate) const FARTHEST: [u8; 3] = [7, 13, 0];
/// The host of every published hub is that of its network.
pub(crate) const fn host([_, number, _]: [u8; 3]) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, number)
}
/// Nobody listens there.
pub(crate) const NOBODY: u16 = 9;
pub(crate) fn vip([a, b, c]: [u8; 3], host: u8) -> Vip {
    Vip::from([a, b, c, host])
}

pub(crate) fn net([a, b, c]: [u8; 3]) -> Result<Network> {
    Ok(format!("{a}.{b}.{c}.0/24").parse()?)
}

pub(crate) async fn theirs(version: Version, network: [u8; 3]) -> Result<published::Hub> {
    published::Hub::start_at(version, (host(network), network), &[]).await
}

/// A published hub as a peer, with further options.
pub(crate) fn peer(addr: SocketAddr, network: [u8; 3], options: &str) -> Result<PeerConfig> {
    Ok(parse_peer(&format!("{addr}={},unauthenticated{options}", net(network)?))?)
}

/// One that is known, and cannot be dialled.
pub(crate) fn silent_peer(network: [u8; 3], options: &str) -> Result<PeerConfig> {
    peer(SocketAddr::from((host(network), NOBODY)), network, options)
}

pub(crate) fn ours(network: [u8; 3], peers: Vec<PeerConfig>) -> Result<Hub> {
    Hub::start_with(Config { network: net(network)?, peers, ..Config::default() })
}

pub(crate) fn status(hub: &Hub, network: [u8; 3]) -> Result<PeerStatus> {
    let network = net(network)?;
    let mut peers = hub.handle.peers().peers.into_iter();
    peers.find(|peer| peer.network == network).context("no such peer")
}

pub(crate) async fn wait_for(
    hub: &Hub,
    network: [u8; 3],
    what: impl Fn(&PeerStatus) -> bool,
) -> Result<()> {
    let come = async {
        while !what(&status(hub, network)?) {
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    match timeout(PATIENCE, come).await {
        Ok(come) => come,
        Err(_) => bail!("{:?}", status(hub, network)?),
    }
}

pub(crate) async fn wait_until_up(hub: &Hub, network: [u8; 3]) -> Result<()> {
    wait_for(hub, network, |peer| peer.state == LinkState::Up).await
}

/// Ours and a published hub, each of which dials the other.
pub(crate) async fn both(version: Version) -> Result<(Hub, published::Hub)> {
    let mut theirs = theirs(version, THEIRS).await?;
    let ours = ours(OURS, vec![peer(theirs.addr, THEIRS, "")?])?;
    theirs.add_peer(ours.addr, OURS).await?;
    wait_until_up(&ours, THEIRS).await?;
    Ok((ours, theirs))
}

/// One plain message, which has to come with its sender's own vIP.
pub(crate) async fn pass(from: &mut Client, to: &mut Client, data: &[u8]) -> Result<()> {
    from.send(to.vip()?, data).await?;
    let received = to.receive().await?;
    ensure!(received.from == Some(from.vip()?) && received.data == data, "{:?}", received.from);
    Ok(())
}

pub(crate) async fn pass_both_ways(a: &mut Client, b: &mut Client) -> Result<()> {
    for data in [&b"hello"[..], &[7; 100_000]] {
        pass(a, b, data).await?;
        pass(b, a, data).await?;
    }
    Ok(())
}

pub(crate) fn has_route(hub: &Hub, network: [u8; 3]) -> Result<bool> {
    let network = net(network)?;
    Ok(hub.handle.peers().routes.iter().any(|route| route.network == network))
}

pub(crate) async fn wait_for_route(hub: &Hub, network: [u8; 3]) -> Result<()> {
    let come = async {
        while !has_route(hub, network)? {
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    timeout(PATIENCE, come).await.context("no route comes")?
}
