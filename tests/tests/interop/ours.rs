//! Our hub and our agents, in this process.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use dosp_agent::engine::{EngineConfig, Version};
use dosp_agent::host::NoHost;
use dosp_agent::node::{Destination, MessageStream, Node, NodeConfig, NodeHandle, SendFailure};
use dosp_agent::tun::{ChannelTunPeer, channel};
use dosp_proto::vip::Vip;
use dosp_server::config::ListenAddr;
use dosp_server::{Config, HubHandle, Server};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Enough for anything that comes at all.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(30);

/// The words of a failure that a test expects.
pub(crate) fn words<T>(outcome: Result<T>) -> Result<String> {
    match outcome {
        Err(error) => Ok(format!("{error:#}")),
        Ok(_) => anyhow::bail!("it did not fail"),
    }
}

/// A `dosp-server` on a loopback port.
pub(crate) struct Hub {
    pub(crate) addr: SocketAddr,
    pub(crate) handle: HubHandle,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Hub {
    /// The open network 7.10.0.0/24, and nothing configured.
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(Config::default())
    }

    pub(crate) fn start_with(config: Config) -> Result<Self> {
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = vec![ListenAddr { addr, is_required: true }];
        let server = Server::bind(&Config { listen, ..config })?;
        let addr = *server.local_addrs().first().context("it listens somewhere")?;
        let (handle, stop) = (server.handle(), CancellationToken::new());
        let task = tokio::spawn(server.run(stop.clone()));
        Ok(Self { addr, handle, stop, task })
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.task.await?)
    }
}

/// A `dosp-agent` with a TUN in memory.
pub(crate) struct Agent {
    pub(crate) vip: Vip,
    pub(crate) handle: NodeHandle,
    pub(crate) tun: ChannelTunPeer,
    messages: MessageStream,
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl Agent {
    pub(crate) async fn up(hub: SocketAddr) -> Result<Self> {
        Self::up_as(hub, None).await
    }

    pub(crate) async fn up_as(hub: SocketAddr, vip: Option<Vip>) -> Result<Self> {
        let engine = EngineConfig { carries_ip: true, ..EngineConfig::default() };
        let config = NodeConfig { vip, ..NodeConfig::new(hub.to_string().parse()?, engine) };
        let (tun_end, tun) = channel::channel();
        let (node, handle) = Node::new(config, Some(tun_end), NoHost);
        let stop = CancellationToken::new();
        let run = node.run(stop.clone());
        let task = tokio::spawn(async { Ok(run.await?) });
        let Some(overlay) = handle.up().await else {
            task.await??;
            anyhow::bail!("the agent ended");
        };
        let messages = handle.listen().await.context("the agent ended")?;
        Ok(Self { vip: overlay.vip, handle, tun, messages, stop, task })
    }

    pub(crate) async fn send(&self, to: Vip, data: &[u8]) -> Result<(), SendFailure> {
        self.handle.send(Destination::Peer(to), data.to_vec()).await
    }

    pub(crate) async fn send_plain(&self, to: Vip, data: &[u8]) -> Result<(), SendFailure> {
        self.handle.send(Destination::Plain(to), data.to_vec()).await
    }

    /// The next raw message: from whom, whether sealed, and what.
    pub(crate) async fn message(&mut self) -> Result<(Vip, bool, Vec<u8>)> {
        let (from, version, data) = self.tunnelled().await?;
        Ok((from, version.is_some(), data))
    }

    /// The next raw message: from whom, in a tunnel of which version, and what.
    pub(crate) async fn tunnelled(&mut self) -> Result<(Vip, Option<Version>, Vec<u8>)> {
        let message = timeout(ARRIVAL_TIMEOUT, self.messages.recv()).await;
        let message = message.context("no message came")?.context("the agent ended")?;
        Ok((message.from.context("a broadcast came")?, message.version, message.data))
    }

    /// The next packet for the host.
    pub(crate) async fn packet(&self) -> Result<Vec<u8>> {
        timeout(ARRIVAL_TIMEOUT, self.tun.recv()).await.context("no packet came")
    }

    /// Answers `ping N` with `pong N`, so many times.
    pub(crate) async fn answer(&mut self, peer: Vip, count: u32) -> Result<()> {
        for number in 0..count {
            let ping = format!("ping {number}").into_bytes();
            let came = self.message().await?;
            anyhow::ensure!(came == (peer, true, ping), "in place of ping {number}: {came:?}");
            self.send(peer, format!("pong {number}").as_bytes()).await?;
        }
        Ok(())
    }

    /// How the agent ended.
    pub(crate) async fn ended(self) -> Result<()> {
        timeout(ARRIVAL_TIMEOUT, self.task).await.context("the agent goes on")??
    }

    pub(crate) async fn leave(self) -> Result<()> {
        self.stop.cancel();
        self.task.await?
    }
}
