//! Virtual addresses (vIPs) and the networks that a hub gives them out of.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A virtual IPv4 address: where a client of a hub can be reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vip(Ipv4Addr);

impl Vip {
    /// 0.0.0.0: no address; as SRC, "whoever sends this".
    pub const NONE: Self = Self(Ipv4Addr::UNSPECIFIED);

    /// The four bytes, as on the wire.
    #[must_use]
    pub const fn octets(self) -> [u8; 4] {
        self.0.octets()
    }

    /// The same address for the system.
    #[must_use]
    pub const fn addr(self) -> Ipv4Addr {
        self.0
    }
}

impl From<[u8; 4]> for Vip {
    fn from(octets: [u8; 4]) -> Self {
        Self(Ipv4Addr::from(octets))
    }
}

impl From<u32> for Vip {
    fn from(bits: u32) -> Self {
        Self(Ipv4Addr::from(bits))
    }
}

impl From<Vip> for u32 {
    fn from(vip: Vip) -> Self {
        Self::from(vip.0)
    }
}

impl From<Ipv4Addr> for Vip {
    fn from(addr: Ipv4Addr) -> Self {
        Self(addr)
    }
}

impl FromStr for Vip {
    type Err = VipError;

    fn from_str(text: &str) -> Result<Self, VipError> {
        text.parse().map(Self).map_err(|source| VipError { text: text.to_owned(), source })
    }
}

impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl serde::Serialize for Vip {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Vip {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ipv4Addr::deserialize(deserializer).map(Self)
    }
}

/// A text that is no vIP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no vIP, which is written like 7.10.0.2")]
pub struct VipError {
    text: String,
    source: std::net::AddrParseError,
}

/// A hub's network: a prefix whose first host is the hub itself.
///
/// Written as a template (`7.10.0.{x}` or `7.10.0.x`, a /24) or as CIDR (`10.7.0.0/16`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    base: u32,
    prefix_len: u8,
}

impl Network {
    /// The network of a hub that was told none: `7.10.0.{x}`.
    pub const DEFAULT: Self = Self { base: 0x070A_0000, prefix_len: 24 };

    /// The network of `prefix_len` bits that holds `vip`.
    ///
    /// # Errors
    /// [`NetworkError::PrefixLen`] unless 8 ≤ `prefix_len` ≤ 30.
    pub fn containing(vip: Vip, prefix_len: u8) -> Result<Self, NetworkError> {
        if !(8..=30).contains(&prefix_len) {
            return Err(NetworkError::PrefixLen { prefix_len });
        }
        Ok(Self { base: u32::from(vip) & mask(prefix_len), prefix_len })
    }

    /// How many leading bits all its addresses share.
    #[must_use]
    pub const fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    /// The network address, never given to anybody.
    #[must_use]
    pub fn address(self) -> Vip {
        Vip::from(self.base)
    }

    /// The first host: the hub itself.
    #[must_use]
    pub fn hub(self) -> Vip {
        Vip::from(self.base | 1)
    }

    /// The broadcast address, never given to anybody.
    #[must_use]
    pub fn broadcast(self) -> Vip {
        Vip::from(self.base | !mask(self.prefix_len))
    }

    /// Whether `vip` lies in it.
    #[must_use]
    pub fn contains(self, vip: Vip) -> bool {
        u32::from(vip) & mask(self.prefix_len) == self.base
    }

    /// Whether all of `other` lies in it.
    #[must_use]
    pub fn holds(self, other: Self) -> bool {
        self.prefix_len <= other.prefix_len && self.contains(other.address())
    }

    /// Whether an address lies in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        // Of two prefixes that share an address, one holds the other.
        self.holds(other) || other.holds(self)
    }

    /// Whether a client can have `vip`: in the network, and neither its address, nor the hub's, nor
    /// the broadcast address.
    #[must_use]
    pub fn is_assignable(self, vip: Vip) -> bool {
        self.contains(vip) && vip != self.address() && vip != self.hub() && vip != self.broadcast()
    }

    /// The addresses that clients can have, from the lowest.
    pub fn assignable(self) -> impl DoubleEndedIterator<Item = Vip> + ExactSizeIterator {
        let first = u32::from(self.hub()) + 1;
        (first..u32::from(self.broadcast())).map(Vip::from)
    }
}

const fn mask(prefix_len: u8) -> u32 {
    !(u32::MAX >> prefix_len)
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (addr, prefix_len) = match text.split_once('/') {
            Some((addr, prefix_len)) => (addr.to_owned(), prefix_len.parse().ok()),
            None => {
                let stem = text.strip_suffix(".{x}").or_else(|| text.strip_suffix(".x"));
                (stem.map(|stem| format!("{stem}.0")).unwrap_or_default(), Some(24))
            }
        };
        let (Ok(vip), Some(prefix_len)) = (addr.parse::<Vip>(), prefix_len) else {
            return Err(NetworkError::Syntax { text: text.to_owned() });
        };
        let network = Self::containing(vip, prefix_len)?;
        if network.address() != vip {
            return Err(NetworkError::HostBits { text: text.to_owned(), network });
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.prefix_len)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A text or a number that makes no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither a template nor CIDR.
    #[error("'{text}' is no network, which is written like 7.10.0.{{x}} or 10.7.0.0/16")]
    Syntax {
        /// What was given.
        text: String,
    },
    /// Too large or too small for a hub and its clients.
    #[error("a network has 8 to 30 prefix bits, not {prefix_len}")]
    PrefixLen {
        /// What was given.
        prefix_len: u8,
    },
    /// CIDR with bits set behind the prefix.
    #[error("'{text}' names a host; the network is {network}")]
    HostBits {
        /// What was given.
        text: String,
        /// What was probably meant.
        network: Network,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn template_and_cidr_name_the_same_network() {
        assert_eq!(network("7.10.0.{x}"), Network::DEFAULT);
        assert_eq!(network("7.10.0.x"), Network::DEFAULT);
        assert_eq!(network("7.10.0.0/24"), Network::DEFAULT);
        assert_eq!(Network::DEFAULT.to_string(), "7.10.0.0/24");
    }

    #[test]
    fn reserved_addresses_are_never_assignable() {
        let large = network("10.7.0.0/16");
        for (text, assignable) in [
            ("10.7.0.0", false),
            ("10.7.0.1", false),
            ("10.7.0.2", true),
            ("10.7.0.255", true),
            ("10.7.255.254", true),
            ("10.7.255.255", false),
            ("10.8.0.2", false),
            ("0.0.0.0", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(large.is_assignable(text.parse().unwrap()), assignable, "{text}");
        }
        let small = network("10.7.0.4/30");
        assert_eq!(small.assignable().map(|vip| vip.to_string()).collect::<Vec<_>>(), ["10.7.0.6"]);
        assert_eq!(Network::DEFAULT.assignable().len(), 253);
    }

    #[test]
    fn bad_networks_are_refused_with_the_reason() {
        for (text, reason) in [
            ("7.10.0.5", "is no network"),
            ("7.10.x.x", "is no network"),
            ("7.10.0", "is no network"),
            ("", "is no network"),
            ("7.10.0.0/x", "is no network"),
            ("7.10.0.0/31", "8 to 30"),
            ("7.10.0.0/7", "8 to 30"),
            ("7.10.0.9/24", "the network is 7.10.0.0/24"),
        ] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn prefix_holds_what_is_longer_and_begins_alike() {
        for (large, small, holds, overlaps) in [
            ("10.7.0.0/16", "10.7.0.0/16", true, true),
            ("10.7.0.0/16", "10.7.9.0/24", true, true),
            ("10.0.0.0/8", "10.255.255.252/30", true, true),
            ("10.7.9.0/24", "10.7.0.0/16", false, true),
            ("10.7.0.0/16", "10.8.0.0/16", false, false),
            ("10.7.0.0/24", "10.7.1.0/24", false, false),
        ] {
            let (large, small) = (network(large), network(small));
            assert_eq!((large.holds(small), large.overlaps(small)), (holds, overlaps), "{large}");
            assert_eq!(small.overlaps(large), overlaps, "{small}");
        }
    }

    #[test]
    fn vip_error_shows_the_text() {
        let error = "bob".parse::<Vip>().unwrap_err();
        assert_eq!(error.to_string(), "'bob' is no vIP, which is written like 7.10.0.2");
    }

    proptest! {
        #[test]
        fn any_text_is_a_network_or_an_error(text in ".{0,40}") {
            if let Ok(network) = text.parse::<Network>() {
                prop_assert_eq!(network.to_string().parse::<Network>().unwrap(), network);
            }
        }

        #[test]
        fn holds_and_overlaps_agree_with_the_addresses(
            one: u32, other: u32, lens in (8u8..=30, 8u8..=30), near: bool
        ) {
            let other = if near { one ^ (other & 0xFFF) } else { other };
            let one = Network::containing(Vip::from(one), lens.0).unwrap();
            let other = Network::containing(Vip::from(other), lens.1).unwrap();
            let ends = |network: Network| (network.address(), network.broadcast());
            let ((first, last), (other_first, other_last)) = (ends(one), ends(other));
            prop_assert_eq!(one.holds(other), first <= other_first && other_last <= last);
            prop_assert_eq!(one.overlaps(other), first <= other_last && other_first <= last);
        }

        #[test]
        fn assignable_agrees_with_is_assignable(bits in any::<u32>(), prefix_len in 20u8..=30) {
            let network = Network::containing(Vip::from(bits), prefix_len).unwrap();
            let listed: Vec<_> = network.assignable().collect();
            for vip in (u32::from(network.address())..=u32::from(network.broadcast())).map(Vip::from) {
                prop_assert_eq!(listed.contains(&vip), network.is_assignable(vip));
            }
        }
    }
}
