//! Who is let in, under which name and vIP.

use dosp_proto::identity::PublicKey;
use dosp_proto::label::{Label, MAX_NAME_LEN};
use dosp_proto::member::{Join, Refusal};
use dosp_proto::vip::Vip;

use super::{Changed, Ledger, RESERVED_NAMES, Undo};
use crate::members::record::{Denied, Invite, InviteState, Member, Row, date};
use crate::vips::{TakeError, VipAllocator};

/// On an open hub, where anybody can have any number of keys, members have at most one of so many
/// vIPs: the others stay for those who come without a key and go again.
const OPEN_SHARE: usize = 2;

/// A node that is let in.
#[derive(Debug)]
#[must_use = "the rows are not stored yet"]
pub struct Joined {
    /// Who it is now.
    pub member: Member,
    /// What must be stored before it is told so; nothing where nothing has changed.
    pub rows: Vec<Row>,
    /// For [`Ledger::settle`] once they are, for [`Ledger::undo`] where they cannot be.
    pub undo: Option<Undo>,
}

impl Ledger {
    /// Decides what becomes of a node that has shown `key`.
    ///
    /// # Errors
    /// Why it is not let in. Nothing changes then.
    pub fn join(
        &mut self,
        key: PublicKey,
        join: &Join,
        vips: &mut VipAllocator,
        now: u64,
    ) -> Result<Joined, Denied> {
        match self.members.get(&key).cloned() {
            Some(member) => self.rejoin(member, join, vips, now),
            None => self.admit(key, join, vips, now),
        }
    }

    /// A member, whose wishes may have changed. It needs no join key, so none is used up.
    fn rejoin(
        &mut self,
        before: Member,
        join: &Join,
        vips: &mut VipAllocator,
        now: u64,
    ) -> Result<Joined, Denied> {
        let mut member = before.clone();
        member.is_guest = before.is_guest && join.is_guest;
        let may_change = join.insists_on_name || before.name.is_none();
        let wish = join.name.as_ref().filter(|_| may_change && join.name != before.name);
        if let Some(wish) = wish {
            member.name = Some(self.choose_name(wish, join.insists_on_name, now)?);
        }
        if let Some(wish) = join.vip.filter(|wish| *wish != before.vip) {
            self.take_vip(wish, None, vips, now)?;
            member.vip = wish;
        }
        if member == before {
            return Ok(Joined { member, rows: Vec::new(), undo: None });
        }
        let changed = self.edit(vec![Row::Member(member.key, Some(member.clone()))]);
        Ok(self.joined(member, changed, vips))
    }

    fn admit(
        &mut self,
        key: PublicKey,
        join: &Join,
        vips: &mut VipAllocator,
        now: u64,
    ) -> Result<Joined, Denied> {
        let invite = self.invite_of(&key, join, now)?;
        self.check_room()?;
        let promised = invite.as_ref().and_then(|invite| invite.name.as_ref());
        let name = match promised {
            Some(name) => Some(self.check_name(name, invite.as_ref(), now).map(|()| name.clone())?),
            None => {
                let choose = |wish| self.choose_name(wish, join.insists_on_name, now);
                join.name.as_ref().map(choose).transpose()?
            }
        };
        let (vip, awoken) = self.vip_for(&key, invite.as_ref(), join, vips, now)?;
        let member = Member {
            key,
            vip,
            name,
            joined_at: now,
            last_seen_at: now,
            invite: invite.as_ref().map(|invite| invite.hash.id()),
            is_guest: join.is_guest,
        };
        let mut rows: Vec<_> = awoken.map(|key| Row::Removed(key, None)).into_iter().collect();
        if awoken != Some(key) && (!join.is_guest || self.removed.contains_key(&key)) {
            // Also where there is none: what took it away may not be stored.
            rows.push(Row::Removed(key, None));
        }
        rows.push(Row::Member(key, Some(member.clone())));
        let mut changed = self.edit(rows);
        if let Some(invite) = invite {
            // Other nodes may use it before this is undone, which then takes one use back.
            let invite = Invite { num_used: invite.num_used.saturating_add(1), ..invite };
            changed.undo.used = Some(invite.hash);
            changed.rows.push(Row::Invite(invite.hash, Some(invite.clone())));
            self.apply(Row::Invite(invite.hash, Some(invite)));
        }
        Ok(self.joined(member, changed, vips))
    }

    /// What needs no storing needs no settling.
    fn joined(&mut self, member: Member, changed: Changed, vips: &mut VipAllocator) -> Joined {
        let Changed { rows, undo } = changed;
        if rows.is_empty() {
            self.settle(undo, vips);
            return Joined { member, rows, undo: None };
        }
        Joined { member, rows, undo: Some(undo) }
    }

    /// The invite by which an unknown node comes in; none where it needs none.
    fn invite_of(&self, key: &PublicKey, join: &Join, now: u64) -> Result<Option<Invite>, Denied> {
        let shown = join.join_key.as_ref().map(|join_key| {
            let invite = self.invites.get(&join_key.hash());
            let unknown = || Denied::new(Refusal::WrongKey, "this hub never made that join key");
            check_open(invite.ok_or_else(unknown)?, now)
        });
        match (shown, self.removed.get(key).filter(|removed| removed.is_barred)) {
            (Some(Ok(invite)), _) => Ok(Some(invite.clone())),
            // Who brings a string is told what is wrong with that.
            (Some(Err(denied)), _) => Err(denied),
            (_, Some(removed)) => Err(Denied::new(
                Refusal::Removed,
                format!("this node was removed from the network on {}", date(removed.removed_at)),
            )),
            (None, None) if self.is_open => Ok(None),
            (None, None) => Err(Denied::new(
                Refusal::MembersOnly,
                "this network is closed: joining it needs a join string",
            )),
        }
    }

    fn check_room(&self) -> Result<(), Denied> {
        let most = self.network.assignable().len().div_ceil(OPEN_SHARE);
        if !self.is_open || self.members.len() < most {
            return Ok(());
        }
        let network = self.network;
        let text = format!("{most} members are as many as {network} has on a hub that is open");
        Err(Denied::new(Refusal::Full, text))
    }

    /// A name like `wish`: that one if the node insists on it.
    fn choose_name(&self, wish: &Label, insists: bool, now: u64) -> Result<Label, Denied> {
        let denied = match self.check_name(wish, None, now) {
            Ok(()) => return Ok(wish.clone()),
            Err(denied) if insists => return Err(denied),
            Err(denied) => denied,
        };
        // Every name that is taken rules out one number.
        let others = (2_u32..).map(|number| numbered(wish, number));
        let free = |name: &Label| self.check_name(name, None, now).is_ok();
        others.map_while(|name| name).find(free).ok_or(denied)
    }

    /// Whether a node can have this name: one that comes with `invite`, where that promises it.
    pub(super) fn check_name(
        &self,
        name: &Label,
        invite: Option<&Invite>,
        now: u64,
    ) -> Result<(), Denied> {
        let text = if RESERVED_NAMES.contains(&name.as_str()) {
            format!("no node can be called '{name}'")
        } else if let Some(other) = self.by_name(name) {
            format!("the name '{name}' belongs to another node ({})", other.vip)
        } else if self.held_names.contains(name) {
            format!("the name '{name}' is being given up by another node")
        } else {
            let promise = self.promise_of_name(name, now);
            match promise.filter(|promise| Some(promise.hash) != invite.map(|own| own.hash)) {
                Some(promise) => {
                    format!("the name '{name}' is promised by the invite {}", promise.hash.id())
                }
                None => return Ok(()),
            }
        };
        Err(Denied::new(Refusal::NameTaken, text))
    }

    /// A vIP for a new member, and who had it, where it rested.
    fn vip_for(
        &self,
        key: &PublicKey,
        invite: Option<&Invite>,
        join: &Join,
        vips: &mut VipAllocator,
        now: u64,
    ) -> Result<(Vip, Option<PublicKey>), Denied> {
        let promised = invite.and_then(|invite| invite.vip);
        if let Some(vip) = promised.or(join.vip) {
            let is_due = promised.is_some() || self.resting.get(&vip) == Some(key);
            let rested =
                self.resting.get(&vip).filter(|_| is_due && self.network.is_assignable(vip));
            let Some(rested) = rested else {
                self.take_vip(vip, invite, vips, now)?;
                return Ok((vip, None));
            };
            self.check_vip(vip, invite, now)?;
            return Ok((vip, Some(*rested)));
        }
        let can_wake = |vip: Vip| self.check_vip(vip, None, now).is_ok();
        if let Some(own) = self.removed.get(key).filter(|removed| can_wake(removed.vip)) {
            return Ok((own.vip, Some(*key)));
        }
        if let Some(vip) = self.lowest(vips, now) {
            return Ok((vip, None));
        }
        let mut removed = self.removed_by_age.iter().filter_map(|(_, key)| self.removed.get(key));
        let oldest = removed.find(|removed| can_wake(removed.vip));
        let oldest = oldest.map(|removed| (removed.vip, Some(removed.key)));
        let full = || format!("every vIP of {} is taken", self.network);
        oldest.ok_or_else(|| Denied::new(Refusal::Full, full()))
    }

    /// The lowest free vIP that is not promised to anybody.
    fn lowest(&self, vips: &mut VipAllocator, now: u64) -> Option<Vip> {
        let mut passed_over = Vec::new();
        let mut lowest = vips.take_lowest();
        while let Some(vip) = lowest.filter(|vip| self.promise_of_vip(*vip, now).is_some()) {
            passed_over.push(vip);
            lowest = vips.take_lowest();
        }
        passed_over.into_iter().for_each(|vip| vips.release(vip));
        lowest
    }

    /// Takes a vIP that somebody wishes for and that does not rest.
    pub(super) fn take_vip(
        &self,
        vip: Vip,
        invite: Option<&Invite>,
        vips: &mut VipAllocator,
        now: u64,
    ) -> Result<(), Denied> {
        self.check_vip(vip, invite, now)?;
        let taken = |text| Err(Denied::new(Refusal::VipTaken, text));
        match vips.take(vip) {
            Ok(()) => Ok(()),
            Err(TakeError::InUse) if self.resting.contains_key(&vip) => {
                taken(format!("{vip} rests: it belonged to another node until lately"))
            }
            Err(TakeError::InUse) => taken(format!("{vip} is in use")),
            // The allocator's network is the ledger's.
            Err(TakeError::Unusable) => {
                Err(Denied::new(Refusal::VipUnusable, format!("{vip} cannot be given")))
            }
        }
    }

    /// Whether the ledger has nothing against giving a vIP to a node that comes with `invite`.
    pub(super) fn check_vip(
        &self,
        vip: Vip,
        invite: Option<&Invite>,
        now: u64,
    ) -> Result<(), Denied> {
        if let Some(why) = self.why_unusable(vip) {
            return Err(Denied::new(Refusal::VipUnusable, format!("{vip} cannot be given: {why}")));
        }
        let promise = self.promise_of_vip(vip, now);
        let text = if self.by_vip.contains_key(&vip) {
            format!("{vip} belongs to another node")
        } else if self.held_vips.contains(&vip) {
            format!("{vip} is being given up by another node")
        } else {
            match promise.filter(|promise| Some(promise.hash) != invite.map(|own| own.hash)) {
                Some(promise) => format!("{vip} is promised by the invite {}", promise.hash.id()),
                None => return Ok(()),
            }
        };
        Err(Denied::new(Refusal::VipTaken, text))
    }

    fn why_unusable(&self, vip: Vip) -> Option<String> {
        let network = self.network;
        if network.is_assignable(vip) {
            None
        } else if vip == network.hub() {
            Some("it is the hub's own".to_owned())
        } else if network.contains(vip) {
            Some(format!("it is an address of the network {network} itself"))
        } else {
            Some(format!("it is not in {network}"))
        }
    }
}

fn check_open(invite: &Invite, now: u64) -> Result<&Invite, Denied> {
    let (reason, text) = match invite.state(now) {
        InviteState::Open => return Ok(invite),
        InviteState::Revoked => (Refusal::RevokedKey, "the join key was revoked".to_owned()),
        InviteState::Used if invite.max_uses == 1 => {
            (Refusal::UsedKey, "the join key was used already".to_owned())
        }
        InviteState::Used => {
            (Refusal::UsedKey, format!("the join key was used {} times already", invite.num_used))
        }
        InviteState::Expired => {
            let at = invite.expires_at.map(date).unwrap_or_default();
            (Refusal::ExpiredKey, format!("the join key expired at {at}"))
        }
    };
    Err(Denied::new(reason, text))
}

/// `name-number`, cut so that it stays a name.
fn numbered(name: &Label, number: u32) -> Option<Label> {
    let suffix = format!("-{number}");
    let room = MAX_NAME_LEN.saturating_sub(suffix.len());
    let stem = name.as_str().get(..name.as_str().len().min(room))?;
    format!("{}{suffix}", stem.trim_end_matches('-')).parse().ok()
}
