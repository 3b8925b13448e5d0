//! Why a peer takes no tunnel, in words for a person.

use std::fmt;

use super::inbound::words;

/// What published clients say to whoever opens anew, for as long as they run.
const TUNNEL_EXISTS: &str = "C2C tunnel already exists";
/// What clients say in plain DATA to a handshake that they do not take.
pub(super) const NOT_SUPPORTED: &[u8] = b"E:NotSupported";

/// Why a peer takes no tunnel. Nobody vouches for it: anybody on the way can say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It holds one with our vIP, from before a restart or of another agent. Published clients never
    /// let go of it.
    TunnelExists,
    /// It knows only the mode whose keys the hub can read.
    LegacyOnly,
    /// In its own words, cut and escaped.
    Other(String),
}

impl Refusal {
    /// What the peer's own words mean.
    pub(super) fn of_words(reason: &str) -> Self {
        match reason {
            TUNNEL_EXISTS => Self::TunnelExists,
            other => Self::Other(words(other)),
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TunnelExists => Some(
                "restart the program there, or come with another vIP: published clients keep a \
                 tunnel until they end",
            ),
            Self::LegacyOnly => {
                Some("that program needs DoSP 0.1.2 or later; --plain sends without a tunnel")
            }
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TunnelExists => {
                write!(f, "it holds an older tunnel with our vIP, and says: {TUNNEL_EXISTS}")
            }
            Self::LegacyOnly => {
                f.write_str("it knows only legacy tunnels, which hide nothing from the hub")
            }
            Self::Other(words) => write!(f, "it says: {words}"),
        }
    }
}
