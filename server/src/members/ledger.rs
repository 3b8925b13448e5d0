//! Leases, invites, and who was removed: what is decided about them, without I/O.
//!
//! Every operation returns the rows that must be stored and an [`Undo`]. What the operation gave up,
//! a vIP or a name, nobody gets before [`Ledger::settle`]: until the rows are stored, the disk still
//! says that the former owner has it.

mod edit;
mod join;
mod manage;

use std::collections::{BTreeMap, BTreeSet};

use dosp_proto::identity::{Fingerprint, PublicKey};
use dosp_proto::join_string::JoinKeyHash;
use dosp_proto::label::Label;
use dosp_proto::vip::{Network, Vip};

use super::record::{Invite, InviteState, Member, Removed, Row};
use crate::vips::VipAllocator;
pub use edit::{Changed, Undo};
pub use join::Joined;
pub use manage::InviteRequest;

/// So many invites are remembered; then finished ones are forgotten.
pub const MAX_INVITES: usize = 65_536;
/// So many nodes that were removed or left are remembered; then the oldest is forgotten.
pub const MAX_REMOVED: usize = 65_536;
/// Names that mean something else.
const RESERVED_NAMES: [&str; 2] = ["hub", "localhost"];

/// Stored rows that contradict each other or the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The network was changed under its members.
    #[error("the node {fingerprint} has the vIP {vip}, which nobody can have in {network}")]
    Outside {
        /// The node.
        fingerprint: Fingerprint,
        /// Its vIP.
        vip: Vip,
        /// The configured network.
        network: Network,
    },
    /// Two nodes have, or had, one vIP.
    #[error("two nodes are stored with the vIP {vip}")]
    VipTwice {
        /// The vIP.
        vip: Vip,
    },
    /// Two nodes have one name.
    #[error("two nodes are stored with the name '{name}'")]
    NameTwice {
        /// The name.
        name: Label,
    },
    /// A node that is a member and is not.
    #[error("the node {fingerprint} is stored as a member and as removed")]
    Both {
        /// The node.
        fingerprint: Fingerprint,
    },
}

impl LedgerError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Outside { .. } => {
                "set 'network' back to what it was, or begin anew with another state folder"
            }
            Self::VipTwice { .. } | Self::NameTwice { .. } | Self::Both { .. } => {
                "restore members.redb from a backup; it was not changed"
            }
        }
    }
}

/// Who is a member of one network.
#[derive(Debug, Clone)]
pub struct Ledger {
    network: Network,
    is_open: bool,
    members: BTreeMap<PublicKey, Member>,
    invites: BTreeMap<JoinKeyHash, Invite>,
    removed: BTreeMap<PublicKey, Removed>,
    by_vip: BTreeMap<Vip, PublicKey>,
    by_name: BTreeMap<Label, PublicKey>,
    /// The vIPs of removed nodes, which are not given out while there are others.
    resting: BTreeMap<Vip, PublicKey>,
    removed_by_age: BTreeSet<(u64, PublicKey)>,
    /// What invites promise. Whether they are still open is another question.
    promised_vips: BTreeMap<Vip, JoinKeyHash>,
    promised_names: BTreeMap<Label, JoinKeyHash>,
    /// What is given up by rows that are not stored yet.
    held_names: BTreeSet<Label>,
    held_vips: BTreeSet<Vip>,
    given_up: BTreeSet<Vip>,
}

impl Ledger {
    /// What `rows` say, which were stored before; `is_open` says whether a node needs no join key.
    ///
    /// # Errors
    /// Rows that contradict each other, or a lease that is impossible in `network`.
    pub fn new(network: Network, is_open: bool, rows: Vec<Row>) -> Result<Self, LedgerError> {
        let mut ledger = Self {
            network,
            is_open,
            members: BTreeMap::new(),
            invites: BTreeMap::new(),
            removed: BTreeMap::new(),
            by_vip: BTreeMap::new(),
            by_name: BTreeMap::new(),
            resting: BTreeMap::new(),
            removed_by_age: BTreeSet::new(),
            promised_vips: BTreeMap::new(),
            promised_names: BTreeMap::new(),
            held_names: BTreeSet::new(),
            held_vips: BTreeSet::new(),
            given_up: BTreeSet::new(),
        };
        for row in rows {
            ledger.check(&row)?;
            ledger.apply(row);
        }
        Ok(ledger)
    }

    fn check(&self, row: &Row) -> Result<(), LedgerError> {
        let (key, vip) = match row {
            Row::Member(key, Some(member)) => (key, member.vip),
            Row::Removed(key, Some(removed)) => (key, removed.vip),
            Row::Invite(..) | Row::Member(_, None) | Row::Removed(_, None) => return Ok(()),
        };
        let fingerprint = key.fingerprint();
        if self.by_vip.contains_key(&vip) || self.resting.contains_key(&vip) {
            return Err(LedgerError::VipTwice { vip });
        }
        if self.members.contains_key(key) || self.removed.contains_key(key) {
            return Err(LedgerError::Both { fingerprint });
        }
        let Row::Member(_, Some(member)) = row else { return Ok(()) };
        if !self.network.is_assignable(vip) {
            return Err(LedgerError::Outside { fingerprint, vip, network: self.network });
        }
        match &member.name {
            Some(name) if self.by_name.contains_key(name) => {
                Err(LedgerError::NameTwice { name: name.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Takes the vIPs of all members, and those that rest, out of `vips`.
    pub fn reserve(&self, vips: &mut VipAllocator) {
        for vip in self.by_vip.keys().chain(self.resting.keys()) {
            // One that somebody has already stays as it is.
            vips.take(*vip).ok();
        }
    }

    /// The network.
    #[must_use]
    pub const fn network(&self) -> Network {
        self.network
    }

    /// Whether a node needs no join key.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// The members, by key.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The invites, by hash.
    pub fn invites(&self) -> impl Iterator<Item = &Invite> {
        self.invites.values()
    }

    /// Those who were members, by key.
    pub fn removed(&self) -> impl Iterator<Item = &Removed> {
        self.removed.values()
    }

    /// The member with this key.
    #[must_use]
    pub fn by_key(&self, key: &PublicKey) -> Option<&Member> {
        self.members.get(key)
    }

    /// The member at this vIP.
    #[must_use]
    pub fn by_vip(&self, vip: Vip) -> Option<&Member> {
        self.by_vip.get(&vip).and_then(|key| self.members.get(key))
    }

    /// The member of this name.
    #[must_use]
    pub fn by_name(&self, name: &Label) -> Option<&Member> {
        self.by_name.get(name).and_then(|key| self.members.get(key))
    }

    /// The member that a person means: by vIP, name or fingerprint.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<&Member> {
        let by_vip = || text.parse().ok().and_then(|vip| self.by_vip(vip));
        let by_name = || text.parse().ok().and_then(|name| self.by_name(&name));
        let is_meant = |member: &&Member| member.key.fingerprint().is_spelled(text);
        by_vip().or_else(by_name).or_else(|| self.members().find(is_meant))
    }

    /// Whether this is what is there now.
    fn has(&self, row: &Row) -> bool {
        match row {
            Row::Member(key, member) => self.members.get(key) == member.as_ref(),
            Row::Invite(hash, invite) => self.invites.get(hash) == invite.as_ref(),
            Row::Removed(key, removed) => self.removed.get(key) == removed.as_ref(),
        }
    }

    /// Whether a member has this vIP, or it rests.
    pub fn is_held(&self, vip: Vip) -> bool {
        self.by_vip.contains_key(&vip) || self.resting.contains_key(&vip)
    }

    /// The same, or the disk may still say that somebody has it.
    pub fn is_kept(&self, vip: Vip) -> bool {
        self.is_held(vip) || self.given_up.contains(&vip)
    }

    /// The open invite that promises this vIP.
    fn promise_of_vip(&self, vip: Vip, now: u64) -> Option<&Invite> {
        let invite = self.promised_vips.get(&vip).and_then(|hash| self.invites.get(hash));
        invite.filter(|invite| invite.state(now) == InviteState::Open)
    }

    /// The open invite that promises this name.
    fn promise_of_name(&self, name: &Label, now: u64) -> Option<&Invite> {
        let invite = self.promised_names.get(name).and_then(|hash| self.invites.get(hash));
        invite.filter(|invite| invite.state(now) == InviteState::Open)
    }
}

#[cfg(test)]
mod tests;
