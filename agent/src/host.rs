//! This host's side of the network: the address and the route on the TUN.
//!
//! [`Host`] is what the node asks of it, [`TunHost`] the real one.

use std::net::IpAddr;

use dosp_proto::vip::Network;

use crate::engine::Overlay;
use crate::netcfg::{Conflict, NetConfig, NetError};

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
}

/// Configures one TUN interface.
#[derive(Debug)]
pub struct TunHost {
    net: NetConfig,
    ifname: String,
    mtu: u16,
    /// Take the network whatever else uses its addresses.
    force: bool,
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
    /// The kernel says no.
    #[error(transparent)]
    Net(#[from] NetError),
}

fn list(conflicts: &[Conflict]) -> String {
    conflicts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl TunHost {
    /// For the interface `ifname`, with an MTU of `mtu` bytes.
    ///
    /// # Errors
    /// [`NetError::Open`].
    pub fn new(ifname: &str, mtu: u16, force: bool) -> Result<Self, NetError> {
        Ok(Self { net: NetConfig::open()?, ifname: ifname.to_owned(), mtu, force })
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
            let conflicts = self.net.conflicts(network, hub).await?;
            if !conflicts.is_empty() && !self.force {
                return Err(HostError::Conflict { network, conflicts });
            }
        }
        match before {
            None => self.net.configure(&self.ifname, vip, network, self.mtu).await?,
            Some(before) => {
                let (old, new) = ((before.vip, before.network), (vip, network));
                self.net.readdress(&self.ifname, old, new).await?;
            }
        }
        Ok(())
    }
}
