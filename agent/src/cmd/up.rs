//! `dosp-agent up`: the agent itself.

mod names;
mod reload;
mod service;

use std::io::Write;
use std::sync::Arc;

use dosp_daemon::metrics::Endpoint;
use rand::rngs::StdRng;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::network::Network;
use crate::config::Settings;
use crate::control::wire::Surroundings;
use crate::control::{BindError, Server};
use crate::detach;
use crate::failure::{Exit, Failure};
use crate::host::{HostError, TunHost};
use crate::hosts::HostsFile;
use crate::known_peers::KnownPeers;
use crate::metrics;
use crate::netcfg::NetError;
use crate::node::{Node, NodeConfig, NodeError, NodeHandle};
use crate::state::NetworkState;
use crate::tun::{LinuxTun, TunError};
use names::keep_names;
pub(crate) use reload::Reload;
use service::Service;

/// Runs until a signal or `dosp-agent down`.
pub(crate) async fn run(settings: Settings, detached: bool, reload: Reload) -> Result<(), Failure> {
    let network = Network::of(&settings)?;
    let mtu = super::mtu(&settings)?;
    let state = Arc::new(NetworkState::open(&settings.state(), &network.folder)?);
    let key = state.identity(&mut rand::make_rng::<StdRng>())?;
    let known = state.known_peers(*key.public(), settings.trust())?;
    let control = Server::bind(&settings.socket()).await?;
    let metrics = match settings.metrics {
        Some(addr) => Some(Endpoint::bind(addr).await?),
        None => None,
    };
    let tun = LinuxTun::create(settings.tun(), mtu, settings.offloads())?;
    let host = TunHost::new(settings.tun(), mtu, settings.force.unwrap_or_default())?;
    let config = NodeConfig {
        hubs: network.hubs.clone(),
        access: network.access(&state, &settings)?,
        vip: settings.vip,
        congestion: settings.congestion.unwrap_or_default(),
        reconnect: true,
        engine: super::engine(&settings, true),
        identity: super::identity(&settings, key, network.join.as_ref())?,
        known,
    };
    let hub = network.hub();
    let tun_name = settings.tun().to_owned();
    let surroundings = Surroundings { hub: hub.clone(), tun: Some(tun_name), mtu: Some(mtu) };
    let (node, handle) = Node::new(config, Some(tun), host);
    let stop = CancellationToken::new();
    let interrupted = stop_on_signals(stop.clone())?;
    reload.start(settings.clone(), handle.clone(), stop.clone(), detached)?;
    tokio::spawn(announce(handle.clone(), surroundings.clone(), detached));
    let keepers = start_keepers(&handle, &state, settings, network.join.is_some());
    if let Some(metrics) = metrics {
        tokio::spawn(metrics::serve(metrics, handle.clone()));
    }
    let service = Service::start(handle.clone(), hub.clone());
    tokio::spawn(control.run(handle, surroundings, stop.clone()));
    let ended = node.run(stop).await;
    service.stop().await;
    // With the node its last word is there; it is kept before this process ends.
    for keeper in keepers {
        keeper.await.map_err(|error| Failure::new(Exit::Failed, error))?;
    }
    match ended {
        Err(NodeError::Left) => state.forget_join()?,
        ended => ended.map_err(|error| super::ended(error, &hub))?,
    }
    if interrupted.is_cancelled() { Err(Failure::interrupted()) } else { Ok(()) }
}

/// What is stored and named while the node runs, each by a task of its own.
fn start_keepers(
    handle: &NodeHandle,
    state: &Arc<NetworkState>,
    settings: Settings,
    is_joined: bool,
) -> [JoinHandle<()>; 3] {
    [
        tokio::spawn(keep_known_peers(handle.known_peers(), Arc::clone(state))),
        tokio::spawn(keep_hub_key(handle.clone(), Arc::clone(state), is_joined)),
        tokio::spawn(keep_names(handle.names(), settings, HostsFile::default())),
    ]
}

/// Stores that the hub has let this host in: the join key is used up, and no other hub will do.
async fn keep_hub_key(handle: NodeHandle, state: Arc<NetworkState>, is_joined: bool) {
    if handle.up().await.is_none() {
        return;
    }
    let Some(hub_key) = handle.report().await.and_then(|report| report.hub_key) else { return };
    let kept = tokio::task::spawn_blocking(move || {
        if is_joined { state.spend_join_key() } else { state.save_hub_key(&hub_key) }
    });
    match kept.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the hub's key is not stored"),
        Err(error) => tracing::error!(%error, "the hub's key is not stored"),
    }
}

/// Stores what is known of peers whenever it changes, until the node has ended. The disk may be slow,
/// and packets do not wait for it.
async fn keep_known_peers(mut known: watch::Receiver<KnownPeers>, state: Arc<NetworkState>) {
    while known.changed().await.is_ok() {
        let (latest, state) = (known.borrow_and_update().clone(), Arc::clone(&state));
        let saved = tokio::task::spawn_blocking(move || state.save_known_peers(&latest)).await;
        match saved {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "known peers are not stored"),
            Err(error) => tracing::error!(%error, "known peers are not stored"),
        }
    }
}

/// Stops on SIGTERM and SIGINT; the token returned tells whether it was SIGINT.
fn stop_on_signals(stop: CancellationToken) -> Result<CancellationToken, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let interrupted = CancellationToken::new();
    let tell = interrupted.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => tell.cancel(),
        }
        stop.cancel();
    });
    Ok(interrupted)
}

/// Says on standard output that the network is up, and what that means for this host.
async fn announce(handle: NodeHandle, surroundings: Surroundings, detached: bool) {
    let Some(overlay) = handle.up().await else { return };
    let report = handle.report().await;
    if !report.as_ref().is_some_and(|report| report.shields_up) {
        let is_closed = report.as_ref().is_some_and(|report| report.is_closed);
        let has_others = report.is_some_and(|report| report.networks.iter().next().is_some());
        let who = match (is_closed, has_others) {
            (true, false) => "every member of the network",
            (true, true) => "every member of the network, and of those of other hubs,",
            (false, _) => "everyone who reaches the hub",
        };
        tracing::warn!(
            "{who} can reach this host's ports under {}; --shields-up lets in only peers to which \
             this host has sent something",
            overlay.vip
        );
    }
    let tun = surroundings.tun.unwrap_or_default();
    let line = format!("{} up on {tun} through {}\n", overlay.vip, surroundings.hub);
    let mut stdout = std::io::stdout();
    let written = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    if let Err(error) = written {
        tracing::debug!(%error, "nobody reads that the network is up");
    }
    if detached {
        detach::let_go();
    }
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        let hint = match &error {
            BindError::Running { .. } => {
                "'dosp-agent down' ends it; --network NAME, or --socket and --tun, make room for a \
                 second one"
            }
            BindError::Io { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                return Self::new(Exit::NoPrivilege, error)
                    .hint("run as root, or choose a place of your own with --socket");
            }
            BindError::Io { .. } => "choose another place with --socket",
        };
        Self::new(Exit::Failed, error).hint(hint)
    }
}

impl From<TunError> for Failure {
    fn from(error: TunError) -> Self {
        let exit = match &error {
            TunError::NoPrivilege { .. } | TunError::DriverClosed { .. } => Exit::NoPrivilege,
            TunError::NameTaken { .. } | TunError::InvalidName { .. } => Exit::Usage,
            TunError::NoDriver { .. } | TunError::Create { .. } => Exit::Failed,
        };
        let hint = error.hint();
        Self::new(exit, error).hint(hint)
    }
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        if error.is_permission() {
            return Self::new(Exit::NoPrivilege, error)
                .hint("run as root or with the capability CAP_NET_ADMIN");
        }
        Self::new(Exit::Failed, error)
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Net(error) => error.into(),
            error @ HostError::Conflict { .. } => Self::new(Exit::Usage, error).hint(
                "give the hub another network (dosp-server --network), or take this one with --force",
            ),
            HostError::NotSetUp { ref commands, .. } => {
                let hint = format!("have root run: {}", commands.join(" && "));
                Self::new(Exit::NoPrivilege, error).hint(hint)
            }
            error @ HostError::NotRouted { .. } => Self::new(Exit::NoPrivilege, error),
        }
    }
}
