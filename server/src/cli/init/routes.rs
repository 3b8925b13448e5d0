//! Which networks this machine reaches already, so that a new one does not hide them.

use std::fs;

use dosp_proto::vip::{Network, Vip};
use rand::{Rng, RngExt};

/// RFC 1918, and RFC 6598.
const PRIVATE: [([u8; 4], u8); 4] =
    [([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16), ([100, 64, 0, 0], 10)];
/// On a machine that has routes to all of 10.0.0.0/8 every network overlaps one.
const MAX_TRIES: usize = 1_000;

/// Whether nobody on the Internet has an address in `network`.
pub(super) fn is_private(network: Network) -> bool {
    PRIVATE.iter().any(|(base, len)| {
        *len <= network.prefix_len()
            && u32::from_be_bytes(*base) == u32::from(network.address()) & mask(*len)
    })
}

/// Address and length of each route but the default one.
#[derive(Debug, Default)]
pub(super) struct Routes(Vec<(u32, u8)>);

impl Routes {
    /// None where the system does not tell.
    pub(super) fn of_this_machine() -> Self {
        Self::parse(&fs::read_to_string("/proc/net/route").unwrap_or_default())
    }

    fn parse(table: &str) -> Self {
        let route = |line: &str| {
            let mut fields = line.split_whitespace();
            // The bytes of a number of this machine stand in the order of the network.
            let number = |text: Option<&str>| {
                u32::from_str_radix(text?, 16)
                    .ok()
                    .map(|number| u32::from_be_bytes(number.to_ne_bytes()))
            };
            let destination = number(fields.nth(1))?;
            let mask = number(fields.nth(5))?;
            let len = u8::try_from(mask.leading_ones()).ok()?;
            (len > 0).then_some((destination, len))
        };
        Self(table.lines().skip(1).filter_map(route).collect())
    }

    /// A route to a part of `network`, or to more than that.
    pub(super) fn overlap(&self, network: Network) -> Option<String> {
        let overlaps = |(base, len): &&(u32, u8)| {
            let mask = mask((*len).min(network.prefix_len()));
            base & mask == u32::from(network.address()) & mask
        };
        let found = self.0.iter().find(overlaps);
        found.map(|(base, len)| format!("{}/{len}", Vip::from(*base)))
    }

    /// Some /24 of 10.0.0.0/8: two networks that were made so hardly ever are the same.
    pub(super) fn free_network(&self, rng: &mut impl Rng) -> Network {
        let mut random = || {
            let vip = Vip::from([10, rng.random(), rng.random(), 0]);
            Network::containing(vip, 24).unwrap_or(Network::DEFAULT)
        };
        let first = random();
        let mut others = std::iter::repeat_with(random).take(MAX_TRIES);
        if self.overlap(first).is_none() {
            return first;
        }
        others.find(|network| self.overlap(*network).is_none()).unwrap_or(first)
    }
}

fn mask(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    const TABLE: &str = "\
Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000080FF\t0\t0\t0
";

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn overlaps_are_found_either_way() {
        let routes = Routes::parse(TABLE);
        for (text, route) in [
            ("192.168.1.0/24", Some("192.168.1.0/24")),
            ("192.168.0.0/16", Some("192.168.1.0/24")),
            ("192.168.1.128/25", Some("192.168.1.0/24")),
            ("192.168.2.0/24", None),
            ("10.7.0.0/16", Some("10.0.0.0/9")),
            ("10.200.0.0/16", None),
        ] {
            assert_eq!(routes.overlap(network(text)).as_deref(), route, "{text}");
        }
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..100 {
            let free = routes.free_network(&mut rng);
            assert!(free.address().octets()[1] >= 128 && free.prefix_len() == 24, "{free}");
        }
    }

    #[test]
    fn private_networks_are_known() {
        for (text, expected) in [
            ("10.0.0.0/8", true),
            ("172.31.0.0/16", true),
            ("172.32.0.0/16", false),
            ("192.168.0.0/15", false),
            ("100.127.0.0/16", true),
            ("7.10.0.0/24", false),
        ] {
            let known = text.parse().map(is_private).unwrap_or(false);
            assert_eq!(known, expected, "{text}");
        }
    }
}
