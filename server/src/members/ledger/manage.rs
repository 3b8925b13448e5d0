//! What administrators do, and what nodes do that are in already.

use std::time::Duration;

use dosp_proto::identity::PublicKey;
use dosp_proto::join_string::{JoinKey, JoinKeyHash};
use dosp_proto::label::Label;
use dosp_proto::member::Refusal;
use dosp_proto::vip::Vip;
use rand::CryptoRng;

use super::{Changed, Ledger, MAX_INVITES, MAX_REMOVED};
use crate::members::record::{Denied, Invite, InviteState, LAST_SECOND, Member, Removed, Row};
use crate::vips::VipAllocator;

/// What an invite is to be good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteRequest {
    /// What the node is to be called; for one node only.
    pub name: Option<Label>,
    /// The vIP that it is to have; for one node only.
    pub vip: Option<Vip>,
    /// How many nodes may use it.
    pub max_uses: u32,
    /// How long it is good; without it, until it is used up or revoked.
    pub ttl: Option<Duration>,
}

impl Ledger {
    /// Remembers that a member is, or was until now, connected.
    #[must_use = "the rows are not stored yet"]
    pub fn seen(&mut self, key: &PublicKey, now: u64) -> Vec<Row> {
        let Some(member) = self.members.get_mut(key) else { return Vec::new() };
        member.last_seen_at = now;
        if member.is_guest {
            return Vec::new();
        }
        vec![Row::Member(*key, Some(member.clone()))]
    }

    /// Calls a member otherwise.
    ///
    /// # Errors
    /// No such member, or another has the name. Nothing changes then.
    pub fn rename(&mut self, key: &PublicKey, name: Label, now: u64) -> Result<Changed, Denied> {
        let member = self.member(key)?;
        if member.name.as_ref() == Some(&name) {
            return Ok(self.edit(Vec::new()));
        }
        self.check_name(&name, None, now)?;
        let member = Member { name: Some(name), ..member };
        Ok(self.edit(vec![Row::Member(*key, Some(member))]))
    }

    /// Gives a member another vIP, which may be one that rests.
    ///
    /// # Errors
    /// No such member, or it cannot have that vIP. Nothing changes then.
    pub fn set_vip(
        &mut self,
        key: &PublicKey,
        vip: Vip,
        vips: &mut VipAllocator,
        now: u64,
    ) -> Result<Changed, Denied> {
        let member = self.member(key)?;
        if member.vip == vip {
            return Ok(self.edit(Vec::new()));
        }
        let mut rows = Vec::new();
        match self.resting.get(&vip).filter(|_| self.network.is_assignable(vip)) {
            Some(rested) => {
                self.check_vip(vip, None, now)?;
                rows.push(Row::Removed(*rested, None));
            }
            None => self.take_vip(vip, None, vips, now)?,
        }
        rows.push(Row::Member(*key, Some(Member { vip, ..member })));
        Ok(self.edit(rows))
    }

    /// Takes a member's lease away: it comes back with a join key only. Its vIP rests.
    ///
    /// # Errors
    /// No such member.
    pub fn remove(&mut self, key: &PublicKey, now: u64) -> Result<Changed, Denied> {
        let Member { vip, name, .. } = self.member(key)?;
        Ok(self.lay_to_rest(Removed { key: *key, vip, name, removed_at: now, is_barred: true }))
    }

    /// A member goes by itself: it is unknown then. Its vIP rests, but for a guest's.
    ///
    /// # Errors
    /// No such member.
    pub fn leave(
        &mut self,
        key: &PublicKey,
        vips: &mut VipAllocator,
        now: u64,
    ) -> Result<Changed, Denied> {
        let Member { vip, name, is_guest, .. } = self.member(key)?;
        if is_guest {
            let Changed { rows, undo } = self.edit(vec![Row::Member(*key, None)]);
            self.settle(undo, vips);
            return Ok(Changed { rows, undo: super::Undo::default() });
        }
        Ok(self.lay_to_rest(Removed { key: *key, vip, name, removed_at: now, is_barred: false }))
    }

    fn lay_to_rest(&mut self, removed: Removed) -> Changed {
        let mut rows = vec![Row::Member(removed.key, None)];
        if self.removed.len() >= MAX_REMOVED {
            rows.extend(self.removed_by_age.first().map(|(_, key)| Row::Removed(*key, None)));
        }
        rows.push(Row::Removed(removed.key, Some(removed)));
        self.edit(rows)
    }

    /// Makes a join key.
    ///
    /// # Errors
    /// It would promise what somebody has or was promised. Nothing changes then.
    pub fn invite(
        &mut self,
        request: &InviteRequest,
        rng: &mut impl CryptoRng,
        now: u64,
    ) -> Result<(JoinKey, Invite, Changed), Denied> {
        let InviteRequest { name, vip, max_uses, ttl } = request;
        let denied = |text| Err(Denied::new(Refusal::Other, text));
        match max_uses {
            0 => return denied("an invite is for one node at least"),
            1 => {}
            _ if name.is_none() && vip.is_none() => {}
            _ => return denied("a name or a vIP is for one node, so the invite must be as well"),
        }
        name.as_ref().map(|name| self.check_name(name, None, now)).transpose()?;
        vip.map(|vip| self.check_vip(vip, None, now)).transpose()?;
        let mut rows = Vec::new();
        if self.invites.len() >= MAX_INVITES {
            let finished = self.invites().filter(|invite| invite.state(now) != InviteState::Open);
            let Some(oldest) = finished.min_by_key(|invite| invite.created_at) else {
                return denied("there are too many open invites: revoke some");
            };
            rows.push(Row::Invite(oldest.hash, None));
        }
        let join_key = JoinKey::generate(rng);
        let expires_at = ttl.map(|ttl| now.saturating_add(ttl.as_secs()).min(LAST_SECOND));
        let invite = Invite {
            hash: join_key.hash(),
            name: name.clone(),
            vip: *vip,
            max_uses: *max_uses,
            num_used: 0,
            created_at: now,
            expires_at,
            revoked_at: None,
        };
        rows.push(Row::Invite(invite.hash, Some(invite.clone())));
        Ok((join_key, invite, self.edit(rows)))
    }

    /// Takes an invite back. One that is finished stays as it is.
    ///
    /// # Errors
    /// No such invite.
    pub fn revoke(&mut self, id: &str, now: u64) -> Result<Changed, Denied> {
        let invite = self.invites().find(|invite| invite.hash.id().eq_ignore_ascii_case(id));
        let Some(invite) = invite else {
            let text = format!("there is no invite '{}'", id.escape_default());
            return Err(Denied::new(Refusal::Other, text));
        };
        let hash: JoinKeyHash = invite.hash;
        if invite.state(now) != InviteState::Open {
            return Ok(self.edit(Vec::new()));
        }
        let invite = Invite { revoked_at: Some(now), ..invite.clone() };
        Ok(self.edit(vec![Row::Invite(hash, Some(invite))]))
    }

    fn member(&self, key: &PublicKey) -> Result<Member, Denied> {
        let unknown = || format!("{} is no member", key.fingerprint());
        self.members.get(key).cloned().ok_or_else(|| Denied::new(Refusal::Other, unknown()))
    }
}
