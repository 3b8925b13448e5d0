//! What a control frame causes, and the frames that only the hub makes.

use dosp_proto::frame::{self, FrameType};
use dosp_proto::message::ErrorReport;
use dosp_proto::vip::Vip;

use super::{AuthRefusal, Outcome};

/// What a control frame causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing at all.
    Nothing,
    /// One whole frame for the session itself.
    Reply(Vec<u8>),
    /// The session has another vIP: frames to `from` are no longer for it, frames to `to` are, as
    /// soon as the two frames of `reply` are queued for it.
    Readdress {
        /// The vIP it had.
        from: Vip,
        /// The vIP it has.
        to: Vip,
        /// RQIP and AIP, to be queued in one piece.
        reply: Vec<u8>,
    },
    /// A function is to be called.
    Call {
        /// Which one.
        name: String,
        /// Whether an administrator calls it.
        is_admin: bool,
    },
    /// A client wants to be an administrator.
    Auth {
        /// AUTH with the answer.
        reply: Vec<u8>,
        /// Whether it is one now.
        outcome: Result<(), AuthRefusal>,
    },
    /// An administrator has given a command.
    Administer {
        /// The command, without control characters.
        command: String,
        /// What it causes; the answer is an ADMIN frame.
        outcome: Outcome,
    },
    /// A message is to be sent to every other client, and the answer is BCST.
    Broadcast {
        /// The message.
        message: Vec<u8>,
    },
    /// The session ends with this frame.
    Dismiss {
        /// EXIT with the reason.
        exit: Vec<u8>,
    },
    /// A message for the hub's log.
    Log {
        /// Its beginning, without control characters.
        text: String,
        /// How many bytes it has.
        message_len: usize,
        /// How many messages before it were not logged, because there were too many.
        num_suppressed: u64,
    },
    /// The client leaves.
    Close {
        /// What it said, without control characters.
        code: String,
    },
}

/// EXIT of a client that an administrator has ended, word for word as published hubs say it.
pub const EXIT_KICKED: &str = "Disconnected by admin";
/// EXIT of a client whose hash is banned or not on the whitelist, likewise.
pub(super) const EXIT_BLOCKED: &str = "Your client hash is blocked";

/// A frame with a text.
#[must_use]
pub fn text_frame(frame_type: FrameType, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(&mut out, frame_type, text.as_bytes());
    out
}

/// EXIT with a reason.
#[must_use]
pub fn exit_frame(reason: &str) -> Vec<u8> {
    text_frame(FrameType::EXIT, reason)
}

/// ERR for an S2C frame that was dropped.
#[must_use]
pub fn undeliverable_frame(dst: Vip, reason: &str) -> Vec<u8> {
    let mut out = Vec::new();
    ErrorReport::Undeliverable { dst, reason }.encode_to(&mut out);
    out
}

pub(super) fn reply(encode: impl FnOnce(&mut Vec<u8>)) -> Effect {
    let mut out = Vec::new();
    encode(&mut out);
    Effect::Reply(out)
}
