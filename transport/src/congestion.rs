//! Which congestion control a connection uses, and what is known of its path. No I/O.

mod chooser;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use chooser::Chooser;

/// What people ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Congestion {
    /// Cubic, and BBR where packets are lost at random; see [`Chooser`].
    #[default]
    Auto,
    /// Whatever the kernel does by itself.
    Kernel,
    /// Cubic (RFC 9438), always.
    Cubic,
    /// BBR, always.
    Bbr,
}

impl Congestion {
    const ALL: [Self; 4] = [Self::Auto, Self::Kernel, Self::Cubic, Self::Bbr];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kernel => "kernel",
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
        }
    }
}

/// A word that names no congestion control.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is no congestion control: it is auto, kernel, cubic or bbr", text.escape_default())]
pub struct CongestionError {
    text: String,
}

impl FromStr for Congestion {
    type Err = CongestionError;

    fn from_str(text: &str) -> Result<Self, CongestionError> {
        let found = Self::ALL.into_iter().find(|congestion| congestion.name() == text);
        found.ok_or_else(|| CongestionError { text: text.to_owned() })
    }
}

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TryFrom<String> for Congestion {
    type Error = CongestionError;

    fn try_from(text: String) -> Result<Self, CongestionError> {
        text.parse()
    }
}

impl From<Congestion> for String {
    fn from(congestion: Congestion) -> Self {
        congestion.name().to_owned()
    }
}

/// A congestion control of the kernel that we know how to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Fills the queue before the narrowest link until something is lost; takes any loss for that.
    Cubic,
    /// Sends at the rate that it has seen delivered; does not mind loss.
    Bbr,
}

impl Algorithm {
    /// Its name in the kernel.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
        }
    }

    /// The one that has this name in the kernel, if it is one of these.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Cubic, Self::Bbr].into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// What the kernel knows of a connection at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PathSample {
    /// The shortest round trip of the last minutes; zero while there was none.
    pub min_rtt: Duration,
    /// The smoothed round trip (RFC 6298).
    pub rtt: Duration,
    /// Segments with data sent so far, repetitions too; wraps.
    pub sent_segments: u32,
    /// Segments sent once more so far; wraps.
    pub retransmitted_segments: u32,
    /// What arrives, in bytes per second; nothing while nothing has, or on a kernel before 4.9.
    pub delivery_rate: Option<u64>,
    /// Whether the rate is only what there was to send, and the path may carry more.
    pub is_app_limited: bool,
    /// Bytes that the other end's kernel has taken so far; nothing before the first sample.
    pub acked_len: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn congestion_is_its_name() {
        for congestion in Congestion::ALL {
            let name = congestion.name();
            assert_eq!(name.parse(), Ok(congestion));
            assert_eq!(congestion.to_string(), name);
            let json = format!("\"{name}\"");
            assert_eq!(serde_json::to_string(&congestion).unwrap(), json);
            assert_eq!(serde_json::from_str::<Congestion>(&json).unwrap(), congestion);
        }
    }

    #[test]
    fn other_words_are_told_what_there_is() {
        let error = "reno".parse::<Congestion>().unwrap_err();
        let expected = "'reno' is no congestion control: it is auto, kernel, cubic or bbr";
        assert_eq!(error.to_string(), expected);
    }
}
