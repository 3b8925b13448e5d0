//! What the hub says to one session, sealed where that is a member's.

use dosp_proto::frame::{FrameType, HEADER_LEN};
use dosp_proto::member::{Control, Gone, GoneReason};
use dosp_proto::vip::Vip;

use crate::hub::{Hub, SessionId, undeliverable_frame};

impl Hub {
    /// Seals something for a session that has shown a key. To be queued before the next thing is sealed.
    pub fn seal(&mut self, id: SessionId, word: &Control) -> Option<Vec<u8>> {
        let shown = self.sessions.get_mut(&id)?.shown.as_mut()?;
        let mut frame = Vec::new();
        shown.sealer.seal(word, &mut frame);
        Some(frame)
    }

    /// A frame of the hub as it is sent to this session: sealed where it is a member's, but for PING
    /// and EXIT.
    pub fn wrap(&mut self, id: SessionId, frame: Vec<u8>) -> Vec<u8> {
        let Some((header, body)) = frame.split_at_checked(HEADER_LEN) else { return frame };
        let frame_type = FrameType(header.first().copied().unwrap_or_default());
        if matches!(frame_type, FrameType::PING | FrameType::EXIT) || !self.is_member(id) {
            return frame;
        }
        let sealed = self.seal(id, &Control::Frame(frame_type, body.to_vec()));
        sealed.unwrap_or(frame)
    }

    /// Tells a client that what it sent to `vip` went nowhere.
    pub fn gone(&mut self, id: SessionId, vip: Vip, why: GoneReason) -> Vec<u8> {
        let sealed = self.is_member(id).then(|| self.seal(id, &Control::Gone(Gone::new(vip, why))));
        sealed.flatten().unwrap_or_else(|| undeliverable_frame(vip, in_words(why)))
    }

    /// Why a frame for `vip`, which no client has, goes nowhere.
    #[must_use]
    pub fn why_missing(&self, vip: Vip) -> GoneReason {
        let holder = self.members.as_ref().and_then(|members| members.ledger.by_vip(vip));
        if holder.is_some() { GoneReason::Offline } else { GoneReason::Unknown }
    }
}

/// As plain clients are told.
const fn in_words(why: GoneReason) -> &'static str {
    match why {
        GoneReason::Offline => "the client left",
        GoneReason::Unreachable => "no way leads to its hub now",
        GoneReason::TooLong => "it is longer than a hub on the way takes",
        GoneReason::Unknown => "no such client",
    }
}
