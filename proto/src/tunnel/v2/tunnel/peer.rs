//! What a tunnel knows of its peer.

use super::*;
use crate::offload::{Offloads, VNET_HEADER_LEN};
use crate::tunnel::v2::OVERHEAD_LEN;

/// DATA of the longest super-packet, in bytes.
const MAX_SUPER_PACKET_DATA_LEN: usize = 65_535 + VNET_HEADER_LEN + OVERHEAD_LEN;

impl Tunnel {
    /// The key at the other end of the session that is sent in, or of the last one.
    #[must_use]
    pub fn key(&self) -> Option<&PublicKey> {
        let unconfirmed = self.proving.as_ref().filter(|_| self.current.is_none());
        unconfirmed.map(|proving| &proving.key).or(self.key.as_ref())
    }

    /// What the peer says of itself; its name is a claim.
    #[must_use]
    pub fn introduction(&self) -> Option<&Introduction> {
        self.introduction.as_ref()
    }

    /// Which super-packets the peer takes that a frame sealed now would reach.
    #[must_use]
    pub fn takes(&self) -> Offloads {
        let introduction = match (&self.current, &self.proving) {
            (Some(_), _) if !self.is_silent => self.introduction.as_ref(),
            (_, Some(proving)) => proving.introduction.as_ref(),
            (_, None) => None,
        };
        let takes = introduction.filter(|introduction| {
            introduction.takes(Kind::SuperPacket)
                && introduction.max_data_len as usize >= MAX_SUPER_PACKET_DATA_LEN
        });
        takes.map(|introduction| introduction.super_packets).unwrap_or_default()
    }

    /// When the session that is sent in was made.
    #[must_use]
    pub fn session_since(&self) -> Option<Instant> {
        self.current.as_ref().map(|session| session.created_at)
    }

    /// When a frame or a proof of the peer last verified.
    #[must_use]
    pub fn verified_at(&self) -> Option<Instant> {
        self.verified_at
    }
}
