//! Whether this host's routes leave room for the network.

use std::net::IpAddr;

use dosp_proto::vip::Network;

use super::finding::{Check, Finding};
use crate::failure::Exit;
use crate::netcfg::{Conflict, NetConfig};

/// What is in the way of one network.
#[derive(Debug)]
pub(super) struct Overlap {
    pub(super) network: Network,
    /// Whether it is the hub's own.
    pub(super) is_own: bool,
    pub(super) conflicts: Vec<Conflict>,
}

impl Overlap {
    /// Whether the kernel would rather take another route to some of the addresses: one that leads to
    /// more addresses than the network has never comes first.
    pub(super) fn covers(&self) -> bool {
        self.conflicts.iter().any(|conflict| match conflict {
            Conflict::Route { prefix_len, .. } => *prefix_len >= self.network.prefix_len(),
            Conflict::Hub { .. } => false,
        })
    }
}

/// What the routes are compared with.
#[derive(Debug, Clone)]
pub(super) struct Networks {
    /// The hub's own.
    pub(super) own: Network,
    /// Those of other hubs.
    pub(super) others: Vec<Network>,
    /// Where the hub is.
    pub(super) hub: Option<IpAddr>,
    /// The interface whose routes are in nobody's way.
    pub(super) tun: String,
}

/// Compares all routes of this host with the networks.
pub(super) async fn look(networks: &Networks) -> Result<Vec<Overlap>, crate::netcfg::NetError> {
    let config = NetConfig::open()?;
    let hub = networks.hub.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
    let mut overlaps = Vec::new();
    let own = std::iter::once((networks.own, true));
    for (network, is_own) in own.chain(networks.others.iter().map(|other| (*other, false))) {
        let mut conflicts = config.conflicts(network, hub).await?;
        conflicts.retain(|conflict| match conflict {
            Conflict::Route { interface, .. } => interface.as_ref() != Some(&networks.tun),
            Conflict::Hub { .. } => true,
        });
        if !conflicts.is_empty() {
            overlaps.push(Overlap { network, is_own, conflicts });
        }
    }
    Ok(overlaps)
}

/// `forced` says that overlaps are wanted.
pub(super) fn judge(networks: &Networks, overlaps: &[Overlap], forced: bool) -> Finding {
    let check = Check::Routes;
    let words = overlaps.iter().map(in_words).collect::<Vec<_>>().join("; ");
    let own = overlaps.iter().any(|overlap| overlap.is_own);
    match (overlaps.is_empty(), own, forced) {
        (true, ..) => {
            let count = networks.others.len();
            let others =
                if count == 0 { String::new() } else { format!(" and {count} of other hubs") };
            Finding::ok(check, format!("nothing is in the way of {}{others}", networks.own))
        }
        (_, true, false) => Finding::fail(
            check,
            Exit::Usage,
            words,
            "give the hub another network (dosp-server --network), remove the route ('ip route'), \
             or take the network all the same with --force",
        ),
        (_, true, true) => {
            let fix = "what the other route leads to is not reached, or the network is not";
            Finding::warn(check, format!("{words}, and force is set"), fix)
        }
        (_, false, _) => {
            let fix = "remove the route, or have that hub take another network; its members are \
                       reached by messages only";
            Finding::warn(check, words, fix)
        }
    }
}

fn in_words(overlap: &Overlap) -> String {
    let in_the_way = overlap.conflicts.iter().map(ToString::to_string).collect::<Vec<_>>();
    format!("the network {} overlaps {}", overlap.network, in_the_way.join(", "))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn route_covers_the_network_where_it_is_as_exact() {
        let network: Network = "10.77.0.0/24".parse().unwrap();
        let covers = |prefix_len| {
            let (addr, interface) = (Ipv4Addr::new(10, 77, 0, 0), Some("eth0".to_owned()));
            let conflicts = vec![Conflict::Route { addr, prefix_len, interface }];
            Overlap { network, is_own: true, conflicts }.covers()
        };
        assert!(covers(24) && covers(25) && !covers(23) && !covers(8));
        let hub = vec![Conflict::Hub { addr: Ipv4Addr::new(10, 77, 0, 9) }];
        assert!(!Overlap { network, is_own: true, conflicts: hub }.covers());
    }

    #[test]
    fn overlaps_are_judged_by_whose_network_it_is() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        let (own, other) = (network("10.77.0.0/24"), network("10.78.0.0/24"));
        let networks = Networks { own, others: vec![other], hub: None, tun: "dosp0".to_owned() };
        let overlap = |network, is_own| {
            let (addr, interface) = (Ipv4Addr::new(10, 0, 0, 0), Some("eth0".to_owned()));
            let conflicts = vec![Conflict::Route { addr, prefix_len: 8, interface }];
            Overlap { network, is_own, conflicts }
        };
        let fine = judge(&networks, &[], false);
        let what = "nothing is in the way of 10.77.0.0/24 and 1 of other hubs";
        assert_eq!(fine, Finding::ok(Check::Routes, what));
        let failed = judge(&networks, &[overlap(own, true)], false);
        assert_eq!(failed.verdict, Verdict::Fail(Exit::Usage));
        assert_eq!(failed.what, "the network 10.77.0.0/24 overlaps the route 10.0.0.0/8 over eth0");
        assert!(failed.fix.unwrap().contains("--force"));
        assert_eq!(judge(&networks, &[overlap(own, true)], true).verdict, Verdict::Warn);
        assert_eq!(judge(&networks, &[overlap(other, false)], false).verdict, Verdict::Warn);
    }
}
