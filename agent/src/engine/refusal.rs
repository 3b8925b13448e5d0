//! Why a peer takes no tunnel, in words for a person.

use std::fmt;

use super::handshakes::SECRET_DIFFERS;
use super::inbound::words;
use crate::known_peers::Distrust;

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
    /// It knows only version 1, which is not used for this here.
    Version1Only,
    /// It answers in version 1, though it is known to speak version 2: somebody on the way may have
    /// cut the rest off.
    Downgrade,
    /// Its network secret is not ours.
    SecretDiffers,
    /// Its key is not the one that is trusted: it is we who refuse.
    Untrusted(Distrust),
    /// In its own words, cut and escaped.
    Other(String),
}

impl Refusal {
    /// What the peer's own words mean.
    pub(super) fn of_words(reason: &str) -> Self {
        match reason {
            TUNNEL_EXISTS => Self::TunnelExists,
            SECRET_DIFFERS => Self::SecretDiffers,
            other => Self::Other(words(other)),
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::TunnelExists => {
                "restart the program there, or come with another vIP: published clients keep a \
                 tunnel until they end"
            }
            Self::LegacyOnly => {
                "that program needs DoSP 0.1.2 or later; --plain sends without a tunnel"
            }
            Self::Version1Only => {
                "run this program there too; or allow version 1, which does not know who the peer \
                 is: --version1 messages for raw messages, --version1 all for IP too"
            }
            Self::Downgrade => {
                "does that host still run this program? if not: dosp-agent trust forget PEER"
            }
            Self::SecretDiffers => {
                "give both hosts the same --secret-file; 'dosp-agent secret new' makes one"
            }
            Self::Untrusted(distrust) => return Some(distrust.hint()),
            Self::Other(_) => return None,
        };
        Some(hint.to_owned())
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
            Self::Version1Only => {
                f.write_str("it speaks only version 1, which is not allowed here")
            }
            Self::Downgrade => f.write_str("it answers in version 1, and version 2 is known of it"),
            Self::SecretDiffers => f.write_str("its network secret is not ours"),
            Self::Untrusted(distrust) => distrust.fmt(f),
            Self::Other(words) => write!(f, "it says: {words}"),
        }
    }
}
