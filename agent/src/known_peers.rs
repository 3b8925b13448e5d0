//! Which key is at which vIP, as far as this agent knows, without I/O and without a clock.
//!
//! A peer is a key. Each key is bound to one vIP and each vIP to one key. Nothing but the operator
//! takes a vIP away from a key that was *addressed*: to which something was sent from here, or which
//! the operator accepted. Only those are in the [text](KnownPeers::to_text) to be stored; of the
//! others a bounded number is kept in memory.

mod text;

use std::collections::{BTreeMap, VecDeque};

use dosp_proto::identity::{Fingerprint, PublicKey};
use dosp_proto::label::LabelError;
use dosp_proto::vip::Vip;
use serde::Deserialize;

use crate::peer_name::PeerName;

pub use text::{KnownPeersError, LineError};

/// What is known of peers that nobody here has addressed: anybody can make us pin one.
const MAX_UNADDRESSED: usize = 1024;
/// Refused keys that the operator may still accept: anybody can offer one.
const MAX_REFUSED: usize = 256;
/// The first version that has keys.
const VERSION: u8 = 2;

/// Which keys are trusted that nobody here knows yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TrustPolicy {
    /// The first key that proves itself at a vIP.
    #[default]
    FirstUse,
    /// None: the operator accepts each.
    Pinned,
}

/// A key, and what is known of who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPeer {
    /// The key.
    pub key: PublicKey,
    /// What the user here calls it.
    pub name: Option<String>,
    /// Where it proved itself last.
    pub vip: Vip,
    /// The highest version of tunnels that it showed. Whoever has a key never gets version 1.
    pub version: u8,
    /// Whether anything was sent to it from here, or the operator accepted it.
    pub addressed: bool,
}

/// Why a session with a peer must not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// It has our own key: a copy of it runs elsewhere.
    #[error("it has this host's own key: a copy of the key is in use elsewhere")]
    OwnKey,
    /// The vIP belongs to another key, to which something was sent from here.
    #[error("{vip} belongs to the key {known}, and {offered} is offered there")]
    Changed {
        /// Where the key was offered.
        vip: Vip,
        /// Whose vIP it is.
        known: Fingerprint,
        /// What was offered.
        offered: Fingerprint,
    },
    /// The hub says that another key is there.
    #[error("the hub lists {vip} as the key {listed}, and {offered} is offered there")]
    NotListed {
        /// Where the key was offered.
        vip: Vip,
        /// Whose vIP it is, by the hub's word.
        listed: Fingerprint,
        /// What was offered.
        offered: Fingerprint,
    },
    /// Only accepted keys are trusted, and this one is not accepted.
    #[error("nobody has accepted the key {offered} of {vip}")]
    Unknown {
        /// Where the key was offered.
        vip: Vip,
        /// What was offered.
        offered: Fingerprint,
    },
}

impl Distrust {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::OwnKey => "give one of the two hosts a key of its own: remove the file 'key' in \
                             its state folder and restart its agent"
                .to_owned(),
            Self::Changed { vip, offered, .. } => format!(
                "if its owner says that the key is a new one: dosp-agent trust accept {vip} {offered}"
            ),
            Self::NotListed { .. } => {
                "the hub contradicts itself: ask whoever runs it, and do not \
                                       trust that peer until it is clear"
                    .to_owned()
            }
            Self::Unknown { vip, offered } => format!(
                "if its owner reads you the same key: dosp-agent trust accept {vip} {offered}"
            ),
        }
    }
}

/// Why a key cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// No key was refused there lately.
    #[error("no key of {vip} was refused since this agent started")]
    NoneRefused {
        /// Where.
        vip: Vip,
    },
    /// The refused key is not the one that was meant.
    #[error("the key that {vip} offers now is {offered}, not that one")]
    OtherKey {
        /// Where.
        vip: Vip,
        /// The fingerprint of the refused key.
        offered: Fingerprint,
    },
    /// It is our own key.
    #[error("that is this host's own key")]
    OwnKey,
}

/// Why a name cannot be bound to the key of a vIP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is no name.
    #[error(transparent)]
    Invalid(#[from] LabelError),
    /// Nobody has proved a key there.
    #[error("no key of {vip} is known")]
    NoKey {
        /// Where.
        vip: Vip,
    },
    /// Another key has it.
    #[error("the name '{name}' belongs to the key {owner} at {vip}")]
    Taken {
        /// The name.
        name: String,
        /// The key that has it.
        owner: Fingerprint,
        /// Where that key is.
        vip: Vip,
    },
}

/// What this agent knows of the keys of its peers in one network.
#[derive(Debug, Clone)]
pub struct KnownPeers {
    own: PublicKey,
    policy: TrustPolicy,
    peers: BTreeMap<Vip, KnownPeer>,
    /// Where each key is.
    vips: BTreeMap<PublicKey, Vip>,
    /// The keys that were never addressed, the one that was pinned longest ago first.
    unaddressed: VecDeque<PublicKey>,
    /// The last key refused at each vIP, the oldest first.
    refused: VecDeque<(Vip, PublicKey)>,
    changed: bool,
}

impl KnownPeers {
    /// Knows nobody yet. `own` is this agent's key.
    #[must_use]
    pub const fn new(own: PublicKey, policy: TrustPolicy) -> Self {
        Self {
            own,
            policy,
            peers: BTreeMap::new(),
            vips: BTreeMap::new(),
            unaddressed: VecDeque::new(),
            refused: VecDeque::new(),
            changed: false,
        }
    }

    /// Trusts new keys by `policy` from now on; returns whether that is another one than before.
    pub fn set_policy(&mut self, policy: TrustPolicy) -> bool {
        std::mem::replace(&mut self.policy, policy) != policy
    }

    /// Whether a session with the owner of `key` at `vip` may be used. Changes nothing.
    ///
    /// # Errors
    /// [`Distrust`].
    pub fn judge(&self, vip: Vip, key: &PublicKey) -> Result<(), Distrust> {
        if *key == self.own {
            return Err(Distrust::OwnKey);
        }
        let offered = || key.fingerprint();
        if let Some(holder) = self.peers.get(&vip)
            && holder.addressed
            && holder.key != *key
        {
            let known = holder.key.fingerprint();
            return Err(Distrust::Changed { vip, known, offered: offered() });
        }
        let accepted = || self.by_key(key).is_some_and(|peer| peer.addressed);
        match self.policy {
            TrustPolicy::Pinned if !accepted() => {
                Err(Distrust::Unknown { vip, offered: offered() })
            }
            TrustPolicy::FirstUse | TrustPolicy::Pinned => Ok(()),
        }
    }

    /// Remembers for [`accept`](Self::accept) that `key` was refused at `vip`.
    pub fn note_refused(&mut self, vip: Vip, key: PublicKey) {
        if key == self.own {
            return;
        }
        self.refused.retain(|(refused_at, _)| *refused_at != vip);
        self.refused.push_back((vip, key));
        if self.refused.len() > MAX_REFUSED {
            self.refused.pop_front();
        }
    }

    /// Binds `key` to `vip`, where it has proved all of itself, and returns the other vIP that it
    /// was bound to. Nothing happens where [`judge`](Self::judge) refuses: ask it at the same time,
    /// because what it said before the proof may hold no more.
    pub fn pin(&mut self, vip: Vip, key: PublicKey) -> Option<Vip> {
        self.judge(vip, &key).ok()?;
        let before = self.vips.get(&key).copied();
        let known = before.and_then(|before| self.remove(before));
        if before != Some(vip) {
            self.remove(vip);
        }
        let stranger = KnownPeer { key, name: None, vip, version: VERSION, addressed: false };
        let peer = known.unwrap_or(stranger);
        self.changed |= peer.addressed && before != Some(vip);
        self.insert(KnownPeer { vip, ..peer });
        before.filter(|before| *before != vip)
    }

    /// Something was sent to `vip` from here. Where its key is not known yet this is forgotten: say
    /// it again once the key is pinned.
    pub fn address(&mut self, vip: Vip) {
        let Some(peer) = self.peers.get_mut(&vip).filter(|peer| !peer.addressed) else { return };
        peer.addressed = true;
        let key = peer.key;
        self.unaddressed.retain(|other| *other != key);
        self.changed = true;
    }

    /// Who is at `vip`.
    #[must_use]
    pub fn key_of(&self, vip: Vip) -> Option<&KnownPeer> {
        self.peers.get(&vip)
    }

    /// All that are known, by vIP.
    pub fn iter(&self) -> impl Iterator<Item = &KnownPeer> {
        self.peers.values()
    }

    /// The user addressed `name`, which is at `vip`: from now on it is that key's, and the key counts
    /// as addressed. A name that it had before is free.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn bind_name(&mut self, name: &str, vip: Vip) -> Result<(), NameError> {
        let name = name.parse::<PeerName>()?.to_string();
        if let Some(owner) = self.by_name(&name).filter(|owner| owner.vip != vip) {
            let (vip, owner) = (owner.vip, owner.key.fingerprint());
            return Err(NameError::Taken { name, owner, vip });
        }
        let peer = self.peers.get_mut(&vip).ok_or(NameError::NoKey { vip })?;
        if peer.name.as_ref() != Some(&name) {
            peer.name = Some(name);
            self.changed = true;
        }
        self.address(vip);
        Ok(())
    }

    /// Whose name `name` is, in whatever case it is written.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&KnownPeer> {
        let is_name = |known: &String| known.eq_ignore_ascii_case(name);
        self.iter().find(|peer| peer.name.as_ref().is_some_and(is_name))
    }

    /// The operator accepts the key that was refused at `vip`; if he names a fingerprint, only that
    /// one. See [`accept_key`](Self::accept_key).
    ///
    /// # Errors
    /// [`AcceptError`].
    pub fn accept(
        &mut self,
        vip: Vip,
        fingerprint: Option<&str>,
    ) -> Result<KnownPeer, AcceptError> {
        let refused = self.refused.iter().find(|(refused_at, _)| *refused_at == vip);
        let (_, key) = *refused.ok_or(AcceptError::NoneRefused { vip })?;
        let offered = key.fingerprint();
        if fingerprint.is_some_and(|meant| !offered.is_spelled(meant)) {
            return Err(AcceptError::OtherKey { vip, offered });
        }
        self.accept_key(vip, key)
    }

    /// The operator says that `key` is at `vip`, whatever was known. Without a name of its own it
    /// takes over that of the key which it replaces there.
    ///
    /// # Errors
    /// [`AcceptError::OwnKey`].
    pub fn accept_key(&mut self, vip: Vip, key: PublicKey) -> Result<KnownPeer, AcceptError> {
        if key == self.own {
            return Err(AcceptError::OwnKey);
        }
        self.refused.retain(|(refused_at, _)| *refused_at != vip);
        if let Some(peer) = self.peers.get(&vip).filter(|peer| peer.key == key && peer.addressed) {
            return Ok(peer.clone());
        }
        let before = self.vips.get(&key).copied();
        let known = before.and_then(|before| self.remove(before));
        let replaced = self.remove(vip);
        let version = known.as_ref().map_or(VERSION, |known| known.version);
        let name = known.and_then(|known| known.name);
        let name = name.or(replaced.and_then(|replaced| replaced.name));
        let peer = KnownPeer { key, name, vip, version, addressed: true };
        self.insert(peer.clone());
        self.changed = true;
        Ok(peer)
    }

    /// Forgets who is at `vip`, and returns what was known.
    pub fn forget(&mut self, vip: Vip) -> Option<KnownPeer> {
        let peer = self.remove(vip)?;
        self.changed |= peer.addressed;
        Some(peer)
    }

    /// Whether the text to be stored has changed since this was last asked.
    pub const fn take_changed(&mut self) -> bool {
        std::mem::replace(&mut self.changed, false)
    }

    /// Who has this key.
    #[must_use]
    pub fn by_key(&self, key: &PublicKey) -> Option<&KnownPeer> {
        self.peers.get(self.vips.get(key)?)
    }

    fn remove(&mut self, vip: Vip) -> Option<KnownPeer> {
        let peer = self.peers.remove(&vip)?;
        self.vips.remove(&peer.key);
        if !peer.addressed {
            self.unaddressed.retain(|key| *key != peer.key);
        }
        Some(peer)
    }

    /// Takes `peer` in, whose key and vIP are both free.
    fn insert(&mut self, peer: KnownPeer) {
        let (vip, key, addressed) = (peer.vip, peer.key, peer.addressed);
        self.peers.insert(vip, peer);
        self.vips.insert(key, vip);
        if addressed {
            return;
        }
        self.unaddressed.push_back(key);
        if self.unaddressed.len() > MAX_UNADDRESSED
            && let Some(oldest) = self.unaddressed.pop_front()
            && let Some(vip) = self.vips.remove(&oldest)
        {
            self.peers.remove(&vip);
        }
    }
}

#[cfg(test)]
mod tests;
