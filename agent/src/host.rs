//! This host's side of the network: the address and the route on the TUN.
//!
//! [`Host`] is what the node asks of it, [`TunHost`] the real one.

use std::net::IpAddr;

use dosp_proto::vip::Network;
use nix::net::if_::if_nametoindex;

pub use crate::changes::Change;
use crate::changes::Changes;
use crate::engine::Overlay;
use crate::netcfg::{Conflict, NetConfig, NetError, route_command};

/// What the host does when the agent has got, or changed, its place in the network.
pub trait Host: Send + 'static {
    /// Why it cannot.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Makes `overlay` reachable from this host, in place of `before`. `hub` is the hub's address.
    ///
    /// # Errors
    /// What ends the node.
    fn apply(
        &mut self,
        before: Option<Overlay>,
        overlay: Overlay,
        hub: IpAddr,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Makes these networks of other hubs reachable too, in place of all that were named before. Returns
    /// those that are not, and why.
    fn route(
        &mut self,
        networks: &[Network],
        hub: IpAddr,
    ) -> impl Future<Output = Vec<(Network, Self::Error)>> + Send;

    /// Waits until something has happened to this host that may cost the link its path; for ever, where
    /// nobody watches. Nothing is lost when it is dropped.
    fn changed(&mut self) -> impl Future<Output = Change> + Send {
        std::future::pending()
    }

    /// Whether this host still has the address; where nobody knows, it has.
    fn has_address(&mut self, _addr: IpAddr) -> impl Future<Output = bool> + Send {
        std::future::ready(true)
    }
}

/// A host without a TUN has nothing to do.
#[derive(Debug, Clone, Copy)]
pub struct NoHost;

impl Host for NoHost {
    type Error = std::convert::Infallible;

    async fn apply(
        &mut self,
        _: Option<Overlay>,
        _: Overlay,
        _: IpAddr,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn route(&mut self, _: &[Network], _: IpAddr) -> Vec<(Network, Self::Error)> {
        Vec::new()
    }
}

/// Configures one TUN interface.
#[derive(Debug)]
pub struct TunHost {
    net: NetConfig,
    changes: Changes,
    ifname: String,
    mtu: u16,
    /// Take the network whatever else uses its addresses.
    force: bool,
    /// The networks of other hubs that lead into the interface.
    routed: Vec<Network>,
}

/// Why the network cannot be had on this host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Something else has these addresses.
    #[error("the network {network} overlaps {}", list(conflicts))]
    Conflict {
        /// The hub's network.
        network: Network,
        /// What is in the way; never empty.
        conflicts: Vec<Conflict>,
    },
    /// This process may not set the interface up, and whoever may has not done it.
    #[error("the interface '{ifname}' is not set up for {} in {}", overlay.vip, overlay.network)]
    NotSetUp {
        /// The interface's name.
        ifname: String,
        /// What it has to be set up for.
        overlay: Overlay,
        /// By which commands; never empty.
        commands: Vec<String>,
        /// Why this process may not.
        source: NetError,
    },
    /// This process may not route the network, and whoever may has not done it.
    #[error("root has to run '{command}'")]
    NotRouted {
        /// By which command.
        command: String,
        /// Why this process may not.
        source: NetError,
    },
    /// The kernel says no.
    #[error(transparent)]
    Net(#[from] NetError),
}

fn list(conflicts: &[Conflict]) -> String {
    conflicts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl TunHost {
    /// For the interface `ifname`, which is there, with an MTU of `mtu` bytes.
    ///
    /// # Errors
    /// [`NetError::Open`].
    pub fn new(ifname: &str, mtu: u16, force: bool) -> Result<Self, NetError> {
        let open = |source| NetError::Open { source };
        let index = if_nametoindex(ifname).map_err(|errno| open(errno.into()))?;
        let (net, ifname) = (NetConfig::open()?, ifname.to_owned());
        let changes = Changes::watch(index).map_err(open)?;
        Ok(Self { net, changes, ifname, mtu, force, routed: Vec::new() })
    }
}

impl TunHost {
    /// What is in the way of `network`, beside our own routes, which go with the networks before.
    async fn conflicts(&self, network: Network, hub: IpAddr) -> Result<Vec<Conflict>, NetError> {
        let mut conflicts = self.net.conflicts(network, hub).await?;
        conflicts.retain(|conflict| match conflict {
            Conflict::Route { interface, .. } => interface.as_ref() != Some(&self.ifname),
            Conflict::Hub { .. } => true,
        });
        Ok(conflicts)
    }

    /// Not even by force: whoever runs this host chose its hub, and not what other hubs call theirs.
    async fn add_route(&self, network: Network, hub: IpAddr) -> Result<(), HostError> {
        let conflicts = self.conflicts(network, hub).await?;
        if !conflicts.is_empty() {
            return Err(HostError::Conflict { network, conflicts });
        }
        match self.net.add_route(&self.ifname, network).await {
            Err(source) if source.is_permission() => {
                if self.net.has_route(&self.ifname, network).await? {
                    return Ok(());
                }
                let command = route_command(&self.ifname, network);
                Err(HostError::NotRouted { command, source })
            }
            added => Ok(added?),
        }
    }

    async fn set_up(&self, before: Option<Overlay>, overlay: Overlay) -> Result<(), NetError> {
        let Overlay { vip, network } = overlay;
        match before {
            None => self.net.configure(&self.ifname, vip, network, self.mtu).await,
            Some(before) => {
                let (old, new) = ((before.vip, before.network), (vip, network));
                self.net.readdress(&self.ifname, old, new).await?;
                self.restore_routes().await
            }
        }
    }

    /// The kernel may have taken them along with an address.
    async fn restore_routes(&self) -> Result<(), NetError> {
        for network in &self.routed {
            self.net.add_route(&self.ifname, *network).await?;
        }
        Ok(())
    }
}

fn holds(network: Network, hub: IpAddr) -> bool {
    match hub.to_canonical() {
        IpAddr::V4(addr) => network.contains(addr.into()),
        IpAddr::V6(_) => false,
    }
}

impl Host for TunHost {
    type Error = HostError;

    async fn apply(
        &mut self,
        before: Option<Overlay>,
        overlay: Overlay,
        hub: IpAddr,
    ) -> Result<(), HostError> {
        let Overlay { vip, network } = overlay;
        if before.is_none_or(|before| before.network != network) {
            let conflicts = self.conflicts(network, hub).await?;
            if !conflicts.is_empty() && !self.force {
                return Err(HostError::Conflict { network, conflicts });
            }
        }
        match self.set_up(before, overlay).await {
            // An interface that root made for this user, who may use it and not change it.
            Err(source) if source.is_permission() => {
                let commands = self.net.missing(&self.ifname, vip, network, self.mtu).await?;
                if commands.is_empty() {
                    return Ok(());
                }
                let ifname = self.ifname.clone();
                Err(HostError::NotSetUp { ifname, overlay, commands, source })
            }
            set_up => Ok(set_up?),
        }
    }

    async fn route(&mut self, networks: &[Network], hub: IpAddr) -> Vec<(Network, HostError)> {
        let mut failed = Vec::new();
        let mut routed = Vec::new();
        for network in std::mem::take(&mut self.routed) {
            // The hub may be at another address than before, which must not lead into the tunnel.
            let stays = networks.contains(&network) && !holds(network, hub);
            if stays {
                routed.push(network);
            } else if let Err(error) = self.net.delete_route(&self.ifname, network).await
                && !error.is_permission()
            {
                tracing::warn!(%network, error = %error, "a route stays");
                // Taken back with the next change, or with the interface.
                self.routed.push(network);
            }
        }
        for network in networks {
            if routed.contains(network) {
                continue;
            }
            match self.add_route(*network, hub).await {
                Ok(()) => routed.push(*network),
                Err(error) => failed.push((*network, error)),
            }
        }
        self.routed.append(&mut routed);
        failed
    }

    async fn changed(&mut self) -> Change {
        self.changes.next().await
    }

    async fn has_address(&mut self, addr: IpAddr) -> bool {
        self.changes.has_address(addr).await
    }
}
