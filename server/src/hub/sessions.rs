//! Sessions: how they begin, which vIP they have, how they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use dosp_proto::message::{ClientHash, EXIT_SERVER_FULL, encode_greeting};
use dosp_proto::vip::Vip;

use super::admin::source_of;
use super::members::Shown;
use super::report::plus;
use super::{Hub, SessionId, exit_frame};
use crate::members::record::Row;

/// Frames from and to a session, and their bytes before compression. Its reader and writer count, the
/// hub reads.
#[derive(Debug, Default)]
pub struct FrameCounters {
    /// Frames that the hub got from the session.
    pub rx: AtomicU64,
    /// Frames that the hub sent to the session.
    pub tx: AtomicU64,
    /// Bytes of the frames that it got.
    pub rx_bytes: AtomicU64,
    /// Bytes of those that it sent.
    pub tx_bytes: AtomicU64,
}

/// The vIP of a session, which only the hub changes and its reader stamps on every frame.
#[derive(Debug)]
pub struct SessionVip(AtomicU32);

impl SessionVip {
    /// The vIP now; [`Vip::NONE`] where there is none yet.
    #[must_use]
    pub fn get(&self) -> Vip {
        Vip::from(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, vip: Vip) {
        self.0.store(vip.into(), Ordering::Relaxed);
    }
}

/// A new session.
#[derive(Debug)]
pub struct Admitted {
    /// Its number.
    pub id: SessionId,
    /// Its vIP; none yet on a closed hub.
    pub vip: Arc<SessionVip>,
    /// AIP and HSK: to be queued in one piece before anything is routed to `vip`.
    pub greeting: Vec<u8>,
    /// Who has to give way to it: a connection that has not joined.
    pub evicted: Option<SessionId>,
    /// To be counted in by whoever moves its frames.
    pub counters: Arc<FrameCounters>,
}

/// Why there is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many sessions as the configuration allows.
    #[error("max_clients is reached")]
    TooManyClients,
    /// The network is too small.
    #[error("every vIP is taken")]
    NoVipLeft,
}

impl Refused {
    /// EXIT, to be sent before the connection is closed.
    #[must_use]
    pub fn exit_frame(self) -> Vec<u8> {
        exit_frame(EXIT_SERVER_FULL)
    }
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) vip: Arc<SessionVip>,
    pub(super) addr: SocketAddr,
    pub(super) admitted_at: Instant,
    pub(super) is_admin: bool,
    pub(super) hash: Option<ClientHash>,
    pub(super) counters: Arc<FrameCounters>,
    pub(super) shown: Option<Shown>,
}

impl Hub {
    /// Opens a session for a client at `addr`, with the lowest free vIP.
    ///
    /// # Errors
    /// Where there is no place left. Nothing changes then.
    pub fn admit(&mut self, addr: SocketAddr, now: Instant) -> Result<Admitted, Refused> {
        let is_closed = self.is_closed();
        let vip = if is_closed { Vip::NONE } else { self.vip_for_client()? };
        let id = SessionId(self.next_id);
        self.next_id += 1;
        let source = source_of(addr.ip().to_canonical());
        let members = self.members.as_mut().filter(|_| is_closed);
        let evicted = members.and_then(|members| members.strangers.admit(source, id));
        let session_vip = Arc::new(SessionVip(AtomicU32::new(vip.into())));
        let counters = Arc::new(FrameCounters::default());
        let session = Session {
            vip: Arc::clone(&session_vip),
            addr,
            admitted_at: now,
            is_admin: false,
            hash: None,
            counters: Arc::clone(&counters),
            shown: None,
        };
        self.sessions.insert(id, session);
        if vip != Vip::NONE {
            self.by_vip.insert(vip, id);
        }
        let greeting = encode_greeting(vip, self.hsk);
        Ok(Admitted { id, vip: session_vip, greeting, evicted, counters })
    }

    /// A vIP for a client that has shown no key. Where there are members they have the other half.
    fn vip_for_client(&mut self) -> Result<Vip, Refused> {
        if self.sessions.len() >= self.max_clients {
            return Err(Refused::TooManyClients);
        }
        if let Some(members) = &self.members {
            // A session may be gone whose join is still being stored.
            let num_others = self.sessions.len().saturating_sub(members.num_online());
            if num_others >= self.network.assignable().len() / 2 {
                return Err(Refused::NoVipLeft);
            }
        }
        self.vips.take_lowest().ok_or(Refused::NoVipLeft)
    }

    /// Ends a session and frees its vIP, which is returned with what is to be stored, some time. `now`
    /// is in Unix seconds. `None` where it has ended before.
    pub fn remove(&mut self, id: SessionId, now: u64) -> Option<(Vip, Vec<Row>)> {
        let session = self.sessions.remove(&id)?;
        let vip = session.vip.get();
        if let Some(members) = &mut self.members {
            members.strangers.remove(id);
        }
        let rows = session.shown.as_ref().map(|shown| self.part(id, shown, now));
        if self.by_vip.get(&vip) == Some(&id) {
            self.by_vip.remove(&vip);
            self.release(vip);
        }
        self.num_past_frames = plus(self.num_past_frames, session.num_frames());
        self.num_past_bytes = plus(self.num_past_bytes, session.num_bytes());
        Some((vip, rows.unwrap_or_default()))
    }

    /// The session that has a vIP.
    #[must_use]
    pub fn session_at(&self, vip: Vip) -> Option<SessionId> {
        self.by_vip.get(&vip).copied()
    }
}
