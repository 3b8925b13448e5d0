//! What the hub decides, without I/O: who gets in, who has which vIP, what a control frame causes.
//!
//! S2C frames never come here: a reader stamps them and looks the route up by itself. So nothing
//! in this module is on the hot path, and one lock around it is enough.

mod admin;
mod command;
mod directory;
mod effect;
mod handshakes;
mod members;
mod report;
mod sessions;
mod strangers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use dosp_proto::frame::{self, FrameType};
use dosp_proto::limit::TokenBucket;
use dosp_proto::message::{
    Aip, ClientHash, ClientList, ErrorCode, ErrorReport, Hsk, HskFlag, SessionInfo, VipAnswer,
    VipRequest,
};
use dosp_proto::vip::{Network, Vip};

use crate::vips::{TakeError, VipAllocator};
use admin::Admin;
pub use admin::{AdminAccess, AuthRefusal};
pub use command::Outcome;
use effect::{EXIT_BLOCKED, reply};
pub use effect::{EXIT_KICKED, Effect, exit_frame, text_frame, undeliverable_frame};
use members::Members;
pub use members::{Entering, JoinStep, Leaving, Told, Welcomed};
pub use report::{HubReport, SessionReport};
use sessions::Session;
pub use sessions::{Admitted, FrameCounters, Refused, SessionVip};

/// Messages to the hub that are logged per second; the rest is only counted.
const LOGGED_PER_SECOND: u32 = 10;
/// Bytes of a client's text that are logged, before escaping.
const MAX_LOGGED_LEN: usize = 200;

const NAME_NOT_UTF8: &[u8] = b"the name is not UTF-8";

/// Numbers the sessions of a hub, never twice the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The hub's state.
#[derive(Debug)]
pub struct Hub {
    network: Network,
    max_clients: usize,
    vips: VipAllocator,
    sessions: BTreeMap<SessionId, Session>,
    by_vip: BTreeMap<Vip, SessionId>,
    blocked: BTreeSet<Vip>,
    admin: Admin,
    members: Option<Members>,
    hsk: Hsk,
    /// Frames from and to sessions that have ended.
    num_past_frames: (u64, u64),
    /// Their bytes.
    num_past_bytes: (u64, u64),
    next_id: u64,
    log_limit: TokenBucket,
    num_suppressed: u64,
}

impl Hub {
    /// A hub without sessions.
    #[must_use]
    pub fn new(network: Network, max_clients: usize) -> Self {
        Self {
            network,
            max_clients,
            vips: VipAllocator::new(network),
            sessions: BTreeMap::new(),
            by_vip: BTreeMap::new(),
            blocked: BTreeSet::new(),
            admin: Admin::default(),
            members: None,
            hsk: Hsk::OURS,
            num_past_frames: (0, 0),
            num_past_bytes: (0, 0),
            next_id: 1,
            log_limit: TokenBucket::new(LOGGED_PER_SECOND, LOGGED_PER_SECOND),
            num_suppressed: 0,
        }
    }

    /// Lets some be administrators; without this nobody is.
    #[must_use]
    pub fn with_admin(mut self, access: AdminAccess) -> Self {
        self.admin.access = access;
        self
    }

    /// Announces that every body after the greeting is compressed, or that none is.
    #[must_use]
    pub fn with_compression(mut self, compression: bool) -> Self {
        self.hsk.flag = if compression { HskFlag::Compression } else { HskFlag::Space };
        self
    }

    /// Lets others be administrators than before; returns whether they are others. Then nobody is one any
    /// more who has not shown a token since.
    pub fn set_admin(&mut self, access: AdminAccess) -> bool {
        if self.admin.access == access {
            return false;
        }
        self.admin.access = access;
        for session in self.sessions.values_mut() {
            session.is_admin = false;
        }
        true
    }

    /// Takes so many sessions from now on; those that are there stay.
    pub fn set_max_clients(&mut self, max_clients: usize) {
        self.max_clients = max_clients;
    }

    /// The network that the vIPs come from.
    #[must_use]
    pub fn network(&self) -> Network {
        self.network
    }

    /// How many sessions have a place in the network.
    #[must_use]
    pub fn num_sessions(&self) -> usize {
        self.by_vip.len()
    }

    /// Whether one more line that anybody can cause may stand in the log now.
    pub fn may_log(&mut self, now: Instant) -> bool {
        self.log_limit.take(now)
    }

    /// The address that a session connected from.
    #[must_use]
    pub fn addr(&self, id: SessionId) -> Option<SocketAddr> {
        self.sessions.get(&id).map(|session| session.addr)
    }

    /// Handles any frame of a session but S2C. DATA for the hub's own vIP comes here as MSG.
    pub fn handle_control(
        &mut self,
        id: SessionId,
        frame_type: FrameType,
        body: &[u8],
        now: Instant,
    ) -> Effect {
        match frame_type {
            FrameType::MSG => self.handle_message(body, now),
            FrameType::PING => reply(|out| frame::encode(out, FrameType::PING, &[])),
            FrameType::FN => self.handle_call(id, body),
            FrameType::GCL => reply(|out| self.client_list().encode_to(out)),
            FrameType::RQIP => self.handle_vip_request(id, body),
            FrameType::GSI => self.handle_info_request(id, now),
            FrameType::AUTH => self.handle_auth(id, body, now),
            FrameType::ADMIN => self.handle_command(id, body, now),
            FrameType::BCST => self.handle_broadcast(id, body),
            // Of no use from who is no hub that this one knows, and never answered.
            FrameType::SD => Effect::Nothing,
            FrameType::CLIENT_INFO => self.handle_client_info(id, body),
            FrameType::EXIT => Effect::Close { code: loggable(body) },
            FrameType(other) => {
                reply(|out| ErrorReport::Code(ErrorCode::UNKNOWN_TYPE, &[other]).encode_to(out))
            }
        }
    }

    fn handle_message(&mut self, body: &[u8], now: Instant) -> Effect {
        if !self.log_limit.take(now) {
            self.num_suppressed += 1;
            return Effect::Nothing;
        }
        Effect::Log {
            text: loggable(body),
            message_len: body.len(),
            num_suppressed: std::mem::take(&mut self.num_suppressed),
        }
    }

    fn client_list(&self) -> ClientList {
        ClientList(self.by_vip.keys().copied().collect())
    }

    fn handle_call(&self, id: SessionId, body: &[u8]) -> Effect {
        let Ok(name) = std::str::from_utf8(body) else {
            let report = ErrorReport::Code(ErrorCode::FUNCTION_NOT_FOUND, NAME_NOT_UTF8);
            return reply(|out| report.encode_to(out));
        };
        Effect::Call { name: name.to_owned(), is_admin: self.is_admin(id) }
    }

    fn is_admin(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.is_admin)
    }

    fn handle_auth(&mut self, id: SessionId, body: &[u8], now: Instant) -> Effect {
        let Some(session) = self.sessions.get_mut(&id) else { return Effect::Nothing };
        let outcome = self.admin.check_token(session.addr, body, now);
        session.is_admin |= outcome.is_ok();
        let answer = if outcome.is_ok() { "OK" } else { "ERR:Invalid token" };
        Effect::Auth { reply: text_frame(FrameType::AUTH, answer), outcome }
    }

    fn handle_command(&mut self, id: SessionId, body: &[u8], now: Instant) -> Effect {
        if !self.is_admin(id) {
            let refusal = text_frame(FrameType::ADMIN, "ERR:Not authenticated as admin");
            return Effect::Reply(refusal);
        }
        let outcome = self.administer(&String::from_utf8_lossy(body), now);
        Effect::Administer { command: loggable(body), outcome }
    }

    fn handle_broadcast(&self, id: SessionId, body: &[u8]) -> Effect {
        if !self.is_admin(id) {
            return Effect::Reply(text_frame(FrameType::ERR, "ERR:Admin only"));
        }
        Effect::Broadcast { message: body.to_vec() }
    }

    /// Never answered: published clients would take an answer for that to something else.
    fn handle_client_info(&mut self, id: SessionId, body: &[u8]) -> Effect {
        let Some(session) = self.sessions.get_mut(&id) else { return Effect::Nothing };
        let Ok(hash) = ClientHash::decode(body) else { return Effect::Nothing };
        session.hash = Some(hash);
        if !self.admin.is_blocked(&hash) {
            return Effect::Nothing;
        }
        Effect::Dismiss { exit: exit_frame(EXIT_BLOCKED) }
    }

    /// Makes a vIP free again, unless it is blocked or a member's.
    fn release(&mut self, vip: Vip) {
        let holder = self.members.as_ref().map(|members| &members.ledger);
        if !self.blocked.contains(&vip) && !holder.is_some_and(|ledger| ledger.is_kept(vip)) {
            self.vips.release(vip);
        }
    }

    fn handle_vip_request(&mut self, id: SessionId, body: &[u8]) -> Effect {
        let Some(session) = self.sessions.get_mut(&id) else { return Effect::Nothing };
        let Ok(VipRequest(wanted)) = VipRequest::decode(body) else {
            return reply(|out| VipAnswer::UNUSABLE.encode_to(out));
        };
        if session.is_member() {
            return reply(|out| VipAnswer::UNUSABLE.encode_to(out));
        }
        let from = session.vip.get();
        if wanted != from {
            let is_blocked = self.blocked.contains(&wanted);
            match self.vips.take(wanted) {
                Ok(()) => {}
                Err(TakeError::InUse) if !is_blocked => {
                    return reply(|out| VipAnswer::IN_USE.encode_to(out));
                }
                Err(TakeError::Unusable | TakeError::InUse) => {
                    return reply(|out| VipAnswer::UNUSABLE.encode_to(out));
                }
            }
            session.vip.set(wanted);
            self.by_vip.remove(&from);
            self.by_vip.insert(wanted, id);
            self.release(from);
        }
        let mut reply = Vec::new();
        VipAnswer::Granted.encode_to(&mut reply);
        Aip(wanted).encode_to(&mut reply);
        Effect::Readdress { from, to: wanted, reply }
    }

    fn handle_info_request(&self, id: SessionId, now: Instant) -> Effect {
        let Some(session) = self.sessions.get(&id) else { return Effect::Nothing };
        let (rx_frames, tx_frames) = session.num_frames();
        let info = SessionInfo {
            vip: session.vip.get(),
            network: self.network,
            uptime_s: session.uptime(now).as_secs(),
            rx_frames,
            tx_frames,
            admin: session.is_admin,
        };
        reply(|out| info.encode_to(out))
    }
}

/// The beginning of a client's text, such that it can do nothing to a terminal or a log.
pub(crate) fn loggable(text: &[u8]) -> String {
    let prefix = text.get(..MAX_LOGGED_LEN).unwrap_or(text);
    String::from_utf8_lossy(prefix).escape_debug().to_string()
}

#[cfg(test)]
mod tests;
