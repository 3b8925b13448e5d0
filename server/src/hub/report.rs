//! What the hub can tell of its sessions.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dosp_proto::message::ClientHash;
use dosp_proto::vip::Vip;

use super::{FrameCounters, Hub, Session};

/// What the hub knows of a session.
#[derive(Debug, Clone)]
pub struct SessionReport {
    /// Its vIP.
    pub vip: Vip,
    /// Where it connected from.
    pub addr: SocketAddr,
    /// Whether it may administer the hub.
    pub is_admin: bool,
    /// The hash that it says is its own.
    pub hash: Option<ClientHash>,
    /// How long it has been there.
    pub uptime: Duration,
    /// Frames from it and to it.
    pub num_frames: (u64, u64),
}

impl Hub {
    /// All sessions, by vIP.
    #[must_use]
    pub fn report(&self, now: Instant) -> Vec<SessionReport> {
        let sessions = self.by_vip.values().filter_map(|id| self.sessions.get(id));
        let report = |session: &Session| SessionReport {
            vip: session.vip.get(),
            addr: session.addr,
            is_admin: session.is_admin,
            hash: session.hash,
            uptime: session.uptime(now),
            num_frames: session.num_frames(),
        };
        sessions.map(report).collect()
    }

    /// Frames from and to all sessions that there have been.
    #[must_use]
    pub fn num_frames(&self) -> (u64, u64) {
        let num_frames = self.sessions.values().map(Session::num_frames);
        num_frames
            .fold(self.num_past_frames, |(rx, tx), (more_rx, more_tx)| (rx + more_rx, tx + more_tx))
    }
}

impl Session {
    pub(super) fn uptime(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.admitted_at)
    }

    pub(super) fn is_member(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.is_member)
    }

    pub(super) fn num_frames(&self) -> (u64, u64) {
        let FrameCounters { rx, tx } = &*self.counters;
        (rx.load(Ordering::Relaxed), tx.load(Ordering::Relaxed))
    }
}
