//! Why packets and frames were not passed on: a closed set, each counted.

use std::collections::BTreeMap;

use dosp_proto::packet::PacketError;
use dosp_proto::tunnel::v1::{OpenError, ReceiveError};
use dosp_proto::tunnel::v2;

/// Declares the reasons once: the variant, its name in status output, what it means.
macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a packet or a frame was dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum DropReason {
            $($(#[$doc])* $variant,)*
        }

        impl DropReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in status output.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

drop_reasons! {
    /// From the TUN: no IPv4 packet.
    NotIpv4 = "not_ipv4",
    /// From the TUN: an IPv4 packet with a wrong length, checksum or with options.
    Malformed = "malformed",
    /// From the TUN: for a broadcast or multicast address.
    Multicast = "multicast",
    /// From the TUN: not from our vIP.
    ForeignSource = "foreign_source",
    /// From the TUN: for an address outside the networks that this host routes.
    NoRoute = "no_route",
    /// From the TUN: for the hub itself, and neither an echo request nor few enough of them.
    HubProhibited = "hub_prohibited",
    /// From the TUN, or from a peer: what is said of checksums and segments does not fit the packet.
    Offload = "offload",
    /// From the TUN: more packets than the queue for the link holds.
    QueueFull = "queue_full",
    /// From the TUN: it waited for the link for too long, as a sign to its sender.
    QueueDelay = "queue_delay",
    /// From the TUN: an old packet gave way to a newer one while there was no tunnel.
    StagedTooMany = "staged_too_many",
    /// From the TUN: the peer is offline or does not answer.
    Unreachable = "unreachable",
    /// From the TUN: staged under a vIP that is not ours any more.
    Readdressed = "readdressed",
    /// More peers than the agent keeps.
    TooManyPeers = "too_many_peers",
    /// From the hub: a frame that is not for us, or comes from an address that no peer can have.
    Misrouted = "misrouted",
    /// From the hub: a frame type that an agent has no use for.
    UnexpectedFrame = "unexpected_frame",
    /// From the hub: a member outside of its network, or one more than the agent keeps.
    Misplaced = "misplaced",
    /// From the hub: the network of another hub that overlaps one that is there, is too large, or one
    /// too many.
    BadNetwork = "bad_network",
    /// From the hub: a control frame in the open, though the hub seals what it says.
    Unsealed = "unsealed",
    /// From a peer: a frame number that was seen before or is too far ahead.
    FrameNumber = "frame_number",
    /// From a peer: a frame that does not verify.
    Forged = "forged",
    /// From a peer: one of our own frames.
    Reflected = "reflected",
    /// From a peer: a frame of a session that is not there.
    NoSession = "no_session",
    /// From a peer: a frame of a session that has ended.
    SessionEnded = "session_ended",
    /// From a peer: a frame that comes later than the replay window reaches.
    TooLate = "too_late",
    /// From a peer: a frame that was seen before.
    Replayed = "replayed",
    /// From a peer: a kind of frame, or a word in one, that nobody here knows.
    UnknownKind = "unknown_kind",
    /// From a peer: IP that is not from its vIP to ours, or is malformed.
    InnerPacket = "inner_packet",
    /// From a peer: IP from a network that this host does not route.
    Unrouted = "unrouted",
    /// Of version 1, or for a peer that has only that, where it is not allowed.
    Version1 = "version_1",
    /// From a peer: a key that is not trusted.
    Untrusted = "untrusted",
    /// From a peer: a handshake under another network secret.
    SecretDiffers = "secret_differs",
    /// From a peer: plain DATA although there is a tunnel.
    PlainInTunnel = "plain_in_tunnel",
    /// From a peer: a handshake that was refused.
    Handshake = "handshake",
    /// From a peer: IP that nobody here asked for.
    ShieldsUp = "shields_up",
    /// From a peer: the TUN did not take the packet.
    TunWrite = "tun_write",
}

impl From<PacketError> for DropReason {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::NotIpv4 => Self::NotIpv4,
            PacketError::TotalLength | PacketError::Checksum | PacketError::Options => {
                Self::Malformed
            }
        }
    }
}

impl From<ReceiveError> for DropReason {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Open(OpenError::TooShort) => Self::PlainInTunnel,
            ReceiveError::Open(OpenError::Number) => Self::FrameNumber,
            ReceiveError::Open(OpenError::Forged) => Self::Forged,
            ReceiveError::Open(OpenError::Reflected) => Self::Reflected,
            ReceiveError::Clock { .. }
            | ReceiveError::LowOrderKey
            | ReceiveError::Legacy
            | ReceiveError::TooMany
            | ReceiveError::Repeated => Self::Handshake,
        }
    }
}

impl From<v2::OpenError> for DropReason {
    fn from(error: v2::OpenError) -> Self {
        match error {
            v2::OpenError::NoSession => Self::NoSession,
            v2::OpenError::Ended => Self::SessionEnded,
            v2::OpenError::TooOld => Self::TooLate,
            v2::OpenError::Repeated => Self::Replayed,
            v2::OpenError::Forged => Self::Forged,
            v2::OpenError::UnknownKind => Self::UnknownKind,
        }
    }
}

/// How often each reason was met.
#[derive(Debug, Clone, Default)]
pub struct Drops(BTreeMap<DropReason, u64>);

impl Drops {
    /// Counts one drop.
    pub fn add(&mut self, reason: DropReason) {
        *self.0.entry(reason).or_default() += 1;
    }

    /// Counts `times` drops.
    pub fn add_times(&mut self, reason: DropReason, times: usize) {
        if times > 0 {
            *self.0.entry(reason).or_default() += times as u64;
        }
    }

    /// How often `reason` was met.
    #[must_use]
    pub fn count(&self, reason: DropReason) -> u64 {
        self.0.get(&reason).copied().unwrap_or_default()
    }

    /// The reasons that were met, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }
}
