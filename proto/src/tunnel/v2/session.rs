//! Keys and counters of one session.
//!
//! ```text
//! [0xD2] [flow u16] [receiver u32] [counter u64] [AES-256-GCM( [kind u8] [content] )] [tag 16]
//!        nonce = 0^32 ‖ counter; the 15 bytes in front of the ciphertext are authenticated
//! ```
//!
//! Each direction has a key and a counter of its own, so frames may be lost, doubled and reordered,
//! and none of ours can come back as the peer's. A frame is authenticated first; only then does its
//! counter move the replay window.

use std::hash::Hasher;
use std::time::{Duration, Instant};

use rand::CryptoRng;
use siphasher::sip::SipHasher13;

use super::Kind;
use super::payload::Introduction;
use super::wire::{HEADER_LEN, Header, OVERHEAD_LEN};
use crate::aead::{Aead, TAG_LEN};
use crate::buffer::PacketBuf;
use crate::noise::Keys;
use crate::packet::FlowId;
use crate::replay::{ReplayWindow, Stale};

/// Who opened a session makes a new one when it is so old and something is sent …
pub(super) const REKEY_AFTER: Duration = Duration::from_secs(120);
/// … or received, at this age: late enough not to meet the peer's own opening.
pub(super) const REKEY_AFTER_ON_RECEIVE: Duration = Duration::from_secs(165);
/// Nothing is sent or taken in an older session, and its keys are erased.
pub(super) const MAX_AGE: Duration = Duration::from_secs(180);
/// Either side makes a new session after so many frames …
const REKEY_AFTER_FRAMES: u64 = 1 << 30;
/// … or so many sealed bytes.
const REKEY_AFTER_LEN: u64 = 1 << 40;
/// No counter reaches this.
const MAX_FRAMES: u64 = 1 << 31;
/// What is not a flow of IP: a hub must not drop it.
const NO_FLOW: u16 = 0;

/// Why DATA is no frame of a session. The session is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no session with its index, or not with its sender.
    #[error("frame of a session that is not there")]
    NoSession,
    /// The session is too old, or the counter beyond its end.
    #[error("frame of a session that has ended")]
    Ended,
    /// Further behind than the replay window reaches.
    #[error("frame comes too late")]
    TooOld,
    /// A frame with this counter was taken.
    #[error("frame was seen before")]
    Repeated,
    /// The tag is wrong.
    #[error("frame does not verify")]
    Forged,
    /// Verified, and of a kind that we never said we take.
    #[error("frame of an unknown kind")]
    UnknownKind,
}

/// Whose handshake made the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Initiator,
    Responder,
}

pub(super) struct Session {
    role: Role,
    /// The index that the peer puts into its frames.
    pub(super) local_index: u32,
    pub(super) remote_index: u32,
    sealer: Aead,
    opener: Aead,
    next_counter: u64,
    sealed_len: u64,
    window: ReplayWindow,
    /// Whether we said in its handshake that we take them.
    takes_super_packets: bool,
    /// Makes flow labels that tell a hub nothing but which frames belong together.
    flow_key: [u8; 16],
    pub(super) created_at: Instant,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("role", &self.role)
            .field("local_index", &self.local_index)
            .field("next_counter", &self.next_counter)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// `ours` is what this side says of itself in the handshake.
    pub(super) fn new(
        role: Role,
        (local_index, remote_index): (u32, u32),
        keys: &Keys,
        ours: &Introduction,
        now: Instant,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let mut flow_key = [0; 16];
        rng.fill_bytes(&mut flow_key);
        Self {
            role,
            local_index,
            remote_index,
            sealer: Aead::new(&keys.seal),
            opener: Aead::new(&keys.open),
            next_counter: 0,
            sealed_len: 0,
            window: ReplayWindow::new(),
            takes_super_packets: ours.takes(Kind::SuperPacket),
            flow_key,
            created_at: now,
        }
    }

    /// Seals the content of `buffer` where it is. `false`, and nothing is done, where the session
    /// has ended.
    pub(super) fn seal(
        &mut self,
        kind: Kind,
        flow: Option<FlowId>,
        buffer: &mut PacketBuf,
        now: Instant,
    ) -> bool {
        let flow = flow.map_or(NO_FLOW, |flow| self.flow_label(flow));
        self.seal_kind(kind.byte(), flow, buffer, now)
    }

    pub(super) fn seal_kind(
        &mut self,
        kind: u8,
        flow: u16,
        buffer: &mut PacketBuf,
        now: Instant,
    ) -> bool {
        if self.has_ended(now) || self.next_counter >= MAX_FRAMES {
            return false;
        }
        let header = Header { flow, receiver: self.remote_index, counter: self.next_counter };
        let header = header.encode();
        buffer.prepend(&[kind]);
        let tag = self.sealer.seal_in_place(self.next_counter, &header, buffer.content_mut());
        let Some(tag) = tag else {
            buffer.advance(1);
            return false;
        };
        buffer.append(&tag);
        buffer.prepend(&header);
        self.next_counter += 1;
        self.sealed_len += buffer.len() as u64;
        true
    }

    /// Opens a frame where it is. One that does not verify is overwritten: nothing of it can be read.
    pub(super) fn open<'b>(
        &mut self,
        data: &'b mut [u8],
        now: Instant,
    ) -> Result<(Kind, &'b mut [u8]), OpenError> {
        let Some((header_bytes, sealed)) = data.split_first_chunk_mut::<HEADER_LEN>() else {
            return Err(OpenError::Forged);
        };
        let Some((ciphertext, tag)) = sealed.split_last_chunk_mut::<TAG_LEN>() else {
            return Err(OpenError::Forged);
        };
        let counter = Header::decode(header_bytes).counter;
        if self.has_ended(now) || counter >= MAX_FRAMES {
            return Err(OpenError::Ended);
        }
        self.window.check(counter).map_err(|stale| match stale {
            Stale::TooOld => OpenError::TooOld,
            Stale::Repeated => OpenError::Repeated,
        })?;
        if !self.opener.open_in_place(counter, header_bytes, ciphertext, tag) {
            return Err(OpenError::Forged);
        }
        self.window.mark(counter);
        let (kind, content) = ciphertext.split_first_mut().ok_or(OpenError::UnknownKind)?;
        let kind = Kind::from_byte(*kind).ok_or(OpenError::UnknownKind)?;
        if kind == Kind::SuperPacket && !self.takes_super_packets {
            return Err(OpenError::UnknownKind);
        }
        Ok((kind, content))
    }

    pub(super) fn has_ended(&self, now: Instant) -> bool {
        now.duration_since(self.created_at) >= MAX_AGE
    }

    /// Whether something that is sent now is to make a new session.
    pub(super) fn wants_rekey_on_send(&self, now: Instant) -> bool {
        self.is_worn() || self.is_older(REKEY_AFTER, now)
    }

    /// Whether something that came now is to make a new session.
    pub(super) fn wants_rekey_on_receive(&self, now: Instant) -> bool {
        self.is_worn() || self.is_older(REKEY_AFTER_ON_RECEIVE, now)
    }

    /// By time only the initiator rekeys, so that the two sides do not meet.
    fn is_older(&self, age: Duration, now: Instant) -> bool {
        self.role == Role::Initiator && now.duration_since(self.created_at) >= age
    }

    fn is_worn(&self) -> bool {
        self.next_counter >= REKEY_AFTER_FRAMES || self.sealed_len >= REKEY_AFTER_LEN
    }

    /// Never [`NO_FLOW`].
    fn flow_label(&self, flow: FlowId) -> u16 {
        let mut hasher = SipHasher13::new_with_key(&self.flow_key);
        hasher.write(flow.as_bytes());
        let [high, low, ..] = hasher.finish().to_be_bytes();
        u16::from_be_bytes([high, low]).max(NO_FLOW + 1)
    }

    /// A session as if it had sent so many frames.
    #[cfg(test)]
    pub(super) fn skip_to(&mut self, counter: u64) {
        self.next_counter = counter;
    }
}

const _: () = assert!(OVERHEAD_LEN == HEADER_LEN + 1 + TAG_LEN);
