//! What all sessions share: the hub behind its lock, the routes, the spare buffers.
//!
//! Locks are taken in the order hub, queue, routes. A route changes only under the hub's lock, so
//! that table and hub never disagree for longer than that lock is held.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use dosp_proto::frame::{self, FrameType};
use dosp_proto::vip::{Network, Vip};
use tokio::sync::Semaphore;

use crate::buffers::BufferPool;
use crate::config::Config;
use crate::functions::Functions;
use crate::hub::{
    AdminAccess, EXIT_KICKED, Effect, FrameCounters, Hub, Outcome, Refused, SessionId,
    SessionReport, exit_frame, text_frame,
};
use crate::queue::Outbox;
use crate::routes::Routes;

/// Bytes queued for a session above which its senders wait: a few super-packets, so that a writer
/// always has a large write, and little enough that a queue is short.
const MAX_QUEUED_LEN: usize = 256 * 1024;
/// Refused connections that are told so at the same time; more are closed without a word.
const MAX_REFUSALS: usize = 64;

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    hub: Mutex<Hub>,
    routes: RwLock<Routes<Arc<Outbox>>>,
    /// Raised with every change of `routes`, before the change can be seen.
    routes_version: AtomicU64,
    pub(crate) functions: Arc<Functions>,
    pub(crate) network: Network,
    pub(crate) max_frame_len: usize,
    pub(crate) compression: bool,
    pub(crate) write_timeout: Duration,
    pub(crate) read_buffers: BufferPool,
    write_buffers: Arc<BufferPool>,
    pub(crate) refusals: Arc<Semaphore>,
    /// Sessions cut because they read nothing.
    pub(crate) num_cut: AtomicU64,
}

impl Shared {
    pub(crate) fn new(config: &Config, admin: AdminAccess) -> Self {
        let hub = Hub::new(config.network, config.max_clients)
            .with_admin(admin)
            .with_compression(config.compression);
        Self {
            hub: Mutex::new(hub),
            routes: RwLock::default(),
            routes_version: AtomicU64::new(0),
            functions: Arc::new(Functions::new(config.builtin_functions, &config.functions)),
            network: config.network,
            max_frame_len: config.max_frame_len,
            compression: config.compression,
            write_timeout: config.write_timeout,
            read_buffers: BufferPool::for_reading(),
            write_buffers: Arc::new(BufferPool::for_writing()),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
            num_cut: AtomicU64::new(0),
        }
    }

    /// Opens a session: its greeting is queued before the first frame can be routed to it.
    pub(crate) fn admit(self: &Arc<Self>, addr: SocketAddr) -> Result<Seat, Refused> {
        let outbox = Arc::new(Outbox::new(MAX_QUEUED_LEN, Arc::clone(&self.write_buffers)));
        let mut hub = self.hub();
        let admitted = hub.admit(addr, Instant::now())?;
        outbox.reply(&admitted.greeting, 2, || {
            self.change_routes().insert(admitted.vip, Arc::clone(&outbox));
        });
        drop(hub);
        Ok(Seat {
            id: admitted.id,
            vip: admitted.vip,
            outbox,
            counters: admitted.counters,
            shared: Arc::clone(self),
        })
    }

    /// Where frames for `vip` go.
    pub(crate) fn lookup(&self, vip: Vip) -> Option<Arc<Outbox>> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.lookup(vip).cloned()
    }

    /// How many clients there are.
    pub(crate) fn num_sessions(&self) -> usize {
        self.hub().num_sessions()
    }

    /// Tells one state of the routes from the next.
    pub(crate) fn routes_version(&self) -> u64 {
        self.routes_version.load(Ordering::Acquire)
    }

    /// Sends EXIT to all sessions; each ends when it is written.
    pub(crate) fn finish_all(&self, reason: &str) {
        let exit = exit_frame(reason);
        for outbox in self.outboxes() {
            outbox.finish(&exit, 1);
        }
    }

    /// Does what an administrator says who is no client; returns the answer.
    pub(crate) fn administer(&self, line: &str) -> String {
        let mut hub = self.hub();
        let outcome = hub.administer(line, Instant::now());
        self.carry_out(&outcome, hub, None)
    }

    /// All sessions, and the frames from and to all that there have been.
    pub(crate) fn report(&self, now: Instant) -> (Vec<SessionReport>, (u64, u64)) {
        let hub = self.hub();
        (hub.report(now), hub.num_frames())
    }

    /// Does to others what a command causes; returns the answer.
    fn carry_out(
        &self,
        outcome: &Outcome,
        hub: MutexGuard<'_, Hub>,
        own: Option<&Arc<Outbox>>,
    ) -> String {
        match outcome {
            Outcome::Said(said) | Outcome::Leave(said) => said.clone(),
            Outcome::Broadcast(message) => {
                drop(hub);
                self.broadcast(message.as_bytes(), own)
            }
            Outcome::Cut { vips, said } => {
                // Under the hub's lock: these vIPs are still those of the sessions that were meant.
                for outbox in vips.iter().filter_map(|vip| self.lookup(*vip)) {
                    // Whoever ends itself gets its answer first.
                    if own.is_some_and(|own| Arc::ptr_eq(own, &outbox)) {
                        outbox.reply(&text_frame(FrameType::ADMIN, said), 1, || {});
                    }
                    outbox.finish(&exit_frame(EXIT_KICKED), 1);
                }
                drop(hub);
                said.clone()
            }
        }
    }

    /// Sends a message to all clients but one; returns how many that were, in words. Who has no room
    /// in its queue gets none: it does not read.
    fn broadcast(&self, message: &[u8], own: Option<&Arc<Outbox>>) -> String {
        let mut frame = Vec::new();
        frame::encode(&mut frame, FrameType::MSG, message);
        let outboxes = self.outboxes().into_iter();
        let others = outboxes.filter(|outbox| own.is_none_or(|own| !Arc::ptr_eq(own, outbox)));
        let num_sent = others.filter(|outbox| outbox.try_push(&frame).is_ok()).count();
        format!("Broadcast sent to {num_sent} clients")
    }

    /// Collected, because a queue is never locked while the routes are.
    fn outboxes(&self) -> Vec<Arc<Outbox>> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.targets().map(Arc::clone).collect()
    }

    /// The routes, to be changed by whoever holds the hub's lock.
    fn change_routes(&self) -> RwLockWriteGuard<'_, Routes<Arc<Outbox>>> {
        let routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        self.routes_version.fetch_add(1, Ordering::Release);
        routes
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's place in the hub: its vIP, its route, its queue. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) id: SessionId,
    pub(crate) vip: Vip,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) counters: Arc<FrameCounters>,
    shared: Arc<Shared>,
}

impl Seat {
    /// Lets the hub handle a frame, and does with routes and queue what that causes.
    pub(crate) fn handle_control(&mut self, frame_type: FrameType, body: &[u8]) -> Effect {
        let shared = Arc::clone(&self.shared);
        let mut hub = shared.hub();
        let effect = hub.handle_control(self.id, frame_type, body, Instant::now());
        match &effect {
            Effect::Reply(frame) => {
                drop(hub);
                self.outbox.reply(frame, 1, || {});
            }
            Effect::Readdress { from, to, reply } => {
                self.outbox.reply(reply, 2, || {
                    let mut routes = shared.change_routes();
                    routes.remove(*from);
                    routes.insert(*to, Arc::clone(&self.outbox));
                });
                self.vip = *to;
            }
            Effect::Auth { reply, .. } | Effect::Dismiss { exit: reply } => {
                drop(hub);
                self.outbox.reply(reply, 1, || {});
            }
            Effect::Administer { outcome, .. } => {
                let said = shared.carry_out(outcome, hub, Some(&self.outbox));
                self.outbox.reply(&text_frame(FrameType::ADMIN, &said), 1, || {});
            }
            Effect::Broadcast { message } => {
                drop(hub);
                let said = shared.broadcast(message, Some(&self.outbox));
                self.outbox.reply(&text_frame(FrameType::BCST, &said), 1, || {});
            }
            Effect::Nothing | Effect::Call { .. } | Effect::Log { .. } | Effect::Close { .. } => {}
        }
        effect
    }

    /// Gives vIP and route back while the last frames are still being written.
    pub(crate) fn leave(&self) {
        let mut hub = self.shared.hub();
        if let Some(vip) = hub.remove(self.id) {
            self.shared.change_routes().remove(vip);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
        self.outbox.close();
    }
}
