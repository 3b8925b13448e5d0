//! What a hub remembers of its members, and the rows in which that is stored.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use dosp_proto::identity::PublicKey;
use dosp_proto::join_string::JoinKeyHash;
use dosp_proto::label::Label;
use dosp_proto::member::Refusal;
use dosp_proto::vip::Vip;
use serde::{Deserialize, Serialize};

/// The last second that RFC 3339 can write: the end of the year 9999.
pub(super) const LAST_SECOND: u64 = 253_402_300_799;

/// A point in time as RFC 3339 writes it.
#[must_use]
pub fn date(unix_s: u64) -> String {
    let since = Duration::from_secs(unix_s.min(LAST_SECOND));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}

/// A node that has a lease. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who it is.
    pub key: PublicKey,
    /// Its vIP, for as long as it is a member.
    pub vip: Vip,
    /// What it is called; nobody else is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Label>,
    /// When it became a member.
    pub joined_at: u64,
    /// When it was connected last.
    pub last_seen_at: u64,
    /// The id of the invite that it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<String>,
    /// Whether it is gone with its connection: such a lease is never stored.
    #[serde(skip)]
    pub is_guest: bool,
}

/// A join key that was made, of which only the hash is known. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// Under which it is found.
    #[serde(with = "hash_as_bytes")]
    pub hash: JoinKeyHash,
    /// What the node is to be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Label>,
    /// The vIP that it is to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<Vip>,
    /// How many nodes may join with it.
    pub max_uses: u32,
    /// How many have.
    pub num_used: u32,
    /// When it was made.
    pub created_at: u64,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// When somebody took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
}

/// Whether an invite is still good for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InviteState {
    /// It can be used.
    Open,
    /// It was used as often as it may be.
    Used,
    /// Its time is over.
    Expired,
    /// Somebody took it back.
    Revoked,
}

impl fmt::Display for InviteState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        })
    }
}

impl Invite {
    /// What it is good for at `now`.
    #[must_use]
    pub fn state(&self, now: u64) -> InviteState {
        if self.revoked_at.is_some() {
            InviteState::Revoked
        } else if self.num_used >= self.max_uses {
            InviteState::Used
        } else if self.expires_at.is_some_and(|at| at <= now) {
            InviteState::Expired
        } else {
            InviteState::Open
        }
    }
}

/// A node that has no lease any more, whose vIP rests: its peers may still know it by that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Who it was.
    pub key: PublicKey,
    /// The vIP that it had.
    pub vip: Vip,
    /// What it was called. Others may take the name at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Label>,
    /// When that ended, in Unix seconds.
    pub removed_at: u64,
    /// Whether it needs a join key to come back: it did not go by itself.
    pub is_barred: bool,
}

/// One thing to be stored under its key, or to be erased there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A lease.
    Member(PublicKey, Option<Member>),
    /// An invite.
    Invite(JoinKeyHash, Option<Invite>),
    /// A node that was one.
    Removed(PublicKey, Option<Removed>),
}

/// A wish that is not met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Denied {
    /// The kind of reason.
    pub reason: Refusal,
    /// In words.
    pub text: String,
}

impl Denied {
    pub(super) fn new(reason: Refusal, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }
}

mod hash_as_bytes {
    use dosp_proto::join_string::JoinKeyHash;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(hash: &JoinKeyHash, to: S) -> Result<S::Ok, S::Error> {
        hash.as_bytes().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<JoinKeyHash, D::Error> {
        <[u8; 32]>::deserialize(from).map(JoinKeyHash::from)
    }
}
