//! The `[[peer]]` tables of the configuration file.

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Check, Source};
use crate::config::ConfigError;
use crate::config::peer::{PeerConfig, PeerError, parse_addr, parse_key, parse_networks};

/// What there is in such a table, for hints.
pub(super) const KEYS: [&str; 5] = ["address", "network", "key", "networks", "unauthenticated"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPeer {
    address: Option<String>,
    network: String,
    key: Option<String>,
    #[serde(default)]
    networks: Vec<String>,
    #[serde(default)]
    unauthenticated: bool,
}

/// Refuses what no peer has, by the name of what was probably meant.
pub(super) fn check_keys(source: Source<'_>, table: &DeTable<'_>) -> Result<(), ConfigError> {
    let mut tables = elements(table).filter_map(|peer| peer.get_ref().as_table());
    tables.try_for_each(|peer| source.check_keys(peer, &KEYS))
}

/// The key of a peer whose value is at `at`, or that of peers, where a whole one is meant.
pub(super) fn key_at(table: &DeTable<'_>, at: usize) -> Option<String> {
    elements(table).find_map(|peer| {
        let inner = peer.get_ref().as_table().and_then(|peer| super::key_at(peer, at));
        inner.or_else(|| peer.span().contains(&at).then(|| "peer".to_owned()))
    })
}

fn elements<'a>(table: &'a DeTable<'a>) -> impl Iterator<Item = &'a Spanned<DeValue<'a>>> {
    let peers = table.get("peer").and_then(|peers| peers.get_ref().as_array());
    peers.into_iter().flat_map(|peers| peers.iter())
}

/// The peers, checked each by itself.
pub(super) fn read(
    source: Source<'_>,
    table: &DeTable<'_>,
    raw: Option<Vec<RawPeer>>,
) -> Result<Option<Vec<PeerConfig>>, ConfigError> {
    let mut peers = elements(table);
    let nothing = DeTable::new();
    let read = |raw| {
        let peer = peers.next();
        let table = peer.map(Spanned::get_ref).and_then(DeValue::as_table);
        let check = Check { source, table: table.unwrap_or(&nothing) };
        let at = peer.map(|peer| peer.span().start).unwrap_or_default();
        read_one(&check, raw)?.checked().map_err(|error| check.wrong(at, "peer", error.into()))
    };
    raw.map(|raw| raw.into_iter().map(read).collect()).transpose()
}

fn read_one(check: &Check<'_>, raw: RawPeer) -> Result<PeerConfig, ConfigError> {
    let network = check
        .required("network", raw.network, |text| Ok(text.parse().map_err(PeerError::Network)?))?;
    Ok(PeerConfig {
        addr: check.value("address", raw.address, |text| Ok(parse_addr(&text)?))?,
        network,
        key: check.value("key", raw.key, |text| Ok(parse_key(&text)?))?,
        networks: check.required("networks", raw.networks, |texts| {
            Ok(parse_networks(texts.iter().map(String::as_str))?)
        })?,
        unauthenticated: raw.unauthenticated,
    })
}
