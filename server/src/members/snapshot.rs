//! All that a hub remembers of its members, as it was on the disk at one moment.

use serde::{Deserialize, Serialize};

use super::record::{Invite, Member, Removed, Row};

/// The rows, by their kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Who is a member.
    pub members: Vec<Member>,
    /// The invites.
    pub invites: Vec<Invite>,
    /// Who was one.
    pub removed: Vec<Removed>,
}

impl Snapshot {
    /// What `rows` hold.
    #[must_use]
    pub fn of(rows: Vec<Row>) -> Self {
        let mut snapshot = Self::default();
        for row in rows {
            match row {
                Row::Member(_, member) => snapshot.members.extend(member),
                Row::Invite(_, invite) => snapshot.invites.extend(invite),
                Row::Removed(_, removed) => snapshot.removed.extend(removed),
            }
        }
        snapshot
    }

    /// The rows that hold it.
    #[must_use]
    pub fn into_rows(self) -> Vec<Row> {
        let members = self.members.into_iter().map(|it| Row::Member(it.key, Some(it)));
        let invites = self.invites.into_iter().map(|it| Row::Invite(it.hash, Some(it)));
        let removed = self.removed.into_iter().map(|it| Row::Removed(it.key, Some(it)));
        members.chain(invites).chain(removed).collect()
    }
}
