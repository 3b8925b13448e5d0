//! From the state folder to the members of a hub.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dosp_daemon::private;
use dosp_proto::federation::HubId;
use rand::rngs::StdRng;

use super::federation::Federation;
use super::membership::Membership;
use crate::config::{Config, PeerConfig};
use crate::federation::known_hubs::{KnownHubs, KnownHubsError};
use crate::federation::table::{Own, PeerRule, RouteTable, RuleError};
use crate::hub_key::{self, HubKeyError};
use crate::members::command::Door;
use crate::members::keeper::Keeper;
use crate::members::ledger::{Ledger, LedgerError};
use crate::members::store::{Store, StoreError};

/// A state folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is none, and none can be made.
    #[error("make the state folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The hub's own key is of no use.
    #[error(transparent)]
    Key(#[from] HubKeyError),
    /// The store of members is of no use.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored makes no sense.
    #[error("the members in {} cannot be used", path.display())]
    Ledger {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: LedgerError,
    },
    /// What is kept of other hubs is of no use.
    #[error(transparent)]
    KnownHubs(#[from] KnownHubsError),
    /// The peers make no sense together.
    #[error(transparent)]
    Peers(#[from] RuleError),
    /// The thread that stores cannot be started.
    #[error("start the thread that stores members")]
    Thread(#[source] io::Error),
}

impl StateError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Folder { .. } => {
                "choose another folder with --state, or run as its owner".to_owned()
            }
            Self::Key(error) => error.hint(),
            Self::Store(error) => error.hint().to_owned(),
            Self::Ledger { source, .. } => source.hint().to_owned(),
            Self::KnownHubs(error) => error.hint(),
            Self::Peers(_) => "give every hub a network of its own".to_owned(),
            Self::Thread(_) => "the system is out of threads or memory".to_owned(),
        }
    }
}

/// Opens, or makes, what the hub keeps; `None` for a hub that keeps nothing.
pub(crate) fn open(
    config: &Config,
    local_addrs: &[SocketAddr],
) -> Result<Option<(Ledger, Membership)>, StateError> {
    let Some(folder) = &config.state else { return Ok(None) };
    make(folder)?;
    // First of all: who has the store has the folder.
    let (store, rows) = Store::open(folder)?;
    let identity = hub_key::load(folder, &mut rand::make_rng::<StdRng>())?;
    let ledger = Ledger::new(config.network, !config.closed, rows)
        .map_err(|source| StateError::Ledger { path: folder.clone(), source })?;
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let door = Door::new(*identity.public(), &config.advertise, local_addrs, host.as_deref());
    let keeper = Keeper::spawn(store).map_err(StateError::Thread)?;
    Ok(Some((ledger, Membership::new(identity, keeper, door, config.closed))))
}

/// The other hubs, as they are configured.
pub(crate) fn open_federation(
    config: &Config,
    membership: Option<&Membership>,
) -> Result<Federation, StateError> {
    let known = config.state.as_deref().map(KnownHubs::load).transpose()?.unwrap_or_default();
    let key = membership.map(|membership| membership.identity.public());
    let own = Own {
        network: config.network,
        id: super::hub_id(key, config.network),
        name: config.name.clone(),
    };
    let rule = |peer: &PeerConfig| PeerRule {
        network: peer.network,
        may_speak_for: peer.networks.clone(),
        hub: peer.key.as_ref().or_else(|| known.key(peer.network)).map(HubId::of),
        is_published: peer.unauthenticated,
    };
    let table = RouteTable::new(own, config.peers.iter().map(rule).collect())?;
    Ok(Federation::new(key.copied(), table, config.peers.clone(), known))
}

fn make(folder: &Path) -> Result<(), StateError> {
    let made = private::make_folder(folder);
    made.map_err(|source| StateError::Folder { path: folder.to_owned(), source })
}
