//! The hub and its members: who is let in, under which vIP and name, and what members are told.
//!
//! Whatever must be on the disk before anybody hears of it is done in two steps: [`Hub::begin_join`]
//! decides and says what is to be stored, [`Hub::finish_join`] makes it so, [`Hub::undo_join`] takes it
//! back.

mod news;
mod remote;
mod words;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use dosp_proto::identity::PublicKey;
use dosp_proto::member::{Control, Join, Refusal, Refused, Sealer, Welcome};
use dosp_proto::message::Hsk;
use dosp_proto::vip::{Network, Vip};

use news::News;
use remote::Remote;
pub use remote::Told;

use super::admin::source_of;
use super::directory::Directory;
use super::strangers::Strangers;
use super::{Hub, SessionId};
use crate::members::ledger::{Changed, Ledger, Undo};
use crate::members::record::{Denied, Member, Row};
use crate::vips::VipAllocator;

/// The part of a hub that has members.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) ledger: Ledger,
    /// The session of each member that is connected, or about to be.
    online: BTreeMap<PublicKey, SessionId>,
    directory: Directory,
    /// What was told last.
    news: News,
    remote: Remote,
    pub(super) strangers: Strangers,
}

/// A session that has shown a key.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) key: PublicKey,
    sealer: Sealer,
    pub(super) is_member: bool,
    /// The revision of the directory that it knows.
    told: u64,
    /// The revision of the other hubs' networks that it knows.
    told_networks: u64,
    /// What it knows of who is there.
    told_lists: BTreeMap<Network, Told>,
}

/// What comes of a wish to join.
#[derive(Debug)]
pub enum JoinStep {
    /// Nothing: the frame says why.
    Refused(Vec<u8>, Denied),
    /// Another session has the key. Whether it lives is to be found out first.
    InUse(SessionId),
    /// It is to be stored, and then finished or undone.
    Store(Box<Entering>),
}

/// A node that is let in as soon as that is stored.
#[derive(Debug)]
#[must_use = "it is to be finished or undone"]
pub struct Entering {
    member: Member,
    /// What is to be stored.
    pub rows: Vec<Row>,
    undo: Option<Undo>,
    is_new: bool,
}

/// A node that was let in.
#[derive(Debug)]
pub struct Welcomed {
    /// Who it is.
    pub member: Member,
    /// Whether it was unknown before.
    pub is_new: bool,
    /// The vIP that its session had until now.
    pub from: Option<Vip>,
    /// To be queued in one piece.
    pub frames: Vec<u8>,
    /// How many that are.
    pub num_frames: u64,
}

/// A node that gives up its lease as soon as that is stored.
#[derive(Debug)]
pub struct Leaving {
    /// Who.
    pub key: PublicKey,
    /// What is to be stored.
    pub rows: Vec<Row>,
    /// For [`Hub::finish_leave`] or [`Hub::undo_leave`].
    pub undo: Undo,
}

impl Hub {
    /// Takes the nodes of `ledger` for members.
    #[must_use]
    pub fn with_members(mut self, ledger: Ledger) -> Self {
        ledger.reserve(&mut self.vips);
        self.hsk.token = Hsk::DOSP_NET;
        self.members = Some(Members {
            ledger,
            online: BTreeMap::new(),
            directory: Directory::default(),
            news: News::default(),
            remote: Remote::default(),
            strangers: Strangers::new(),
        });
        self
    }

    /// Whether nobody but members is let in.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.members.as_ref().is_some_and(|members| !members.ledger.is_open())
    }

    /// How many connections have not joined a closed hub yet.
    #[must_use]
    pub fn num_strangers(&self) -> usize {
        self.members.as_ref().map_or(0, |members| members.strangers.len())
    }

    /// Whether the hub answers one more handshake of this address now.
    pub fn may_shake(&mut self, ip: IpAddr, now: Instant) -> bool {
        let source = source_of(ip.to_canonical());
        self.members.as_mut().is_some_and(|members| members.strangers.may_shake(source, now))
    }

    /// A session has shown its key. What is said to it from now on is sealed.
    pub fn introduce(&mut self, id: SessionId, key: PublicKey, sealer: Sealer) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.shown = Some(Shown {
                key,
                sealer,
                is_member: false,
                told: 0,
                told_networks: 0,
                told_lists: BTreeMap::new(),
            });
        }
    }

    /// Whether a session has a place in the network.
    #[must_use]
    pub fn is_client(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.vip.get() != Vip::NONE)
    }

    /// Whether a session is a member's.
    #[must_use]
    pub fn is_member(&self, id: SessionId) -> bool {
        let shown = self.sessions.get(&id).and_then(|session| session.shown.as_ref());
        shown.is_some_and(|shown| shown.is_member)
    }

    /// Decides about a node that wants to join. `now` is in Unix seconds, for leases and invites.
    pub fn begin_join(&mut self, id: SessionId, join: &Join, now: u64) -> Option<JoinStep> {
        let key = self.sessions.get(&id)?.shown.as_ref()?.key;
        let max_clients = self.max_clients;
        let members = self.members.as_mut()?;
        match members.online.get(&key) {
            Some(other) if *other == id => return None,
            Some(other) => return Some(JoinStep::InUse(*other)),
            None => {}
        }
        let is_new = members.ledger.by_key(&key).is_none();
        let decided = if members.online.len() >= max_clients {
            let text = format!("{max_clients} clients are as many as this hub takes");
            Err(Denied { reason: Refusal::Full, text })
        } else {
            members.ledger.join(key, join, &mut self.vips, now)
        };
        if decided.is_ok() {
            members.online.insert(key, id);
        }
        // A guest's lease changes at once, and may have been at a blocked vIP.
        self.keep_blocked();
        match decided {
            Ok(joined) => {
                let (member, rows, undo) = (joined.member, joined.rows, joined.undo);
                let entering = Entering { member, rows, undo, is_new };
                Some(JoinStep::Store(Box::new(entering)))
            }
            Err(denied) => Some(JoinStep::Refused(self.refuse(id, &denied, now), denied)),
        }
    }

    /// A node that wants to join has a key that another session uses, which lives.
    pub fn refuse_key_in_use(&mut self, id: SessionId, addr: SocketAddr, now: u64) -> Vec<u8> {
        let text = format!("this node's key is in use by a connection from {addr}");
        self.refuse(id, &Denied { reason: Refusal::KeyInUse, text }, now)
    }

    fn refuse(&mut self, id: SessionId, denied: &Denied, now: u64) -> Vec<u8> {
        let Denied { reason, text } = denied.clone();
        self.seal(id, &Control::Refused(Refused { reason, text, time: now })).unwrap_or_default()
    }

    /// What was decided is stored: the session is the member's from now on. `None` where the session is
    /// gone meanwhile, or the member was removed.
    pub fn finish_join(
        &mut self,
        id: SessionId,
        entering: Box<Entering>,
        now: u64,
    ) -> Option<Welcomed> {
        let Entering { member: Member { key, .. }, undo, is_new, .. } = *entering;
        if let Some(undo) = undo {
            self.settle(undo);
        }
        let members = self.members.as_mut()?;
        // What was done to it while that was being stored counts.
        let member = members.ledger.by_key(&key).cloned();
        let shown = self.sessions.get_mut(&id).and_then(|session| session.shown.as_mut());
        let (Some(member), Some(shown)) = (member, shown) else {
            members.online.remove(&key);
            return None;
        };
        shown.is_member = true;
        members.strangers.remove(id);
        members.directory.note(member.key);
        let from = self.seat(id, member.vip);
        let mut frames = self.seal(id, &self.welcome(&member, now)).unwrap_or_default();
        let num_pages = self.append_news(id, &mut frames);
        Some(Welcomed { member, is_new, from, frames, num_frames: 1 + num_pages })
    }

    fn welcome(&self, member: &Member, now: u64) -> Control {
        Control::Welcome(Box::new(Welcome {
            vip: member.vip,
            network: self.network,
            name: member.name.clone(),
            is_closed: self.is_closed(),
            time: now,
            networks: self.networks().to_vec(),
        }))
    }

    /// Gives a session a member's vIP, and returns the one that it had.
    fn seat(&mut self, id: SessionId, vip: Vip) -> Option<Vip> {
        let session = self.sessions.get(&id)?;
        let is_ours = |from: &Vip| *from != vip && self.by_vip.get(from) == Some(&id);
        let from = Some(session.vip.get()).filter(is_ours);
        session.vip.set(vip);
        if let Some(from) = from {
            self.by_vip.remove(&from);
            self.release(from);
        }
        self.by_vip.insert(vip, id);
        from
    }

    /// Tells a member that is connected who it is now; `None` where it is not.
    pub fn welcome_again(&mut self, key: &PublicKey, now: u64) -> Option<(SessionId, Welcomed)> {
        let members = self.members.as_mut()?;
        members.directory.note(*key);
        let id = members.session_of(key)?;
        let member = members.ledger.by_key(key)?.clone();
        if !self.is_member(id) {
            return None;
        }
        let from = self.seat(id, member.vip);
        let frames = self.seal(id, &self.welcome(&member, now))?;
        Some((id, Welcomed { member, is_new: false, from, frames, num_frames: 1 }))
    }

    /// The session of a member that is connected.
    #[must_use]
    pub fn session_of(&self, key: &PublicKey) -> Option<SessionId> {
        self.members.as_ref()?.session_of(key)
    }

    /// A node is no member any more, or is one again: all others are told.
    pub fn note_changed(&mut self, key: PublicKey) {
        if let Some(members) = &mut self.members {
            members.directory.note(key);
        }
    }

    /// Who is a member, to be managed together with the vIPs.
    pub fn ledger_mut(&mut self) -> Option<(&mut Ledger, &mut VipAllocator)> {
        let members = self.members.as_mut()?;
        Some((&mut members.ledger, &mut self.vips))
    }

    /// What was decided cannot be stored: it is as it was, and the frame says so.
    pub fn undo_join(&mut self, id: SessionId, entering: Box<Entering>, now: u64) -> Vec<u8> {
        if let Some(undo) = entering.undo {
            self.undo(undo);
        }
        if let Some(members) = &mut self.members {
            members.online.remove(&entering.member.key);
        }
        let text = "the hub cannot keep its members: its state folder fails".to_owned();
        self.refuse(id, &Denied { reason: Refusal::Store, text }, now)
    }

    /// A member gives up its lease; `None` where the session is no member's.
    pub fn begin_leave(&mut self, id: SessionId, now: u64) -> Option<Leaving> {
        let shown = self.sessions.get(&id)?.shown.as_ref()?;
        let members = self.members.as_mut().filter(|_| shown.is_member)?;
        let key = shown.key;
        let Changed { rows, undo } = members.ledger.leave(&key, &mut self.vips, now).ok()?;
        self.keep_blocked();
        Some(Leaving { key, rows, undo })
    }

    /// That is stored: the frame tells the node so.
    pub fn finish_leave(&mut self, id: SessionId, undo: Undo) -> Option<Vec<u8>> {
        self.settle(undo);
        let members = self.members.as_mut()?;
        let shown = self.sessions.get(&id)?.shown.as_ref()?;
        members.directory.note(shown.key);
        self.seal(id, &Control::Leave)
    }

    /// That cannot be stored: the node is still a member, also for those who were told otherwise.
    pub fn undo_leave(&mut self, key: PublicKey, undo: Undo) {
        self.undo(undo);
        self.note_changed(key);
    }

    /// What was decided is stored: others can have what it gave up.
    pub fn settle(&mut self, undo: Undo) {
        if let Some(members) = &mut self.members {
            members.ledger.settle(undo, &mut self.vips);
        }
        self.keep_blocked();
    }

    /// What was decided cannot be stored: it is as it was.
    pub fn undo(&mut self, undo: Undo) {
        if let Some(members) = &mut self.members {
            members.ledger.undo(undo, &mut self.vips);
        }
        self.keep_blocked();
    }

    /// The ledger knows nothing of blocked vIPs: one that a member gave up is nobody's now.
    fn keep_blocked(&mut self) {
        for vip in &self.blocked {
            self.vips.take(*vip).unwrap_or_default();
        }
    }

    /// A session ends that has shown a key; returns what is to be stored of that, some time.
    pub(super) fn part(&mut self, id: SessionId, shown: &Shown, now: u64) -> Vec<Row> {
        let Some(members) = &mut self.members else { return Vec::new() };
        if !shown.is_member || members.online.get(&shown.key) != Some(&id) {
            return Vec::new();
        }
        members.online.remove(&shown.key);
        members.directory.note(shown.key);
        if members.ledger.by_key(&shown.key).is_some_and(|member| member.is_guest)
            && let Ok(left) = members.ledger.leave(&shown.key, &mut self.vips, now)
        {
            self.settle(left.undo);
            return left.rows;
        }
        members.ledger.seen(&shown.key, now)
    }
}

impl Members {
    pub(super) fn num_online(&self) -> usize {
        self.online.len()
    }

    fn session_of(&self, key: &PublicKey) -> Option<SessionId> {
        self.online.get(key).copied()
    }
}

#[cfg(test)]
mod tests;
