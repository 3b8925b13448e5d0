//! `dosp-agent up`: the agent itself.

use std::io::Write;
use std::sync::Arc;

use rand::rngs::StdRng;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::control::wire::Surroundings;
use crate::control::{BindError, Server};
use crate::detach;
use crate::failure::{Exit, Failure};
use crate::host::{HostError, TunHost};
use crate::known_peers::KnownPeers;
use crate::netcfg::NetError;
use crate::node::{Access, Node, NodeConfig, NodeHandle};
use crate::state::NetworkState;
use crate::tun::{LinuxTun, TunError};

/// Runs until a signal or `dosp-agent down`.
pub(crate) async fn run(settings: Settings, detached: bool) -> Result<(), Failure> {
    let (hub, network) = super::network_of(&settings)?;
    let mtu = settings.mtu().ok_or_else(|| {
        Failure::text(Exit::Usage, "the MTU is too small for IPv4").hint("give at least 576")
    })?;
    let shields_up = settings.shields_up.unwrap_or_default();
    let state = NetworkState::open(&settings.state(), &network)?;
    let key = state.identity(&mut rand::make_rng::<StdRng>())?;
    let known = state.known_peers(*key.public(), settings.trust())?;
    let (identity, engine) = (super::identity(&settings, key)?, super::engine(&settings, true));
    let control = Server::bind(&settings.socket()).await?;
    let tun = LinuxTun::create(settings.tun(), mtu)?;
    let host = TunHost::new(settings.tun(), mtu, settings.force.unwrap_or_default())?;
    let surroundings = Surroundings {
        hub: hub.to_string(),
        tun: Some(settings.tun().to_owned()),
        mtu: Some(mtu),
        shields_up,
    };
    let config = NodeConfig {
        hubs: vec![hub],
        access: Access::default(),
        vip: settings.vip,
        reconnect: true,
        engine,
        identity,
        known,
    };
    let (node, handle) = Node::new(config, Some(tun), host);
    let stop = CancellationToken::new();
    let interrupted = stop_on_signals(stop.clone())?;
    tokio::spawn(announce(handle.clone(), surroundings.clone(), detached));
    let hub = surroundings.hub.clone();
    let keeper = tokio::spawn(keep_known_peers(handle.known_peers(), state));
    tokio::spawn(control.run(handle, surroundings, stop.clone()));
    let ended = node.run(stop).await;
    // With the node its last word on them is there; it is kept before this process ends.
    keeper.await.map_err(|error| Failure::new(Exit::Failed, error))?;
    ended.map_err(|error| super::ended(error, &hub))?;
    if interrupted.is_cancelled() { Err(Failure::interrupted()) } else { Ok(()) }
}

/// Stores what is known of peers whenever it changes, until the node has ended. The disk may be slow,
/// and packets do not wait for it.
async fn keep_known_peers(mut known: watch::Receiver<KnownPeers>, state: NetworkState) {
    let state = Arc::new(state);
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
    if !surroundings.shields_up {
        tracing::warn!(
            "everyone who reaches the hub can reach this host's ports under {}; --shields-up lets \
             in only peers to which this host has sent something",
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
                "'dosp-agent down' ends it; --socket and --tun make room for a second one"
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
            TunError::NoPrivilege { .. } => Exit::NoPrivilege,
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
        }
    }
}
