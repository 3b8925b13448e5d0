//! What is asked about members over the local socket, and what is answered.
//!
//! `dosp.nodes/1` and `dosp.invites/1` are also what `--json` prints: within one schema number fields
//! are added, never renamed.

use std::net::SocketAddr;
use std::time::Duration;

use dosp_proto::identity::PublicKey;
use dosp_proto::join_string::JoinString;
use dosp_proto::label::Label;
use dosp_proto::vip::Vip;
use rand::CryptoRng;
use serde::{Deserialize, Serialize};

use super::ledger::{Changed, InviteRequest, Ledger, Undo};
use super::record::{Denied, Invite, InviteState, Member, Row, date};
use crate::config::DEFAULT_PORT;
use crate::vips::VipAllocator;

/// What a person wants to know of the members, or have done. Nodes go by name, vIP or fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum MembersRequest {
    /// Make a join string.
    Invite {
        /// What the node is to be called.
        name: Option<Label>,
        /// The vIP that it is to have.
        vip: Option<Vip>,
        /// How many nodes may use it.
        uses: u32,
        /// How many seconds it is good.
        ttl_s: Option<u64>,
    },
    /// All invites.
    Invites,
    /// Take an invite back.
    Revoke {
        /// Its id.
        id: String,
    },
    /// All members.
    Nodes,
    /// Call a node otherwise.
    Rename {
        /// The node.
        node: String,
        /// Its new name.
        name: Label,
    },
    /// Give a node another vIP.
    SetVip {
        /// The node.
        node: String,
        /// Its new vIP.
        vip: Vip,
    },
    /// Take a node's membership away.
    Remove {
        /// The node.
        node: String,
    },
    /// End a node's connection. It may come again.
    Kick {
        /// The node.
        node: String,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum MembersReply {
    /// To `Invite`.
    Invited(Invited),
    /// To `Invites`.
    Invites(InviteList),
    /// To `Nodes`.
    Nodes(NodeList),
    /// It is done.
    Done {
        /// What, in words.
        text: String,
    },
    /// There is no such node or invite.
    Unknown {
        /// In words.
        text: String,
    },
    /// It is not done.
    Denied {
        /// Why, in words.
        text: String,
    },
}

/// A join string that was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// Its text form, which is secret.
    pub join_string: String,
    /// By which it is revoked.
    pub id: String,
    /// When it ends by itself, as RFC 3339.
    pub expires_at: Option<String>,
}

impl std::fmt::Debug for Invited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invited").field("id", &self.id).finish_non_exhaustive()
    }
}

/// `dosp.invites/1`: the invites, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteList {
    /// Always `dosp.invites/1`.
    pub schema: String,
    /// The invites.
    pub invites: Vec<InviteStatus>,
}

/// One invite. Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteStatus {
    /// By which it is revoked.
    pub id: String,
    /// Whether it is good for something.
    pub state: InviteState,
    /// What the node is to be called.
    pub name: Option<Label>,
    /// The vIP that it is to have.
    pub vip: Option<Vip>,
    /// How many nodes may use it.
    pub max_uses: u32,
    /// How many have.
    pub num_used: u32,
    /// When it was made.
    pub created_at: String,
    /// When it ends by itself.
    pub expires_at: Option<String>,
    /// When it was taken back.
    pub revoked_at: Option<String>,
}

/// `dosp.nodes/1`: the members, by vIP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeList {
    /// Always `dosp.nodes/1`.
    pub schema: String,
    /// The members.
    pub nodes: Vec<NodeStatus>,
}

/// One member. Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: Option<Label>,
    /// Its vIP.
    pub vip: Vip,
    /// Its key.
    pub key: PublicKey,
    /// The short form of that, for people.
    pub fingerprint: String,
    /// When it became a member.
    pub joined_at: String,
    /// When it was connected last.
    pub last_seen_at: String,
    /// Whether it is connected; only a running hub knows.
    pub is_online: bool,
    /// Where it connected from; only a running hub knows.
    pub addr: Option<SocketAddr>,
}

/// What join strings say of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// Its key.
    pub hub_key: PublicKey,
    /// Where it is: `host:port`.
    pub addrs: Vec<String>,
}

impl Door {
    /// Of a hub that listens at `listen`: there it is, unless `advertise` says better, or else at the
    /// name of its host.
    #[must_use]
    pub fn new(
        hub_key: PublicKey,
        advertise: &[String],
        listen: &[SocketAddr],
        host: Option<&str>,
    ) -> Self {
        let specific = listen.iter().filter(|addr| !addr.ip().is_unspecified());
        let mut addrs: Vec<_> = match advertise {
            [] => specific.map(ToString::to_string).collect(),
            advertise => advertise.to_vec(),
        };
        if addrs.is_empty() {
            let port = listen.first().map_or(DEFAULT_PORT, SocketAddr::port);
            addrs.extend(host.map(|host| format!("{host}:{port}")));
        }
        Self { hub_key, addrs }
    }
}

/// What a running hub tells others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A node has another name.
    Renamed(PublicKey),
    /// A node has another vIP.
    Moved {
        /// The node.
        key: PublicKey,
        /// The vIP that it had.
        from: Vip,
    },
    /// A node is no member any more.
    Removed(PublicKey, Vip),
    /// A node's connection is to end.
    Kicked(PublicKey),
}

/// What became of a request.
#[derive(Debug)]
#[must_use = "the rows are not stored yet"]
pub struct Outcome {
    /// The answer, to be given once the rows are stored.
    pub reply: MembersReply,
    /// To be stored.
    pub rows: Vec<Row>,
    /// For [`Ledger::settle`] once they are, for [`Ledger::undo`] where they cannot be.
    pub undo: Undo,
    /// What to do to a running hub then.
    pub change: Option<Change>,
}

/// Does what `request` says. In a list of nodes nobody is online: a running hub corrects that.
pub fn carry_out(
    ledger: &mut Ledger,
    vips: &mut VipAllocator,
    request: MembersRequest,
    door: &Door,
    rng: &mut impl CryptoRng,
    now: u64,
) -> Outcome {
    match request {
        MembersRequest::Invites => said(MembersReply::Invites(invites(ledger, now))),
        MembersRequest::Nodes => said(MembersReply::Nodes(nodes(ledger))),
        MembersRequest::Invite { name, vip, uses, ttl_s } => {
            let ttl = ttl_s.map(Duration::from_secs);
            let request = InviteRequest { name, vip, max_uses: uses, ttl };
            invite(ledger, &request, door, rng, now)
        }
        MembersRequest::Revoke { id } => match ledger.revoke(&id, now) {
            Ok(changed) => done(changed, format!("{id} is of no use any more"), None),
            Err(denied) => said(MembersReply::Unknown { text: denied.text }),
        },
        MembersRequest::Rename { node, name } => with_node(ledger, &node, |ledger, node| {
            let text = format!("{} is called {name} now", called(&node));
            let change = Change::Renamed(node.key);
            Ok(done(ledger.rename(&node.key, name, now)?, text, Some(change)))
        }),
        MembersRequest::SetVip { node, vip } => with_node(ledger, &node, |ledger, node| {
            let text = format!("{} has the vIP {vip} now", called(&node));
            let change = Change::Moved { key: node.key, from: node.vip };
            Ok(done(ledger.set_vip(&node.key, vip, vips, now)?, text, Some(change)))
        }),
        MembersRequest::Remove { node } => with_node(ledger, &node, |ledger, node| {
            let text = format!("{} is no member any more", called(&node));
            let change = Change::Removed(node.key, node.vip);
            Ok(done(ledger.remove(&node.key, now)?, text, Some(change)))
        }),
        MembersRequest::Kick { node } => with_node(ledger, &node, |_, node| {
            let text = format!("{} is disconnected", called(&node));
            let reply = MembersReply::Done { text };
            Ok(Outcome { change: Some(Change::Kicked(node.key)), ..said(reply) })
        }),
    }
}

fn with_node(
    ledger: &mut Ledger,
    node: &str,
    work: impl FnOnce(&mut Ledger, Member) -> Result<Outcome, Denied>,
) -> Outcome {
    let Some(member) = ledger.find(node).cloned() else {
        let text = format!("no node is '{}'", node.escape_default());
        return said(MembersReply::Unknown { text });
    };
    let outcome = work(ledger, member);
    outcome.unwrap_or_else(|denied| said(MembersReply::Denied { text: denied.text }))
}

fn invite(
    ledger: &mut Ledger,
    request: &InviteRequest,
    door: &Door,
    rng: &mut impl CryptoRng,
    now: u64,
) -> Outcome {
    let (join_key, invite, changed) = match ledger.invite(request, rng, now) {
        Ok(invited) => invited,
        Err(denied) => return said(MembersReply::Denied { text: denied.text }),
    };
    let join = JoinString {
        hub_key: door.hub_key,
        addrs: door.addrs.clone(),
        join_key: Some(join_key),
        name: invite.name,
        vip: invite.vip,
        expires_at: invite.expires_at,
    };
    let reply = MembersReply::Invited(Invited {
        join_string: join.to_text().to_string(),
        id: invite.hash.id(),
        expires_at: invite.expires_at.map(date),
    });
    let Changed { rows, undo } = changed;
    Outcome { reply, rows, undo, change: None }
}

fn said(reply: MembersReply) -> Outcome {
    Outcome { reply, rows: Vec::new(), undo: Undo::default(), change: None }
}

/// Nobody is told of what changes nothing.
fn done(changed: Changed, text: String, change: Option<Change>) -> Outcome {
    let Changed { rows, undo } = changed;
    let change = change.filter(|_| !undo.is_empty());
    Outcome { reply: MembersReply::Done { text }, rows, undo, change }
}

fn called(member: &Member) -> String {
    member.name.as_ref().map_or_else(|| member.vip.to_string(), ToString::to_string)
}

fn invites(ledger: &Ledger, now: u64) -> InviteList {
    let mut invites: Vec<&Invite> = ledger.invites().collect();
    invites.sort_by_key(|invite| std::cmp::Reverse(invite.created_at));
    let invites = invites.into_iter().map(|invite| InviteStatus {
        id: invite.hash.id(),
        state: invite.state(now),
        name: invite.name.clone(),
        vip: invite.vip,
        max_uses: invite.max_uses,
        num_used: invite.num_used,
        created_at: date(invite.created_at),
        expires_at: invite.expires_at.map(date),
        revoked_at: invite.revoked_at.map(date),
    });
    InviteList { schema: "dosp.invites/1".to_owned(), invites: invites.collect() }
}

fn nodes(ledger: &Ledger) -> NodeList {
    let mut nodes: Vec<_> = ledger.members().map(NodeStatus::from).collect();
    nodes.sort_by_key(|node| node.vip);
    NodeList { schema: "dosp.nodes/1".to_owned(), nodes }
}

impl From<&Member> for NodeStatus {
    fn from(member: &Member) -> Self {
        Self {
            name: member.name.clone(),
            vip: member.vip,
            key: member.key,
            fingerprint: member.key.fingerprint().to_string(),
            joined_at: date(member.joined_at),
            last_seen_at: date(member.last_seen_at),
            is_online: false,
            addr: None,
        }
    }
}

#[cfg(test)]
mod tests;
