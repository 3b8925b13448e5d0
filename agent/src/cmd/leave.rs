//! `dosp-agent leave`: gives up this host's place in a network, at the hub and here.

use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;

use super::network::Network;
use crate::config::Settings;
use crate::control::{Client, ControlError};
use crate::failure::{Exit, Failure};
use crate::host::NoHost;
use crate::node::{LeaveError, Node, NodeConfig, NodeError};
use crate::state::NetworkState;
use crate::tun::ChannelTun;

/// Leaves through the running agent, which then ends, or else by itself.
pub(crate) async fn run(settings: &Settings) -> Result<(), Failure> {
    match Client::connect(&settings.socket()).await {
        Err(ControlError::NotRunning { .. }) => leave_alone(settings).await,
        client => Ok(client?.leave().await?),
    }
}

async fn leave_alone(settings: &Settings) -> Result<(), Failure> {
    let network = Network::of(settings)?;
    let state = NetworkState::open(&settings.state(), &network.folder)?;
    let key = state.identity(&mut rand::make_rng::<StdRng>())?;
    let known = state.known_peers(*key.public(), settings.trust())?;
    let config = NodeConfig {
        hubs: network.hubs.clone(),
        access: network.access(&state, settings)?,
        vip: None,
        congestion: settings.congestion.unwrap_or_default(),
        reconnect: false,
        engine: super::engine(settings, false),
        identity: super::identity(settings, key, network.join.as_ref())?,
        known,
    };
    let (node, handle) = Node::<ChannelTun, _>::new(config, None, NoHost);
    let leaving = async {
        handle.up().await;
        handle.leave().await
    };
    tokio::select! {
        ended = node.run(CancellationToken::new()) => match ended {
            Err(NodeError::Left) => {}
            Err(error) => return Err(super::ended(error, &network.hub())),
            Ok(()) => return Err(Failure::text(Exit::Failed, "the agent stopped")),
        },
        Some(Err(error)) = leaving => return Err(error.into()),
    }
    state.forget_join()?;
    Ok(())
}

impl From<LeaveError> for Failure {
    fn from(error: LeaveError) -> Self {
        match error {
            LeaveError::NoMember => Self::new(Exit::Failed, error)
                .hint("nothing is kept at a hub without members: 'dosp-agent down' is enough"),
            LeaveError::NotConnected => Self::new(Exit::NotReachable, error)
                .hint("the hub must hear of it: try again when 'dosp-agent status' says up"),
        }
    }
}
