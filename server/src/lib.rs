//! The DoSP hub: gives every client a vIP and routes frames between them. It cannot read them.
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | flags, environment and file, checked |
//! | [`functions`] | what clients can call with FN |
//! | [`hub`] | what the hub decides, without I/O: admission, vIPs, control frames |
//! | [`vips`] | which vIPs are free |
//! | [`routes`], `target` | from vIP to session, from network to link, and each reader's cache of it |
//! | [`queue`] | what waits to be written to a session |
//! | `session` | one client's connection, and its reader |
//! | `link` | one connection with another hub |
//! | `input`, `writer` | the two ends of a connection's socket |
//! | `listen` | binding and accepting |
//! | `state` | what all sessions share, and the order of its locks |
//! | [`tokens`] | the secrets of administrators |
//! | [`hub_key`] | the hub's own key |
//! | [`backup`] | the file of `dosp-server backup` |
//! | [`members`] | who is a member: leases, invites, and their store |
//! | [`metrics`] | figures for Prometheus |
//! | [`control`] | the local socket, for commands on this machine |
//! | [`nofile`] | how many connections the system allows |
//!
//! The life of a frame: `session::reader` finds it in its buffer, stamps SRC there and appends it to
//! the [`queue::OutQueue`] of the destination, whose `writer` writes all that has gathered
//! in one piece. [`hub::Hub`] is asked only for control frames.

pub mod backup;
mod buffers;
pub mod config;
pub mod control;
pub mod federation;
pub mod functions;
mod handle;
pub mod hub;
pub mod hub_key;
mod input;
mod link;
mod listen;
pub mod members;
pub mod metrics;
pub mod nofile;
pub mod queue;
pub mod routes;
mod session;
mod state;
mod target;
pub mod tokens;
pub mod vips;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

pub use config::Config;
pub use handle::HubHandle;
use hub::{AdminAccess, Hub};
pub use listen::BindError;
use state::Shared;
pub use state::StateError;
use tokens::{AdminTokens, TokenFileError};

/// What clients are told when the hub stops.
const STOPPING: &str = "hub is stopping";
/// How long they may take to read it.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a hub does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It cannot listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// What it keeps cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The tokens of administrators cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
}

impl StartError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Bind(error) => error.hint(),
            Self::State(error) => error.hint(),
            Self::Tokens(error) => error.hint(),
        }
    }
}

/// A hub that listens and does not accept yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    local_addrs: Vec<SocketAddr>,
    shared: Arc<Shared>,
}

impl Server {
    /// Opens the listeners. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// An address that cannot be listened on, unless it may be left out; tokens that cannot be read.
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        let tokens = config.admin_token_file.as_deref().map(AdminTokens::from_file).transpose()?;
        let admin =
            AdminAccess { tokens: tokens.unwrap_or_default(), allows_remote: config.admin_remote };
        let listeners = listen::bind_all(&config.listen)?;
        let local_addrs = listeners.iter().filter_map(|listener| listener.local_addr().ok());
        let local_addrs: Vec<_> = local_addrs.collect();
        let mut hub = Hub::new(config.network, config.max_clients)
            .with_admin(admin)
            .with_compression(config.compression);
        let mut membership = None;
        if let Some((ledger, opened)) = state::open(config, &local_addrs)? {
            hub = hub.with_members(ledger);
            membership = Some(opened);
        }
        let federation = state::open_federation(config, membership.as_ref())?;
        let shared = Arc::new(Shared::new(config, hub, membership, federation));
        Ok(Self { listeners, local_addrs, shared })
    }

    fn say_who_is_let_in(&self) {
        let network = self.shared.network;
        let name = self.shared.name.as_ref().map(tracing::field::display);
        match &self.shared.membership {
            None => warn!(
                name, %network,
                "this hub is open: anyone who reaches it gets a vIP, and keeps it as long as the \
                 connection; 'dosp-server init' makes a network for members only"
            ),
            Some(membership) if membership.is_closed => {
                let key = membership.identity.public().fingerprint();
                info!(name, %network, %key, "this hub is closed: members only");
            }
            Some(membership) => {
                let key = membership.identity.public().fingerprint();
                warn!(name, %network, %key, "this hub is open: anyone who reaches it gets a vIP");
            }
        }
    }

    /// Where it listens, with real ports, in the order of the configuration.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// For those on this machine who look after the hub.
    #[must_use]
    pub fn handle(&self) -> HubHandle {
        HubHandle::new(Arc::clone(&self.shared), self.local_addrs.clone())
    }

    /// Serves until `shutdown`; then says EXIT to every client and returns when they have read it,
    /// after two seconds at most.
    pub async fn run(self, shutdown: CancellationToken) {
        listen::log_listening(&self.local_addrs);
        self.say_who_is_let_in();
        let news = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&self.shared).tell_news()));
        let routes = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&self.shared).tell_routes()));
        let mut dialling = JoinSet::new();
        for peer in self.shared.federation.peers().iter().filter(|peer| peer.config.addr.is_some())
        {
            let shared = Arc::clone(&self.shared);
            dialling.spawn(link::keep_dialling(shared, peer.clone(), shutdown.clone()));
        }
        let mut listeners = JoinSet::new();
        for listener in self.listeners {
            let shared = Arc::clone(&self.shared);
            listeners.spawn(listen::accept_loop(listener, shared, shutdown.clone()));
        }
        let mut sessions = Vec::new();
        while let Some(ended) = listeners.join_next().await {
            match ended {
                Ok(open) => sessions.push(open),
                Err(reason) => error!(%reason, "a listener failed"),
            }
        }
        info!("stopping");
        drop((news, routes));
        self.shared.finish_all(STOPPING);
        sessions.push(dialling);
        let all_ended = async {
            for open in &mut sessions {
                while open.join_next().await.is_some() {}
            }
        };
        if timeout(STOP_TIMEOUT, all_ended).await.is_err() {
            info!("some clients did not read their last frames");
        }
    }
}
