//! A running hub, for those on its machine who look after it.

mod peers;
mod reload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tracing::info;

use crate::control::wire::{Reply, SessionStatus, Status};
use crate::hub::{HubReport, SessionReport};
use crate::members::command::MembersRequest;
use crate::members::snapshot::Snapshot;
use crate::state::Shared;

/// Answers about a hub and administers it.
#[derive(Debug, Clone)]
pub struct HubHandle {
    shared: Arc<Shared>,
    local_addrs: Vec<SocketAddr>,
}

impl HubHandle {
    pub(crate) fn new(shared: Arc<Shared>, local_addrs: Vec<SocketAddr>) -> Self {
        Self { shared, local_addrs }
    }

    /// What the hub is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let HubReport { sessions, num_frames, num_bytes, num_members, num_strangers } =
            self.shared.report(Instant::now());
        let identity = self.shared.membership.as_ref().map(|membership| &membership.identity);
        Status {
            schema: "dosp.hub-status/1".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.shared.name.clone(),
            network: self.shared.network,
            listen: self.local_addrs.clone(),
            up_for_ns: nanos(self.shared.functions.uptime()),
            compression: self.shared.compression,
            rx_frames: num_frames.0,
            tx_frames: num_frames.1,
            rx_bytes: num_bytes.0,
            tx_bytes: num_bytes.1,
            sessions_cut: self.shared.num_cut.load(Ordering::Relaxed),
            dropped: self.shared.drops.get().by_name().collect(),
            fingerprint: identity.map(|identity| identity.public().fingerprint().to_string()),
            closed: self.shared.is_closed(),
            members: num_members,
            strangers: num_strangers,
            tasks: Handle::try_current().map_or(0, |own| own.metrics().num_alive_tasks()),
            sessions: sessions.into_iter().map(|session| self.session(session)).collect(),
        }
    }

    fn session(&self, session: SessionReport) -> SessionStatus {
        let outbox = self.shared.outbox(session.id);
        let path = outbox.as_ref().map(|outbox| outbox.path()).unwrap_or_default();
        SessionStatus {
            vip: session.vip,
            name: session.name,
            addr: session.addr,
            admin: session.is_admin,
            hash: session.hash.map(|hash| hash.to_string()),
            up_for_ns: nanos(session.uptime),
            rx_frames: session.num_frames.0,
            tx_frames: session.num_frames.1,
            rx_bytes: session.num_bytes.0,
            tx_bytes: session.num_bytes.1,
            queued_bytes: outbox.map_or(0, |outbox| outbox.len() as u64),
            congestion: Some(path.congestion).filter(|name| !name.is_empty()),
            rtt_ns: Some(path.rtt).filter(|rtt| !rtt.is_zero()).map(nanos),
            delivery_rate: path.delivery_rate,
        }
    }

    /// Does what an administrator says; returns what ADMIN would answer.
    #[must_use]
    pub fn administer(&self, line: &str) -> String {
        info!(command = crate::hub::loggable(line.as_bytes()), "administered by a local user");
        self.shared.administer(line)
    }

    /// Answers a request about members.
    pub async fn members(&self, request: MembersRequest) -> Reply {
        match self.shared.manage(request).await {
            Ok(reply) => Reply::Members(reply),
            Err(error) => Reply::Failed { why: error.to_string() },
        }
    }

    /// All that is stored of the members.
    pub async fn snapshot(&self) -> Reply {
        let Some(membership) = &self.shared.membership else {
            return Reply::Failed {
                why: "this hub keeps nothing: it has no state folder".to_owned(),
            };
        };
        match membership.keeper.rows().await {
            Ok(rows) => Reply::Snapshot {
                hub: *membership.identity.public(),
                stored: Box::new(Snapshot::of(rows)),
            },
            Err(error) => Reply::Failed { why: error.to_string() },
        }
    }
}

/// Whole nanoseconds; 584 years at the most.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
