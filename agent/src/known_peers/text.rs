//! The text form, one line a key: `KEY VIP NAME VERSION`, a hyphen where there is no name.

use std::fmt::Write as _;
use std::num::ParseIntError;

use dosp_proto::identity::{KeyError, PublicKey};
use dosp_proto::label::LabelError;
use dosp_proto::vip::{Vip, VipError};

use super::{KnownPeer, KnownPeers, TrustPolicy, VERSION};
use crate::peer_name::PeerName;

const HEADER: &str = "# The keys of this agent's peers: KEY VIP NAME VERSION\n";
/// Stands where there is no name: it cannot be one.
const NO_NAME: &str = "-";

/// A line that is not understood. Whoever gets this must not write the file anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}")]
pub struct KnownPeersError {
    /// Which, from 1.
    pub line: usize,
    /// What is wrong with it.
    #[source]
    pub why: LineError,
}

/// What can be wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Something is missing, or there is more than that.
    #[error("a line has a key, a vIP, a name or '{NO_NAME}', and a version")]
    Fields,
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The vIP cannot be read.
    #[error(transparent)]
    Vip(#[from] VipError),
    /// The name cannot be read.
    #[error(transparent)]
    Name(#[from] LabelError),
    /// The version cannot be read.
    #[error("the version is no number")]
    Version(#[from] ParseIntError),
    /// A version that has no keys.
    #[error("peers of version {0} have no keys")]
    Keyless(u8),
    /// A line before has the same key.
    #[error("the key was there before")]
    KeyTwice,
    /// A line before has the same vIP.
    #[error("the vIP was there before")]
    VipTwice,
    /// A line before has the same name.
    #[error("the name was there before")]
    NameTwice,
    /// The key is ours.
    #[error("it is this agent's own key")]
    OwnKey,
}

impl KnownPeers {
    /// Reads what [`to_text`](Self::to_text) wrote. `own` is this agent's key.
    ///
    /// # Errors
    /// [`KnownPeersError`], for the first line that is not understood.
    pub fn parse(text: &str, own: PublicKey, policy: TrustPolicy) -> Result<Self, KnownPeersError> {
        let mut known = Self::new(own, policy);
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let read = parse_line(line).and_then(|peer| known.load(peer));
            read.map_err(|why| KnownPeersError { line: index + 1, why })?;
        }
        Ok(known)
    }

    /// What is to be stored: who was addressed or accepted, by vIP.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = HEADER.to_owned();
        for peer in self.iter().filter(|peer| peer.addressed) {
            let KnownPeer { key, vip, version, .. } = peer;
            let name = peer.name.as_deref().unwrap_or(NO_NAME);
            // Writing to a String cannot fail.
            writeln!(text, "{key} {vip} {name} {version}").ok();
        }
        text
    }

    fn load(&mut self, peer: KnownPeer) -> Result<(), LineError> {
        if peer.key == self.own {
            return Err(LineError::OwnKey);
        }
        if self.by_key(&peer.key).is_some() {
            return Err(LineError::KeyTwice);
        }
        if self.key_of(peer.vip).is_some() {
            return Err(LineError::VipTwice);
        }
        if peer.name.as_ref().is_some_and(|name| self.by_name(name).is_some()) {
            return Err(LineError::NameTwice);
        }
        self.insert(peer);
        Ok(())
    }
}

fn parse_line(line: &str) -> Result<KnownPeer, LineError> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [key, vip, name, version] = fields[..] else { return Err(LineError::Fields) };
    let key: PublicKey = key.parse()?;
    let vip: Vip = vip.parse()?;
    let name =
        Some(name).filter(|name| *name != NO_NAME).map(str::parse::<PeerName>).transpose()?;
    let version = version.parse()?;
    if version < VERSION {
        return Err(LineError::Keyless(version));
    }
    Ok(KnownPeer { key, name: name.map(|name| name.to_string()), vip, version, addressed: true })
}
