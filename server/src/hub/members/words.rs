//! What the hub says to one session, sealed where that is a member's.

use dosp_proto::frame::{FrameType, HEADER_LEN};
use dosp_proto::member::{Control, Gone, GoneReason};
use dosp_proto::vip::Vip;

use crate::hub::{Hub, SessionId};

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

    /// Tells a member that what it sent to `vip` went nowhere; `None` where the session is none.
    pub fn gone(&mut self, id: SessionId, vip: Vip) -> Option<Vec<u8>> {
        let is_known = self.members.as_ref()?.ledger.by_vip(vip).is_some();
        let why = if is_known { GoneReason::Offline } else { GoneReason::Unknown };
        if !self.is_member(id) {
            return None;
        }
        self.seal(id, &Control::Gone(Gone::new(vip, why)))
    }
}
