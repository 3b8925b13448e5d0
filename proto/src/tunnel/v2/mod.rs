//! Tunnels of version 2: each side knows the key of the other, keys change every two minutes, and
//! frames may be lost, doubled and reordered.
//!
//! [`Endpoint`] is what all tunnels of a node share, [`Tunnel`] what one peer's tunnel remembers.
//! Neither decides whom to trust: whoever calls gets a key that was proved, or is about to be shown
//! ours ([`Answer`]), and goes on or does not.
//!
//! ```text
//! initiator                         responder
//! Tunnel::open        ─ message 1 ─▶ Tunnel::handle_opening       (Endpoint keeps it, within limits)
//! Tunnel::handle_answer ◀─ message 2 ─
//!   is the key trusted?
//! Tunnel::prove       ─ message 3 ─▶ Tunnel::handle_proof
//!                                     is the key trusted?
//! Tunnel::handle_frame ◀─ keepalive ─ Tunnel::install
//!   confirmed
//! ```

mod control;
mod endpoint;
mod packets;
mod payload;
mod session;
mod tunnel;
mod wire;

pub use self::control::Control;
pub use self::endpoint::{AnswerError, Endpoint, Ends, Proved};
pub use self::packets::{MAX_PACKETS, Packets};
pub use self::payload::Introduction;
pub use self::session::OpenError;
pub use self::tunnel::{Answer, HandshakeError, Opened, Tunnel};
pub use self::wire::{Message, OVERHEAD_LEN, Opening, Reply, flow_label};
pub use crate::noise::NoiseError;

/// The longest DATA that is taken, in bytes: what fits into a frame.
pub const MAX_DATA_LEN: u32 = 1_048_568;
const _: () = assert!(
    MAX_DATA_LEN as usize == crate::frame::DEFAULT_MAX_BODY_LEN - crate::frame::S2C_ADDRESSES_LEN
);

/// What a sealed frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: a sign of life.
    Keepalive,
    /// A raw message.
    Message,
    /// One IP packet.
    Packet,
    /// A header of virtio-net and a packet that it says more of; see [`offload`](crate::offload).
    /// Only for a node that takes some of them ([`Introduction::super_packets`]).
    SuperPacket,
    /// A word between the two ends themselves; see [`Control`].
    Control,
    /// Several IP packets; see [`Packets`].
    Packets,
}

impl Kind {
    /// All kinds.
    pub const ALL: &[Self] = &[
        Self::Keepalive,
        Self::Message,
        Self::Packet,
        Self::SuperPacket,
        Self::Control,
        Self::Packets,
    ];

    /// The byte that stands for it.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Keepalive => 0,
            Self::Message => 1,
            Self::Packet => 2,
            Self::SuperPacket => 3,
            Self::Control => 4,
            Self::Packets => 5,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.byte() == byte)
    }
}

#[cfg(test)]
mod tests;
