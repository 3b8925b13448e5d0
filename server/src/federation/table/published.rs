//! Between the claims of the table and SD, which published hubs speak: it counts hubs and does not
//! name them.

use dosp_proto::federation::{Claim, HubId, MAX_PATH_LEN};
use dosp_proto::sd::{self, Advertisement};
use dosp_proto::vip::Network;

use super::{PeerId, RouteTable};

/// All that a template can say.
const TEMPLATE_PREFIX_LEN: u8 = 24;
/// An advertisement counts its routes in one byte.
const MAX_SD_ROUTES: usize = 255;

impl RouteTable {
    /// What a published hub said, as claims to [hear](RouteTable::hear). What is no network is left
    /// out. Paths have the right length and the right ends, and hubs in between that nobody has.
    ///
    /// Networks that it may speak for and did not name are taken to lie behind it all the same: a
    /// published hub names none on a link that it accepted, and since 0.1.4 none at all.
    #[must_use]
    pub fn claims_of(&self, peer: PeerId, advertisement: &Advertisement) -> Vec<Claim> {
        let Some(id) = self.id_of(peer) else { return Vec::new() };
        let claim = |network, num_hops: u8| {
            // Our own network comes back to us in rings: a loop, not a lie.
            let is_own = network == self.own.network;
            let hub = if is_own { self.own.id } else { HubId::of_published(network) };
            Claim { network, hub: None, path: path(id, hub, num_hops.into()) }
        };
        let said = advertisement.0.iter();
        let said =
            said.filter_map(|route| Some(claim(route.template.parse().ok()?, route.num_hops)));
        let mut claims: Vec<_> = said.collect();
        for network in self.behind(peer) {
            if claims.iter().all(|claim| claim.network != network) {
                claims.push(claim(network, 1));
            }
        }
        claims
    }

    /// The networks that a peer may speak for and that a template can say; wider prefixes are none.
    fn behind(&self, peer: PeerId) -> impl Iterator<Item = Network> {
        let rule = self.peers.get(peer.0).map(|peer| &peer.rule);
        let networks = rule.into_iter().flat_map(|rule| &rule.may_speak_for).copied();
        networks.filter(|network| network.prefix_len() == TEMPLATE_PREFIX_LEN)
    }

    /// What to tell a published hub, which will find us at `host` and `port`.
    #[must_use]
    pub fn sd_advertisement(&self, to: PeerId, host: &str, port: u16) -> Advertisement {
        let others = self.routes_for(to).map(|route| (route.claim.network, route.claim.path.len()));
        let routes = std::iter::once((self.own.network, 0)).chain(others);
        let routes = routes.filter_map(|(network, num_hops)| {
            let num_hops = u8::try_from(num_hops).ok()?;
            Some(sd::Route { host: host.to_owned(), port, template: template(network)?, num_hops })
        });
        Advertisement(routes.take(MAX_SD_ROUTES).collect())
    }
}

/// One hub more than `num_hops`. A path that is too long has just one hub too many: it is refused
/// with its reason, and costs no more memory.
fn path(first: HubId, last: HubId, num_hops: usize) -> Vec<HubId> {
    let num_hops = num_hops.min(MAX_PATH_LEN);
    let between = (1u32..).map(|number| HubId::from(number.to_be_bytes()));
    let mut path = vec![first];
    path.extend(between.take(num_hops.saturating_sub(1)));
    path.extend((num_hops > 0).then_some(last));
    path
}

fn template(network: Network) -> Option<String> {
    let [a, b, c, _] = network.address().octets();
    (network.prefix_len() == TEMPLATE_PREFIX_LEN).then(|| format!("{a}.{b}.{c}.{{x}}"))
}
