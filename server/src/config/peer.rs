//! The other hubs that this one is linked with: what is said of each, and whether it can be so.

mod error;

use std::collections::BTreeSet;

use dosp_proto::identity::PublicKey;
use dosp_proto::vip::Network;

use super::{ValueError, host_and_port};
pub use error::{PeerError, PeersError};

/// So many peers at most: each has a link of its own, and every hub of a network need not know all.
pub const MAX_PEERS: usize = 128;

/// Another hub, as its operator and ours have agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Where it is dialled, as `HOST:PORT`; `None` where only it dials us.
    pub addr: Option<String>,
    /// Its own network.
    pub network: Network,
    /// The key that it has to prove; `None` for the one that it shows on the first link that this hub
    /// dials, and for a published DoSP hub, which has none.
    pub key: Option<PublicKey>,
    /// What it may speak for beside its own network.
    pub networks: Vec<Network>,
    /// Whether it is a published DoSP hub, known by its address alone.
    pub unauthenticated: bool,
}

impl PeerConfig {
    /// Whether all that is said of this peer can be so at once.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn checked(self) -> Result<Self, PeerError> {
        match (self.unauthenticated, &self.key, &self.addr) {
            (true, Some(_), _) => Err(PeerError::KeyUnused),
            (true, None, None) => Err(PeerError::NoAddress),
            (false, None, None) => Err(PeerError::Nobody),
            (_, None, Some(_)) | (false, Some(_), _) => Ok(self),
        }
    }
}

/// Reads `HOST[:PORT]=NETWORK[,key=KEY][,networks=NET+NET…][,unauthenticated]`.
///
/// # Errors
/// Anything else, and what cannot be.
pub fn parse_peer(text: &str) -> Result<PeerConfig, ValueError> {
    let mut parts = text.split(',');
    let place = parts.next().and_then(|place| place.split_once('='));
    let (addr, network) = place.ok_or_else(|| PeerError::Syntax { text: text.to_owned() })?;
    let addr = if addr.is_empty() { None } else { Some(parse_addr(addr)?) };
    let network = network.parse().map_err(PeerError::Network)?;
    let mut peer =
        PeerConfig { addr, network, key: None, networks: Vec::new(), unauthenticated: false };
    let mut said = BTreeSet::new();
    for part in parts {
        // A key ends in '=' itself.
        let (option, value) = part.split_once('=').unwrap_or((part, ""));
        if !said.insert(option) {
            return Err(PeerError::Twice { option: option.to_owned() }.into());
        }
        match (option, value) {
            ("key", key) => peer.key = Some(parse_key(key)?),
            ("networks", networks) => peer.networks = parse_networks(networks.split('+'))?,
            ("unauthenticated", "") if part == option => peer.unauthenticated = true,
            _ => return Err(PeerError::Option { text: part.to_owned() }.into()),
        }
    }
    Ok(peer.checked()?)
}

/// Reads `DOSP_PEERS` as DoSP 0.2 has it: `HOST:PORT:TEMPLATE`, with commas between. It has no room for a
/// key, so these are published hubs.
///
/// # Errors
/// Anything else.
pub(super) fn parse_peers_variable(text: &str) -> Result<Vec<PeerConfig>, ValueError> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(parse_published).collect()
}

fn parse_published(text: &str) -> Result<PeerConfig, ValueError> {
    let wrong = || PeerError::Published { text: text.to_owned() };
    let (addr, network) = text.rsplit_once(':').ok_or_else(wrong)?;
    // A host without a port would take the template for one.
    let (host, _) = addr.split_once(':').ok_or_else(wrong)?;
    if host.is_empty() || host.starts_with('[') {
        return Err(wrong().into());
    }
    Ok(PeerConfig {
        addr: Some(parse_addr(addr)?),
        network: network.parse().map_err(PeerError::Network)?,
        key: None,
        networks: Vec::new(),
        unauthenticated: true,
    })
}

pub(super) fn parse_addr(text: &str) -> Result<String, PeerError> {
    host_and_port(text).ok_or_else(|| PeerError::Address { text: text.to_owned() })
}

pub(super) fn parse_key(text: &str) -> Result<PublicKey, PeerError> {
    text.parse().map_err(|source| PeerError::Key { text: text.to_owned(), source })
}

pub(super) fn parse_networks<'a>(
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Network>, PeerError> {
    texts.into_iter().map(|text| text.parse().map_err(PeerError::Network)).collect()
}

/// Whether the hub of the network `ours` can have all these peers at once.
///
/// # Errors
/// [`PeersError`].
pub(super) fn check_all(
    peers: &[PeerConfig],
    ours: Network,
    has_state: bool,
) -> Result<(), PeersError> {
    if peers.len() > MAX_PEERS {
        return Err(PeersError::TooMany { num_peers: peers.len() });
    }
    for (number, peer) in peers.iter().enumerate() {
        let network = peer.network;
        if network.overlaps(ours) {
            return Err(PeersError::Ours { network, ours });
        }
        if !peer.unauthenticated && !has_state {
            return Err(PeersError::NoState { network });
        }
        for other in peers.iter().take(number) {
            check_two(other, peer)?;
        }
    }
    Ok(())
}

fn check_two(one: &PeerConfig, other: &PeerConfig) -> Result<(), PeersError> {
    let networks = [one.network, other.network];
    if one.network.overlaps(other.network) {
        return Err(PeersError::Overlap { networks });
    }
    if let (Some(addr), Some(other_addr)) = (&one.addr, &other.addr)
        && addr.eq_ignore_ascii_case(other_addr)
    {
        return Err(PeersError::SameAddress { networks, addr: addr.clone() });
    }
    match one.key.filter(|_| one.key == other.key) {
        Some(key) => Err(PeersError::SameKey { networks, fingerprint: key.fingerprint() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
