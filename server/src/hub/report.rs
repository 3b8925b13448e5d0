//! What the hub can tell of its sessions.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dosp_proto::label::Label;
use dosp_proto::message::ClientHash;
use dosp_proto::vip::Vip;

use super::{FrameCounters, Hub, Session, SessionId};

/// What the hub knows of itself.
#[derive(Debug, Clone)]
pub struct HubReport {
    /// All sessions that have a vIP, by vIP.
    pub sessions: Vec<SessionReport>,
    /// Frames from and to all sessions that there have been.
    pub num_frames: (u64, u64),
    /// Their bytes.
    pub num_bytes: (u64, u64),
    /// How many members there are, connected or not.
    pub num_members: usize,
    /// How many connections have not joined a closed hub yet.
    pub num_strangers: usize,
}

/// What the hub knows of a session.
#[derive(Debug, Clone)]
pub struct SessionReport {
    /// Which session it is.
    pub id: SessionId,
    /// Its vIP.
    pub vip: Vip,
    /// What the member is called whose session it is.
    pub name: Option<Label>,
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
    /// Their bytes.
    pub num_bytes: (u64, u64),
}

impl Hub {
    /// What there is to tell.
    #[must_use]
    pub fn report(&self, now: Instant) -> HubReport {
        let sessions = self.by_vip.values().filter_map(|id| Some((*id, self.sessions.get(id)?)));
        let report = |(id, session): (SessionId, &Session)| SessionReport {
            id,
            vip: session.vip.get(),
            name: self.name_of(session),
            addr: session.addr,
            is_admin: session.is_admin,
            hash: session.hash,
            uptime: session.uptime(now),
            num_frames: session.num_frames(),
            num_bytes: session.num_bytes(),
        };
        HubReport {
            sessions: sessions.map(report).collect(),
            num_frames: self.num_frames(),
            num_bytes: self.num_bytes(),
            num_members: self
                .members
                .as_ref()
                .map_or(0, |members| members.ledger.members().count()),
            num_strangers: self.num_strangers(),
        }
    }

    fn name_of(&self, session: &Session) -> Option<Label> {
        let shown = session.shown.as_ref().filter(|shown| shown.is_member)?;
        self.members.as_ref()?.ledger.by_key(&shown.key)?.name.clone()
    }

    /// Frames from and to all sessions that there have been.
    #[must_use]
    pub fn num_frames(&self) -> (u64, u64) {
        self.sessions.values().map(Session::num_frames).fold(self.num_past_frames, plus)
    }

    /// Bytes of these frames.
    fn num_bytes(&self) -> (u64, u64) {
        self.sessions.values().map(Session::num_bytes).fold(self.num_past_bytes, plus)
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
        let FrameCounters { rx, tx, .. } = &*self.counters;
        (rx.load(Ordering::Relaxed), tx.load(Ordering::Relaxed))
    }

    pub(super) fn num_bytes(&self) -> (u64, u64) {
        let FrameCounters { rx_bytes, tx_bytes, .. } = &*self.counters;
        (rx_bytes.load(Ordering::Relaxed), tx_bytes.load(Ordering::Relaxed))
    }
}

pub(super) const fn plus((rx, tx): (u64, u64), (more_rx, more_tx): (u64, u64)) -> (u64, u64) {
    (rx + more_rx, tx + more_tx)
}
