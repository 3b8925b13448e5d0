//! What people ask about members of the running hub, done while it runs.

use dosp_proto::member::Refusal;
use rand::rngs::StdRng;
use tracing::{error, info};

use super::membership::{Membership, Stored, until_stored};
use super::{Shared, unix_time};
use crate::hub::Hub;
use crate::members::command::{
    self, Change, Invited, MembersReply, MembersRequest, NodeList, Outcome,
};
use crate::members::store::StoreError;

/// What a node is told that was removed.
const REMOVED: &str = "this node was removed from the network";
/// What a node is told whose connection was ended.
const KICKED: &str = "an administrator ended this connection";

/// Why nothing can be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManageError {
    #[error("this hub keeps no members: it has no state folder; 'dosp-server init' makes one")]
    NoMembers,
    #[error("it cannot be stored: {0}")]
    Store(#[from] StoreError),
}

impl Shared {
    /// Does what a person asks, and tells it to whom it concerns once it is stored.
    pub(crate) async fn manage(
        &self,
        request: MembersRequest,
    ) -> Result<MembersReply, ManageError> {
        let membership = self.membership.as_ref().ok_or(ManageError::NoMembers)?;
        let decided = self.decide(membership, request);
        let (outcome, stored) = decided.ok_or(ManageError::NoMembers)?;
        let stored = until_stored(stored).await;
        let mut hub = self.hub();
        if let Err(reason) = stored {
            hub.undo(outcome.undo);
            // Who came in meanwhile was told what is not so any more.
            if let Some(
                Change::Renamed(key) | Change::Moved { key, .. } | Change::Removed(key, _),
            ) = outcome.change
            {
                self.follow(&mut hub, Change::Renamed(key));
            }
            drop(hub);
            let why: &(dyn std::error::Error + 'static) = &reason;
            error!(reason = why, "a change of membership cannot be stored");
            return Err(reason.into());
        }
        hub.settle(outcome.undo);
        if let Some(change) = outcome.change {
            self.follow(&mut hub, change);
            membership.tell_soon();
        }
        let reply = correct(&hub, outcome.reply);
        drop(hub);
        audit(&reply, outcome.change);
        Ok(reply)
    }

    /// Decides, and queues what is to be stored in the order of decisions.
    fn decide(
        &self,
        membership: &Membership,
        request: MembersRequest,
    ) -> Option<(Outcome, Option<Stored>)> {
        let mut rng: StdRng = rand::make_rng();
        let mut hub = self.hub();
        let (ledger, vips) = hub.ledger_mut()?;
        let mut outcome =
            command::carry_out(ledger, vips, request, &membership.door, &mut rng, unix_time());
        let rows = std::mem::take(&mut outcome.rows);
        let stored = (!rows.is_empty()).then(|| membership.keeper.queue(rows));
        Some((outcome, stored))
    }

    /// Lets sessions follow what has changed in the ledger.
    fn follow(&self, hub: &mut Hub, change: Change) {
        match change {
            Change::Renamed(key) | Change::Moved { key, .. } => {
                if let Some((id, welcomed)) = hub.welcome_again(&key, unix_time()) {
                    self.carry_welcome(id, &welcomed);
                }
            }
            Change::Removed(key, _) => {
                hub.note_changed(key);
                if let Some(id) = hub.session_of(&key) {
                    self.expel(hub, id, Refusal::Removed, REMOVED);
                }
            }
            Change::Kicked(key) => {
                if let Some(id) = hub.session_of(&key) {
                    self.expel(hub, id, Refusal::Kicked, KICKED);
                }
            }
        }
    }
}

/// What only the running hub knows of its members.
fn correct(hub: &Hub, reply: MembersReply) -> MembersReply {
    let MembersReply::Nodes(mut list) = reply else { return reply };
    for node in &mut list.nodes {
        let session = hub.session_of(&node.key);
        (node.is_online, node.addr) = (session.is_some(), session.and_then(|id| hub.addr(id)));
    }
    MembersReply::Nodes(NodeList { ..list })
}

/// Every change of membership leaves a line in the log; joins have theirs where they happen.
fn audit(reply: &MembersReply, change: Option<Change>) {
    let by = "local user";
    match (reply, change) {
        (MembersReply::Invited(Invited { id, expires_at, .. }), _) => {
            info!(audit = "invited", invite = id, expires_at, by, "invite made");
        }
        (MembersReply::Done { text }, Some(Change::Renamed(key))) => {
            info!(audit = "renamed", fingerprint = %key.fingerprint(), text, by, "node renamed");
        }
        (MembersReply::Done { text }, Some(Change::Moved { key, from })) => {
            info!(audit = "moved", fingerprint = %key.fingerprint(), %from, text, by, "node moved");
        }
        (MembersReply::Done { text }, Some(Change::Removed(key, vip))) => {
            info!(audit = "removed", fingerprint = %key.fingerprint(), %vip, text, by, "node removed");
        }
        (MembersReply::Done { text }, Some(Change::Kicked(key))) => {
            info!(audit = "kicked", fingerprint = %key.fingerprint(), text, by, "node kicked");
        }
        (MembersReply::Done { text }, None) => {
            info!(audit = "revoked", text, by, "invite revoked");
        }
        _ => {}
    }
}
