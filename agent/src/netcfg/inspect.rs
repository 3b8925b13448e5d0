//! What there is of an interface and of routes, also for a process that may not change them.

use std::net::{IpAddr, Ipv4Addr};

use dosp_proto::vip::{Network, Vip};
use futures_util::TryStreamExt;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::packet_route::route::RouteMessage;

use super::{NetConfig, NetError, interface_of, overlapping_prefix};

impl NetConfig {
    /// The commands by which root makes of `ifname` what [`NetConfig::configure`] would make of it; none
    /// where it is so already.
    ///
    /// # Errors
    /// [`NetError`], where the kernel does not tell.
    pub async fn missing(
        &self,
        ifname: &str,
        vip: Vip,
        network: Network,
        mtu: u16,
    ) -> Result<Vec<String>, NetError> {
        let link = self.link(ifname).await?;
        let has_mtu = link.attributes.contains(&LinkAttribute::Mtu(u32::from(mtu)));
        let mut commands = Vec::new();
        if !has_mtu || !link.header.flags.contains(LinkFlags::Up) {
            commands.push(format!("ip link set dev {ifname} mtu {mtu} up"));
        }
        if !self.has_address(link.header.index, vip).await? {
            // Which makes the route, too.
            let prefix_len = network.prefix_len();
            commands.push(format!("ip addr add {vip}/{prefix_len} dev {ifname}"));
        } else if !self.has_route(ifname, network).await? {
            commands.push(route_command(ifname, network));
        }
        Ok(commands)
    }

    /// Whether all of `network` leads into `ifname`.
    ///
    /// # Errors
    /// [`NetError`], where the kernel does not tell.
    pub async fn has_route(&self, ifname: &str, network: Network) -> Result<bool, NetError> {
        let index = self.index_of(ifname).await?;
        let covers = |route: &RouteMessage| {
            interface_of(route) == Some(index)
                && overlapping_prefix(route, network)
                    .is_some_and(|(_, prefix_len)| prefix_len <= network.prefix_len())
        };
        Ok(self.routes().await?.iter().any(covers))
    }

    pub(super) async fn link(&self, ifname: &str) -> Result<LinkMessage, NetError> {
        let lookup =
            |source| NetError::Lookup { ifname: ifname.to_owned(), source: Box::new(source) };
        let mut links = self.handle.link().get().match_name(ifname).execute();
        let link = links.try_next().await.map_err(lookup)?;
        link.ok_or_else(|| lookup(rtnetlink::Error::RequestFailed))
    }

    /// Those of IPv4, in all tables.
    pub(super) async fn routes(&self) -> Result<Vec<RouteMessage>, NetError> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let routes = self.handle.route().get(all).execute().try_collect().await;
        routes.map_err(|source| NetError::ListRoutes { source: Box::new(source) })
    }

    async fn has_address(&self, index: u32, vip: Vip) -> Result<bool, NetError> {
        let addresses = self.handle.address().get().set_link_index_filter(index).execute();
        let addresses: Result<Vec<AddressMessage>, _> = addresses.try_collect().await;
        let addresses =
            addresses.map_err(|source| NetError::ListAddresses { source: Box::new(source) })?;
        let own = AddressAttribute::Local(IpAddr::V4(vip.addr()));
        Ok(addresses.iter().any(|address| address.attributes.contains(&own)))
    }
}

/// By which root sends `network` into `ifname`.
#[must_use]
pub fn route_command(ifname: &str, network: Network) -> String {
    format!("ip route add {network} dev {ifname}")
}
