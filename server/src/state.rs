//! What all sessions share: the hub behind its lock, the routes, the spare buffers.
//!
//! Locks are taken in the order hub, federation, queue, routes; those of `outboxes` and of what waits to be stored
//! are held for one look only, under whichever. A route changes only under the hub's lock, so
//! that table and hub never disagree for longer than that lock is held.

mod federation;
mod links;
mod lists;
mod manage;
mod membership;
mod open;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dosp_proto::federation::HubId;
use dosp_proto::frame::{self, FrameType};
use dosp_proto::identity::{IdentityKey, PublicKey};
use dosp_proto::label::Label;
use dosp_proto::member::Refusal;
use dosp_proto::vip::{Network, Vip};
use dosp_transport::congestion::Congestion;
use dosp_transport::fq_codel::Law;
use dosp_transport::governor::Governor;
use tokio::sync::Semaphore;

use crate::buffers::BufferPool;
use crate::config::Config;
use crate::functions::Functions;
use crate::hub::{
    AdminAccess, EXIT_KICKED, Effect, FrameCounters, Hub, HubReport, Outcome, Refused, SessionId,
    SessionVip, exit_frame, text_frame,
};
use crate::queue::{DropCounters, Limits, MAX_BATCH_LEN, Outbox};
use crate::routes::Routes;
use crate::target::Target;
pub(crate) use federation::{Federation, KeyError, Peer, PeerView};
pub(crate) use membership::{JoinOutcome, Membership};
pub use open::StateError;
pub(crate) use open::{open, open_federation};

/// Bytes queued for a session above which its senders wait: a few super-packets, so that a writer
/// always has a large write, and little enough that a queue is short.
const MAX_QUEUED_LEN: usize = 256 * 1024;
/// EXIT of a connection that has not joined, when too many have not.
const EXIT_CROWDED: &str = "too many connections that have not joined";
/// Refused connections that are told so at the same time; more are closed without a word.
const MAX_REFUSALS: usize = 64;

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    hub: Mutex<Hub>,
    /// The queues of all sessions, also of those without a vIP.
    outboxes: Mutex<BTreeMap<SessionId, Arc<Outbox>>>,
    routes: RwLock<Routes<Target>>,
    /// Raised with every change of `routes`, before the change can be seen.
    routes_version: AtomicU64,
    /// The other hubs, and the links with them.
    pub(crate) federation: Federation,
    /// What this hub is called in the paths of other hubs' routes.
    pub(crate) hub_id: HubId,
    /// Where published hubs are told that this one can be dialled.
    advertised: Option<String>,
    /// What a hub with members needs beside the hub.
    pub(crate) membership: Option<Membership>,
    pub(crate) functions: Arc<Functions>,
    /// What the hub is called.
    pub(crate) name: Option<Label>,
    pub(crate) network: Network,
    pub(crate) max_frame_len: usize,
    pub(crate) compression: bool,
    pub(crate) write_timeout: Duration,
    congestion: Congestion,
    pub(crate) read_buffers: BufferPool,
    write_buffers: Arc<BufferPool>,
    pub(crate) refusals: Arc<Semaphore>,
    /// Sessions cut because they read nothing.
    pub(crate) num_cut: AtomicU64,
    /// Frames of flows that waited too long, or for which there was no room.
    pub(crate) drops: Arc<DropCounters>,
}

impl Shared {
    pub(crate) fn new(
        config: &Config,
        hub: Hub,
        membership: Option<Membership>,
        federation: Federation,
    ) -> Self {
        let key = membership.as_ref().map(|membership| membership.identity.public());
        Self {
            hub: Mutex::new(hub),
            outboxes: Mutex::default(),
            hub_id: hub_id(key, config.network),
            federation,
            advertised: config.advertise.first().cloned(),
            membership,
            routes: RwLock::default(),
            routes_version: AtomicU64::new(0),
            functions: Arc::new(Functions::new(config.builtin_functions, &config.functions)),
            name: config.name.clone(),
            network: config.network,
            max_frame_len: config.max_frame_len,
            compression: config.compression,
            write_timeout: config.write_timeout,
            congestion: config.congestion,
            read_buffers: BufferPool::for_reading(),
            write_buffers: Arc::new(BufferPool::for_writing()),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
            num_cut: AtomicU64::new(0),
            drops: Arc::default(),
        }
    }

    /// Opens a session: its greeting is queued before the first frame can be routed to it.
    pub(crate) fn admit(self: &Arc<Self>, addr: SocketAddr) -> Result<Seat, Refused> {
        let outbox = Arc::new(self.new_outbox());
        let mut hub = self.hub();
        let admitted = hub.admit(addr, Instant::now())?;
        let vip = admitted.vip.get();
        outbox.reply(&admitted.greeting, 2, || {
            if vip != Vip::NONE {
                self.change_routes().insert(vip, Target::Client(Arc::clone(&outbox)));
            }
        });
        self.outboxes_mut().insert(admitted.id, Arc::clone(&outbox));
        let evicted = admitted.evicted.and_then(|id| self.outbox(id));
        drop(hub);
        if let Some(evicted) = evicted {
            evicted.finish(&exit_frame(EXIT_CROWDED), 1);
        }
        let is_needed = self.membership.is_some();
        Ok(Seat {
            id: admitted.id,
            vip: admitted.vip,
            greeting: if is_needed { admitted.greeting } else { Vec::new() },
            outbox,
            counters: admitted.counters,
            shared: Arc::clone(self),
        })
    }

    /// An empty queue for a new connection.
    pub(crate) fn new_outbox(&self) -> Outbox {
        let limits =
            Limits { max_len: MAX_QUEUED_LEN, batch_len: MAX_BATCH_LEN, law: Law::DEFAULT };
        let governor = Governor::new(self.congestion);
        Outbox::new(limits, governor, Arc::clone(&self.write_buffers), Arc::clone(&self.drops))
    }

    /// This hub's key, where it keeps one.
    pub(crate) fn identity(&self) -> Option<&IdentityKey> {
        self.membership.as_ref().map(|membership| &membership.identity)
    }

    /// Where frames for `vip` go.
    pub(crate) fn lookup(&self, vip: Vip) -> Option<Target> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.lookup(vip).cloned()
    }

    /// How many clients there are.
    pub(crate) fn num_sessions(&self) -> usize {
        self.hub().num_sessions()
    }

    /// From now on takes so many clients, and lets these administer it; returns whether others did before.
    pub(crate) fn limit(&self, max_clients: usize, access: AdminAccess) -> bool {
        let mut hub = self.hub();
        hub.set_max_clients(max_clients);
        hub.set_admin(access)
    }

    /// Tells one state of the routes from the next.
    pub(crate) fn routes_version(&self) -> u64 {
        self.routes_version.load(Ordering::Acquire)
    }

    /// Sends EXIT to all sessions; each ends when it is written.
    pub(crate) fn finish_all(&self, reason: &str) {
        let exit = exit_frame(reason);
        self.announce_restart();
        for (_, outbox) in self.outboxes() {
            outbox.finish(&exit, 1);
        }
        self.finish_links(&exit);
    }

    /// Does what an administrator says who is no client; returns the answer.
    pub(crate) fn administer(&self, line: &str) -> String {
        let mut hub = self.hub();
        let outcome = hub.administer(line, Instant::now());
        self.carry_out(&outcome, hub, None)
    }

    /// What the hub knows of itself.
    pub(crate) fn report(&self, now: Instant) -> HubReport {
        self.hub().report(now)
    }

    /// Does to others what a command causes; returns the answer.
    fn carry_out(
        &self,
        outcome: &Outcome,
        mut hub: MutexGuard<'_, Hub>,
        own: Option<SessionId>,
    ) -> String {
        match outcome {
            Outcome::Said(said) | Outcome::Leave(said) => said.clone(),
            Outcome::Broadcast(message) => {
                drop(hub);
                self.broadcast(message.as_bytes(), own)
            }
            Outcome::Cut { vips, said } => {
                // Under the hub's lock: these vIPs are still those of the sessions that were meant.
                let ids: Vec<_> = vips.iter().filter_map(|vip| hub.session_at(*vip)).collect();
                for id in ids {
                    let Some(outbox) = self.outbox(id) else { continue };
                    // Whoever ends itself gets its answer first.
                    if own == Some(id) {
                        let answer = hub.wrap(id, text_frame(FrameType::ADMIN, said));
                        outbox.reply(&answer, 1, || {});
                    }
                    self.expel(&mut hub, id, Refusal::Kicked, EXIT_KICKED);
                }
                drop(hub);
                said.clone()
            }
        }
    }

    /// Sends a message to all clients but one; returns how many that were, in words. Who has no room
    /// in its queue gets none: it does not read.
    fn broadcast(&self, message: &[u8], own: Option<SessionId>) -> String {
        let mut frame = Vec::new();
        frame::encode(&mut frame, FrameType::MSG, message);
        let mut hub = self.hub();
        let mut num_sent = 0;
        for (id, outbox) in self.outboxes() {
            if own == Some(id) || !hub.is_client(id) || !outbox.has_room() {
                continue;
            }
            outbox.reply(&hub.wrap(id, frame.clone()), 1, || {});
            num_sent += 1;
        }
        drop(hub);
        format!("Broadcast sent to {num_sent} clients")
    }

    /// The queue of a session, as long as there is one.
    pub(crate) fn outbox(&self, id: SessionId) -> Option<Arc<Outbox>> {
        self.outboxes_mut().get(&id).map(Arc::clone)
    }

    /// Collected, so that they are not locked while a queue is.
    fn outboxes(&self) -> Vec<(SessionId, Arc<Outbox>)> {
        self.outboxes_mut().iter().map(|(id, outbox)| (*id, Arc::clone(outbox))).collect()
    }

    fn outboxes_mut(&self) -> MutexGuard<'_, BTreeMap<SessionId, Arc<Outbox>>> {
        self.outboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a session with a frame of the hub, sealed where it is a member's.
    pub(crate) fn answer(&self, id: SessionId, outbox: &Outbox, frame: Vec<u8>) {
        // Queued under the hub's lock: sealed frames keep their order.
        let mut hub = self.hub();
        outbox.reply(&hub.wrap(id, frame), 1, || {});
    }

    /// The routes: those to clients are changed by whoever holds the hub's lock, those to other hubs by
    /// whoever holds the federation's.
    fn change_routes(&self) -> RwLockWriteGuard<'_, Routes<Target>> {
        let routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        self.routes_version.fetch_add(1, Ordering::Release);
        routes
    }

    /// Gives back what a session has; harmless where it has ended before.
    fn end_session(&self, hub: &mut Hub, id: SessionId) {
        self.outboxes_mut().remove(&id);
        let Some((vip, rows)) = hub.remove(id, unix_time()) else { return };
        if vip != Vip::NONE && hub.session_at(vip).is_none() {
            self.change_routes().remove(vip);
        }
        if let Some(membership) = &self.membership {
            membership.note_end(rows);
        }
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something while nobody else can do anything with the hub.
    #[cfg(test)]
    pub(crate) fn while_locked(&self, work: impl FnOnce()) {
        let _hub = self.hub();
        work();
    }
}

/// What a hub is called in paths.
fn hub_id(key: Option<&PublicKey>, network: Network) -> HubId {
    key.map_or_else(|| HubId::of_published(network), HubId::of)
}

/// Seconds since 1970-01-01 UTC by the wall clock.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A session's place in the hub: its vIP, its route, its queue. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) id: SessionId,
    pub(crate) vip: Arc<SessionVip>,
    greeting: Vec<u8>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) counters: Arc<FrameCounters>,
    shared: Arc<Shared>,
}

impl Seat {
    /// Lets the hub handle a frame, and does with routes and queue what that causes.
    pub(crate) fn handle_control(&self, frame_type: FrameType, body: &[u8]) -> Effect {
        let shared = Arc::clone(&self.shared);
        let mut hub = shared.hub();
        let effect = hub.handle_control(self.id, frame_type, body, Instant::now());
        match &effect {
            Effect::Reply(frame)
            | Effect::Auth { reply: frame, .. }
            | Effect::Dismiss { exit: frame } => {
                self.outbox.reply(&hub.wrap(self.id, frame.clone()), 1, || {});
            }
            Effect::Readdress { from, to, reply } => {
                self.outbox.reply(reply, 2, || {
                    let mut routes = shared.change_routes();
                    routes.remove(*from);
                    routes.insert(*to, Target::Client(Arc::clone(&self.outbox)));
                });
            }
            Effect::Administer { outcome, .. } => {
                let said = shared.carry_out(outcome, hub, Some(self.id));
                shared.answer(self.id, &self.outbox, text_frame(FrameType::ADMIN, &said));
            }
            Effect::Broadcast { message } => {
                drop(hub);
                let said = shared.broadcast(message, Some(self.id));
                shared.answer(self.id, &self.outbox, text_frame(FrameType::BCST, &said));
            }
            Effect::Nothing | Effect::Call { .. } | Effect::Log { .. } | Effect::Close { .. } => {}
        }
        effect
    }

    /// Gives vIP and route back while the last frames are still being written.
    pub(crate) fn leave(&self) {
        let mut hub = self.shared.hub();
        self.shared.end_session(&mut hub, self.id);
    }

    /// What the hub said first.
    pub(crate) fn greeting(&self) -> &[u8] {
        &self.greeting
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
        self.outbox.close();
    }
}

#[cfg(test)]
mod tests;
