//! What a command asks of the hub itself: GCL, FN and GSI.
//!
//! Hubs answer in the order in which they were asked, or not at all. So the oldest request that an
//! answer fits is the one that it answers; one that has run out of time keeps its place, for the
//! answer that may still come.

use std::time::{Duration, Instant};

use dosp_proto::frame::{self, FrameType};
use dosp_proto::message::{
    ClientList, ErrorCode, ErrorReport, HskFlag, MalformedBody, SessionInfo,
};
use dosp_proto::vip::Vip;

use super::inbound::words;
use super::{Engine, Event, Ticket};

/// How long the hub may take for an answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests without an answer yet, those that ran out of time included.
const MAX_REQUESTS: usize = 64;

/// What a command asks of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubRequest {
    /// The vIPs of all clients.
    Clients,
    /// What the function of this name returns.
    Call(String),
    /// What the hub knows of this session.
    Info,
}

impl HubRequest {
    const fn frame_type(&self) -> FrameType {
        match self {
            Self::Clients => FrameType::GCL,
            Self::Call(_) => FrameType::FN,
            Self::Info => FrameType::GSI,
        }
    }
}

/// What the hub answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubAnswer {
    /// To [`HubRequest::Clients`], ascending.
    Clients(Vec<Vip>),
    /// To [`HubRequest::Call`].
    Returned(Vec<u8>),
    /// To [`HubRequest::Info`].
    Info(SessionInfo),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no connection to a hub.
    #[error("not connected to a hub")]
    NotConnected,
    /// Too many requests have no answer yet.
    #[error("too many requests wait for the hub")]
    Busy,
    /// Published hubs answer GSI with an error, or close the session.
    #[error("this hub gives no session information: only dosp-server does")]
    NoInfo,
    /// The hub says no, in its own words.
    #[error("the hub says: {0}")]
    Refused(String),
    /// The hub says something else.
    #[error("the hub's answer cannot be read")]
    Malformed(#[from] MalformedBody),
    /// The hub says nothing.
    #[error("the hub did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    TimedOut,
    /// The connection to the hub ended first.
    #[error("the connection to the hub was lost")]
    LinkLost,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Asked {
    frame_type: FrameType,
    /// Whose it is; `None` once it has run out of time.
    ticket: Option<Ticket>,
    until: Instant,
}

impl Engine {
    /// Asks the hub; the answer comes as an event with `ticket`.
    ///
    /// # Errors
    /// Why the hub was not even asked; no event follows then.
    pub fn ask_hub(
        &mut self,
        ticket: Ticket,
        request: &HubRequest,
        now: Instant,
    ) -> Result<(), RequestError> {
        if !self.linked {
            return Err(RequestError::NotConnected);
        }
        if *request == HubRequest::Info && self.hub.flag != HskFlag::Space {
            return Err(RequestError::NoInfo);
        }
        if self.asked.len() >= MAX_REQUESTS {
            return Err(RequestError::Busy);
        }
        let body = match request {
            HubRequest::Call(name) => name.as_bytes(),
            HubRequest::Clients | HubRequest::Info => &[],
        };
        let frame_type = request.frame_type();
        frame::encode(&mut self.control, frame_type, body);
        let until = now + ANSWER_TIMEOUT;
        self.asked.push_back(Asked { frame_type, ticket: Some(ticket), until });
        Ok(())
    }

    /// When the oldest request that somebody waits for runs out of time.
    pub(super) fn answer_timeout(&self) -> Option<Instant> {
        self.asked.iter().find(|asked| asked.ticket.is_some()).map(|asked| asked.until)
    }

    pub(super) fn give_up_requests(&mut self, now: Instant) {
        for asked in self.asked.iter_mut().filter(|asked| asked.until <= now) {
            let ticket = asked.ticket.take();
            let failed =
                ticket.map(|ticket| Event::HubAnswered(ticket, Err(RequestError::TimedOut)));
            self.events.extend(failed);
        }
    }

    pub(super) fn lose_requests(&mut self) {
        let tickets = self.asked.drain(..).filter_map(|asked| asked.ticket);
        let lost = |ticket| Event::HubAnswered(ticket, Err(RequestError::LinkLost));
        self.events.extend(tickets.map(lost));
    }

    /// Takes an answer; `false` where nobody asked for it.
    pub(super) fn handle_answer(&mut self, frame_type: FrameType, body: &[u8]) -> bool {
        let (asked, answer) = match frame_type {
            FrameType::SA => (FrameType::FN, Ok(HubAnswer::Returned(body.to_vec()))),
            FrameType::GCL => (FrameType::GCL, ClientList::decode(body).map(sorted)),
            FrameType::GSI => (FrameType::GSI, SessionInfo::decode(body).map(HubAnswer::Info)),
            _ => return false,
        };
        self.finish_request(|kind| kind == asked, answer.map_err(RequestError::from))
    }

    /// Takes an ERR for the answer to the request that it can be meant for; `false` where there is
    /// none.
    pub(super) fn handle_refused_request(&mut self, report: ErrorReport<'_>) -> bool {
        let refused = Err(RequestError::Refused(describe(report)));
        match report {
            ErrorReport::Code(ErrorCode::UNKNOWN_TYPE, [unknown, ..]) => {
                self.finish_request(|kind| kind.0 == *unknown, refused)
            }
            ErrorReport::Code(ErrorCode::FUNCTION_NOT_FOUND | ErrorCode::FUNCTION_FAILED, _) => {
                self.finish_request(|kind| kind == FrameType::FN, refused)
            }
            // Published hubs name neither the type nor the function.
            ErrorReport::Code(ErrorCode::UNKNOWN_TYPE, []) | ErrorReport::Text(_) => {
                self.finish_request(|_| true, refused)
            }
            ErrorReport::Code(..) | ErrorReport::Undeliverable { .. } => false,
        }
    }

    fn finish_request(
        &mut self,
        is_meant: impl Fn(FrameType) -> bool,
        answer: Result<HubAnswer, RequestError>,
    ) -> bool {
        let at = self.asked.iter().position(|asked| is_meant(asked.frame_type));
        let Some(asked) = at.and_then(|at| self.asked.remove(at)) else { return false };
        let answered = asked.ticket.map(|ticket| Event::HubAnswered(ticket, answer));
        self.events.extend(answered);
        true
    }
}

fn sorted(mut clients: ClientList) -> HubAnswer {
    clients.0.sort_unstable();
    HubAnswer::Clients(clients.0)
}

/// An ERR in words, safe to print and bounded.
pub(super) fn describe(report: ErrorReport<'_>) -> String {
    let (what, detail) = match report {
        ErrorReport::Undeliverable { dst, reason } => {
            return format!("no way to {dst}: {}", words(reason));
        }
        ErrorReport::Text(text) => return words(text),
        ErrorReport::Code(ErrorCode::UNKNOWN_TYPE, [unknown, ..]) => {
            return format!("it does not know {}", FrameType(*unknown));
        }
        ErrorReport::Code(code, detail) => (name(code), String::from_utf8_lossy(detail)),
    };
    if detail.is_empty() { what } else { format!("{what}: {}", words(&detail)) }
}

/// What a code of `docs/protocol.md` § 5 means.
fn name(code: ErrorCode) -> String {
    let name = match code.0 {
        0x01 => "function not found",
        0x02 => "the function failed",
        0x03 => "a message could not be delivered",
        0x04 => "the vIP was not given",
        0x05 => "the advertisement was not taken",
        0x06 => "there is no client list",
        0x07 => "no vIP could be assigned",
        0x08 => "the handshake failed",
        0x09 => "it does not know this request",
        other => return format!("error 0x{other:02x}"),
    };
    name.to_owned()
}
