//! Joining, and what members are told: the hub's decisions, put into queues, routes and the store.
//!
//! What is sealed for a session is queued under the hub's lock, in the order in which it was sealed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dosp_proto::federation::RemoteNetwork;
use dosp_proto::identity::{IdentityKey, PublicKey};
use dosp_proto::member::{Control, Join, Refusal, Refused, Sealer};
use dosp_proto::vip::Vip;
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};
use tracing::{Instrument, Span, debug, error, info};

use super::{Shared, unix_time};
use crate::hub::{Entering, Hub, JoinStep, Leaving, SessionId, Welcomed, exit_frame};
use crate::members::command::Door;
use crate::members::keeper::Keeper;
use crate::members::record::{Denied, Row};
use crate::members::store::StoreError;
use crate::queue::Outbox;
use crate::target::{NotPushed, Target};

/// Changes of the directory are gathered for so long before they are told.
const GATHER_FOR: Duration = Duration::from_millis(250);
/// How long a session may take to show that it lives, when another one comes with its key.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// EXIT of a session whose key came back on another connection.
const EXIT_REPLACED: &str = "replaced by a newer connection with the same key";
/// EXIT of whoever could not be kept.
const EXIT_REFUSED: &str = "not admitted";

/// What a hub with members needs beside the hub.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) identity: IdentityKey,
    pub(crate) keeper: Keeper,
    /// What join strings say.
    pub(super) door: Door,
    pub(crate) is_closed: bool,
    /// The directory has changed.
    news: Notify,
    /// Sessions that are to show that they live.
    probes: Mutex<BTreeMap<SessionId, Arc<Notify>>>,
}

/// Comes when something is stored, or cannot be.
pub(super) type Stored = oneshot::Receiver<Result<(), StoreError>>;

/// Waits for what is being stored, if anything is.
pub(super) async fn until_stored(stored: Option<Stored>) -> Result<(), StoreError> {
    match stored {
        Some(stored) => stored.await.unwrap_or(Err(StoreError::Ended)),
        None => Ok(()),
    }
}

/// How a wish to join ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinOutcome {
    /// The session is a member's, with this vIP.
    Welcomed(Vip),
    /// It was told why not.
    Refused,
}

impl Membership {
    pub(super) fn new(identity: IdentityKey, keeper: Keeper, door: Door, is_closed: bool) -> Self {
        let (news, probes) = (Notify::new(), Mutex::default());
        Self { identity, keeper, door, is_closed, news, probes }
    }

    /// The directory has changed.
    pub(super) fn tell_soon(&self) {
        self.news.notify_one();
    }

    /// A session has ended: `rows` may be stored when there is time.
    pub(super) fn note_end(&self, rows: Vec<Row>) {
        self.keeper.commit_later(rows);
        self.news.notify_one();
    }
}

impl Shared {
    /// Whether only members are let in.
    pub(crate) fn is_closed(&self) -> bool {
        self.membership.as_ref().is_some_and(|membership| membership.is_closed)
    }

    /// Whether one more handshake of this address is to be answered now.
    pub(crate) fn may_shake(&self, ip: IpAddr) -> bool {
        self.hub().may_shake(ip, Instant::now())
    }

    /// A session has shown its key.
    pub(crate) fn introduce(&self, id: SessionId, key: PublicKey, sealer: Sealer) {
        self.hub().introduce(id, key, sealer);
    }

    /// Lets a node in, or tells it why not.
    pub(crate) async fn join(
        self: &Arc<Self>,
        id: SessionId,
        join: Join,
        span: Span,
    ) -> JoinOutcome {
        loop {
            let (step, stored) = self.begin_join(id, &join);
            match step {
                None => return JoinOutcome::Refused,
                Some(JoinStep::Refused(frame, denied)) => {
                    self.log_refusal(&span, &denied);
                    self.queue(id, &frame, 1);
                    return JoinOutcome::Refused;
                }
                Some(JoinStep::InUse(other)) if self.lives(other).await => {
                    return self.refuse_key_in_use(id, other, &span);
                }
                Some(JoinStep::InUse(other)) => self.replace(other),
                Some(JoinStep::Store(entering)) => {
                    // On its own: what is stored is to be finished even if the session ends meanwhile.
                    let shared = Arc::clone(self);
                    let finish = async move { shared.finish_join(id, entering, stored).await };
                    let finished = tokio::spawn(finish.instrument(span)).await;
                    return finished.unwrap_or(JoinOutcome::Refused);
                }
            }
        }
    }

    /// Anybody can be refused as often as he likes: what is too much is for those who look closer.
    fn log_refusal(&self, span: &Span, denied: &Denied) {
        let (reason, text) = (denied.reason, &denied.text);
        if self.hub().may_log(Instant::now()) {
            info!(parent: span, audit = "refused", ?reason, text, "join refused");
        } else {
            debug!(parent: span, ?reason, text, "join refused");
        }
    }

    /// Decides, and queues what is to be stored in the order of decisions.
    fn begin_join(&self, id: SessionId, join: &Join) -> (Option<JoinStep>, Option<Stored>) {
        let mut hub = self.hub();
        let mut step = hub.begin_join(id, join, unix_time());
        let mut stored = None;
        if let (Some(JoinStep::Store(entering)), Some(membership)) = (&mut step, &self.membership)
            && !entering.rows.is_empty()
        {
            stored = Some(membership.keeper.queue(std::mem::take(&mut entering.rows)));
        }
        (step, stored)
    }

    async fn finish_join(
        self: Arc<Self>,
        id: SessionId,
        entering: Box<Entering>,
        stored: Option<Stored>,
    ) -> JoinOutcome {
        let Some(membership) = &self.membership else { return JoinOutcome::Refused };
        let stored = until_stored(stored).await;
        let mut hub = self.hub();
        if let Err(reason) = stored {
            let reason: &(dyn std::error::Error + 'static) = &reason;
            error!(reason, "a join cannot be stored");
            let frame = hub.undo_join(id, entering, unix_time());
            self.queue(id, &frame, 1);
            return JoinOutcome::Refused;
        }
        let addr = hub.addr(id);
        let Some(welcomed) = hub.finish_join(id, entering, unix_time()) else {
            return JoinOutcome::Refused;
        };
        self.carry_welcome(id, &welcomed);
        drop(hub);
        let member = &welcomed.member;
        if welcomed.is_new {
            let name = member.name.as_ref().map(ToString::to_string);
            let addr = addr.map(|addr| addr.to_string());
            let (fingerprint, invite) = (member.key.fingerprint(), &member.invite);
            info!(audit = "joined", name, vip = %member.vip, %fingerprint, invite, addr, "new member");
        }
        membership.news.notify_one();
        JoinOutcome::Welcomed(member.vip)
    }

    /// Tells a node who it is, and routes what is for it, before anything else can follow.
    pub(super) fn carry_welcome(&self, id: SessionId, welcomed: &Welcomed) {
        let Some(outbox) = self.outbox(id) else { return };
        outbox.reply(&welcomed.frames, welcomed.num_frames, || {
            let mut routes = self.change_routes();
            if let Some(from) = welcomed.from {
                routes.remove(from);
            }
            routes.insert(welcomed.member.vip, Target::Member(Arc::clone(&outbox)));
        });
    }

    fn refuse_key_in_use(&self, id: SessionId, other: SessionId, span: &Span) -> JoinOutcome {
        let mut hub = self.hub();
        if let Some(addr) = hub.addr(other) {
            info!(parent: span, %addr, "join refused: the key is in use");
            let frame = hub.refuse_key_in_use(id, addr, unix_time());
            self.queue(id, &frame, 1);
        }
        JoinOutcome::Refused
    }

    /// Whether a session answers.
    async fn lives(&self, id: SessionId) -> bool {
        let Some(membership) = &self.membership else { return false };
        let pong = {
            let mut probes = membership.probes.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(probes.entry(id).or_default())
        };
        let answered = pong.notified();
        self.probe(id);
        let lives = timeout(PROBE_TIMEOUT, answered).await.is_ok();
        let mut probes = membership.probes.lock().unwrap_or_else(PoisonError::into_inner);
        // The last one who asks takes the question away: others may still wait for the answer.
        if probes.get(&id).is_some_and(|asked| Arc::strong_count(asked) <= 2) {
            probes.remove(&id);
        }
        lives
    }

    fn probe(&self, id: SessionId) {
        let mut hub = self.hub();
        if let Some(ping) = hub.seal(id, &Control::Ping) {
            self.queue(id, &ping, 1);
        }
    }

    /// A session has answered a probe.
    pub(crate) fn pong(&self, id: SessionId) {
        let Some(membership) = &self.membership else { return };
        let probes = membership.probes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pong) = probes.get(&id) {
            pong.notify_waiters();
        }
    }

    /// Ends a session that does not answer, so that its key can have another one.
    pub(super) fn replace(&self, id: SessionId) {
        let mut hub = self.hub();
        let outbox = self.outbox(id);
        self.end_session(&mut hub, id);
        drop(hub);
        if let Some(outbox) = outbox {
            outbox.finish(&exit_frame(EXIT_REPLACED), 1);
        }
    }

    /// Ends a session, and tells a member why.
    pub(super) fn expel(&self, hub: &mut Hub, id: SessionId, reason: Refusal, text: &str) {
        let Some(outbox) = self.outbox(id) else { return };
        let refused = Refused { reason, text: text.to_owned(), time: unix_time() };
        if let Some(frame) = hub.seal(id, &Control::Refused(refused)) {
            outbox.reply(&frame, 1, || {});
        }
        outbox.finish(&exit_frame(text), 1);
    }

    /// Tells a client that a frame went nowhere; `why` is what its way says, where there is one.
    pub(crate) fn tell_gone(
        &self,
        id: SessionId,
        outbox: &Outbox,
        vip: Vip,
        why: Option<NotPushed>,
    ) {
        let why = self.why_gone(vip, why);
        let mut hub = self.hub();
        outbox.reply(&hub.gone(id, vip, why), 1, || {});
    }

    /// Tells members of the networks of other hubs, if they are others than before.
    pub(super) fn tell_networks(&self, networks: Vec<RemoteNetwork>) {
        if self.hub().set_networks(networks) {
            self.note_news();
        }
    }

    /// There is something in the directory, or of other hubs, that not all know.
    pub(super) fn note_news(&self) {
        if let Some(membership) = &self.membership {
            membership.news.notify_one();
        }
    }

    /// Tells all members that the hub is back in a moment.
    pub(super) fn announce_restart(&self) {
        let mut hub = self.hub();
        for (id, outbox) in self.outboxes() {
            if let Some(frame) = hub.seal(id, &Control::Restarting) {
                outbox.reply(&frame, 1, || {});
            }
        }
    }

    /// A member gives up its lease.
    pub(crate) async fn leave_network(self: &Arc<Self>, id: SessionId) {
        let Some(membership) = &self.membership else { return };
        let Some((left, stored)) = self.begin_leave(id, membership) else { return };
        // On its own, like a join.
        let shared = Arc::clone(self);
        let finish = async move { shared.finish_leave(id, left, stored).await };
        tokio::spawn(finish.in_current_span()).await.unwrap_or_default();
    }

    async fn finish_leave(&self, id: SessionId, left: Leaving, stored: Stored) {
        let Some(membership) = &self.membership else { return };
        let stored = until_stored(Some(stored)).await;
        let mut hub = self.hub();
        match stored {
            Ok(()) => {
                let addr = hub.addr(id).map(|addr| addr.to_string());
                let fingerprint = left.key.fingerprint();
                info!(audit = "left", %fingerprint, addr, "member left the network");
                let frame = hub.finish_leave(id, left.undo);
                self.queue(id, &frame.unwrap_or_default(), 1);
                membership.news.notify_one();
            }
            Err(reason) => {
                let reason: &(dyn std::error::Error + 'static) = &reason;
                error!(reason, "a node that leaves cannot be stored");
                hub.undo_leave(left.key, left.undo);
                self.expel(&mut hub, id, Refusal::Store, EXIT_REFUSED);
            }
        }
    }

    fn begin_leave(&self, id: SessionId, membership: &Membership) -> Option<(Leaving, Stored)> {
        let mut hub = self.hub();
        let mut left = hub.begin_leave(id, unix_time())?;
        let stored = membership.keeper.queue(std::mem::take(&mut left.rows));
        Some((left, stored))
    }

    fn queue(&self, id: SessionId, frames: &[u8], num_frames: u64) {
        if let Some(outbox) = self.outbox(id) {
            outbox.reply(frames, num_frames, || {});
        }
    }

    /// Tells members what has changed in the directory, for ever.
    pub(crate) async fn tell_news(self: Arc<Self>) {
        let Some(membership) = &self.membership else { return };
        loop {
            membership.news.notified().await;
            sleep(GATHER_FOR).await;
            let uninformed = self.hub().uninformed();
            for id in uninformed {
                // Each under a lock of its own: frames of others get their turn.
                self.tell_news_to(id, membership);
            }
            self.tell_lists();
        }
    }

    fn tell_news_to(&self, id: SessionId, membership: &Membership) {
        let mut hub = self.hub();
        let Some(outbox) = self.outbox(id) else { return };
        if !outbox.has_room() {
            // It is told later, and then all at once.
            return membership.news.notify_one();
        }
        let mut frames = Vec::new();
        let num_frames = hub.append_news(id, &mut frames);
        outbox.reply(&frames, num_frames, || {});
        if hub.is_uninformed(id) {
            // There is more than is said in one go.
            membership.news.notify_one();
        }
    }
}
