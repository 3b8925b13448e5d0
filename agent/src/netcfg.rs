//! Addresses, routes and MTU of the TUN interface, over rtnetlink.
//!
//! There is nothing to undo at the end: the TUN is not persistent, so the kernel removes it with
//! the process, however that ends, and its addresses and routes with it. Nothing else on the host
//! is touched.

mod inspect;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use dosp_proto::vip::{Network, Vip};
use futures_util::TryStreamExt;
use nix::errno::Errno;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteScope,
};
use rtnetlink::{AddressMessageBuilder, Handle, LinkUnspec, RouteMessageBuilder};
use tokio::task::JoinHandle;

pub use inspect::route_command;

/// Packets that wait in the TUN while the agent is busy. The kernel's 500 overflow on one burst of
/// a fast sender.
pub const TX_QUEUE_LEN: u32 = 1000;
/// The kernel's table of the host's own addresses: it holds no way to anywhere.
const LOCAL_TABLE: u32 = 255;
/// The default route, and the two halves of it that VPNs set to outrank it without removing it:
/// our network is more specific, so neither is in its way.
const MAX_DEFAULT_PREFIX_LEN: u8 = 1;

/// Why the network was not set up.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// No netlink socket.
    #[error("open a netlink socket")]
    Open {
        /// What the system said.
        source: io::Error,
    },
    /// The interface is not there.
    #[error("look up the interface '{ifname}'")]
    Lookup {
        /// Its name.
        ifname: String,
        /// What the kernel said.
        source: Box<rtnetlink::Error>,
    },
    /// MTU, queue length or "up" was refused.
    #[error("set up the interface '{ifname}'")]
    SetLink {
        /// Its name.
        ifname: String,
        /// What the kernel said.
        source: Box<rtnetlink::Error>,
    },
    /// The address was refused.
    #[error("give {vip} to the interface '{ifname}'")]
    AddAddress {
        /// The interface's name.
        ifname: String,
        /// The address.
        vip: Vip,
        /// What the kernel said.
        source: Box<rtnetlink::Error>,
    },
    /// The address stays.
    #[error("take {vip} from the interface '{ifname}'")]
    DeleteAddress {
        /// The interface's name.
        ifname: String,
        /// The address.
        vip: Vip,
        /// What the kernel said.
        source: Box<rtnetlink::Error>,
    },
    /// The route was refused.
    #[error("send {network} into the interface '{ifname}'")]
    AddRoute {
        /// The interface's name.
        ifname: String,
        /// The network.
        network: Network,
        /// What the kernel said.
        source: Box<rtnetlink::Error>,
    },
    /// The route stays.
    #[error("take the route to {network} from the interface '{ifname}'")]
    DeleteRoute {
        /// The interface's name.
        ifname: String,
        /// The network.
        network: Network,
        /// What the kernel said.
        source: Box<rtnetlink::Error>,
    },
    /// The routes of this host could not be read.
    #[error("list the routes")]
    ListRoutes {
        /// What the kernel said.
        source: Box<rtnetlink::Error>,
    },
    /// The addresses of this host could not be read.
    #[error("list the addresses")]
    ListAddresses {
        /// What the kernel said.
        source: Box<rtnetlink::Error>,
    },
}

impl NetError {
    /// Whether a process with more privilege would have succeeded.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        let errno = match self {
            Self::Open { source } => source.raw_os_error(),
            Self::Lookup { source, .. }
            | Self::SetLink { source, .. }
            | Self::AddAddress { source, .. }
            | Self::DeleteAddress { source, .. }
            | Self::AddRoute { source, .. }
            | Self::DeleteRoute { source, .. }
            | Self::ListRoutes { source }
            | Self::ListAddresses { source } => errno(source),
        };
        matches!(errno.map(Errno::from_raw), Some(Errno::EPERM | Errno::EACCES))
    }
}

fn errno(error: &rtnetlink::Error) -> Option<i32> {
    let rtnetlink::Error::NetlinkError(message) = error else {
        return None;
    };
    message.to_io().raw_os_error()
}

/// What on this host is in the way of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// A route to some of the same addresses.
    Route {
        /// Where it leads to.
        addr: Ipv4Addr,
        /// How many leading bits of `addr` count.
        prefix_len: u8,
        /// Its interface; `None` for a route that drops.
        interface: Option<String>,
    },
    /// The hub's own address lies in the network: the tunnel would have to go through itself.
    Hub {
        /// The hub's address.
        addr: Ipv4Addr,
    },
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route { addr, prefix_len, interface: Some(interface) } => {
                write!(f, "the route {addr}/{prefix_len} over {interface}")
            }
            Self::Route { addr, prefix_len, interface: None } => {
                write!(f, "the route {addr}/{prefix_len}")
            }
            Self::Hub { addr } => write!(f, "the hub's own address {addr}"),
        }
    }
}

/// A netlink socket of the network namespace that it was opened in.
#[derive(Debug)]
pub struct NetConfig {
    handle: Handle,
    connection: JoinHandle<()>,
}

impl Drop for NetConfig {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl NetConfig {
    /// Opens the socket, and serves it in a task of its own until dropped.
    ///
    /// # Errors
    /// [`NetError::Open`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn open() -> Result<Self, NetError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|source| NetError::Open { source })?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    /// Sets `ifname` up: `mtu` in bytes, queue length, `vip` with the prefix of `network`, which
    /// makes the route to the network, and "up".
    ///
    /// # Errors
    /// [`NetError`]; what was set before stays set.
    pub async fn configure(
        &self,
        ifname: &str,
        vip: Vip,
        network: Network,
        mtu: u16,
    ) -> Result<(), NetError> {
        let index = self.index_of(ifname).await?;
        let link = LinkUnspec::new_with_index(index)
            .mtu(u32::from(mtu))
            .txqueuelen(TX_QUEUE_LEN)
            .up()
            .build();
        self.handle.link().set(link).execute().await.map_err(|source| NetError::SetLink {
            ifname: ifname.to_owned(),
            source: Box::new(source),
        })?;
        self.add_address(ifname, index, vip, network).await
    }

    /// Replaces the address `old` and its network by `new`.
    ///
    /// # Errors
    /// [`NetError`]; where `new` cannot be added, `old` stays.
    pub async fn readdress(
        &self,
        ifname: &str,
        old: (Vip, Network),
        new: (Vip, Network),
    ) -> Result<(), NetError> {
        if old == new {
            return Ok(());
        }
        let index = self.index_of(ifname).await?;
        self.add_address(ifname, index, new.0, new.1).await?;
        let message = AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index)
            .address(old.0.addr(), old.1.prefix_len())
            .build();
        self.handle.address().del(message).execute().await.map_err(|source| {
            NetError::DeleteAddress {
                ifname: ifname.to_owned(),
                vip: old.0,
                source: Box::new(source),
            }
        })?;
        // In the same network `new` was a secondary address until now, and unless the sysctl
        // promote_secondaries is on, the kernel has deleted it together with the primary one.
        self.add_address(ifname, index, new.0, new.1).await
    }

    /// Sends `network`, which is another one than that of the address, into `ifname` too.
    ///
    /// # Errors
    /// [`NetError`].
    pub async fn add_route(&self, ifname: &str, network: Network) -> Result<(), NetError> {
        let route = self.route(ifname, network).await?;
        // It may be there already, as after a change of the address, which may take it along.
        let request = self.handle.route().add(route).replace();
        request.execute().await.map_err(|source| NetError::AddRoute {
            ifname: ifname.to_owned(),
            network,
            source: Box::new(source),
        })
    }

    /// Takes back what [`NetConfig::add_route`] did, where it is still there.
    ///
    /// # Errors
    /// [`NetError`].
    pub async fn delete_route(&self, ifname: &str, network: Network) -> Result<(), NetError> {
        let route = self.route(ifname, network).await?;
        match self.handle.route().del(route).execute().await {
            Err(source) if errno(&source) != Some(Errno::ESRCH as i32) => {
                let (ifname, source) = (ifname.to_owned(), Box::new(source));
                Err(NetError::DeleteRoute { ifname, network, source })
            }
            _ => Ok(()),
        }
    }

    /// Without a gateway, and with whatever address the interface has.
    async fn route(&self, ifname: &str, network: Network) -> Result<RouteMessage, NetError> {
        let index = self.index_of(ifname).await?;
        let to = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(network.address().addr(), network.prefix_len());
        Ok(to.output_interface(index).scope(RouteScope::Link).build())
    }

    /// What on this host is in the way of `network`; to be asked before it is configured here.
    ///
    /// # Errors
    /// [`NetError::ListRoutes`].
    pub async fn conflicts(
        &self,
        network: Network,
        hub: IpAddr,
    ) -> Result<Vec<Conflict>, NetError> {
        let mut conflicts = Vec::new();
        if let IpAddr::V4(addr) = hub.to_canonical()
            && network.contains(Vip::from(addr))
        {
            conflicts.push(Conflict::Hub { addr });
        }
        for route in self.routes().await? {
            let Some((addr, prefix_len)) = overlapping_prefix(&route, network) else {
                continue;
            };
            let interface = match interface_of(&route) {
                Some(index) => Some(self.name_of(index).await),
                None => None,
            };
            conflicts.push(Conflict::Route { addr, prefix_len, interface });
        }
        Ok(conflicts)
    }

    async fn add_address(
        &self,
        ifname: &str,
        index: u32,
        vip: Vip,
        network: Network,
    ) -> Result<(), NetError> {
        let addr = IpAddr::V4(vip.addr());
        let request = self.handle.address().add(index, addr, network.prefix_len());
        request.replace().execute().await.map_err(|source| NetError::AddAddress {
            ifname: ifname.to_owned(),
            vip,
            source: Box::new(source),
        })
    }

    async fn index_of(&self, ifname: &str) -> Result<u32, NetError> {
        Ok(self.link(ifname).await?.header.index)
    }

    /// For words only: an interface that went meanwhile is shown by its number.
    async fn name_of(&self, index: u32) -> String {
        let mut links = self.handle.link().get().match_index(index).execute();
        let attributes = match links.try_next().await {
            Ok(Some(link)) => link.attributes,
            Ok(None) | Err(_) => Vec::new(),
        };
        let mut names = attributes.into_iter().filter_map(|attribute| {
            if let LinkAttribute::IfName(name) = attribute { Some(name) } else { None }
        });
        names.next().unwrap_or_else(|| format!("interface {index}"))
    }
}

/// Where `route` leads, if it may catch what is meant for `network`.
fn overlapping_prefix(route: &RouteMessage, network: Network) -> Option<(Ipv4Addr, u8)> {
    let RouteHeader { destination_prefix_length: prefix_len, table, .. } = route.header;
    let mut table = u32::from(table);
    let mut addr = Ipv4Addr::UNSPECIFIED;
    for attribute in &route.attributes {
        if let RouteAttribute::Destination(RouteAddress::Inet(destination)) = attribute {
            addr = *destination;
        } else if let RouteAttribute::Table(number) = attribute {
            table = *number;
        }
    }
    if table == LOCAL_TABLE || prefix_len <= MAX_DEFAULT_PREFIX_LEN {
        return None;
    }
    let shared_len = u32::from(prefix_len.min(network.prefix_len()));
    let difference = u32::from(addr) ^ u32::from(network.address());
    (difference.leading_zeros() >= shared_len).then_some((addr, prefix_len))
}

fn interface_of(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Oif(index) = attribute {
            Some(*index)
        } else if let RouteAttribute::MultiPath(hops) = attribute {
            hops.first().map(|hop| hop.interface_index)
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests;
