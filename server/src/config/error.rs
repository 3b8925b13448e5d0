//! What can be wrong with a configuration, in words for whoever wrote it.

use std::io;
use std::net::AddrParseError;
use std::num::ParseIntError;
use std::path::PathBuf;

use dosp_proto::label::LabelError;
use dosp_proto::vip::NetworkError;

use super::peer::{PeerError, PeersError};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no TOML, or a value has the wrong type.
    #[error("{}:{line}: {}{message}", path.display(), key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The key whose value is wrong, where there is one.
        key: Option<String>,
        /// What the parser says.
        message: String,
    },
    /// The file has a key that means nothing.
    #[error("{}:{line}: unknown key '{key}'", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The key.
        key: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
        /// All keys that could stand there.
        known: &'static [&'static str],
    },
    /// A value in the file means nothing.
    #[error("{}:{line}: {key}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        source: ValueError,
    },
    /// A value in the environment means nothing.
    #[error("{name} in the environment")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        source: ValueError,
    },
    /// A key without another that it needs.
    #[error("'{key}' needs '{other}'")]
    Needs {
        /// The key.
        key: &'static str,
        /// What it needs.
        other: &'static str,
    },
    /// Two keys that exclude each other.
    #[error("'{key}' and '{other}' exclude each other")]
    Together {
        /// The one.
        key: &'static str,
        /// The other.
        other: &'static str,
    },
    /// Peers that cannot be so together, or not of this hub.
    #[error(transparent)]
    Peers(#[from] PeersError),
}

impl ConfigError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Read { .. } => {
                "give another file with --config, or make this one readable".into()
            }
            Self::Syntax { .. } => "the example server/server.example.toml shows every key".into(),
            Self::UnknownKey { nearest: Some(nearest), .. } => format!("did you mean '{nearest}'?"),
            Self::UnknownKey { nearest: None, known, .. } => {
                format!("the keys are {}", known.join(", "))
            }
            Self::Needs { other, .. } => format!("'dosp-server init' makes one, or give --{other}"),
            Self::Together { key: "peer", other } => {
                format!("leave '{other}' out: a hub that compresses cannot be linked with others")
            }
            Self::Together { other, .. } => {
                format!("leave '{other}' out: what agents of members send is sealed anyway")
            }
            Self::Peers(error) => error.hint().to_owned(),
            Self::Value { source, .. } | Self::Variable { source, .. } => source.hint().to_owned(),
        }
    }
}

/// A value that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No address to listen on.
    #[error("'{text}' is no address and port")]
    Listen {
        /// What was given.
        text: String,
        /// Why.
        source: AddrParseError,
    },
    /// An empty list of them.
    #[error("there is no address to listen on")]
    NoListener,
    /// No address of a host.
    #[error("'{text}' is no address")]
    Host {
        /// What was given.
        text: String,
        /// Why.
        source: AddrParseError,
    },
    /// No port.
    #[error("'{text}' is no port")]
    Port {
        /// What was given.
        text: String,
        /// Why.
        source: ParseIntError,
    },
    /// No network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// No name.
    #[error(transparent)]
    Name(#[from] LabelError),
    /// No address where a hub is reached.
    #[error("'{}' is no host or host:port", text.escape_default())]
    Advertise {
        /// What was given.
        text: String,
    },
    /// No peer.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// A hub that nobody may join.
    #[error("a hub needs room for at least one client")]
    NoClients,
    /// A limit on frames that is too small or too large.
    #[error("{max_frame_len} bytes is not between {min} and {max}")]
    FrameLen {
        /// What was given.
        max_frame_len: usize,
        /// The smallest limit.
        min: usize,
        /// The largest limit.
        max: usize,
    },
    /// A function without a program.
    #[error("exec names no program")]
    NoProgram,
    /// A function that may run for no time, or too long.
    #[error("{timeout_s} s is not between 1 and {max}")]
    Timeout {
        /// What was given.
        timeout_s: u32,
        /// The largest value.
        max: u32,
    },
    /// A function that may say more than a frame holds.
    #[error("max_output_len is above {max}")]
    OutputLen {
        /// The largest value.
        max: usize,
    },
    /// No log level.
    #[error("'{text}' is no log level")]
    Level {
        /// What was given.
        text: String,
    },
    /// No log format.
    #[error("'{text}' is no log format")]
    Format {
        /// What was given.
        text: String,
    },
}

impl ValueError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Listen { .. } | Self::NoListener => {
                "write it like 0.0.0.0:7744 or [::]:7744; host names are not looked up"
            }
            Self::Host { .. } => "write it like 0.0.0.0 or ::; host names are not looked up",
            Self::Port { .. } => "a port is a number from 0 to 65535, the usual one is 7744",
            Self::Network(_) => "the usual network is 7.10.0.{x}",
            Self::Name(_) => "leave it out: a hub needs no name",
            Self::Advertise { .. } => {
                "write it like hub.example, 192.0.2.1:7744 or [2001:db8::1]:7744"
            }
            Self::Peer(error) => error.hint(),
            Self::NoClients => "leave it out for the default",
            Self::FrameLen { .. } => "leave it out for the default, 1048576",
            Self::NoProgram => "write it like exec = [\"/usr/bin/df\", \"-h\"]; there is no shell",
            Self::Timeout { .. } => "leave timeout_s out for the default, 5",
            Self::OutputLen { .. } => "leave it out for the default, 65536",
            Self::Level { .. } => "the levels are off, error, warn, info, debug and trace",
            Self::Format { .. } => "the formats are human and json",
        }
    }
}
