//! How a ledger changes, and back.

use std::collections::{BTreeMap, BTreeSet};

use dosp_proto::join_string::JoinKeyHash;
use dosp_proto::label::Label;
use dosp_proto::vip::Vip;

use super::Ledger;
use crate::members::record::{Invite, InviteState, Member, Row};
use crate::vips::VipAllocator;

/// What an operation changed.
#[derive(Debug)]
#[must_use = "the rows are not stored yet"]
pub struct Changed {
    /// To be stored; nothing may be told to anybody before that.
    pub rows: Vec<Row>,
    /// For [`Ledger::settle`] once they are, for [`Ledger::undo`] where they cannot be.
    pub undo: Undo,
}

/// The way back from an operation.
#[derive(Debug, Default)]
#[must_use = "it is to be settled or undone"]
pub struct Undo {
    /// What was there before, in the order of `after`.
    before: Vec<Row>,
    after: Vec<Row>,
    /// vIPs that nobody had before.
    taken: Vec<Vip>,
    /// vIPs that nobody has afterwards.
    given_up: Vec<Vip>,
    /// vIPs that rest only since then.
    laid_to_rest: Vec<Vip>,
    /// Names that nobody has afterwards.
    names: Vec<Label>,
    /// The invite that counts one use more.
    pub(super) used: Option<JoinKeyHash>,
}

impl Undo {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.after.is_empty() && self.used.is_none()
    }
}

impl Ledger {
    /// Takes an operation back whose rows could not be stored. What another operation has changed
    /// since then stays as it is.
    pub fn undo(&mut self, mut undo: Undo, vips: &mut VipAllocator) {
        self.let_go(&undo);
        let mut undone = Vec::new();
        let before = std::mem::take(&mut undo.before);
        let after = std::mem::take(&mut undo.after);
        for (before, after) in before.into_iter().zip(after).rev() {
            if !self.has(&after) {
                continue;
            }
            match before {
                // It is a member again, so its old vIP is of no use any more.
                Row::Removed(key, Some(removed)) if self.members.contains_key(&key) => {
                    undone.push(removed.vip);
                    undo.taken.push(removed.vip);
                }
                before => {
                    undone.extend(vip_of(&after));
                    // A later operation may have given it up, and that is stored.
                    if let Some(vip) = vip_of(&before) {
                        vips.take(vip).ok();
                    }
                    self.apply(before);
                }
            }
        }
        if let Some(invite) = undo.used.and_then(|hash| self.invites.get(&hash)) {
            let num_used = invite.num_used.saturating_sub(1);
            let invite = Invite { num_used, ..invite.clone() };
            self.apply(Row::Invite(invite.hash, Some(invite)));
        }
        let taken = undo.taken.into_iter().filter(|vip| undone.contains(vip));
        taken.filter(|vip| !self.is_held(*vip)).for_each(|vip| vips.release(vip));
    }

    /// Lets others have what an operation gave up: its rows are stored.
    pub fn settle(&mut self, undo: Undo, vips: &mut VipAllocator) {
        self.let_go(&undo);
        // What could not be stored before this may hold it again.
        let free = undo.given_up.into_iter().filter(|vip| !self.is_held(*vip));
        free.for_each(|vip| vips.release(vip));
    }

    fn let_go(&mut self, undo: &Undo) {
        self.held_names.retain(|name| !undo.names.contains(name));
        self.held_vips.retain(|vip| !undo.laid_to_rest.contains(vip));
        self.given_up.retain(|vip| !undo.given_up.contains(vip));
    }

    /// Makes `after` so.
    pub(super) fn edit(&mut self, after: Vec<Row>) -> Changed {
        let vips: BTreeSet<_> = after.iter().filter_map(vip_of).collect();
        let taken = vips.into_iter().filter(|vip| !self.is_held(*vip)).collect();
        let before: Vec<_> = after.iter().map(|row| self.apply(row.clone())).collect();
        let vips: BTreeSet<_> = before.iter().filter_map(vip_of).collect();
        let given_up: Vec<_> = vips.into_iter().filter(|vip| !self.is_held(*vip)).collect();
        self.given_up.extend(&given_up);
        let members = || before.iter().filter_map(member_of);
        let names = members().filter_map(|member| member.name.clone());
        let names: Vec<_> = names.filter(|name| !self.by_name.contains_key(name)).collect();
        self.held_names.extend(names.iter().cloned());
        let vips = members().map(|member| member.vip);
        let laid_to_rest: Vec<_> = vips.filter(|vip| self.resting.contains_key(vip)).collect();
        self.held_vips.extend(&laid_to_rest);
        let is_stored = |(after, before): &(&Row, &Row)| match (after, before) {
            (Row::Member(_, Some(member)), _)
            | (Row::Member(_, None), Row::Member(_, Some(member))) => !member.is_guest,
            _ => true,
        };
        let rows = after.iter().zip(&before).filter(is_stored).map(|(row, _)| row.clone());
        Changed {
            rows: rows.collect(),
            undo: Undo { before, after, taken, given_up, laid_to_rest, names, used: None },
        }
    }

    /// Puts one row in, and returns the one that it replaces.
    pub(super) fn apply(&mut self, row: Row) -> Row {
        match row {
            Row::Member(key, after) => {
                let before = replace(&mut self.members, key, after.clone());
                if let Some(member) = &before {
                    self.by_vip.remove(&member.vip);
                    if let Some(name) = &member.name {
                        self.by_name.remove(name);
                    }
                }
                if let Some(member) = after {
                    self.by_vip.insert(member.vip, key);
                    self.by_name.extend(member.name.map(|name| (name, key)));
                }
                Row::Member(key, before)
            }
            Row::Removed(key, after) => {
                let before = replace(&mut self.removed, key, after.clone());
                if let Some(removed) = &before {
                    self.resting.remove(&removed.vip);
                    self.removed_by_age.remove(&(removed.removed_at, key));
                }
                if let Some(removed) = after {
                    self.resting.insert(removed.vip, key);
                    self.removed_by_age.insert((removed.removed_at, key));
                }
                Row::Removed(key, before)
            }
            Row::Invite(hash, after) => Row::Invite(hash, self.apply_invite(hash, after)),
        }
    }

    fn apply_invite(&mut self, hash: JoinKeyHash, after: Option<Invite>) -> Option<Invite> {
        let before = replace(&mut self.invites, hash, after.clone());
        if let Some(Invite { name, vip, .. }) = &before {
            // What one promised that has expired, another may promise by now.
            if let Some(vip) = vip.filter(|vip| self.promised_vips.get(vip) == Some(&hash)) {
                self.promised_vips.remove(&vip);
            }
            if let Some(name) =
                name.as_ref().filter(|name| self.promised_names.get(*name) == Some(&hash))
            {
                self.promised_names.remove(name);
            }
        }
        if let Some(invite) = after.filter(|invite| invite.state(0) == InviteState::Open) {
            let is_later = |other: Option<&JoinKeyHash>| {
                let other = other.and_then(|hash| self.invites.get(hash));
                other.is_none_or(|other| other.created_at <= invite.created_at)
            };
            if let Some(vip) = invite.vip.filter(|vip| is_later(self.promised_vips.get(vip))) {
                self.promised_vips.insert(vip, hash);
            }
            if let Some(name) =
                invite.name.as_ref().filter(|name| is_later(self.promised_names.get(*name)))
            {
                self.promised_names.insert(name.clone(), hash);
            }
        }
        before
    }
}

fn replace<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}

fn member_of(row: &Row) -> Option<&Member> {
    match row {
        Row::Member(_, member) => member.as_ref(),
        Row::Invite(..) | Row::Removed(..) => None,
    }
}

fn vip_of(row: &Row) -> Option<Vip> {
    match row {
        Row::Member(_, member) => member.as_ref().map(|member| member.vip),
        Row::Removed(_, removed) => removed.as_ref().map(|removed| removed.vip),
        Row::Invite(..) => None,
    }
}
