//! What a command asks of the hub itself: GCL, FN and GSI.
//!
//! Hubs answer in the order in which they were asked, or not at all. So the oldest request that an
//! answer fits is the one that it answers; one that has run out of time keeps its place, for the
//! answer that may still come. Only functions may overtake each other, so one is called at a time.

use std::time::{Duration, Instant};

use dosp_proto::frame::FrameType;
use dosp_proto::message::{
    ClientList, ErrorCode, ErrorReport, HskFlag, MalformedBody, SessionInfo,
};
use dosp_proto::vip::Vip;

use super::inbound::words;
use super::{Engine, Event, Ticket};

/// How long the hub may take for an answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a function of a hub of ours may run, and a little more.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(305);
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
    #[error("the hub did not answer within {} s", after.as_secs())]
    TimedOut {
        /// How long it could have.
        after: Duration,
    },
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
    timeout: Duration,
    /// The function to call, as long as it is not yet its turn.
    waiting: Option<String>,
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
        let frame_type = request.frame_type();
        let is_ours = self.hub.flag == HskFlag::Space;
        let (waiting, timeout) = match request {
            HubRequest::Call(name) if is_ours => (Some(name.clone()), CALL_TIMEOUT),
            HubRequest::Call(name) => (Some(name.clone()), ANSWER_TIMEOUT),
            HubRequest::Clients | HubRequest::Info => {
                self.tell_hub(frame_type, &[]);
                (None, ANSWER_TIMEOUT)
            }
        };
        let (ticket, until) = (Some(ticket), now + timeout);
        self.asked.push_back(Asked { frame_type, ticket, until, timeout, waiting });
        self.call_next();
        Ok(())
    }

    /// Calls the next function, unless one has not answered yet.
    fn call_next(&mut self) {
        let mut calls = self.asked.iter_mut().filter(|asked| asked.frame_type == FrameType::FN);
        if let Some(name) = calls.next().and_then(|asked| asked.waiting.take()) {
            self.tell_hub(FrameType::FN, name.as_bytes());
        }
    }

    /// When the first request that somebody waits for runs out of time.
    pub(super) fn answer_timeout(&self) -> Option<Instant> {
        let waited_for = self.asked.iter().filter(|asked| asked.ticket.is_some());
        waited_for.map(|asked| asked.until).min()
    }

    pub(super) fn give_up_requests(&mut self, now: Instant) {
        for asked in self.asked.iter_mut().filter(|asked| asked.until <= now) {
            let failed = RequestError::TimedOut { after: asked.timeout };
            let ticket = asked.ticket.take();
            self.events.extend(ticket.map(|ticket| Event::HubAnswered(ticket, Err(failed))));
        }
        // What was never asked has no answer that could still come.
        self.asked.retain(|asked| asked.ticket.is_some() || asked.waiting.is_none());
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
        let is_asked = |asked: &Asked| asked.waiting.is_none() && is_meant(asked.frame_type);
        let at = self.asked.iter().position(is_asked);
        let Some(asked) = at.and_then(|at| self.asked.remove(at)) else { return false };
        let answered = asked.ticket.map(|ticket| Event::HubAnswered(ticket, answer));
        self.events.extend(answered);
        self.call_next();
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
